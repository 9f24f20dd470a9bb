package router

import (
	"net/netip"
	"time"

	"vrouter/arp"
	"vrouter/config"
	"vrouter/ndp"
	"vrouter/neigh"
	"vrouter/packet"
	"vrouter/vrrp"
)

// virtual is a virtual router: its machine and where it runs.
type virtual struct {
	cfg     *config.VRRP
	port    uint16
	mac     packet.MAC
	machine *vrrp.Machine
	served  bool // the virtual MAC is in the snapshot, or will be with the next
	local   bool // the addresses are in the route table
}

func newVirtual(cfg *config.VRRP, port uint16) *virtual {
	return &virtual{
		cfg: cfg, port: port,
		mac:     vrrp.VirtualMAC(cfg.VRID, cfg.IPv6()),
		machine: vrrp.New(cfg.Config),
	}
}

// has reports whether addr is one of the virtual addresses.
func (v *virtual) has(addr netip.Addr) bool {
	for _, a := range v.cfg.Addresses {
		if a == addr {
			return true
		}
	}
	return false
}

// accepts reports whether local traffic to the virtual addresses is answered
// while Master: in accept mode, and always by the owner (RFC 9568 6.1).
func (v *virtual) accepts() bool { return v.cfg.Accept || v.cfg.Owner() }

// vrrpActions carries out what a machine wants. State changes reach the
// snapshot of this turn, which is published before the frames leave.
func (r *Router) vrrpActions(now time.Time, v *virtual, actions []vrrp.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case vrrp.Transition:
			r.event(now, Event{
				Kind: "vrrp", Name: v.cfg.Name,
				From: a.From.String(), To: a.To.String(), Reason: a.Reason,
			})
		case vrrp.Send:
			r.sendAdvertisement(now, v, &a.Advertisement)
		case vrrp.Announce:
			r.announce(v, a.Addresses)
		case vrrp.Release:
			r.event(now, Event{
				Kind: "vrrp", Name: v.cfg.Name,
				From: "draining", To: v.machine.State().String(), Reason: a.Reason,
			})
		}
	}
	r.ownership(v)
}

// ownership brings routes and snapshot in step with the machine.
func (r *Router) ownership(v *virtual) {
	if serve := v.machine.Forwarding(); serve != v.served {
		v.served = serve
		r.dirty = true
	}
	local := v.machine.State() == vrrp.Master
	if local == v.local {
		return
	}
	v.local = local
	r.dirty, r.localDirty = true, true
	for _, a := range v.cfg.Addresses {
		if local {
			r.table.SetVirtual(v.port, a, v.accepts())
		} else {
			r.table.RemoveVirtual(v.port, a)
		}
	}
}

// sendAdvertisement sends to the group, or to each unicast peer.
func (r *Router) sendAdvertisement(now time.Time, v *virtual, adv *vrrp.Advertisement) {
	source, ok := r.ifaces[v.port].vrrpSource(v.cfg.IPv6())
	if !ok {
		return
	}
	if len(v.cfg.Peers) == 0 {
		group := vrrp.GroupIPv4
		if v.cfg.IPv6() {
			group = vrrp.GroupIPv6
		}
		r.do(Transmit{v.port, advertFrame(v, adv, source, group, packet.MulticastMAC(group), v.mac)})
		return
	}
	for _, peer := range v.cfg.Peers {
		r.sendToPeer(now, v, adv, source, peer)
	}
}

// sendToPeer sends a unicast advertisement: to a neighbour of the interface,
// or routed by the fast path, which also resolves. Its source MAC is the
// port's: the virtual one would teach switches nothing on a routed path.
func (r *Router) sendToPeer(now time.Time, v *virtual, adv *vrrp.Advertisement, source, peer netip.Addr) {
	f := r.ifaces[v.port]
	if mac, ok := r.cache.Lookup(neigh.Key{Port: v.port, Addr: peer}); ok {
		r.do(Transmit{v.port, advertFrame(v, adv, source, peer, mac, f.state.MAC)})
		return
	}
	frame := advertFrame(v, adv, source, peer, packet.MAC{}, f.state.MAC)
	r.do(Forward{neigh.Waiting{In: v.port, Local: true, Frame: frame}})
}

