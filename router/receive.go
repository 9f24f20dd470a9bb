package router

import (
	"net/netip"
	"time"

	"vrouter/arp"
	"vrouter/ndp"
	"vrouter/neigh"
	"vrouter/packet"
	"vrouter/vrrp"
)

// counters count what the control plane received and did not use.
type counters struct {
	vrrp      [vrrp.NumReasons]uint64
	arp       [arp.NumReasons]uint64
	nd        [ndp.NumReasons]uint64
	malformed uint64
	spoofed   uint64 // ARP or ND that claims an address of ours, IP or MAC
	offLink   uint64 // ARP or ND of a sender that is in no prefix of the interface
	noAddress uint64 // neighbours that could not be asked for: no source address
	portDown  uint64 // frames of a port that has gone down meanwhile
	inquiries uint64 // questions to masters, for frames that a switch flooded
}

// Receive takes a control frame (ARP, ND, VRRP, BFD) that the fast path punted; in
// is the port it came in on. The frame is not kept.
func (r *Router) Receive(now time.Time, in uint16, frame []byte) []Action {
	r.begin(now)
	r.receive(now, in, frame)
	return r.end(now)
}

func (r *Router) receive(now time.Time, in uint16, frame []byte) {
	eth, ok := packet.ParseEthernet(frame)
	if !ok || int(in) >= len(r.ifaces) {
		r.counters.malformed++
		return
	}
	if !r.ifaces[in].state.Up {
		r.counters.portDown++
		return
	}
	switch eth.Type() {
	case packet.EtherTypeARP:
		r.receiveARP(now, in, eth)
	case packet.EtherTypeIPv4:
		ip, ok := packet.ParseIPv4(eth.Payload())
		if ok && ip.Protocol() == packet.ProtoUDP && ip.FragmentOffset() == 0 && !ip.MoreFragments() {
			r.receiveBFD(now, in, ip.Src(), ip.Dst(), ip.TTL(), ip.Payload(), frame)
			return
		}
		if !ok || ip.Protocol() != packet.ProtoVRRP && ip.Protocol() != packet.ProtoAH ||
			ip.FragmentOffset() != 0 || ip.MoreFragments() {
			r.counters.malformed++
			return
		}
		adv, reason := vrrp.ParseIPv4(ip)
		r.receiveVRRP(now, in, vrrp.Sender{Addr: ip.Src(), MAC: eth.Src()}, adv, reason)
	case packet.EtherTypeIPv6:
		ip, ok := packet.ParseIPv6(eth.Payload())
		switch {
		case ok && ip.NextHeader() == packet.ProtoVRRP:
			adv, reason := vrrp.Parse(ip.Src(), ip.Dst(), ip.HopLimit(), ip.Payload())
			r.receiveVRRP(now, in, vrrp.Sender{Addr: ip.Src(), MAC: eth.Src()}, adv, reason)
		case ok && ip.NextHeader() == packet.ProtoUDP:
			r.receiveBFD(now, in, ip.Src(), ip.Dst(), ip.HopLimit(), ip.Payload(), frame)
		case ok && ip.NextHeader() == packet.ProtoICMPv6:
			r.receiveND(now, in, frame)
		default:
			r.counters.malformed++
		}
	default:
		r.counters.malformed++
	}
}

// receiveARP answers, learns, and watches for conflicts.
func (r *Router) receiveARP(now time.Time, in uint16, eth packet.Ethernet) {
	p, reason := arp.Parse(eth.Payload())
	if reason != arp.OK {
		r.counters.arp[reason]++
		return
	}
	f := r.ifaces[in]
	r.impersonated(now, in, eth.Src(), p.SenderIP)
	r.conflicts(now, f, p.SenderMAC, p.Conflicts)
	if reply := arp.Answer(p, r.owner(f)); reply != nil {
		r.do(Transmit{in, reply})
	}
	if p.IsProbe() {
		return
	}
	if p.Op == arp.OpReply {
		r.answered(now, in, p.SenderIP)
	}
	evidence := neigh.Unsolicited
	switch {
	case p.Op == arp.OpReply && r.isOwnMAC(f, eth.Dst()):
		evidence = neigh.Reply
	case p.Op == arp.OpRequest && r.answersFor(f, p.TargetIP):
		evidence = neigh.Request
	}
	r.learn(now, f, p.SenderIP, p.SenderMAC, evidence)
}

