package dataplane

import (
	"encoding/binary"
	"net/netip"

	"vrouter/packet"
)

// Destination returns the destination of the IP packet in a frame.
func Destination(frame []byte) (netip.Addr, bool) {
	p, ok := parseIP(frame)
	return p.dst, ok
}

// Source returns the source of the IP packet in a frame.
func Source(frame []byte) (netip.Addr, bool) {
	p, ok := parseIP(frame)
	return p.src, ok
}

// FromHost reports whether a frame that the host's kernel has sent on a host TAP
// is one for others: a unicast IP packet. What the kernel says of itself to its
// link (ARP, Neighbor Discovery, membership of groups, router solicitations) is
// not: on the wire the router alone speaks for its addresses.
func FromHost(frame []byte) bool {
	if len(frame) < packet.EthernetLen {
		return false
	}
	etherType := packet.Ethernet(frame).Type()
	p, ok := parseIP(frame)
	if !ok || etherType != p.etherType() || p.dst.IsMulticast() || p.dst == broadcast4 || p.src.IsUnspecified() {
		return false
	}
	if !p.v6 {
		return p.data[9] != packet.ProtoIGMP
	}
	proto, off, fragment := upperLayer6(packet.IPv6(p.data))
	return !isND(packet.IPv6(p.data), proto, off, fragment) && !(proto == packet.ProtoICMPv6 && isMLD(packet.IPv6(p.data), off))
}

// MayAnswerPing reports whether an IP packet in a frame may be what an echo
// request of the local stack waits for: an echo reply, an ICMP error, or part of
// one.
func MayAnswerPing(frame []byte) bool {
	p, ok := parseIP(frame)
	if !ok {
		return false
	}
	if !p.v6 {
		ip := packet.IPv4(p.data)
		if ip.Protocol() != packet.ProtoICMP {
			return false
		}
		payload := ip.Payload()
		return ip.FragmentOffset() != 0 || len(payload) > 0 && payload[0] != packet.ICMPEcho
	}
	proto, off, fragment := upperLayer6(packet.IPv6(p.data))
	if proto != packet.ProtoICMPv6 {
		return false
	}
	return off == len(p.data) && fragment || off < len(p.data) && p.data[off] != packet.ICMPv6Echo
}

// MarkSegments gives a TCP packet that is larger than an MTU, since it came as
// one GSO frame, its virtio-net header again: the kernel takes it for what it is,
// so many segments.
func MarkSegments(f *packet.Frame, mtu int) {
	p, ok := parseIP(f.Data)
	if !ok || len(p.data) <= mtu || f.VNet != (packet.VNet{}) {
		return
	}
	kind, off := uint8(packet.GSOTCPv4), 0
	if p.v6 {
		var proto uint8
		if proto, off, ok = upperLayer6(packet.IPv6(p.data)); proto != packet.ProtoTCP || ok {
			return
		}
		kind = packet.GSOTCPv6
	} else {
		ip := packet.IPv4(p.data)
		if ip.Protocol() != packet.ProtoTCP || ip.MoreFragments() || ip.FragmentOffset() != 0 {
			return
		}
		off = ip.HeaderLen()
	}
	if off+20 > len(p.data) {
		return
	}
	tcp := int(p.data[off+12]>>4) * 4
	header := off + tcp
	if size := mtu - header; tcp >= 20 && size > 0 && header < len(p.data) {
		f.VNet = packet.VNet{GSOType: kind, HdrLen: uint16(packet.EthernetLen + header), GSOSize: uint16(size)}
	}
}

// Refuse returns the ICMP error about a packet that the host's kernel has sent on
// a host TAP and that Output or OutputOn answered with the Drop v, or whose next hop did not
// answer (ReasonUnreachable): a frame with
// room for the Ethernet header, from one of two addresses that the router has to
// the host. It is valid until the next call that makes an error; nil where none
// may or need be sent.
func (w *Forwarder) Refuse(f *packet.Frame, v Verdict, gateway4, gateway6 netip.Addr) []byte {
	var e icmpError
	switch v.Reason {
	case ReasonTooBig:
		e, _ = errorOf(FaultTooBig, w.snap.Ports[v.Port].MTU)
	case ReasonNoRoute:
		e, _ = errorOf(FaultNoRoute, 0)
	case ReasonUnreachable, ReasonNotAccepted, ReasonHostAddress:
		e = unresolved
	default:
		return nil
	}
	p, ok := parseIP(f.Data)
	if !ok || !w.mayAnswer(f.Data, &p) {
		return nil
	}
	w.touched = true
	if !w.limit.allow(w.now, p.src) {
		w.counts.ICMPSuppressed[e.sort]++
		return nil
	}
	w.counts.ICMPSent[e.sort]++
	var b []byte
	if p.v6 {
		b = w.build6(&p, gateway6, e)
	} else {
		b = w.build4(&p, gateway4, e)
	}
	binary.BigEndian.PutUint16(b[12:14], p.etherType())
	return b
}

// bgpPort is BGP's TCP port (RFC 4271 8.2.1).
const bgpPort = 179

// isBGP reports whether a TCP segment is of a BGP session.
func isBGP(tcp []byte) bool {
	return len(tcp) >= 4 && (binary.BigEndian.Uint16(tcp) == bgpPort || binary.BigEndian.Uint16(tcp[2:]) == bgpPort)
}
