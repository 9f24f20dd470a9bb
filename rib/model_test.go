package rib

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// model keeps what a Table was told and computes every answer from scratch.
type model struct {
	up       [3]bool
	own      map[address]bool
	virtual  map[Neighbor]bool
	routes   map[string]Route // by prefix, source, metric
	resolved map[Neighbor]packet.MAC
	silent   map[uint32]bool // Via.From
}

func (m *model) ours(a netip.Addr) bool {
	for o := range m.own {
		if o.prefix.Addr() == a {
			return true
		}
		if first, last := bounds4(o.prefix); !o.prefix.IsSingleIP() && o.prefix.Bits() <= 30 && m.up[o.port] && (a == first || a == last) {
			return true
		}
	}
	for v := range m.virtual {
		if v.Addr == a {
			return true
		}
	}
	return false
}

// hops returns the usable next hops of a route.
func (m *model) hops(r Route) (all []Neighbor) {
	for _, v := range r.Via {
		hops, _ := m.reach(v, nil)
		all = append(all, hops...)
	}
	slices.SortFunc(all, func(a, b Neighbor) int { return a.Addr.Compare(b.Addr) })
	return slices.Compact(all)
}

// reach returns the neighbours by which an address is reached, where passed are
// the prefixes of the routes that lead here.
func (m *model) reach(v Via, passed []netip.Prefix) (all []Neighbor, ok bool) {
	a := v.Addr
	if m.ours(a) || m.silent[v.From] {
		return nil, false
	}
	best, port := -1, 0
	for o := range m.own {
		if !m.up[o.port] || o.prefix.IsSingleIP() || !o.prefix.Contains(a) {
			continue
		}
		if b := o.prefix.Bits(); b > best || b == best && int(o.port) < port {
			best, port = b, int(o.port)
		}
	}
	if best >= 0 {
		return []Neighbor{{uint16(port), a}}, true
	}
	if !v.Recursive {
		return nil, false
	}
	var by []Route // longest prefix first, then as they are preferred
	for _, r := range m.routes {
		if r.Prefix.Contains(a) && r.Prefix.Bits() > 0 && !slices.Contains(passed, r.Prefix) {
			by = append(by, r)
		}
	}
	slices.SortFunc(by, func(a, b Route) int {
		return cmp.Or(b.Prefix.Bits()-a.Prefix.Bits(), int(a.Source)-int(b.Source), int(a.Metric)-int(b.Metric))
	})
	for _, r := range by {
		if r.Type != Unicast {
			return nil, false
		}
		for _, v := range r.Via {
			hops, _ := m.reach(v, append(slices.Clip(passed), r.Prefix))
			all = append(all, hops...)
		}
		if len(all) > 0 {
			return all, true
		}
	}
	return nil, false
}

// answer says what becomes of a packet to a, as text does.
func (m *model) answer(a netip.Addr) string {
	type choice struct {
		bits, rank int // a lower rank wins
		text       string
	}
	var all []choice
	for o, foreign := range m.own {
		kind := "local"
		if foreign {
			kind = "foreign"
		}
		if o.prefix.Addr() == a {
			all = append(all, choice{32, int(o.port), fmt.Sprintf("%s %d", kind, o.port)})
		}
		if o.prefix.IsSingleIP() || !m.up[o.port] {
			continue
		}
		if o.prefix.Contains(a) {
			all = append(all, choice{o.prefix.Bits(), 2000 + int(o.port), fmt.Sprintf("connected %d", o.port)})
		}
		if first, last := bounds4(o.prefix); o.prefix.Bits() <= 30 && (a == first || a == last) {
			all = append(all, choice{32, 1500 + int(o.port), fmt.Sprintf("broadcast %d", o.port)})
		}
	}
	for v, accept := range m.virtual {
		if v.Addr == a {
			all = append(all, choice{32, 1000 + int(v.Port), fmt.Sprintf("%s %d", map[bool]string{true: "local", false: "virtual"}[accept], v.Port)})
		}
	}
	for _, r := range m.routes {
		if !r.Prefix.Contains(a) {
			continue
		}
		c := choice{r.Prefix.Bits(), 1000*int(r.Source) + int(r.Metric), r.Type.String()}
		if r.Type == Unicast {
			c.text = "gateway"
			hops := m.hops(r)
			if hops == nil {
				continue
			}
			for _, n := range hops {
				c.text += fmt.Sprintf(" %s/%d", n.Addr, n.Port)
				if _, ok := m.resolved[n]; !ok {
					c.text += "?"
				}
			}
		}
		all = append(all, c)
	}
	if all == nil {
		return "none"
	}
	return slices.MinFunc(all, func(a, b choice) int {
		if a.bits != b.bits {
			return b.bits - a.bits
		}
		return a.rank - b.rank
	}).text
}

