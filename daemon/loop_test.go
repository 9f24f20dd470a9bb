package daemon

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vrouter/arp"
	"vrouter/dataplane"
	"vrouter/dataplane/worker"
	"vrouter/packet"
	"vrouter/vrrp"
)

// advertFrame returns an advertisement of another router for VRID 10.
func advertFrame(priority uint8) packet.Frame {
	src, dst := netip.MustParseAddr("192.0.2.3"), vrrp.GroupIPv4
	adv := vrrp.Advertisement{
		Version: 3, VRID: 10, Priority: priority, Interval: 100 * time.Millisecond,
		Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
	}
	b := make([]byte, packet.EthernetLen+packet.IPv4Len, 100)
	packet.PutEthernet(b, packet.MulticastMAC(dst), vrrp.VirtualMAC(10, false), packet.EtherTypeIPv4)
	b = adv.Append(b, src, dst, false)
	h := packet.IPv4Header{TTL: 255, Protocol: packet.ProtoVRRP, Src: src, Dst: dst}
	h.Put(b[packet.EthernetLen:], len(b)-packet.EthernetLen-packet.IPv4Len)
	return packet.Frame{Data: b}
}

func hostARP(n byte) *packet.Frame {
	return &packet.Frame{Data: arp.Request(packet.MAC{2, 0, 0, 0, 0, n},
		netip.AddrFrom4([4]byte{192, 0, 2, n}), netip.MustParseAddr("192.0.2.2"))}
}

// TestVRRPComesBeforeAnARPFlood: one turn takes all of VRRP and a bounded part
// of the rest.
func TestVRRPComesBeforeAnARPFlood(t *testing.T) {
	r := started(t, onLAN)
	l := r.process.loop
	for range 400 {
		l.queues[dataplane.ClassARP].Put(worker.BootTime(), 0, hostARP(10))
	}
	for range 100 {
		f := advertFrame(200)
		l.queues[dataplane.ClassVRRP].Put(worker.BootTime(), 0, &f)
	}
	l.turn()
	if n := l.queues[dataplane.ClassVRRP].Len(); n != 0 {
		t.Errorf("%d advertisements wait after a turn", n)
	}
	if n := l.queues[dataplane.ClassARP].Len(); n != 400-turnControl {
		t.Errorf("%d ARP frames wait after a turn, want %d", n, 400-turnControl)
	}
	if !l.busy() {
		t.Error("the loop would sleep though frames wait")
	}
	if got := l.router.VirtualRouters()[0].Master.Priority; got != 200 {
		t.Errorf("master's priority %d: the advertisements were not taken", got)
	}
	for l.busy() {
		l.turn()
	}
	if n := len(r.ports[0].Sent()); n < 400 {
		t.Errorf("%d frames sent: not every request was answered", n)
	}
}

// TestAdvertisementsAreOnTimeDuringAFlood floods a Master with ARP requests
// through its worker, and looks at the gaps between its advertisements.
func TestAdvertisementsAreOnTimeDuringAFlood(t *testing.T) {
	r := newRig(t, onLAN).start()
	await(t, "Master", func() bool { return r.state() == "Master" })
	var over atomic.Bool
	var flood sync.WaitGroup
	flood.Go(func() {
		for !over.Load() {
			if r.ports[0].Inject(0, *hostARP(10)) == 0 {
				time.Sleep(50 * time.Microsecond) // the queue is full
			}
		}
	})
	var last time.Time
	worst, adverts := time.Duration(0), 0
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for _, f := range r.ports[0].Sent() {
			if f.Data[23] != packet.ProtoVRRP || packet.Ethernet(f.Data).Type() != packet.EtherTypeIPv4 {
				continue
			}
			now := time.Now()
			if adverts++; !last.IsZero() {
				worst = max(worst, now.Sub(last))
			}
			last = now
		}
	}
	over.Store(true)
	flood.Wait()
	if adverts < 8 || worst > 290*time.Millisecond {
		t.Errorf("%d advertisements in 1.5 s, worst gap %v: a backup would have taken over", adverts, worst)
	}
	c, err := r.client.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p := c.Punts["arp"]; p.Dropped == 0 || p.Accepted == 0 {
		t.Errorf("ARP punts %+v: the flood was none", p)
	}
}