// receiveND answers, learns, and watches for conflicts.
func (r *Router) receiveND(now time.Time, in uint16, frame []byte) {
	m, reason := ndp.Parse(frame)
	if reason != ndp.OK {
		r.counters.nd[reason]++
		return
	}
	f := r.ifaces[in]
	r.conflicts(now, f, m.EthSrc, m.Conflicts)
	switch m.Type {
	case packet.ICMPv6NeighborSolicit:
		if reply := ndp.Answer(m, r.owner(f)); reply != nil {
			r.do(Transmit{in, reply})
		}
		if !m.LinkAddr.IsZero() && m.Src.IsValid() && !m.Src.IsUnspecified() && r.answersFor(f, m.Target) {
			r.learn(now, f, m.Src, m.LinkAddr, neigh.Request)
		}
	case packet.ICMPv6RouterSolicit: // a host that will talk to a router (RFC 4861 6.2.6)
		if !m.LinkAddr.IsZero() {
			r.learn(now, f, m.Src, m.LinkAddr, neigh.Request)
		}
		r.solicitedRA(now, f)
	case packet.ICMPv6NeighborAdvert:
		r.answered(now, in, m.Target)
		r.impersonated(now, in, m.EthSrc, m.Target)
		r.learn(now, f, m.Target, m.LinkAddr, adverEvidence(&m))
	}
}

// adverEvidence says what a Neighbor Advertisement proves (RFC 4861 7.2.5).
func adverEvidence(m *ndp.Message) neigh.Evidence {
	switch {
	case m.Solicited && m.Override:
		return neigh.Reply
	case m.Solicited:
		return neigh.ReplyNoOverride
	case m.Override:
		return neigh.Unsolicited
	}
	return neigh.UnsolicitedNoOverride
}

// learn hands what was heard of a neighbour to the cache, unless it claims an
// address of ours, IP or MAC, or one that is not on the link.
func (r *Router) learn(now time.Time, f *iface, addr netip.Addr, mac packet.MAC, e neigh.Evidence) {
	if r.isOwn(f.port, addr) || r.isOwnMAC(f, mac) {
		r.counters.spoofed++
		return
	}
	if !f.onLink(addr) && !r.table.OnLink(f.port, addr) {
		r.counters.offLink++
		return
	}
	r.neighActions(r.cache.Learn(now, neigh.Key{Port: f.port, Addr: addr}, mac, e))
}

// isOwnMAC reports whether frames to a MAC would come back to this router: its
// neighbours have other ones. The virtual MAC of a Backup is the Master's.
func (r *Router) isOwnMAC(f *iface, mac packet.MAC) bool {
	for _, v := range r.virtual {
		if v.port == f.port && v.mac == mac && v.machine.Answers() {
			return true
		}
	}
	return mac == f.state.MAC
}

// owner returns who answers for an address on an interface: the interface's
// own addresses with the port's MAC, virtual ones with the virtual MAC while
// Master. Addresses of other interfaces are not answered: that would be proxy
// ARP, which the field has had enough trouble with (RFC 1812 does not ask it).
func (r *Router) owner(f *iface) func(netip.Addr) (packet.MAC, bool) {
	return func(addr netip.Addr) (packet.MAC, bool) {
		for _, v := range r.virtual {
			if v.port == f.port && v.has(addr) {
				return v.mac, v.machine.Answers()
			}
		}
		return f.state.MAC, f.owns() && f.hasAddress(addr)
	}
}

// answersFor reports whether owner would answer for addr.
func (r *Router) answersFor(f *iface, addr netip.Addr) bool {
	_, ok := r.owner(f)(addr)
	return ok
}
