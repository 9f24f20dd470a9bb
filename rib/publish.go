package rib

import (
	"cmp"
	"net/netip"
	"slices"

	"vrouter/dataplane/fib"
)

// cloneRatio tells when to change many prefixes in a copy of the whole table
// instead of one by one: a copied prefix costs so much less than one that is
// changed persistently.
const cloneRatio = 16

// Publish fills in the parts of a snapshot that the table knows: Routes,
// Groups, Own, and of the ports that are in s.Ports already, Neighbors and
// LinkLocals. What it hands out never changes; what did not change since the
// last Publish is handed out again.
func (t *Table) Publish(s *fib.Snapshot) {
	t.settle()
	t.applyPending()
	s.Routes, s.Groups, s.Own = t.routes, t.publishGroups(), t.own
	for i := range s.Ports {
		l := t.link(uint16(i))
		s.Ports[i].Neighbors, s.Ports[i].LinkLocals = l.neighbors, l.linkLocals
	}
}

// applyPending brings routes up to date. A table that was handed out is never
// changed, only replaced.
func (t *Table) applyPending() {
	if len(t.pending) == 0 {
		return
	}
	whole := len(t.pending)*cloneRatio > t.routes.Size()
	if whole {
		t.routes = t.routes.Clone()
	}
	for prefix := range t.pending {
		e := t.entries[prefix]
		present := e != nil && e.best.group != nil
		switch {
		case present && whole:
			t.routes.Insert(prefix, e.best.group.id)
		case present:
			t.routes = t.routes.InsertPersist(prefix, e.best.group.id)
		case whole:
			t.routes.Delete(prefix)
		default:
			t.routes = t.routes.DeletePersist(prefix)
		}
	}
	t.pending = map[netip.Prefix]bool{} // a cleared map would stay as large as it once was
}

// Best returns the route in use for exactly this prefix.
func (t *Table) Best(prefix netip.Prefix) (Best, bool) {
	t.settle()
	e := t.entries[prefix.Masked()]
	if e == nil || e.best.group == nil {
		return Best{}, false
	}
	return e.describe(), true
}

// Lookup returns the route in use for a destination: the longest match. A
// link-local IPv6 destination has none.
func (t *Table) Lookup(dst netip.Addr) (Best, bool) {
	t.settle()
	t.applyPending()
	if !dst.IsValid() || isLinkLocal6(dst) {
		return Best{}, false
	}
	prefix, _, ok := t.routes.LookupPrefixLPM(hostPrefix(dst.WithZone("")))
	if !ok {
		return Best{}, false
	}
	return t.Best(prefix)
}

// OnLink reports whether routes say that a host is on the link of a port although
// it may be in no prefix of the port: it is a next hop, or the best route to it
// leads there without one.
func (t *Table) OnLink(port uint16, addr netip.Addr) bool {
	t.settle()
	if len(t.byNeighbor[Neighbor{port, addr.WithZone("")}]) > 0 {
		return true
	}
	b, ok := t.Lookup(addr)
	return ok && b.Type == Unicast && len(b.NextHops) == 1 && b.NextHops[0] == NextHop{Port: port, Resolved: true}
}

// All returns all routes in use, sorted by family, address and length.
func (t *Table) All() []Best {
	t.settle()
	all := make([]Best, 0, len(t.entries))
	for _, e := range t.entries {
		if e.best.group != nil {
			all = append(all, e.describe())
		}
	}
	slices.SortFunc(all, func(a, b Best) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
	})
	return all
}

// NextHops returns the neighbours that routes in use go through, and which
// therefore must be kept resolved, sorted by port and address.
func (t *Table) NextHops() []Neighbor {
	t.settle()
	var all []Neighbor
	for n, groups := range t.byNeighbor {
		for g := range groups {
			if g.selected > 0 {
				all = append(all, n)
				break
			}
		}
	}
	slices.SortFunc(all, func(a, b Neighbor) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), a.Addr.Compare(b.Addr))
	})
	return all
}

// describe returns the entry's best route; there is one.
func (e *entry) describe() Best {
	g := e.best.group
	b := Best{Prefix: e.prefix, Source: e.best.source, Type: e.best.typ, Metric: e.best.metric, Origin: e.best.origin}
	switch g.key.kind {
	case fib.Gateway:
		for _, h := range g.content.Hops {
			b.NextHops = append(b.NextHops, NextHop{h.Port, h.Via, h.Resolved})
		}
	case fib.Blackhole, fib.Unreachable:
	default:
		b.NextHops = []NextHop{{Port: g.key.port, Resolved: true}}
	}
	return b
}
