package vrrp

import (
	"encoding/binary"
	"net/netip"
	"time"

	"vrouter/packet"
)

// Protocol is VRRP's IP protocol number and IPv6 next header (RFC 9568
// 5.1.1.4, 5.1.2.4).
const Protocol = 112

// TTL is the only TTL and hop limit that an advertisement may have (RFC 9568
// 5.1.1.3, 5.1.2.3), to the group and to unicast peers.
const TTL = 255

// Intervals that fit the packet format.
const (
	IntervalUnit2 = time.Second           // unit of version 2 (RFC 3768 5.3.7)
	IntervalUnit3 = 10 * time.Millisecond // unit of version 3 (RFC 9568 5.2.7)
	MaxInterval2  = 255 * IntervalUnit2   // 8 bits
	MaxInterval3  = 4095 * IntervalUnit3  // 12 bits
)

const (
	headerLen   = 8   // both versions
	authDataLen = 8   // version 2, behind the addresses
	typeAdvert  = 1   // the only packet type
	maxCount    = 255 // addresses in one packet
)

// Advertisement is the content of one VRRP packet, of either version.
type Advertisement struct {
	Version   uint8 // 2 or 3
	VRID      uint8 // 1..255
	Priority  uint8
	Interval  time.Duration // of the sender; v2: whole seconds; v3: centiseconds
	Addresses []netip.Addr  // 1..255, of one family
	AuthType  AuthType      // v2 only

	// AuthData is the authentication data of version 2 (RFC 2338 5.3.10); zero
	// but with AuthPassword.
	AuthData [authDataLen]byte

	// PlainCSum is set by Parse where a version 3 packet over IPv4 has the
	// checksum without pseudo header.
	PlainCSum bool

	// sealed is the packet with the authentication header, as ParseIPv4 got it.
	sealed packet.IPv4
}

// Parse decodes a VRRP packet, the payload of an IP packet with the given
// source, destination and TTL (hop limit), and checks everything that can be
// checked without knowing the virtual router (RFC 9568 7.1, RFC 3768 7.1). It
// returns ReasonNone for a good packet. For others Version and VRID are filled
// in where the packet is long enough, so that the discard can be counted where
// it belongs; the rest is not to be used.
//
// The TTL must be 255 for unicast peers, too. A version 3 checksum over IPv4
// is good with a pseudo header (RFC 5798 5.2.8, and what is deployed) and
// without (RFC 9568 5.2.8). The length must be exact: bytes behind the last
// field would be covered by no reading of the checksum.
func Parse(src, dst netip.Addr, ttl uint8, payload []byte) (Advertisement, Reason) {
	var a Advertisement
	if len(payload) >= 2 {
		a.Version, a.VRID = payload[0]>>4, payload[1]
	}
	if r := checkIP(src, dst, ttl); r != ReasonNone {
		return a, r
	}
	if len(payload) < headerLen {
		return a, ReasonLength
	}
	if r := a.checkHeader(payload, src.Is4()); r != ReasonNone {
		return a, r
	}
	if r := a.checkSum(src, dst, payload); r != ReasonNone {
		return a, r
	}
	a.Priority = payload[2]
	if a.VRID == 0 {
		return a, ReasonVRID
	}
	if r := a.parseTiming(payload); r != ReasonNone {
		return a, r
	}
	a.Addresses = parseAddresses(payload[headerLen:], int(payload[3]), src.Is4())
	return a, ReasonNone
}

// checkIP checks what the IP header says.
func checkIP(src, dst netip.Addr, ttl uint8) Reason {
	switch {
	case ttl != TTL:
		return ReasonTTL
	case !src.IsValid() || src.Is4In6() || src.IsMulticast() || src.IsUnspecified():
		return ReasonSource
	case src.Is6() && !src.IsLinkLocalUnicast():
		return ReasonSource
	case src.Is4() != dst.Is4() || !dst.IsValid():
		return ReasonDestination
	case dst.IsMulticast() && dst != GroupIPv4 && dst.WithZone("") != GroupIPv6:
		return ReasonDestination
	}
	return ReasonNone
}

