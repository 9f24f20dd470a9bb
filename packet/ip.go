package packet

import (
	"encoding/binary"
	"net/netip"
)

// IPv4Len and IPv6Len are the lengths of the headers without options, in bytes.
const (
	IPv4Len = 20
	IPv6Len = 40
)

// IPv4 is a view of an IPv4 packet (RFC 791). ParseIPv4 checks that header
// and total length fit; the accessors rely on it.
type IPv4 []byte

// ParseIPv4 returns a view of the packet at the start of b, cut to its total
// length. It is false where the version is not 4, the header length is under
// 20 bytes, or header or total length exceed what is there. The checksum is
// not verified: see HeaderOK.
func ParseIPv4(b []byte) (IPv4, bool) {
	if len(b) < IPv4Len || b[0]>>4 != 4 {
		return nil, false
	}
	hlen, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:4]))
	if hlen < IPv4Len || total < hlen || total > len(b) {
		return nil, false
	}
	return IPv4(b[:total]), true
}

// HeaderLen returns the length of the header with its options, in bytes.
func (p IPv4) HeaderLen() int { return int(p[0]&15) * 4 }

// TOS returns the type of service octet.
func (p IPv4) TOS() uint8 { return p[1] }

// ID returns the identification field.
func (p IPv4) ID() uint16 { return binary.BigEndian.Uint16(p[4:6]) }

// DontFragment returns the DF flag.
func (p IPv4) DontFragment() bool { return p[6]&0x40 != 0 }

// MoreFragments returns the MF flag.
func (p IPv4) MoreFragments() bool { return p[6]&0x20 != 0 }

// FragmentOffset returns the offset of the fragment, in bytes.
func (p IPv4) FragmentOffset() int {
	return int(binary.BigEndian.Uint16(p[6:8])&0x1fff) * 8
}

// TTL returns the time to live.
func (p IPv4) TTL() uint8 { return p[8] }

// Protocol returns the upper-layer protocol.
func (p IPv4) Protocol() uint8 { return p[9] }

// HeaderOK reports whether the header checksum is right.
func (p IPv4) HeaderOK() bool { return Checksum(Sum(0, p[:p.HeaderLen()])) == 0 }

// Src returns the source address.
func (p IPv4) Src() netip.Addr { return netip.AddrFrom4([4]byte(p[12:16])) }

// Dst returns the destination address.
func (p IPv4) Dst() netip.Addr { return netip.AddrFrom4([4]byte(p[16:20])) }

// Payload returns what follows the header.
func (p IPv4) Payload() []byte { return p[p.HeaderLen():] }

// IPv4Header holds the fields of an IPv4 header without options that a sender
// of ours chooses.
type IPv4Header struct {
	TOS          uint8
	ID           uint16
	DontFragment bool
	TTL          uint8
	Protocol     uint8
	Src, Dst     netip.Addr
}

// Put writes the header, checksum included, to the first 20 bytes of b;
// payload is the length of what follows it, in bytes.
func (h *IPv4Header) Put(b []byte, payload int) {
	b[0], b[1] = 0x45, h.TOS
	binary.BigEndian.PutUint16(b[2:], uint16(IPv4Len+payload))
	binary.BigEndian.PutUint16(b[4:], h.ID)
	b[6], b[7] = 0, 0
	if h.DontFragment {
		b[6] = 0x40
	}
	b[8], b[9], b[10], b[11] = h.TTL, h.Protocol, 0, 0
	s, d := h.Src.As4(), h.Dst.As4()
	copy(b[12:16], s[:])
	copy(b[16:20], d[:])
	binary.BigEndian.PutUint16(b[10:], Checksum(Sum(0, b[:IPv4Len])))
}

// IPv6 is a view of an IPv6 packet (RFC 8200). ParseIPv6 checks that header
// and payload length fit; the accessors rely on it.
type IPv6 []byte

// ParseIPv6 returns a view of the packet at the start of b, cut to its
// length. It is false where the version is not 6 or the payload length
// exceeds what is there.
func ParseIPv6(b []byte) (IPv6, bool) {
	if len(b) < IPv6Len || b[0]>>4 != 6 {
		return nil, false
	}
	total := IPv6Len + int(binary.BigEndian.Uint16(b[4:6]))
	if total > len(b) {
		return nil, false
	}
	return IPv6(b[:total]), true
}

// TrafficClass returns the traffic class octet.
func (p IPv6) TrafficClass() uint8 { return p[0]<<4 | p[1]>>4 }

// FlowLabel returns the 20-bit flow label.
func (p IPv6) FlowLabel() uint32 { return binary.BigEndian.Uint32(p[0:4]) & 0xfffff }

// NextHeader returns the type of the first header after this one.
func (p IPv6) NextHeader() uint8 { return p[6] }

// HopLimit returns the hop limit.
func (p IPv6) HopLimit() uint8 { return p[7] }

// Src returns the source address, without a zone.
func (p IPv6) Src() netip.Addr { return netip.AddrFrom16([16]byte(p[8:24])) }

// Dst returns the destination address, without a zone.
func (p IPv6) Dst() netip.Addr { return netip.AddrFrom16([16]byte(p[24:40])) }

// Payload returns what follows the fixed header, extension headers included.
func (p IPv6) Payload() []byte { return p[IPv6Len:] }

// IPv6Header holds the fields of an IPv6 header that a sender of ours chooses.
type IPv6Header struct {
	TrafficClass uint8
	NextHeader   uint8
	HopLimit     uint8
	Src, Dst     netip.Addr
}

// Put writes the header to the first 40 bytes of b; payload is the length of
// what follows it, in bytes.
func (h *IPv6Header) Put(b []byte, payload int) {
	binary.BigEndian.PutUint32(b, 6<<28|uint32(h.TrafficClass)<<20)
	binary.BigEndian.PutUint16(b[4:], uint16(payload))
	b[6], b[7] = h.NextHeader, h.HopLimit
	s, d := h.Src.As16(), h.Dst.As16()
	copy(b[8:24], s[:])
	copy(b[24:40], d[:])
}