// step changes table and model alike, at random, and says how.
func (m *model) step(r *rand.Rand, t *Table) string {
	port := uint16(r.IntN(3))
	host := func() netip.Addr { return netip.AddrFrom4([4]byte{10, byte(r.IntN(3)), 0, byte(r.IntN(8))}) }
	switch r.IntN(11) {
	case 9:
		from := uint32(1 + r.IntN(2))
		m.silent[from] = r.IntN(2) == 0
		t.SetSilent(from, m.silent[from])
		return fmt.Sprint("silent ", from, m.silent[from])
	case 10:
		return m.learn(r, t, host)
	case 0:
		m.up[port] = r.IntN(3) > 0
		t.SetPort(port, m.up[port])
		return fmt.Sprint("port ", port, m.up[port])
	case 1, 2:
		// Each port has addresses of its own, so that no two claim the same.
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(r.IntN(3)), 0, byte(1 + port)}), []int{16, 24, 29, 30, 32}[r.IntN(5)])
		a := address{port, p}
		for o := range m.own {
			if o.prefix.Addr() == p.Addr() {
				delete(m.own, o)
				t.RemoveAddress(o.port, o.prefix)
			}
		}
		if r.IntN(3) > 0 {
			m.own[a] = r.IntN(4) == 0
			t.AddAddress(port, p, m.own[a])
		}
		return fmt.Sprint("address ", a)
	case 3:
		n := Neighbor{port, netip.AddrFrom4([4]byte{10, byte(r.IntN(3)), 0, byte(4 + port)})}
		if r.IntN(2) == 0 {
			m.virtual[n] = r.IntN(2) == 0
			t.SetVirtual(port, n.Addr, m.virtual[n])
		} else {
			delete(m.virtual, n)
			t.RemoveVirtual(port, n.Addr)
		}
		return fmt.Sprint("virtual ", n)
	case 4, 5:
		n := Neighbor{port, host()}
		if r.IntN(2) == 0 {
			m.resolved[n] = mac1
		} else {
			delete(m.resolved, n)
		}
		_, ok := m.resolved[n]
		t.SetNeighbor(port, n.Addr, mac1, ok)
		return fmt.Sprint("neighbour ", n, ok)
	}
	route := Route{Prefix: netip.PrefixFrom(host(), []int{0, 8, 16, 24, 29, 32}[r.IntN(6)]).Masked(), Source: []Source{Static, BGP}[r.IntN(2)], Metric: uint32(r.IntN(2))}
	if r.IntN(3) == 0 {
		t.Remove(route.Source, route.Prefix)
		maps.DeleteFunc(m.routes, func(_ string, o Route) bool { return o.Source == route.Source && o.Prefix == route.Prefix })
		return fmt.Sprint("remove ", route)
	}
	if route.Type = Type(r.IntN(5) % 3); r.IntN(3) > 0 {
		route.Type = Unicast
	}
	for range 1 + r.IntN(3) {
		route.Via = append(route.Via, Via{Addr: host(), Recursive: r.IntN(4) == 0, From: uint32(r.IntN(3))})
	}
	m.routes[fmt.Sprint(route.Prefix, route.Source, route.Metric)] = route
	t.Add(route)
	return fmt.Sprint("add ", route)
}

