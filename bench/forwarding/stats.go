package main

import (
	"math"
	"slices"
)

// median returns the middle of some values, or of an even number the mean of
// the two in the middle; NaN of none. It leaves the list as it is.
func median(list []float64) float64 {
	if len(list) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(list))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// percentile returns the smallest of the sorted values that so many percent of
// them do not exceed (nearest rank); NaN of none.
func percentile(sorted []float64, percent float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	rank := int(math.Ceil(percent / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// ratios pairs two routers' values by round, and divides. A round in which one
// of them has none, or the other's is not above zero, gives none.
func ratios(of, to map[int]float64) (list []float64) {
	for round, v := range of {
		if base, found := to[round]; found && base > 0 {
			list = append(list, v/base)
		}
	}
	slices.Sort(list)
	return list
}

// values returns the values of all rounds in order of round.
func values(m map[int]float64) (list []float64) {
	rounds := make([]int, 0, len(m))
	for round := range m {
		rounds = append(rounds, round)
	}
	slices.Sort(rounds)
	for _, round := range rounds {
		list = append(list, m[round])
	}
	return list
}

// search finds the highest rate that passes, by halving, beginning at first: at
// most tries trials, and no nearer than 2 %. It returns 0 where none passed.
func search(first, top float64, tries int, passes func(rate float64) bool) (best float64) {
	const near = 0.02
	low, high, rate := 0.0, top, min(first, top)
	for range tries {
		if passes(rate) {
			low = rate
			if rate >= top {
				break
			}
		} else {
			high = rate
		}
		if high-low <= near*high {
			break
		}
		rate = (low + high) / 2
		if low == 0 {
			rate = high / 1.5 // nothing passed yet: the answer is near the first more often than near 0
		}
	}
	return low
}
