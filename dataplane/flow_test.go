package dataplane

import (
	"slices"
	"testing"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// spread sends n flows to a group of 8 next hops and returns their shares.
func spread(n int, frame func(i int) []byte) []int {
	g := fib.Group{Hops: make([]fib.NextHop, 8), Buckets: fib.BuildBuckets(8)}
	count := make([]int, 8)
	for i := range n {
		g.Hops[g.Buckets[flow(99, frame(i))&uint64(len(g.Buckets)-1)]].Port++
	}
	for i := range count {
		count[i] = int(g.Hops[i].Port)
	}
	return count
}

// Chance alone makes shares of 1250 differ by 33 (one standard deviation);
// within 10 % are three of them, whichever field it is that differs.
func TestFlowsAreSpreadEvenly(t *testing.T) {
	v4, v6 := from4(ip4{dst: "10.6.0.1"}).Data[l3:], from6(ip6{dst: "2001:db8:6::1"}).Data[l3:]
	put := func(b []byte, at, i int) []byte {
		b = slices.Clone(b)
		b[at], b[at+1] = byte(i>>8), byte(i)
		return b
	}
	for name, frame := range map[string]func(i int) []byte{
		"IPv4 source":           func(i int) []byte { return put(v4, 14, i) },
		"IPv4 destination":      func(i int) []byte { return put(v4, 18, i) },
		"IPv4 source port":      func(i int) []byte { return put(v4, 20, i) },
		"IPv4 destination port": func(i int) []byte { return put(v4, 22, i) },
		"IPv6 source":           func(i int) []byte { return put(v6, 22, i) },
		"IPv6 prefix":           func(i int) []byte { return put(v6, 12, i) },
		"IPv6 destination":      func(i int) []byte { return put(v6, 38, i) },
		"IPv6 source port":      func(i int) []byte { return put(v6, 40, i) },
		"both ports alike":      func(i int) []byte { return put(put(v4, 20, i), 22, i) },
	} {
		if s := spread(10000, frame); slices.Max(s) > 1375 || slices.Min(s) < 1125 {
			t.Errorf("%s: %v", name, s)
		}
	}
	if s := spread(200000, func(i int) []byte { return put(put(v4, 20, i), 14, i>>16) }); slices.Max(s) > 26250 || slices.Min(s) < 23750 {
		t.Errorf("many flows, within 5 %%: %v", s)
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
