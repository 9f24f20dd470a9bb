package netstack

import (
	"encoding/binary"
	"net/netip"

	"vrouter/packet"
)

// What gVisor's forwarder does wrong with single packets is put right here,
// before or after it.

// expireTTL makes gVisor see that an IPv4 packet with TTL 1 must not be
// forwarded: it checks for 0 only, before it decrements (ipv4.go,
// forwardUnicastPacket), unlike its IPv6.
func expireTTL(b []byte) {
	if b[8] != 1 {
		return
	}
	old := binary.BigEndian.Uint16(b[8:])
	b[8] = 0
	check := packet.UpdateChecksum(binary.BigEndian.Uint16(b[10:]), old, binary.BigEndian.Uint16(b[8:]))
	binary.BigEndian.PutUint16(b[10:], check)
}

// completeTooBig puts the MTU into a packet-too-big message of gVisor, which
// sends it with MTU 0 (icmp.go, returnError; RFC 4443 3.2 wants that of the
// next hop's link). One of another router, in transit, stays as it is.
func completeTooBig(p *plan, b []byte) {
	ip, ok := packet.ParseIPv6(b)
	if !ok || !p.owns(ip.Src()) || ip.NextHeader() != packet.ProtoICMPv6 || len(ip.Payload()) < echoLen+packet.IPv6Len {
		return
	}
	msg := ip.Payload()
	if msg[0] != packet.ICMPv6TooBig || binary.BigEndian.Uint32(msg[4:]) != 0 {
		return
	}
	dst := netip.AddrFrom16([16]byte(msg[echoLen+24 : echoLen+40]))
	mtu := p.mtu(dst)
	binary.BigEndian.PutUint32(msg[4:], uint32(mtu))
	check := binary.BigEndian.Uint16(msg[2:])
	check = packet.UpdateChecksum(check, 0, uint16(mtu>>16))
	check = packet.UpdateChecksum(check, 0, uint16(mtu))
	binary.BigEndian.PutUint16(msg[2:], check)
}

// restoreOffset corrects what gVisor makes of a fragment that it has to cut
// again: it counts the offsets of the pieces from the start of the fragment,
// not of the original packet (ipv4.go, buildNextFragment; RFC 791 3.2). in is
// the packet as it came, out one that gVisor sent.
func restoreOffset(in, out []byte) {
	was, ok1 := packet.ParseIPv4(in)
	is, ok2 := packet.ParseIPv4(out)
	if !ok1 || !ok2 || was.FragmentOffset() == 0 || len(is) >= len(was) ||
		is.ID() != was.ID() || is.Protocol() != was.Protocol() || is.Src() != was.Src() || is.Dst() != was.Dst() {
		return
	}
	old := binary.BigEndian.Uint16(is[6:])
	binary.BigEndian.PutUint16(is[6:], old+uint16(was.FragmentOffset()/8))
	check := packet.UpdateChecksum(binary.BigEndian.Uint16(is[10:]), old, binary.BigEndian.Uint16(is[6:]))
	binary.BigEndian.PutUint16(is[10:], check)
}

// restoreTTL puts in the TTL that a forwarded IPv4 packet must have. gVisor
// reads the old one from memory that it has given back to a pool which all
// stacks of the process share (ipv4.go, forwardPacketWithRoute: the slice h,
// after DeepCopyForForwarding), so it may be anything; the race detector sees
// it, too. in is the packet as it came, out one that gVisor sent.
func restoreTTL(in, out []byte) {
	was, ok1 := packet.ParseIPv4(in)
	is, ok2 := packet.ParseIPv4(out)
	if !ok1 || !ok2 || is.TTL() == was.TTL()-1 ||
		is.ID() != was.ID() || is.Protocol() != was.Protocol() || is.Src() != was.Src() || is.Dst() != was.Dst() {
		return
	}
	old := binary.BigEndian.Uint16(is[8:])
	is[8] = was.TTL() - 1
	check := packet.UpdateChecksum(binary.BigEndian.Uint16(is[10:]), old, binary.BigEndian.Uint16(is[8:]))
	binary.BigEndian.PutUint16(is[10:], check)
}

// endless reports whether gVisor's forwarder would end the process over an IPv6
// packet: its headers, to which it counts all of a packet without an upper
// layer, are longer than 1280 bytes (ipv6.go, calculateNetworkMTU and
// handleForwardingError; RFC 7112 5).
func endless(b packet.IPv6) bool {
	next, at := b.NextHeader(), packet.IPv6Len
	for at+8 <= len(b) {
		size := 8 + int(b[at+1])*8
		switch next {
		case packet.ProtoFragment:
			size = 8
			if binary.BigEndian.Uint16(b[at+2:])&0xfff9 != 0 { // no atomic one: what follows is not read
				return at+size > ipv6MinMTU
			}
		case packet.ProtoHopByHop, packet.ProtoRouting, packet.ProtoDestOpts:
		case protoNone:
			return len(b) > ipv6MinMTU
		default:
			return at > ipv6MinMTU
		}
		if at+size > len(b) {
			return len(b) > ipv6MinMTU // cut off
		}
		next, at = b[at], at+size
	}
	return len(b) > ipv6MinMTU && (next == protoNone || at > ipv6MinMTU)
}

const (
	ipv6MinMTU = 1280
	protoNone  = 59 // no next header (RFC 8200 4.7)
)
