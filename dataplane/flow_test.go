package dataplane

import (
	"math/rand/v2"
	"slices"
	"testing"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// eight is a group of eight next hops, each on a port of its own.
func eight() *fib.Group {
	g := &fib.Group{Hops: make([]fib.NextHop, 8), Buckets: fib.BuildBuckets(8)}
	for i := range g.Hops {
		g.Hops[i].Port = uint16(i)
	}
	return g
}

// spread sends n flows to a group of 8 next hops by a router's seed and returns
// their shares.
func spread(seed uint64, n int, frame func(i int) []byte) []int {
	g, count := eight(), make([]int, 8)
	for i := range n {
		count[g.Pick(flow(seed, frame(i))).Port]++
	}
	return count
}

// sequences are 10,000 flows each that differ in something, in sequence.
func sequences() map[string]func(i int) []byte {
	v4, v6 := from4(ip4{dst: "10.6.0.1"}).Data[l3:], from6(ip6{dst: "2001:db8:6::1"}).Data[l3:]
	put := func(b []byte, at, i int) []byte {
		b = slices.Clone(b)
		b[at], b[at+1] = byte(i>>8), byte(i)
		return b
	}
	return map[string]func(i int) []byte{
		"IPv4 source":              func(i int) []byte { return put(v4, 14, i) },
		"IPv4 destination":         func(i int) []byte { return put(v4, 18, i) },
		"IPv4 destination /24":     func(i int) []byte { return put(v4, 17, i) },
		"IPv4 source port":         func(i int) []byte { return put(v4, 20, i) },
		"IPv4 destination port":    func(i int) []byte { return put(v4, 22, i) },
		"IPv6 source":              func(i int) []byte { return put(v6, 22, i) },
		"IPv6 source /64":          func(i int) []byte { return put(v6, 14, i) },
		"IPv6 source /48":          func(i int) []byte { return put(v6, 12, i) },
		"IPv6 destination":         func(i int) []byte { return put(v6, 38, i) },
		"IPv6 source port":         func(i int) []byte { return put(v6, 40, i) },
		"IPv6 destination port":    func(i int) []byte { return put(v6, 42, i) },
		"both ports alike":         func(i int) []byte { return put(put(v4, 20, i), 22, i) },
		"100 hosts with 100 ports": func(i int) []byte { return put(put(v4, 14, i%100), 20, i/100) },
		"IPv6, hosts with ports":   func(i int) []byte { return put(put(v6, 22, i%100), 40, i/100) },
		"hosts to hosts":           func(i int) []byte { return put(put(v4, 14, i%208), 18, i/208) },
	}
}

// Whatever it is that flows differ in, each of eight next hops gets its eighth of
// 10,000, within 5 %, by the seed of any router.
func TestFlowsAreSpreadEvenly(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	uneven, tries := 0, 0
	for range 50 {
		seed := fib.FlowSeed(r.Uint64())
		for name, frame := range sequences() {
			s := spread(seed, 10_000, frame)
			worst := max(slices.Max(s)-1250, 1250-slices.Min(s))
			if tries++; worst > 62 {
				uneven++
			}
			if worst > 250 {
				t.Errorf("seed %#x, %s: %v", seed, name, s)
			}
		}
	}
	// By chance alone it would be 36 %.
	if uneven*100 > tries {
		t.Errorf("more than 5 %% uneven in %d of %d cases", uneven, tries)
	}
}

// Flows that differ at random differ by chance: shares of 1250 by 33 (one standard
// deviation); 200,000 flows are even within 5 %.
func TestRandomFlowsAreSpreadAsByChance(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	seed := fib.FlowSeed(r.Uint64())
	for name, b := range map[string][]byte{
		"IPv4": from4(ip4{dst: "10.6.0.1"}).Data[l3:], "IPv6": from6(ip6{dst: "2001:db8:6::1"}).Data[l3:],
	} {
		b = slices.Clone(b)
		fields := b[12:24] // addresses and ports
		if name == "IPv6" {
			fields = b[10:44]
		}
		any := func(int) []byte {
			for i := range fields {
				fields[i] = byte(r.Uint32())
			}
			return b
		}
		if s := spread(seed, 10_000, any); slices.Max(s) > 1375 || slices.Min(s) < 1125 {
			t.Errorf("%s: %v", name, s)
		}
		if s := spread(seed, 200_000, any); slices.Max(s) > 26250 || slices.Min(s) < 23750 {
			t.Errorf("%s, many: %v", name, s)
		}
	}
}

// The second of two routers, which gets an eighth of the flows from the first, has
// to spread just these over all its next hops.
func TestRoutersInARowChooseApart(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	g := eight()
	uneven, tries := 0, 0
	for range 15 {
		first, second := fib.FlowSeed(r.Uint64()), fib.FlowSeed(r.Uint64())
		for _, frame := range sequences() {
			count := make([]int, 8)
			for i := range 10_000 {
				b := frame(i)
				if g.Pick(flow(first, b)).Port == 3 {
					count[g.Pick(flow(second, b)).Port]++
				}
			}
			// About 156 each: by chance less than 100 is one of 100,000.
			if tries++; slices.Min(count) < 100 {
				uneven++
			}
		}
	}
	if uneven*100 > tries {
		t.Errorf("uneven in %d of %d cases", uneven, tries)
	}
}

// The whole way: 10,000 flows through Forward to eight next hops. One is lost, and
// only its flows go elsewhere, evenly; it is back, and takes its share again.
func TestALostNextHopMovesItsFlowsAndNoOther(t *testing.T) {
	world := newWorld()
	world.Seed = fib.FlowSeed(4)
	id, _ := world.Routes.Lookup(ip("10.6.0.1"))
	var hs []fib.NextHop
	for i := range 8 {
		hs = append(hs, fib.NextHop{Port: wan, Via: ip("203.0.113.1"), MAC: packet.MAC{2, 0, 0, 0, 2, byte(i)}, Resolved: true})
		hs[i].Via = hs[i].Via.Next()
		for range i {
			hs[i].Via = hs[i].Via.Next()
		}
	}
	ways := func(hops []fib.NextHop) []byte {
		s := *world
		s.Groups = slices.Clone(world.Groups)
		old := &world.Groups[id]
		s.Groups[id] = fib.Group{Kind: fib.Gateway, Hops: hops, Buckets: fib.Rebucket(old, hops)}
		*world = s
		w := NewForwarder()
		w.Begin(world, 1)
		by := make([]byte, 10_000)
		for i := range by {
			f := from4(ip4{dst: "10.6.0.1", payload: udp(uint16(1024+i), 2000, nil)})
			if v := w.Forward(lan, f); v.Action != Transmit {
				t.Fatal(v)
			}
			by[i] = f.Data[5]
		}
		return by
	}
	shares := func(by []byte) []int {
		n := make([]int, 8)
		for _, h := range by {
			n[h]++
		}
		return n
	}
	all := ways(hs)
	if n := shares(all); slices.Max(n) > 1312 || slices.Min(n) < 1188 {
		t.Errorf("shares %v", n)
	}
	for _, without := range [][]fib.NextHop{
		slices.Delete(slices.Clone(hs), 3, 4),
		func() []fib.NextHop { silent := slices.Clone(hs); silent[3].Resolved = false; return silent }(),
	} {
		lost := ways(without)
		for i := range lost {
			if all[i] != 3 && lost[i] != all[i] {
				t.Fatalf("flow %d moved from next hop %d to %d", i, all[i], lost[i])
			}
		}
		if n := shares(lost); n[3] != 0 || slices.Max(n) > 1600 {
			t.Errorf("shares %v", n)
		}
		back := ways(hs)
		moved := 0
		for i := range back {
			if back[i] != lost[i] {
				if moved++; back[i] != 3 {
					t.Fatalf("flow %d moved from next hop %d to %d", i, lost[i], back[i])
				}
			}
		}
		if moved > 1400 {
			t.Errorf("%d flows moved to the next hop that is back", moved)
		}
		all = back
	}
}

func TestAFlowHasOnePath(t *testing.T) {
	hash := func(f *packet.Frame) uint64 { return flow(1, f.Data[l3:]) }
	a := hash(from4(ip4{dst: "10.6.0.1"}))
	equal(t, "TTL, TOS, payload", hash(from4(ip4{dst: "10.6.0.1", ttl: 3, tos: 4, id: 5, payload: udp(1000, 2000, []byte("other"))})), a)
	first := hash(from4(ip4{dst: "10.6.0.1", flags: 0x2000}))
	equal(t, "all fragments", hash(from4(ip4{dst: "10.6.0.1", flags: 0x0005, payload: random(16)})), first)
	if hash(from4(ip4{dst: "10.6.0.1", payload: udp(1001, 2000, nil)})) == a || flow(2, from4(ip4{dst: "10.6.0.1"}).Data[l3:]) == a {
		t.Error("another flow, or seed, has the same hash")
	}
	plain := hash(from6(ip6{dst: "2001:db8:6::1"}))
	hidden := append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, udp(1000, 2000, nil)...)
	equal(t, "behind an extension header", hash(from6(ip6{dst: "2001:db8:6::1", next: 60, payload: hidden})), plain)
	fragment := func(offset byte, body []byte) *packet.Frame {
		return from6(ip6{dst: "2001:db8:6::1", next: 44, payload: append([]byte{17, 0, 0, offset, 0, 0, 0, 1}, body...)})
	}
	equal(t, "all IPv6 fragments", hash(fragment(8, random(24))), hash(fragment(1, udp(1000, 2000, random(8)))))
}

