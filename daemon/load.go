package daemon

import (
	"math"

	"vrouter/dataplane"
	"vrouter/dataplane/worker"
	"vrouter/router"
)

// workerStatus is what a worker has done, and what became of the frames that it
// did not forward.
func workerStatus(number int, w *worker.Worker, c *dataplane.Counters) router.WorkerStatus {
	load := w.Load()
	s := router.WorkerStatus{
		Worker: number, Forwarded: load.Forwarded, Batches: load.Batches, BusyNS: load.BusyNS,
		Frames: load.Frames, UptimeNS: load.UptimeNS, Busy: math.Round(load.Busy*1000) / 10,
		BatchSizes: router.BatchesStatus{UpTo: worker.SizeBounds[:], Counts: load.Sizes[:]},
		Punts:      map[string]router.PuntStatus{}, Drops: map[string]uint64{},
		Fragmented: c.Fragmented, Segmented: c.Segmented, Coalesced: c.Coalesced,
	}
	s.Lost.Receiving, s.Lost.Sending = w.Lost()
	for class, n := range load.Punts {
		if n != (worker.Punts{}) {
			s.Punts[dataplane.Class(class).String()] = router.PuntStatus(n)
		}
	}
	for reason, n := range c.Drops {
		if n > 0 {
			s.Drops[dataplane.Reason(reason).String()] = n
		}
	}
	return s
}
