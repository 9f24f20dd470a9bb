package dataplane

import (
	"net/netip"
	"testing"

	"vrouter/packet"
)

// own returns a packet of our own, with room for the Ethernet header.
func own(b []byte) *packet.Frame {
	return &packet.Frame{Data: append(make([]byte, l3), b...)}
}

func TestOutputRoutesByDestination(t *testing.T) {
	tests := []struct {
		name  string
		frame *packet.Frame
		want  Verdict
		mac   packet.MAC
	}{
		{"neighbour", own(ip4{src: "192.0.2.2", dst: "192.0.2.10"}.bytes()), Verdict{Action: Transmit, Port: lan}, macHost},
		{"next hop", own(ip4{src: "192.0.2.2", dst: "100.64.0.1"}.bytes()), Verdict{Action: Transmit, Port: wan}, macISP},
		{"TTL 1 is sent", own(ip4{src: "192.0.2.2", dst: "192.0.2.10", ttl: 1}.bytes()), Verdict{Action: Transmit, Port: lan}, macHost},
		{"directed broadcast of our own", own(ip4{src: "192.0.2.2", dst: "192.0.2.255"}.bytes()), Verdict{Action: Transmit, Port: lan}, packet.Broadcast},
		{"IPv6 neighbour", own(ip6{src: "2001:db8:1::2", dst: "2001:db8:1::10"}.bytes()), Verdict{Action: Transmit, Port: lan}, macHost},
		{"IPv6 next hop", own(ip6{src: "2001:db8:1::2", dst: "2001:db8:f000::1"}.bytes()), Verdict{Action: Transmit, Port: wan}, macISP},
		{"unresolved neighbour", own(ip4{src: "192.0.2.2", dst: "192.0.2.99"}.bytes()), resolve(lan), packet.MAC{}},
		{"unresolved next hop", own(ip4{src: "192.0.2.2", dst: "10.7.0.1"}.bytes()), resolve(wan), packet.MAC{}},
		{"multicast", own(ip4{src: "192.0.2.2", dst: "224.0.0.1"}.bytes()), drop(ReasonScope), packet.MAC{}},
		{"limited broadcast", own(ip4{src: "192.0.2.2", dst: "255.255.255.255"}.bytes()), drop(ReasonScope), packet.MAC{}},
		{"link-local", own(ip6{src: "fe80::2", dst: "fe80::10"}.bytes()), drop(ReasonScope), packet.MAC{}},
		{"no route", own(ip4{src: "192.0.2.2", dst: "9.9.9.9"}.bytes()), drop(ReasonNoRoute), packet.MAC{}},
		{"blackhole", own(ip4{src: "192.0.2.2", dst: "10.66.0.1"}.bytes()), drop(ReasonBlackhole), packet.MAC{}},
		{"unreachable", own(ip4{src: "192.0.2.2", dst: "10.67.0.1"}.bytes()), drop(ReasonUnreachable), packet.MAC{}},
		{"to ourselves", own(ip4{src: "192.0.2.2", dst: "203.0.113.2"}.bytes()), drop(ReasonUnreachable), packet.MAC{}},
		{"port down", own(ip4{src: "192.0.2.2", dst: "10.8.0.1"}.bytes()), drop(ReasonUnreachable), packet.MAC{}},
		{"address of the host", own(ip4{src: "192.0.2.2", dst: "10.1.0.2"}.bytes()), drop(ReasonHostAddress), packet.MAC{}},
		{"virtual address", own(ip4{src: "192.0.2.2", dst: "192.0.2.1"}.bytes()), drop(ReasonNotAccepted), packet.MAC{}},
		{"too big", own(ip6{src: "2001:db8:1::2", dst: "2001:db8:3::10", payload: make([]byte, 1300)}.bytes()), Verdict{Port: narrow, Cause: Cause{Reason: ReasonTooBig}}, packet.MAC{}},
		{"to be fragmented", own(ip4{src: "192.0.2.2", dst: "198.51.100.10", payload: make([]byte, 1300)}.bytes()), Verdict{Action: Exception, Port: narrow, Cause: Cause{Fault: FaultFragment}}, macFar},
		{"no packet", own([]byte{1, 2, 3}), drop(ReasonHeader), packet.MAC{}},
		{"room alone", own(nil), drop(ReasonHeader), packet.MAC{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := start()
			if got := w.Output(tt.frame); got != tt.want {
				t.Fatalf("got %+v (%s), want %+v (%s)", got, got.Reason, tt.want, tt.want.Reason)
			}
			equal(t, "destination MAC", packet.Ethernet(tt.frame.Data).Dst(), tt.mac)
			if tt.want.Action == Drop {
				equal(t, "counted", dropsBy(w)[tt.want.Reason.String()], 1)
				return
			}
			if tt.want.Action == Transmit {
				e, s := packet.Ethernet(tt.frame.Data), newWorld()
				equal(t, "source MAC", e.Src(), s.Ports[tt.want.Port].MAC)
				equal(t, "EtherType", e.Type() == packet.EtherTypeIPv6, tt.frame.Data[l3]>>4 == 6)
			}
		})
	}
}

