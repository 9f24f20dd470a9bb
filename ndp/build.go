package ndp

import (
	"net/netip"

	"vrouter/packet"
)

// The builders return whole Ethernet frames with complete checksums.
// Addresses are IPv6 without a zone.

// Solicit asks for the MAC of target, by the group that its owner listens to
// (RFC 4861 7.2.2).
func Solicit(src packet.MAC, srcIP, target netip.Addr) []byte {
	group := packet.SolicitedNode(target)
	return frame(packet.MulticastMAC(group), src, srcIP, group, solicit(target, src))
}

// UnicastSolicit asks a neighbour at dst whether it still has target: a probe
// of unreachability detection (RFC 4861 7.3.3).
func UnicastSolicit(src packet.MAC, srcIP netip.Addr, dst packet.MAC, target netip.Addr) []byte {
	return frame(dst, src, srcIP, target, solicit(target, src))
}

// Probe asks whether anybody has target, which src is about to use: duplicate
// address detection, from :: and without a link-layer address (RFC 4862
// 5.4.2).
func Probe(src packet.MAC, target netip.Addr) []byte {
	group := packet.SolicitedNode(target)
	return frame(packet.MulticastMAC(group), src, netip.IPv6Unspecified(), group, solicit(target, packet.MAC{}))
}

// solicit encodes a Neighbor Solicitation (RFC 4861 4.3); link zero: no
// option.
func solicit(target netip.Addr, link packet.MAC) []byte {
	icmp := make([]byte, 24, 32)
	icmp[0] = packet.ICMPv6NeighborSolicit
	copyAddr(icmp[8:], target)
	return appendLink(icmp, optSourceLink, link)
}

// NeighborAdvert is a Neighbor Advertisement to be sent (RFC 4861 4.4).
type NeighborAdvert struct {
	MAC    packet.MAC // of Target: source of the frame and target link-layer address option
	Target netip.Addr // also the packet's source
	// To and Dst are who is told; the zero Dst means all nodes.
	To  packet.MAC
	Dst netip.Addr

	Router, Solicited, Override bool
}

// Frame returns the whole frame.
func (a *NeighborAdvert) Frame() []byte {
	icmp := make([]byte, 24, 32)
	icmp[0] = packet.ICMPv6NeighborAdvert
	for _, f := range []struct {
		set bool
		bit byte
	}{{a.Router, flagRouter}, {a.Solicited, flagSolicited}, {a.Override, flagOverride}} {
		if f.set {
			icmp[4] |= f.bit
		}
	}
	copyAddr(icmp[8:], a.Target)
	icmp = appendLink(icmp, optTargetLink, a.MAC)
	to, dst := a.To, a.Dst
	if !dst.IsValid() {
		to, dst = packet.MulticastMAC(AllNodes), AllNodes
	}
	return frame(to, a.MAC, a.Target, dst, icmp)
}

// Unsolicited tells all nodes that target, an address of this router, is at
// mac now: R and O set, S clear. A new Master sends it for each virtual
// address with the virtual MAC, which also shows the switches where that MAC
// is (RFC 9568 6.4.1, 6.4.2; RFC 4861 7.2.6).
func Unsolicited(mac packet.MAC, target netip.Addr) []byte {
	a := NeighborAdvert{MAC: mac, Target: target, Router: true, Override: true}
	return a.Frame()
}

// RouterSolicit asks all routers to advertise themselves (RFC 4861 4.1);
// srcIP may be ::, and then no link-layer address is told.
func RouterSolicit(src packet.MAC, srcIP netip.Addr) []byte {
	icmp := make([]byte, 8, 16)
	icmp[0] = packet.ICMPv6RouterSolicit
	link := src
	if srcIP.IsUnspecified() {
		link = packet.MAC{}
	}
	return frame(packet.MulticastMAC(AllRouters), src, srcIP, AllRouters, appendLink(icmp, optSourceLink, link))
}

// appendLink appends a link-layer address option (RFC 4861 4.6.1); zero: none.
func appendLink(icmp []byte, option uint8, mac packet.MAC) []byte {
	if mac.IsZero() {
		return icmp
	}
	return append(append(icmp, option, 1), mac[:]...)
}

func copyAddr(b []byte, a netip.Addr) {
	raw := a.As16()
	copy(b, raw[:])
}

// frame wraps an ICMPv6 message, whose checksum it fills in.
func frame(to, from packet.MAC, src, dst netip.Addr, icmp []byte) []byte {
	const start = packet.EthernetLen + packet.IPv6Len
	put16(icmp[2:], 0)
	put16(icmp[2:], packet.Checksum(packet.Sum(pseudoHeader(src, dst, icmp), icmp)))
	b := make([]byte, start+len(icmp))
	packet.PutEthernet(b, to, from, packet.EtherTypeIPv6)
	header := packet.IPv6Header{NextHeader: packet.ProtoICMPv6, HopLimit: hopLimit, Src: src, Dst: dst}
	header.Put(b[packet.EthernetLen:], len(icmp))
	copy(b[start:], icmp)
	return b
}
