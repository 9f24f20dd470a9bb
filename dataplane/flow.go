package dataplane

import (
	"encoding/binary"
	"math/bits"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// flow hashes the flow of an IP packet, cut to its length (fib.FlowSeed says how).
// Its upper bits choose a bucket.
func flow(seed uint64, b []byte) uint64 {
	sum := uint64(0)
	if b[0]>>4 == 4 {
		sum = flow4(b)
	} else {
		sum = flow6(b)
	}
	return sum * (seed | 1)
}

// flow4 sums up the flow of an IPv4 packet, cut to its total length: addresses,
// protocol and ports; of a fragment without the ports, which only the first
// one has, so that all fragments of a packet take one way.
func flow4(b []byte) uint64 {
	sum := uint64(binary.BigEndian.Uint32(b[12:16]))*fib.FlowSource +
		uint64(binary.BigEndian.Uint32(b[16:20]))*fib.FlowDestination + uint64(b[9])*fib.FlowProtocol
	hlen := int(b[0]&15) * 4
	if binary.BigEndian.Uint16(b[6:8])&0x3fff == 0 && hasPorts(b[9]) && len(b) >= hlen+4 {
		sum += uint64(binary.BigEndian.Uint32(b[hlen:])) * fib.FlowPorts
	}
	return sum
}

// flow6 sums up the flow of an IPv6 packet, cut to its length: addresses,
// upper-layer protocol and ports, of fragments without the ports. The flow
// label is left out: hosts change it to change the path of a connection that
// stands, and that must not happen to those that do not mean it.
func flow6(b []byte) uint64 {
	proto, off, fragment := b[6], packet.IPv6Len, false
	if !hasPorts(proto) {
		proto, off, fragment = upperLayer6(b)
	}
	sum := binary.BigEndian.Uint64(b[8:16])*fib.FlowSourceNet + binary.BigEndian.Uint64(b[16:24])*fib.FlowSource +
		binary.BigEndian.Uint64(b[24:32])*fib.FlowDestinationNet + binary.BigEndian.Uint64(b[32:40])*fib.FlowDestination +
		uint64(proto)*fib.FlowProtocol
	if !fragment && hasPorts(proto) && len(b) >= off+4 {
		sum += uint64(binary.BigEndian.Uint32(b[off:])) * fib.FlowPorts
	}
	return sum
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

// mix folds v into a hash by a 64x64-bit product.
func mix(h, v uint64) uint64 {
	hi, lo := bits.Mul64(h^v^0x9e3779b97f4a7c15, v^0xe7037ed1a0b428db)
	return hi ^ lo
}
