package router

import (
	"fmt"
	"net/netip"
	"time"

	"vrouter/neigh"
	"vrouter/packet"
	"vrouter/rib"
	"vrouter/vrrp"
)

// Fast detection (config key vrrp.fast_detect): a switch whose port to the
// Master has gone down has forgotten where the virtual MAC is, and floods the
// frames for it. They reach the Backup long before the Master's silence tells
// it anything. RFC 9568 6.4.2 makes a Backup discard them; forwarding them at
// once would double every packet whenever a switch merely forgets. So they are
// kept for some milliseconds, and the Master is asked for its own address
// (inquiry.go): while it answers it has had its own copies, and ours are
// dropped; where it does not, this router becomes Master and forwards them.
//
// Only a Master that has answered for that address before is asked: the
// silence of one that never answers says nothing.

// Bounds of what is kept. A virtual router never keeps more than what comes in
// the milliseconds of an inquiry; the rest of a flood displaces the oldest.
const (
	keptFrames     = 1024
	keptBytes      = 1 << 20
	keptBytesTotal = 16 << 20 // of all virtual routers
	keptAge        = 50 * time.Millisecond
)

// After a takeover that was wrong (the Master was alive, and yet did not
// answer) the virtual router goes by VRRP's timers alone for a while, which
// doubles with each further one, and is short again after a quiet time.
const (
	floodHoldMin   = time.Second
	floodHoldMax   = 64 * time.Second
	floodHoldQuiet = 10 * time.Minute
)

// floodTold is how often a flood with a Master alive is told of.
const floodTold = time.Minute

// flood is what a virtual router has to do with frames that a switch floods.
type flood struct {
	master netip.Addr // whom the Backup asks; the zero Addr: nobody, and it does not watch
	proven bool       // it has answered for that address
	deaf   bool       // by a freeze: no advertisement has come since
	kept   ring       // in order of arrival; no answer has covered them yet

	triedAt   time.Time  // when a takeover was asked for, which a group may not let happen
	gone      netip.Addr // the Master that the last takeover took for gone,
	goneUntil time.Time  // and until when it would be wrong to hear it
	interval  time.Duration
	hold      time.Duration
	heldUntil time.Time
	told      time.Time
	taught    int       // how often the master was made to speak from the virtual MAC,
	taughtAt  time.Time // since then

	counters floodCounters
}

// floodCounters count frames by what became of them, and takeovers.
type floodCounters struct {
	received, answered, overflow, expired, withdrawn, forwarded uint64
	takeovers, refuted                                          uint64
}

// each calls f for all of them.
func (c *floodCounters) each(f func(name string, n uint64)) {
	f("flood_received", c.received)
	f("flood_answered", c.answered)
	f("flood_overflow", c.overflow)
	f("flood_expired", c.expired)
	f("flood_withdrawn", c.withdrawn)
	f("flood_forwarded", c.forwarded)
	f("flood_takeovers", c.takeovers)
	f("flood_refuted", c.refuted)
}

// watching reports whether the virtual router wants to see flooded frames.
func (f *flood) watching() bool { return f.master.IsValid() && f.proven }

// Flooded takes a frame for the virtual MAC of a Backup, which the fast path
// punted with dataplane.ClassFlooded; in is the port it came in on. The frame
// is not kept, but copied.
func (r *Router) Flooded(now time.Time, in uint16, frame []byte, vnet packet.VNet) []Action {
	r.begin(now)
	r.flooded(now, in, frame, vnet)
	return r.end(now)
}

func (r *Router) flooded(now time.Time, in uint16, frame []byte, vnet packet.VNet) {
	eth, ok := packet.ParseEthernet(frame)
	if !ok || int(in) >= len(r.ifaces) {
		r.counters.malformed++
		return
	}
	dst := eth.Dst()
	v := r.virtualRouter(in, dst[5], dst[4] == 2)
	if v == nil || v.mac != dst {
		r.counters.malformed++
		return
	}
	f := &v.flood
	f.counters.received++
	if !f.watching() || now.Before(f.heldUntil) {
		f.counters.withdrawn++ // the worker did not know it yet
		return
	}
	r.keep(now, f, frame, vnet)
	r.inquire(now, neigh.Key{Port: in, Addr: f.master})
}

