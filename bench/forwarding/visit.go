package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/internal/netlab"
)

const (
	startPatience = 20 * time.Second
	settle        = 700 * time.Millisecond // from the first packet to what is measured
	trickle       = 2000                   // packets a second until the router forwards
	manyFlows     = 10_000
	slowRate      = 10_000 // packets a second

	lossAllowed = 0.001
	ndrTries    = 9
	ndrAgain    = 2    // a trial that the machine's other work has disturbed gets another
	ndrOffered  = 0.97 // of the rate must have been sent, or it was no trial of it

	// nice is the priority of what takes part in a measurement.
	nice = -15
)

// figures are what one visit measured, by the id of the measure.
type figures map[string]float64

// visit is one network with one router, in which things are measured one after
// the other.
type visit struct {
	*network
	kind      *kind
	o         *options
	dut       dut
	sender    *sender
	ksoftirqd []int
	mac       net.HardwareAddr
}

// dut is the router's processes.
type dut struct{ process *netlab.Process }

func (d dut) processes() []int {
	if d.process == nil {
		return nil
	}
	return family(d.process.PID())
}

// enter makes the network and starts the router: on a CPU of its own for
// streams of packets, on all of them for TCP, where there are four parties.
func enter(ctx context.Context, o *options, k *kind, pinned bool) (v *visit, err error) {
	n, err := newNetwork(k.unbounded)
	if err != nil {
		return nil, err
	}
	v = &visit{network: n, kind: k, o: o, ksoftirqd: ksoftirqds()}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, v.lastWords())
			v.close()
		}
	}()
	process, err := k.start(ctx, n, pinned)
	if err != nil {
		return nil, err
	}
	v.dut.process = process
	if v.mac, err = n.routerMAC(ctx, k); err != nil {
		return nil, err
	}
	for _, pid := range v.dut.processes() {
		// Without the privilege the router takes part as everybody.
		unix.Setpriority(unix.PRIO_PROCESS, pid, nice)
	}
	if v.sender, err = openSender(n.gen, genDevice); err != nil {
		return nil, err
	}
	return v, v.prime(ctx)
}

func (v *visit) close() {
	if v.sender != nil {
		v.sender.close()
	}
	v.network.close()
}

