package rib

import (
	"cmp"
	"encoding/binary"
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
	number   uint32 // never used again
	vias     []Via
	choices  map[*choice]bool // that have it among their candidates
	refs     int              // candidates of those
	selected int              // choices that have chosen it
	spares   int              // choices that have it for want of a better one
	live     bool             // can be used now
	content  fib.Group
}

// canonical returns vias sorted, without duplicates, at most fib.MaxHops. A
// single one costs no allocation.
func canonical(vias []Via) []Via {
	if len(vias) == 1 && vias[0].Addr == vias[0].Addr.WithZone("").Unmap() && (vias[0].HasPort || vias[0].Port == 0) {
		return vias
	}
	vias = slices.Clone(vias)
	for i := range vias {
		vias[i].Addr = vias[i].Addr.WithZone("").Unmap()
		if !vias[i].HasPort {
			vias[i].Port = 0
		}
	}
	slices.SortFunc(vias, func(a, b Via) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Port, b.Port), compareBool(a.HasPort, b.HasPort),
			cmp.Compare(a.From, b.From), compareBool(b.Recursive, a.Recursive))
	})
	vias = slices.CompactFunc(vias, func(a, b Via) bool { // once, and Recursive where it may be
		return a.Addr == b.Addr && a.Port == b.Port && a.HasPort == b.HasPort && a.From == b.From
	})
	return vias[:min(len(vias), fib.MaxHops)]
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// viasKey appends canonical vias, encoded for a map's key.
func viasKey(b []byte, vias []Via) []byte {
	for _, v := range vias {
		a := v.Addr.As16()
		b = append(b, a[:]...)
		b = binary.BigEndian.AppendUint16(b, v.Port)
		b = append(b, byte(v.Addr.BitLen()))
		flags := byte(0)
		if v.HasPort {
			flags |= 1
		}
		if v.Recursive {
			flags |= 2
		}
		b = binary.BigEndian.AppendUint32(append(b, flags), v.From)
	}
	return b
}

// gateway returns the group of canonical vias.
func (t *Table) gateway(vias []Via) *group {
	var room [128]byte
	key := viasKey(room[:0], vias)
	if g := t.groups[groupKey{kind: fib.Gateway, vias: string(key)}]; g != nil {
		return g
	}
	return t.group(groupKey{kind: fib.Gateway, vias: string(key)}, slices.Clone(vias))
}

// group returns the group with a key, a new one if need be.
func (t *Table) group(key groupKey, vias []Via) *group {
	if g := t.groups[key]; g != nil {
		return g
	}
	t.numbers++
	g := &group{
		key: key, number: t.numbers, vias: vias, choices: map[*choice]bool{},
		content: fib.Group{Kind: key.kind, Port: key.port},
	}
	t.groups[key] = g
	t.refresh(g)
	return g
}

// release takes back one reference; the last one frees the group.
func (t *Table) release(g *group) {
	if g.refs--; g.refs > 0 {
		return
	}
	t.setHops(g, nil)
	delete(t.recursive, g)
	delete(t.groups, g.key)
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
		delete(t.recursive, g)
		for _, v := range g.vias {
			found, recursive := t.hopsOf(v)
			hops = append(hops, found...)
			if recursive {
				t.recursive[g] = true
			}
		}
		if t.recursive[g] || len(hops) > 1 {
			hops = distinct(hops)
		}
		t.setHops(g, hops)
		g.live = len(hops) > 0
	default:
		g.live = true
	}
	return g.live != was
}

// distinct sorts next hops and leaves each once, at most fib.MaxHops.
func distinct(hops []fib.NextHop) []fib.NextHop {
	slices.SortFunc(hops, func(a, b fib.NextHop) int { return cmp.Or(a.Via.Compare(b.Via), cmp.Compare(a.Port, b.Port)) })
	hops = slices.CompactFunc(hops, func(a, b fib.NextHop) bool { return a.Port == b.Port && a.Via == b.Via })
	return hops[:min(len(hops), fib.MaxHops)]
}

// portOf returns the port on whose link a via is.
func (t *Table) portOf(v Via) (uint16, bool) {
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
	for c := range g.choices {
		if c.best.group == g {
			t.dirty[c] = true
		}
	}
}

// refreshAll brings all groups up to date after a change of ports or
// addresses, and then the choices among those which flipped.
func (t *Table) refreshAll() {
	for _, g := range t.groups {
		if t.refresh(g) {
			for c := range g.choices {
				t.choose(c)
			}
		}
	}
}

// publishGroups returns the contents of the choices by number.
func (t *Table) publishGroups() []fib.Group {
	if len(t.dirty) == 0 {
		return t.content
	}
	t.content = slices.Grow(slices.Clone(t.content), len(t.byID)-len(t.content))[:len(t.byID)]
	for c := range t.dirty {
		if g := c.best.group; g != nil {
			t.content[c.id] = g.content
		} else {
			t.content[c.id] = fib.Group{Kind: fib.Unusable}
		}
	}
	clear(t.dirty)
	return t.content
}