// keep copies a frame to the end of those that wait; the oldest give way.
func (r *Router) keep(now time.Time, f *flood, frame []byte, vnet packet.VNet) {
	for f.kept.used > 0 && (f.kept.used == keptFrames || f.kept.bytes+len(frame) > keptBytes ||
		r.keptBytes+len(frame) > keptBytesTotal) {
		r.dropKept(f, 1, &f.counters.overflow)
	}
	if r.keptBytes+len(frame) > keptBytesTotal {
		f.counters.overflow++
		return
	}
	f.kept.push(now, frame, vnet)
	r.keptBytes += len(frame)
}

// dropKept drops the n oldest frames, and counts them.
func (r *Router) dropKept(f *flood, n int, counter *uint64) {
	*counter += uint64(n)
	for range n {
		r.keptBytes -= f.kept.drop()
	}
}

// watch brings what a virtual router watches for in step with its machine. It
// is called after each of the machine's turns.
//
// A Backup watches that knows a living master on its link, and an address of
// its own to ask from: not before it has heard one, not while it has given
// mastership away and forwards itself until its successor is heard, and not
// when the master has given up, which forwards until then, too. That a Backup
// may not preempt (preempt, preemption delay, not ready, handed over) does not
// matter: who is gone is replaced at once. What a group makes of it is the
// group's matter (takeOver).
func (r *Router) watch(now time.Time, v *virtual) {
	f, was := &v.flood, v.flood.watching()
	master := r.askable(v)
	if v.machine.State() == vrrp.Backup && f.gone.IsValid() {
		r.refute(now, v)
	}
	if master != f.master {
		r.release(now, v)
		f.master, f.proven = master, false
		r.keepNextHops(now)
	}
	if _, known := r.cache.Lookup(neigh.Key{Port: v.port, Addr: master}); known {
		f.proven = true
	}
	if f.watching() != was {
		r.dirty = true
	}
}

// askable returns the master that a Backup would ask, or the zero Addr.
func (r *Router) askable(v *virtual) netip.Addr {
	i := r.ifaces[v.port]
	master, ok := v.machine.Following()
	if !ok || !v.cfg.FastDetect || v.flood.deaf || !i.state.Up || !i.onLink(master) {
		return netip.Addr{}
	}
	if _, ok := i.source(master); !ok {
		return netip.Addr{}
	}
	return master
}

// proves notes that a neighbour is known: it may be a master that is watched.
func (r *Router) proves(key neigh.Key) {
	for _, v := range r.virtual {
		if f := &v.flood; v.port == key.Port && f.master == key.Addr && !f.proven {
			f.proven = true
			r.dirty = true
		}
	}
}

// prepare resolves whom the kept packets go to, as it seems that the master is
// gone: a Backup hardly knows its neighbours, and only few packets may wait for
// one. Gateways are known already (nextHops).
func (r *Router) prepare(now time.Time, v *virtual) {
	q := &v.flood.kept
	for i := range min(q.used, preparedMax) {
		dst, ok := destination(q.slots[(q.head+i)%keptFrames].data)
		if !ok || v.has(dst) {
			continue
		}
		best, ok := r.table.Lookup(dst)
		if !ok || best.Type != rib.Unicast || len(best.NextHops) != 1 || best.NextHops[0].Via.IsValid() {
			continue
		}
		key := neigh.Key{Port: best.NextHops[0].Port, Addr: dst}
		if _, known := r.cache.Lookup(key); !known && r.ifaces[key.Port].state.Up {
			r.neighActions(r.cache.Resolve(now, key, neigh.Waiting{}))
		}
	}
}

// preparedMax is how many of the packets are looked at.
const preparedMax = 64

// destination returns where the packet in a frame goes.
func destination(frame []byte) (netip.Addr, bool) {
	eth, ok := packet.ParseEthernet(frame)
	if !ok {
		return netip.Addr{}, false
	}
	switch eth.Type() {
	case packet.EtherTypeIPv4:
		ip, ok := packet.ParseIPv4(eth.Payload())
		if ok {
			return ip.Dst(), true
		}
	case packet.EtherTypeIPv6:
		ip, ok := packet.ParseIPv6(eth.Payload())
		if ok {
			return ip.Dst(), !ip.Dst().IsLinkLocalUnicast()
		}
	}
	return netip.Addr{}, false
}

// release ends the waiting of what is kept: there is another master now. Where
// it is this router the frames go on, behind the advertisement and the
// announcement that say so.
func (r *Router) release(now time.Time, v *virtual) {
	f := &v.flood
	tried := !f.triedAt.IsZero()
	f.triedAt = time.Time{}
	if v.machine.State() != vrrp.Master {
		r.dropKept(f, f.kept.used, &f.counters.withdrawn)
		return
	}
	if tried {
		f.counters.takeovers++
		f.gone, f.goneUntil = f.master, now.Add(3*f.interval) // who comes back must listen for longer
	}
	for f.kept.used > 0 {
		w := f.kept.take()
		r.keptBytes -= len(w.Frame)
		w.In = v.port
		f.counters.forwarded++
		r.do(Forward{w})
	}
}

