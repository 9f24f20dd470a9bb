package rib

import (
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"vrouter/bench/prefixes"
	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// hop returns the address of the i-th of eight next hops, four on each port, of
// a family.
func hop(i int, six bool) netip.Addr {
	i %= 8
	if six {
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(1 + i/4), 15: byte(10 + i)})
	}
	return netip.AddrFrom4([4]byte{[]byte{192, 203}[i/4], 0, []byte{2, 113}[i/4], byte(10 + i)})
}

// internet returns the routes of a table like the Internet's, through eight
// next hops on two ports.
func internet(four, six int) []Route {
	var routes []Route
	for i, p := range slices.Concat(prefixes.IPv4(1, four), prefixes.IPv6(1, six)) {
		routes = append(routes, Route{Prefix: p, Source: BGP, Via: []Via{{Addr: hop(i, p.Addr().Is6())}}})
	}
	return routes
}

// newScaleTable returns the table of the tests with all next hops resolved.
func newScaleTable() *Table {
	t := newTable()
	t.AddAddress(1, pfx("2001:db8:2::2/64"), false)
	for i := range 8 {
		for _, six := range []bool{false, true} {
			t.SetNeighbor(uint16(i/4), hop(i, six), packet.MAC{2, 0, 0, 0, 0, byte(i)}, true)
		}
	}
	return t
}

func load(t *Table, routes []Route) *fib.Snapshot {
	for i := range routes {
		t.Add(routes[i])
	}
	return publish(t)
}

