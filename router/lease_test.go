package router

import (
	"testing"
	"time"
)

// The lease lasts two intervals, but hardly longer than a drain.
func TestLeaseEndsWithADrain(t *testing.T) {
	s := clauseRouter(t, clauseBackup, masterAfter)
	const lease = 2 * time.Second // of intervals of 1 s
	if got := s.router.LeaseEnd(s.now).Sub(s.now); got != lease {
		t.Fatalf("%v without a drain, want %v", got, lease)
	}
	s.router.Stop(s.now, "test")
	drained := s.now.Add(time.Second) // the default of drain
	for _, after := range []time.Duration{0, 500 * time.Millisecond, 999 * time.Millisecond} {
		if got, want := s.router.LeaseEnd(s.now.Add(after)), drained.Add(drainLate); !got.Equal(want) {
			t.Errorf("%v into the drain: %v, want %v", after, got.Sub(s.now), want.Sub(s.now))
		}
	}
	s.advance(1100 * time.Millisecond)
	if got := s.router.LeaseEnd(s.now).Sub(s.now); got != lease {
		t.Errorf("%v after the drain, want %v", got, lease)
	}
}
