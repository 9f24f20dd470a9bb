package rib

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"

	"vrouter/dataplane/fib"
)

// groupKey tells groups apart: two routes with the same key share a group.
type groupKey struct {
	kind fib.Kind
	port uint16
	vias string // Gateway: viasKey
}

// group is a destination of routes.
type group struct {
	key      groupKey
	id       fib.GroupID
	vias     []Via
	refs     int  // candidates
	selected int  // entries whose best route it is
	live     bool // can be used now
	content  fib.Group
}

// canonical returns vias sorted, without duplicates, at most fib.MaxHops.
func canonical(vias []Via) []Via {
	vias = slices.Clone(vias)
	for i := range vias {
		vias[i].Addr = vias[i].Addr.WithZone("").Unmap()
		if !vias[i].HasPort {
			vias[i].Port = 0
		}
	}
	slices.SortFunc(vias, func(a, b Via) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Port, b.Port))
	})
	vias = slices.Compact(vias)
	return vias[:min(len(vias), fib.MaxHops)]
}

// viasKey encodes canonical vias as a map key.
func viasKey(vias []Via) string {
	b := make([]byte, 0, len(vias)*20)
	for _, v := range vias {
		a := v.Addr.As16()
		b = append(b, a[:]...)
		b = binary.BigEndian.AppendUint16(b, v.Port)
		b = append(b, byte(v.Addr.BitLen()))
		if v.HasPort {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	return string(b)
}

// group returns the group with a key, a new one if need be.
func (t *Table) group(key groupKey, vias []Via) *group {
	if g := t.groups[key]; g != nil {
		return g
	}
	g := &group{key: key, vias: vias, content: fib.Group{Kind: key.kind, Port: key.port}}
	if n := len(t.free); n > 0 {
		g.id, t.free = t.free[n-1], t.free[:n-1]
		t.byID[g.id] = g
	} else {
		g.id = fib.GroupID(len(t.byID))
		t.byID = append(t.byID, g)
	}
	t.groups[key] = g
	t.dirtyGroups[g] = true
	t.refresh(g)
	return g
}

// release takes back one reference; the last one frees the group.
func (t *Table) release(g *group) {
	if g.refs--; g.refs > 0 {
		return
	}
	t.setHops(g, nil)
	delete(t.groups, g.key)
	delete(t.dirtyGroups, g)
	t.byID[g.id] = nil
	t.free = append(t.free, g.id)
}

// refresh brings a group up to date with ports, connected prefixes and
// neighbours. It reports whether the group became usable or ceased to be.
func (t *Table) refresh(g *group) bool {
	was := g.live
	switch g.key.kind {
	case fib.Connected, fib.Broadcast:
		g.live = t.up[g.key.port]
	case fib.Gateway:
		hops := make([]fib.NextHop, 0, len(g.vias))
		for _, v := range g.vias {
			if port, ok := t.portOf(v); ok {
				mac, resolved := t.link(port).macs[v.Addr]
				hops = append(hops, fib.NextHop{Port: port, Via: v.Addr, MAC: mac, Resolved: resolved})
			}
		}
		t.setHops(g, hops)
		g.live = len(hops) > 0
	default:
		g.live = true
	}
	return g.live != was
}

// portOf returns the port that leads to a via. An address of our own leads
// nowhere, as it would be a loop, and so does a broadcast address.
func (t *Table) portOf(v Via) (uint16, bool) {
	if t.noVia[v.Addr] {
		return 0, false
	}
	if v.HasPort {
		return v.Port, t.up[v.Port]
	}
	return t.connected.Lookup(v.Addr)
}

// setHops gives a group its next hops and the buckets for them.
func (t *Table) setHops(g *group, hops []fib.NextHop) {
	if slices.Equal(g.content.Hops, hops) {
		return
	}
	for _, h := range g.content.Hops {
		n := Neighbor{h.Port, h.Via}
		if delete(t.byNeighbor[n], g); len(t.byNeighbor[n]) == 0 {
			delete(t.byNeighbor, n)
		}
	}
	for _, h := range hops {
		n := Neighbor{h.Port, h.Via}
		if t.byNeighbor[n] == nil {
			t.byNeighbor[n] = map[*group]bool{}
		}
		t.byNeighbor[n][g] = true
	}
	g.content.Buckets = fib.Rebucket(&g.content, hops)
	g.content.Hops = hops
	t.dirtyGroups[g] = true
}

// refreshAll brings all groups up to date after a change of ports or
// addresses, and then the prefixes that use those which flipped.
func (t *Table) refreshAll() {
	flipped := map[*group]bool{}
	for _, g := range t.byID {
		if g != nil && t.refresh(g) {
			flipped[g] = true
		}
	}
	if len(flipped) == 0 {
		return
	}
	for _, e := range t.entries {
		if slices.ContainsFunc(e.candidates, func(c candidate) bool { return flipped[c.group] }) {
			t.choose(e)
		}
	}
}

// publishGroups returns the groups by number.
func (t *Table) publishGroups() []fib.Group {
	if len(t.dirtyGroups) == 0 {
		return t.content
	}
	t.content = slices.Grow(slices.Clone(t.content), len(t.byID)-len(t.content))[:len(t.byID)]
	for g := range maps.Keys(t.dirtyGroups) {
		t.content[g.id] = g.content
	}
	clear(t.dirtyGroups)
	return t.content
}
