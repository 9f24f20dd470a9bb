package dataplane

import (
	"encoding/binary"
	"net/netip"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// Sizes and fields of the ICMP errors that we send.
const (
	icmpHeader  = 8
	icmp4Max    = 576  // the most that an IPv4 error has in all (RFC 1812 4.3.2.3)
	icmp4TOS    = 0xc0 // precedence 6, internetwork control (RFC 1812 4.3.2.5)
	icmpTTL     = 64
	icmp6MaxLen = ipv6MinMTU // RFC 4443 2.4 (c)
)

// icmpError is what an ICMP error says.
type icmpError struct {
	sort         ICMPError
	type4, code4 uint8
	type6, code6 uint8
	mtu          int  // of ICMPTooBig
	onlyIPv6     bool // there is no such error in IPv4
}

// errorOf returns the error that answers a fault; ok is false where none does.
func errorOf(fault Fault, mtu int) (e icmpError, ok bool) {
	switch fault {
	case FaultTTL:
		return icmpError{
			sort: ICMPTimeExceeded, type4: packet.ICMPTimeExceeded,
			type6: packet.ICMPv6TimeExceeded, code6: packet.ICMPv6CodeHopLimit,
		}, true
	case FaultTooBig:
		return icmpError{
			sort: ICMPTooBig, type4: packet.ICMPUnreachable, code4: packet.ICMPCodeFragNeeded,
			type6: packet.ICMPv6TooBig, mtu: mtu,
		}, true
	case FaultNoRoute:
		return icmpError{
			sort: ICMPUnreachable, type4: packet.ICMPUnreachable, code4: packet.ICMPCodeNet,
			type6: packet.ICMPv6Unreachable, code6: packet.ICMPv6CodeNoRoute,
		}, true
	case FaultUnreachable:
		return icmpError{
			sort: ICMPUnreachable, type4: packet.ICMPUnreachable, code4: packet.ICMPCodeHost,
			type6: packet.ICMPv6Unreachable, code6: packet.ICMPv6CodeNoRoute,
		}, true
	case FaultBeyondScope:
		return icmpError{
			sort: ICMPUnreachable, onlyIPv6: true,
			type6: packet.ICMPv6Unreachable, code6: packet.ICMPv6CodeBeyondScope,
		}, true
	}
	return e, false
}

// Unreachable returns the ICMP error about a transit frame that came in on
// port in and whose next hop did not answer: host unreachable, or address
// unreachable for IPv6 (RFC 1812 5.2.7.1, RFC 4443 3.1).
func (w *Forwarder) Unreachable(in uint16, f *packet.Frame) []Out {
	return w.answer(in, f, unresolved)
}

// unresolved says that a next hop did not answer.
var unresolved = icmpError{
	sort:  ICMPUnreachable,
	type4: packet.ICMPUnreachable, code4: packet.ICMPCodeHost,
	type6: packet.ICMPv6Unreachable, code6: packet.ICMPv6CodeAddress,
}

// answer returns the error e about frame f, routed, where one may be sent. The
// packet is quoted as it arrived.
func (w *Forwarder) answer(in uint16, f *packet.Frame, e icmpError) []Out {
	p, ok := parseIP(f.Data)
	src := w.errorSource(in, p.v6)
	if !ok || !src.IsValid() || e.onlyIPv6 && !p.v6 || !w.mayAnswer(f.Data, &p) {
		return w.suppress(e.sort, ReasonICMPForbidden)
	}
	if !w.limit.allow(w.now, p.src) {
		return w.suppress(e.sort, ReasonICMPLimited)
	}
	out := packet.Frame{}
	if p.v6 {
		out.Data = w.build6(&p, src, e)
	} else {
		out.Data = w.build4(&p, src, e)
	}
	v := Verdict{}
	if p.src.IsLinkLocalUnicast() {
		v = w.OutputOn(in, &out)
	} else {
		v = w.Output(&out)
	}
	w.touched = true
	if v.Action == Drop {
		w.counts.ICMPSuppressed[e.sort]++
		return nil
	}
	w.counts.ICMPSent[e.sort]++
	w.outs = w.outs[:0]
	if v.Action == Exception { // an MTU under 576: fragments
		w.fragment(out.Data, v.Port)
		return w.outs
	}
	w.outs = append(w.outs, Out{Frame: out, Verdict: v})
	return w.outs
}

func (w *Forwarder) suppress(sort ICMPError, r Reason) []Out {
	w.counts.ICMPSuppressed[sort]++
	w.count(r)
	return nil
}

// errorSource returns the source address of errors about packets that came in
// on port in: its own, as traceroute shows the way that probes took, else that
// of any other port (RFC 5837 explains the convention).
func (w *Forwarder) errorSource(in uint16, v6 bool) netip.Addr {
	own := func(p *fib.Port) netip.Addr {
		if v6 {
			return p.Addr6
		}
		return p.Addr4
	}
	if int(in) < len(w.snap.Ports) {
		if a := own(&w.snap.Ports[in]); a.IsValid() {
			return a
		}
	}
	for i := range w.snap.Ports {
		if a := own(&w.snap.Ports[i]); a.IsValid() && !a.IsLinkLocalUnicast() {
			return a
		}
	}
	return netip.Addr{}
}

// mayAnswer reports whether an error may be sent about a packet (RFC 1812
// 4.3.2.7, RFC 4443 2.4 (e)).
func (w *Forwarder) mayAnswer(frame []byte, p *ipPacket) bool {
	switch {
	case packet.MAC(frame[0:6]).IsMulticast(),
		p.dst.IsMulticast(), p.dst == broadcast4,
		p.src.IsMulticast(), p.src.IsUnspecified(), p.src.IsLoopback():
		return false
	}
	if k, ok := w.kind(p.dst); ok && k == fib.Broadcast {
		return false
	}
	if k, ok := w.kind(p.src); ok && k == fib.Broadcast {
		return false
	}
	if p.v6 {
		return mayAnswer6(packet.IPv6(p.data))
	}
	return mayAnswer4(packet.IPv4(p.data))
}

// mayAnswer4 excludes fragments other than the first, sources that are no
// host, and ICMP but for its queries.
func mayAnswer4(ip packet.IPv4) bool {
	if octets[ip[12]]&neverSource != 0 || ip.FragmentOffset() != 0 {
		return false
	}
	if ip.Protocol() != packet.ProtoICMP {
		return true
	}
	payload := ip.Payload()
	if len(payload) == 0 {
		return false
	}
	switch payload[0] {
	case packet.ICMPEcho, packet.ICMPEchoReply, 9, 10, 13, 14, 15, 16, 17, 18, 42, 43:
		return true
	}
	return false
}

// mayAnswer6 excludes ICMPv6 errors and redirects, and what cannot be told
// from them.
func mayAnswer6(ip packet.IPv6) bool {
	proto, off, _ := upperLayer6(ip)
	if proto != packet.ProtoICMPv6 {
		return true
	}
	return off < len(ip) && ip[off] >= 128 && ip[off] != packet.ICMPv6Redirect
}

// build4 writes an ICMP error (RFC 792, RFC 1191 4 for the MTU) about p.
func (w *Forwarder) build4(p *ipPacket, src netip.Addr, e icmpError) []byte {
	quote := p.data[:min(len(p.data), icmp4Max-packet.IPv4Len-icmpHeader)]
	w.id++
	h := packet.IPv4Header{TOS: icmp4TOS, ID: w.id, TTL: icmpTTL, Protocol: packet.ProtoICMP, Src: src, Dst: p.src}
	b := w.error[:packet.EthernetLen+packet.IPv4Len+icmpHeader+len(quote)]
	h.Put(b[packet.EthernetLen:], icmpHeader+len(quote))
	m := b[packet.EthernetLen+packet.IPv4Len:]
	m[0], m[1] = e.type4, e.code4
	binary.BigEndian.PutUint32(m[2:], 0)
	binary.BigEndian.PutUint16(m[6:], uint16(e.mtu))
	copy(m[icmpHeader:], quote)
	binary.BigEndian.PutUint16(m[2:], packet.Checksum(packet.Sum(0, m)))
	return b
}

// build6 writes an ICMPv6 error (RFC 4443 3) about p.
func (w *Forwarder) build6(p *ipPacket, src netip.Addr, e icmpError) []byte {
	quote := p.data[:min(len(p.data), icmp6MaxLen-packet.IPv6Len-icmpHeader)]
	h := packet.IPv6Header{NextHeader: packet.ProtoICMPv6, HopLimit: icmpTTL, Src: src, Dst: p.src}
	b := w.error[:packet.EthernetLen+packet.IPv6Len+icmpHeader+len(quote)]
	h.Put(b[packet.EthernetLen:], icmpHeader+len(quote))
	m := b[packet.EthernetLen+packet.IPv6Len:]
	m[0], m[1], m[2], m[3] = e.type6, e.code6, 0, 0
	binary.BigEndian.PutUint32(m[4:], uint32(e.mtu))
	copy(m[icmpHeader:], quote)
	sum := packet.PseudoHeader(src, p.src, packet.ProtoICMPv6, len(m))
	binary.BigEndian.PutUint16(m[2:], packet.Checksum(packet.Sum(sum, m)))
	return b
}
