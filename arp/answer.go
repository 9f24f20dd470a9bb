package arp

import (
	"net/netip"

	"vrouter/packet"
)

// Owner says with which MAC a request for addr is answered on the port that
// it came in on, or that it is not answered: an own address with the port's
// MAC; a virtual address with the virtual MAC while Master, and not at all
// otherwise (RFC 9568 6.4.2, 6.4.3).
type Owner func(addr netip.Addr) (mac packet.MAC, ok bool)

// Answer returns the frame that answers p, or nil where there is nothing to
// say.
//
// A request from somebody who claims an address that we answer for is never
// answered (so no gratuitous ARP for such an address is): an answer would
// confirm a spoofed sender, and a real duplicate is dealt with by defence (see Packet.Conflicts). A Probe claims nothing yet and
// is answered, which is what keeps its sender from taking our address (RFC
// 5227 2.1.1).
//
// The reply leaves from the MAC that it tells. For a virtual address RFC 9568
// 8.1.2 forbids the physical MAC in the ARP packet; that the frame's source is
// the virtual one too, as with keepalived's macvlan on Linux, shows the
// switches with each answer where the virtual MAC is.
func Answer(p Packet, own Owner) []byte {
	if p.Op != OpRequest {
		return nil
	}
	mac, ok := own(p.TargetIP)
	if !ok {
		return nil
	}
	if !p.IsProbe() {
		if _, spoofed := own(p.SenderIP); spoofed {
			return nil
		}
	}
	return Reply(mac, p.TargetIP, p.SenderMAC, p.SenderIP)
}