// advertFrame encodes an advertisement as a whole frame. TTL 255 proves that
// it comes from the link (RFC 9568 5.1.1.3); the class selector is that of
// network control (RFC 4594 3.1).
func advertFrame(v *virtual, adv *vrrp.Advertisement, src, dst netip.Addr, dstMAC, srcMAC packet.MAC) []byte {
	const room = packet.EthernetLen + packet.IPv6Len + 512
	frame := make([]byte, packet.EthernetLen+packet.IPv6Len, room)
	if v.cfg.IPv6() {
		packet.PutEthernet(frame, dstMAC, srcMAC, packet.EtherTypeIPv6)
		frame = adv.Append(frame, src, dst, v.cfg.PlainCSum)
		h := packet.IPv6Header{
			TrafficClass: classControl, NextHeader: packet.ProtoVRRP, HopLimit: 255, Src: src, Dst: dst,
		}
		h.Put(frame[packet.EthernetLen:], len(frame)-packet.EthernetLen-packet.IPv6Len)
		return frame
	}
	packet.PutEthernet(frame, dstMAC, srcMAC, packet.EtherTypeIPv4)
	frame = adv.Append(frame[:packet.EthernetLen+packet.IPv4Len], src, dst, v.cfg.PlainCSum)
	h := packet.IPv4Header{TOS: classControl, TTL: 255, Protocol: packet.ProtoVRRP, Src: src, Dst: dst}
	h.Put(frame[packet.EthernetLen:], len(frame)-packet.EthernetLen-packet.IPv4Len)
	return frame
}

// classControl is DSCP CS6 in the place of the type of service octet.
const classControl = 0xc0

// announce tells the link where virtual addresses are: gratuitous ARP
// (RFC 9568 8.1.2) or unsolicited NA (8.2.2).
func (r *Router) announce(v *virtual, addresses []netip.Addr) {
	for _, a := range addresses {
		if a.Is4() {
			r.do(Transmit{v.port, arp.Gratuitous(v.mac, a)})
		} else {
			r.do(Transmit{v.port, ndp.Unsolicited(v.mac, a)})
		}
	}
}

// receiveVRRP takes a VRRP packet: mac is the frame's source; src, dst and ttl
// are the IP header's.
func (r *Router) receiveVRRP(now time.Time, port uint16, mac packet.MAC, src, dst netip.Addr, ttl uint8, payload []byte) {
	adv, reason := vrrp.Parse(src, dst, ttl, payload)
	if reason != vrrp.ReasonNone {
		r.counters.vrrp[reason]++
		// The VRID may be nonsense too; where it is one of ours, its operator
		// wants to see that somebody sends bad packets for it.
		if len(payload) > 1 {
			if v := r.virtualRouter(port, payload[1], src.Is6()); v != nil {
				v.machine.Discarded(reason)
			}
		}
		return
	}
	v := r.virtualRouter(port, adv.VRID, src.Is6())
	if v == nil {
		r.counters.vrrp[vrrp.ReasonUnknown]++
		return
	}
	actions, reason := v.machine.Receive(now, vrrp.Sender{Addr: src, MAC: mac}, adv)
	if reason != vrrp.ReasonNone {
		r.counters.vrrp[reason]++
	}
	r.vrrpActions(now, v, actions)
}

// virtualRouter returns the virtual router of a port, VRID and family, or nil.
func (r *Router) virtualRouter(port uint16, vrid uint8, ipv6 bool) *virtual {
	for _, v := range r.virtual {
		if v.port == port && v.cfg.VRID == vrid && v.cfg.IPv6() == ipv6 {
			return v
		}
	}
	return nil
}
