package router

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"vrouter/arp"
	"vrouter/ndp"
	"vrouter/neigh"
	"vrouter/packet"
)

// Resolve takes a packet that has no resolved next hop (punted with
// dataplane.ClassResolve, or the local stack's own): via on port is who must
// be asked for. The packet is kept, so it must not be part of a batch.
func (r *Router) Resolve(now time.Time, port uint16, via netip.Addr, w neigh.Waiting) []Action {
	r.begin(now)
	if r.ifaces[port].state.Up {
		r.neighActions(r.cache.Resolve(now, neigh.Key{Port: port, Addr: via}, w))
	}
	return r.end(now)
}

// neighActions carries out what the cache wants. Resolved neighbours reach
// the snapshot of this turn, before the packets that waited for them go on.
func (r *Router) neighActions(actions []neigh.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case neigh.Solicit:
			r.solicit(a)
		case neigh.Update:
			if a.Reachable {
				r.proves(a.Key)
			}
			r.setNeighbor(a.Key, a.MAC, a.Reachable)
			r.willsStale = r.willsStale || r.isPeer(a.Key)
			if hasKey(r.kept, a.Key) {
				r.unsettled = true // a route has become usable, or is no longer
			}
		case neigh.Send:
			for _, w := range a.Waiting {
				r.do(Forward{w})
			}
		case neigh.Fail:
			for _, w := range a.Waiting {
				if !w.Local || r.hasHostTAPs() {
					r.do(Unreachable{w})
				}
			}
		}
	}
}

// virtualWith returns the virtual router of a port that has an address, or nil.
func (r *Router) virtualWith(port uint16, addr netip.Addr) *virtual {
	for _, v := range r.virtual {
		if v.port == port && v.has(addr) {
			return v
		}
	}
	return nil
}

// solicit asks for a neighbour, from the address that it can answer. Where that
// is a virtual one, as an owner's is, the question tells the virtual MAC too, and
// nobody but the Master may ask: hosts learn from it (RFC 9568 8.1.2, 8.2.2).
func (r *Router) solicit(s neigh.Solicit) {
	f := r.ifaces[s.Key.Port]
	src, ok := f.source(s.Key.Addr)
	mac := f.state.MAC
	if v := r.virtualWith(f.port, src); ok && v != nil {
		mac, ok = v.mac, v.machine.Answers()
	}
	if !ok {
		r.counters.noAddress++
		return
	}
	var frame []byte
	switch {
	case src.Is4() && s.MAC.IsZero():
		frame = arp.Request(mac, src, s.Key.Addr)
	case src.Is4():
		frame = arp.UnicastRequest(mac, src, s.MAC, s.Key.Addr)
	case s.MAC.IsZero():
		frame = ndp.Solicit(mac, src, s.Key.Addr)
	default:
		frame = ndp.UnicastSolicit(mac, src, s.MAC, s.Key.Addr)
	}
	r.do(Transmit{f.port, frame})
}

// keepNextHops tells the cache which neighbours must be resolved before the
// first packet needs them.
func (r *Router) keepNextHops(now time.Time) {
	was, want := r.kept, r.nextHops()
	r.kept = want
	for _, key := range was {
		if !hasKey(want, key) {
			r.neighActions(r.cache.Keep(now, key, false))
		}
	}
	for _, key := range want {
		if !hasKey(was, key) {
			r.neighActions(r.cache.Keep(now, key, true))
		}
	}
}

// nextHops returns the neighbours that routes go through, the unicast VRRP
// peers on the link, whose advertisements must not wait for an answer first,
// masters that are asked whether they live (only who has answered is), neighbours
// with a BFD session, and who contests a virtual router.
// They are sorted, so that runs repeat.
func (r *Router) nextHops() []neigh.Key {
	var keys []neigh.Key
	for _, n := range r.table.NextHops() {
		keys = append(keys, neigh.Key{Port: n.Port, Addr: n.Addr})
	}
	for _, v := range r.virtual {
		if v.flood.master.IsValid() {
			keys = append(keys, neigh.Key{Port: v.port, Addr: v.flood.master})
		}
		for _, peer := range v.cfg.Peers {
			if f := r.ifaces[v.port]; f.state.Up && f.onLink(peer) {
				keys = append(keys, neigh.Key{Port: v.port, Addr: peer})
			}
		}
	}
	for _, s := range r.bfd.list {
		if f := r.linkOf(s.peer); f != nil {
			keys = append(keys, neigh.Key{Port: f.port, Addr: s.peer.WithZone("")})
		}
	}
	for _, v := range r.virtual {
		if key, ok := r.claimant(v); ok {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, compareKeys)
	return slices.Compact(keys)
}

func compareKeys(a, b neigh.Key) int {
	return cmp.Or(cmp.Compare(a.Port, b.Port), a.Addr.Compare(b.Addr))
}

func hasKey(sorted []neigh.Key, key neigh.Key) bool {
	_, ok := slices.BinarySearchFunc(sorted, key, compareKeys)
	return ok
}

// prober watches over one own address.
type prober struct {
	addr    netip.Addr
	machine *neigh.Prober
}

// startProbers looks for other users of the interface's own addresses. The
// kernel does so itself for the addresses that it owns.
func (r *Router) startProbers(now time.Time, f *iface) {
	f.probers = nil
	if !f.owns() {
		return
	}
	ours := []packet.MAC{f.state.MAC}
	for _, p := range f.addresses {
		if r.ownerOnly(f.port, p.Addr()) {
			continue
		}
		w := &prober{addr: p.Addr(), machine: neigh.NewProber(neigh.ProberConfig{
			Key: neigh.Key{Port: f.port, Addr: p.Addr()}, MACs: ours, Rand: r.rand,
		})}
		f.probers = append(f.probers, w)
		r.proberActions(now, f, w.machine.Start(now))
	}
}

// conflicts tells the probers of an interface what a packet of mac shows;
// shows is arp.Packet.Conflicts or ndp.Message.Conflicts.
func (r *Router) conflicts(now time.Time, f *iface, mac packet.MAC, shows func(addr netip.Addr, probing bool) bool) {
	for _, p := range f.probers {
		if shows(p.addr, p.machine.Probing()) {
			r.proberActions(now, f, p.machine.Conflict(now, mac))
		}
	}
}

// advanceProbers runs the probers that are due.
func (r *Router) advanceProbers(now time.Time, f *iface) {
	for _, p := range f.probers {
		if due(p.machine.Deadline(), now) {
			r.proberActions(now, f, p.machine.Advance(now))
		}
	}
}

// proberActions carries out what a prober wants.
func (r *Router) proberActions(now time.Time, f *iface, actions []neigh.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case neigh.SendProbe:
			if a.Key.Addr.Is4() {
				r.do(Transmit{f.port, arp.Probe(f.state.MAC, a.Key.Addr)})
			} else {
				r.do(Transmit{f.port, ndp.Probe(f.state.MAC, a.Key.Addr)})
			}
		case neigh.SendAnnounce:
			if a.Key.Addr.Is4() {
				r.do(Transmit{f.port, arp.Announcement(f.state.MAC, a.Key.Addr)})
			} else {
				r.do(Transmit{f.port, ndp.Unsolicited(f.state.MAC, a.Key.Addr)})
			}
		case neigh.Conflicted:
			r.event(now, Event{
				Kind: "duplicate_address", Name: a.Key.Addr.String(), From: f.cfg.Name, To: a.MAC.String(),
				Reason: "another station uses this router's address: give one of them another",
			})
		}
	}
}
