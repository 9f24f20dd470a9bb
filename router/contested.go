package router

import (
	"net/netip"
	"time"

	"vrouter/neigh"
	"vrouter/packet"
	"vrouter/vrrp"
)

// ContestedStatus is who else claims a virtual router, in "show vrrp".
type ContestedStatus struct {
	// Kind is lesser_master | two_masters | owner_conflict | other_addresses |
	// refused: see vrrp.ContestKind.
	Kind      vrrp.ContestKind `json:"kind"`
	Address   netip.Addr       `json:"address"`
	MAC       packet.MAC       `json:"mac"` // that its advertisements come from
	Priority  uint8            `json:"priority"`
	Addresses []netip.Addr     `json:"addresses"` // as it advertises them
	Since     time.Time        `json:"since"`
	LastHeard time.Time        `json:"last_heard"`
	// Ways is "one_way" where we hear it and it does not hear us (or the
	// Master), "both_ways" where it answers us.
	Ways string `json:"ways"`
	// NeighborMAC is what it answers ARP and ND with, which tells it from others
	// that send from the virtual MAC; absent where it does not answer.
	NeighborMAC *packet.MAC `json:"neighbor_mac,omitempty"`
	Reason      string      `json:"reason"`
}

// contestAction tells of a contest that begins or ends. While it lasts the
// claimant is kept among the neighbours: whether it answers ARP and ND shows
// whether it hears us at all.
func (r *Router) contestAction(now time.Time, v *virtual, c *vrrp.Contest) {
	from, to := "clear", "contested"
	if !c.Begins {
		from, to = to, from
	}
	r.event(now, Event{Kind: "contested", Name: v.cfg.Name, From: from, To: to, Reason: c.Reason})
	r.keepNextHops(now)
}

// impersonated looks for a frame from the virtual MAC of a Master that speaks of
// one of its addresses: this router did not receive what it sent itself.
func (r *Router) impersonated(now time.Time, in uint16, src packet.MAC, addr netip.Addr) {
	for _, v := range r.virtual {
		if v.port == in && v.mac == src && v.has(addr) {
			r.vrrpActions(now, v, v.machine.Impersonated(now))
		}
	}
}

// claimant returns the neighbour that contests a virtual router, where it can
// be asked.
func (r *Router) claimant(v *virtual) (neigh.Key, bool) {
	c := v.machine.Info().Contested
	if c == nil {
		return neigh.Key{}, false
	}
	f := r.ifaces[v.port]
	return neigh.Key{Port: v.port, Addr: c.Sender.Addr}, f.state.Up && f.onLink(c.Sender.Addr)
}

// contestedStatus returns what "show vrrp" says; nil where nobody else claims
// the virtual router.
func (r *Router) contestedStatus(v *virtual, c *vrrp.Contested) *ContestedStatus {
	if c == nil {
		return nil
	}
	s := &ContestedStatus{
		Kind: c.Kind, Address: c.Sender.Addr, MAC: c.Sender.MAC, Priority: c.Priority,
		Addresses: c.Addresses, Since: c.Since, LastHeard: c.Heard, Ways: "one_way", Reason: c.Reason,
	}
	if mac, answers := r.cache.Lookup(neigh.Key{Port: v.port, Addr: c.Sender.Addr}); answers {
		s.NeighborMAC = &mac
		if !c.Deaf {
			s.Ways = "both_ways"
		}
	}
	return s
}
