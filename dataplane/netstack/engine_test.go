package netstack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// network is a snapshot in the making.
type network struct {
	ports  []fib.Port
	routes map[string]fib.Group
}

func (n network) snapshot() *fib.Snapshot {
	s := &fib.Snapshot{Ports: n.ports}
	var changes []fib.Change
	for prefix, g := range n.routes {
		changes = append(changes, fib.Change{Prefix: netip.MustParsePrefix(prefix), Group: fib.GroupID(len(s.Groups))})
		s.Groups = append(s.Groups, g)
	}
	s.Routes = s.Routes.With(changes...)
	return s
}

// testNetwork has three ports with MTUs 1500, 1400 and 600; number 2 is free.
func testNetwork() network {
	return network{
		ports: []fib.Port{
			{Name: "lan", Up: true, MTU: 1500, Addr4: addr("192.0.2.1"), Addr6: addr("2001:db8:1::1")},
			{Name: "wan", Up: true, MTU: 1400, Addr4: addr("203.0.113.1"), Addr6: addr("2001:db8:2::1")},
			{},
			{Name: "slow", Up: true, MTU: 600, Addr4: addr("198.51.100.1"), Addr6: addr("2001:db8:3::1")},
		},
		routes: map[string]fib.Group{
			"192.0.2.0/24":       {Kind: fib.Connected, Port: 0},
			"192.0.2.255/32":     {Kind: fib.Broadcast, Port: 0},
			"203.0.113.0/25":     {Kind: fib.Connected, Port: 1},
			"198.51.100.0/25":    {Kind: fib.Connected, Port: 3},
			"198.51.100.128/25":  gateway(1, "203.0.113.9"),
			"198.51.100.192/26":  gateway(0, "192.0.2.9"),
			"198.51.100.200/32":  {Kind: fib.Blackhole},
			"198.51.100.201/32":  {Kind: fib.Unreachable},
			"2001:db8:1::/64":    {Kind: fib.Connected, Port: 0},
			"2001:db8:2::/64":    {Kind: fib.Connected, Port: 1},
			"2001:db8:3::/64":    {Kind: fib.Connected, Port: 3},
			"2001:db8:8000::/33": gateway(1, "fe80::9%wan"),
			"2001:db8:8100::/40": gateway(0, "2001:db8:1::9"),
			"2001:db8:8200::/40": {Kind: fib.Blackhole},
		},
	}
}

func gateway(port uint16, via string) fib.Group {
	return fib.Group{Kind: fib.Gateway, Hops: []fib.NextHop{{Port: port, Via: addr(via)}}}
}

func newEngine(t *testing.T, emit Emit) *Engine {
	t.Helper()
	e, err := NewEngine(Config{ErrorsPerSecond: -1}, emit)
	must(t, err)
	t.Cleanup(e.Close)
	return e
}

func testEngine(t *testing.T) *Engine {
	t.Helper()
	e := newEngine(t, func(uint16, []byte) {})
	must(t, e.Publish(testNetwork().snapshot()))
	return e
}

// oracle is the longest-prefix match, slow and obvious.
func (n network) oracle(dst netip.Addr) (fib.Group, bool) {
	bits := -1
	var found fib.Group
	for s, g := range n.routes {
		if p := netip.MustParsePrefix(s); p.Contains(dst) && p.Bits() > bits {
			found, bits = g, p.Bits()
		}
	}
	return found, bits >= 0
}

