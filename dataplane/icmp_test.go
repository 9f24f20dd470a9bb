package dataplane

import (
	"bytes"
	"encoding/binary"
	"testing"

	"vrouter/packet"
)

// forwardExcept runs a frame that Forward makes an exception of.
func forwardExcept(t *testing.T, w *Forwarder, in uint16, f *packet.Frame) []Out {
	t.Helper()
	v := w.Forward(in, f)
	if v.Action != Exception {
		t.Fatalf("verdict %+v (%s), want an exception", v, v.Reason)
	}
	return w.Except(in, f, v)
}

// one returns the only frame, which is transmitted.
func one(t *testing.T, outs []Out) (frame []byte, port uint16) {
	t.Helper()
	if len(outs) != 1 || outs[0].Verdict.Action != Transmit {
		t.Fatalf("got %d frames: %+v", len(outs), outs)
	}
	return outs[0].Frame.Data, outs[0].Verdict.Port
}

// A golden packet: time exceeded about a UDP packet with TTL 1.
func TestTimeExceededGolden(t *testing.T) {
	in := from4(ip4{dst: "203.0.113.1", ttl: 1, tos: 0x10, id: 7})
	original := bytes.Clone(in.Data[l3:])
	got, port := one(t, forwardExcept(t, start(), lan, in))
	equal(t, "port", port, lan)
	want := append([]byte{
		2, 0, 0, 0, 1, 10, 2, 0, 0, 0, 0, 1, 8, 0, // to the host, from the port
		0x45, 0xc0, 0, 64, // precedence 6; 20 + 8 + 36
		0, 1, 0, 0, // identification, no flags
		64, 1, 0, 0, // TTL, ICMP
		192, 0, 2, 2, // the port's address
		192, 0, 2, 10,
		11, 0, 0, 0, 0, 0, 0, 0, // time exceeded in transit
	}, original...)
	fixChecksum4(want[l3:])
	binary.BigEndian.PutUint16(want[l3+22:], slowChecksum(want[l3+20:]))
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%x, want\n%x", got, want)
	}
}

func TestTimeExceededGoldenIPv6(t *testing.T) {
	in := from6(ip6{dst: "2001:db8:2::1", hops: 1})
	original := bytes.Clone(in.Data[l3:])
	got, port := one(t, forwardExcept(t, start(), lan, in))
	equal(t, "port", port, lan)
	src, dst := ip("2001:db8:1::2").As16(), ip("2001:db8:1::10").As16()
	want := []byte{
		2, 0, 0, 0, 1, 10, 2, 0, 0, 0, 0, 1, 0x86, 0xdd,
		0x60, 0, 0, 0, 0, byte(8 + len(original)), 58, 64, // ICMPv6, hop limit
	}
	want = append(append(want, src[:]...), dst[:]...)
	want = append(append(want, 3, 0, 0, 0, 0, 0, 0, 0), original...)
	pseudo := []byte{0, 0, 0, byte(8 + len(original)), 0, 0, 0, 58}
	binary.BigEndian.PutUint16(want[l3+42:], slowChecksum(src[:], dst[:], pseudo, want[l3+40:]))
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%x, want\n%x", got, want)
	}
}

func TestEachFaultHasItsICMPTypeAndCode(t *testing.T) {
	big := make([]byte, 1400)
	tests := []struct {
		name       string
		frame      *packet.Frame
		kind, code byte
		rest       uint32 // the second word
	}{
		{"no route (RFC 1812 5.2.7.1: net)", from4(ip4{dst: "9.9.9.9"}), 3, 0, 0},
		{"unreachable route: host", from4(ip4{dst: "10.67.0.1"}), 3, 1, 0},
		{"too big, with the next hop's MTU (RFC 1191 4)", from4(ip4{dst: "198.51.100.10", flags: 0x4000, payload: big}), 3, 4, 1280},
		{"no IPv6 route", from6(ip6{dst: "2001:db8:9999::1"}), 1, 0, 0},
		{"unreachable IPv6 route", from6(ip6{dst: "2001:db8:67::1"}), 1, 0, 0},
		{"IPv6 too big, with the next hop's MTU (RFC 4443 3.2)", from6(ip6{dst: "2001:db8:3::10", payload: big}), 2, 0, 1280},
		{"beyond scope of source (RFC 4443 3.1)", from6(ip6{src: "fe80::10", dst: "2001:db8:2::1"}), 1, 2, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v6 := tt.frame.Data[l3]>>4 == 6
			got, _ := one(t, forwardExcept(t, start(), lan, tt.frame))
			message := got[l3+20:]
			if v6 {
				message = got[l3+40:]
			}
			equal(t, "type", message[0], tt.kind)
			equal(t, "code", message[1], tt.code)
			equal(t, "rest", binary.BigEndian.Uint32(message[4:]), tt.rest)
		})
	}
}

