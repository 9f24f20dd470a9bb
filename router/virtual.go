package router

import (
	"net/netip"
	"time"

	"vrouter/arp"
	"vrouter/config"
	"vrouter/ndp"
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

	group    *group    // nil: alone
	own      uint8     // effective priority by what it tracks itself
	terms    []term    // what it tracks, as of the last look
	fault    string    // why it is down by what it tracks; empty: it is not
	obstacle string    // why it does not run; empty: it runs
	readyBy  time.Time // waits to be ready to preempt, until then at most; zero: it does not
	unready  string    // what it waits for

	// It ends, because it is no longer configured, or another one comes in its
	// place.
	leaving    bool
	leavingWhy string
	then       *config.VRRP
	flood      flood

	ra advertising
}

func newVirtual(cfg *config.VRRP, port uint16) *virtual {
	return &virtual{
		cfg: cfg, port: port,
		mac:     vrrp.VirtualMAC(cfg.VRID, cfg.IPv6()),
		machine: vrrp.New(cfg.Config),
		own:     cfg.Priority,
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
		case vrrp.Elected:
			r.elect(v, a)
		case vrrp.Transition:
			r.unsettled, r.willsStale = true, true
			r.event(now, Event{
				Kind: "vrrp", Name: v.cfg.Name,
				From: a.From.String(), To: a.To.String(), Reason: a.Reason,
				Priority: v.machine.Info().Priority,
			})
			if a.To == vrrp.Master {
				r.reportSoon(now, r.ifaces[v.port])
			}
		case vrrp.Send:
			r.sendAdvertisement(now, v, &a.Advertisement)
			r.willUsed(v)
		case vrrp.Announce:
			r.announce(v, a.Addresses)
		case vrrp.Contest:
			r.contestAction(now, v, &a)
		case vrrp.Release:
			r.event(now, Event{
				Kind: "vrrp", Name: v.cfg.Name,
				From: "draining", To: v.machine.State().String(), Reason: a.Reason,
			})
		}
	}
	r.ownership(v)
	r.watch(now, v)
	r.followRA(now, v, actions)
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

// receiveVRRP takes a VRRP packet that was parsed, or refused for a reason.
func (r *Router) receiveVRRP(now time.Time, port uint16, from vrrp.Sender, adv vrrp.Advertisement, reason vrrp.Reason) {
	v := r.virtualRouter(port, adv.VRID, from.Addr.Is6())
	if reason != vrrp.ReasonNone {
		r.counters.vrrp[reason]++
		// The VRID may be nonsense too; where it is one of ours, its operator
		// wants to see that somebody sends bad packets for it.
		if v != nil {
			v.machine.Discarded(reason)
		}
		return
	}
	if v == nil {
		r.counters.vrrp[vrrp.ReasonUnknown]++
		return
	}
	actions, reason := v.machine.Receive(now, from, adv)
	if reason != vrrp.ReasonNone {
		r.counters.vrrp[reason]++
	} else {
		v.flood.deaf = false
		r.heardMaster(now, port, from.Addr)
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
