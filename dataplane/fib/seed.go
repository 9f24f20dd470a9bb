package fib

import "math/bits"

// The hash of a flow is a sum of products: each part of the flow's key times a
// constant of its own, and all times the seed, of which the upper bits choose.
// Flows that differ in one part in sequence, as the connections of a program do
// in their ports and the hosts of a network in their addresses, are spread as the
// multiples of an irrational number are around a circle: more evenly than by
// chance, which gives one next hop of eight 5 % too much or too little of 10,000
// flows in a third of all cases. Flows that differ at random are spread at random.
// Another seed is another hash, so that routers one behind the other do not all
// choose alike.
const (
	FlowSource         = 0x9e3779b97f4a7c15 // IPv4 address; lower half of an IPv6 address
	FlowDestination    = 0xd1342543de82ef95
	FlowPorts          = 0xaf251af3b0f025b5 // source port and destination port, 16 bits each
	FlowProtocol       = 0xb564ef22ec7aece5
	FlowSourceNet      = 0xff51afd7ed558ccd // upper half of an IPv6 address
	FlowDestinationNet = 0xc4ceb9fe1a85ec53
)

// flowSteps are what lies between flows that differ in one part of the key: by a
// constant, and so many bits up.
var flowSteps = [...]struct {
	factor uint64
	up     int
}{
	{FlowSource, 0},
	{FlowDestination, 0},
	{FlowPorts, 0},
	{FlowPorts, 16},
	{FlowSourceNet, 0},
	{FlowDestinationNet, 0},
	{FlowSource, 8},
	{FlowDestination, 8},
	{FlowSourceNet, 16},
	{FlowDestinationNet, 16}, // neighbouring networks
}

// flowGrids are pairs of parts in which flows often differ at a time: the hosts of
// a network with so many connections each, to the hosts of another.
var flowGrids = [...][2]int{{0, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 3}}

// A multiple, up to worstMultiple, of both steps of a grid must not be near a
// whole number, nearer than 1/nearest: rows and columns would fall on each other.
const (
	worstMultiple = 24
	nearest       = 32
)

// worstQuotient and quotients bound how near to a fraction with a small
// denominator a step may be: flows in sequence would come back to the same few
// buckets.
const (
	worstQuotient = 40
	quotients     = 9
)

// FlowSeed returns a good Snapshot.Seed: the first at or after random with which
// no sequence of flows is spread badly.
func FlowSeed(random uint64) uint64 {
	for seed := random | 1; ; seed += 2 {
		good := true
		for _, s := range flowSteps {
			good = good && farFromFractions(s.factor*seed<<s.up)
		}
		for _, g := range flowGrids {
			a, b := flowSteps[g[0]], flowSteps[g[1]]
			good = good && farApart(a.factor*seed<<a.up, b.factor*seed<<b.up)
		}
		if good {
			return seed
		}
	}
}

// farApart reports whether no small multiple of x/2^64 and y/2^64 is near whole
// numbers.
func farApart(x, y uint64) bool {
	const near = 1<<64/nearest - 1
	for m := uint64(1); m <= worstMultiple; m++ {
		if toWhole(m*x) < near && toWhole(m*y) < near {
			return false
		}
	}
	return true
}

// toWhole is the distance of x/2^64 from a whole number.
func toWhole(x uint64) uint64 { return min(x, -x) }

// farFromFractions looks at the beginning of the continued fraction of x/2^64: a
// large number in it means that a simple fraction is near.
func farFromFractions(x uint64) bool {
	if x < 2 {
		return false
	}
	q, b := bits.Div64(1, 0, x) // 2^64 needs 65 bits
	for n, a := 1, x; ; n++ {
		if q > worstQuotient {
			return false
		}
		if b == 0 || n == quotients {
			return b != 0
		}
		q, a, b = a/b, b, a%b
	}
}
