// Package sim is a network in virtual time: routers that run the very code of
// package router and package dataplane, switches with MAC tables, hosts, and
// links that lose, delay and break. Everything is decided by a seed, so every
// run can be repeated. Checkers, which share no code with the router, watch
// the wires.
package sim

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// Start is when virtual time begins.
var Start = time.Unix(1_000_000_000, 0).UTC()

// World is the network and its clock. It is one goroutine's.
type World struct {
	Rand  *rand.Rand
	now   time.Time
	queue events
	order uint64

	Switches []*Switch
	Routers  []*Node
	Hosts    []*Host
	flows    []*flow
	Trace    []string

	dense      time.Duration // the period of probes until denseUntil; 0: as always
	denseUntil time.Time

	checks *checker
	// Frames counts what was put on wires; digest is a hash of it all, with
	// the times.
	Frames uint64
	digest hash.Hash64
}

// New returns an empty world.
func New(seed uint64) *World {
	w := &World{Rand: rand.New(rand.NewPCG(seed, 0x6c6162)), now: Start}
	w.checks = newChecker(w)
	return w
}

// Now returns virtual time.
func (w *World) Now() time.Time { return w.now }

// Elapsed returns how much virtual time has passed.
func (w *World) Elapsed() time.Duration { return w.now.Sub(Start) }

// At runs f at a time; what is due at one time runs in the order of calls.
func (w *World) At(t time.Time, f func()) {
	if t.Before(w.now) {
		t = w.now
	}
	w.order++
	w.queue.push(event{int64(t.Sub(Start)), w.order, f})
}

// After runs f after d.
func (w *World) After(d time.Duration, f func()) { w.At(w.now.Add(d), f) }

// Run lets d of virtual time pass.
func (w *World) Run(d time.Duration) {
	end := w.now.Add(d)
	for len(w.queue) > 0 && w.queue[0].at <= int64(end.Sub(Start)) {
		e := w.queue.pop()
		w.now = Start.Add(time.Duration(e.at))
		e.run()
	}
	w.now = end
}

// note adds a line to the trace.
func (w *World) note(format string, args ...any) {
	w.Trace = append(w.Trace, fmt.Sprintf("%9.3f  ", w.Elapsed().Seconds())+fmt.Sprintf(format, args...))
}

// Record starts a digest of all frames with their times (see Digest).
func (w *World) Record() { w.digest = fnv.New64a() }

// Digest returns the hash of all frames since Record.
func (w *World) Digest() uint64 { return w.digest.Sum64() }

// record notes a frame on a wire.
func (w *World) record(l *Link, direction byte, frame []byte) {
	w.Frames++
	if w.digest == nil {
		return
	}
	head := binary.BigEndian.AppendUint64(nil, uint64(w.Elapsed()))
	w.digest.Write(append(head, direction, byte(l.swPort), l.sw.Name[0]))
	w.digest.Write(frame)
}

// chance is true with probability p.
func (w *World) chance(p float64) bool { return p > 0 && w.Rand.Float64() < p }

// Violations returns what the checkers found, in order.
func (w *World) Violations() []string { return w.checks.found }