func TestOutputOnReachesWhatHasAMeaningOnOneLinkOnly(t *testing.T) {
	tests := []struct {
		name string
		b    []byte
		mac  packet.MAC
	}{
		{"IPv4 multicast", ip4{src: "192.0.2.2", dst: "224.0.0.22"}.bytes(), packet.MAC{1, 0, 0x5e, 0, 0, 22}},
		{"limited broadcast", ip4{src: "192.0.2.2", dst: "255.255.255.255"}.bytes(), packet.Broadcast},
		{"IPv6 multicast", ip6{src: "fe80::2", dst: "ff02::16"}.bytes(), packet.MAC{0x33, 0x33, 0, 0, 0, 0x16}},
		{"link-local neighbour", ip6{src: "fe80::2", dst: "fe80::10"}.bytes(), macHost},
		{"any neighbour", ip4{src: "192.0.2.2", dst: "192.0.2.10"}.bytes(), macHost},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := own(tt.b)
			equal(t, "verdict", start().OutputOn(lan, f), Verdict{Action: Transmit, Port: lan})
			equal(t, "destination", packet.Ethernet(f.Data).Dst(), tt.mac)
		})
	}
	w, unknown := start(), own(ip6{src: "fe80::2", dst: "fe80::77"}.bytes())
	equal(t, "unresolved", w.OutputOn(lan, unknown), resolve(lan))
	equal(t, "port down", w.OutputOn(dead, own(ip4{src: "192.0.2.2", dst: "224.0.0.1"}.bytes())), drop(ReasonUnreachable))
	equal(t, "no such port", w.OutputOn(99, unknown), drop(ReasonPort))
	equal(t, "no packet", w.OutputOn(lan, own(nil)), drop(ReasonHeader))
	if _, _, ok := Resolve(newWorld(), unknown.Data); ok {
		t.Error("Resolve knows the port of a link-local neighbour")
	}
}

// Resolve names the next hop that Forward is going to use.
func TestResolveChoosesTheSameNextHopAsForward(t *testing.T) {
	hops := map[packet.MAC]netip.Addr{macISP: ip("203.0.113.1"), macISP2: ip("203.0.113.3")}
	hops6 := map[packet.MAC]netip.Addr{macISP: ip("2001:db8:2::1"), macISP2: ip("2001:db8:2::3")}
	seen := map[netip.Addr]bool{}
	for i := range uint16(64) {
		for _, f := range []*packet.Frame{
			from4(ip4{dst: "10.6.0.1", payload: udp(i, 53, nil)}),
			from6(ip6{dst: "2001:db8:6::1", payload: udp(i, 53, nil)}),
		} {
			s := newWorld()
			port, via, ok := Resolve(s, f.Data)
			w := NewForwarder()
			w.Begin(s, 1)
			equal(t, "verdict", w.Forward(lan, f), Verdict{Action: Transmit, Port: wan})
			want := hops[packet.Ethernet(f.Data).Dst()]
			if via.Is6() {
				want = hops6[packet.Ethernet(f.Data).Dst()]
			}
			equal(t, "via", via, want)
			equal(t, "port", port, wan)
			equal(t, "ok", ok, true)
			seen[via] = true
		}
	}
	equal(t, "next hops in use", len(seen), 4)
	for _, b := range [][]byte{nil, from4(ip4{dst: "9.9.9.9"}).Data, from4(ip4{dst: "10.66.0.1"}).Data} {
		if _, _, ok := Resolve(newWorld(), b); ok {
			t.Errorf("a neighbour for %x", b)
		}
	}
}
