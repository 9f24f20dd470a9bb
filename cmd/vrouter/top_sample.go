package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"vrouter/control"
	"vrouter/router"
)

// sample is what the router told at one moment.
type sample struct {
	at         time.Time
	routers    []control.VirtualRouter
	interfaces []router.InterfaceStatus
	counters   router.CountersStatus
	events     []router.Event // those that are new since the sample before
}

// perSecond is a rate; negative where it is not known: there was no sample
// before, or the counter began anew.
type perSecond float64

const unknown perSecond = -1

// rateOf returns how fast a counter grows.
func rateOf(now, before uint64, seconds float64) perSecond {
	if now < before || seconds <= 0 {
		return unknown
	}
	return perSecond(float64(now-before) / seconds)
}

// plus adds rates; one that is not known adds nothing, unless none is.
func (r perSecond) plus(o perSecond) perSecond {
	switch {
	case r < 0:
		return o
	case o < 0:
		return r
	}
	return r + o
}

// interfaceLoad is an interface with its rates.
type interfaceLoad struct {
	router.InterfaceStatus
	rxPackets, rxBits, txPackets, txBits perSecond
	rxLost, txLost                       perSecond
}

// traffic is how busy an interface is, for the order.
func (n *interfaceLoad) traffic() perSecond { return n.rxPackets.plus(n.txPackets) }

// workerLoad is a worker between two samples.
type workerLoad struct {
	router.WorkerStatus
	busy               perSecond // percent of the time
	forwarded, frames  perSecond
	punted, dropped    perSecond
	lostIn, lostOut    perSecond
	perBatch, perFrame float64 // frames a batch, ns a frame; negative: there were none
}

// cause is a reason for which frames do not get through.
type cause struct {
	name  string
	rate  perSecond
	total uint64
}

// load is what two samples say together.
type load struct {
	interfaces     []interfaceLoad
	workers        []workerLoad
	losses         []cause // the fastest growing first, then by total
	in, out        perSecond
	inBits         perSecond
	outBits, drops perSecond
}

// between compares a sample with the one before, which may be nil.
func (s *sample) between(before *sample) load {
	var seconds float64
	if before == nil {
		before = &sample{}
	} else {
		seconds = s.at.Sub(before.at).Seconds()
	}
	l := load{in: unknown, out: unknown, inBits: unknown, outBits: unknown, drops: unknown}
	for i := range s.interfaces {
		n := interfaceBetween(&s.interfaces[i], before.interfaceNamed(s.interfaces[i].Name), seconds)
		l.interfaces = append(l.interfaces, n)
		l.in, l.out = l.in.plus(n.rxPackets), l.out.plus(n.txPackets)
		l.inBits, l.outBits = l.inBits.plus(n.rxBits), l.outBits.plus(n.txBits)
	}
	for i := range s.counters.Workers {
		w := &s.counters.Workers[i]
		l.workers = append(l.workers, workerBetween(w, before.worker(w.Worker), seconds))
	}
	l.losses = s.losses(before, seconds)
	for _, d := range l.losses {
		l.drops = l.drops.plus(d.rate)
	}
	return l
}

func (s *sample) interfaceNamed(name string) *router.InterfaceStatus {
	if i := slices.IndexFunc(s.interfaces, func(n router.InterfaceStatus) bool { return n.Name == name }); i >= 0 {
		return &s.interfaces[i]
	}
	return nil
}

func (s *sample) worker(number int) *router.WorkerStatus {
	list := s.counters.Workers
	if i := slices.IndexFunc(list, func(w router.WorkerStatus) bool { return w.Worker == number }); i >= 0 {
		return &list[i]
	}
	return nil
}