// checkHeader checks version, type, count and length.
func (a *Advertisement) checkHeader(b []byte, ipv4 bool) Reason {
	switch {
	case a.Version != 3 && !(a.Version == 2 && ipv4):
		return ReasonVersion
	case b[0]&0x0f != typeAdvert:
		return ReasonType
	case b[3] == 0:
		return ReasonCount
	case len(b) != messageLen(a.Version, int(b[3]), ipv4):
		return ReasonLength
	}
	return ReasonNone
}

// checkSum verifies the checksum and notes which reading of it was right.
func (a *Advertisement) checkSum(src, dst netip.Addr, b []byte) Reason {
	plain := packet.Sum(0, b)
	if a.Version == 2 {
		if packet.Checksum(plain) != 0 {
			return ReasonChecksum
		}
		return ReasonNone
	}
	if packet.Checksum(packet.Sum(packet.PseudoHeader(src, dst, Protocol, len(b)), b)) == 0 {
		return ReasonNone
	}
	if src.Is4() && packet.Checksum(plain) == 0 {
		a.PlainCSum = true
		return ReasonNone
	}
	return ReasonChecksum
}

// parseTiming reads bytes 4 and 5: authentication type, with its data, and
// interval in seconds (version 2), or four reserved bits and interval in centiseconds (version 3).
func (a *Advertisement) parseTiming(b []byte) Reason {
	if a.Version == 2 {
		a.AuthType = AuthType(b[4])
		a.Interval = time.Duration(b[5]) * IntervalUnit2
		switch a.AuthType {
		case AuthNone, AuthAH: // the data means nothing
		case AuthPassword:
			copy(a.AuthData[:], b[len(b)-authDataLen:])
		default:
			return ReasonAuthType
		}
	} else {
		a.Interval = time.Duration(binary.BigEndian.Uint16(b[4:])&0x0fff) * IntervalUnit3
	}
	if a.Interval == 0 {
		return ReasonInterval
	}
	return ReasonNone
}

func parseAddresses(b []byte, count int, ipv4 bool) []netip.Addr {
	addrs := make([]netip.Addr, count)
	for i := range addrs {
		if ipv4 {
			addrs[i] = netip.AddrFrom4([4]byte(b[4*i:]))
		} else {
			addrs[i] = netip.AddrFrom16([16]byte(b[16*i:]))
		}
	}
	return addrs
}

// messageLen returns the length in bytes of a packet with count addresses.
func messageLen(version uint8, count int, ipv4 bool) int {
	n := headerLen
	if ipv4 {
		n += 4 * count
	} else {
		n += 16 * count
	}
	if version == 2 {
		n += authDataLen
	}
	return n
}

// Append appends the encoded packet, checksum included, to b and returns the
// result. src and dst are those of the IP packet that will carry it.
// plainCSum leaves the pseudo header out of a version 3 checksum over IPv4; it
// means nothing elsewhere. The fields must be in their ranges: an interval is
// rounded down to its unit, and addresses beyond the 255th are left out.
func (a *Advertisement) Append(b []byte, src, dst netip.Addr, plainCSum bool) []byte {
	addrs := a.Addresses[:min(len(a.Addresses), maxCount)]
	start := len(b)
	b = append(b, a.Version<<4|typeAdvert, a.VRID, a.Priority, uint8(len(addrs)))
	if a.Version == 2 {
		b = append(b, uint8(a.AuthType), uint8(a.Interval/IntervalUnit2))
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(a.Interval/IntervalUnit3)&0x0fff)
	}
	b = append(b, 0, 0)
	for _, addr := range addrs {
		b = append(b, addr.AsSlice()...)
	}
	if a.Version == 2 {
		b = append(b, a.AuthData[:]...)
	}
	msg := b[start:]
	var sum uint64
	if a.Version == 3 && !(plainCSum && src.Is4()) {
		sum = packet.PseudoHeader(src, dst, Protocol, len(msg))
	}
	binary.BigEndian.PutUint16(msg[6:], packet.Checksum(packet.Sum(sum, msg)))
	return b
}