func TestEngineForwardsRandomPacketsByTheRoutes(t *testing.T) {
	e, n := testEngine(t), testNetwork()
	rng := rand.New(rand.NewPCG(1, 2))
	kinds := map[string]int{}
	for i := range 2000 {
		src, dst := "192.0.2.77", fmt.Sprintf("198.51.100.%d", 2+rng.IntN(253))
		if i%2 == 1 {
			src, dst = "2001:db8:1::77", fmt.Sprintf("2001:db8:%x::%x", rng.IntN(8)*0x2000+rng.IntN(4)*0x100+rng.IntN(2)*rng.IntN(4), 2+rng.IntN(0xfff0))
		}
		ttl := uint8(2 + rng.IntN(254))
		payload := make([]byte, rng.IntN(500))
		for j := range payload {
			payload[j] = byte(rng.Uint32())
		}
		b := datagram(src, dst, ttl, payload)
		if i%7 == 0 { // a wrong checksum is the receiver's to find
			put(b[len(b)-len(payload)-2:], uint16(rng.Uint32()))
		}
		g, routed := n.oracle(addr(dst))
		want := g.Kind
		if addr(dst).Is6() && routed && g.Kind == fib.Connected && g.Port == 3 {
			want = fib.Blackhole // MTU 600 is too small for IPv6
		}
		out := e.ForwardOne(0, b)
		kinds[fmt.Sprint(want, routed, addr(dst).Is4())]++
		if !routed {
			expectError(t, out, 0, netUnreachable(addr(src)), b)
			continue
		}
		if want != fib.Connected && want != fib.Gateway {
			if len(out) != 0 {
				t.Fatalf("%s: %d packets, want none", dst, len(out))
			}
			continue
		}
		port, via := g.Port, addr(dst)
		if want == fib.Gateway {
			port, via = g.Hops[0].Port, g.Hops[0].Via.WithZone("")
		}
		if len(out) != 1 || out[0].Port != port || out[0].Via != via {
			t.Fatalf("%s: %+v, want one packet on port %d via %s", dst, out, port, via)
		}
		expectForwarded(t, out[0].Data[Headroom:], b)
	}
	if len(kinds) != 8 { // four of each family
		t.Errorf("these kinds of routes were met: %v", kinds)
	}
}

// expectForwarded compares what came out with what went in: TTL and header
// checksum differ, nothing else.
func expectForwarded(t *testing.T, got, sent []byte) {
	t.Helper()
	p, want := parse(t, got), slices.Clone(sent)
	if addr := p.src; addr.Is4() {
		want[8]--
		want[10], want[11] = 0, 0
		put(want[10:], packet.Checksum(packet.Sum(0, want[:20])))
	} else {
		want[7]--
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("forwarded\n%x, want\n%x", got, want)
	}
}

func netUnreachable(a netip.Addr) [2]byte {
	if a.Is4() {
		return [2]byte{packet.ICMPUnreachable, packet.ICMPCodeNet}
	}
	return [2]byte{packet.ICMPv6Unreachable, packet.ICMPv6CodeNoRoute}
}

// expectError wants one ICMP error of a kind about b on a port, and returns
// its message.
func expectError(t *testing.T, out []Packet, port uint16, kind [2]byte, b []byte) []byte {
	t.Helper()
	if len(out) != 1 || out[0].Port != port {
		t.Fatalf("%d packets, want an ICMP error on port %d: %+v", len(out), port, out)
	}
	got, about := parse(t, out[0].Data[Headroom:]), parse(t, b)
	m := icmpOf(t, out[0].Data[Headroom:])
	n := testNetwork()
	if m == nil || [2]byte(m) != kind || got.dst != about.src ||
		got.src != n.ports[port].Addr4 && got.src != n.ports[port].Addr6 {
		t.Fatalf("from %s to %s: ICMP %x, want %v to %s from an address of port %d", got.src, got.dst, m, kind, about.src, port)
	}
	quote := m[8:]
	if got.src.Is4() { // the quoted TTL and header checksum may differ, see expireTTL
		quote, b = quote[12:], b[12:]
	}
	if !bytes.HasPrefix(b, quote[:min(len(quote), len(b))]) || len(quote) < min(len(b), 500) {
		t.Fatalf("quotes\n%x of\n%x", quote, b)
	}
	return m
}

