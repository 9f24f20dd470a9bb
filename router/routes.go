package router

import "vrouter/rib"

// RouteList is the routes in use at one moment. The router makes it at once; to
// go through it may take a second where there are a million, and any goroutine
// may do that.
type RouteList struct {
	view  rib.View
	names []string // of interfaces, by port number
}

// RouteList returns the routes in use.
func (r *Router) RouteList() RouteList {
	l := RouteList{view: r.table.View(), names: make([]string, len(r.ifaces))}
	for i, f := range r.ifaces {
		l.names[i] = f.cfg.Name
	}
	return l
}

// Status returns the routes in order of their prefixes. Routes may share their
// NextHops.
func (l RouteList) Status() []RouteStatus {
	list, kinds := []RouteStatus{}, make([]*RouteStatus, l.view.Kinds())
	l.view.Each(func(b *rib.Best, kind int) {
		if kinds[kind] == nil {
			kinds[kind] = l.status(b)
		}
		s := *kinds[kind]
		s.Prefix = b.Prefix
		list = append(list, s)
	})
	return list
}

// Count returns how many routes there are of each family and source; sources
// without routes have none. It looks at each route once.
func (l RouteList) Count() []RouteCount {
	list := []RouteCount{}
	ipv4, ipv6 := l.view.Count()
	for source := rib.Source(0); source < rib.NumSources; source++ {
		for family, counts := range [...]map[rib.Source]int{ipv4, ipv6} {
			if n := counts[source]; n > 0 {
				list = append(list, RouteCount{Family: familyName(family == 1), Source: source.String(), Routes: n})
			}
		}
	}
	return list
}

// RoutesInUse returns the routes in use, in order of their prefixes.
func (r *Router) RoutesInUse() []RouteStatus { return r.RouteList().Status() }

func (l RouteList) status(b *rib.Best) *RouteStatus {
	s := &RouteStatus{
		Source: b.Source.String(), Type: b.Type.String(), Metric: b.Metric,
		Distance: b.Source.Distance(),
		NextHops: make([]NextHopStatus, 0, len(b.NextHops)),
	}
	if b.Source == rib.Imported {
		s.Protocol = protocolName(b.Origin)
	}
	for _, h := range b.NextHops {
		s.NextHops = append(s.NextHops, NextHopStatus{Via: h.Via, Interface: l.names[h.Port], Resolved: h.Resolved})
	}
	return s
}
