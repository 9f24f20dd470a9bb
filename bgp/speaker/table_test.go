package speaker

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"vrouter/bgp"
)

func hopWay(from uint32, hop string) way {
	return way{hop: netip.MustParseAddr(hop), from: from, external: true}
}

// told has a router take everything that waits and returns what it knows then.
func told(t *table, knows map[netip.Prefix]bgp.Route) map[netip.Prefix]bgp.Route {
	for {
		batch := t.take(nil, 7)
		if len(batch) == 0 {
			return knows
		}
		for _, r := range batch {
			if len(r.Hops) == 0 {
				delete(knows, r.Prefix)
			} else {
				knows[r.Prefix] = r
			}
		}
	}
}

func TestAPrefixIsToldOnceHoweverOftenItChanges(t *testing.T) {
	tab, p := newTable(), netip.MustParsePrefix("198.51.100.0/24")
	for range 5 {
		tab.set(p, hopWay(1, "203.0.113.1"))
		tab.set(p, hopWay(2, "203.0.113.2"))
	}
	got := tab.take(nil, 10)
	if len(got) != 1 || got[0].Hops[0] != netip.MustParseAddr("203.0.113.2") || got[0].From[0] != 2 || !got[0].External {
		t.Fatalf("told %v", got)
	}
	tab.set(p, hopWay(2, "203.0.113.2"))
	if got := tab.take(nil, 10); len(got) != 0 {
		t.Errorf("what has not changed is told: %v", got)
	}
	tab.set(p)
	if got := tab.take(nil, 10); len(got) != 1 || len(got[0].Hops) != 0 {
		t.Errorf("the withdrawal is told as %v", got)
	}
}

func TestASpareIsGivenUpWithTheBestItStandsInFor(t *testing.T) {
	tab, p := newTable(), netip.MustParsePrefix("2001:db8:7::/48")
	tab.setSpare(p, hopWay(2, "2001:db8::2"))
	if got := tab.take(nil, 1); len(got) != 0 {
		t.Fatalf("a spare without a best is told: %v", got)
	}
	tab.set(p, hopWay(1, "2001:db8::1"))
	tab.setSpare(p, hopWay(2, "2001:db8::2"))
	got := tab.take(nil, 10)
	if len(got) != 1 || len(got[0].Spare.Hops) != 1 || got[0].Spare.From[0] != 2 {
		t.Fatalf("told %v", got)
	}
	tab.set(p, hopWay(2, "2001:db8::2"))
	if got = tab.take(nil, 10); len(got) != 1 || got[0].From[0] != 2 || len(got[0].Spare.Hops) != 0 {
		t.Errorf("told %v", got)
	}
}

func TestEqualWaysComeAndGo(t *testing.T) {
	tab, p := newTable(), netip.MustParsePrefix("198.51.100.0/24")
	w := func(n int, id uint32) way {
		a := netip.AddrFrom4([4]byte{203, 0, 113, byte(n)})
		return way{neighbor: a, id: id, hop: a, from: uint32(n)}
	}
	tab.change(p, w(1, 0), false)
	tab.change(p, w(2, 0), false)
	tab.change(p, w(2, 5), false)
	tab.change(p, w(1, 0), false) // again: still one
	if got := tab.take(nil, 9); len(got) != 1 || !slices.Equal(got[0].From, []uint32{2, 2, 1}) {
		t.Fatalf("told %v", got)
	}
	tab.change(p, w(2, 0), true)
	tab.change(p, w(7, 0), true) // which there never was
	if got := tab.take(nil, 9); len(got) != 1 || !slices.Equal(got[0].From, []uint32{2, 1}) {
		t.Fatalf("told %v", got)
	}
	tab.change(p, w(2, 5), true)
	tab.change(p, w(1, 0), true)
	if got := tab.take(nil, 9); len(got) != 1 || len(got[0].Hops) != 0 {
		t.Errorf("told %v", got)
	}
}

