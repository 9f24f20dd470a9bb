package netstack

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vrouter/packet"
)

// pair is two stacks on one link, "lan", and what each has sent.
type pair struct {
	a, b       *Stack
	fromA, toA recorder
}

const mtu = 1500

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{}
	var ready sync.WaitGroup // the emit functions need both stacks
	ready.Add(1)
	p.a = newStack(t, Config{}, func(port uint16, frame []byte) {
		ready.Wait()
		p.fromA.emit(port, frame)
		p.b.Deliver(0, frame[Headroom:])
	})
	p.b = newStack(t, Config{}, func(port uint16, frame []byte) {
		ready.Wait()
		p.toA.emit(port, frame)
		p.a.Deliver(0, frame[Headroom:])
	})
	ready.Done()
	for i, s := range []*Stack{p.a, p.b} {
		must(t, s.SetPorts([]Port{{Number: 0, Name: "lan", MTU: mtu, MAC: packet.MAC{2, 0, 0, 0, 0, byte(i + 1)}}}))
	}
	must(t, p.a.SetAddresses(addresses(0, "192.0.2.1/24", "fe80::1/64", "2001:db8:1::1/64")))
	must(t, p.b.SetAddresses(addresses(0, "192.0.2.2/24", "fe80::2/64", "2001:db8:1::2/64")))
	return p
}

func ping(t *testing.T, s *Stack, r PingRequest) PingReply {
	t.Helper()
	if r.Timeout == 0 {
		r.Timeout = patience
	}
	reply, err := s.Ping(context.Background(), r)
	if err != nil {
		t.Fatalf("ping %s: %v", r.Address, err)
	}
	return reply
}

func TestEchoOfAnySizeIsAnswered(t *testing.T) {
	p := newPair(t)
	for _, target := range []string{"192.0.2.2", "2001:db8:1::2", "fe80::2%lan"} {
		for _, size := range []int{0, 1, 56, 1432, 1433, 1452, 1472, 1473, 8000, 40000, 65487, PingSizeMax} {
			r := ping(t, p.a, PingRequest{Address: addr(target), Size: size, Sequence: uint16(size)})
			if r.Err != nil || r.From != addr(target).WithZone("") || r.TTL != 64 || r.RTT <= 0 {
				t.Errorf("%s with %d bytes: %+v", target, size, r)
			}
		}
	}
	for _, sent := range append(p.fromA.all(), p.toA.all()...) {
		if len(sent.Data) > mtu {
			t.Fatalf("a packet of %d bytes on a link with MTU %d", len(sent.Data), mtu)
		}
		parse(t, sent.Data)
	}
}

func TestEchoReplyFollowsTheMTU(t *testing.T) {
	var out recorder
	s := newStack(t, Config{}, out.emit)
	must(t, s.SetPorts([]Port{{Number: 3, Name: "lan", MTU: 1500}}))
	must(t, s.SetAddresses(addresses(3, "192.0.2.1/24")))
	must(t, s.SetPorts([]Port{{Number: 3, Name: "lan", MTU: 600}}))
	s.Deliver(3, echo("192.0.2.9", "192.0.2.1", 64, 7, 1400))
	eventually(t, "three fragments", func() bool { return len(out.all()) == 3 })
	whole := 0
	for _, p := range out.all() {
		f := parse(t, p.Data)
		if len(p.Data) > 600 || p.Port != 3 || !f.fragment || f.src != addr("192.0.2.1") || f.dst != addr("192.0.2.9") {
			t.Errorf("%d bytes on port %d: %+v", len(p.Data), p.Port, f)
		}
		whole += len(f.payload)
	}
	if whole != echoLen+1400 {
		t.Errorf("%d bytes in fragments, want %d", whole, echoLen+1400)
	}
}