// gone is called when a virtual router's master has not answered: it becomes
// Master, alone or with its group. Where it has not become so by the next call
// the group did not let it, and VRRP's timers decide.
func (r *Router) gone(now time.Time, v *virtual, asked int, silence time.Duration) {
	f := &v.flood
	if !f.triedAt.IsZero() {
		f.triedAt = time.Time{}
		r.dropKept(f, f.kept.used, &f.counters.withdrawn)
		r.holdFlood(now, f)
		return
	}
	if now.Sub(f.heldUntil) > floodHoldQuiet {
		f.hold = 0
	}
	what := "ARP requests"
	if v.cfg.IPv6() {
		what = "neighbour solicitations"
	}
	f.triedAt, f.interval = now, v.machine.Info().MasterInterval
	r.takeOver(now, v, fmt.Sprintf("flooded with frames for the virtual MAC; master %v did not answer %d %s in %v",
		f.master, asked, what, silence.Round(100*time.Microsecond)))
}

// refute sees whether the master that was taken for gone is heard as Master
// again, sooner than one could be that had lost its link.
func (r *Router) refute(now time.Time, v *virtual) {
	f := &v.flood
	master, ok := v.machine.Following()
	if ok && master == f.gone && now.Before(f.goneUntil) {
		f.counters.refuted++
		r.holdFlood(now, f)
		r.event(now, Event{
			Kind: "flood", Name: v.cfg.Name, From: "watching", To: "held",
			Reason: fmt.Sprintf("%v was taken for gone and advertises again: for %v flooded frames make nobody Master here",
				master, f.hold),
		})
	}
	f.gone = netip.Addr{}
}

func (r *Router) holdFlood(now time.Time, f *flood) {
	f.hold = max(floodHoldMin, min(2*f.hold, floodHoldMax))
	f.heldUntil = now.Add(f.hold)
}

// tellFlood says, now and then, that a switch floods though the master lives.
func (r *Router) tellFlood(now time.Time, v *virtual) {
	f := &v.flood
	if !f.told.IsZero() && now.Sub(f.told) < floodTold {
		return
	}
	f.told = now
	r.event(now, Event{
		Kind: "flood", Name: v.cfg.Name, From: "watching", To: "watching",
		Reason: fmt.Sprintf("a switch floods frames for the virtual MAC; master %v answers", f.master),
	})
}

// deafen is called after a freeze: what was heard and kept before it says
// nothing any more, until an advertisement comes.
func (r *Router) deafen(v *virtual) {
	v.flood.deaf = true
	r.dropKept(&v.flood, v.flood.kept.used, &v.flood.counters.withdrawn)
}

// ring is a queue of frames with buffers of its own, which it uses again.
type ring struct {
	slots      []keptFrame
	head, used int
	bytes      int
}

// keptFrame is a frame and when it came.
type keptFrame struct {
	at   time.Time
	data []byte
	vnet packet.VNet
}

// push copies a frame to the end. There must be room: used < keptFrames.
func (q *ring) push(at time.Time, frame []byte, vnet packet.VNet) {
	if q.slots == nil {
		q.slots = make([]keptFrame, keptFrames)
	}
	s := &q.slots[(q.head+q.used)%keptFrames]
	s.at, s.vnet = at, vnet
	s.data = append(s.data[:0], frame...)
	q.used++
	q.bytes += len(frame)
}

// drop forgets the oldest frame and returns its size.
func (q *ring) drop() int {
	n := len(q.slots[q.head].data)
	q.head = (q.head + 1) % keptFrames
	q.used--
	q.bytes -= n
	return n
}

// take returns the oldest frame, whose buffer is the caller's from then on.
func (q *ring) take() neigh.Waiting {
	s := &q.slots[q.head]
	w := neigh.Waiting{Frame: s.data, VNet: s.vnet}
	q.drop()
	s.data = nil
	return w
}

// until returns how many frames came until a time.
func (q *ring) until(t time.Time) int {
	n := 0
	for n < q.used && !q.slots[(q.head+n)%keptFrames].at.After(t) {
		n++
	}
	return n
}

// free gives the buffers back, where nothing is kept.
func (q *ring) free() {
	if q.used == 0 {
		*q = ring{}
	}
}