// TestNoWakeUpIsLost: each call into an idle loop is answered at once, and not
// only when its next deadline comes.
func TestNoWakeUpIsLost(t *testing.T) {
	r := newRig(t, onLAN)
	for _, p := range r.ports {
		p.SetUp(false) // nothing to do: the loop sleeps for a second at a time
	}
	r.start()
	began := time.Now()
	var group sync.WaitGroup
	var ran atomic.Int64
	for range 4 {
		group.Go(func() {
			for range 1000 {
				if err := r.process.loop.call(t.Context(), func(time.Time) { ran.Add(1) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if took := time.Since(began); ran.Load() != 4000 || took > 4*time.Second {
		t.Errorf("%d calls in %v", ran.Load(), took)
	}
}

// TestCallEnds: a call ends with its context, and with the loop.
func TestCallEnds(t *testing.T) {
	r := newRig(t, onLAN).start()
	l := r.process.loop
	block := make(chan struct{})
	l.post(func(time.Time) { <-block })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := l.call(ctx, func(time.Time) {}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("call on a loop that is busy: %v", err)
	}
	close(block)
	r.stop()
	if err := l.call(t.Context(), func(time.Time) {}); !errors.Is(err, errStopped) {
		t.Errorf("call on a loop that has ended: %v", err)
	}
	for range 200 {
		l.post(func(time.Time) {}) // more than the queue holds: must not block
	}
}

// TestWaitEndsWithTheDeadline: the loop sleeps until the router wants a turn,
// or somebody wakes it.
func TestWaitEndsWithTheDeadline(t *testing.T) {
	r := started(t, onLAN)
	l := r.process.loop
	for l.busy() {
		l.turn()
	}
	l.turn()
	now, _ := l.clock.now()
	due := l.router.Deadline()
	l.wait() // a wake-up of before may end the first one
	l.wait()
	if after, _ := l.clock.now(); after.Before(due) || due.Before(now) {
		t.Errorf("woke %v before the deadline", due.Sub(after))
	}
	began := time.Now()
	l.turn()
	l.signal()
	l.wait()
	if took := time.Since(began); took > 500*time.Millisecond {
		t.Errorf("a wake-up took %v", took)
	}
}

func TestLateness(t *testing.T) {
	var h histogram
	for _, d := range []time.Duration{0, 50 * time.Microsecond, 51 * time.Microsecond, 99 * time.Millisecond, time.Second} {
		h.observe(d)
	}
	s := h.status()
	want := map[int]uint64{0: 2, 1: 1, 10: 1, 11: 1}
	for i, n := range s.Counts {
		if n != want[i] {
			t.Errorf("bucket %d has %d, want %d", i, n, want[i])
		}
	}
	if len(s.Counts) != len(s.UpToUS)+1 || s.MaxUS != 1_000_000 {
		t.Errorf("%d counts, %d bounds, max %d", len(s.Counts), len(s.UpToUS), s.MaxUS)
	}
}

// TestClock: it does not go back, and agrees with the wall clock it began with.
func TestClock(t *testing.T) {
	c := newClock()
	last, boot := c.now()
	if d := time.Since(last); d < -time.Second || d > time.Second {
		t.Errorf("%v off the wall clock", d)
	}
	if !c.at(boot + 5e9).Equal(last.Add(5 * time.Second)) {
		t.Error("at is not linear")
	}
	for range 1000 {
		now, _ := c.now()
		if now.Before(last) {
			t.Fatal("the clock went back")
		}
		last = now
	}
}
