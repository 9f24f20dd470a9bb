package fib

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"vrouter/packet"
)

func hops(resolved ...bool) []NextHop {
	var hs []NextHop
	for i, ok := range resolved {
		hs = append(hs, NextHop{Port: uint16(i % 2), Via: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Resolved: ok})
	}
	return hs
}

func allResolved(n int) []NextHop { return hops(slices.Repeat([]bool{true}, n)...) }

// shareOf returns how many buckets each next hop has.
func shareOf(buckets []uint8, n int) []int {
	count := make([]int, n)
	for _, i := range buckets {
		count[i]++
	}
	return count
}

func TestBucketsAreEven(t *testing.T) {
	for n := 2; n <= MaxHops; n++ {
		b := BuildBuckets(n)
		if len(b)&(len(b)-1) != 0 {
			t.Fatalf("%d hops: %d buckets", n, len(b))
		}
		if s := shareOf(b, n); slices.Max(s)-slices.Min(s) > 1 || slices.Min(s) < bucketsPerHop {
			t.Errorf("%d hops: shares %v", n, s)
		}
	}
	for n := range 2 {
		if BuildBuckets(n) != nil {
			t.Errorf("buckets for %d next hops", n)
		}
	}
}

func TestALostNextHopMovesOnlyItsOwnFlows(t *testing.T) {
	for n := 2; n <= 16; n++ {
		for lost := range n {
			full := allResolved(n)
			old := &Group{Hops: full, Buckets: BuildBuckets(n)}
			left := slices.Delete(slices.Clone(full), lost, lost+1)
			if n == 2 {
				left = append(left, NextHop{Via: netip.MustParseAddr("192.0.2.99")}) // never resolved
			}
			now := &Group{Hops: left, Buckets: Rebucket(old, left)}
			checkMoves(t, old, now, func(via netip.Addr) bool { return via == full[lost].Via })

			silent := slices.Clone(full) // still listed, but not resolved
			silent[lost].Resolved = false
			now = &Group{Hops: silent, Buckets: Rebucket(old, silent)}
			checkMoves(t, old, now, func(via netip.Addr) bool { return via == full[lost].Via })
			if s := shareOf(now.Buckets, n); s[lost] != 0 {
				t.Errorf("an unresolved next hop has %d buckets", s[lost])
			}
		}
	}
}

// checkMoves fails where a flow moved off a next hop that is not lost.
func checkMoves(t *testing.T, old, now *Group, lost func(netip.Addr) bool) {
	t.Helper()
	usable := 0
	for h := range uint64(4096) {
		was, is := old.Pick(h<<52), now.Pick(h<<52)
		if was.Via != is.Via && !lost(was.Via) {
			t.Fatalf("flow %d moved from %s to %s", h, was.Via, is.Via)
		}
	}
	var shares []int
	for i, s := range shareOf(now.Buckets, len(now.Hops)) {
		if now.Hops[i].Resolved {
			usable++
			shares = append(shares, s)
		}
	}
	if slices.Max(shares)-slices.Min(shares) > 1 {
		t.Errorf("shares %v", shares)
	}
}

func TestANewNextHopTakesItsShareEvenlyAndNoMore(t *testing.T) {
	for n := 2; n < 16; n++ {
		old := &Group{Hops: allResolved(n), Buckets: BuildBuckets(n)}
		hs := allResolved(n + 1)
		now := &Group{Hops: hs, Buckets: Rebucket(old, hs)}
		if s := shareOf(now.Buckets, n+1); slices.Max(s)-slices.Min(s) > 1 {
			t.Errorf("shares %v", s)
		}
		moved := 0
		size := max(len(old.Buckets), len(now.Buckets))
		for h := range uint64(size) {
			h <<= 64 - bits.Len(uint(size-1))
			if was, is := old.Pick(h), now.Pick(h); was.Via != is.Via {
				moved++
				if is.Via != hs[n].Via && size == len(old.Buckets) {
					t.Fatalf("flow %d moved between old next hops", h)
				}
			}
		}
		if moved > size/(n+1)+n+1 {
			t.Errorf("%d next hops: %d of %d buckets moved", n, moved, size)
		}
	}
}

func TestASecondNextHopTakesHalf(t *testing.T) {
	one := allResolved(1)
	two := allResolved(2)
	if s := shareOf(Rebucket(&Group{Hops: one}, two), 2); s[0] != s[1] {
		t.Errorf("shares %v", s)
	}
}

func TestWithoutAResolvedNextHopAllHaveBuckets(t *testing.T) {
	b := Rebucket(nil, hops(false, false, false))
	if s := shareOf(b, 3); slices.Min(s) < 80 {
		t.Errorf("shares %v", s)
	}
	b = Rebucket(nil, hops(false, true, false))
	if s := shareOf(b, 3); s[1] != len(b) {
		t.Errorf("shares %v", s)
	}
}

// A model test: whatever the history, shares stay even and nobody's buckets
// move without need.
func TestRebucketStaysEvenThroughAnyHistory(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	pool := allResolved(20)
	old := &Group{}
	for range 2000 {
		var hs []NextHop
		for _, h := range pool {
			if h.Resolved = r.IntN(3) > 0; r.IntN(2) == 0 {
				hs = append(hs, h)
			}
		}
		now := &Group{Hops: hs, Buckets: Rebucket(old, hs)}
		if len(hs) >= 2 {
			usable := usableHops(hs)
			s := shareOf(now.Buckets, len(hs))
			for i := range hs {
				even := len(now.Buckets) / len(usable)
				if slices.Contains(usable, i) && (s[i] < even || s[i] > even+1) || !slices.Contains(usable, i) && s[i] != 0 {
					t.Fatalf("shares %v of %v", s, hs)
				}
			}
		}
		old = now
	}
}

