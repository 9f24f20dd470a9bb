package router

import (
	"net/netip"
	"time"

	"vrouter/neigh"
	"vrouter/packet"
	"vrouter/vrrp"
)

// classControl is DSCP CS6, network control (RFC 4594 3.1), in the place of
// the type of service octet.
const classControl = 0xc0

// envelope is what is around an advertisement on its way.
type envelope struct {
	src, dst netip.Addr
	from, to packet.MAC // to is zero where the MAC of a unicast peer is not known
	sequence uint32     // of the authentication header
}

// sendAdvertisement sends to the group, or to each unicast peer: to a neighbour
// of the interface, or routed by the fast path, which also resolves.
func (r *Router) sendAdvertisement(now time.Time, v *virtual, adv *vrrp.Advertisement) {
	for _, e := range r.envelopes(v, v.machine.NextSequence(now)) {
		frame := advertFrame(v, adv, e)
		if e.to.IsZero() {
			r.do(Forward{neigh.Waiting{In: v.port, Local: true, Frame: frame}})
		} else {
			r.do(Transmit{v.port, frame})
		}
	}
}

// willFrames returns the frames that say for a virtual router, after this
// process is gone, that it has given up: priority 0, to the group or to each
// unicast peer whose MAC is known. They are to be prepared anew after each
// advertisement, for the sequence number of an authentication header ages
// (vrrp.Machine.WillSequence).
func (r *Router) willFrames(now time.Time, v *virtual) [][]byte {
	adv := v.machine.LastWill()
	var frames [][]byte
	for _, e := range r.envelopes(v, v.machine.WillSequence(now)) {
		if !e.to.IsZero() {
			frames = append(frames, advertFrame(v, &adv, e))
		}
	}
	return frames
}

// envelopes returns to whom an advertisement goes: to the group, or to each
// unicast peer; to nobody where the interface has no address to send it from.
//
// To the group the source MAC is the virtual one (RFC 9568 7.2); to a unicast
// peer the port's: the virtual one would teach switches nothing on a routed
// path.
func (r *Router) envelopes(v *virtual, sequence uint32) []envelope {
	f := r.ifaces[v.port]
	source, ok := f.vrrpSource(v.cfg.IPv6())
	if !ok {
		return nil
	}
	if len(v.cfg.Peers) == 0 {
		group := vrrp.GroupIPv4
		if v.cfg.IPv6() {
			group = vrrp.GroupIPv6
		}
		return []envelope{{source, group, v.mac, packet.MulticastMAC(group), sequence}}
	}
	list := make([]envelope, 0, len(v.cfg.Peers))
	for _, peer := range v.cfg.Peers {
		mac, _ := r.cache.Lookup(neigh.Key{Port: v.port, Addr: peer})
		list = append(list, envelope{source, peer, f.state.MAC, mac, sequence})
	}
	return list
}

// advertFrame encodes an advertisement as a whole frame, with an authentication
// header where the virtual router has one. TTL 255 proves that it comes from
// the link (RFC 9568 5.1.1.3).
func advertFrame(v *virtual, adv *vrrp.Advertisement, e envelope) []byte {
	const room = packet.EthernetLen + packet.IPv6Len + 512
	frame := make([]byte, packet.EthernetLen, room)
	if v.cfg.IPv6() {
		packet.PutEthernet(frame, e.to, e.from, packet.EtherTypeIPv6)
		return appendAdvert6(frame, v, adv, e)
	}
	packet.PutEthernet(frame, e.to, e.from, packet.EtherTypeIPv4)
	return appendAdvert4(frame, v, adv, e)
}

// appendAdvert6 appends the IPv6 packet to an Ethernet header.
func appendAdvert6(frame []byte, v *virtual, adv *vrrp.Advertisement, e envelope) []byte {
	const start = packet.EthernetLen + packet.IPv6Len
	frame = adv.Append(frame[:start], e.src, e.dst, v.cfg.PlainCSum)
	h := packet.IPv6Header{
		TrafficClass: classControl, NextHeader: packet.ProtoVRRP, HopLimit: vrrp.TTL, Src: e.src, Dst: e.dst,
	}
	h.Put(frame[packet.EthernetLen:], len(frame)-start)
	return frame
}

// appendAdvert4 appends the IPv4 packet to an Ethernet header.
func appendAdvert4(frame []byte, v *virtual, adv *vrrp.Advertisement, e envelope) []byte {
	const start = packet.EthernetLen + packet.IPv4Len
	h := packet.IPv4Header{TOS: classControl, TTL: vrrp.TTL, Protocol: packet.ProtoVRRP, Src: e.src, Dst: e.dst}
	sealed, room := adv.AuthType == vrrp.AuthAH, start
	if sealed {
		h.Protocol = packet.ProtoAH
		room += vrrp.AuthHeaderLen
	}
	frame = adv.Append(frame[:room], e.src, e.dst, v.cfg.PlainCSum)
	h.Put(frame[packet.EthernetLen:], len(frame)-start)
	if sealed {
		vrrp.Seal(packet.IPv4(frame[packet.EthernetLen:]), v.cfg.Auth.Key, e.sequence)
	}
	return frame
}
