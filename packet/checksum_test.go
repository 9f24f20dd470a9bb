package packet

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// slowSum is RFC 1071 4.1 by the letter.
func slowSum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
		sum = sum&0xffff + sum>>16
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// same compares checksums as numbers of ones' complement: 0 and 0xffff are one.
func same(a, b uint16) bool { return a == b || a == 0 && b == 0xffff || a == 0xffff && b == 0 }

func TestSumAgreesWithRFC1071(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 300 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if n%7 == 0 { // carries everywhere
			for i := range b {
				b[i] = 0xff
			}
		}
		if got, want := Checksum(Sum(0, b)), slowSum(b); !same(got, want) {
			t.Fatalf("%d bytes: %04x, want %04x", n, got, want)
		}
		cut := n / 2 &^ 1
		if got, want := Checksum(Sum(Sum(0, b[:cut]), b[cut:])), slowSum(b); !same(got, want) {
			t.Fatalf("%d bytes in two pieces: %04x, want %04x", n, got, want)
		}
	}
}

// The example of RFC 1071 3: 00 01 f2 03 f4 f5 f6 f7 sum up to ddf2.
func TestSumOfTheRFCsExample(t *testing.T) {
	if got := Fold(Sum(0, []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7})); got != 0xddf2 {
		t.Errorf("%04x, want ddf2", got)
	}
}

func TestUpdateChecksumAgreesWithRecomputing(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	b := make([]byte, 20)
	for range 20000 {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		b[0] = 0x45 // a header's sum is never zero
		binary.BigEndian.PutUint16(b[10:], 0)
		check := Checksum(Sum(0, b))
		old := binary.BigEndian.Uint16(b[8:])
		binary.BigEndian.PutUint16(b[8:], old-0x100)
		if got, want := UpdateChecksum(check, old, old-0x100), Checksum(Sum(0, b)); got != want {
			t.Fatalf("%x: %04x, want %04x", b, got, want)
		}
	}
}

// RFC 1624 4: with HC = dd2f, m = 5555, m' = 3285 the new checksum is 0000.
func TestUpdateChecksumOfTheRFCsExample(t *testing.T) {
	if got := UpdateChecksum(0xdd2f, 0x5555, 0x3285); got != 0x0000 {
		t.Errorf("%04x, want 0000", got)
	}
}

func TestPseudoHeader(t *testing.T) {
	for _, c := range []struct{ src, dst string }{{"192.0.2.1", "224.0.0.18"}, {"fe80::1", "ff02::12"}} {
		src, dst := netip.MustParseAddr(c.src), netip.MustParseAddr(c.dst)
		bytes := append(src.AsSlice(), dst.AsSlice()...)
		if src.Is4() {
			bytes = append(bytes, 0, ProtoVRRP, 0, 28) // RFC 768
		} else {
			bytes = append(bytes, 0, 0, 0, 28, 0, 0, 0, ProtoVRRP) // RFC 8200 8.1
		}
		if got, want := Checksum(PseudoHeader(src, dst, ProtoVRRP, 28)), slowSum(bytes); !same(got, want) {
			t.Errorf("%s: %04x, want %04x", c.src, got, want)
		}
	}
}

func BenchmarkSum1500(b *testing.B) {
	data := make([]byte, 1500)
	b.SetBytes(1500)
	for b.Loop() {
		Sum(0, data)
	}
}