func TestEngineAnswersAnExpiredTTL(t *testing.T) {
	e := testEngine(t)
	for _, ttl := range []uint8{0, 1} {
		b := datagram("192.0.2.77", "198.51.100.130", ttl, []byte("hello"))
		m := expectError(t, e.ForwardOne(0, b), 0, [2]byte{packet.ICMPTimeExceeded, 0}, b)
		if h := packet.IPv4(m[8:]); !h.HeaderOK() || h.TTL() != 0 {
			t.Errorf("TTL %d: quoted header with TTL %d, checksum right: %v", ttl, h.TTL(), h.HeaderOK())
		}
		b = datagram("2001:db8:1::77", "2001:db8:8000::1", ttl, []byte("hello"))
		expectError(t, e.ForwardOne(0, b), 0, [2]byte{packet.ICMPv6TimeExceeded, 0}, b)
	}
	if n := e.Stats().TTLExpired; n != 4 {
		t.Errorf("%d counted, want 4", n)
	}
	// Never about an ICMP error (RFC 1812 4.3.2.7).
	about := append([]byte{packet.ICMPTimeExceeded, 0, 0, 0, 0, 0, 0, 0}, datagram("198.51.100.130", "192.0.2.77", 1, nil)...)
	put(about[2:], packet.Checksum(packet.Sum(0, about)))
	if out := e.ForwardOne(0, ip("192.0.2.77", "198.51.100.130", 1, packet.ProtoICMP, about)); len(out) != 0 {
		t.Errorf("an ICMP error was answered: %+v", out)
	}
}

func TestEngineFragmentsOrReportsTheMTU(t *testing.T) {
	e := testEngine(t)
	payload := bytes.Repeat([]byte("0123456789abcdef"), 200)
	b := datagram("192.0.2.77", "198.51.100.130", 64, payload)
	var whole []byte
	for _, p := range e.ForwardOne(0, b) {
		h, ok := packet.ParseIPv4(p.Data[Headroom:])
		if !ok || !h.HeaderOK() || len(h) > 1400 || h.TTL() != 63 || h.ID() != 0x1234 || h.FragmentOffset() != len(whole) {
			t.Fatalf("fragment %x", p.Data)
		}
		whole = append(whole, h.Payload()...)
	}
	if !bytes.Equal(whole, b[packet.IPv4Len:]) {
		t.Fatalf("%d bytes in fragments, want %d", len(whole), len(b)-packet.IPv4Len)
	}

	b[6] |= 0x40 // DF
	put(b[10:], packet.UpdateChecksum(binary.BigEndian.Uint16(b[10:]), 0, 0x4000))
	m := expectError(t, e.ForwardOne(0, b), 0, [2]byte{packet.ICMPUnreachable, packet.ICMPCodeFragNeeded}, b)
	if mtu := binary.BigEndian.Uint16(m[6:]); mtu != 1400 {
		t.Errorf("next-hop MTU %d, want 1400 (RFC 1191 4)", mtu)
	}
	b = datagram("2001:db8:1::77", "2001:db8:8000::1", 64, payload)
	m = expectError(t, e.ForwardOne(0, b), 0, [2]byte{packet.ICMPv6TooBig, 0}, b)
	if mtu := binary.BigEndian.Uint32(m[4:]); mtu != 1400 {
		t.Errorf("MTU %d, want 1400 (RFC 4443 3.2)", mtu)
	}
}

func TestEngineCutsAFragmentAgain(t *testing.T) {
	e := testEngine(t)
	for _, more := range []bool{false, true} {
		for _, offset := range []int{0, 1480, 62160} {
			b := ip("192.0.2.77", "198.51.100.9", 64, packet.ProtoUDP, bytes.Repeat([]byte("0123456789abcdef"), 92))
			put(b[6:], uint16(offset/8))
			if more {
				b[6] |= 0x20
			}
			put(b[10:], 0)
			put(b[10:], packet.Checksum(packet.Sum(0, b[:20])))
			var whole []byte
			out := e.ForwardOne(0, b)
			for i, p := range out {
				h, ok := packet.ParseIPv4(p.Data[Headroom:])
				if !ok || !h.HeaderOK() || len(h) > 600 || h.FragmentOffset() != offset+len(whole) ||
					h.MoreFragments() != (more || i < len(out)-1) {
					t.Fatalf("offset %d, more %v: piece %d is %x", offset, more, i, p.Data[Headroom:])
				}
				whole = append(whole, h.Payload()...)
			}
			if !bytes.Equal(whole, b[packet.IPv4Len:]) {
				t.Fatalf("offset %d: %d bytes in %d pieces, want %d", offset, len(whole), len(out), len(b)-packet.IPv4Len)
			}
		}
	}
	b := ip("192.0.2.77", "198.51.100.130", 64, packet.ProtoUDP, make([]byte, 80))
	put(b[6:], 185) // fits: only the TTL changes
	put(b[10:], 0)
	put(b[10:], packet.Checksum(packet.Sum(0, b[:20])))
	out := e.ForwardOne(0, b)
	if len(out) != 1 {
		t.Fatalf("%d packets, want 1", len(out))
	}
	expectForwarded(t, out[0].Data[Headroom:], b)
}

