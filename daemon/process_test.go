package daemon

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"vrouter/arp"
	"vrouter/control"
	"vrouter/dataplane/port/mem"
	"vrouter/dataplane/worker"
	"vrouter/packet"
)

// TestOrderlyStopTakesTheDrain: a Master says priority 0, forwards on for its
// drain, and ends.
func TestOrderlyStopTakesTheDrain(t *testing.T) {
	r := newRig(t, onLAN).start()
	await(t, "Master", func() bool { return r.state() == "Master" })
	r.ports[0].Sent()
	took := r.stop()
	if took < 300*time.Millisecond || took > 1500*time.Millisecond {
		t.Errorf("stopped in %v, the drain is 300 ms", took)
	}
	zero := false
	for _, f := range r.ports[0].Sent() {
		p, ok := packet.ParseIPv4(f.Data[packet.EthernetLen:])
		if ok && p.Protocol() == packet.ProtoVRRP {
			zero = p.Payload()[2] == 0
		}
	}
	if !zero {
		t.Error("the last advertisement was not one of priority 0")
	}
	for _, want := range []string{"msg=running", "to=Master", "from=draining", "msg=stopped"} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, r.log)
		}
	}
}

// TestStopAtOnce: a router that is not Master has nothing to hand over, also
// when the end comes before it has begun.
func TestStopAtOnce(t *testing.T) {
	for _, wait := range []time.Duration{0, 50 * time.Millisecond} {
		r := newRig(t, onLAN).start()
		time.Sleep(wait)
		if took := r.stop(); took > time.Second {
			t.Errorf("after %v: stopped in %v", wait, took)
		}
	}
}

// TestTwoRouters: two processes on one cable elect a Master; a switchover and
// a stop hand over.
func TestTwoRouters(t *testing.T) {
	a := newRig(t, strings.Replace(onLAN, "vrid = 10", "vrid = 10\npriority = 200", 1))
	b := newRig(t, strings.Replace(onLAN, "192.0.2.2/24", "192.0.2.3/24", 1))
	b.ports[0].SetMAC(packet.MAC{2, 0, 0, 0, 2, 0})
	mem.Connect(a.ports[0], b.ports[0])
	a.start()
	b.start()
	await(t, "a Master, b Backup", func() bool { return a.state() == "Master" && b.state() == "Backup" })
	if err := a.client.Switchover(t.Context(), "gw"); err != nil {
		t.Fatal(err)
	}
	await(t, "b Master after a switchover", func() bool { return a.state() == "Backup" && b.state() == "Master" })
	if err := a.client.Switchover(t.Context(), "gw"); err == nil || !strings.Contains(err.Error(), "not Master") {
		t.Errorf("a switchover of a Backup: %v", err)
	}
	if took := b.stop(); took > 290*time.Millisecond {
		t.Errorf("b stopped in %v: it did not hear of its successor", took)
	}
	await(t, "a Master after b has stopped", func() bool { return a.state() == "Master" })
}

// TestBackend looks at every topic of the control API.
func TestBackend(t *testing.T) {
	r := newRig(t, onLAN).start()
	await(t, "Master", func() bool { return r.state() == "Master" })
	ctx := t.Context()
	host := packet.MAC{2, 0, 0, 0, 0, 10}
	r.ports[0].Inject(0, *hostARP(10), packet.Frame{Data: arp.Request(host, netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("192.0.2.1"))})
	await(t, "a neighbour", func() bool {
		list, err := r.client.Neighbors(ctx)
		return err == nil && len(list) == 2 && list[0].Address == netip.MustParseAddr("192.0.2.10") && list[0].MAC == host
	})
	interfaces, err := r.client.Interfaces(ctx)
	if err != nil || len(interfaces) != 2 {
		t.Fatalf("%d interfaces, %v", len(interfaces), err)
	}
	lan := interfaces[0]
	if lan.RX.Packets != 2 || lan.RX.Bytes != 2*42 && lan.RX.Bytes != 2*60 || lan.TX.Packets < 3 || !lan.Up || lan.MTU != 1500 {
		t.Errorf("lan is %+v", lan)
	}
	routes, err := r.client.Routes(ctx)
	if err != nil || len(routes) == 0 || routes[0].Prefix.String() != "0.0.0.0/0" {
		t.Errorf("routes %v, %v", routes, err)
	}
	c, err := r.client.Counters(ctx)
	if err != nil || c.Punts["arp"].Accepted != 2 || len(c.Workers) == 0 || c.Timers["control_loop_late"].MaxUS < 0 ||
		len(c.Drops) == 0 || len(c.ICMP) == 0 || c.Control["longest_turn_us"] == 0 {
		t.Errorf("counters %+v, %v", c, err)
	}
	events, err := r.client.Events(ctx, 0)
	if err != nil || len(events) < 4 || events[0].Sequence != 1 {
		t.Errorf("events %v, %v", events, err)
	}
	if err := r.client.Switchover(ctx, "nobody"); err == nil {
		t.Error("a switchover of nobody")
	}
}