func TestClosedPortsAreRefusedFromTheAddressAsked(t *testing.T) {
	// Own and virtual addresses, of the near and of the far side.
	cases := []struct{ src, dst string }{
		{"192.0.2.9", "192.0.2.2"},
		{"192.0.2.9", "192.0.2.1"},
		{"192.0.2.9", "203.0.113.2"},
		{"2001:db8:1::9", "2001:db8:1::2"},
		{"2001:db8:1::9", "2001:db8:1::1"},
		{"2001:db8:1::9", "2001:db8:2::2"},
		{"198.51.100.9", "192.0.2.1"},
		{"2001:db8:9::9", "2001:db8:1::1"},
		{"fe80::9", "fe80::5"},
		{"fe80::9", "2001:db8:2::2"},
	}
	var out recorder
	s := newRouter(t, &out)
	for _, c := range cases {
		from := len(out.all())
		s.Deliver(0, datagram(c.src, c.dst, 64, []byte("hello")))
		s.Deliver(0, syn(c.src, c.dst, 179))
		eventually(t, "two answers", func() bool { return len(out.all()) >= from+2 })
		var unreachable, reset bool
		for _, p := range out.all()[from:] {
			a := parse(t, p.Data)
			if a.src != addr(c.dst) || a.dst != addr(c.src) {
				t.Errorf("asked %s from %s: answer from %s to %s", c.dst, c.src, a.src, a.dst)
			}
			if a.dst.IsLinkLocalUnicast() && p.Port != 0 {
				t.Errorf("asked %s from %s on port 0: answered on port %d", c.dst, c.src, p.Port)
			}
			if m := icmpOf(t, p.Data); m != nil {
				want := [2]byte{packet.ICMPUnreachable, packet.ICMPCodePort}
				if a.src.Is6() {
					want = [2]byte{packet.ICMPv6Unreachable, packet.ICMPv6CodePort}
				}
				unreachable = [2]byte(m) == want && bytes.Contains(m, []byte("hello"))
			} else if a.proto == packet.ProtoTCP {
				reset = a.payload[13]&0x04 != 0 && packet.Checksum(packet.Sum(packet.PseudoHeader(a.src, a.dst, a.proto, len(a.payload)), a.payload)) == 0
			}
		}
		if !unreachable || !reset {
			t.Errorf("asked %s from %s: port unreachable %v, reset %v", c.dst, c.src, unreachable, reset)
		}
	}
}

// newRouter makes a stack with two ports, "lan" (0) and "wan" (1), and a
// virtual address on the first.
func newRouter(t *testing.T, out *recorder) *Stack {
	t.Helper()
	s := newStack(t, Config{}, out.emit)
	must(t, s.SetPorts([]Port{{Number: 0, Name: "lan", MTU: mtu}, {Number: 1, Name: "wan", MTU: mtu}}))
	must(t, s.SetAddresses(routerAddresses()))
	// The reports for solicited-node groups are not what these tests look at.
	settle(t, s, out)
	return s
}

func routerAddresses() []Address {
	return slices.Concat(
		addresses(0, "192.0.2.2/24", "2001:db8:1::2/64", "fe80::5/64"),
		addresses(1, "203.0.113.2/24", "2001:db8:2::2/64", "fe80::6/64"),
		addresses(0, "192.0.2.1/32", "2001:db8:1::1/128"),
	)
}

func TestAVirtualAddressThatIsGoneDoesNotAnswer(t *testing.T) {
	var out recorder
	s := newRouter(t, &out)
	answers := func(dst string) int {
		return len(slices.DeleteFunc(out.all(), func(p Packet) bool {
			q := parse(t, p.Data)
			return q.src != addr(dst) || q.dst == addr("192.0.2.99") // whom settle answers
		}))
	}
	for _, c := range [][2]string{{"192.0.2.9", "192.0.2.1"}, {"2001:db8:1::9", "2001:db8:1::1"}} {
		s.Deliver(0, echo(c[0], c[1], 64, 1, 56))
		eventually(t, "answer", func() bool { return answers(c[1]) == 1 })
	}
	must(t, s.SetAddresses(slices.DeleteFunc(routerAddresses(), func(a Address) bool { return a.Prefix.IsSingleIP() })))
	for _, c := range [][2]string{{"192.0.2.9", "192.0.2.1"}, {"2001:db8:1::9", "2001:db8:1::1"}} {
		s.Deliver(0, echo(c[0], c[1], 64, 1, 56))
		s.Deliver(1, syn(c[0], c[1], 22))
	}
	// The queue is in order: when this is answered, the others were looked at.
	s.Deliver(0, echo("192.0.2.9", "192.0.2.2", 64, 1, 56))
	eventually(t, "answer of the own address", func() bool { return answers("192.0.2.2") == 1 })
	if answers("192.0.2.1") != 1 || answers("2001:db8:1::1") != 1 {
		t.Error("a virtual address answered after it was taken away")
	}
}

