package router

import (
	"net/netip"

	"vrouter/config"
	"vrouter/dataplane/fib"
	"vrouter/rib"
)

// addStaticRoutes puts the configured routes into the table.
func (r *Router) addStaticRoutes() {
	var routes []rib.Route
	for i := range r.cfg.Routes {
		c := &r.cfg.Routes[i]
		route := rib.Route{Prefix: c.To, Source: rib.Static, Metric: c.Metric, Type: routeType(c.Type)}
		for _, via := range c.Via {
			hop := rib.Via{Addr: via.Address, Recursive: via.Interface == ""}
			if via.Interface != "" {
				hop.Port, hop.HasPort = r.portOf(via.Interface), true
			}
			route.Via = append(route.Via, hop)
		}
		routes = append(routes, route)
	}
	r.table.Replace(rib.Static, routes)
}

func routeType(t config.RouteType) rib.Type {
	switch t {
	case config.RouteBlackhole:
		return rib.Blackhole
	case config.RouteUnreachable:
		return rib.Unreachable
	}
	return rib.Unicast
}

// publish returns the action that publishes a new snapshot, where something
// that it shows has changed.
func (r *Router) publish() []Action {
	if !r.dirty {
		return nil
	}
	r.dirty = false
	r.serial++
	s := &fib.Snapshot{Serial: r.serial, Seed: r.flowSeed, Lease: r.lease}
	for _, f := range r.ifaces {
		s.Ports = append(s.Ports, fib.Port{
			Name: f.cfg.Name, Up: f.state.Up, MAC: f.state.MAC, MTU: f.state.MTU,
			Offload: f.state.Offload, Owns: f.owns(), Transit: f.cfg.Mirror && f.cfg.HostAddrs && r.imports.yields == "",
			Addr4: f.errorSource(false), Addr6: f.errorSource(true),
		})
	}
	for _, v := range r.virtual {
		p := &s.Ports[v.port]
		masters, watched := &p.Masters4, &p.Watched4
		if v.cfg.IPv6() {
			masters, watched = &p.Masters6, &p.Watched6
		}
		bit := uint64(1) << (v.cfg.VRID % 64)
		switch {
		case v.served:
			masters[v.cfg.VRID/64] |= bit
		case v.flood.watching():
			watched[v.cfg.VRID/64] |= bit
		}
	}
	r.table.Publish(s)
	r.snapshot = s
	return []Action{Publish{s}}
}

// Snapshot returns what was published last; nil before Start.
func (r *Router) Snapshot() *fib.Snapshot { return r.snapshot }

// Egress returns the port by which the router reaches dst, for choosing the
// source of what it sends itself; false where there is no route.
func (r *Router) Egress(dst netip.Addr) (port uint16, ok bool) {
	best, ok := r.table.Lookup(dst)
	if !ok || len(best.NextHops) == 0 {
		return 0, false
	}
	return best.NextHops[0].Port, true
}
