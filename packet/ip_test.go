package packet

import (
	"bytes"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// The headers are compared with golang.org/x/net, which shares no code with
// this package.

func TestIPv4HeaderAgreesWithXNet(t *testing.T) {
	h := IPv4Header{
		TOS: 0xc0, ID: 0x1234, DontFragment: true, TTL: 255, Protocol: ProtoVRRP,
		Src: netip.MustParseAddr("192.0.2.2"), Dst: netip.MustParseAddr("224.0.0.18"),
	}
	b := make([]byte, IPv4Len+12)
	h.Put(b, 12)
	x, err := ipv4.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	ip, ok := ParseIPv4(b)
	if !ok {
		t.Fatal("ParseIPv4 refuses what Put wrote")
	}
	if !ip.HeaderOK() {
		t.Error("checksum is wrong")
	}
	if x.TTL != 255 || x.TOS != 0xc0 || x.ID != 0x1234 || x.Flags != ipv4.DontFragment ||
		x.Protocol != ProtoVRRP || x.TotalLen != len(b) ||
		!x.Src.Equal(net.IPv4(192, 0, 2, 2)) || !x.Dst.Equal(net.IPv4(224, 0, 0, 18)) {
		t.Errorf("x/net reads %+v", x)
	}
	if ip.TTL() != 255 || ip.TOS() != 0xc0 || ip.ID() != 0x1234 || !ip.DontFragment() || ip.MoreFragments() ||
		ip.Src() != h.Src || ip.Dst() != h.Dst || len(ip.Payload()) != 12 {
		t.Errorf("the view reads %v", []byte(ip))
	}
}

func TestIPv4ViewAgreesWithXNet(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		h := &ipv4.Header{
			Version: 4, Len: 20 + 4*r.IntN(11), TOS: r.IntN(256), ID: r.IntN(1 << 16),
			Flags: ipv4.HeaderFlags(r.IntN(4)), FragOff: r.IntN(1 << 13), TTL: r.IntN(256), Protocol: r.IntN(256),
			Src: net.IPv4(192, 0, 2, byte(r.IntN(256))), Dst: net.IPv4(198, 51, 100, byte(r.IntN(256))),
		}
		h.Options = make([]byte, h.Len-20)
		h.TotalLen = h.Len + r.IntN(100)
		head, err := h.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		padding := r.IntN(20)
		ip, ok := ParseIPv4(append(head, make([]byte, h.TotalLen-h.Len+padding)...))
		if !ok || len(ip) != h.TotalLen {
			t.Fatalf("%v: parsed %v, %d bytes", h, ok, len(ip))
		}
		if ip.HeaderLen() != h.Len || int(ip.TOS()) != h.TOS || int(ip.ID()) != h.ID ||
			ip.DontFragment() != (h.Flags&ipv4.DontFragment != 0) || ip.MoreFragments() != (h.Flags&ipv4.MoreFragments != 0) ||
			ip.FragmentOffset() != h.FragOff*8 || int(ip.TTL()) != h.TTL || int(ip.Protocol()) != h.Protocol {
			t.Fatalf("x/net wrote %v, the view reads %v", h, head)
		}
	}
}

func TestIPv6ViewAgreesWithXNet(t *testing.T) {
	h := IPv6Header{
		TrafficClass: 0xc0, NextHeader: ProtoICMPv6, HopLimit: 254,
		Src: netip.MustParseAddr("2001:db8::1"), Dst: netip.MustParseAddr("ff02::12"),
	}
	b := make([]byte, IPv6Len+9)
	h.Put(b, 9)
	x, err := ipv6.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	if x.TrafficClass != 0xc0 || x.NextHeader != ProtoICMPv6 || x.HopLimit != 254 || x.PayloadLen != 9 ||
		x.FlowLabel != 0 || !bytes.Equal(x.Src, h.Src.AsSlice()) || !bytes.Equal(x.Dst, h.Dst.AsSlice()) {
		t.Errorf("x/net reads %+v", x)
	}
	b[1], b[2], b[3] = b[1]|0x0a, 0xbc, 0xde
	ip, ok := ParseIPv6(append(b, 1, 2, 3))
	if !ok || len(ip) != len(b) || ip.FlowLabel() != 0xabcde || ip.TrafficClass() != 0xc0 ||
		ip.HopLimit() != 254 || ip.NextHeader() != ProtoICMPv6 || ip.Src() != h.Src || ip.Dst() != h.Dst {
		t.Errorf("the view reads %v", []byte(ip))
	}
}

func TestParseIPv4Refuses(t *testing.T) {
	good := make([]byte, 28)
	(&IPv4Header{TTL: 1, Src: netip.AddrFrom4([4]byte{192, 0, 2, 1}), Dst: netip.AddrFrom4([4]byte{192, 0, 2, 2})}).Put(good, 8)
	for name, change := range map[string]func(b []byte) []byte{
		"short":                    func(b []byte) []byte { return b[:19] },
		"version 6":                func(b []byte) []byte { b[0] = 0x65; return b },
		"header of 16 bytes":       func(b []byte) []byte { b[0] = 0x44; return b },
		"header beyond the packet": func(b []byte) []byte { b[0] = 0x48; return b },
		"total under header":       func(b []byte) []byte { b[2], b[3] = 0, 19; return b },
		"total beyond the frame":   func(b []byte) []byte { b[2], b[3] = 0, 29; return b },
		"empty":                    func([]byte) []byte { return nil },
	} {
		if _, ok := ParseIPv4(change(bytes.Clone(good))); ok {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, ok := ParseIPv4(good); !ok {
		t.Error("the good one: refused")
	}
	good[8]++
	if ip, _ := ParseIPv4(good); ip.HeaderOK() {
		t.Error("a changed header has a good checksum")
	}
}

func TestParseIPv6Refuses(t *testing.T) {
	good := make([]byte, 48)
	(&IPv6Header{HopLimit: 1, Src: netip.IPv6Loopback(), Dst: netip.IPv6Loopback()}).Put(good, 8)
	for name, change := range map[string]func(b []byte) []byte{
		"short":                    func(b []byte) []byte { return b[:39] },
		"version 4":                func(b []byte) []byte { b[0] = 0x40; return b },
		"payload beyond the frame": func(b []byte) []byte { b[5] = 9; return b },
	} {
		if _, ok := ParseIPv6(change(bytes.Clone(good))); ok {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, ok := ParseIPv6(good); !ok {
		t.Error("the good one: refused")
	}
}

func FuzzParseIP(f *testing.F) {
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		if ip, ok := ParseIPv4(b); ok {
			if len(ip.Payload())+ip.HeaderLen() != len(ip) || len(ip) > len(b) {
				t.Fatalf("lengths of %v", b)
			}
			_ = ip.HeaderOK()
		}
		if ip, ok := ParseIPv6(b); ok && len(ip.Payload())+IPv6Len != len(ip) {
			t.Fatalf("lengths of %v", b)
		}
		_, _ = ParseEthernet(b)
	})
}
