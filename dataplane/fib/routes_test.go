package fib

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"vrouter/bench/prefixes"
)

// oracle is a table that looks at every prefix.
type oracle map[netip.Prefix]GroupID

// lookup returns the group of the longest prefix that is usable.
func (o oracle) lookup(a netip.Addr, usable func(GroupID) bool) (GroupID, bool) {
	best, found := GroupID(0), -1
	for p, id := range o {
		if p.Bits() > found && p.Contains(a) && usable(id) {
			best, found = id, p.Bits()
		}
	}
	return best, found >= 0
}

func (o oracle) sorted() []netip.Prefix {
	return slices.SortedFunc(maps.Keys(o), func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
}

func (o oracle) build() *Routes {
	return Build(func(yield func(netip.Prefix, GroupID) bool) {
		for _, p := range o.sorted() {
			if !yield(p, o[p]) {
				return
			}
		}
	})
}

func anyGroup(GroupID) bool { return true }

// randomPrefix returns a prefix of any length, in a small part of the address
// space, so that many are nested, and keys, pages and nodes shared.
func randomPrefix(r *rand.Rand) netip.Prefix {
	var b [16]byte
	for i := range b {
		b[i] = []byte{0, 1, 2, 127, 128, 255, byte(r.Uint32())}[r.IntN(7)]
	}
	if r.IntN(2) == 0 {
		p, _ := netip.AddrFrom4([4]byte(b[:4])).Prefix(r.IntN(33))
		return p
	}
	b[0] = 0x20 // never an IPv4-mapped address
	p, _ := netip.AddrFrom16(b).Prefix([]int{r.IntN(129), 32, 48, 64, 128}[r.IntN(5)])
	return p
}

// within returns a random address of a prefix.
func addressIn(r *rand.Rand, p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		if r.IntN(3) == 0 {
			b[i/8] ^= 0x80 >> (i % 8)
		}
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// check compares a table with the oracle: as a whole, and at addresses in and
// beside its prefixes.
func check(t *testing.T, r *rand.Rand, routes *Routes, o oracle, probes int) {
	t.Helper()
	if routes.Size() != len(o) {
		t.Fatalf("%d prefixes, want %d", routes.Size(), len(o))
	}
	if all := maps.Collect(routes.All()); !maps.Equal(all, o) {
		t.Fatalf("prefixes %v, want %v", all, o)
	}
	groups := make([]Group, 1000)
	for i := range groups {
		groups[i].Kind = []Kind{Gateway, Unusable}[r.IntN(2)]
	}
	s := &Snapshot{Routes: routes, Groups: groups}
	all := o.sorted()
	for range probes {
		p := randomPrefix(r)
		if len(all) > 0 && r.IntN(4) > 0 {
			p = all[r.IntN(len(all))]
		}
		got, ok := routes.Get(p)
		if want, there := o[p]; ok != there || got != want {
			t.Fatalf("Get(%s): %d %v, want %d %v", p, got, ok, want, there)
		}
		a := addressIn(r, p)
		got, ok = routes.Lookup(a)
		if want, there := o.lookup(a, anyGroup); ok != there || got != want {
			t.Fatalf("%s: %d %v, want %d %v", a, got, ok, want, there)
		}
		want, there := o.lookup(a, func(id GroupID) bool { return groups[id].Kind != Unusable })
		if g := s.Route(a); (g != nil) != there || there && g != &groups[want] {
			t.Fatalf("%s: usable group %v, want %d %v", a, g, want, there)
		}
	}
}

// A model test: whatever the history of changes, the table answers as a list
// would that is searched from end to end; and tables before stay as they were.
func TestRoutesAnswerLikeAList(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 11))
		o, routes := oracle{}, (*Routes)(nil)
		var older *Routes
		var olderSays oracle
		for range 60 {
			changes := map[netip.Prefix]Change{}
			for range []int{1, 3, 40}[r.IntN(3)] {
				c := Change{Prefix: randomPrefix(r), Group: GroupID(r.IntN(1000)), Gone: r.IntN(3) == 0}
				if all := o.sorted(); c.Gone && len(all) > 0 && r.IntN(4) > 0 {
					c.Prefix = all[r.IntN(len(all))]
				}
				changes[c.Prefix] = c
			}
			for _, c := range changes {
				if o[c.Prefix] = c.Group; c.Gone {
					delete(o, c.Prefix)
				}
			}
			routes = routes.With(slices.Collect(maps.Values(changes))...)
			check(t, r, routes, o, 30)
			if older != nil {
				check(t, r, older, olderSays, 5)
			}
			if r.IntN(5) == 0 {
				older, olderSays = routes, maps.Clone(o)
			}
		}
		check(t, r, o.build(), o, 100)
	}
}