// learn has BGP tell of a prefix, with a spare route or without.
func (m *model) learn(r *rand.Rand, t *Table, host func() netip.Addr) string {
	prefix := netip.PrefixFrom(host(), []int{0, 8, 16, 24, 29, 32}[r.IntN(6)]).Masked()
	maps.DeleteFunc(m.routes, func(_ string, o Route) bool {
		return (o.Source == BGP || o.Source == InternalBGP) && o.Prefix == prefix
	})
	var routes [2]Route
	for i := range routes {
		routes[i].Source = []Source{BGP, InternalBGP}[r.IntN(2)]
		for range r.IntN(3) {
			routes[i].Via = append(routes[i].Via, Via{Addr: host(), Recursive: r.IntN(4) == 0, From: uint32(r.IntN(3))})
		}
		if o := routes[i]; len(o.Via) > 0 {
			o.Prefix, o.Metric = prefix, uint32(i)
			m.routes[fmt.Sprint(prefix, o.Source, i)] = o
		}
	}
	t.Learn(prefix, routes[0], routes[1])
	return fmt.Sprint("learn ", prefix, routes)
}

// All that a published snapshot says is what the model says, after any
// history; and it says so still after what comes later.
func TestSnapshotsAreThoseOfTheModel(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 7))
		m := &model{own: map[address]bool{}, virtual: map[Neighbor]bool{}, routes: map[string]Route{}, resolved: map[Neighbor]packet.MAC{}, silent: map[uint32]bool{}}
		tab := New()
		var history []string
		var older *fib.Snapshot
		var olderSays string
		for range 150 {
			history = append(history, m.step(r, tab))
			if r.IntN(3) == 0 {
				continue // several changes in one publication
			}
			s := publish(tab)
			var says strings.Builder
			for i := range 4 {
				for j := range 9 {
					a := netip.AddrFrom4([4]byte{10, byte(i), 0, byte(j)})
					got, want := text(s, a.String()), m.answer(a)
					if got != want {
						t.Fatalf("seed %d: %s: %q, want %q after\n%s", seed, a, got, want, strings.Join(history, "\n"))
					}
					fmt.Fprintln(&says, got)
				}
			}
			m.check(t, tab, s)
			if older != nil && describeAll(older) != olderSays {
				t.Fatalf("seed %d: a published snapshot changed", seed)
			}
			older, olderSays = s, says.String()
		}
	}
}

func describeAll(s *fib.Snapshot) string {
	var b strings.Builder
	for i := range 4 {
		for j := range 9 {
			fmt.Fprintln(&b, text(s, fmt.Sprintf("10.%d.0.%d", i, j)))
		}
	}
	return b.String()
}

