package packet

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Sum adds b to a running ones'-complement sum (RFC 1071). A sum is kept
// unfolded in 64 bits; pieces may be added in any order as long as every piece
// but the last has an even length. Start with 0, end with Checksum.
func Sum(sum uint64, b []byte) uint64 {
	var carry uint64
	for len(b) >= 32 {
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b), 0)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b[8:]), carry)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b[16:]), carry)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b[24:]), carry)
		sum, carry = bits.Add64(sum, carry, 0)
		sum += carry
		b = b[32:]
	}
	for len(b) >= 8 {
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b), 0)
		sum += carry
		b = b[8:]
	}
	if len(b) > 0 {
		var tail [8]byte
		copy(tail[:], b)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(tail[:]), 0)
		sum += carry
	}
	return sum
}

// Fold reduces a running sum to 16 bits.
func Fold(sum uint64) uint16 {
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return uint16(sum)
}

// Checksum is the complement of a folded sum: the value of a checksum field,
// computed with the field itself zero. Over a region with a correct checksum
// in place it is 0.
func Checksum(sum uint64) uint16 { return ^Fold(sum) }

// PseudoHeader returns the sum of the pseudo header of an upper-layer
// protocol: RFC 768/793 for IPv4, RFC 8200 8.1 for IPv6. src and dst are of
// one family; length is that of the upper-layer header and payload in bytes.
func PseudoHeader(src, dst netip.Addr, proto uint8, length int) uint64 {
	sum := uint64(proto) + uint64(length)
	if src.Is4() {
		s, d := src.As4(), dst.As4()
		return Sum(Sum(sum, s[:]), d[:])
	}
	s, d := src.As16(), dst.As16()
	return Sum(Sum(sum, s[:]), d[:])
}

// UpdateChecksum returns the checksum field after one 16-bit word of the
// summed region has changed from old to new (RFC 1624, equation 3).
func UpdateChecksum(check, old, new uint16) uint16 {
	sum := uint32(^check) + uint32(^old) + uint32(new)
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return ^uint16(sum)
}
