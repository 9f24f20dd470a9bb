package router

import (
	"net/netip"
	"slices"
	"time"

	"vrouter/bgp"
	"vrouter/config"
	"vrouter/rib"
)

// Refusals of routes that the BGP process has chosen: it should have known
// better, so each is a fault of its own or of what it believes of the router.
const (
	refusedMartian = iota // bgp.Martian
	refusedOwnHop         // a next hop that is an address of ours
	refusedNoLink         // a link-local next hop on an interface that there is not
	numRefusals
)

var refusalNames = [numRefusals]string{"bgp_refused_martian", "bgp_refused_own_next_hop", "bgp_refused_unknown_interface"}

// BGPRoutes takes routes that BGP has chosen, at most bgp.RoutesMax.
func (r *Router) BGPRoutes(now time.Time, routes []bgp.Route) []Action {
	r.begin(now)
	if r.cfg.BGP == nil {
		return r.end(now) // from before the table went
	}
	far := r.multihop()
	for i := range routes {
		r.learnBGP(&routes[i], far)
	}
	r.dirty, r.unsettled = true, true
	r.keepNextHops(now)
	return r.end(now)
}

// learnBGP puts one route into the table, with what is to be used for want of
// it. far: next hops outside the own system may be on no link, too.
func (r *Router) learnBGP(route *bgp.Route, far bool) {
	if bgp.Martian(route.Prefix) && len(route.Hops) > 0 {
		r.bgp.refused[refusedMartian]++
		r.table.Learn(route.Prefix, rib.Route{}, rib.Route{})
		return
	}
	var room [2][4]rib.Via // what the table keeps it copies
	best := rib.Route{Source: bgpSource(route.External), Via: r.bgpVias(room[0][:0], route.Hops, route.From, far || !route.External)}
	s := &route.Spare
	spare := rib.Route{Source: bgpSource(s.External), Via: r.bgpVias(room[1][:0], s.Hops, s.From, far || !s.External)}
	r.table.Learn(route.Prefix, best, spare)
}

// bgpSource is where the table says that a route comes from: what is learned
// inside the own system is less trusted than what comes from outside.
func bgpSource(external bool) rib.Source {
	if external {
		return rib.BGP
	}
	return rib.InternalBGP
}

// multihop reports whether some neighbour of another system is not on a link: the
// next hops of its routes may be on none either (RFC 4271 5.1.3).
func (r *Router) multihop() bool {
	return slices.ContainsFunc(r.cfg.BGP.Neighbors, func(n config.Neighbor) bool { return n.Multihop > 1 })
}

// bgpVias appends next hops as the table knows them; recursive: they may be on no
// link.
func (r *Router) bgpVias(vias []rib.Via, hops []netip.Addr, from []uint32, recursive bool) []rib.Via {
	for i, h := range hops {
		v, ok := r.bgpVia(h)
		if !ok {
			r.bgp.refused[refusedNoLink]++
			continue
		}
		v.Recursive = recursive
		if len(from) > 0 {
			v.From = from[i]
		}
		vias = append(vias, v)
	}
	return vias
}

// bgpVia turns a next hop into what the table knows: the zone of a link-local
// one is the name of an interface. One that is an address of ours the table does
// not use for as long as it is.
func (r *Router) bgpVia(hop netip.Addr) (v rib.Via, ok bool) {
	if hop.Zone() == "" {
		if r.table.Owns(hop) {
			r.bgp.refused[refusedOwnHop]++
		}
		return rib.Via{Addr: hop}, hop.IsValid()
	}
	for _, f := range r.ifaces {
		if f.cfg.Name == hop.Zone() {
			return rib.Via{Addr: hop.WithZone(""), Port: f.port, HasPort: true}, true
		}
	}
	return v, false
}

// loses says whether a session whose state was that is lost now: not restarting,
// not to be taken over by another BGP process. Then BGP is about to withdraw all
// that came by it, one route after the other; until it has, none of it counts.
func (p *bgpPeer) loses(was *bgp.Session) bool {
	switch {
	case p.session.State == bgp.StateEstablished || p.session.Stale || !p.grace.IsZero():
		return false
	case was.State == bgp.StateEstablished:
		return true
	}
	return p.lost
}

// silence tells the table whose routes do not count: of neighbours whose session
// is lost or about to end, by this setup.
func (r *Router) silence(setup *bgp.Setup) {
	for i, p := range r.bgp.peers {
		if r.table.SetSilent(bgp.NeighborID(p.cfg.Name), p.lost || setup.Circumstances[i].Down != "") {
			r.dirty, r.unsettled = true, true
		}
	}
}

// hearAll ends all silence, where there is no BGP any more.
func (r *Router) hearAll() {
	for i := range r.bgp.setup.Config.Neighbors {
		r.table.SetSilent(bgp.NeighborID(r.bgp.setup.Config.Neighbors[i].Name), false)
	}
}

// bgpCounters adds what "show counters" says of BGP's routes.
func (r *Router) bgpCounters(m map[string]uint64) {
	if r.cfg.BGP == nil {
		return
	}
	prefixes, spare := r.table.Learned()
	m["bgp_routes"], m["bgp_routes_spare"], m["bgp_refused_no_room"] = uint64(prefixes), uint64(spare), r.table.Refused()
	for i, name := range refusalNames {
		m[name] = r.bgp.refused[i]
	}
}
