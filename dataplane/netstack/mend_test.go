package netstack

import (
	"net/netip"
	"testing"

	"vrouter/packet"
)

// TestRestoreTTL: whatever TTL gVisor made up, the packet leaves with the right
// one and a good checksum; packets of others are left alone.
func TestRestoreTTL(t *testing.T) {
	make4 := func(ttl uint8, src string) []byte {
		b := make([]byte, packet.IPv4Len)
		h := packet.IPv4Header{
			ID: 7, TTL: ttl, Protocol: 17, Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr("198.51.100.1"),
		}
		h.Put(b, 0)
		return b
	}
	in := make4(64, "192.0.2.10")
	for _, wrong := range []uint8{0, 12, 63, 255} {
		out := make4(wrong, "192.0.2.10")
		restoreTTL(in, out)
		if p := packet.IPv4(out); p.TTL() != 63 || !p.HeaderOK() {
			t.Errorf("TTL %d became %d, checksum good: %v", wrong, p.TTL(), p.HeaderOK())
		}
	}
	other := make4(12, "192.0.2.11")
	restoreTTL(in, other)
	if packet.IPv4(other).TTL() != 12 {
		t.Error("the TTL of another packet was changed")
	}
}

func TestTooManyHeadersDoNotEndTheProcess(t *testing.T) {
	e := testEngine(t)
	chain := func(headers int, next byte, payload int) []byte {
		var b []byte
		for i := range headers { // of 128 bytes each
			header := make([]byte, 128)
			header[0], header[1] = packet.ProtoDestOpts, 15
			if i == headers-1 {
				header[0] = next
			}
			for at := 2; at < 128; at += 126 {
				header[at], header[at+1] = 1, 124 // padding (RFC 8200 4.2)
			}
			b = append(b, header...)
		}
		first := byte(packet.ProtoDestOpts)
		if headers == 0 {
			first = next
		}
		return ip("2001:db8:1::77", "2001:db8:8000::1", 64, first, append(b, make([]byte, payload)...))
	}
	for _, test := range []struct {
		name string
		b    []byte
		out  int
	}{
		{"a chain of 1192 bytes", chain(9, packet.ProtoUDP, 100), 1},
		{"a chain of 1320 bytes", chain(10, packet.ProtoUDP, 40), 0},
		{"a chain of 1320 bytes, cut off", chain(10, packet.ProtoDestOpts, 4), 0},
		{"no upper layer in 1280 bytes", chain(0, protoNone, 1240), 1},
		{"no upper layer in 1281 bytes", chain(0, protoNone, 1241), 0},
		{"no upper layer behind headers", chain(2, protoNone, 1000), 0},
	} {
		if out := e.ForwardOne(0, test.b); len(out) != test.out {
			t.Errorf("%s: %d packets, want %d", test.name, len(out), test.out)
		}
	}
	if n := e.Stats().DroppedIn; n != 4 {
		t.Errorf("%d counted, want 4", n)
	}
}
