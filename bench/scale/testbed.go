package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vrouter/dataplane"
	"vrouter/dataplane/fib"
	"vrouter/dataplane/port"
	"vrouter/dataplane/port/afpacket"
	"vrouter/dataplane/worker"
	"vrouter/internal/netlab"
	"vrouter/packet"
)

// The devices: of the router's ports, and the other ends of their veths.
var (
	devices = [numPorts]string{"lan", "wan", "backup"}
	peers   = [numPorts]string{"gen", "sink", "sink2"}
)

const picture = `
generator -- gen ==== lan [ vrouter's worker ] wan ==== sink
                                            backup ==== sink2
`

// testbed is a worker on real devices, and a generator on the other end of one.
type testbed struct {
	lab       *netlab.Lab
	host      *netlab.Host
	ports     [numPorts]port.Port
	source    port.Port
	transmit  port.Transmitter
	worker    *worker.Worker
	snapshot  atomic.Pointer[fib.Snapshot]
	queues    [dataplane.NumClasses]*worker.Queue
	generator generator
}

func newTestbed(o *options) (b *testbed, err error) {
	b = &testbed{}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.lab, err = netlab.New(); err != nil {
		return b, err
	}
	if b.host, err = b.lab.Host("scale"); err != nil {
		return b, err
	}
	if err = b.host.Sysctl("net/ipv6/conf/default/disable_ipv6", "1"); err != nil {
		return b, err
	}
	if err = b.host.Do(b.open); err != nil {
		return b, err
	}
	return b, b.start()
}

// open makes the devices and opens ports on them.
func (b *testbed) open() (err error) {
	for i, device := range devices {
		link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: device}, PeerName: peers[i]}
		if err := netlink.LinkAdd(link); err != nil {
			return fmt.Errorf("veth %s: %w", device, err)
		}
		for _, name := range []string{device, peers[i]} {
			l, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			if err := errors.Join(netlink.LinkSetARPOff(l), netlink.LinkSetUp(l)); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if b.ports[i], err = afpacket.Open(afpacket.Config{Device: device, OwnAddresses: true}); err != nil {
			return err
		}
	}
	if b.source, err = afpacket.Open(afpacket.Config{Device: peers[lan], OwnAddresses: true}); err != nil {
		return err
	}
	b.transmit, err = b.source.NewTransmitter()
	return err
}

// start runs the worker.
func (b *testbed) start() error {
	c := worker.Config{Snapshot: &b.snapshot, Queues: &b.queues, BusyPoll: 100 * time.Microsecond}
	for class := range b.queues {
		b.queues[class] = worker.NewQueue(worker.DefaultLimits[class], func() {})
	}
	c.Pending = worker.NewQueue(worker.DefaultLimits[dataplane.ClassResolve], func() {})
	for i, p := range b.ports {
		for _, r := range p.Receivers() {
			c.Inputs = append(c.Inputs, worker.Input{Port: uint16(i), Receiver: r})
		}
		tx, err := p.NewTransmitter()
		if err != nil {
			return err
		}
		c.Outputs = append(c.Outputs, tx)
	}
	w, err := worker.New(c)
	if err != nil {
		return err
	}
	b.publish(newTable(wan).Publish)
	b.worker = w
	go func() {
		onCPU(runtime.NumCPU() - 1)
		w.Run()
	}()
	return nil
}

// publish makes workers forward by what a table publishes.
func (b *testbed) publish(fill func(*fib.Snapshot)) {
	b.snapshot.Store(b.snapshotOf(fill))
}

// snapshotOf returns the snapshot of a table with the testbed's ports.
func (b *testbed) snapshotOf(fill func(*fib.Snapshot)) *fib.Snapshot {
	s := &fib.Snapshot{Seed: fib.FlowSeed(1)}
	for i, p := range b.ports {
		status := p.Status()
		s.Ports = append(s.Ports, fib.Port{
			Name: devices[i], Up: status.Present && status.Up, MAC: status.MAC, MTU: status.MTU,
			Offload: status.Offload, Owns: true, Addr4: own[i][0].Addr(), Addr6: own[i][1].Addr(),
		})
	}
	fill(s)
	return s
}

// prefer asks the scheduler to let this program run before others that are not
// measured. Not everybody may ask.
func prefer() { _ = os.WriteFile("/proc/self/autogroup", []byte("-15"), 0) }

// onCPU locks the calling goroutine to a thread on one CPU. It fails where the
// CPU is not ours to use, and the thread then runs where it may.
func onCPU(n int) {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(n)
	_ = unix.SchedSetaffinity(0, &set)
}

func (b *testbed) close() {
	b.generator.stop()
	if b.worker != nil {
		b.worker.Stop()
	}
	if b.transmit != nil {
		_ = b.transmit.Close() // nothing is in it any more
	}
	for _, p := range append(b.ports[:], b.source) {
		if p != nil {
			_ = p.Close() // its device goes with the namespace
		}
	}
	if b.lab != nil {
		_ = b.lab.Close()
	}
}

// counts is what was sent and forwarded so far.
type counts struct {
	at        time.Time
	sent      uint64 // by the generator
	forwarded [numPorts]uint64
	busy      uint64 // of the worker, ns
	frames    uint64 // that it has read
	lost      uint64 // before and behind the worker
}

func (b *testbed) counts() counts {
	c := counts{at: time.Now(), sent: b.transmit.Stats().Frames}
	for i := range c.forwarded {
		c.forwarded[i] = b.worker.Output(i).Stats().Frames
	}
	load := b.worker.Load()
	received, sent := b.worker.Lost()
	c.busy, c.frames, c.lost = load.BusyNS, load.Frames, received+sent
	return c
}

// rate returns what happened since before, for each second.
func (c counts) rate(before counts) (forwarded, perFrame float64) {
	n := c.total() - before.total()
	seconds := c.at.Sub(before.at).Seconds()
	if c.frames > before.frames {
		perFrame = float64(c.busy-before.busy) / float64(c.frames-before.frames)
	}
	return float64(n) / seconds, perFrame
}

func (c counts) total() (n uint64) {
	for _, f := range c.forwarded {
		n += f
	}
	return n
}

// generator sends frames on one thread.
type generator struct {
	quit chan struct{}
	done chan struct{}
}

// start sends frames in turn, rate a second, or as many as it can (0).
func (g *generator) start(tx port.Transmitter, frames []*packet.Frame, rate float64) {
	g.stop()
	g.quit, g.done = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(g.done)
		onCPU(0)
		send(tx, frames, rate, g.quit)
	}()
}

func (g *generator) stop() {
	if g.quit != nil {
		close(g.quit)
		<-g.done
		g.quit = nil
	}
}

// send paces by the clock: it never sends more than is due, nor more than a few
// batches at once where it was held up.
func send(tx port.Transmitter, frames []*packet.Frame, rate float64, quit chan struct{}) {
	const most, behind, pause = 32, 256, 20 * time.Microsecond
	at, sent, began := 0, 0.0, time.Now()
	for {
		select {
		case <-quit:
			return
		default:
		}
		n := most
		if rate > 0 {
			due := time.Since(began).Seconds()*rate - sent
			if due > behind {
				sent += due - behind
			}
			if n = min(most, int(due)); n < 1 {
				time.Sleep(pause)
				continue
			}
		}
		n = min(n, len(frames)-at)
		tx.Transmit(frames[at : at+n])
		at, sent = (at+n)%len(frames), sent+float64(n)
	}
}
