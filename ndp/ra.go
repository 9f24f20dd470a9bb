package ndp

import (
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"time"

	"vrouter/packet"
)

// Forever is the lifetime of a prefix or DNS server that never ends (RFC 4861
// 4.6.2: all ones).
const Forever = math.MaxUint32 * time.Second

// RouterAdvert is the content of a Router Advertisement (RFC 4861 4.2). Times
// are cut to the unit that the wire has, and limited to what it can say.
type RouterAdvert struct {
	HopLimit       uint8         // that hosts shall use; 0: not said
	Managed, Other bool          // addresses, or other things, by DHCPv6
	Lifetime       time.Duration // as a default router, in seconds; 0: not one
	Reachable      time.Duration // in milliseconds; 0: not said
	Retrans        time.Duration // in milliseconds; 0: not said
	// LinkAddr is the source link-layer address to tell; zero: none. In a
	// received message it is Message.LinkAddr.
	LinkAddr packet.MAC
	MTU      uint32 // 0: not said
	Prefixes []Prefix
	// RDNSS are recursive DNS servers (RFC 8106 5.1), with one lifetime.
	RDNSS         []netip.Addr
	RDNSSLifetime time.Duration // in seconds
}

// Prefix is a Prefix Information option (RFC 4861 4.6.2, RFC 4862 5.5.3).
type Prefix struct {
	Prefix     netip.Prefix
	OnLink     bool // its addresses are on the link
	Autonomous bool // hosts may make addresses from it
	// Valid and Preferred are lifetimes in seconds, or Forever.
	Valid, Preferred time.Duration
}

// rdnssMax is how many servers one option can hold: 255 units of 8 bytes, one
// for its header.
const rdnssMax = (255 - 1) / 2

// Frame returns the frame that advertises the router to all nodes. srcIP is
// link-local (RFC 4861 4.2): for a virtual router its virtual link-local
// address, with src its virtual MAC (RFC 9568 8.2.3).
func (ra *RouterAdvert) Frame(src packet.MAC, srcIP netip.Addr) []byte {
	return ra.FrameTo(packet.MulticastMAC(AllNodes), AllNodes, src, srcIP)
}

// FrameTo is Frame for one host, which solicited the advertisement.
func (ra *RouterAdvert) FrameTo(to packet.MAC, dst netip.Addr, src packet.MAC, srcIP netip.Addr) []byte {
	icmp := make([]byte, 16, 128)
	icmp[0] = packet.ICMPv6RouterAdvert
	icmp[4] = ra.HopLimit
	if ra.Managed {
		icmp[5] |= 0x80
	}
	if ra.Other {
		icmp[5] |= 0x40
	}
	put16(icmp[6:], uint16(min(units(ra.Lifetime, time.Second), math.MaxUint16)))
	put32(icmp[8:], units(ra.Reachable, time.Millisecond))
	put32(icmp[12:], units(ra.Retrans, time.Millisecond))
	icmp = appendLink(icmp, optSourceLink, ra.LinkAddr)
	if ra.MTU != 0 {
		icmp = binary.BigEndian.AppendUint32(append(icmp, optMTU, 1, 0, 0), ra.MTU)
	}
	for _, p := range ra.Prefixes {
		icmp = p.append(icmp)
	}
	for servers := range slices.Chunk(ra.RDNSS, rdnssMax) {
		icmp = append(icmp, optRDNSS, byte(1+2*len(servers)), 0, 0)
		icmp = binary.BigEndian.AppendUint32(icmp, units(ra.RDNSSLifetime, time.Second))
		for _, s := range servers {
			icmp = append(icmp, s.AsSlice()...)
		}
	}
	return frame(to, src, srcIP, dst, icmp)
}

// append encodes the option.
func (p *Prefix) append(b []byte) []byte {
	flags := byte(0)
	if p.OnLink {
		flags |= 0x80
	}
	if p.Autonomous {
		flags |= 0x40
	}
	b = append(b, optPrefix, 4, byte(p.Prefix.Bits()), flags)
	b = binary.BigEndian.AppendUint32(b, units(p.Valid, time.Second))
	b = binary.BigEndian.AppendUint32(b, units(p.Preferred, time.Second))
	b = append(b, 0, 0, 0, 0)
	return append(b, p.Prefix.Masked().Addr().AsSlice()...)
}

// units returns d in whole units, limited to 32 bits.
func units(d, unit time.Duration) uint32 {
	return uint32(min(max(d/unit, 0), math.MaxUint32))
}

// parseRouterAdvert reads the fixed part of a Router Advertisement, which is
// there in full.
func parseRouterAdvert(icmp []byte) *RouterAdvert {
	return &RouterAdvert{
		HopLimit:  icmp[4],
		Managed:   icmp[5]&0x80 != 0,
		Other:     icmp[5]&0x40 != 0,
		Lifetime:  time.Duration(binary.BigEndian.Uint16(icmp[6:])) * time.Second,
		Reachable: time.Duration(binary.BigEndian.Uint32(icmp[8:])) * time.Millisecond,
		Retrans:   time.Duration(binary.BigEndian.Uint32(icmp[12:])) * time.Millisecond,
	}
}

// parseOption reads one option, which is there in full; it is false where a
// known option is malformed.
func (ra *RouterAdvert) parseOption(b []byte) bool {
	switch b[0] {
	case optMTU:
		if len(b) != 8 {
			return false
		}
		ra.MTU = binary.BigEndian.Uint32(b[4:])
	case optPrefix:
		if len(b) != 32 || b[2] > 128 {
			return false
		}
		ra.Prefixes = append(ra.Prefixes, Prefix{
			Prefix:     netip.PrefixFrom(netip.AddrFrom16([16]byte(b[16:32])), int(b[2])).Masked(),
			OnLink:     b[3]&0x80 != 0,
			Autonomous: b[3]&0x40 != 0,
			Valid:      seconds(b[4:]),
			Preferred:  seconds(b[8:]),
		})
	case optRDNSS:
		if len(b) < 24 || len(b)%16 != 8 {
			return false
		}
		ra.RDNSSLifetime = seconds(b[4:])
		for s := range slices.Chunk(b[8:], 16) {
			ra.RDNSS = append(ra.RDNSS, netip.AddrFrom16([16]byte(s)))
		}
	}
	return true
}

// seconds reads a lifetime.
func seconds(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Second
}