func TestHostUnreachableWhenTheNeighbourDoesNotAnswer(t *testing.T) {
	w := start()
	f := from4(ip4{dst: "203.0.113.50"})
	equal(t, "class", w.Forward(lan, f).Class, ClassResolve)
	got, _ := one(t, w.Unreachable(lan, f))
	equal(t, "type and code", [2]byte(got[l3+20:]), [2]byte{3, 1})
	f = from6(ip6{dst: "2001:db8:2::50"})
	got, _ = one(t, w.Unreachable(lan, f))
	equal(t, "type and code of IPv6", [2]byte(got[l3+40:]), [2]byte{1, 3})
}

// RFC 1812 4.3.2.7 and RFC 4443 2.4 (e): what must not cause an error.
func TestNoICMPErrorIsSentAbout(t *testing.T) {
	icmp := func(kind byte) ip4 {
		return ip4{dst: "203.0.113.1", ttl: 1, proto: packet.ProtoICMP, payload: icmp6(kind)}
	}
	next := func(kind byte) ip6 {
		return ip6{dst: "2001:db8:2::1", hops: 1, next: packet.ProtoICMPv6, payload: icmp6(kind)}
	}
	hidden := append([]byte{58, 0, 1, 4, 0, 0, 0, 0}, icmp6(1)...)
	later := append([]byte{58, 0, 0, 0x10, 0, 0, 0, 0}, icmp6(128)...)
	group := packet.MulticastMAC(ip("224.0.0.1"))
	tests := []struct {
		name  string
		frame *packet.Frame
	}{
		{"an ICMP unreachable", from4(icmp(3))},
		{"an ICMP source quench", from4(icmp(4))},
		{"an ICMP redirect", from4(icmp(5))},
		{"an ICMP time exceeded", from4(icmp(11))},
		{"an ICMP parameter problem", from4(icmp(12))},
		{"an ICMP message of unknown type", from4(icmp(200))},
		{"ICMP without a type", from4(ip4{dst: "203.0.113.1", ttl: 1, proto: packet.ProtoICMP, payload: []byte{}})},
		{"a fragment other than the first", from4(ip4{dst: "203.0.113.1", ttl: 1, flags: 5})},
		{"a link-layer broadcast", to(packet.Broadcast, from4(ip4{dst: "203.0.113.1", ttl: 1}))},
		{"a link-layer multicast", to(group, from4(ip4{dst: "203.0.113.1", ttl: 1}))},
		{"an IP multicast", from4(ip4{dst: "239.1.1.1", ttl: 1})},
		{"an IP broadcast", from4(ip4{dst: "255.255.255.255", ttl: 1})},
		{"a directed broadcast", from4(ip4{dst: "203.0.113.255", ttl: 1})},
		{"a source that is a directed broadcast", from4(ip4{src: "192.0.2.255", dst: "203.0.113.1", ttl: 1})},
		{"source 0.0.0.0", from4(ip4{src: "0.0.0.0", dst: "203.0.113.1", ttl: 1})},
		{"a loopback source", from4(ip4{src: "127.0.0.1", dst: "203.0.113.1", ttl: 1})},
		{"a multicast source", from4(ip4{src: "224.0.0.9", dst: "203.0.113.1", ttl: 1})},
		{"a class E source", from4(ip4{src: "240.0.0.9", dst: "203.0.113.1", ttl: 1})},
		{"an ICMPv6 error", from6(next(1))},
		{"an ICMPv6 error of unknown type", from6(next(127))},
		{"an ICMPv6 redirect", from6(next(137))},
		{"an ICMPv6 error behind extension headers", from6(ip6{dst: "2001:db8:2::1", hops: 1, next: 60, payload: hidden})},
		{"a fragment of ICMPv6 without its type", from6(ip6{dst: "2001:db8:2::1", hops: 1, next: 44, payload: later})},
		{"an IPv6 link-layer multicast", to(packet.MAC{0x33, 0x33, 0, 0, 0, 1}, from6(ip6{dst: "2001:db8:2::1", hops: 1}))},
		{"an IPv6 multicast", from6(ip6{dst: "ff0e::1", hops: 1})},
		{"source ::", from6(ip6{src: "::", dst: "2001:db8:2::1", hops: 1})},
		{"source ::1", from6(ip6{src: "::1", dst: "2001:db8:2::1", hops: 1})},
		{"an IPv6 multicast source", from6(ip6{src: "ff02::1", dst: "2001:db8:2::1", hops: 1})},
		{"what is no packet", &packet.Frame{Data: make([]byte, 60)}},
		{"nothing", &packet.Frame{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := start()
			// Straight to the exception: Forward drops most of these before.
			if outs := w.Except(lan, tt.frame, Verdict{Action: Exception, Cause: Cause{Fault: FaultTTL}}); len(outs) != 0 {
				t.Errorf("sent %x", outs[0].Frame.Data)
			}
			equal(t, "counted", dropsBy(w)["icmp_forbidden"], 1)
			equal(t, "suppressed", w.Counters().ICMPSuppressed[ICMPTimeExceeded], 1)
		})
	}
}