func interfaceBetween(n, before *router.InterfaceStatus, seconds float64) interfaceLoad {
	l := interfaceLoad{InterfaceStatus: *n}
	if before == nil {
		before, seconds = &router.InterfaceStatus{}, 0
	}
	const bits = 8
	l.rxPackets, l.txPackets = rateOf(n.RX.Packets, before.RX.Packets, seconds), rateOf(n.TX.Packets, before.TX.Packets, seconds)
	l.rxBits, l.txBits = rateOf(n.RX.Bytes*bits, before.RX.Bytes*bits, seconds), rateOf(n.TX.Bytes*bits, before.TX.Bytes*bits, seconds)
	l.rxLost, l.txLost = rateOf(n.RX.Dropped, before.RX.Dropped, seconds), rateOf(n.TX.Dropped, before.TX.Dropped, seconds)
	return l
}

func workerBetween(w, before *router.WorkerStatus, seconds float64) workerLoad {
	// Where there is nothing to compare with, the router's own figure of the
	// last second or two is better than none.
	l := workerLoad{WorkerStatus: *w, busy: perSecond(w.Busy), perBatch: -1, perFrame: -1}
	if before == nil || w.UptimeNS < before.UptimeNS {
		before, seconds = w, 0
	}
	if uptime := w.UptimeNS - before.UptimeNS; uptime > 0 && w.BusyNS >= before.BusyNS {
		// A batch that lasts over the end of the one counts in the other.
		l.busy = min(100, perSecond(100*float64(w.BusyNS-before.BusyNS)/float64(uptime)))
	}
	l.forwarded, l.frames = rateOf(w.Forwarded, before.Forwarded, seconds), rateOf(w.Frames, before.Frames, seconds)
	l.punted, l.dropped = rateOf(punted(w), punted(before), seconds), rateOf(dropped(w), dropped(before), seconds)
	l.lostIn = rateOf(w.Lost.Receiving, before.Lost.Receiving, seconds)
	l.lostOut = rateOf(w.Lost.Sending, before.Lost.Sending, seconds)
	if w.Batches > before.Batches && w.Frames >= before.Frames {
		l.perBatch = float64(w.Frames-before.Frames) / float64(w.Batches-before.Batches)
	}
	if w.Frames > before.Frames && w.BusyNS >= before.BusyNS {
		l.perFrame = float64(w.BusyNS-before.BusyNS) / float64(w.Frames-before.Frames)
	}
	return l
}

// punted is how many frames a worker has handed to the control plane.
func punted(w *router.WorkerStatus) (n uint64) {
	for _, p := range w.Punts {
		n += p.Accepted
	}
	return n
}

// dropped is how many frames a worker has dropped, also those that a queue to
// the control plane had no room for.
func dropped(w *router.WorkerStatus) (n uint64) {
	for _, p := range w.Punts {
		n += p.Dropped
	}
	for _, d := range w.Drops {
		n += d
	}
	return n
}

// lossCounters are all counters of frames that do not get through, by name.
func (s *sample) lossCounters() map[string]uint64 {
	all := map[string]uint64{}
	for reason, n := range s.counters.Drops {
		all[reason] = n
	}
	// A packet that is answered by an ICMP error has not got through either; one
	// whose error was suppressed is among the drops.
	for name, n := range s.counters.ICMP {
		if what, sent := strings.CutSuffix(name, "_sent"); sent {
			all["answered by ICMP "+what] = n
		}
	}
	for class, p := range s.counters.Punts {
		all["punt queue "+class] = p.Dropped
	}
	for i := range s.interfaces {
		n := &s.interfaces[i]
		all[n.Name+": receiving"], all[n.Name+": sending"] = n.RX.Dropped, n.TX.Dropped
	}
	return all
}

func (s *sample) losses(before *sample, seconds float64) (list []cause) {
	earlier := before.lossCounters()
	for name, n := range s.lossCounters() {
		if n > 0 {
			list = append(list, cause{name, rateOf(n, earlier[name], seconds), n})
		}
	}
	slices.SortFunc(list, func(a, b cause) int {
		return cmp.Or(cmp.Compare(b.rate, a.rate), cmp.Compare(b.total, a.total), cmp.Compare(a.name, b.name))
	})
	return list
}
