package worker

import (
	"testing"
	"time"

	"vrouter/dataplane"
	"vrouter/dataplane/port"
	"vrouter/packet"
)

func TestBatchesAreCountedBySize(t *testing.T) {
	for size := 1; size <= port.BatchMax; size++ {
		var l load
		l.read(size, size/2)
		want := 0
		for SizeBounds[want] < size {
			want++
		}
		for i := range l.sizes {
			if n := l.sizes[i].Load(); (n == 1) != (i == want) {
				t.Errorf("a batch of %d is counted %d times up to %d", size, n, SizeBounds[i])
			}
		}
		if l.frames.Load() != uint64(size) || l.forwarded.Load() != uint64(size/2) || l.batches.Load() != 1 {
			t.Errorf("a batch of %d counts as %d frames", size, l.frames.Load())
		}
	}
}

// Time is given here, so that the test does not depend on how fast it runs.
func TestTheShareOfBusyTime(t *testing.T) {
	start := time.Now()
	l := load{began: start}
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	share := func(ms int) float64 { return l.lately(int64(time.Duration(ms) * time.Millisecond)) }
	expect := func(what string, ms int, want float64) {
		t.Helper()
		if got := share(ms); got < want-0.001 || got > want+0.001 {
			t.Errorf("%s: %.3f, want %.3f", what, got, want)
		}
	}
	expect("at once", 0, 0)
	for ms := 0; ms < 1000; ms += 100 { // a quarter of the time
		l.worked(at(ms), at(ms+25))
	}
	expect("before a window is over", 999, 0)
	l.worked(at(1000), at(1000))
	expect("a quarter", 1500, 0.25)
	for ms := 1000; ms < 2000; ms += 10 { // a flood that never ends
		l.worked(at(ms), at(ms+10))
	}
	expect("a flood", 2001, 1)
	expect("a flood, then sleep: still the window before", 2500, 1)
	expect("asleep since", 4000, 0)
	l.worked(at(6000), at(6400)) // a window that has lasted for four seconds
	expect("little, after a long sleep", 6400, 0.4/4.4)
}

func TestPuntsAndLossesAreToldByWorker(t *testing.T) {
	w := newWorld()
	w.queues[dataplane.ClassARP] = NewQueue(ClassLimit{Frames: 2, PerSecond: 1 << 30, BurstExtra: 4096}, func() {})
	worker := w.worker(t)
	worker.serve(lan, []packet.Frame{arpRequest(), arpRequest(), arpRequest(), advertisement(), datagram("198.51.100.7", 64, 1, 20)})
	l := worker.Load()
	if l.Punts[dataplane.ClassARP] != (Punts{2, 1}) || l.Punts[dataplane.ClassVRRP] != (Punts{1, 0}) || l.Punts[dataplane.ClassND] != (Punts{}) {
		t.Errorf("punts %v", l.Punts)
	}
	if l.Frames != 5 || l.Forwarded != 1 || l.UptimeNS == 0 {
		t.Errorf("load %+v", l)
	}
	if received, sent := worker.Lost(); received != 0 || sent != 0 {
		t.Errorf("lost %d, %d", received, sent)
	}
	for range 3 {
		batch := make([]packet.Frame, 4096)
		for i := range batch {
			batch[i] = datagram("198.51.100.7", 64, i, 20)
		}
		w.ports[lan].Inject(0, batch...)
	}
	if received, _ := worker.Lost(); received == 0 {
		t.Error("a full receive queue is not told of")
	}
}

// Where frames come without end the worker never has nothing to do, and tells of
// its load all the same.
func TestTheLoadIsToldDuringAFlood(t *testing.T) {
	w := newWorld()
	worker := w.run(t)
	batch := []packet.Frame{arpRequest(), arpRequest(), arpRequest(), arpRequest()}
	await(t, "busy time", func() bool {
		w.ports[lan].Inject(0, batch...)
		l := worker.Load()
		return l.BusyNS > 0 && l.Batches > 0 && l.BusyNS <= l.UptimeNS
	})
}