// A next hop or a port that many prefixes use is lost, and back, without a
// change of any prefix, but every packet goes another way: by another next hop
// of the same route, by the route of another source, by a shorter prefix, or
// not at all.
func TestALostNextHopChangesNoPrefix(t *testing.T) {
	tab := newScaleTable()
	four, six := prefixes.IPv4(3, 3000), prefixes.IPv6(3, 1000)
	kinds := map[netip.Prefix]int{}
	for i, p := range slices.Concat(four, six) {
		v6 := p.Addr().Is6()
		r := Route{Prefix: p, Source: BGP, Via: []Via{{Addr: hop(0, v6)}}}
		kinds[p] = i % 3
		if i%3 == 1 {
			r.Via = append(r.Via, Via{Addr: hop(4, v6)})
		}
		tab.Add(r)
		if i%3 == 2 {
			tab.Add(Route{Prefix: p, Source: InternalBGP, Via: []Via{{Addr: hop(5, v6)}}})
		}
	}
	tab.Add(static("0.0.0.0/0", 1, hop(6, false).String()))
	before := publish(tab)
	ways := func(s *fib.Snapshot) map[netip.Addr]bool {
		vias := map[netip.Addr]bool{}
		for _, a := range slices.Concat(prefixes.Addresses(1, four, 3000), prefixes.Addresses(1, six, 1000)) {
			if g := s.Route(a); g == nil {
				vias[netip.Addr{}] = true
			} else {
				for _, h := range g.Hops {
					vias[h.Via] = true
				}
			}
		}
		return vias
	}
	equalWays := func(name string, s *fib.Snapshot, want ...netip.Addr) {
		t.Helper()
		got := ways(s)
		for _, a := range want {
			if !got[a] {
				t.Errorf("%s: nothing goes by %s", name, a)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: packets go by %v, want %v", name, got, want)
		}
	}
	equalWays("before", before, hop(0, false), hop(0, true), hop(4, false), hop(4, true))
	tab.SetPort(0, false)
	down := publish(tab)
	equalWays("port down", down, hop(4, false), hop(4, true), hop(5, false), hop(5, true), hop(6, false), netip.Addr{})
	if down.Routes.Size() != before.Routes.Size() {
		t.Error("prefixes went with the port")
	}
	for p := range kinds {
		b, ok := tab.Best(p)
		if ok != (kinds[p] > 0) || ok && b.NextHops[0].Port != 1 {
			t.Fatalf("%s, of kind %d: %+v %v", p, kinds[p], b, ok)
		}
	}
	tab.SetPort(0, true)
	up := publish(tab)
	equalWays("up again", up, hop(0, false), hop(0, true), hop(4, false), hop(4, true))
	equalWays("as it was, still", before, hop(0, false), hop(0, true), hop(4, false), hop(4, true))
	for _, p := range slices.Concat(four, six) {
		a, _ := before.Routes.Get(p)
		b, _ := up.Routes.Get(p)
		if c, _ := down.Routes.Get(p); a != b || a != c {
			t.Fatalf("%s led to group %d, %d, %d", p, a, c, b)
		}
	}
}

// Tables that were filled by single changes, by batches of any size and at once
// are the same; and so is one that is emptied.
func TestBatchesOfAnySizeMakeTheSameTable(t *testing.T) {
	routes := internet(4000, 1500)
	want := load(newScaleTable(), routes)
	r := rand.New(rand.NewPCG(5, 5))
	for _, size := range []int{1, 7, 256, 3000, len(routes)} {
		tab := newScaleTable()
		empty := publish(tab).Routes.Size()
		for part := range slices.Chunk(routes, size) {
			load(tab, part)
		}
		got := publish(tab)
		if got.Routes.Size() != want.Routes.Size() {
			t.Fatalf("batches of %d: %d prefixes, want %d", size, got.Routes.Size(), want.Routes.Size())
		}
		for _, i := range r.Perm(len(routes))[:1000] {
			a := routes[i].Prefix.Addr()
			if g, w := got.Route(a), want.Route(a); g == nil || !slices.Equal(g.Hops, w.Hops) {
				t.Fatalf("batches of %d: %s by %v, want %v", size, a, g, w)
			}
		}
		for part := range slices.Chunk(routes, size) {
			for i := range part {
				tab.Remove(BGP, part[i].Prefix)
			}
			publish(tab)
		}
		if n := publish(tab).Routes.Size(); n != empty || len(tab.choices) > 20 {
			t.Errorf("batches of %d: %d prefixes and %d choices are left", size, n, len(tab.choices))
		}
	}
}

// heap returns the live heap in MiB.
func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// BenchmarkInternet is of 1,000,000 IPv4 and 200,000 IPv6 routes.
func BenchmarkInternet(b *testing.B) {
	routes := internet(1_000_000, 200_000)
	b.Run("load", func(b *testing.B) {
		var mib float64
		for b.Loop() {
			b.StopTimer()
			before := heap()
			b.StartTimer()
			tab := newScaleTable()
			s := load(tab, routes)
			b.StopTimer()
			mib = heap() - before
			runtime.KeepAlive(tab)
			runtime.KeepAlive(s)
			b.StartTimer()
		}
		b.ReportMetric(mib, "MiB")
	})
	tab := newScaleTable()
	s := load(tab, routes)
	b.Run("port", func(b *testing.B) { // a port that half of the routes use, down or up
		for up := false; b.Loop(); up = !up {
			tab.SetPort(0, up)
			tab.Publish(s)
		}
	})
	tab.SetPort(0, true)
	b.Run("neighbour", func(b *testing.B) { // a next hop of an eighth of the routes
		for i := 0; b.Loop(); i++ {
			tab.SetNeighbor(0, hop(0, false), packet.MAC{2, byte(i)}, i%2 == 0)
			tab.Publish(s)
		}
	})
	for _, n := range []int{1, 256} {
		b.Run("update/"+map[int]string{1: "1", 256: "256"}[n], func(b *testing.B) { // so many other routes, then a publication
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				for j := range n {
					r := routes[(i*n+j)%len(routes)]
					r.Via = []Via{{Addr: hop(i*n+j+1+i*n/len(routes), r.Prefix.Addr().Is6())}} // another each time
					tab.Add(r)
				}
				tab.Publish(s)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/route")
		})
	}
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			tab.All()
		}
	})
}

// A View stays as it was whatever happens to the table.
func TestAViewDoesNotChange(t *testing.T) {
	tab := newScaleTable()
	routes := internet(500, 300)
	load(tab, routes)
	v := tab.View()
	list := func(v View) (all []Best) {
		v.Each(func(b *Best, kind int) {
			if kind < 0 || kind >= v.Kinds() {
				t.Fatalf("kind %d of %d", kind, v.Kinds())
			}
			all = append(all, *b)
		})
		return all
	}
	before := list(v)
	if len(before) < len(routes) || !slices.EqualFunc(before, tab.All(), sameBest) {
		t.Fatalf("%d routes in the view, %d in the table", len(before), len(tab.All()))
	}
	for i, r := range routes {
		if i%2 == 0 {
			tab.Remove(BGP, r.Prefix)
		}
	}
	tab.SetPort(1, false)
	publish(tab)
	if !slices.EqualFunc(list(v), before, sameBest) {
		t.Error("the view has changed")
	}
	if n := len(list(tab.View())); n >= len(before)/2 {
		t.Errorf("%d routes are in use still", n)
	}
}

func sameBest(a, b Best) bool {
	return a.Prefix == b.Prefix && a.Source == b.Source && a.Type == b.Type && a.Metric == b.Metric && slices.Equal(a.NextHops, b.NextHops)
}