func TestAPortThatComesBackHasItsAddressesAgain(t *testing.T) {
	var out recorder
	s := newRouter(t, &out)
	must(t, s.SetGroups(map[uint16][]netip.Addr{1: {addr("224.0.0.18")}}))
	must(t, s.SetPorts([]Port{{Number: 0, Name: "lan", MTU: mtu}}))
	before := s.Stats().DroppedIn
	s.Deliver(1, echo("203.0.113.9", "203.0.113.2", 64, 1, 56))
	if s.Stats().DroppedIn != before+1 {
		t.Error("a packet from a port that is gone was taken")
	}
	must(t, s.SetPorts([]Port{{Number: 0, Name: "lan", MTU: mtu}, {Number: 1, Name: "wan", MTU: mtu}}))
	s.Deliver(1, echo("203.0.113.9", "203.0.113.2", 64, 1, 56))
	out.find(t, "echo reply", func(p Packet) bool {
		m := icmpOf(t, p.Data)
		return p.Port == 1 && m != nil && m[0] == packet.ICMPEchoReply
	})
	if in, err := s.gv.IsInGroup(nicID(1), toAddress(addr("224.0.0.18"))); err != nil || !in {
		t.Errorf("member of the group again: %v, %v", in, err)
	}
}

func TestWhatIsNotForTheStackIsNotAnswered(t *testing.T) {
	badSum := echo("192.0.2.9", "192.0.2.2", 64, 1, 56)
	badSum[30] ^= 1
	badHeader := echo("192.0.2.9", "192.0.2.2", 64, 1, 56)
	badHeader[10] ^= 1
	solicit := make([]byte, 24)
	solicit[0] = packet.ICMPv6NeighborSolicit
	target := addr("2001:db8:1::2").As16()
	copy(solicit[8:], target[:])
	ns := ip("2001:db8:1::9", "2001:db8:1::2", 255, packet.ProtoICMPv6,
		sum6("2001:db8:1::9", "2001:db8:1::2", packet.ProtoICMPv6, 2, solicit))
	cases := map[string][]byte{
		"nothing":                 {},
		"rubbish":                 {0x45, 0, 0, 99, 1, 2, 3},
		"wrong ICMP checksum":     badSum,
		"wrong header checksum":   badHeader,
		"a foreign address":       echo("192.0.2.9", "192.0.2.77", 64, 1, 56),
		"an address of the link":  echo("192.0.2.9", "198.51.100.1", 64, 1, 56),
		"a neighbor solicitation": ns,
		"an own source address":   echo("192.0.2.2", "192.0.2.2", 64, 1, 56),
	}
	for name, b := range cases {
		var out recorder
		s := newRouter(t, &out)
		before := len(out.all())
		s.Deliver(0, b)
		s.Deliver(0, echo("192.0.2.99", "192.0.2.2", 64, 1, 56))
		out.find(t, "answer to what came after", func(p Packet) bool { return parse(t, p.Data).dst == addr("192.0.2.99") })
		for _, p := range out.all()[before:] {
			if a := parse(t, p.Data); a.dst != addr("192.0.2.99") && a.proto != packet.ProtoHopByHop && a.proto != packet.ProtoIGMP {
				t.Errorf("%s was answered: %+v", name, a)
			}
		}
	}
}