func TestNoRoutes(t *testing.T) {
	for _, routes := range []*Routes{nil, {}, (*Routes)(nil).With(), Build(oracle{}.all)} {
		check(t, rand.New(rand.NewPCG(1, 1)), routes, oracle{}, 10)
		if _, ok := routes.Get(netip.Prefix{}); ok {
			t.Error("an invalid prefix has a route")
		}
	}
}

func (o oracle) all(yield func(netip.Prefix, GroupID) bool) {
	for p, id := range o {
		if !yield(p, id) {
			return
		}
	}
}

func TestRoutesAtTheEdges(t *testing.T) {
	o := oracle{}
	for i, p := range []string{
		"0.0.0.0/0", "0.0.0.0/32", "255.255.255.255/32", "255.255.0.0/16", "255.254.0.0/15", "128.0.0.0/1", "1.2.3.0/24", "1.2.3.128/25", "1.2.3.4/32",
		"::/0", "::/128", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", "ffff:ffff::/32", "ffff:fffe::/31", "8000::/1",
		"2001:db8::/32", "2001:db8::/33", "2001:db8::/95", "2001:db8::/96", "2001:db8::/97", "2001:db8::1/128", "2001:db8:0:0:1::/80",
	} {
		o[netip.MustParsePrefix(p)] = MaxGroups - 1 - GroupID(i)
	}
	routes := o.build()
	if !maps.Equal(maps.Collect(routes.All()), o) {
		t.Errorf("%v", maps.Collect(routes.All()))
	}
	for p := range o {
		last := p.Addr().AsSlice()
		for i := p.Bits(); i < len(last)*8; i++ {
			last[i/8] |= 0x80 >> (i % 8)
		}
		end, _ := netip.AddrFromSlice(last)
		for _, a := range []netip.Addr{p.Addr(), end, p.Addr().Prev(), end.Next()} {
			if !a.IsValid() {
				continue
			}
			want, _ := o.lookup(a, anyGroup)
			if got, ok := routes.Lookup(a); !ok || got != want {
				t.Errorf("%s: %d %v, want %d", a, got, ok, want)
			}
		}
	}
}

// Every key of a page of IPv4 has its place, also where the page is full.
func TestAFullPage(t *testing.T) {
	o := oracle{}
	var changes []Change
	for i := range 256 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i)}), 16+i%2)
		o[p] = GroupID(i)
		changes = append(changes, Change{Prefix: p, Group: GroupID(i)})
	}
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(changes), func(i, j int) { changes[i], changes[j] = changes[j], changes[i] })
	var routes *Routes
	for _, c := range changes {
		routes = routes.With(c)
	}
	check(t, r, routes, o, 500)
	for _, c := range changes[:250] {
		routes = routes.With(Change{Prefix: c.Prefix, Gone: true}, Change{Prefix: netip.MustParsePrefix("21.0.0.0/24"), Gone: true})
		delete(o, c.Prefix)
	}
	check(t, r, routes, o, 500)
}

// A changed prefix changes no page but its own.
func TestAChangeSharesTheRest(t *testing.T) {
	o := oracle{}
	for i, p := range slices.Concat(prefixes.IPv4(1, 20000), prefixes.IPv6(1, 5000)) {
		o[p] = GroupID(i % 100)
	}
	routes := o.build()
	changed := routes.With(Change{Prefix: netip.MustParsePrefix("20.1.2.0/24"), Group: 7}, Change{Prefix: netip.MustParsePrefix("2a00:1:2::/48"), Group: 8})
	for name, f := range map[string][2]family{"IPv4": {routes.four, changed.four}, "IPv6": {routes.six, changed.six}} {
		other := 0
		for i, shelf := range f[0].shelves {
			if f[1].shelves[i] == shelf {
				continue
			}
			for j, a := range shelf {
				if b := f[1].shelves[i][j]; len(a) != len(b) || len(a) > 0 && &a[0] != &b[0] {
					other++
				}
			}
		}
		if other != 1 || f[0].short != f[1].short {
			t.Errorf("%s: %d pages differ", name, other)
		}
	}
	if same := routes.With(); same != routes {
		t.Error("no change made another table")
	}
}

