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
	silent    map[uint32]bool     // see SetSilent
	stale     bool                // connected, noVia and what is like them are out of date: see settle

	prefixes bart.Table[fib.GroupID] // the choice of each prefix, by number
	choices  map[string]*choice      // by choiceKey
	byID     []*choice               // nil: free
	free     []fib.GroupID

	choicesMost     int // see plain
	choicesRefused  uint64
	learnedPrefixes int // with a candidate of BGP
	sparePrefixes   int // with one for want of a better one, too

	groups     map[groupKey]*group
	numbers    uint32                       // of groups that there have been
	byNeighbor map[Neighbor]map[*group]bool // the groups with this next hop
	recursive  map[*group]bool              // that need routes to their next hops
	watched    []netip.Addr                 // sorted: routes to these matter to them
	loose      bool                         // such routes have changed: see settle

	routes  *fib.Routes // as last published
	updater fib.Updater
	pending map[netip.Prefix]bool // whose choice is another than in routes
	rebuild bool                  // so many that routes is to be made anew; pending is not kept
	content []fib.Group           // of the choices, as last published
	dirty   map[*choice]bool      // that have another content now
	own     fib.OwnSet
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

// New returns an empty Table; its ports are down.
func New() *Table {
	return &Table{
		up:        map[uint16]bool{},
		addresses: map[address]bool{},
		virtuals:  map[Neighbor]bool{},
		silent:    map[uint32]bool{},

		choicesMost: choicesMost,
		links:       map[uint16]*link{},
		choices:     map[string]*choice{},
		groups:      map[groupKey]*group{},
		byNeighbor:  map[Neighbor]map[*group]bool{},
		recursive:   map[*group]bool{},
		routes:      &fib.Routes{},
		pending:     map[netip.Prefix]bool{},
		dirty:       map[*choice]bool{},
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
	c.group = t.groupOf(&r)
	was := t.of(prefix)
	if was == nil { // nearly all
		t.give(prefix, nil, []candidate{c})
		return
	}
	list := slices.Clone(was.candidates)
	i := slices.IndexFunc(list, func(o candidate) bool { return o.source == r.Source && o.metric == r.Metric })
	if i >= 0 {
		list[i] = c
	} else {
		list = insert(list, c)
	}
	t.give(prefix, was, list)
}

// groupOf returns the group of a route.
func (t *Table) groupOf(r *Route) *group {
	switch {
	case r.Type == Blackhole:
		return t.group(groupKey{kind: fib.Blackhole}, nil)
	case r.Type == Unreachable:
		return t.group(groupKey{kind: fib.Unreachable}, nil)
	case r.Type == LocalType:
		return t.group(groupKey{kind: fib.Foreign, vias: elsewhere}, nil)
	case len(r.Via) == 1 && !r.Via[0].Addr.IsValid():
		return t.group(groupKey{kind: fib.Connected, port: r.Via[0].Port}, nil)
	}
	return t.gateway(canonical(r.Via))
}

// Remove removes all candidates of a prefix from a source.
func (t *Table) Remove(source Source, prefix netip.Prefix) {
	t.settle()
	t.removeIf(prefix.Masked(), func(c candidate) bool { return c.source == source })
}

// elsewhere marks the group of the host's addresses that are on no port.
const elsewhere = "host"

// RemoveMetric removes the candidate of a prefix from a source with a metric.
func (t *Table) RemoveMetric(source Source, prefix netip.Prefix, metric uint32) {
	t.settle()
	t.removeIf(prefix.Masked(), func(c candidate) bool { return c.source == source && c.metric == metric })
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
	for prefix, metrics := range t.withSource(source) {
		for _, metric := range metrics {
			if !keep[key{prefix, metric}] {
				t.removeIf(prefix, func(c candidate) bool { return c.source == source && c.metric == metric })
			}
		}
	}
}

// withSource returns the prefixes with candidates of a source, and their
// metrics. It looks at all prefixes only where a choice has such a candidate.
func (t *Table) withSource(source Source) map[netip.Prefix][]uint32 {
	metrics := map[fib.GroupID][]uint32{}
	for _, c := range t.choices {
		for i := range c.candidates {
			if o := &c.candidates[i]; o.source == source {
				metrics[c.id] = append(metrics[c.id], o.metric)
			}
		}
	}
	found := map[netip.Prefix][]uint32{}
	if len(metrics) == 0 {
		return found
	}
	for prefix, id := range t.prefixes.All() {
		if m := metrics[id]; m != nil {
			found[prefix] = m
		}
	}
	return found
}

// of returns the choice of a masked prefix; nil: it has none.
func (t *Table) of(prefix netip.Prefix) *choice {
	if id, ok := t.prefixes.Get(prefix); ok {
		return t.byID[id]
	}
	return nil
}

// give gives a masked prefix, whose choice was that, the choice among a list of
// candidates.
func (t *Table) give(prefix netip.Prefix, was *choice, list []candidate) {
	var c *choice
	if len(list) > 0 {
		if c = t.choice(list); c == nil {
			return // the limit of fib
		}
	}
	if c == was {
		return
	}
	t.count(was, -1)
	t.count(c, +1)
	if c != nil {
		c.prefixes++
		t.prefixes.Insert(prefix, c.id)
	} else {
		t.prefixes.Delete(prefix)
	}
	t.changed(prefix)
	t.disturb(prefix)
	if was != nil {
		if was.prefixes--; was.prefixes == 0 {
			t.forget(was)
		}
	}
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
func insert(list []candidate, c candidate) []candidate {
	i, _ := slices.BinarySearchFunc(list, c, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.metric, b.metric),
			cmp.Compare(a.group.key.port, b.group.key.port))
	})
	return slices.Insert(list, i, c)
}

// removeIf removes candidates of a masked prefix.
func (t *Table) removeIf(prefix netip.Prefix, gone func(candidate) bool) {
	was := t.of(prefix)
	if was == nil || !slices.ContainsFunc(was.candidates, gone) {
		return
	}
	t.give(prefix, was, slices.DeleteFunc(slices.Clone(was.candidates), gone))
}
