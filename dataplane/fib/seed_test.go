package fib

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

// quotientsOf returns the continued fraction of x/2^64 by big numbers.
func quotientsOf(x uint64, n int) (list []uint64) {
	a, b := new(big.Int).Lsh(big.NewInt(1), 64), new(big.Int).SetUint64(x)
	for len(list) < n && b.Sign() > 0 {
		q, r := new(big.Int).QuoRem(a, b, new(big.Int))
		if !q.IsUint64() {
			return append(list, 1<<63)
		}
		list = append(list, q.Uint64())
		a, b = b, r
	}
	return list
}

func TestFractionsAreFound(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	numbers := []uint64{0, 1, 2, 3, 1 << 63, 1<<63 + 1, 1 << 61, 0x5555555555555555, 0x5555555555555556, ^uint64(0), 0x9e3779b97f4a7c15}
	for range 20000 {
		numbers = append(numbers, r.Uint64(), r.Uint64()>>r.IntN(64))
	}
	found := map[bool]int{}
	for _, x := range numbers {
		want := x > 1
		list := quotientsOf(x, quotients+1)
		for _, q := range list[:min(len(list), quotients)] {
			want = want && q <= worstQuotient
		}
		want = want && len(list) > quotients
		if got := farFromFractions(x); got != want {
			t.Fatalf("%#x: %v, want %v: %v", x, got, want, list)
		}
		found[want]++
	}
	if found[true] < 1000 || found[false] < 1000 {
		t.Errorf("%v", found)
	}
}

// A seed is a good one, near the random number that it begins with, and found
// soon.
func TestSeedsAreGoodAndDiffer(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	seen := map[uint64]bool{}
	for range 500 {
		random := r.Uint64()
		seed := FlowSeed(random)
		if seed%2 == 0 || seed-random > 1<<20 && seed != random|1 || seen[seed] || seed != FlowSeed(random) {
			t.Errorf("seed %#x of %#x", seed, random)
		}
		seen[seed] = true
		for _, s := range flowSteps {
			if !farFromFractions(s.factor * seed << s.up) {
				t.Errorf("seed %#x is bad for step %#x", seed, s.factor)
			}
		}
	}
}
