package fib

import (
	"encoding/binary"
	"net/netip"
)

// OwnSet tells in a nanosecond that an address is certainly not one of the
// router's own: a Bloom filter with one hash function. The zero value is the
// empty set.
type OwnSet [8]uint64

// Add puts an address into the set.
func (s *OwnSet) Add(a netip.Addr) {
	var h uint32
	if a.Is4() {
		b := a.As4()
		h = ownHash4(binary.BigEndian.Uint32(b[:]))
	} else {
		b := a.As16()
		h = ownHash6(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]))
	}
	s[h>>6] |= 1 << (h & 63)
}

// May4 reports whether the IPv4 address may be in the set; false is certain.
func (s *OwnSet) May4(a uint32) bool {
	h := ownHash4(a)
	return s[h>>6]&(1<<(h&63)) != 0
}

// May6 reports whether the IPv6 address, given as its two halves, may be in
// the set; false is certain.
func (s *OwnSet) May6(hi, lo uint64) bool {
	h := ownHash6(hi, lo)
	return s[h>>6]&(1<<(h&63)) != 0
}

// The hashes choose one of 512 bits by the upper bits of a product with an
// odd constant (Fibonacci hashing).
func ownHash4(a uint32) uint32 { return a * 0x9e3779b1 >> 23 }

func ownHash6(hi, lo uint64) uint32 {
	return uint32((hi*0xff51afd7ed558ccd ^ lo) * 0x9e3779b97f4a7c15 >> 55)
}
