package dataplane

import (
	"encoding/binary"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// Properties of IPv4 addresses by their first octet.
const (
	neverSource      = 1 << iota // 0/8, 127/8, multicast and above
	neverDestination             // 0/8, 127/8, 240/4
	multicast                    // 224/4
	linkLocalOctet               // 169: perhaps 169.254/16
)

// octets tells what is special about an IPv4 address with this first octet
// (RFC 1812 5.3.7, RFC 6890). Documentation and benchmarking prefixes are
// not: they are forwarded, so that labs can use them.
var octets = func() (t [256]uint8) {
	t[0] = neverSource | neverDestination
	t[127] = neverSource | neverDestination
	t[169] = linkLocalOctet
	for i := 224; i < 240; i++ {
		t[i] = neverSource | multicast
	}
	for i := 240; i < 256; i++ {
		t[i] = neverSource | neverDestination
	}
	return t
}()

// isLinkLocal4 reports whether a is in 169.254/16.
func isLinkLocal4(a uint32) bool { return a>>16 == 0xa9fe }

// forward4 decides on an IPv4 packet that passed the gate.
func (w *Forwarder) forward4(in uint16, p *fib.Port, f *packet.Frame, to destination) Verdict {
	b, reason := parse4(f.Data[packet.EthernetLen:])
	if reason != ReasonNone {
		return drop(reason)
	}
	src, dst := binary.BigEndian.Uint32(b[12:16]), binary.BigEndian.Uint32(b[16:20])
	scoped := false
	if s, d := octets[src>>24], octets[dst>>24]; s|d != 0 {
		if d&multicast != 0 {
			return w.multicast4(p, f, packet.IPv4(b))
		}
		if reason := martian4(s, d, dst); reason != ReasonNone {
			return drop(reason)
		}
		scoped = isLinkLocal4(src) || isLinkLocal4(dst)
	}
	if to == toGroup {
		return drop(ReasonLinkBroadcast)
	}
	if w.snap.Own.May4(src) {
		if reason := w.impostor(packet.IPv4(b).Src()); reason != ReasonNone {
			return drop(reason)
		}
	}
	g := w.route4(dst)
	if g == nil {
		return noRoute(scoped, b[8])
	}
	if g.Kind != fib.Gateway && g.Kind != fib.Connected {
		return w.terminal4(f, packet.IPv4(b), g, scoped)
	}
	if scoped {
		return drop(ReasonScope)
	}
	if b[8] <= 1 {
		return except(FaultTTL, 0)
	}
	port, mac, resolved := w.next(g, b)
	v := w.leave(f, b, port, resolved, b[6]&0x40 == 0)
	if v.Action != Transmit {
		return v
	}
	word := binary.BigEndian.Uint16(b[8:10])
	check := packet.UpdateChecksum(binary.BigEndian.Uint16(b[10:12]), word, word-0x100)
	b[8]--
	binary.BigEndian.PutUint16(b[10:12], check)
	return w.send(f, len(b), mac, v)
}

// parse4 checks an IPv4 header by RFC 1812 5.2.2 and returns the packet
// without what follows its total length.
func parse4(b []byte) ([]byte, Reason) {
	if len(b) < packet.IPv4Len || b[0]>>4 != 4 {
		return nil, ReasonHeader
	}
	hlen, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:4]))
	if hlen < packet.IPv4Len || total < hlen || total > len(b) {
		return nil, ReasonHeader
	}
	b = b[:total]
	if !headerOK4(b[:hlen]) {
		return nil, ReasonChecksum
	}
	if hlen > packet.IPv4Len {
		return b, checkOptions(b[packet.IPv4Len:hlen])
	}
	return b, ReasonNone
}

// headerOK4 verifies the checksum of an IPv4 header (RFC 1071); nearly all
// have 20 bytes.
func headerOK4(h []byte) bool {
	if len(h) != packet.IPv4Len {
		return packet.Checksum(packet.Sum(0, h)) == 0
	}
	_ = h[19]
	sum := uint64(binary.BigEndian.Uint32(h)) + uint64(binary.BigEndian.Uint32(h[4:])) +
		uint64(binary.BigEndian.Uint32(h[8:])) + uint64(binary.BigEndian.Uint32(h[12:])) +
		uint64(binary.BigEndian.Uint32(h[16:]))
	return packet.Fold(sum) == 0xffff
}

