// Package ndp is Neighbor Discovery for IPv6 over Ethernet (RFC 4861, RFC
// 2464): the codec of Neighbor and Router Solicitations and Advertisements
// with the validation that the RFC demands, and the decision whether and with
// which MAC a solicitation is answered.
//
// The package is pure: it keeps no state. Who our neighbours are is the
// business of package neigh. Redirects are neither sent nor believed.
package ndp

import (
	"encoding/binary"
	"net/netip"

	"vrouter/packet"
)

// Multicast groups (RFC 4291 2.7.1).
var (
	AllNodes   = netip.MustParseAddr("ff02::1")
	AllRouters = netip.MustParseAddr("ff02::2")
)

// hopLimit proves that a message was not forwarded (RFC 4861 3.1).
const hopLimit = 255

// Option types (RFC 4861 4.6, RFC 8106 5.1).
const (
	optSourceLink = 1
	optTargetLink = 2
	optPrefix     = 3
	optMTU        = 5
	optRDNSS      = 25
)

// Flags of a Neighbor Advertisement (RFC 4861 4.4), in its fifth octet.
const (
	flagRouter    = 0x80
	flagSolicited = 0x40
	flagOverride  = 0x20
)

// Message is a valid Neighbor Discovery message.
type Message struct {
	// Type is packet.ICMPv6NeighborSolicit, ICMPv6NeighborAdvert,
	// ICMPv6RouterSolicit or ICMPv6RouterAdvert.
	Type     uint8
	EthSrc   packet.MAC // of the frame: that of one station
	Src, Dst netip.Addr // of the packet; Src is :: in duplicate address detection
	Target   netip.Addr // of a Neighbor Solicitation or Advertisement
	// Router, Solicited and Override are the flags of a Neighbor Advertisement.
	Router, Solicited, Override bool
	// LinkAddr is the value of the source (of an advertised neighbour: target)
	// link-layer address option; zero: there was none.
	LinkAddr packet.MAC
	// RA is the content of a Router Advertisement, else nil.
	RA *RouterAdvert
}

// Reason is why a message was refused; each has a counter of its own.
type Reason uint8

// The reasons.
const (
	OK       Reason = iota
	Short           // the frame or the message is cut off
	NotND           // not one of the four types, or behind extension headers
	HopLimit        // not 255: it was forwarded
	Checksum        // wrong
	Code            // not 0
	Source          // not an address that may send this message
	Target          // a group, or not an address
	Dst             // not one that this message may go to
	Option          // an option of length 0, cut off, or malformed
	LinkAddr        // zero or a group MAC, as sender or in an option

	NumReasons = iota
)

var reasonNames = [NumReasons]string{
	"ok", "short", "not_nd", "hop_limit", "checksum", "code", "source", "target", "dst", "option", "link_addr",
}

// String returns the reason's name in counters.
func (r Reason) String() string { return reasonNames[r] }

// minLen returns the least length of a message of a type, in bytes (RFC 4861
// 6.1, 7.1), or 0 for a type that is not ours.
func minLen(icmpType uint8) int {
	switch icmpType {
	case packet.ICMPv6NeighborSolicit, packet.ICMPv6NeighborAdvert:
		return 24
	case packet.ICMPv6RouterSolicit:
		return 8
	case packet.ICMPv6RouterAdvert:
		return 16
	}
	return 0
}

// Parse reads and validates a whole Ethernet frame of type IPv6 whose
// checksum is complete (RFC 4861 6.1.1, 6.1.2, 7.1.1, 7.1.2). Padding behind
// the packet is ignored.
//
// Messages behind extension headers are refused: fragments must be (RFC 6980
// 5), and nobody sends others. So are those whose link-layer addresses cannot
// be those of a station.
func Parse(frame []byte) (Message, Reason) {
	eth, ok := packet.ParseEthernet(frame)
	if !ok {
		return Message{}, Short
	}
	p, ok := packet.ParseIPv6(eth.Payload())
	if !ok || len(p) < packet.IPv6Len+4 {
		return Message{}, Short
	}
	icmp := p.Payload()
	least := minLen(icmp[0])
	switch {
	case p.NextHeader() != packet.ProtoICMPv6 || least == 0:
		return Message{}, NotND
	case p.HopLimit() != hopLimit:
		return Message{}, HopLimit
	case len(icmp) < least:
		return Message{}, Short
	case packet.Checksum(packet.Sum(pseudoHeader(p.Src(), p.Dst(), icmp), icmp)) != 0:
		return Message{}, Checksum
	case icmp[1] != 0:
		return Message{}, Code
	case !station(eth.Src()):
		return Message{}, LinkAddr
	}
	m := Message{Type: icmp[0], EthSrc: eth.Src(), Src: p.Src(), Dst: p.Dst()}
	if r := m.parseBody(icmp); r != OK {
		return Message{}, r
	}
	return m, OK
}

func pseudoHeader(src, dst netip.Addr, icmp []byte) uint64 {
	return packet.PseudoHeader(src, dst, packet.ProtoICMPv6, len(icmp))
}

// station reports whether mac can be that of one station.
func station(mac packet.MAC) bool { return !mac.IsZero() && !mac.IsMulticast() }

// parseBody reads the message and its options into m, and checks the rules
// that hold for its type.
func (m *Message) parseBody(icmp []byte) Reason {
	if m.Src.IsMulticast() || m.Src.IsLoopback() {
		return Source
	}
	switch m.Type {
	case packet.ICMPv6NeighborSolicit:
		return m.parseSolicit(icmp)
	case packet.ICMPv6NeighborAdvert:
		return m.parseAdvert(icmp)
	case packet.ICMPv6RouterSolicit:
		if r := m.parseOptions(icmp[8:], optSourceLink); r != OK {
			return r
		}
		if m.Src.IsUnspecified() && !m.LinkAddr.IsZero() {
			return Source
		}
		return OK
	default: // packet.ICMPv6RouterAdvert
		if !m.Src.IsLinkLocalUnicast() {
			return Source
		}
		m.RA = parseRouterAdvert(icmp)
		return m.parseOptions(icmp[16:], optSourceLink)
	}
}