func TestICMPErrorsAreSentAbout(t *testing.T) {
	later := append([]byte{17, 0, 0, 0x10, 0, 0, 0, 0}, make([]byte, 16)...)
	for name, f := range map[string]*packet.Frame{
		"an echo request":               from4(ip4{dst: "203.0.113.1", ttl: 1, proto: 1, payload: icmp6(8)}),
		"an echo reply":                 from4(ip4{dst: "203.0.113.1", ttl: 1, proto: 1, payload: icmp6(0)}),
		"TCP":                           from4(ip4{dst: "203.0.113.1", ttl: 1, proto: 6}),
		"the first fragment":            from4(ip4{dst: "203.0.113.1", ttl: 1, flags: 0x2000}),
		"frames to the virtual MAC":     to(virtual4, from4(ip4{dst: "203.0.113.1", ttl: 1})),
		"an ICMPv6 echo request":        from6(ip6{dst: "2001:db8:2::1", hops: 1, next: 58, payload: icmp6(128)}),
		"an IPv6 fragment, not ICMP":    from6(ip6{dst: "2001:db8:2::1", hops: 1, next: 44, payload: later}),
		"an IPv6 packet without a body": from6(ip6{dst: "2001:db8:2::1", hops: 1, next: 59, payload: []byte{}}),
	} {
		t.Run(name, func(t *testing.T) {
			w := start()
			one(t, forwardExcept(t, w, lan, f))
			w.Flush()
			equal(t, "sent", w.Counters().ICMPSent[ICMPTimeExceeded], 1)
		})
	}
}

func TestRFC1812ErrorsQuoteAsMuchAsFitsIn576Bytes(t *testing.T) {
	f := from4(ip4{dst: "203.0.113.1", ttl: 1, payload: make([]byte, 1400)})
	got, _ := one(t, forwardExcept(t, start(), lan, f))
	equal(t, "length", len(got)-l3, 576)
	equal(t, "total length", binary.BigEndian.Uint16(got[l3+2:]), 576)
	equal(t, "checksum", slowChecksum(got[l3+20:]), 0)
	if !bytes.Equal(got[l3+28:], f.Data[l3:l3+548]) {
		t.Error("the quote is not the packet's start")
	}
}

func TestRFC4443ErrorsQuoteAsMuchAsFitsInTheMinimumMTU(t *testing.T) {
	f := from6(ip6{dst: "2001:db8:2::1", hops: 1, payload: make([]byte, 1400)})
	got, _ := one(t, forwardExcept(t, start(), lan, f))
	equal(t, "length", len(got)-l3, 1280)
	if !bytes.Equal(got[l3+48:], f.Data[l3:l3+1232]) {
		t.Error("the quote is not the packet's start")
	}
}

func TestErrorsDoNotQuoteEthernetPadding(t *testing.T) {
	f := from4(ip4{dst: "203.0.113.1", ttl: 1, payload: []byte("hello")})
	f.Data = append(f.Data, make([]byte, 21)...)
	got, _ := one(t, forwardExcept(t, start(), lan, f))
	equal(t, "length", len(got)-l3, 20+8+25)
}

func TestErrorsComeFromTheIngressPortElseFromAnyOther(t *testing.T) {
	w := start()
	f := eth(macNarrow, macFar, packet.EtherTypeIPv4, ip4{src: "198.51.100.10", dst: "203.0.113.1", ttl: 1}.bytes())
	got, _ := one(t, forwardExcept(t, w, narrow, f)) // has no IPv4 address
	equal(t, "source", packet.IPv4(got[l3:]).Src(), ip("192.0.2.2"))
	f = eth(macWAN, macISP, packet.EtherTypeIPv6, ip6{src: "2001:db8:2::1", dst: "2001:db8:1::10", hops: 1}.bytes())
	got, _ = one(t, forwardExcept(t, w, wan, f))
	equal(t, "source", packet.IPv6(got[l3:]).Src(), ip("2001:db8:2::2"))
}

