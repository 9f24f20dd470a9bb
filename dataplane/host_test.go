package dataplane

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"vrouter/packet"
)

// bytesOf reads hexadecimal digits, blanks aside.
func bytesOf(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What a Linux kernel sends on a device by itself, as it was seen there.
func TestOnlyUnicastPacketsOfTheHostGoOut(t *testing.T) {
	for _, tt := range []struct {
		name, frame string
		want        bool
	}{
		{
			"an ARP request", `ffffffffffff 020000000001 0806 0001 0800 06 04 0001
			020000000001 cb007102 000000000000 cb007101`, false,
		},
		{
			"a neighbour solicitation", `3333ff000001 020000000001 86dd 60000000 0020 3a ff
			20010db8000200000000000000000002 ff0200000000000000000001ff000001
			87 00 0000 00000000 20010db8000200000000000000000001 01 01 020000000001`, false,
		},
		{
			"a solicitation that probes for duplicates", `3333ff000002 020000000001 86dd 60000000 0018 3a ff
			00000000000000000000000000000000 ff0200000000000000000001ff000002
			87 00 0000 00000000 20010db8000200000000000000000002`, false,
		},
		{
			"a unicast neighbour solicitation", `020000000002 020000000001 86dd 60000000 0018 3a ff
			20010db8000200000000000000000002 20010db8000200000000000000000001
			87 00 0000 00000000 20010db8000200000000000000000001`, false,
		},
		{
			"a router solicitation", `333300000002 020000000001 86dd 60000000 0008 3a ff
			fe8000000000000000000000000000aa ff020000000000000000000000000002 85 00 0000 00000000`, false,
		},
		{
			"an MLDv2 report", `333300000016 020000000001 86dd 60000000 0024 00 01
			fe8000000000000000000000000000aa ff020000000000000000000000000016
			3a 00 0502 0000 0100 8f 00 0000 0000 0001 04 00 0000 ff0500000000000000000000000012 34`, false,
		},
		{
			"an IGMPv3 report", `01005e000016 020000000001 0800 46 c0 0028 0000 4000 01 02 0000 cb007102 e0000016
			94040000 22 00 0000 0000 0001 04 00 0000 ef010203`, false,
		},
		{
			"mDNS", `01005e0000fb 020000000001 0800 45 00 001e 0000 4000 ff 11 0000 cb007102 e00000fb
			14e9 14e9 000a 0000 0000`, false,
		},
		{
			"DHCP", `ffffffffffff 020000000001 0800 45 00 001e 0000 4000 40 11 0000 00000000 ffffffff
			0044 0043 000a 0000 0000`, false,
		},
		{
			"a TCP segment with TTL 255", `020000000001 020000000001 0800 45 00 0028 0000 4000 ff 06 0000 cb007102 cb007101
			00b3 c000 00000000 00000000 5010 ffff 0000 0000`, true,
		},
		{
			"a ping over IPv6", `020000000001 020000000001 86dd 60000000 0008 3a 40
			20010db8000200000000000000000002 20010db8000200000000000000000001 80 00 0000 0001 0001`, true,
		},
		{
			"a packet of the other family than the EtherType says", `020000000001 020000000001 86dd 45 00 0028 0000 4000 ff 06 0000
			cb007102 cb007101 00b3 c000 00000000 00000000 5010 ffff 0000 0000`, false,
		},
		{"a cut frame", `020000000001 0200`, false},
	} {
		if got := FromHost(bytesOf(t, tt.frame)); got != tt.want {
			t.Errorf("%s goes out: %v", tt.name, got)
		}
	}
}

func TestAnswersToPingsAreForBoth(t *testing.T) {
	fragment := own(ip4{src: "192.0.2.10", dst: "192.0.2.2", proto: packet.ProtoICMP, payload: make([]byte, 64)}.bytes()).Data
	fragment[packet.EthernetLen+6], fragment[packet.EthernetLen+7] = 0, 100 // not the first
	for _, tt := range []struct {
		name  string
		frame []byte
		want  bool
	}{
		{"echo reply", own(ip4{src: "192.0.2.10", dst: "192.0.2.2", proto: packet.ProtoICMP, payload: []byte{packet.ICMPEchoReply, 0, 0, 0, 0, 1, 0, 1}}.bytes()).Data, true},
		{"echo request", own(ip4{src: "192.0.2.10", dst: "192.0.2.2", proto: packet.ProtoICMP, payload: []byte{packet.ICMPEcho, 0, 0, 0, 0, 1, 0, 1}}.bytes()).Data, false},
		{"ICMP error", own(ip4{src: "192.0.2.10", dst: "192.0.2.2", proto: packet.ProtoICMP, payload: []byte{packet.ICMPUnreachable, 1, 0, 0, 0, 0, 0, 0}}.bytes()).Data, true},
		{"a later fragment", fragment, true},
		{"TCP", own(ip4{src: "192.0.2.10", dst: "192.0.2.2", proto: packet.ProtoTCP, payload: make([]byte, 20)}.bytes()).Data, false},
		{"IPv6 echo reply", own(ip6{src: "2001:db8:1::10", dst: "2001:db8:1::2", next: packet.ProtoICMPv6, payload: []byte{packet.ICMPv6EchoReply, 0, 0, 0, 0, 1, 0, 1}}.bytes()).Data, true},
		{"IPv6 echo request", own(ip6{src: "2001:db8:1::10", dst: "2001:db8:1::2", next: packet.ProtoICMPv6, payload: []byte{packet.ICMPv6Echo, 0, 0, 0, 0, 1, 0, 1}}.bytes()).Data, false},
		{"UDP over IPv6", own(ip6{src: "2001:db8:1::10", dst: "2001:db8:1::2", next: packet.ProtoUDP, payload: make([]byte, 8)}.bytes()).Data, false},
		{"nothing", nil, false},
	} {
		if got := MayAnswerPing(tt.frame); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestALargeTCPPacketIsSegmentsToTheKernel(t *testing.T) {
	tcp := make([]byte, 4020)
	tcp[12] = 8 << 4 // 32 bytes of header
	for _, tt := range []struct {
		name  string
		frame []byte
		want  packet.VNet
	}{
		{
			"IPv4", own(ip4{src: "192.0.2.10", dst: "192.0.2.2", proto: packet.ProtoTCP, payload: tcp}.bytes()).Data,
			packet.VNet{GSOType: packet.GSOTCPv4, HdrLen: 14 + 20 + 32, GSOSize: 1500 - 20 - 32},
		},
		{
			"IPv6", own(ip6{src: "2001:db8:1::10", dst: "2001:db8:1::2", next: packet.ProtoTCP, payload: tcp}.bytes()).Data,
			packet.VNet{GSOType: packet.GSOTCPv6, HdrLen: 14 + 40 + 32, GSOSize: 1500 - 40 - 32},
		},
		{"UDP", own(ip4{src: "192.0.2.10", dst: "192.0.2.2", proto: packet.ProtoUDP, payload: tcp}.bytes()).Data, packet.VNet{}},
		{"it fits", own(ip4{src: "192.0.2.10", dst: "192.0.2.2", proto: packet.ProtoTCP, payload: tcp[:1000]}.bytes()).Data, packet.VNet{}},
		{"no TCP header", own(ip4{src: "192.0.2.10", dst: "192.0.2.2", proto: packet.ProtoTCP, payload: make([]byte, 4020)}.bytes()).Data, packet.VNet{}},
	} {
		f := packet.Frame{Data: tt.frame}
		MarkSegments(&f, 1500)
		if f.VNet != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, f.VNet, tt.want)
		}
	}
}

func TestTheHostIsToldWhyItsPacketDoesNotGoOut(t *testing.T) {
	gateway4, gateway6 := netip.MustParseAddr("169.254.118.114"), netip.MustParseAddr("fe80::7672")
	for _, tt := range []struct {
		name       string
		frame      *packet.Frame
		kind, code byte
		mtu        int
	}{
		{"no route", own(ip4{src: "192.0.2.2", dst: "9.9.9.9"}.bytes()), packet.ICMPUnreachable, packet.ICMPCodeNet, 0},
		{"unreachable", own(ip4{src: "192.0.2.2", dst: "10.67.0.1"}.bytes()), packet.ICMPUnreachable, packet.ICMPCodeHost, 0},
		{"too big", own(ip6{src: "2001:db8:1::2", dst: "2001:db8:3::10", payload: make([]byte, 1300)}.bytes()), packet.ICMPv6TooBig, 0, 1280},
		{"silently dropped", own(ip4{src: "192.0.2.2", dst: "10.66.0.1"}.bytes()), 0, 0, -1},
		{"an ICMP error itself", own(ip4{src: "192.0.2.2", dst: "9.9.9.9", proto: packet.ProtoICMP, payload: []byte{packet.ICMPUnreachable, 1, 0, 0, 0, 0, 0, 0}}.bytes()), 0, 0, -1},
	} {
		w := start()
		v := w.Output(tt.frame)
		if v.Action != Drop {
			t.Fatalf("%s: %+v", tt.name, v)
		}
		b := w.Refuse(tt.frame, v, gateway4, gateway6)
		if tt.mtu < 0 {
			if b != nil {
				t.Errorf("%s: an answer % x", tt.name, b)
			}
			continue
		}
		src, _ := Source(b)
		dst, ok := Destination(b)
		p, _ := parseIP(b)
		icmp := p.data[packet.IPv4Len:]
		wantSource := gateway4
		if p.v6 {
			icmp, wantSource = p.data[packet.IPv6Len:], gateway6
		}
		sent, _ := Source(tt.frame.Data)
		if !ok || src != wantSource || dst != sent || icmp[0] != tt.kind || icmp[1] != tt.code || packet.Ethernet(b).Type() != p.etherType() {
			t.Errorf("%s: from %s to %s: % x", tt.name, src, dst, icmp)
		}
		if got := int(icmp[6])<<8 | int(icmp[7]); got != tt.mtu {
			t.Errorf("%s: MTU %d, want %d", tt.name, got, tt.mtu)
		}
	}
}

// Whatever the kernel, or the wire, hands over: what goes out is unicast IP and
// no Neighbor Discovery, and marks of segments fit the frame.
func FuzzHost(f *testing.F) {
	for _, frame := range benchFrames() {
		f.Add(frame.Data)
	}
	f.Add(own(ip6{src: "2001:db8:1::2", dst: "2001:db8:1::10", next: packet.ProtoICMPv6, payload: []byte{135, 0, 0, 0}}.bytes()).Data)
	f.Add(own(ip4{src: "192.0.2.2", dst: "9.9.9.9", proto: packet.ProtoTCP, payload: append([]byte{12: 0x50}, make([]byte, 3000)...)}.bytes()).Data)
	s := newWorld()
	f.Fuzz(func(t *testing.T, data []byte) {
		dst, ok := Destination(data)
		if FromHost(data) {
			if !ok || dst.IsMulticast() || dst == broadcast4 {
				t.Fatalf("to %s goes out", dst)
			}
			if ip, ok := packet.ParseIPv6(data[packet.EthernetLen:]); ok && ip.NextHeader() == packet.ProtoICMPv6 && len(ip) > packet.IPv6Len && ip[packet.IPv6Len] >= 133 && ip[packet.IPv6Len] <= 137 {
				t.Fatal("Neighbor Discovery goes out")
			}
		}
		MayAnswerPing(data)
		frame := packet.Frame{Data: data}
		MarkSegments(&frame, 1500)
		if v := frame.VNet; v.IsGSO() && (v.GSOSize == 0 || int(v.HdrLen) >= len(data) || int(v.HdrLen)+int(v.GSOSize) > packet.EthernetLen+1500) {
			t.Fatalf("%+v in %d bytes", v, len(data))
		}
		w := NewForwarder()
		w.Begin(s, 1)
		for _, reason := range []Reason{ReasonTooBig, ReasonNoRoute, ReasonUnreachable} {
			b := w.Refuse(&packet.Frame{Data: data}, Verdict{Port: narrow, Cause: Cause{Reason: reason}}, ip("169.254.118.114"), ip("fe80::7672"))
			if src, ok := Source(b); b != nil && (!ok || !src.IsLinkLocalUnicast()) {
				t.Fatalf("% x", b)
			}
		}
	})
}

// A flood of anything else to the router's addresses must not end a session.
func TestBGPHasAQueueOfItsOwn(t *testing.T) {
	segment := func(src, dst byte) []byte { return []byte{0, src, 0, dst, 19: 0} }
	for _, tt := range []struct {
		name  string
		frame *packet.Frame
		want  Class
	}{
		{"from the neighbour's port", from4(ip4{src: "192.0.2.10", dst: "192.0.2.2", proto: packet.ProtoTCP, payload: segment(179, 99)}), ClassBGP},
		{"to our port", from4(ip4{src: "192.0.2.10", dst: "192.0.2.2", proto: packet.ProtoTCP, payload: segment(99, 179)}), ClassBGP},
		{"other TCP", from4(ip4{src: "192.0.2.10", dst: "192.0.2.2", proto: packet.ProtoTCP, payload: segment(99, 22)}), ClassLocal},
		{"UDP", from4(ip4{src: "192.0.2.10", dst: "192.0.2.2", proto: packet.ProtoUDP, payload: segment(99, 179)}), ClassLocal},
		{"IPv6", from6(ip6{src: "2001:db8:1::10", dst: "2001:db8:1::2", next: packet.ProtoTCP, payload: segment(99, 179)}), ClassBGP},
		{"a cut segment", from6(ip6{src: "2001:db8:1::10", dst: "2001:db8:1::2", next: packet.ProtoTCP, payload: []byte{0, 179}}), ClassLocal},
	} {
		w := start()
		if v := w.Forward(lan, tt.frame); v.Action != Punt || v.Class != tt.want {
			t.Errorf("%s: %+v, want class %s", tt.name, v, tt.want)
		}
	}
}