func TestEngineSurvivesAFullQueueAndTinyMTUs(t *testing.T) {
	// gVisor ends the process on unexpected errors of a link.
	n := testNetwork()
	n.ports[3].MTU = 68
	n.ports[1].MTU = 40
	e := newEngine(t, func(uint16, []byte) {})
	must(t, e.Publish(n.snapshot()))
	out := e.ForwardOne(0, datagram("192.0.2.77", "198.51.100.9", 64, make([]byte, 65000)))
	if len(out) != queueOut || e.Stats().DroppedOut == 0 {
		t.Errorf("%d fragments, %+v", len(out), e.Stats())
	}
	if out = e.ForwardOne(0, datagram("192.0.2.77", "198.51.100.130", 64, make([]byte, 100))); len(out) != 3 {
		t.Errorf("%d fragments on an MTU below IPv4's minimum", len(out))
	}
	before := e.Stats().Discarded
	for _, dst := range []string{"2001:db8:3::9", "2001:db8:8000::9"} {
		if out = e.ForwardOne(0, datagram("2001:db8:1::77", dst, 64, nil)); len(out) != 0 {
			t.Errorf("IPv6 left by a link with MTU below 1280: %+v", out)
		}
	}
	if n := e.Stats().Discarded - before; n != 2 {
		t.Errorf("%d discarded, want 2", n)
	}
}

func TestEngineDoesNotForwardWhatStaysOnItsLink(t *testing.T) {
	e := testEngine(t)
	for _, b := range [][]byte{
		datagram("fe80::77", "2001:db8:8000::1", 64, nil),
		datagram("2001:db8:1::77", "fe80::9", 64, nil),
		datagram("2001:db8:1::77", "ff0e::9", 64, nil),
		datagram("192.0.2.77", "224.0.1.9", 64, nil),
		datagram("192.0.2.77", "255.255.255.255", 64, nil),
		echo("192.0.2.77", "192.0.2.255", 64, 1, 8), // directed broadcast
		datagram("192.0.2.77", "127.0.0.1", 64, nil),
		datagram("2001:db8:1::77", "::1", 64, nil),
		datagram("0.0.0.0", "198.51.100.130", 64, nil),
		{},
		{0x45},
		bytes.Repeat([]byte{0xff}, 60),
	} {
		if out := e.ForwardOne(0, b); len(out) != 0 {
			t.Errorf("%x: came out as %x", b, out[0].Data)
		}
	}
	if out := e.ForwardOne(2, datagram("192.0.2.77", "198.51.100.130", 64, nil)); len(out) != 0 {
		t.Error("a packet from a port that is not there was forwarded")
	}
	if out := e.ForwardOne(0, append(datagram("192.0.2.77", "198.51.100.130", 64, nil), make([]byte, 18)...)); len(out) != 1 || len(out[0].Data) != Headroom+28 {
		t.Errorf("padding was forwarded: %+v", out)
	}
}