// check verifies what must hold in any table.
func (m *model) check(t *testing.T, tab *Table, s *fib.Snapshot) {
	t.Helper()
	needed, unusable := map[Neighbor]bool{}, 0
	for _, id := range s.Routes.All() {
		g := s.Groups[id]
		if g.Kind == fib.Unusable {
			unusable++
		}
		for _, h := range g.Hops {
			needed[Neighbor{h.Port, h.Via}] = true
		}
		if g.Kind == fib.Gateway && (len(g.Hops) == 0 || (len(g.Hops) > 1) != (g.Buckets != nil)) {
			t.Fatalf("group %+v", g)
		}
	}
	learned, spare := map[netip.Prefix]bool{}, map[netip.Prefix]bool{}
	for _, r := range m.routes {
		if r.Source != BGP && r.Source != InternalBGP {
			continue
		}
		learned[r.Prefix] = true
		if r.Metric == spareMetric {
			spare[r.Prefix] = true
			for _, n := range m.hops(r) {
				if r.Type == Unicast {
					needed[n] = true
				}
			}
		}
	}
	if l, n := tab.Learned(); l != len(learned) || n != len(spare) {
		t.Fatalf("%d learned, %d of them with a spare route; want %d, %d", l, n, len(learned), len(spare))
	}
	got := tab.NextHops()
	for _, n := range got {
		if !needed[n] {
			t.Fatalf("next hop %v is not in use", n)
		}
	}
	if len(got) != len(needed) {
		t.Fatalf("next hops %v, want %v", got, needed)
	}
	if len(tab.All()) != s.Routes.Size()-unusable {
		t.Fatalf("%d routes, %d published, of which %d are unusable", len(tab.All()), s.Routes.Size(), unusable)
	}
	for n, mac := range m.resolved {
		if got, _ := s.Ports[n.Port].Neighbors.Lookup(n.Addr); got != mac {
			t.Fatalf("neighbour %v is missing", n)
		}
	}
	for a := range m.own {
		b := a.prefix.Addr().As4()
		if !m.own[a] && !s.Own.May4(uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3])) {
			t.Fatalf("%v is not in Own", a)
		}
	}
	m.checkShared(t, tab)
}

// checkShared verifies what prefixes share: every choice and every group is
// counted right, and none is left that nobody has.
func (m *model) checkShared(t *testing.T, tab *Table) {
	t.Helper()
	prefixes, refs, selected, spares := map[*choice]int{}, map[*group]int{}, map[*group]int{}, map[*group]int{}
	for _, id := range tab.prefixes.All() {
		prefixes[tab.byID[id]]++
	}
	for _, c := range tab.choices {
		if c.prefixes == 0 || c.prefixes != prefixes[c] || tab.byID[c.id] != c {
			t.Fatalf("choice %+v, %d prefixes", c, prefixes[c])
		}
		for _, o := range c.candidates {
			refs[o.group]++
			if o.spare() {
				spares[o.group]++
			}
			if !o.group.choices[c] {
				t.Fatalf("group %+v does not know its choice %+v", o.group, c)
			}
		}
		if c.best.group != nil {
			selected[c.best.group]++
		}
	}
	for _, g := range tab.groups {
		if g.refs <= 0 || g.refs != refs[g] || g.selected != selected[g] || g.spares != spares[g] || len(g.choices) > g.refs {
			t.Fatalf("group %+v: %d candidates, chosen %d times", g, refs[g], selected[g])
		}
	}
	if len(tab.choices)+len(tab.free) != len(tab.byID) || len(prefixes) != len(tab.choices) {
		t.Fatalf("%d choices, %d free of %d", len(tab.choices), len(tab.free), len(tab.byID))
	}
}

func BenchmarkPublishAfterOneNeighbour(b *testing.B) {
	tab := newTable()
	for i := range 100000 {
		tab.Add(Route{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10 + byte(i>>16), byte(i >> 8), byte(i)}), 24), Source: Static, Via: via("192.0.2.10", "192.0.2.11")})
	}
	s := publish(tab)
	for i := 0; b.Loop(); i++ {
		tab.SetNeighbor(0, ip("192.0.2.10"), packet.MAC{2, byte(i), byte(i >> 8)}, i%4 != 0)
		tab.Publish(s)
	}
}

func BenchmarkPublishAfterOneRoute(b *testing.B) {
	tab := newTable()
	for i := range 100000 {
		tab.Add(Route{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10 + byte(i>>16), byte(i >> 8), byte(i)}), 24), Source: Static, Via: via("192.0.2.10")})
	}
	s := publish(tab)
	for i := 0; b.Loop(); i++ {
		tab.Add(Route{Prefix: pfx("10.9.9.0/24"), Source: Static, Via: []Via{{Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(20 + i%2)})}}})
		tab.Publish(s)
	}
}
