package dataplane

import (
	"encoding/binary"
	"net/netip"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// ipv6MinMTU is the least MTU of an IPv6 link (RFC 8200 5).
const ipv6MinMTU = 1280

// forward6 decides on an IPv6 packet that passed the gate. Extension headers
// of transit packets, hop-by-hop options included, are not looked at (RFC 8200
// 4 and 4.8 permit it).
func (w *Forwarder) forward6(in uint16, p *fib.Port, f *packet.Frame, to destination) Verdict {
	b := f.Data[packet.EthernetLen:]
	if len(b) < packet.IPv6Len || b[0]>>4 != 6 {
		return drop(ReasonHeader)
	}
	total := packet.IPv6Len + int(binary.BigEndian.Uint16(b[4:6]))
	if total > len(b) {
		return drop(ReasonHeader)
	}
	b = b[:total]
	if b[24] == 0xff {
		return w.multicast6(p, f, packet.IPv6(b))
	}
	srcHi, srcLo := binary.BigEndian.Uint64(b[8:16]), binary.BigEndian.Uint64(b[16:24])
	dstHi := binary.BigEndian.Uint64(b[24:32])
	if srcHi == 0 && special6(srcLo) || b[8] == 0xff {
		return drop(ReasonMartianSource)
	}
	if dstHi == 0 && special6(binary.BigEndian.Uint64(b[32:40])) {
		return drop(ReasonMartianDestination)
	}
	if to == toGroup {
		return drop(ReasonLinkBroadcast)
	}
	if w.snap.Own.May6(srcHi, srcLo) {
		if reason := w.impostor(packet.IPv6(b).Src()); reason != ReasonNone {
			return drop(reason)
		}
	}
	if isLinkLocal6(dstHi) {
		return w.terminalLinkLocal(in, f, packet.IPv6(b))
	}
	scoped := isLinkLocal6(srcHi)
	g := w.route6(dstHi, binary.BigEndian.Uint64(b[32:40]))
	if g == nil {
		return noRoute6(scoped, b[7])
	}
	if scoped || g.Kind != fib.Gateway && g.Kind != fib.Connected {
		return w.terminal6(f, packet.IPv6(b), g, scoped)
	}
	if b[7] <= 1 {
		return except(FaultTTL, 0)
	}
	port, mac, resolved := w.next(g, b)
	v := w.leave(f, b, port, resolved, false)
	if v.Action != Transmit {
		return v
	}
	b[7]--
	return w.send(f, total, mac, v)
}

// isLinkLocal6 reports whether an address whose upper half is hi is in
// fe80::/10.
func isLinkLocal6(hi uint64) bool { return hi>>54 == 0xfe80>>6 }

// special6 reports whether ::lo is unspecified, loopback or an IPv4-mapped
// address, none of which is seen on a wire (RFC 6890).
func special6(lo uint64) bool { return lo <= 1 || lo>>32 == 0xffff }

// multicast6 takes the multicasts that the router listens to: advertisements,
// Neighbor Discovery, and other ICMPv6 of the link (MLD, ping to all nodes).
func (w *Forwarder) multicast6(p *fib.Port, f *packet.Frame, ip packet.IPv6) Verdict {
	srcHi, srcLo := binary.BigEndian.Uint64(ip[8:16]), binary.BigEndian.Uint64(ip[16:24])
	proto, off, fragment := upperLayer6(ip)
	link := proto == packet.ProtoICMPv6 && !fragment && ip[25]&15 <= 2
	unspecified := srcHi|srcLo == 0
	if ip[8] == 0xff || srcHi == 0 && special6(srcLo) && !(unspecified && link) {
		return drop(ReasonMartianSource)
	}
	switch {
	case isND(ip, proto, off, fragment):
		return w.take(f, len(ip), ClassND)
	case proto == packet.ProtoVRRP && netip.AddrFrom16([16]byte(ip[24:40])) == vrrpGroup6:
		return w.take(f, len(ip), ClassVRRP)
	case link && isMLD(ip, off), link && p.Owns:
		return w.take(f, len(ip), ClassLocal)
	case !p.Owns:
		return drop(ReasonNotOurs)
	}
	return drop(ReasonMulticast)
}

// vrrpGroup6 is the group of VRRP over IPv6 (RFC 9568 5.1.2.2).
var vrrpGroup6 = netip.MustParseAddr("ff02::12")

// isND reports whether the upper layer at off is Neighbor Discovery (RFC
// 4861 4), not cut into fragments (RFC 6980).
func isND(ip packet.IPv6, proto uint8, off int, fragment bool) bool {
	return proto == packet.ProtoICMPv6 && !fragment && off < len(ip) &&
		ip[off] >= packet.ICMPv6RouterSolicit && ip[off] <= packet.ICMPv6Redirect
}

// isMLD reports whether ICMPv6 at off is Multicast Listener Discovery.
func isMLD(ip packet.IPv6, off int) bool {
	return off < len(ip) && (ip[off] >= 130 && ip[off] <= 132 || ip[off] == packet.ICMPv6MLDv2Report)
}

// terminal6 decides on a packet whose route ends here, or whose source is
// link-local, so that it may not go on (RFC 4291 2.5.6, RFC 4443 3.1).
func (w *Forwarder) terminal6(f *packet.Frame, ip packet.IPv6, g *fib.Group, scoped bool) Verdict {
	switch g.Kind {
	case fib.Local, fib.Virtual:
		return w.local6(f, ip, g.Kind)
	case fib.Foreign:
		return drop(ReasonHostAddress)
	case fib.Blackhole:
		return drop(ReasonBlackhole)
	}
	if scoped {
		return except(FaultBeyondScope, 0)
	}
	return deadEnd(g, false, ip.HopLimit())
}

// terminalLinkLocal decides on a packet to a link-local address: either the
// router's own on that very link, or not to be forwarded.
func (w *Forwarder) terminalLinkLocal(in uint16, f *packet.Frame, ip packet.IPv6) Verdict {
	i := w.linkLocal(in, ip)
	if i < 0 {
		return drop(ReasonScope)
	}
	if own := &w.snap.Ports[in].LinkLocals[i]; own.Kind != fib.Foreign {
		return w.local6(f, ip, own.Kind)
	}
	return drop(ReasonHostAddress)
}

// linkLocal returns the index of the packet's destination among the port's
// link-local addresses, or -1.
func (w *Forwarder) linkLocal(in uint16, ip packet.IPv6) int {
	own := w.snap.Ports[in].LinkLocals
	for i := range own {
		if own[i].Addr == [16]byte(ip[24:40]) {
			return i
		}
	}
	return -1
}

// local6 sorts what is addressed to the router itself. Neighbor Discovery is
// answered for virtual addresses in any case (RFC 9568 6.4.3).
func (w *Forwarder) local6(f *packet.Frame, ip packet.IPv6, kind fib.Kind) Verdict {
	proto, off, fragment := upperLayer6(ip)
	switch {
	case isND(ip, proto, off, fragment):
		return w.take(f, len(ip), ClassND)
	case kind == fib.Virtual:
		return drop(ReasonNotAccepted)
	case f.VNet.GSOType&^packet.GSOECN == packet.GSOUDPL4:
		f.Data = f.Data[:packet.EthernetLen+len(ip)]
		return except(FaultSegmentLocal, 0)
	case proto == packet.ProtoVRRP && !fragment:
		return w.take(f, len(ip), ClassVRRP)
	case proto == packet.ProtoUDP && !fragment && isBFD(ip[off:]):
		return w.take(f, len(ip), ClassBFD)
	case proto == packet.ProtoTCP && !fragment && isBGP(ip[off:]):
		return w.take(f, len(ip), ClassBGP)
	}
	return w.take(f, len(ip), ClassLocal)
}

// noRoute6 decides on an IPv6 packet without a route.
func noRoute6(scoped bool, hops uint8) Verdict {
	if scoped {
		return except(FaultBeyondScope, 0)
	}
	return noRoute(false, hops)
}

// maxHeaders bounds the extension headers that upperLayer6 steps over.
const maxHeaders = 8

// upperLayer6 steps over extension headers (RFC 8200 4) to the upper layer:
// its protocol, and its offset, at most len(ip). Of a fragment the protocol is
// what its Fragment header says; the offset is len(ip) where the upper-layer
// header is not in this fragment. Past maxHeaders, or where a header is cut
// off, the protocol is that of the header that was not passed.
func upperLayer6(ip packet.IPv6) (proto uint8, off int, fragment bool) {
	proto, off = ip.NextHeader(), packet.IPv6Len
	for passed := 0; ; passed++ {
		switch proto {
		case packet.ProtoHopByHop, packet.ProtoRouting, packet.ProtoDestOpts, packet.ProtoAH, packet.ProtoFragment:
		default:
			return proto, off, fragment
		}
		if passed == maxHeaders || off+8 > len(ip) {
			return proto, len(ip), fragment
		}
		length := 8 + int(ip[off+1])*8
		switch proto {
		case packet.ProtoAH: // RFC 4302 2.2: in units of four bytes
			length = 8 + int(ip[off+1])*4
		case packet.ProtoFragment:
			fragment, length = true, 8
			if binary.BigEndian.Uint16(ip[off+2:])>>3 != 0 {
				return ip[off], len(ip), true
			}
		}
		proto, off = ip[off], min(off+length, len(ip))
	}
}