func TestEngineFollowsSnapshots(t *testing.T) {
	e, n := testEngine(t), testNetwork()
	b := datagram("192.0.2.77", "198.51.100.130", 64, nil)
	expect := func(what string, port int, via string) {
		t.Helper()
		must(t, e.Publish(n.snapshot()))
		out := e.ForwardOne(0, b)
		switch {
		case port < 0:
			if len(out) != 0 {
				t.Errorf("%s: %+v", what, out)
			}
		case len(out) != 1 || out[0].Port != uint16(port) || out[0].Via != addr(via):
			t.Errorf("%s: %+v, want port %d via %s", what, out, port, via)
		}
	}
	expect("at first", 1, "203.0.113.9")
	n.routes["198.51.100.128/25"] = gateway(1, "203.0.113.10")
	expect("next hop changed", 1, "203.0.113.10")
	n.routes["198.51.100.128/26"] = gateway(0, "192.0.2.33")
	expect("more specific route", 0, "192.0.2.33")
	delete(n.routes, "198.51.100.128/26")
	expect("withdrawn", 1, "203.0.113.10")
	wan := n.ports[1]
	n.ports[1] = fib.Port{}
	expect("port gone", -1, "")
	n.ports[1] = wan
	n.ports[1].Addr4 = addr("203.0.113.77")
	expect("port back", 1, "203.0.113.10")
	n.routes["198.51.100.128/25"] = fib.Group{Kind: fib.Connected, Port: 1}
	expect("connected", 1, "198.51.100.130")
	n.routes["198.51.100.128/25"] = fib.Group{Kind: fib.Local, Port: 1}
	expect("an own address", -1, "")

	late := datagram("203.0.113.9", "192.0.2.9", 1, nil)
	if out := e.ForwardOne(1, late); len(out) != 1 || parse(t, out[0].Data[Headroom:]).src != addr("203.0.113.77") {
		t.Errorf("ICMP error from the new address: %+v", out)
	}

	for i := range RoutesMax {
		n.routes[netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 32).String()] = gateway(0, "192.0.2.9")
	}
	if err := e.Publish(n.snapshot()); err == nil || !strings.Contains(err.Error(), fmt.Sprint(RoutesMax)) {
		t.Errorf("too many routes: %v", err)
	}
	if out := e.ForwardOne(1, late); len(out) != 1 {
		t.Error("the refused snapshot changed something")
	}
}

func TestEngineEmitsWhatItForwards(t *testing.T) {
	var out recorder
	e := newEngine(t, out.emit)
	must(t, e.Publish(testNetwork().snapshot()))
	for i := range 300 {
		e.Forward(0, datagram("192.0.2.77", "198.51.100.130", uint8(1+i%2), nil))
		eventually(t, "room", func() bool { return len(e.in) < queueIn/2 })
	}
	e.Forward(0, []byte("rubbish"))
	eventually(t, "300 packets", func() bool { return len(out.all()) == 300 })
	for i, p := range out.all() {
		if want := uint16(i % 2); p.Port != want { // TTL 1 comes back as an error
			t.Fatalf("packet %d on port %d, want %d", i, p.Port, want)
		}
		parse(t, p.Data)
	}
	if st := e.Stats(); st.Taken != 300 || st.Emitted != 300 || st.DroppedIn != 1 || st.TTLExpired != 150 {
		t.Errorf("%+v", st)
	}
}

func TestEngineClosesUnderLoad(t *testing.T) {
	before := runtime.NumGoroutine()
	e := newEngine(t, func(uint16, []byte) {})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			n := testNetwork()
			n.ports[i%2].MTU = 1300
			for range 200 {
				_ = e.Publish(n.snapshot())
				e.Forward(0, datagram("192.0.2.77", "198.51.100.130", 64, nil))
				e.ForwardOne(1, datagram("203.0.113.9", "192.0.2.9", 64, nil))
				e.Stats()
			}
		})
	}
	e.Close()
	e.Close()
	wg.Wait()
	if out := e.ForwardOne(0, datagram("192.0.2.77", "198.51.100.130", 64, nil)); out != nil {
		t.Errorf("forwarded after Close: %+v", out)
	}
	eventually(t, "no goroutine left", func() bool { return runtime.NumGoroutine() <= before })
}

func BenchmarkEngine(b *testing.B) {
	e, err := NewEngine(Config{}, func(uint16, []byte) {})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	if err := e.Publish(testNetwork().snapshot()); err != nil {
		b.Fatal(err)
	}
	p := datagram("192.0.2.77", "198.51.100.130", 64, make([]byte, 18))
	b.ReportAllocs()
	for b.Loop() {
		if len(e.ForwardOne(0, p)) != 1 {
			b.Fatal("not forwarded")
		}
	}
}
