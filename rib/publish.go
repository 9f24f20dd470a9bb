package rib

import (
	"cmp"
	"net/netip"
	"slices"

	"vrouter/dataplane/fib"
)

// With more than pendingLeast changed prefixes, and more than a part in
// pendingRatio of all, the published table is made anew: a prefix of that costs
// so much less than one that is changed.
const (
	pendingLeast = 1024
	pendingRatio = 16
)

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

// changed notes that a prefix has another choice.
func (t *Table) changed(prefix netip.Prefix) {
	if t.rebuild {
		return
	}
	t.pending[prefix] = true
	if n := len(t.pending); n > pendingLeast && n*pendingRatio > t.prefixes.Size() {
		t.rebuild = true
		t.emptyPending()
	}
}

func (t *Table) emptyPending() {
	if len(t.pending) > pendingLeast {
		t.pending = map[netip.Prefix]bool{} // a cleared map would stay as large as it once was
		return
	}
	clear(t.pending)
}

// applyPending brings routes up to date. A table that was handed out is never
// changed, only replaced.
func (t *Table) applyPending() {
	switch {
	case t.rebuild:
		t.routes = fib.Build(t.prefixes.AllSorted())
		t.rebuild = false
	case len(t.pending) > 0:
		changes := make([]fib.Change, 0, len(t.pending))
		for prefix := range t.pending {
			id, ok := t.prefixes.Get(prefix)
			changes = append(changes, fib.Change{Prefix: prefix, Group: id, Gone: !ok})
		}
		t.routes = t.updater.Update(t.routes, changes...)
		t.emptyPending()
	}
}

// Best returns the route in use for exactly this prefix.
func (t *Table) Best(prefix netip.Prefix) (Best, bool) {
	t.settle()
	c := t.of(prefix.Masked())
	if c == nil || c.best.group == nil {
		return Best{}, false
	}
	return c.describe(prefix.Masked()), true
}

// Lookup returns the route in use for a destination: the longest match. A
// link-local IPv6 destination has none.
func (t *Table) Lookup(dst netip.Addr) (Best, bool) {
	t.settle()
	if !dst.IsValid() || isLinkLocal6(dst) {
		return Best{}, false
	}
	for prefix, id := range t.prefixes.Supernets(hostPrefix(dst.WithZone(""))) { // the longest first
		if c := t.byID[id]; c.best.group != nil {
			return c.describe(prefix), true
		}
	}
	return Best{}, false
}

// Resolved reports whether a neighbour is resolved.
func (t *Table) Resolved(n Neighbor) bool {
	l := t.links[n.Port]
	if l == nil {
		return false
	}
	_, ok := l.macs[n.Addr]
	return ok
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

// NextHops returns the neighbours that routes in use go through, or would at once
// where those of Learn fail, and which therefore must be kept resolved, sorted by
// port and address.
func (t *Table) NextHops() []Neighbor {
	t.settle()
	var all []Neighbor
	for n, groups := range t.byNeighbor {
		for g := range groups {
			if g.selected > 0 || g.spares > 0 {
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

// describe returns the best route, of a prefix; there is one.
func (c *choice) describe(prefix netip.Prefix) Best {
	g := c.best.group
	b := Best{Prefix: prefix, Source: c.best.source, Type: c.best.typ, Metric: c.best.metric, Origin: c.best.origin}
	switch {
	case g.key.kind == fib.Gateway:
		for _, h := range g.content.Hops {
			b.NextHops = append(b.NextHops, NextHop{h.Port, h.Via, h.Resolved})
		}
	case g.key.kind == fib.Blackhole, g.key.kind == fib.Unreachable, g.key.vias == elsewhere:
	default:
		b.NextHops = []NextHop{{Port: g.key.port, Resolved: true}}
	}
	return b
}
