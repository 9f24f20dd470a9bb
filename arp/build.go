package arp

import (
	"encoding/binary"
	"net/netip"

	"vrouter/packet"
)

// The builders return whole Ethernet frames of FrameLen bytes. Addresses are
// IPv4; any other is a bug of the caller and panics.

// Request asks everybody for the MAC of target.
func Request(src packet.MAC, srcIP, target netip.Addr) []byte {
	return frame(packet.Broadcast, &Packet{
		Op: OpRequest, SenderMAC: src, SenderIP: srcIP, TargetIP: target,
	})
}

// UnicastRequest asks a neighbour whether it still has target: it goes to dst
// alone, so that checking a neighbour costs the others nothing (RFC 1122
// 2.3.2.1, method 2).
func UnicastRequest(src packet.MAC, srcIP netip.Addr, dst packet.MAC, target netip.Addr) []byte {
	return frame(dst, &Packet{
		Op: OpRequest, SenderMAC: src, SenderIP: srcIP, TargetIP: target,
	})
}

// Probe asks whether anybody has target, which src is about to use (RFC 5227
// 2.1.1): the sender's IP address is 0.0.0.0, so that no cache takes it.
func Probe(src packet.MAC, target netip.Addr) []byte {
	return Request(src, netip.IPv4Unspecified(), target)
}

// Reply tells dst (which asked with dstIP, 0.0.0.0 in a Probe) that ip is at
// src.
func Reply(src packet.MAC, ip netip.Addr, dst packet.MAC, dstIP netip.Addr) []byte {
	return frame(dst, &Packet{
		Op: OpReply, SenderMAC: src, SenderIP: ip, TargetMAC: dst, TargetIP: dstIP,
	})
}

// Announcement tells everybody that ip is at src, once it has been probed for
// (RFC 5227 2.3).
func Announcement(src packet.MAC, ip netip.Addr) []byte { return Request(src, ip, ip) }

// Gratuitous tells everybody that a new Master has the virtual address ip
// (RFC 9568 6.4.1, 6.4.2). The virtual MAC stands in the ARP packet, for the
// caches of hosts, and as the frame's source, for the tables of switches: the
// second is what moves the traffic when all routers use one virtual MAC.
//
// It is the request form, as keepalived sends by default and RFC 5227 3
// recommends: every host that implements RFC 826 takes the sender's fields of
// a request into an existing entry, while there are hosts that ignore a reply
// that they did not ask for.
func Gratuitous(virtual packet.MAC, ip netip.Addr) []byte { return Announcement(virtual, ip) }

// frame encodes p into a frame from its sender to dst.
func frame(dst packet.MAC, p *Packet) []byte {
	b := make([]byte, FrameLen)
	packet.PutEthernet(b, dst, p.SenderMAC, packet.EtherTypeARP)
	p.put(b[packet.EthernetLen:])
	return b
}

// put writes the packet to the first Len bytes of b.
func (p *Packet) put(b []byte) {
	binary.BigEndian.PutUint16(b[0:], 1) // Ethernet
	binary.BigEndian.PutUint16(b[2:], packet.EtherTypeIPv4)
	b[4], b[5] = 6, 4 // lengths of MAC and IPv4 addresses
	binary.BigEndian.PutUint16(b[6:], p.Op)
	copy(b[8:14], p.SenderMAC[:])
	sender, target := p.SenderIP.As4(), p.TargetIP.As4()
	copy(b[14:18], sender[:])
	copy(b[18:24], p.TargetMAC[:])
	copy(b[24:28], target[:])
}