func TestErrorsToLinkLocalSourcesLeaveWhereThePacketCameIn(t *testing.T) {
	got, port := one(t, forwardExcept(t, start(), lan, from6(ip6{src: "fe80::10", dst: "2001:db8:2::1"})))
	equal(t, "port", port, lan)
	equal(t, "next hop", packet.Ethernet(got).Dst(), macHost)
	equal(t, "destination", packet.IPv6(got[l3:]).Dst(), ip("fe80::10"))
}

func TestErrorsToAnUnresolvedSourceWaitForIt(t *testing.T) {
	outs := forwardExcept(t, start(), lan, from4(ip4{src: "192.0.2.99", dst: "203.0.113.1", ttl: 1}))
	equal(t, "number", len(outs), 1)
	equal(t, "verdict", outs[0].Verdict, Verdict{Action: Punt, Port: lan, Cause: Cause{Class: ClassResolve}})
	port, via, ok := Resolve(newWorld(), outs[0].Frame.Data)
	equal(t, "via", via, ip("192.0.2.99"))
	equal(t, "port", port, lan)
	equal(t, "ok", ok, true)
}

func TestErrorsWithoutARouteBackAreDropped(t *testing.T) {
	w := start()
	equal(t, "number", len(forwardExcept(t, w, lan, from4(ip4{src: "9.9.9.9", dst: "203.0.113.1", ttl: 1}))), 0)
	equal(t, "reason", dropsBy(w)["no_route"], 1)
	equal(t, "suppressed", w.Counters().ICMPSuppressed[ICMPTimeExceeded], 1)
}

func TestErrorsAreFragmentedWhereTheLinkIsTiny(t *testing.T) {
	f := eth(macTiny, macFar, packet.EtherTypeIPv4, ip4{src: "10.5.0.10", dst: "203.0.113.1", ttl: 1, payload: make([]byte, 200)}.bytes())
	outs := forwardExcept(t, start(), tiny, f)
	if len(outs) != 3 { // 228 bytes of ICMP in pieces of 80
		t.Fatalf("%d frames", len(outs))
	}
	for _, o := range outs {
		if n := len(o.Frame.Data) - l3; n > 100 {
			t.Errorf("%d bytes", n)
		}
	}
}

func TestRFC1812ErrorsAreRateLimited(t *testing.T) {
	w := NewForwarder()
	s := newWorld()
	probe := func(src string) int {
		f := from4(ip4{src: src, dst: "203.0.113.1", ttl: 1})
		return len(forwardExcept(t, w, lan, f))
	}
	flood := func(n int) (sent int) {
		for range n {
			sent += probe("192.0.2.10")
		}
		return sent
	}
	w.Begin(s, 1e9)
	equal(t, "burst to one host", flood(500), limitHostBurst)
	equal(t, "another host meanwhile", probe("192.0.2.66"), 1)
	w.Begin(s, 1e9+1e8)
	equal(t, "after 100 ms", flood(500), 10)
	w.Begin(s, 1e9+1e10)
	equal(t, "after 10 s", flood(500), limitHostBurst)
	equal(t, "suppressed", dropsBy(w)["icmp_limited"], 1500-2*limitHostBurst-10)

	sent := 0
	for i := range 2500 {
		a := ip("192.0.2.0").As4()
		a[2], a[3] = byte(i>>8), byte(i)
		sent += len(forwardExcept(t, w, lan, from4(ip4{src: "10.6." + itoa(a[2]) + "." + itoa(a[3]), dst: "203.0.113.1", ttl: 1})))
	}
	equal(t, "burst to many hosts", sent, limitTotalBurst-limitHostBurst)
}

func itoa(b byte) string {
	if b < 10 {
		return string('0' + rune(b))
	}
	return itoa(b/10) + string('0'+rune(b%10))
}

// Three probes for each of 30 hops at once, as traceroute sends them, see only
// three errors of this router; ten traceroutes at a time are answered in full.
func TestTraceroutesAreAnsweredInFull(t *testing.T) {
	w := start()
	for range 10 * 3 {
		one(t, forwardExcept(t, w, lan, from4(ip4{dst: "203.0.113.1", ttl: 1})))
	}
}
