package netstack

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"vrouter/packet"
)

// ICMPError is an ICMP or ICMPv6 error that a packet of the router's own has
// met with.
type ICMPError struct {
	From       netip.Addr // who sent it
	Type, Code uint8      // of ICMP, or of ICMPv6 where From is an IPv6 address
}

// Error says what happened in words.
func (e *ICMPError) Error() string {
	what := fmt.Sprintf("ICMP error %d/%d", e.Type, e.Code)
	names := icmpNames
	if e.From.Is6() {
		names = icmpv6Names
	}
	if name, ok := names[[2]uint8{e.Type, e.Code}]; ok {
		what = name
	}
	return fmt.Sprintf("%s, says %s", what, e.From)
}

var icmpNames = map[[2]uint8]string{
	{packet.ICMPUnreachable, packet.ICMPCodeNet}:        "network unreachable",
	{packet.ICMPUnreachable, packet.ICMPCodeHost}:       "host unreachable",
	{packet.ICMPUnreachable, packet.ICMPCodeProtocol}:   "protocol unreachable",
	{packet.ICMPUnreachable, packet.ICMPCodePort}:       "port unreachable",
	{packet.ICMPUnreachable, packet.ICMPCodeFragNeeded}: "fragmentation needed",
	{packet.ICMPUnreachable, packet.ICMPCodeProhibited}: "administratively prohibited",
	{packet.ICMPTimeExceeded, 0}:                        "time exceeded in transit",
	{packet.ICMPTimeExceeded, 1}:                        "reassembly time exceeded",
}

var icmpv6Names = map[[2]uint8]string{
	{packet.ICMPv6Unreachable, packet.ICMPv6CodeNoRoute}:     "no route",
	{packet.ICMPv6Unreachable, packet.ICMPv6CodeProhibited}:  "administratively prohibited",
	{packet.ICMPv6Unreachable, packet.ICMPv6CodeBeyondScope}: "beyond scope of source address",
	{packet.ICMPv6Unreachable, packet.ICMPv6CodeAddress}:     "address unreachable",
	{packet.ICMPv6Unreachable, packet.ICMPv6CodePort}:        "port unreachable",
	{packet.ICMPv6TooBig, 0}:                                 "packet too big",
	{packet.ICMPv6TimeExceeded, 0}:                           "hop limit exceeded in transit",
	{packet.ICMPv6TimeExceeded, 1}:                           "reassembly time exceeded",
}

// pingKey is what an ICMP error quotes of an echo request.
type pingKey struct {
	dst   netip.Addr
	ident uint16
}

// pings are the echo requests that wait. gVisor's ping sockets do not hear of
// ICMP errors, so those are looked at on their way in.
type pings struct {
	mu      sync.Mutex
	waiting map[pingKey]chan *ICMPError
	n       atomic.Int32 // of waiting, so that the idle case is cheap
}

func (p *pings) add(k pingKey, c chan *ICMPError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil {
		p.waiting = map[pingKey]chan *ICMPError{}
	}
	p.waiting[k] = c
	p.n.Store(int32(len(p.waiting)))
}

func (p *pings) remove(k pingKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, k)
	p.n.Store(int32(len(p.waiting)))
}

// observe tells the request that p is an error about, if there is one.
func (p *pings) observe(in incoming) {
	if p.n.Load() == 0 {
		return
	}
	k, e, ok := parseEchoError(in.pkt.Data().AsRange().ToSlice())
	if !ok {
		return
	}
	p.mu.Lock()
	c := p.waiting[k]
	p.mu.Unlock()
	select {
	case c <- e: // never ready where c is nil
	default:
	}
}

// parseEchoError reads an ICMP error about an echo request, IP header first.
func parseEchoError(b []byte) (pingKey, *ICMPError, bool) {
	if ip, ok := packet.ParseIPv4(b); ok {
		return parseEchoError4(ip)
	}
	if ip, ok := packet.ParseIPv6(b); ok {
		return parseEchoError6(ip)
	}
	return pingKey{}, nil, false
}

func parseEchoError4(ip packet.IPv4) (k pingKey, e *ICMPError, ok bool) {
	b := ip.Payload()
	if ip.Protocol() != packet.ProtoICMP || ip.MoreFragments() || ip.FragmentOffset() != 0 ||
		len(b) < echoLen+packet.IPv4Len || packet.Checksum(packet.Sum(0, b)) != 0 {
		return k, nil, false
	}
	switch b[0] {
	case packet.ICMPUnreachable, packet.ICMPTimeExceeded, packet.ICMPParameter:
	default:
		return k, nil, false
	}
	// The quoted packet is cut, so its total length says nothing here.
	quote := b[echoLen:]
	hlen := int(quote[0]&15) * 4
	if quote[0]>>4 != 4 || hlen < packet.IPv4Len || len(quote) < hlen+echoLen ||
		quote[9] != packet.ProtoICMP || quote[hlen] != packet.ICMPEcho {
		return k, nil, false
	}
	k.dst = netip.AddrFrom4([4]byte(quote[16:20]))
	k.ident = binary.BigEndian.Uint16(quote[hlen+4:])
	return k, &ICMPError{From: ip.Src(), Type: b[0], Code: b[1]}, true
}

func parseEchoError6(ip packet.IPv6) (k pingKey, e *ICMPError, ok bool) {
	b := ip.Payload()
	if ip.NextHeader() != packet.ProtoICMPv6 || len(b) < echoLen+packet.IPv6Len ||
		b[0] < packet.ICMPv6Unreachable || b[0] > packet.ICMPv6Parameter ||
		packet.Checksum(packet.Sum(packet.PseudoHeader(ip.Src(), ip.Dst(), packet.ProtoICMPv6, len(b)), b)) != 0 {
		return k, nil, false
	}
	quote := b[echoLen:]
	next, echo := quote[6], quote[packet.IPv6Len:]
	if next == packet.ProtoFragment && len(echo) > 8 {
		next, echo = echo[0], echo[8:]
	}
	if quote[0]>>4 != 6 || next != packet.ProtoICMPv6 || len(echo) < echoLen || echo[0] != packet.ICMPv6Echo {
		return k, nil, false
	}
	k.dst = netip.AddrFrom16([16]byte(quote[24:40]))
	k.ident = binary.BigEndian.Uint16(echo[4:])
	return k, &ICMPError{From: ip.Src(), Type: b[0], Code: b[1]}, true
}
