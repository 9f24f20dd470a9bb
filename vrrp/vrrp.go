// Package vrrp is the Virtual Router Redundancy Protocol: the advertisement
// codec and the state machine of one virtual router, version 2 (RFC 3768) and
// version 3 (RFC 9568, before it RFC 5798), IPv4 and IPv6.
//
// The package is pure: a Machine is a value; events and the time go in,
// actions and the next deadline come out. RFC 9568 calls the state Master
// "Active"; this package keeps the word of the earlier RFCs.
package vrrp

import (
	"net/netip"

	"vrouter/packet"
)

// Priorities with a meaning of their own (RFC 9568 5.2.4).
const (
	PriorityStop    = 0   // the Master gives up
	PriorityDefault = 100 // of a backup router
	PriorityOwner   = 255 // the router owns the addresses
)

// Multicast destinations of advertisements (RFC 9568 5.1.1.2, 5.1.2.2).
var (
	GroupIPv4 = netip.AddrFrom4([4]byte{224, 0, 0, 18})
	GroupIPv6 = netip.MustParseAddr("ff02::12")
)

// VirtualMAC returns the virtual router MAC address of a VRID (RFC 9568 7.3).
func VirtualMAC(vrid uint8, ipv6 bool) packet.MAC {
	if ipv6 {
		return packet.MAC{0x00, 0x00, 0x5e, 0x00, 0x02, vrid}
	}
	return packet.MAC{0x00, 0x00, 0x5e, 0x00, 0x01, vrid}
}

// State is the state of a Machine (RFC 9568 6.3).
type State uint8

// The states.
const (
	Initialize State = iota
	Backup
	Master
)

// String returns the state's name in the RFC.
func (s State) String() string {
	return [...]string{"Initialize", "Backup", "Master"}[s]
}

// MarshalText writes the name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
