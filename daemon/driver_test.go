package daemon

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vrouter/arp"
	"vrouter/control"
	"vrouter/dataplane"
	"vrouter/dataplane/worker"
	"vrouter/neigh"
	"vrouter/packet"
	"vrouter/router"
)

// datagram returns a UDP packet to dst in a frame for the LAN port.
func datagram(src, dst string, ttl uint8) packet.Frame {
	b := make([]byte, packet.EthernetLen+packet.IPv4Len+8)
	packet.PutEthernet(b, packet.MAC{2, 0, 0, 0, 1, 0}, packet.MAC{2, 0, 0, 0, 0, 10}, packet.EtherTypeIPv4)
	h := packet.IPv4Header{TTL: ttl, Protocol: 17, Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst)}
	h.Put(b[packet.EthernetLen:], 8)
	copy(b[packet.EthernetLen+packet.IPv4Len:], []byte{0, 9, 0, 9, 0, 8, 0, 0})
	return packet.Frame{Data: b}
}

// TestResolveAndForward walks a packet through punt, resolution and the second
// decision: transit and our own.
func TestResolveAndForward(t *testing.T) {
	r := started(t, onLAN)
	l := r.process.loop
	transit := datagram("203.0.113.9", "192.0.2.77", 64)
	copy(transit.Data, []byte{2, 0, 0, 0, 1, 1}) // comes in by wan
	l.queues[dataplane.ClassResolve].Put(worker.BootTime(), 1, &transit)
	own := datagram("192.0.2.2", "192.0.2.77", 64)
	l.pending.Put(worker.BootTime(), 0, &own)
	r.ports[0].Sent()
	l.turn()
	asked := 0
	for _, f := range r.ports[0].Sent() {
		if p, reason := arp.Parse(f.Data[packet.EthernetLen:]); reason == arp.OK && p.TargetIP == netip.MustParseAddr("192.0.2.77") {
			asked++
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	mac := packet.MAC{2, 0, 0, 0, 0, 77}
	reply := packet.Frame{Data: arp.Reply(mac, netip.MustParseAddr("192.0.2.77"), packet.MAC{2, 0, 0, 0, 1, 0}, netip.MustParseAddr("192.0.2.2"))}
	l.queues[dataplane.ClassARP].Put(worker.BootTime(), 0, &reply)
	l.turn()
	var ttls []uint8
	for _, f := range r.ports[0].Sent() {
		if p, ok := packet.ParseIPv4(f.Data[packet.EthernetLen:]); ok && packet.Ethernet(f.Data).Dst() == mac {
			ttls = append(ttls, p.TTL())
		}
	}
	if fmt.Sprint(ttls) != "[63 64]" {
		t.Errorf("sent with TTLs %v, want transit 63 and our own 64", ttls)
	}
}

// TestSettle: each verdict on a packet outside of the workers goes its way.
func TestSettle(t *testing.T) {
	r := started(t, onLAN)
	l := r.process.loop
	s := l.driver.sender
	l.driver.begin()
	own := datagram("192.0.2.2", "192.0.2.50", 64)
	s.output(0, &own)
	if l.pending.Len() != 1 {
		t.Errorf("%d packets of our own wait for a neighbour", l.pending.Len())
	}
	transit := datagram("203.0.113.9", "192.0.2.51", 64)
	s.settle(1, &transit, dataplane.Verdict{Action: dataplane.Punt, Cause: dataplane.Cause{Class: dataplane.ClassResolve}}, false)
	if l.queues[dataplane.ClassResolve].Len() != 1 {
		t.Error("transit without a neighbour does not wait")
	}
	s.settle(1, &transit, dataplane.Verdict{Action: dataplane.Punt, Cause: dataplane.Cause{Class: dataplane.ClassLocal}}, false)
	if l.queues[dataplane.ClassLocal].Len() != 0 {
		t.Error("punted twice: a loop")
	}
	r.ports[0].Sent()
	multicast := datagram("192.0.2.2", "224.0.0.1", 1)
	s.output(0, &multicast)
	sent := r.ports[0].Sent()
	if len(sent) != 1 || packet.Ethernet(sent[0].Data).Dst() != packet.MulticastMAC(netip.MustParseAddr("224.0.0.1")) {
		t.Errorf("multicast was sent as %d frames", len(sent))
	}
	s.output(0, &packet.Frame{Data: make([]byte, 10)}) // no packet at all
}

// TestCarryOutKeepsTheOrder: frames of one port leave together where nothing
// stands between them, and always in their order.
func TestCarryOutKeepsTheOrder(t *testing.T) {
	r := started(t, onLAN)
	d := r.process.loop.driver
	var actions []router.Action
	add := func(port uint16, n byte) {
		actions = append(actions, router.Transmit{Port: port, Frame: append(make([]byte, 59), n)})
	}
	for n := range byte(100) {
		add(0, n)
	}
	add(1, 0)
	add(0, 100)
	actions = append(actions, router.Forward{Packet: neigh.Waiting{Frame: make([]byte, 20)}})
	add(0, 101)
	add(1, 1)
	actions = append(actions, router.Notice{Event: router.Event{Kind: "vrrp"}})
	add(1, 2)
	for _, p := range r.ports {
		p.Sent()
	}
	d.carryOut(actions)
	for port, want := range map[int]int{0: 102, 1: 3} {
		// The local stack's own reports of its groups come when they come.
		sent := slices.DeleteFunc(r.ports[port].Sent(), func(f packet.Frame) bool { return len(f.Data) != 60 })
		if len(sent) != want {
			t.Errorf("port %d: %d frames, want %d", port, len(sent), want)
		}
		for n, f := range sent {
			if int(f.Data[59]) != n {
				t.Fatalf("port %d: frame %d is number %d", port, n, f.Data[59])
			}
		}
	}
}

// TestUnreachableIsTold: who sent a packet to a neighbour that does not answer
// hears of it.
func TestUnreachableIsTold(t *testing.T) {
	r := started(t, onLAN)
	l := r.process.loop
	asker := packet.Frame{Data: arp.Request(packet.MAC{2, 0, 0, 0, 0, 9},
		netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("203.0.113.2"))}
	l.queues[dataplane.ClassARP].Put(worker.BootTime(), 1, &asker)
	transit := datagram("203.0.113.9", "192.0.2.66", 64)
	copy(transit.Data, []byte{2, 0, 0, 0, 1, 1})
	l.queues[dataplane.ClassResolve].Put(worker.BootTime(), 1, &transit)
	await(t, "an ICMP error", func() bool {
		l.turn()
		for _, f := range r.ports[1].Sent() {
			if p, ok := packet.ParseIPv4(f.Data[packet.EthernetLen:]); ok && p.Protocol() == 1 {
				return p.Dst() == netip.MustParseAddr("203.0.113.9") && p.Payload()[0] == 3 && p.Payload()[1] == 1
			}
		}
		return false
	})
}

// TestMembershipReachesThePort: virtual MACs where virtual routers are, groups
// everywhere.
func TestMembershipReachesThePort(t *testing.T) {
	r := started(t, onLAN)
	if macs := r.ports[0].MACs(); len(macs) != 1 || macs[0] != (packet.MAC{0, 0, 0x5e, 0, 1, 10}) {
		t.Errorf("lan receives %v", macs)
	}
	if len(r.ports[1].MACs()) != 0 || len(r.ports[1].Groups()) == 0 {
		t.Errorf("wan receives %v, groups %v", r.ports[1].MACs(), r.ports[1].Groups())
	}
}

// stuck is a log that nobody reads.
type stuck struct{ release chan struct{} }

func (s stuck) Write(p []byte) (int, error) { <-s.release; return len(p), nil }

// TestNoticesNeverWait: events are kept and counted though the log blocks, and
// the end does not wait for it either.
func TestNoticesNeverWait(t *testing.T) {
	log := stuck{make(chan struct{})}
	events := control.NewEventLog(10_000)
	n := newNotices(slog.New(slog.NewTextHandler(log, nil)), events)
	began := time.Now()
	for i := range 3000 {
		n.add(router.Event{Kind: "vrrp", Name: fmt.Sprint(i)})
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("adding took %v", took)
	}
	if lost := n.lost.Load(); lost < 3000-noticesWaiting-1 || lost > 3000-noticesWaiting {
		t.Errorf("%d not logged", lost)
	}
	if list, _ := events.Since(0); len(list) != 3000 || list[2999].Name != "2999" {
		t.Errorf("%d events kept", len(list))
	}
	n.close()
	if took := time.Since(began); took > closeWait+2*time.Second {
		t.Errorf("closing took %v", took)
	}
	close(log.release)
	<-n.done
}

func TestNoticesAreLogged(t *testing.T) {
	log := &syncBuffer{}
	n := newNotices(slog.New(slog.NewTextHandler(log, nil)), control.NewEventLog(10))
	n.add(router.Event{Kind: "vrrp", Name: "gw", From: "Backup", To: "Master", Reason: "no master heard"})
	n.add(router.Event{Kind: "duplicate_address", Name: "192.0.2.2"})
	n.add(router.Event{Kind: "interface", Name: "lan", To: "down"})
	n.close()
	for _, want := range []string{
		`level=INFO msg=vrrp name=gw from=Backup to=Master reason="no master heard"`,
		`level=ERROR msg=duplicate_address`, `level=WARN msg=interface`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in\n%s", want, log)
		}
	}
}