func TestUpperLayerStepsOverExtensionHeaders(t *testing.T) {
	chain := func(n int) []byte {
		var b []byte
		for i := range n {
			next := byte(60)
			if i == n-1 {
				next = 17
			}
			b = append(b, next, 0, 1, 4, 0, 0, 0, 0)
		}
		return append(b, udp(1, 2, nil)...)
	}
	for _, tt := range []struct {
		name     string
		next     uint8
		body     []byte
		proto    uint8
		off      int
		fragment bool
	}{
		{"none", 17, udp(1, 2, nil), 17, 40, false},
		{"one", 60, chain(1), 17, 48, false},
		{"as many as it steps over", 60, chain(maxHeaders), 17, 40 + 8*maxHeaders, false},
		{"one more", 60, chain(maxHeaders + 1), 60, 40 + 8*maxHeaders + 16, false},
		{"authentication header of 24 bytes", 51, append([]byte{6, 4}, make([]byte, 42)...), 6, 64, false},
		{"first fragment", 44, append([]byte{17, 0, 0, 1, 0, 0, 0, 0}, udp(1, 2, nil)...), 17, 48, true},
		{"later fragment", 44, append([]byte{17, 0, 0, 8, 0, 0, 0, 0}, 1, 2), 17, 50, true},
		{"cut off", 60, []byte{17, 0, 1}, 60, 43, false},
		{"longer than the packet", 60, []byte{17, 9, 1, 4, 0, 0, 0, 0}, 17, 48, false},
	} {
		b := ip6{src: "2001:db8::1", dst: "2001:db8::2", next: tt.next, payload: tt.body}.bytes()
		proto, off, fragment := upperLayer6(b)
		equal(t, tt.name+": protocol", proto, tt.proto)
		equal(t, tt.name+": offset", off, tt.off)
		equal(t, tt.name+": fragment", fragment, tt.fragment)
	}
}

func TestCountersOfForwardersAdd(t *testing.T) {
	a, b := start(), start()
	for _, w := range []*Forwarder{a, b} {
		w.Forward(lan, from4(ip4{dst: "10.66.0.1"}))
		w.Except(lan, from4(ip4{dst: "203.0.113.1", ttl: 1}), except(FaultTTL, 0))
		w.Except(lan, from4(ip4{dst: "10.5.0.10", payload: make([]byte, 200)}), except(FaultFragment, tiny))
		w.Except(lan, tso4("198.51.100.10", 0, random(2000), 1000), except(FaultSegment, narrow))
		equal(t, "before Flush", w.Counters(), Counters{})
		w.Flush()
	}
	sum, other := a.Counters(), b.Counters()
	sum.Add(&other)
	want := Counters{Fragmented: 2, Segmented: 2}
	want.Drops[ReasonBlackhole], want.ICMPSent[ICMPTimeExceeded] = 2, 2
	equal(t, "sum", sum, want)
}