func TestNeighborDiscoveryIsLeftToTheRouter(t *testing.T) {
	var out recorder
	s := newRouter(t, &out)
	solicit := make([]byte, 24)
	solicit[0] = packet.ICMPv6NeighborSolicit
	target := addr("2001:db8:1::2").As16()
	copy(solicit[8:], target[:])
	s.Deliver(0, ip("2001:db8:1::9", "2001:db8:1::2", 255, packet.ProtoICMPv6,
		sum6("2001:db8:1::9", "2001:db8:1::2", packet.ProtoICMPv6, 2, solicit)))
	eventually(t, "an advertisement held back", func() bool { return s.Stats().SilencedND == 1 })
	for _, p := range out.all() {
		if m := icmpOf(t, p.Data); m != nil && m[0] >= packet.ICMPv6RouterSolicit && m[0] <= packet.ICMPv6Redirect {
			t.Errorf("Neighbor Discovery was sent: type %d", m[0])
		}
	}
}

func TestPingOfAnOwnAddressStaysInside(t *testing.T) {
	var out recorder
	s := newRouter(t, &out)
	before := len(out.all())
	for _, a := range []string{"192.0.2.2", "203.0.113.2", "192.0.2.1", "2001:db8:2::2", "fe80::6%wan"} {
		if r := ping(t, s, PingRequest{Address: addr(a), Size: 3000}); r.Err != nil {
			t.Errorf("ping %s: %v", a, r.Err)
		}
	}
	for _, p := range out.all()[before:] {
		if icmpOf(t, p.Data) != nil {
			t.Errorf("left by port %d: %x", p.Port, p.Data)
		}
	}
}

func TestPingSaysWhyThereIsNoAnswer(t *testing.T) {
	var s *Stack
	var answer atomic.Pointer[func(request []byte) []byte] // of the next echo request
	s = newStack(t, Config{}, func(port uint16, frame []byte) {
		if b := frame[Headroom:]; icmpOf(t, b) != nil {
			if refuse := answer.Swap(nil); refuse != nil {
				s.Deliver(port, (*refuse)(b))
			}
		}
	})
	must(t, s.SetPorts([]Port{{Number: 0, Name: "lan", MTU: mtu}}))
	must(t, s.SetAddresses(addresses(0, "192.0.2.1/24", "fe80::1/64", "2001:db8:1::1/64")))

	r := ping(t, s, PingRequest{Address: addr("192.0.2.3"), Timeout: 20 * time.Millisecond})
	if !errors.Is(r.Err, ErrTimeout) {
		t.Errorf("nobody there: %+v", r)
	}
	timeExceeded := func(request []byte) []byte {
		msg := append([]byte{packet.ICMPTimeExceeded, 0, 0, 0, 0, 0, 0, 0}, request[:28]...)
		sum := packet.Checksum(packet.Sum(0, msg))
		msg[2], msg[3] = byte(sum>>8), byte(sum)
		return ip("192.0.2.254", "192.0.2.1", 64, packet.ProtoICMP, msg)
	}
	answer.Store(&timeExceeded)
	r = ping(t, s, PingRequest{Address: addr("198.51.100.7"), TTL: 1})
	var e *ICMPError
	if !errors.As(r.Err, &e) || e.Type != packet.ICMPTimeExceeded || r.From != addr("192.0.2.254") ||
		!strings.Contains(e.Error(), "time exceeded in transit, says 192.0.2.254") {
		t.Errorf("time exceeded: %+v", r)
	}
	noRoute := func(request []byte) []byte {
		if request[7] != 9 {
			t.Errorf("hop limit %d, want 9", request[7])
		}
		msg := append([]byte{packet.ICMPv6Unreachable, packet.ICMPv6CodeNoRoute, 0, 0, 0, 0, 0, 0}, request...)
		return ip("2001:db8:1::fe", "2001:db8:1::1", 64, packet.ProtoICMPv6,
			sum6("2001:db8:1::fe", "2001:db8:1::1", packet.ProtoICMPv6, 2, msg))
	}
	impostor := func(request []byte) []byte {
		reply := slices.Clone(packet.IPv4(request).Payload())
		reply[0] = packet.ICMPEchoReply
		put(reply[2:], 0)
		put(reply[2:], packet.Checksum(packet.Sum(0, reply)))
		return ip("192.0.2.66", "192.0.2.1", 64, packet.ProtoICMP, reply)
	}
	answer.Store(&impostor)
	r = ping(t, s, PingRequest{Address: addr("192.0.2.3"), Timeout: 50 * time.Millisecond})
	if !errors.Is(r.Err, ErrTimeout) || answer.Load() != nil {
		t.Errorf("answered by somebody else: %+v", r)
	}
	answer.Store(&noRoute)
	r = ping(t, s, PingRequest{Address: addr("2001:db8:9::9"), TTL: 9})
	if !errors.As(r.Err, &e) || e.Error() != "no route, says 2001:db8:1::fe" {
		t.Errorf("no route: %+v", r)
	}
}