// Where thousands wait, neighbouring prefixes are told together; none is lost or
// told twice, and none waits for ever.
func TestLongQueuesAreSorted(t *testing.T) {
	tab, r := newTable(), rand.New(rand.NewPCG(1, 1))
	want := map[netip.Prefix]bool{}
	for len(want) < tidyMost+2*tidyLeast {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(1 + r.IntN(200)), byte(r.IntN(256)), byte(r.IntN(256)), 0}), 24)
		want[p] = true
		tab.set(p, hopWay(1, "203.0.113.1"))
	}
	var order []netip.Prefix
	for {
		batch := tab.take(nil, bgp.RoutesMax)
		if len(batch) == 0 {
			break
		}
		for i := range batch {
			order = append(order, batch[i].Prefix)
		}
	}
	ordered := func(list []netip.Prefix) bool {
		return slices.IsSortedFunc(list, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	}
	if len(order) != len(want) || !ordered(order[:tidyMost]) || !ordered(order[tidyMost:]) || ordered(order) {
		t.Errorf("%d of %d told; the first %d sorted: %v", len(order), len(want), tidyMost, ordered(order[:tidyMost]))
	}
	for _, p := range order {
		if !want[p] {
			t.Fatalf("%v is told twice, or was never set", p)
		}
		delete(want, p)
	}
}

// Whatever happens, a router knows in the end what the table was told last; also
// one that comes in the midst of it; and nothing is left behind.
func TestTheTableIsThatOfTheModel(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 3))
		tab, model, knows := newTable(), map[netip.Prefix]bgp.Route{}, map[netip.Prefix]bgp.Route{}
		prefix := func() netip.Prefix {
			if r.IntN(2) == 0 {
				return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(r.IntN(8))}), 16+r.IntN(2)).Masked()
			}
			return netip.PrefixFrom(netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::", r.IntN(8))), 48)
		}
		random := func() way { return hopWay(uint32(1+r.IntN(3)), fmt.Sprintf("203.0.113.%d", 1+r.IntN(3))) }
		for range 400 {
			p := prefix()
			was, there := model[p]
			switch r.IntN(8) {
			case 0, 1, 2:
				w := random()
				tab.set(p, w)
				now := bgp.Route{Prefix: p, External: true, Hops: []netip.Addr{w.hop}, From: []uint32{w.from}}
				if there && reflect.DeepEqual([]any{was.Hops, was.From}, []any{now.Hops, now.From}) {
					now = was
				}
				model[p] = now
			case 3, 4:
				tab.set(p)
				delete(model, p)
			case 5:
				w := random()
				tab.setSpare(p, w)
				if there {
					was.Spare = bgp.Spare{External: true, Hops: []netip.Addr{w.hop}, From: []uint32{w.from}}
					model[p] = was
				}
			case 6:
				knows = told(tab, knows)
				if !reflect.DeepEqual(knows, model) {
					t.Fatalf("seed %d: the router knows\n%v\nof\n%v", seed, knows, model)
				}
				tab.skipLooks()
			case 7:
				if r.IntN(8) == 0 { // another router
					clear(knows)
					tab.again()
				}
			}
		}
		for p := range maps.Clone(model) {
			tab.set(p)
		}
		told(tab, knows)
		tab.skipLooks()
		told(tab, knows)
		if len(knows) > 0 || tab.size() != 0 || len(tab.unused) != len(tab.slots) || len(tab.ways.single) != 0 || len(tab.ways.numbers) != 0 {
			t.Fatalf("seed %d: left behind: %v, %d prefixes, %d of %d slots, %v", seed, knows, tab.size(), len(tab.slots)-len(tab.unused), len(tab.slots), tab.ways.single)
		}
	}
}

func TestQueueIsFirstInFirstOut(t *testing.T) {
	var q queue
	next, out := uint32(0), uint32(0)
	r := rand.New(rand.NewPCG(2, 2))
	for range 20_000 {
		for range r.IntN(6) {
			q.push(next)
			next++
		}
		for range r.IntN(6) {
			if n, ok := q.pop(); ok {
				if n != out {
					t.Fatalf("%d, want %d", n, out)
				}
				out++
			}
		}
		if q.len() != int(next-out) || q.ever != uint64(next) {
			t.Fatalf("%d in it of %d", q.len(), q.ever)
		}
	}
	if len(q.list) > 4*q.len()+8192 {
		t.Errorf("%d places for %d", len(q.list), q.len())
	}
}

// BenchmarkTable is what a best path costs from GoBGP's telling to the message.
func BenchmarkTable(b *testing.B) {
	tab, w := newTable(), hopWay(1, "203.0.113.1")
	var batch []bgp.Route
	var text []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		tab.set(netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(i >> 20), byte(i >> 12), byte(i >> 4)}), 24).Masked(), w)
		if i%bgp.RoutesMax == 0 {
			batch = tab.take(batch[:0], bgp.RoutesMax)
			text = bgp.AppendRoutes(text[:0], batch)
		}
	}
}