// parseSolicit reads a Neighbor Solicitation (RFC 4861 4.3, 7.1.1).
func (m *Message) parseSolicit(icmp []byte) Reason {
	m.Target = netip.AddrFrom16([16]byte(icmp[8:24]))
	if !unicast(m.Target) {
		return Target
	}
	if r := m.parseOptions(icmp[24:], optSourceLink); r != OK {
		return r
	}
	if m.Src.IsUnspecified() {
		if !solicitedNode(m.Dst) {
			return Dst
		}
		if !m.LinkAddr.IsZero() {
			return Source
		}
	}
	return OK
}

// parseAdvert reads a Neighbor Advertisement (RFC 4861 4.4, 7.1.2).
func (m *Message) parseAdvert(icmp []byte) Reason {
	flags := icmp[4]
	m.Router, m.Solicited, m.Override = flags&flagRouter != 0, flags&flagSolicited != 0, flags&flagOverride != 0
	m.Target = netip.AddrFrom16([16]byte(icmp[8:24]))
	switch {
	case !unicast(m.Target):
		return Target
	case m.Src.IsUnspecified(): // 4.4: an address of the sender's interface
		return Source
	case m.Dst.IsMulticast() && m.Solicited:
		return Dst
	}
	return m.parseOptions(icmp[24:], optTargetLink)
}

// unicast reports whether a neighbour can have the address.
func unicast(a netip.Addr) bool {
	return !a.IsMulticast() && !a.IsUnspecified() && !a.IsLoopback()
}

// solicitedNode reports whether a is a solicited-node group, ff02::1:ff00:0/104.
func solicitedNode(a netip.Addr) bool { return packet.SolicitedNode(a) == a }

// parseOptions walks the options. link is the type of the one that tells a
// MAC here; options that are not for this message, or unknown, are ignored
// (RFC 4861 6.1, 7.1), but none may have length 0 or be cut off.
func (m *Message) parseOptions(b []byte, link uint8) Reason {
	for len(b) > 0 {
		if len(b) < 8 || b[1] == 0 || int(b[1])*8 > len(b) {
			return Option
		}
		option := b[:int(b[1])*8]
		b = b[len(option):]
		switch {
		case option[0] == link:
			mac := packet.MAC(option[2:8])
			if len(option) != 8 { // RFC 2464 6
				return Option
			}
			if !station(mac) {
				return LinkAddr
			}
			m.LinkAddr = mac
		case m.RA != nil:
			if !m.RA.parseOption(option) {
				return Option
			}
		}
	}
	return OK
}

// IsProbe reports whether the message is the Neighbor Solicitation of
// somebody's duplicate address detection (RFC 4862 5.4.2).
func (m *Message) IsProbe() bool {
	return m.Type == packet.ICMPv6NeighborSolicit && m.Src.IsUnspecified()
}

// Claim returns the neighbour that the message tells of: its address (:: in
// duplicate address detection), and its MAC where an option gives one, else
// zero.
func (m *Message) Claim() (netip.Addr, packet.MAC) {
	if m.Type == packet.ICMPv6NeighborAdvert {
		return m.Target, m.LinkAddr
	}
	return m.Src, m.LinkAddr
}

// Conflicts reports whether the message shows that another station uses addr,
// which we use too, or, while we still probe for it, that another station
// probes for it as well (RFC 4862 5.4.3, 5.4.4). That EthSrc is not one of our
// MACs is left to the caller, who knows them.
func (m *Message) Conflicts(addr netip.Addr, probing bool) bool {
	claimed, _ := m.Claim()
	return claimed == addr || m.Src == addr || probing && m.IsProbe() && m.Target == addr
}

// Owner says with which MAC a solicitation for addr is answered on the port
// that it came in on, or that it is not answered: an own address with the
// port's MAC; a virtual address with the virtual MAC while Master, and not at
// all otherwise (RFC 9568 6.4.2, 6.4.3).
type Owner func(addr netip.Addr) (mac packet.MAC, ok bool)

// Answer returns the frame that answers m, or nil where there is nothing to
// say. The answer is from a router (R), overrides (O), and tells and leaves
// from the MAC of the address (RFC 4861 7.2.4, RFC 9568 8.2.2). Duplicate
// address detection is answered to all nodes without S, since its sender has
// no address yet.
//
// A solicitation from somebody who claims an address that we answer for is
// not answered: an answer would confirm a spoofed sender, and a real duplicate
// is dealt with by defence (see Conflicts).
func Answer(m Message, own Owner) []byte {
	if m.Type != packet.ICMPv6NeighborSolicit {
		return nil
	}
	mac, ok := own(m.Target)
	if !ok {
		return nil
	}
	a := NeighborAdvert{MAC: mac, Target: m.Target, Router: true, Override: true}
	if m.IsProbe() {
		return a.Frame()
	}
	if _, spoofed := own(m.Src); spoofed {
		return nil
	}
	a.Solicited, a.Dst, a.To = true, m.Src, m.LinkAddr
	if a.To.IsZero() {
		a.To = m.EthSrc
	}
	return a.Frame()
}

// put16 and put32 write big-endian numbers.
func put16(b []byte, v uint16) { binary.BigEndian.PutUint16(b, v) }
func put32(b []byte, v uint32) { binary.BigEndian.PutUint32(b, v) }
