package rib

import (
	"net/netip"
	"slices"
)

// spareMetric is the metric of the second choice of what is learned by BGP.
const spareMetric = 1

// Learn makes routes the only candidates of BGP, whichever of its two sources,
// for a prefix: best, and for want of it spare, which may be of the other source
// and is used at once when no next hop of best can be; without Via there is no
// such route. Source and Via are looked at alone. So what many prefixes share
// changes in one step when a port or a neighbour is lost, and BGP may take its
// time to choose anew.
func (t *Table) Learn(prefix netip.Prefix, best, spare Route) {
	t.settle()
	if !prefix.IsValid() {
		return
	}
	prefix = prefix.Masked()
	var room [4]candidate
	list, was := room[:0], t.of(prefix)
	if was != nil {
		for _, c := range was.candidates {
			if c.source != BGP && c.source != InternalBGP {
				list = append(list, c)
			}
		}
	}
	list = t.learn(list, &best, 0)
	list = t.learn(list, &spare, spareMetric)
	if len(t.choices) >= t.choicesMost {
		list = t.plain(list)
	}
	if was == nil && len(list) == 0 {
		return
	}
	t.give(prefix, was, list)
}

// choicesMost bounds what prefixes of BGP share: a BGP process that tells of other
// next hops for each prefix must not cost the memory of a million groups.
const choicesMost = 1 << 17

// plain returns a list without what is learned, where it would make one more
// choice.
func (t *Table) plain(list []candidate) []candidate {
	if t.choices[string(choiceKey(nil, list))] != nil {
		return list
	}
	t.choicesRefused++
	for i := range list {
		if g := list[i].group; g.refs == 0 { // it was made for this
			t.setHops(g, nil)
			delete(t.recursive, g)
			delete(t.groups, g.key)
		}
	}
	return slices.DeleteFunc(list, func(c candidate) bool { return c.learned() })
}

// Refused returns how often a route was not learned for want of room.
func (t *Table) Refused() uint64 { return t.choicesRefused }

// learn adds a route's candidate.
func (t *Table) learn(list []candidate, r *Route, metric uint32) []candidate {
	if len(r.Via) == 0 {
		return list
	}
	return insert(list, candidate{source: r.Source, metric: metric, count: 1, group: t.groupOf(r)})
}

// learned reports whether a candidate is one of BGP's, spare whether it is that
// for want of a better one.
func (c *candidate) learned() bool { return c.source == BGP || c.source == InternalBGP }
func (c *candidate) spare() bool   { return c.learned() && c.metric == spareMetric }

// count counts a prefix that gets (+1) or loses (-1) a choice; nil counts nothing.
func (t *Table) count(c *choice, n int) {
	if c == nil {
		return
	}
	if slices.ContainsFunc(c.candidates, func(o candidate) bool { return o.learned() }) {
		t.learnedPrefixes += n
	}
	if slices.ContainsFunc(c.candidates, func(o candidate) bool { return o.spare() }) {
		t.sparePrefixes += n
	}
}

// Learned returns how many prefixes have a route of BGP, and how many of those
// have another one for want of it.
func (t *Table) Learned() (prefixes, spare int) { return t.learnedPrefixes, t.sparePrefixes }

// SetSilent says that what a neighbour has told (Via.From) no longer counts, and
// is about to be withdrawn; or that it counts again. It reports whether that is
// news.
func (t *Table) SetSilent(from uint32, on bool) (changed bool) {
	if from == 0 || t.silent[from] == on {
		return false
	}
	if on {
		t.silent[from] = true
	} else {
		delete(t.silent, from)
	}
	t.settle()
	t.refreshAll()
	t.loose = t.loose || len(t.recursive) > 0
	return true
}

// Owns reports whether an address is one of the router's own or virtual ones, or
// a broadcast address of its links: nobody's next hop.
func (t *Table) Owns(a netip.Addr) bool {
	t.settle()
	return t.noVia[a]
}