func TestPingThatCannotBeSentIsAnError(t *testing.T) {
	var out recorder
	s := newRouter(t, &out)
	for name, r := range map[string]PingRequest{
		"no address":             {},
		"negative size":          {Address: addr("192.0.2.9"), Size: -1},
		"size beyond IP":         {Address: addr("192.0.2.9"), Size: PingSizeMax + 1},
		"foreign source":         {Address: addr("192.0.2.9"), Source: addr("192.0.2.8")},
		"source of other family": {Address: addr("192.0.2.9"), Source: addr("2001:db8:1::2")},
		"link-local, no port":    {Address: addr("fe80::9")},
		"link-local, wrong port": {Address: addr("fe80::9%dmz")},
		"source of other port":   {Address: addr("fe80::9%lan"), Source: addr("fe80::6")},
	} {
		if reply, err := s.Ping(context.Background(), r); err == nil {
			t.Errorf("%s: %+v", name, reply)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Ping(ctx, PingRequest{Address: addr("192.0.2.9"), Timeout: patience}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestFloodPingIsAnsweredInFull(t *testing.T) {
	// ICMP errors are rate limited, echo replies must not be: far more than
	// gVisor's 1000 a second with a burst of 50.
	var out recorder
	s := newRouter(t, &out)
	const n = 5000
	for i := range n {
		eventually(t, "room", func() bool { return len(s.in) < queueIn/2 && len(s.out) < queueOut/2 })
		s.Deliver(0, echo("192.0.2.9", "192.0.2.2", 64, uint16(i), 56))
	}
	settle(t, s, &out)
	if st := s.Stats(); st.EchoReplies < n || st.DroppedIn != 0 || st.DroppedOut != 0 {
		t.Errorf("of %d: %+v", n, st)
	}
}

func TestErrorsAreRateLimited(t *testing.T) {
	for _, c := range []struct{ limit, least, most int }{{0, 50, 400}, {10, 50, 100}, {-1, 500, 500}} {
		var mu sync.Mutex
		errs := 0
		s := newStack(t, Config{ErrorsPerSecond: c.limit}, func(_ uint16, frame []byte) {
			if m := icmpOf(t, frame[Headroom:]); m != nil && m[0] == packet.ICMPUnreachable {
				mu.Lock()
				defer mu.Unlock()
				errs++
			}
		})
		must(t, s.SetPorts([]Port{{Number: 0, Name: "lan", MTU: mtu}}))
		must(t, s.SetAddresses(addresses(0, "192.0.2.2/24")))
		probe := datagram("192.0.2.9", "192.0.2.2", 64, nil)
		for range 500 {
			p, _ := s.prepare(0, probe)
			p.pkt = packetBuffer(probe)
			s.inject(p)
		}
		eventually(t, "all emitted", func() bool { return len(s.out) == 0 })
		s.Close() // no emit is under way any more
		mu.Lock()
		if errs < c.least || errs > c.most {
			t.Errorf("limit %d: %d errors, want %d to %d", c.limit, errs, c.least, c.most)
		}
		mu.Unlock()
	}
}
