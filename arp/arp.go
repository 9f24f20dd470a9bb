// Package arp is the Address Resolution Protocol (RFC 826) for IPv4 over
// Ethernet, with the probes and announcements of RFC 5227: the codec, and the
// decision whether and with which MAC a request is answered.
//
// The package is pure: it keeps no state. Who our neighbours are is the
// business of package neigh.
package arp

import (
	"encoding/binary"
	"net/netip"

	"vrouter/packet"
)

// Operations (RFC 826, field ar$op).
const (
	OpRequest = 1
	OpReply   = 2
)

// Len is the length of a packet for Ethernet and IPv4, in bytes; a frame may
// carry padding behind it.
const Len = 28

// FrameLen is the length of a frame that this package builds, in bytes. It is
// under Ethernet's minimum; the device pads it.
const FrameLen = packet.EthernetLen + Len

// Packet is an ARP packet for Ethernet and IPv4.
type Packet struct {
	Op        uint16     // OpRequest or OpReply
	SenderMAC packet.MAC // who says it: never zero, never a group address
	SenderIP  netip.Addr // 0.0.0.0 in a Probe
	TargetMAC packet.MAC // of a reply; requests leave it unset or wrong
	TargetIP  netip.Addr
}

// Reason is why a packet was refused; each has a counter of its own.
type Reason uint8

// The reasons.
const (
	OK        Reason = iota
	Short            // under 28 bytes
	Hardware         // not Ethernet, or its addresses not of 6 bytes
	Protocol         // not IPv4, or its addresses not of 4 bytes
	Operation        // neither request nor reply
	SenderMAC        // zero or a group address
	SenderIP         // not an address that a host can have
	TargetIP         // a request for an address that no host can have

	NumReasons = iota
)

var reasonNames = [NumReasons]string{
	"ok", "short", "hardware", "protocol", "operation", "sender_mac", "sender_ip", "target_ip",
}

// String returns the reason's name in counters.
func (r Reason) String() string { return reasonNames[r] }

// Parse reads the payload of an Ethernet frame of type ARP. What is left
// behind the packet's 28 bytes is padding and ignored.
//
// It is stricter than RFC 826 where laxity would let nonsense into a cache:
// the sender's MAC must be that of one station, and the sender's IP address
// one that a host can have (0.0.0.0 only in a request: RFC 5227 1.1 Probe).
// The target's MAC is not looked at: RFC 826 leaves it undefined in requests.
func Parse(payload []byte) (Packet, Reason) {
	if len(payload) < Len {
		return Packet{}, Short
	}
	b := payload[:Len]
	if binary.BigEndian.Uint16(b[0:]) != 1 || b[4] != 6 {
		return Packet{}, Hardware
	}
	if binary.BigEndian.Uint16(b[2:]) != packet.EtherTypeIPv4 || b[5] != 4 {
		return Packet{}, Protocol
	}
	p := Packet{
		Op:        binary.BigEndian.Uint16(b[6:]),
		SenderMAC: packet.MAC(b[8:14]),
		SenderIP:  netip.AddrFrom4([4]byte(b[14:18])),
		TargetMAC: packet.MAC(b[18:24]),
		TargetIP:  netip.AddrFrom4([4]byte(b[24:28])),
	}
	return p, p.check()
}

// check says what is wrong with the values of a packet's fields.
func (p *Packet) check() Reason {
	switch {
	case p.Op != OpRequest && p.Op != OpReply:
		return Operation
	case p.SenderMAC.IsZero() || p.SenderMAC.IsMulticast():
		return SenderMAC
	case !unicast(p.SenderIP) && !(p.Op == OpRequest && p.SenderIP.IsUnspecified()):
		return SenderIP
	case p.Op == OpRequest && !unicast(p.TargetIP):
		return TargetIP
	}
	return OK
}

// unicast reports whether a host on an Ethernet can have the address: not one
// of 0/8, 127/8, 224/4, 240/4 (RFC 1122 3.2.1.3, RFC 6890).
func unicast(a netip.Addr) bool {
	first := a.As4()[0]
	return first != 0 && first != 127 && first < 224
}

// IsProbe reports whether the packet is an ARP Probe: somebody asks for an
// address that he is about to take (RFC 5227 1.1).
func (p *Packet) IsProbe() bool { return p.Op == OpRequest && p.SenderIP.IsUnspecified() }

// IsGratuitous reports whether the packet announces its sender's own address,
// as request or as reply (RFC 5944 4.6; RFC 5227 3 calls the request form an
// Announcement). It asks nothing.
func (p *Packet) IsGratuitous() bool { return p.SenderIP == p.TargetIP }

// Conflicts reports whether the packet shows that another station uses addr,
// which we use too (RFC 5227 2.4: any ARP packet with our address as sender),
// or, while we still probe for it, that another station probes for it as well
// (RFC 5227 2.1.1). That the sender's MAC is not one of ours is left to the
// caller, who knows them.
func (p *Packet) Conflicts(addr netip.Addr, probing bool) bool {
	return p.SenderIP == addr || probing && p.IsProbe() && p.TargetIP == addr
}
