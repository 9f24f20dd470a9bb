// Package ndp is Neighbor Discovery for IPv6 (RFC 4861).
package ndp

import (
	"net/netip"

	"vrouter/packet"
)

// Message is a valid Neighbor Discovery message.
type Message struct {
	Type     uint8      // packet.ICMPv6NeighborSolicit, ...Advert, ...RouterSolicit, ...RouterAdvert
	EthSrc   packet.MAC // of the frame
	Src, Dst netip.Addr
	Target   netip.Addr // of NS and NA
	// Router, Solicited and Override are the flags of an NA.
	Router, Solicited, Override bool
	// LinkAddr is the source (NS, RS, RA) or target (NA) link-layer address
	// option; zero: there was none.
	LinkAddr packet.MAC
	Router6  *RouterAdvert // of an RA
}

// Reason is why a message was refused.
type Reason uint8

// OK: it was not refused.
const OK Reason = iota

// Parse reads and validates a whole Ethernet frame that carries IPv6.
func Parse(frame []byte) (Message, Reason) { return Message{}, OK }

// RouterAdvert is the content of a Router Advertisement.
type RouterAdvert struct{}

// Owner says with which MAC a solicitation for addr is answered on the port that it came in on.
type Owner func(addr netip.Addr) (mac packet.MAC, ok bool)

// Answer returns the frame that answers m, or nil.
func Answer(m Message, own Owner) []byte { return nil }

// Conflicts: see arp.Packet.Conflicts.
func (m *Message) Conflicts(addr netip.Addr, probing bool) bool { return false }

// Solicit asks the solicited-node group of target.
func Solicit(src packet.MAC, srcIP, target netip.Addr) []byte { return nil }

// UnicastSolicit asks the neighbour at dst whether it still has target.
func UnicastSolicit(src packet.MAC, srcIP netip.Addr, dst packet.MAC, target netip.Addr) []byte {
	return nil
}

// Probe asks, from ::, whether anybody has target (RFC 4862 5.4.2).
func Probe(src packet.MAC, target netip.Addr) []byte { return nil }

// Unsolicited tells all nodes that target is at mac, with R and O set (RFC 4861 7.2.6; RFC 9568 6.4.1).
func Unsolicited(mac packet.MAC, target netip.Addr) []byte { return nil }
