package sim

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestEventsComeInOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var q events
	var want []event
	for i := range 2000 {
		e := event{at: r.Int64N(50), order: uint64(i)}
		want = append(want, e)
		q.push(e)
		if r.IntN(3) == 0 {
			slices.SortFunc(want, func(a, b event) int {
				if a.before(&b) {
					return -1
				}
				return 1
			})
			if got := q.pop(); got.order != want[0].order {
				t.Fatalf("got %d at %d, want %d at %d", got.order, got.at, want[0].order, want[0].at)
			}
			want = want[1:]
		}
	}
}
