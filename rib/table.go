package rib

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// Table holds candidate routes, ports, addresses and neighbours. New makes
// one.
type Table struct {
	up        map[uint16]bool
	addresses map[address]bool  // value: foreign
	virtuals  map[Neighbor]bool // value: accept
	links     map[uint16]*link
	connected bart.Table[uint16]  // the connected prefixes in use: where a Via is looked up
	noVia     map[netip.Addr]bool // own, virtual and broadcast addresses: no Via leads there
	stale     bool                // connected, noVia and what is like them are out of date: see settle

	entries    map[netip.Prefix]*entry
	groups     map[groupKey]*group
	byID       []*group // by GroupID; nil: free
	free       []fib.GroupID
	byNeighbor map[Neighbor]map[*group]bool // the groups with this next hop

	routes      *bart.Table[fib.GroupID]
	pending     map[netip.Prefix]bool // whose best route is not yet as in routes
	content     []fib.Group
	dirtyGroups map[*group]bool
	own         fib.OwnSet
}

// address is an own address of a port, not masked.
type address struct {
	port   uint16
	prefix netip.Prefix
}

// link is what the table knows of the hosts on one port's link.
type link struct {
	macs       map[netip.Addr]packet.MAC
	neighbors  *fib.Neighbors // the same, as published
	linkLocals []fib.LinkLocal
}

// candidate is a possible route of a prefix.
type candidate struct {
	source Source
	typ    Type
	origin uint8
	metric uint32
	group  *group
	count  int // how many addresses of the port give reason for it; 1 for Add's
}

// entry holds the candidates of a prefix, the best first, and which of them
// is in use.
type entry struct {
	prefix     netip.Prefix
	candidates []candidate
	best       candidate // group nil: none
}

// New returns an empty Table; its ports are down.
func New() *Table {
	return &Table{
		up:          map[uint16]bool{},
		addresses:   map[address]bool{},
		virtuals:    map[Neighbor]bool{},
		links:       map[uint16]*link{},
		entries:     map[netip.Prefix]*entry{},
		groups:      map[groupKey]*group{},
		byNeighbor:  map[Neighbor]map[*group]bool{},
		routes:      &bart.Table[fib.GroupID]{},
		pending:     map[netip.Prefix]bool{},
		dirtyGroups: map[*group]bool{},
	}
}

// Add adds a candidate, in place of the one of the same prefix, source and
// metric. Invalid prefixes are ignored.
func (t *Table) Add(r Route) {
	t.settle()
	if !r.Prefix.IsValid() {
		return
	}
	prefix := r.Prefix.Masked()
	c := candidate{source: r.Source, typ: r.Type, origin: r.Origin, metric: r.Metric, count: 1}
	switch {
	case r.Type == Blackhole:
		c.group = t.group(groupKey{kind: fib.Blackhole}, nil)
	case r.Type == Unreachable:
		c.group = t.group(groupKey{kind: fib.Unreachable}, nil)
	case len(r.Via) == 1 && !r.Via[0].Addr.IsValid():
		c.group = t.group(groupKey{kind: fib.Connected, port: r.Via[0].Port}, nil)
	default:
		vias := canonical(r.Via)
		c.group = t.group(groupKey{kind: fib.Gateway, vias: viasKey(vias)}, vias)
	}
	e := t.entry(prefix)
	i := slices.IndexFunc(e.candidates, func(o candidate) bool {
		return o.source == r.Source && o.metric == r.Metric
	})
	if i >= 0 {
		old := e.candidates[i].group
		c.group.refs++
		e.candidates[i] = c
		t.release(old)
	} else {
		t.insert(e, c)
	}
	t.choose(e)
}

// Remove removes all candidates of a prefix from a source.
func (t *Table) Remove(source Source, prefix netip.Prefix) {
	t.settle()
	if e := t.entries[prefix.Masked()]; e != nil {
		t.removeIf(e, func(c candidate) bool { return c.source == source })
	}
}

// RemoveMetric removes the candidate of a prefix from a source with a metric.
func (t *Table) RemoveMetric(source Source, prefix netip.Prefix, metric uint32) {
	t.settle()
	if e := t.entries[prefix.Masked()]; e != nil {
		t.removeIf(e, func(c candidate) bool { return c.source == source && c.metric == metric })
	}
}

// Replace makes routes the only candidates of a source; what is in the table
// already costs no change of the snapshot.
func (t *Table) Replace(source Source, routes []Route) {
	t.settle()
	type key struct {
		prefix netip.Prefix
		metric uint32
	}
	keep := make(map[key]bool, len(routes))
	for _, r := range routes {
		r.Source = source
		keep[key{r.Prefix.Masked(), r.Metric}] = true
		t.Add(r)
	}
	for _, e := range t.entries {
		t.removeIf(e, func(c candidate) bool { return c.source == source && !keep[key{e.prefix, c.metric}] })
	}
}

// entry returns the entry of a masked prefix, a new one if need be.
func (t *Table) entry(prefix netip.Prefix) *entry {
	e := t.entries[prefix]
	if e == nil {
		e = &entry{prefix: prefix}
		t.entries[prefix] = e
	}
	return e
}

// rank orders candidates of different sources. An address that is ours is
// ours even where another prefix would have it for its broadcast address.
func (c *candidate) rank() int {
	if c.typ == BroadcastType {
		return 2*int(Virtual) + 1
	}
	return 2 * int(c.source)
}

// insert adds a candidate in its order: by source, metric, and port.
func (t *Table) insert(e *entry, c candidate) {
	i, _ := slices.BinarySearchFunc(e.candidates, c, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.metric, b.metric),
			cmp.Compare(a.group.key.port, b.group.key.port))
	})
	e.candidates = slices.Insert(e.candidates, i, c)
	c.group.refs++
}

// removeIf removes candidates.
func (t *Table) removeIf(e *entry, gone func(candidate) bool) {
	kept := e.candidates[:0]
	var released []*group
	for _, c := range e.candidates {
		if gone(c) {
			released = append(released, c.group)
		} else {
			kept = append(kept, c)
		}
	}
	if released == nil {
		return
	}
	clear(e.candidates[len(kept):])
	e.candidates = kept
	t.choose(e)
	for _, g := range released {
		t.release(g)
	}
	if len(e.candidates) == 0 {
		delete(t.entries, e.prefix)
	}
}

// choose takes the first candidate that can be used.
func (t *Table) choose(e *entry) {
	var best candidate
	for _, c := range e.candidates {
		if c.group.live {
			best = c
			break
		}
	}
	if best.group != e.best.group {
		t.pending[e.prefix] = true
		if e.best.group != nil {
			e.best.group.selected--
		}
		if best.group != nil {
			best.group.selected++
		}
	}
	e.best = best
}
