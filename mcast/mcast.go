// Package mcast reports membership in multicast groups to the querier and the
// snooping switches of a link: IGMPv3 (RFC 3376) and MLDv2 (RFC 3810).
//
// The reports are unsolicited and say how things are (MODE_IS_EXCLUDE of no
// source: everything for the group is wanted). Queries are answered by the local
// stack, which also speaks the older versions where the querier does. What is
// here keeps a switch from forgetting where nobody asks: one that snoops but
// hears no querier, or one that was started anew.
//
// The package is pure: it keeps no state.
package mcast

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"vrouter/packet"
)

// Destinations of reports (RFC 3376 4.2.14, RFC 3810 5.2.14).
var (
	reports4 = netip.AddrFrom4([4]byte{224, 0, 0, 22})
	reports6 = netip.MustParseAddr("ff02::16")
)

const (
	typeReport4    = 0x22 // IGMPv3 membership report
	modeIsExclude  = 2    // record type (RFC 3376 4.2.12, RFC 3810 5.2.12)
	classControl   = 0xc0 // RFC 3376 4: internetwork control
	reportHeader   = 8    // of either family
	optionsLen     = 4    // the Router Alert of IPv4
	hopByHopLen    = 8    // the Router Alert of IPv6
	maxRecords     = 60   // in one report: 1256 bytes over IPv6, which every link carries
	onlyOnThisLink = 1    // TTL and hop limit
)

// Reports4 returns the frames that report the groups, all IPv4, from a port's
// MAC. src is the interface's address; the zero Addr where it has none: 0.0.0.0
// (RFC 3376 4.2.13). The group of all systems is never reported (RFC 3376 6).
func Reports4(from packet.MAC, src netip.Addr, groups []netip.Addr) (frames [][]byte) {
	if !src.IsValid() {
		src = netip.IPv4Unspecified()
	}
	for some := range slices.Chunk(groups, maxRecords) {
		const start = packet.EthernetLen + packet.IPv4Len + optionsLen
		b := make([]byte, start, start+reportHeader+8*len(some))
		b = appendReport(b, typeReport4, some)
		igmp := b[start:]
		binary.BigEndian.PutUint16(igmp[2:], packet.Checksum(packet.Sum(0, igmp)))
		packet.PutEthernet(b, packet.MulticastMAC(reports4), from, packet.EtherTypeIPv4)
		header := packet.IPv4Header{TOS: classControl, TTL: onlyOnThisLink, Protocol: packet.ProtoIGMP, Src: src, Dst: reports4}
		ip := b[packet.EthernetLen:]
		header.Put(ip, optionsLen+len(igmp))
		ip[0] = 0x46                                             // six words
		copy(ip[packet.IPv4Len:], []byte{148, optionsLen, 0, 0}) // Router Alert (RFC 2113)
		ip[10], ip[11] = 0, 0
		binary.BigEndian.PutUint16(ip[10:], packet.Checksum(packet.Sum(0, ip[:packet.IPv4Len+optionsLen])))
		frames = append(frames, b)
	}
	return frames
}

// Reports6 returns the frames that report the groups, all IPv6, from a port's
// MAC. src is the interface's link-local address; the zero Addr where it has
// none: the unspecified one, which switches heed though routers do not (RFC
// 3810 5.2.13). The group of all nodes is never reported (RFC 3810 6).
func Reports6(from packet.MAC, src netip.Addr, groups []netip.Addr) (frames [][]byte) {
	if !src.IsValid() {
		src = netip.IPv6Unspecified()
	}
	for some := range slices.Chunk(groups, maxRecords) {
		const start = packet.EthernetLen + packet.IPv6Len + hopByHopLen
		b := make([]byte, start, start+reportHeader+20*len(some))
		b = appendReport(b, packet.ICMPv6MLDv2Report, some)
		icmp := b[start:]
		sum := packet.PseudoHeader(src, reports6, packet.ProtoICMPv6, len(icmp))
		binary.BigEndian.PutUint16(icmp[2:], packet.Checksum(packet.Sum(sum, icmp)))
		packet.PutEthernet(b, packet.MulticastMAC(reports6), from, packet.EtherTypeIPv6)
		header := packet.IPv6Header{NextHeader: packet.ProtoHopByHop, HopLimit: onlyOnThisLink, Src: src, Dst: reports6}
		header.Put(b[packet.EthernetLen:], hopByHopLen+len(icmp))
		// Router Alert for MLD (RFC 2711), and two bytes of padding.
		copy(b[packet.EthernetLen+packet.IPv6Len:], []byte{packet.ProtoICMPv6, 0, 5, 2, 0, 0, 1, 0})
		frames = append(frames, b)
	}
	return frames
}

// appendReport appends a report without its checksum: both families have the
// same layout, but for the length of a group (RFC 3376 4.2, RFC 3810 5.2).
func appendReport(b []byte, kind byte, groups []netip.Addr) []byte {
	b = append(b, kind, 0, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(groups)))
	for _, g := range groups {
		b = append(b, modeIsExclude, 0, 0, 0) // no auxiliary data, no sources
		b = append(b, g.AsSlice()...)
	}
	return b
}