func (v *visit) lastWords() string {
	if v.dut.process == nil {
		return ""
	}
	const lines = 15
	all := strings.Split(strings.TrimSpace(v.dut.process.Output()), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// prime sends a little until packets arrive as a router forwards them: its
// neighbours are found then. Afterwards the receiver counts and drops.
func (v *visit) prime(ctx context.Context) error {
	wire, err := v.sink.OpenWire(sinkDevice)
	if err != nil {
		return err
	}
	defer wire.Close()
	v.sender.aim(v.mac, 1)
	for end := time.Now().Add(startPatience); ; {
		if _, err := v.sender.run(100*time.Millisecond, trickle); err != nil {
			return err
		}
		lowered, whole := v.arrived(wire)
		switch {
		case lowered && v.kind.routes, whole && !v.kind.routes:
			time.Sleep(settle)
			return nil
		case whole:
			return errors.New("the router forwards without lowering the TTL")
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(end):
			return errors.New("the router forwards nothing")
		}
	}
}

// arrived looks for our packets among those that came: any with a lower TTL, any
// with the TTL that they were sent with.
func (v *visit) arrived(wire *netlab.Wire) (lowered, whole bool) {
	b := make([]byte, 2048)
	for end := time.Now().Add(50 * time.Millisecond); ; {
		n, err := wire.Read(b, end)
		if err != nil {
			return lowered, whole
		}
		ours, low := forwarded(b[:n])
		lowered, whole = lowered || low, whole || ours && !low
	}
}

// trial is what became of the packets of one run.
type trial struct {
	sent
	delivered uint64
	used      usage
	wall      time.Duration
}

func (t *trial) rate() float64 { return float64(t.delivered) / t.took.Seconds() }

// loss is the share that did not arrive. What else is on the cable (ARP) may
// make it look like less than none.
func (t *trial) loss() float64 {
	return max(0, 1-float64(t.delivered)/float64(max(t.packets, 1)))
}

// cost is the CPU time of a packet: the sender's kernel work for each one sent,
// in which the router's receiving softirqs run, and the router's own threads
// and the kernel's softirq threads for each one that arrived.
func (t *trial) cost() float64 {
	if t.packets == 0 || t.delivered == 0 {
		return 0
	}
	return float64(t.calls)/float64(t.packets) + float64(t.used.router+t.used.ksoftirq)/float64(t.delivered)
}

// hidden tells whether softirqs are missing in the threads' clocks: kernels with
// IRQ_TIME_ACCOUNTING take them out of the time of whom they interrupt. The
// sender of a flood never sleeps, so that what is missing of its time is theirs.
func (t *trial) hidden() bool {
	const much = 0.1
	missing := t.took - t.thread - t.waited
	return float64(missing) > much*float64(t.took) && t.used.softirq > missing/2
}

// send sends for a time, and counts what arrives.
func (v *visit) send(length time.Duration, rate float64) (t trial, err error) {
	before, err := v.sink.Received(sinkDevice)
	if err != nil {
		return t, err
	}
	used := v.use()
	if t.sent, err = v.sender.run(length, rate); err != nil {
		return t, err
	}
	t.used, t.wall = v.use().since(used)
	// What is under way is let arrive.
	const pause = 20 * time.Millisecond
	for last, end := before, time.Now().Add(time.Second); ; {
		time.Sleep(pause)
		now, err := v.sink.Received(sinkDevice)
		if err != nil {
			return t, err
		}
		if t.delivered = now - before; now == last || time.Now().After(end) {
			return t, nil
		}
		last = now
	}
}

// packets measures all that is done with streams of small packets.
func (v *visit) packets(ctx context.Context) (f figures, err error) {
	f = figures{}
	idle, err := v.idle(f)
	if err != nil {
		return f, err
	}
	if v.o.wants("latency") && !v.kind.unbounded {
		if err := v.latency(f); err != nil {
			return f, err
		}
	}
	// From here on the receiver looks at no IPv4 packet any more. Without nft
	// its kernel finds for itself that it does not want them.
	if err := v.dropAll(ctx, v.sink, sinkDevice, "meta protocol ip"); err != nil {
		v.o.note("nft: " + firstWords(err))
	}
	if v.o.wants("pps") || v.o.wants("cost") {
		if err := v.floods(f, idle); err != nil {
			return f, err
		}
	}
	if v.o.wants("cost") {
		t, err := v.send(v.o.length, slowRate)
		if err != nil {
			return f, err
		}
		f["slow"] = t.cost()
	}
	if v.o.wants("ndr") && !v.kind.unbounded {
		f["ndr"], err = v.ndr(ctx)
	}
	return f, err
}

func firstWords(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// idle measures what the router needs while there is nothing to do.
func (v *visit) idle(f figures) (softirq float64, err error) {
	before := v.use()
	time.Sleep(v.o.length)
	d, took := v.use().since(before)
	if v.dut.process != nil && v.o.wants("idle") {
		f["idle"] = 100 * d.router.Seconds() / took.Seconds()
	}
	return d.softirq.Seconds() / took.Seconds(), nil
}

// floods sends as much as it can, of one flow and of many.
func (v *visit) floods(f figures, idleSoftirq float64) error {
	one, err := v.send(v.o.length, 0)
	if err != nil {
		return err
	}
	softirq := one.used.softirq.Seconds()/one.wall.Seconds() - idleSoftirq
	f["pps1"], f["cost"], f["softirq"] = one.rate(), one.cost(), 100*softirq
	if one.hidden() && one.delivered > 0 {
		f["cost"] += softirq * float64(one.wall) / float64(one.delivered)
		v.o.note("this kernel leaves softirqs out of the threads' clocks: they are taken from its count of all")
	}
	if !v.o.wants("pps") || v.kind.unbounded {
		return nil
	}
	v.sender.aim(v.mac, manyFlows)
	many, err := v.send(v.o.length, 0)
	f["pps10k"] = many.rate()
	v.sender.aim(v.mac, 1)
	return err
}

// ndr searches the highest rate with no more loss than is allowed. What arrives
// of a flood is near the answer.
func (v *visit) ndr(ctx context.Context) (float64, error) {
	top, err := v.send(v.o.length/2, 0)
	if err != nil {
		return 0, err
	}
	offered := float64(top.packets) / top.took.Seconds()
	best := search(1.1*top.rate(), offered, ndrTries, func(rate float64) bool {
		for range ndrAgain {
			var t trial
			if err != nil || ctx.Err() != nil {
				return false
			}
			if t, err = v.send(v.o.length/3, rate); err != nil {
				return false
			}
			if t.loss() <= lossAllowed && float64(t.packets) >= ndrOffered*rate*t.took.Seconds() {
				return true
			}
		}
		return false
	})
	return best, errors.Join(err, ctx.Err())
}
