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
