package daemon

import (
	"sync/atomic"
	"time"

	"vrouter/router"
)

// boundsUS are the upper bounds of a histogram's buckets, in microseconds.
var boundsUS = [...]int64{50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000}

// histogram counts durations; one goroutine observes, any may read.
type histogram struct {
	counts [len(boundsUS) + 1]atomic.Uint64
	max    atomic.Int64 // microseconds
	sum    atomic.Int64 // nanoseconds: most are much shorter than a microsecond
}

func (h *histogram) observe(d time.Duration) {
	us := d.Microseconds()
	i := 0
	for i < len(boundsUS) && us > boundsUS[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
	if us > h.max.Load() {
		h.max.Store(us)
	}
}

func (h *histogram) status() router.HistogramStatus {
	s := router.HistogramStatus{UpToUS: boundsUS[:], MaxUS: h.max.Load(), SumUS: uint64(h.sum.Load() / 1000)}
	for i := range h.counts {
		s.Counts = append(s.Counts, h.counts[i].Load())
	}
	return s
}
