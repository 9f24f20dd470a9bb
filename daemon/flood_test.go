package daemon

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vrouter/arp"
	"vrouter/control"
	"vrouter/dataplane"
	"vrouter/dataplane/worker"
	"vrouter/packet"
)

// floodedFrame is a packet of a LAN host to the virtual MAC of VRID 10.
func floodedFrame(dst string) packet.Frame {
	f := datagram("192.0.2.10", dst, 64)
	copy(f.Data, []byte{0, 0, 0x5e, 0, 1, 10})
	return f
}

var masterAnswer = arp.Reply(packet.MAC{2, 0, 0, 0, 0, 3}, netip.MustParseAddr("192.0.2.3"),
	packet.MAC{2, 0, 0, 0, 1, 0}, netip.MustParseAddr("192.0.2.2"))

// following makes the loop's router Backup of 192.0.2.3, which has answered.
func following(t *testing.T) (*rig, *loop) {
	t.Helper()
	r := started(t, onLAN)
	l := r.process.loop
	f := advertFrame(200)
	l.queues[dataplane.ClassVRRP].Put(worker.BootTime(), 0, &f)
	l.turn()
	l.queues[dataplane.ClassARP].Put(worker.BootTime(), 0, &packet.Frame{Data: masterAnswer})
	l.turn()
	if !r.process.snapshot.Load().Ports[0].IsWatched(packet.MAC{0, 0, 0x5e, 0, 1, 10}) {
		t.Fatal("the virtual MAC is not watched")
	}
	return r, l
}

// TestAnAnswerInTheQueueIsHeardBeforeTheDeadline: the loop was late, and the
// answer waits behind other ARP frames.
func TestAnAnswerInTheQueueIsHeardBeforeTheDeadline(t *testing.T) {
	_, l := following(t)
	f := floodedFrame("203.0.113.1")
	l.queues[dataplane.ClassFlooded].Put(worker.BootTime(), 0, &f)
	for range 3 { // the questions
		l.turn()
		time.Sleep(3 * time.Millisecond)
	}
	time.Sleep(4 * time.Millisecond) // the decision is due
	if !l.router.Asking() {
		t.Skip("the machine was too slow: VRRP's timers have decided")
	}
	for range 100 {
		l.queues[dataplane.ClassARP].Put(worker.BootTime(), 0, hostARP(10))
	}
	l.queues[dataplane.ClassARP].Put(worker.BootTime(), 0, &packet.Frame{Data: masterAnswer})
	l.turn()
	if c := l.router.VirtualRouters()[0].Counters; c["flood_takeovers"] > 0 || c["flood_answered"]+c["flood_expired"] != 1 {
		t.Errorf("%v", c)
	}
}

// TestWhatWasKeptGoesItsWay: to the next hop, and what is for the virtual
// address to the local stack.
func TestWhatWasKeptGoesItsWay(t *testing.T) {
	r, l := following(t)
	for _, dst := range []string{"203.0.113.9", "192.0.2.1"} {
		f := floodedFrame(dst)
		l.queues[dataplane.ClassFlooded].Put(worker.BootTime(), 0, &f)
	}
	local, _ := l.queues[dataplane.ClassLocal].Counts()
	await(t, "a takeover", func() bool {
		l.turn()
		return l.router.VirtualRouters()[0].Counters["flood_forwarded"] > 0 || l.router.VirtualRouters()[0].Counters["flood_expired"] > 0
	})
	if l.router.VirtualRouters()[0].Counters["flood_expired"] > 0 {
		t.Skip("the machine was too slow for it")
	}
	if now, _ := l.queues[dataplane.ClassLocal].Counts(); now != local+1 {
		t.Errorf("%d packets for the local stack, want 1", now-local)
	}
	asked := false
	for _, f := range r.ports[1].Sent() {
		p, reason := arp.Parse(f.Data[packet.EthernetLen:])
		asked = asked || reason == arp.OK && p.TargetIP == netip.MustParseAddr("203.0.113.9")
	}
	if !asked {
		t.Error("the neighbour of the packet in transit is not asked for")
	}
}

// TestAFloodedBackupHearsItsMaster: a switch floods a Backup as fast as this
// machine can, for a second. It hears its master's advertisements all the same,
// answers ARP, and keeps no more than it may.
func TestAFloodedBackupHearsItsMaster(t *testing.T) {
	r := newRig(t, onLAN).start()
	await(t, "the state is known", func() bool { return r.state() != "" })
	var over atomic.Bool
	var all sync.WaitGroup
	all.Go(func() { // the master: an advertisement each 20 ms, an answer each 2 ms
		for n := 0; !over.Load(); n++ {
			if n%10 == 0 {
				r.ports[0].Inject(0, advertFrame(200))
			}
			r.ports[0].Inject(0, packet.Frame{Data: append([]byte(nil), masterAnswer...)})
			time.Sleep(2 * time.Millisecond)
		}
	})
	await(t, "a watched virtual MAC", func() bool {
		s := r.process.snapshot.Load()
		return s != nil && s.Ports[0].IsWatched(packet.MAC{0, 0, 0x5e, 0, 1, 10})
	})
	transitions := r.virtual().Transitions
	all.Go(func() {
		for !over.Load() {
			if r.ports[0].Inject(0, floodedFrame("203.0.113.1")) == 0 {
				time.Sleep(50 * time.Microsecond) // the queue is full
			}
		}
	})
	time.Sleep(time.Second)
	over.Store(true)
	all.Wait()
	v := r.virtual()
	if n := v.Transitions - transitions; v.Counters["flood_received"] < 1000 || n > 4 {
		t.Errorf("%d transitions in a flood of %d", n, v.Counters["flood_received"])
	}
	c, err := r.client.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := c.Punts["flooded"]
	t.Logf("flooded %+v, vrrp %+v, longest turn %d us, %v", p, c.Punts["vrrp"], c.Control["longest_turn_us"], v.Counters)
	if limit := worker.DefaultLimits[dataplane.ClassFlooded]; p.Accepted > uint64(limit.BurstExtra+3*limit.PerSecond) || c.Punts["vrrp"].Dropped > 0 {
		t.Errorf("flooded %+v, vrrp %+v", p, c.Punts["vrrp"])
	}
}

// virtual returns what is shown of the one virtual router.
func (r *rig) virtual() control.VirtualRouter {
	r.t.Helper()
	list, err := r.client.VRRP(r.t.Context(), "")
	if err != nil || len(list) != 1 {
		r.t.Fatalf("%d virtual routers, %v", len(list), err)
	}
	return list[0]
}
