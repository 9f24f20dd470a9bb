package worker

import (
	"math/bits"
	"sync/atomic"
	"time"

	"vrouter/dataplane"
	"vrouter/dataplane/port"
	"vrouter/packet"
)

// SizeBounds are the bounds of Load.Sizes: Sizes[i] is the number of batches of
// up to SizeBounds[i] frames, and of more than the bound before.
var SizeBounds = [...]int{1, 3, 7, 15, 31, 63, port.BatchMax}

// Load is how busy a worker has been since it started. What came in and was
// neither forwarded nor punted was dropped, or caused an ICMP error: see
// Counters.
type Load struct {
	Frames    uint64 // read
	Forwarded uint64 // sent on
	Batches   uint64 // read, not empty
	Sizes     [len(SizeBounds)]uint64
	BusyNS    uint64  // time spent neither waiting nor looking for frames
	UptimeNS  uint64  // since it started
	Busy      float64 // share of the time that it was busy lately: 0 to 1, over a second or more
	Punts     [dataplane.NumClasses]Punts
}

// Punts counts the frames of a class that a worker handed to others, and those
// that these did not take.
type Punts struct{ Accepted, Dropped uint64 }

// load is what a worker tells of itself; it alone writes.
type load struct {
	frames, forwarded, batches, busy atomic.Uint64
	served                           atomic.Int64 // when the last batch was read
	sizes                            [len(SizeBounds)]atomic.Uint64
	accepted, dropped                [dataplane.NumClasses]atomic.Uint64

	// The share of busy time is taken over windows.
	began      time.Time
	windowFrom atomic.Int64  // ns since began
	windowBusy atomic.Uint64 // busy at windowFrom
	share      atomic.Uint64 // of the window before, in millionths
}

// window is how long the share of busy time is taken over, at least.
const window = int64(time.Second)

// read counts a batch of n frames, of which sent were sent on.
func (l *load) read(n, sent int) {
	l.frames.Add(uint64(n))
	l.forwarded.Add(uint64(sent))
	l.batches.Add(1)
	l.sizes[bits.Len(uint(n))-1].Add(1)
}

// worked counts the time that the worker was busy, from then until now.
func (l *load) worked(from, now time.Time) {
	busy := l.busy.Add(uint64(now.Sub(from)))
	at := int64(now.Sub(l.began))
	if elapsed := at - l.windowFrom.Load(); elapsed >= window {
		l.share.Store((busy - l.windowBusy.Load()) * 1e6 / uint64(elapsed))
		l.windowBusy.Store(busy)
		l.windowFrom.Store(at)
	}
}

// lately returns the share of busy time as of at, in ns since began: of the
// window before, or of this one where it has lasted long enough, as it does
// while the worker sleeps.
func (l *load) lately(at int64) float64 {
	from, before, busy := l.windowFrom.Load(), l.windowBusy.Load(), l.busy.Load()
	if elapsed := at - from; elapsed >= window && busy >= before {
		return min(1, float64(busy-before)/float64(elapsed))
	}
	return min(1, float64(l.share.Load())/1e6)
}

// Load returns how busy the worker has been; safe from any goroutine.
func (w *Worker) Load() Load {
	l := &w.load
	at := int64(time.Since(l.began))
	s := Load{
		Frames: l.frames.Load(), Forwarded: l.forwarded.Load(), Batches: l.batches.Load(),
		BusyNS: l.busy.Load(), UptimeNS: uint64(at), Busy: l.lately(at),
	}
	for i := range s.Sizes {
		s.Sizes[i] = l.sizes[i].Load()
	}
	for class := range s.Punts {
		s.Punts[class] = Punts{l.accepted[class].Load(), l.dropped[class].Load()}
	}
	return s
}

// Lost returns the frames that were lost on this worker's receive queues, and on
// its transmit paths; safe from any goroutine while these are open.
func (w *Worker) Lost() (received, sent uint64) {
	for _, in := range *w.inputs.Load() {
		received += in.Receiver.Stats().Dropped()
	}
	for _, out := range *w.outputs.Load() {
		sent += out.Stats().Dropped()
	}
	return received, sent
}

// punt hands a frame to the queue of its class.
func (w *Worker) punt(class dataplane.Class, in uint16, f *packet.Frame) {
	if w.cfg.Queues[class].Put(w.now, in, f) {
		w.load.accepted[class].Add(1)
	} else {
		w.load.dropped[class].Add(1)
	}
}
