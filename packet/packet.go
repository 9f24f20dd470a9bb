// Package packet holds what two or more packages share of the wire: MAC
// addresses, frames with their virtio-net header, checked views of Ethernet,
// IPv4, IPv6 and ICMP headers, and the Internet checksum.
//
// The package is pure: it starts nothing, reads no clock and allocates only
// where a function says so.
package packet

import "encoding/binary"

// EtherTypes (IANA "IEEE 802 Numbers").
const (
	EtherTypeIPv4 = 0x0800
	EtherTypeARP  = 0x0806
	EtherTypeVLAN = 0x8100 // IEEE 802.1Q
	EtherTypeQinQ = 0x88a8 // IEEE 802.1ad
	EtherTypeIPv6 = 0x86dd
)

// IP protocol numbers (IANA "Protocol Numbers").
const (
	ProtoHopByHop = 0
	ProtoICMP     = 1
	ProtoIGMP     = 2
	ProtoTCP      = 6
	ProtoUDP      = 17
	ProtoRouting  = 43
	ProtoFragment = 44
	ProtoAH       = 51
	ProtoICMPv6   = 58
	ProtoNoNext   = 59
	ProtoDestOpts = 60
	ProtoVRRP     = 112
)

// EthernetLen is the length of an untagged Ethernet header, in bytes.
const EthernetLen = 14

// Ethernet is a view of a frame from its destination MAC on. A view is only
// made by ParseEthernet or over a buffer that the caller knows to hold at
// least EthernetLen bytes.
type Ethernet []byte

// ParseEthernet returns a view of b, or false where b is too short for an
// Ethernet header.
func ParseEthernet(b []byte) (Ethernet, bool) {
	return Ethernet(b), len(b) >= EthernetLen
}

// Dst returns the destination MAC.
func (e Ethernet) Dst() MAC { return MAC(e[0:6]) }

// Src returns the source MAC.
func (e Ethernet) Src() MAC { return MAC(e[6:12]) }

// Type returns the EtherType.
func (e Ethernet) Type() uint16 { return binary.BigEndian.Uint16(e[12:14]) }

// Payload returns what follows the header.
func (e Ethernet) Payload() []byte { return e[EthernetLen:] }

// PutEthernet writes an Ethernet header into b, which holds at least
// EthernetLen bytes.
func PutEthernet(b []byte, dst, src MAC, etherType uint16) {
	copy(b[0:6], dst[:])
	copy(b[6:12], src[:])
	binary.BigEndian.PutUint16(b[12:14], etherType)
}
