package worker

import (
	"net/netip"
	"sync/atomic"
	"testing"

	"vrouter/arp"
	"vrouter/dataplane"
	"vrouter/dataplane/fib"
	"vrouter/dataplane/port"
	"vrouter/dataplane/port/mem"
	"vrouter/packet"
)

// The world of the tests: lan with a host, wan with an upstream router and a
// small MTU, a worker between them.
const (
	lan = 0
	wan = 1
)

var (
	macLAN  = packet.MAC{2, 0, 0, 0, 0, 1}
	macWAN  = packet.MAC{2, 0, 0, 0, 0, 2}
	macHost = packet.MAC{2, 0, 0, 0, 1, 10}
	macISP  = packet.MAC{2, 0, 0, 0, 2, 1}
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

type world struct {
	ports    [2]*mem.Port
	snapshot atomic.Pointer[fib.Snapshot]
	queues   [dataplane.NumClasses]*Queue
	pending  *Queue
	wakes    atomic.Int64
}

// limits is wide enough for every test that is not about limits.
var limits = ClassLimit{Frames: 4096, PerSecond: 1 << 30, BurstExtra: 4096}

func newWorld() *world {
	w := &world{}
	w.ports[lan] = mem.New(mem.Config{Device: "lan", MAC: macLAN, Depth: 4096})
	w.ports[wan] = mem.New(mem.Config{Device: "wan", MAC: macWAN, MTU: 1000, Depth: 4 * 4096})
	for class := range w.queues {
		w.queues[class] = NewQueue(limits, func() { w.wakes.Add(1) })
	}
	w.pending = NewQueue(limits, func() { w.wakes.Add(1) })
	var routes *fib.Routes
	groups := []fib.Group{
		{Kind: fib.Connected, Port: lan},
		{Kind: fib.Local, Port: lan},
		{Kind: fib.Gateway, Hops: []fib.NextHop{{Port: wan, Via: ip("203.0.113.1"), MAC: macISP, Resolved: true}}},
	}
	for i, prefix := range []string{"192.0.2.0/24", "192.0.2.2/32", "0.0.0.0/0"} {
		routes = routes.With(fib.Change{Prefix: netip.MustParsePrefix(prefix), Group: fib.GroupID(i)})
	}
	var hosts *fib.Neighbors
	w.snapshot.Store(&fib.Snapshot{
		Routes: routes, Groups: groups,
		Ports: []fib.Port{
			{Name: "lan", Up: true, MAC: macLAN, MTU: 1500, Owns: true, Addr4: ip("192.0.2.2"), Neighbors: hosts.With(ip("192.0.2.10"), macHost)},
			{Name: "wan", Up: true, MAC: macWAN, MTU: 1000, Owns: true, Addr4: ip("203.0.113.2")},
		},
	})
	return w
}

// worker returns a worker on both ports.
func (w *world) worker(t testing.TB) *Worker {
	t.Helper()
	var inputs []Input
	var outputs []port.Transmitter
	for n, p := range w.ports {
		for _, r := range p.Receivers() {
			inputs = append(inputs, Input{uint16(n), r})
		}
		tx, err := p.NewTransmitter()
		if err != nil {
			t.Fatal(err)
		}
		outputs = append(outputs, tx)
	}
	worker, err := New(Config{
		Snapshot: &w.snapshot, Inputs: inputs, Outputs: outputs, Queues: &w.queues, Pending: w.pending,
	})
	if err != nil {
		t.Fatal(err)
	}
	return worker
}

// run starts a worker that the end of the test stops.
func (w *world) run(t testing.TB) *Worker {
	t.Helper()
	worker := w.worker(t)
	go worker.Run()
	t.Cleanup(worker.Stop)
	return worker
}

// datagram returns a UDP packet from the host to dst, with its number n as the
// payload's first byte and in the identification.
func datagram(dst string, ttl uint8, n, size int) packet.Frame {
	b := make([]byte, packet.EthernetLen+packet.IPv4Len+8+size)
	packet.PutEthernet(b, macLAN, macHost, packet.EtherTypeIPv4)
	h := packet.IPv4Header{ID: uint16(n), TTL: ttl, Protocol: 17, Src: ip("192.0.2.10"), Dst: ip(dst)}
	h.Put(b[packet.EthernetLen:], 8+size)
	udp := b[packet.EthernetLen+packet.IPv4Len:]
	udp[1], udp[3], udp[5] = 9, 9, byte(8+size)
	udp[4] = byte((8 + size) >> 8)
	return packet.Frame{Data: b}
}

// number returns the identification of an IPv4 packet.
func number(f packet.Frame) int {
	p, _ := packet.ParseIPv4(f.Data[packet.EthernetLen:])
	return int(p.ID())
}

func arpRequest() packet.Frame {
	return packet.Frame{Data: arp.Request(macHost, ip("192.0.2.10"), ip("192.0.2.2"))}
}

// advertisement returns something that is VRRP as far as the fast path looks.
func advertisement() packet.Frame {
	b := make([]byte, packet.EthernetLen+packet.IPv4Len+12)
	packet.PutEthernet(b, packet.MulticastMAC(ip("224.0.0.18")), macHost, packet.EtherTypeIPv4)
	h := packet.IPv4Header{TTL: 255, Protocol: packet.ProtoVRRP, Src: ip("192.0.2.3"), Dst: ip("224.0.0.18")}
	h.Put(b[packet.EthernetLen:], 12)
	return packet.Frame{Data: b}
}