// The Internet's table answers like small ones do; the compression is what makes
// it small.
func TestTheInternetsTable(t *testing.T) {
	o := oracle{}
	four, six := prefixes.IPv4(2, 60000), prefixes.IPv6(2, 20000)
	for i, p := range slices.Concat(four, six) {
		o[p] = GroupID(i % 16)
	}
	routes := o.build()
	byChange := routes.With()
	var changes []Change
	for p, id := range o {
		changes = append(changes, Change{Prefix: p, Group: id})
	}
	for part := range slices.Chunk(changes, 1000) {
		byChange = byChange.With(part...)
	}
	probes := slices.Concat(prefixes.Addresses(3, four, 300), prefixes.Addresses(3, six, 100))
	for _, a := range probes {
		want, _ := o.lookup(a, anyGroup)
		for _, r := range []*Routes{routes, byChange} {
			if got, ok := r.Lookup(a); !ok || got != want {
				t.Fatalf("%s: %d %v, want %d", a, got, ok, want)
			}
		}
	}
	words := 0
	for s := range routes.four.slots() {
		words += len(s.words)
	}
	if perPrefix := float64(words*8) / float64(len(four)); perPrefix > 80 {
		t.Errorf("%.0f bytes a prefix", perPrefix)
	}
}

func TestLookupsAllocateNothing(t *testing.T) {
	o := oracle{}
	four, six := prefixes.IPv4(1, 2000), prefixes.IPv6(1, 2000)
	for i, p := range slices.Concat(four, six) {
		o[p] = GroupID(i % 2)
	}
	s := &Snapshot{Routes: o.build(), Groups: []Group{{Kind: Gateway}, {Kind: Unusable}}}
	addresses := slices.Concat(prefixes.Addresses(1, four, 2000), prefixes.Addresses(1, six, 2000))
	if n := testing.AllocsPerRun(3, func() {
		for _, a := range addresses {
			s.Route(a)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzRoutes lets bytes be changes, and compares with the oracle.
func FuzzRoutes(f *testing.F) {
	f.Add([]byte{24, 10, 1, 2, 3, 1, 16, 10, 1, 0, 0, 2, 0, 0, 0, 0, 0, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		o, routes := oracle{}, (*Routes)(nil)
		for ; len(b) >= 6; b = b[6:] {
			a := netip.AddrFrom4([4]byte(b[1:5]))
			bits := int(b[0]) % 33
			if b[0]&128 != 0 {
				a = netip.AddrFrom16([16]byte{0x20, b[1], b[2], 3: b[3], 4: b[4], 8: b[1], 12: b[2], 13: b[3], 15: b[4]})
				bits = int(b[0]&127) + 1
			}
			p, _ := a.Prefix(bits)
			c := Change{Prefix: p, Group: GroupID(b[5] >> 1), Gone: b[5]&1 != 0}
			if o[p] = c.Group; c.Gone {
				delete(o, p)
			}
			routes = routes.With(c)
		}
		check(t, rand.New(rand.NewPCG(1, 1)), routes, o, 50)
	})
}

// BenchmarkRoutes is of 1,000,000 IPv4 and 200,000 IPv6 prefixes: to make the
// table, to look up addresses of so many prefixes in turn, and to change so many
// prefixes at once.
func BenchmarkRoutes(b *testing.B) {
	four, six := prefixes.IPv4(1, 1_000_000), prefixes.IPv6(1, 200_000)
	o := oracle{}
	for i, p := range slices.Concat(four, six) {
		o[p] = GroupID(i % 8)
	}
	sorted := o.sorted()
	groups := make([]GroupID, len(sorted))
	for i, p := range sorted {
		groups[i] = o[p]
	}
	clear(o)
	build := func() *Routes {
		return Build(func(yield func(netip.Prefix, GroupID) bool) {
			for i, p := range sorted {
				yield(p, groups[i])
			}
		})
	}
	b.Run("build", func(b *testing.B) {
		for b.Loop() {
			build()
		}
	})
	routes := build()
	for _, family := range []string{"v4", "v6"} {
		table := map[string][]netip.Prefix{"v4": four, "v6": six}[family]
		for _, n := range []int{1, 1000, 100_000} {
			addresses := prefixes.Addresses(2, table, n)
			b.Run(fmt.Sprintf("lookup/family=%s/flows=%d", family, n), func(b *testing.B) {
				at := 0
				for b.Loop() {
					if _, ok := routes.Lookup(addresses[at]); !ok {
						b.Fatal("no route")
					}
					if at++; at == n {
						at = 0
					}
				}
			})
		}
		for _, n := range []int{1, 256} {
			b.Run(fmt.Sprintf("change/family=%s/at_once=%d", family, n), func(b *testing.B) {
				b.ReportAllocs()
				changes, now, u := make([]Change, n), routes, Updater{}
				for i := 0; b.Loop(); i++ {
					for j := range changes {
						changes[j] = Change{Prefix: table[(i*n+j)%len(table)], Group: GroupID(i % 9)}
					}
					now = u.Update(now, changes...)
				}
			})
		}
	}
}
