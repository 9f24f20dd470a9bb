package rib

import (
	"cmp"
	"net/netip"
	"slices"

	"vrouter/dataplane/fib"
)

// View is all routes in use at one moment. It costs next to nothing to make and
// never changes, so that whoever has a million routes to go through can do it
// where nobody waits for it; any goroutine may.
type View struct {
	routes *fib.Routes
	best   []Best // by fib.GroupID, without Prefix; Source of those not in use is none
}

// none is the Source of a Best that no route has.
const none Source = 255

// View returns the routes in use.
func (t *Table) View() View {
	t.settle()
	t.applyPending()
	v := View{routes: t.routes, best: make([]Best, len(t.byID))}
	for id, c := range t.byID {
		v.best[id].Source = none
		if c != nil && c.best.group != nil {
			v.best[id] = c.describe(netip.Prefix{})
		}
	}
	return v
}

// Kinds returns how many kinds of routes there are: routes of one kind differ in
// nothing but their prefix.
func (v View) Kinds() int { return len(v.best) }

// Each calls f for each route in use, sorted by family, address and length, and
// tells its kind, which is less than Kinds. What f gets is valid during the call.
func (v View) Each(f func(b *Best, kind int)) {
	type route struct {
		prefix netip.Prefix
		kind   fib.GroupID
	}
	all := make([]route, 0, v.routes.Size())
	for prefix, id := range v.routes.All() {
		if v.best[id].Source != none {
			all = append(all, route{prefix, id})
		}
	}
	slices.SortFunc(all, func(a, b route) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()))
	})
	for i := range all {
		b := v.best[all[i].kind]
		b.Prefix = all[i].prefix
		f(&b, int(all[i].kind))
	}
}

// Count returns how many routes are in use, by source, for each of both families.
// It looks at each route once.
func (v View) Count() (ipv4, ipv6 map[Source]int) {
	byGroup4, byGroup6 := make([]int, len(v.best)), make([]int, len(v.best))
	for prefix, id := range v.routes.All() {
		if prefix.Addr().Is4() {
			byGroup4[id]++
		} else {
			byGroup6[id]++
		}
	}
	bySource := func(byGroup []int) map[Source]int {
		sum := map[Source]int{}
		for id, n := range byGroup {
			if s := v.best[id].Source; s != none && n > 0 {
				sum[s] += n
			}
		}
		return sum
	}
	return bySource(byGroup4), bySource(byGroup6)
}

// All returns all routes in use, sorted by family, address and length. Routes of
// one kind share their NextHops.
func (t *Table) All() []Best {
	v := t.View()
	all := make([]Best, 0, v.routes.Size())
	v.Each(func(b *Best, _ int) { all = append(all, *b) })
	return all
}