// martian4 judges addresses whose first octets have the properties s and d.
func martian4(s, d uint8, dst uint32) Reason {
	switch {
	case dst == 0xffffffff:
		return ReasonBroadcast
	case d&neverDestination != 0:
		return ReasonMartianDestination
	case s&neverSource != 0:
		return ReasonMartianSource
	}
	return ReasonNone
}

// multicast4 takes the multicasts that the router listens to: advertisements
// and group membership (whose sender may have no address yet, RFC 3376
// 4.2.13).
func (w *Forwarder) multicast4(p *fib.Port, f *packet.Frame, ip packet.IPv4) Verdict {
	src := binary.BigEndian.Uint32(ip[12:16])
	igmp := ip.Protocol() == packet.ProtoIGMP
	if octets[src>>24]&neverSource != 0 && !(igmp && src == 0) {
		return drop(ReasonMartianSource)
	}
	switch {
	case isVRRP4(ip) && binary.BigEndian.Uint32(ip[16:20]) == 0xe0000012:
		return w.take(f, len(ip), ClassVRRP)
	case igmp:
		return w.take(f, len(ip), ClassLocal)
	case !p.Owns:
		return drop(ReasonNotOurs)
	}
	return drop(ReasonMulticast)
}

// isVRRP4 reports whether a packet is an advertisement, plain or inside an
// authentication header (RFC 2338 5.3.6.3).
func isVRRP4(ip packet.IPv4) bool {
	proto := ip.Protocol()
	if proto == packet.ProtoAH && len(ip) > ip.HeaderLen() {
		proto = ip[ip.HeaderLen()]
	}
	return proto == packet.ProtoVRRP
}

// terminal4 decides on a packet whose route ends here.
func (w *Forwarder) terminal4(f *packet.Frame, ip packet.IPv4, g *fib.Group, scoped bool) Verdict {
	switch g.Kind {
	case fib.Local:
		return w.local4(f, ip)
	case fib.Virtual:
		return drop(ReasonNotAccepted)
	case fib.Broadcast:
		return drop(ReasonDirectedBroadcast)
	case fib.Foreign:
		return drop(ReasonHostAddress)
	}
	return deadEnd(g, scoped, ip.TTL())
}

// local4 sorts what is addressed to the router itself. The host model is the
// weak one: an address is answered whatever port the packet came in on.
func (w *Forwarder) local4(f *packet.Frame, ip packet.IPv4) Verdict {
	if f.VNet.GSOType&^packet.GSOECN == packet.GSOUDPL4 {
		f.Data = f.Data[:packet.EthernetLen+len(ip)]
		return except(FaultSegmentLocal, 0)
	}
	fragment := ip.MoreFragments() || ip.FragmentOffset() != 0
	class := ClassLocal
	if payload := ip.Payload(); !fragment {
		switch {
		case isVRRP4(ip):
			class = ClassVRRP
		case ip.Protocol() == packet.ProtoUDP && isBFD(payload):
			class = ClassBFD
		case ip.Protocol() == packet.ProtoTCP && isBGP(payload):
			class = ClassBGP
		}
	}
	return w.take(f, len(ip), class)
}

// isBFD reports whether a UDP datagram is a BFD control packet of a single
// hop (RFC 5881 4).
func isBFD(udp []byte) bool {
	return len(udp) >= 8 && binary.BigEndian.Uint16(udp[2:4]) == 3784
}

// checkOptions judges the options of an IPv4 header. Source routes are
// refused (RFC 7126 4.3, 4.4); the other options pass unchanged.
func checkOptions(o []byte) Reason {
	for len(o) > 0 {
		switch o[0] {
		case 0: // end of list
			return ReasonNone
		case 1: // no operation
			o = o[1:]
			continue
		case 131, 137: // loose, strict source route
			return ReasonSourceRoute
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			return ReasonOptions
		}
		o = o[o[1]:]
	}
	return ReasonNone
}
