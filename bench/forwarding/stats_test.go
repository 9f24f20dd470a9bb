package main

import (
	"math"
	"slices"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		list []float64
		want float64
	}{
		{[]float64{3}, 3},
		{[]float64{9, 1, 5}, 5},
		{[]float64{9, 1, 5, 100}, 7},
	} {
		before := slices.Clone(c.list)
		if got := median(c.list); got != c.want {
			t.Errorf("median of %v: %v, want %v", c.list, got, c.want)
		}
		if !slices.Equal(before, c.list) {
			t.Errorf("%v became %v", before, c.list)
		}
	}
	if !math.IsNaN(median(nil)) {
		t.Error("nothing has a median")
	}
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	var list []float64
	for i := 1; i <= 200; i++ {
		list = append(list, float64(i))
	}
	for percent, want := range map[float64]float64{0: 1, 50: 100, 99: 198, 99.9: 200, 100: 200} {
		if got := percentile(list, percent); got != want {
			t.Errorf("%v%%: %v, want %v", percent, got, want)
		}
	}
	if got := percentile([]float64{4}, 50); got != 4 {
		t.Errorf("of one value: %v", got)
	}
	if !math.IsNaN(percentile(nil, 50)) {
		t.Error("nothing has a percentile")
	}
}

func TestRatiosArePairedByRound(t *testing.T) {
	of := map[int]float64{0: 10, 1: 30, 2: 7, 4: 8}
	to := map[int]float64{0: 20, 1: 20, 2: 0, 3: 5}
	if got := ratios(of, to); !slices.Equal(got, []float64{0.5, 1.5}) {
		t.Errorf("%v: rounds 2 (no base), 3 and 4 (not both) give none", got)
	}
	if got := values(of); !slices.Equal(got, []float64{10, 30, 7, 8}) {
		t.Errorf("values in order of round: %v", got)
	}
}

func TestSearchFindsTheHighestRateThatPasses(t *testing.T) {
	for _, limit := range []float64{40_000, 150_000, 700_000, 990_000} {
		trials := 0
		got := search(500_000, 1_000_000, 20, func(rate float64) bool {
			trials++
			return rate <= limit
		})
		if got > limit || got < limit*0.97 || trials > 20 {
			t.Errorf("limit %v: %v after %d trials", limit, got, trials)
		}
	}
	if got := search(500_000, 1_000_000, 20, func(float64) bool { return true }); got < 980_000 {
		t.Errorf("where all pass: %v", got)
	}
	if got := search(500_000, 1_000_000, 5, func(float64) bool { return false }); got != 0 {
		t.Errorf("where none passes: %v", got)
	}
	trials := 0
	search(1, 2, 3, func(float64) bool { trials++; return false })
	if trials != 3 {
		t.Errorf("%d trials, 3 allowed", trials)
	}
}
