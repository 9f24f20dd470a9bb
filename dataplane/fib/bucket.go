package fib

import (
	"math/bits"
	"slices"
)

// A group with several next hops spreads flows by buckets: that of the upper k
// bits of the hash belongs to one next hop, and a change of next hops reassigns as few buckets
// as can be (resilient hashing). Shares are even within one part in
// bucketsPerHop.
const (
	minBuckets    = 256
	bucketsPerHop = 32
)

// MaxHops is the most next hops of a group.
const MaxHops = 64

// BuildBuckets returns the buckets of a new group with that many usable next
// hops, at most MaxHops; nil for fewer than two.
func BuildBuckets(hops int) []uint8 {
	return Rebucket(nil, make([]NextHop, hops))
}

// Rebucket returns the buckets of a group that had the next hops and buckets
// of old, which may be nil, and now has hops, at most MaxHops; nil for fewer
// than two. Only resolved next hops get buckets, unless there is none. A next
// hop that is gone, or is resolved no longer, loses its buckets to the others,
// whose own stay; one that is new takes its share evenly from all.
func Rebucket(old *Group, hops []NextHop) []uint8 {
	if len(hops) < 2 {
		return nil
	}
	if old == nil {
		old = &Group{}
	}
	usable := usableHops(hops)
	buckets := make([]uint8, max(bucketCount(len(hops)), len(old.Buckets)))
	share := newShares(len(buckets), len(hops), usable)
	var free []int
	for b := range buckets {
		i := old.heir(b, len(buckets), hops)
		if i < 0 || !share.take(i) {
			free = append(free, b)
			continue
		}
		buckets[b] = uint8(i)
	}
	// Neighbouring buckets to one next hop: see FlowSeed.
	for _, i := range usable {
		for len(free) > 0 && share.take(i) {
			buckets[free[0]] = uint8(i)
			free = free[1:]
		}
	}
	return buckets
}

// bucketCount returns the number of buckets for that many next hops, a power
// of two.
func bucketCount(hops int) int {
	n := minBuckets
	for n < hops*bucketsPerHop {
		n *= 2
	}
	return n
}

// usableHops returns the indices of the resolved next hops, or of all where
// none is resolved.
func usableHops(hops []NextHop) []int {
	none := !slices.ContainsFunc(hops, func(h NextHop) bool { return h.Resolved })
	var usable []int
	for i := range hops {
		if none || hops[i].Resolved {
			usable = append(usable, i)
		}
	}
	return usable
}

// heir returns the index in hops of the next hop that has in the group what is
// bucket b of so many, or -1. A group that had fewer buckets used fewer bits of
// the same hash.
func (g *Group) heir(b, of int, hops []NextHop) int {
	if len(g.Hops) == 0 {
		return -1
	}
	owner := &g.Hops[0]
	if g.Buckets != nil {
		owner = &g.Hops[g.Buckets[b*len(g.Buckets)/of]]
	}
	return slices.IndexFunc(hops, func(h NextHop) bool { return h.Port == owner.Port && h.Via == owner.Via })
}

// shares gives out buckets to next hops, evenly: the numbers of two next hops
// differ by at most one.
type shares struct {
	left  []int // by next hop: of its even share; -1: it takes no more
	spare int   // next hops that may have one above the even share
}

func newShares(buckets, hops int, usable []int) shares {
	s := shares{left: make([]int, hops), spare: buckets % len(usable)}
	for i := range s.left {
		s.left[i] = -1
	}
	for _, i := range usable {
		s.left[i] = buckets / len(usable)
	}
	return s
}

// take gives next hop i one more bucket, if it may have it.
func (s *shares) take(i int) bool {
	switch {
	case s.left[i] > 0:
		s.left[i]--
	case s.left[i] == 0 && s.spare > 0:
		s.left[i], s.spare = -1, s.spare-1
	default:
		return false
	}
	return true
}

// Pick returns the next hop for a flow with hash h; the group has Buckets.
func (g *Group) Pick(h uint64) *NextHop {
	bucket, _ := bits.Mul64(h, uint64(len(g.Buckets)))
	return &g.Hops[g.Buckets[bucket]]
}