// TestPing: a neighbour that answers, one that does not, and the router itself.
func TestPing(t *testing.T) {
	r := newRig(t, onLAN)
	other := newRig(t, strings.NewReplacer("192.0.2.2/24", "192.0.2.3/24", "203.0.113.2/24", "198.51.100.2/24",
		"203.0.113.1", "198.51.100.1").Replace(onLAN))
	other.ports[0].SetMAC(packet.MAC{2, 0, 0, 0, 2, 0})
	mem.Connect(r.ports[0], other.ports[0])
	r.start()
	other.start()
	ping := func(address string) (last control.PingReply) {
		t.Helper()
		request := control.PingRequest{Address: netip.MustParseAddr(address), Count: 2, IntervalMS: 20, TimeoutMS: 2000, Size: 56}
		n := 0
		err := r.client.Ping(t.Context(), request, func(p control.PingReply) error { last = p; n++; return nil })
		if err != nil || n != 2 || last.Sequence != 2 {
			t.Fatalf("ping %s: %d replies, %v", address, n, err)
		}
		return last
	}
	for _, one := range []*rig{r, other} {
		await(t, "links up", func() bool {
			list, err := one.client.Interfaces(t.Context())
			return err == nil && list[0].Up
		})
	}
	if p := ping("192.0.2.3"); p.Error != "" || p.From != netip.MustParseAddr("192.0.2.3") || p.Size != 64 {
		t.Errorf("ping of the neighbour: %+v", p)
	}
	if p := ping("192.0.2.99"); p.Error == "" {
		t.Errorf("ping of nobody: %+v", p)
	}
	if p := ping("192.0.2.2"); p.Error != "" {
		t.Errorf("ping of ourselves: %+v", p)
	}
}

// TestLinkGoesAndComesBack: the router follows its ports.
func TestLinkGoesAndComesBack(t *testing.T) {
	r := newRig(t, onLAN).start()
	await(t, "Master", func() bool { return r.state() == "Master" })
	r.ports[0].SetUp(false)
	await(t, "Initialize", func() bool { return r.state() == "Initialize" })
	list, err := r.client.Interfaces(t.Context())
	if err != nil || list[0].Up || list[0].Problem == "" {
		t.Errorf("a link that is down: %+v %v", list, err)
	}
	r.ports[0].SetPresent(false)
	r.ports[0].SetPresent(true)
	r.ports[0].SetUp(true)
	await(t, "Master again", func() bool { return r.state() == "Master" })
	r.ports[0].SetMTU(1400)
	await(t, "the new MTU", func() bool {
		list, err := r.client.Interfaces(t.Context())
		return err == nil && list[0].MTU == 1400
	})
	if r.state() != "Master" {
		t.Error("another MTU has cost mastership")
	}
}

// TestLeaseIsKept: while the loop runs, the lease of a Master never runs out.
func TestLeaseIsKept(t *testing.T) {
	r := newRig(t, onLAN).start()
	await(t, "Master", func() bool { return r.state() == "Master" })
	lease := r.process.loop.router.Lease()
	for range 300 {
		if !lease.Valid(worker.BootTime()) {
			t.Fatal("the lease has run out")
		}
		time.Sleep(time.Millisecond)
	}
	// A loop that stands still loses it, and listens first when it goes on.
	block := make(chan struct{})
	r.process.loop.post(func(time.Time) { <-block })
	time.Sleep(400 * time.Millisecond)
	if lease.Valid(worker.BootTime()) {
		t.Error("the lease is valid though the loop stands still")
	}
	close(block)
	await(t, "Backup, then Master", func() bool {
		return strings.Contains(r.log.String(), "from=Master to=Backup") && r.state() == "Master"
	})
}

// TestSecondProcessOnTheSocket: it must not touch a port.
func TestSecondProcessOnTheSocket(t *testing.T) {
	r := newRig(t, onLAN)
	d, err := open(r.process.cfg, silent(), nil)
	if err == nil {
		d.close()
		t.Fatal("two processes on one socket")
	}
	if !strings.Contains(err.Error(), "socket") && !strings.Contains(err.Error(), "another") {
		t.Errorf("error %v", err)
	}
}
