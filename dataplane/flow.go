package dataplane

import (
	"encoding/binary"
	"math/bits"

	"vrouter/packet"
)

// flow hashes the flow of an IP packet, cut to its length.
func flow(seed uint64, b []byte) uint64 {
	if b[0]>>4 == 4 {
		return flow4(seed, b)
	}
	return flow6(seed, b)
}

// flow4 hashes the flow of an IPv4 packet, cut to its total length: addresses,
// protocol and ports; of a fragment without the ports, which only the first
// one has, so that all fragments of a packet take one way.
func flow4(seed uint64, b []byte) uint64 {
	rest, hlen := uint64(b[9]), int(b[0]&15)*4
	if binary.BigEndian.Uint16(b[6:8])&0x3fff == 0 && hasPorts(b[9]) && len(b) >= hlen+4 {
		rest |= uint64(binary.BigEndian.Uint32(b[hlen:])) << 8
	}
	return finish(mix(mix(seed, binary.BigEndian.Uint64(b[12:20])), rest))
}

// flow6 hashes the flow of an IPv6 packet, cut to its length: addresses,
// upper-layer protocol and ports, of fragments without the ports. The flow
// label is left out: hosts change it to change the path of a connection that
// stands, and that must not happen to those that do not mean it.
func flow6(seed uint64, b []byte) uint64 {
	proto, off, fragment := b[6], packet.IPv6Len, false
	if !hasPorts(proto) {
		proto, off, fragment = upperLayer6(b)
	}
	rest := uint64(proto)
	if !fragment && hasPorts(proto) && len(b) >= off+4 {
		rest |= uint64(binary.BigEndian.Uint32(b[off:])) << 8
	}
	h := mix(seed, binary.BigEndian.Uint64(b[8:16]))
	h = mix(h, binary.BigEndian.Uint64(b[16:24]))
	h = mix(h, binary.BigEndian.Uint64(b[24:32]))
	h = mix(h, binary.BigEndian.Uint64(b[32:40]))
	return finish(mix(h, rest))
}

// hasPorts reports whether the first four bytes of the protocol are ports:
// TCP, UDP, DCCP, SCTP, UDP-Lite.
func hasPorts(proto uint8) bool {
	switch proto {
	case packet.ProtoTCP, packet.ProtoUDP, 33, 132, 136:
		return true
	}
	return false
}

// finish spreads the bits of a hash: buckets are chosen by its low ones, which
// after mix alone differ too regularly between ports in sequence.
func finish(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// mix folds v into a hash by a 64x64-bit product.
func mix(h, v uint64) uint64 {
	hi, lo := bits.Mul64(h^v^0x9e3779b97f4a7c15, v^0xe7037ed1a0b428db)
	return hi ^ lo
}