func TestNeighborsAreAMap(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	model := map[netip.Addr]packet.MAC{}
	var n *Neighbors
	if _, ok := n.Lookup(netip.MustParseAddr("192.0.2.1")); ok || n.Len() != 0 {
		t.Error("an empty table has a neighbour")
	}
	addr := func() netip.Addr {
		if r.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{192, 0, byte(r.IntN(4)), byte(r.Uint32())})
		}
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 14: byte(r.IntN(4)), 15: byte(r.Uint32())})
	}
	for range 20000 {
		a := addr()
		kept, was := n, model[a]
		if r.IntN(5) < 3 {
			mac := packet.MAC{2, byte(r.Uint32()), byte(r.Uint32())}
			model[a], n = mac, n.With(a, mac)
		} else {
			delete(model, a)
			n = n.Without(a)
		}
		if mac, ok := kept.Lookup(a); ok != (was != packet.MAC{}) || mac != was {
			t.Fatal("an older table changed")
		}
		if n.Len() != len(model) {
			t.Fatalf("%d neighbours, want %d", n.Len(), len(model))
		}
		probe := addr()
		mac, ok := n.Lookup(probe)
		want, present := model[probe]
		if ok != present || mac != want {
			t.Fatalf("%s: %v %v, want %v %v", probe, mac, ok, want, present)
		}
		if probe.Is4() {
			b := probe.As4()
			if got, _ := n.Lookup4(binary.BigEndian.Uint32(b[:])); got != want {
				t.Fatalf("%s: %v, want %v", probe, got, want)
			}
		}
	}
	for _, bucket := range n.buckets {
		if len(bucket) > 16 {
			t.Errorf("a bucket of %d neighbours", len(bucket))
		}
	}
}

func TestOwnSetNeverDeniesAMember(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var s OwnSet
	hits := 0
	for range 20 {
		a := netip.AddrFrom4([4]byte{192, 0, 2, byte(r.Uint32())})
		b := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(r.Uint32())})
		s.Add(a)
		s.Add(b)
		four, hi, lo := a.As4(), uint64(0), uint64(0)
		if hi, lo = halves(b); !s.May4(binary.BigEndian.Uint32(four[:])) || !s.May6(hi, lo) {
			t.Fatal("a member is denied")
		}
	}
	for range 10000 {
		if s.May4(r.Uint32()) {
			hits++
		}
	}
	if hits > 1500 {
		t.Errorf("%d of 10000 strangers may be members", hits)
	}
	var none OwnSet
	if none.May4(0xc0000201) || none.May6(1, 2) {
		t.Error("the empty set has members")
	}
}

func TestIsMasterByVRIDAndFamily(t *testing.T) {
	p := Port{}
	p.Masters4[0], p.Masters6[3] = 1<<10, 1<<63 // VRIDs 10 and 255
	for mac, want := range map[packet.MAC]bool{
		{0, 0, 0x5e, 0, 1, 10}:  true,
		{0, 0, 0x5e, 0, 2, 10}:  false,
		{0, 0, 0x5e, 0, 2, 255}: true,
		{0, 0, 0x5e, 0, 1, 255}: false,
		{0, 0, 0x5e, 0, 3, 10}:  false,
		{0, 0, 0x5e, 1, 1, 10}:  false,
		{2, 0, 0x5e, 0, 1, 10}:  false,
	} {
		if p.IsMaster(mac) != want {
			t.Errorf("%s: %v", mac, !want)
		}
	}
}

func TestWhatIsWatchedIsNotServed(t *testing.T) {
	p := Port{}
	p.Watched4[0], p.Masters4[0], p.Watched6[1] = 1<<10, 1<<11, 1<<1
	for mac, want := range map[packet.MAC]bool{
		{0, 0, 0x5e, 0, 1, 10}: true,
		{0, 0, 0x5e, 0, 1, 11}: false,
		{0, 0, 0x5e, 0, 2, 65}: true,
		{0, 0, 0x5e, 0, 2, 10}: false,
		{0, 0, 0x5e, 0, 3, 10}: false,
		{1, 0, 0x5e, 0, 1, 10}: false,
	} {
		if p.IsWatched(mac) != want {
			t.Errorf("%s: %v", mac, !want)
		}
		if p.IsWatched(mac) && p.IsMaster(mac) {
			t.Errorf("%s is served", mac)
		}
	}
}

func TestALeaseHoldsUntilItsTime(t *testing.T) {
	var l Lease
	if l.Valid(1) {
		t.Error("a lease holds before it is renewed")
	}
	if l.Renew(100); !l.Valid(99) || l.Valid(100) {
		t.Error("a lease to 100")
	}
	if !(*Lease)(nil).Valid(1 << 62) {
		t.Error("no lease is no limit")
	}
}

func BenchmarkNeighbors(b *testing.B) {
	var n *Neighbors
	for i := range 1000 {
		n = n.With(netip.AddrFrom16([16]byte{0x20, 1, 14: byte(i >> 8), 15: byte(i)}), packet.MAC{2})
	}
	hi, lo := halves(netip.AddrFrom16([16]byte{0x20, 1, 14: 1, 15: 7}))
	for b.Loop() {
		n.Lookup6(hi, lo)
	}
}
