package router

import (
	"fmt"
	"net/netip"
	"testing"
)

// TestCountsAgreeWithTheLists: what metrics count is what show lists.
func TestCountsAgreeWithTheLists(t *testing.T) {
	r, now := importer(t)
	before := r.EventCount()
	hops := []KernelHop{{netip.MustParseAddr("203.0.113.1"), "eth2"}}
	for i := range 20 {
		r.KernelRoutes(now, []KernelRoute{{Prefix: netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", i)), Hops: hops}})
	}
	routes := map[RouteCount]int{}
	for _, s := range r.RoutesInUse() {
		routes[RouteCount{Family: familyName(s.Prefix.Addr().Is6()), Source: s.Source}]++
	}
	for _, c := range r.RouteList().Count() {
		key := RouteCount{Family: c.Family, Source: c.Source}
		if routes[key] != c.Routes || c.Routes == 0 {
			t.Errorf("%+v, listed are %d", c, routes[key])
		}
		delete(routes, key)
	}
	if len(routes) > 0 {
		t.Errorf("not counted: %v", routes)
	}
	neighbors := map[NeighborCount]int{}
	for _, n := range r.Neighbors(now) {
		neighbors[NeighborCount{Interface: n.Interface, State: n.State}]++
	}
	counts := r.NeighborCounts()
	for _, c := range counts {
		if n := neighbors[NeighborCount{Interface: c.Interface, State: c.State}]; n != c.Neighbors {
			t.Errorf("%+v, listed are %d", c, n)
		}
	}
	if len(counts) != len(neighbors) || len(counts) == 0 {
		t.Errorf("counted are %v, listed %v", counts, neighbors)
	}
	r.Drain(now, true)
	r.Drain(now, false)
	if r.EventCount() <= before {
		t.Error("events are not counted")
	}
}

func TestSomeVirtualRoutersAreAPartOfAll(t *testing.T) {
	r, _ := importer(t)
	all := r.VirtualRouters()
	for from := range len(all) + 2 {
		for most := range len(all) + 2 {
			some := r.SomeVirtualRouters(from, most)
			if want := max(0, min(most, len(all)-from)); len(some) != want {
				t.Errorf("from %d at most %d: %d, want %d", from, most, len(some), want)
			}
			for i := range some {
				if some[i].Name != all[from+i].Name {
					t.Errorf("from %d: number %d is %s", from, i, some[i].Name)
				}
			}
		}
	}
}
