package dataplane

import "sync/atomic"

// ICMPError sorts the ICMP errors that the router sends.
type ICMPError uint8

// The ICMP errors, of both families.
const (
	ICMPTimeExceeded ICMPError = iota
	ICMPUnreachable
	ICMPTooBig
	NumICMPErrors = iota
)

// String returns the error's name in counters.
func (e ICMPError) String() string {
	return [...]string{"time_exceeded", "unreachable", "too_big"}[e]
}

// Counters are the counts of one Forwarder. Every frame that is given to
// Forward is transmitted, punted, counted in Drops, or the cause of an ICMP
// error that is counted in ICMPSent.
type Counters struct {
	Drops          [NumReasons]uint64    // by Reason
	ICMPSent       [NumICMPErrors]uint64 // by ICMPError
	ICMPSuppressed [NumICMPErrors]uint64 // by ICMPError; counted in Drops as well
	Fragmented     uint64                // packets that were cut into fragments
	Segmented      uint64                // GSO frames that were cut into packets
	Coalesced      uint64                // GSO frames that were made of packets
}

// Add adds the counts of another Forwarder.
func (c *Counters) Add(o *Counters) {
	for i, n := range o.Drops {
		c.Drops[i] += n
	}
	for i := range o.ICMPSent {
		c.ICMPSent[i] += o.ICMPSent[i]
		c.ICMPSuppressed[i] += o.ICMPSuppressed[i]
	}
	c.Fragmented += o.Fragmented
	c.Segmented += o.Segmented
	c.Coalesced += o.Coalesced
}

// sharedCounters is a copy of Counters that other goroutines may read.
type sharedCounters struct {
	drops            [NumReasons]atomic.Uint64
	sent, suppressed [NumICMPErrors]atomic.Uint64

	fragmented, segmented, coalesced atomic.Uint64
}

// Flush publishes the counters; a worker calls it once a batch. It costs
// nothing where nothing but Transmit and Punt has happened.
func (w *Forwarder) Flush() {
	if !w.touched {
		return
	}
	w.touched = false
	for i, n := range w.counts.Drops {
		w.shared.drops[i].Store(n)
	}
	for i := range w.counts.ICMPSent {
		w.shared.sent[i].Store(w.counts.ICMPSent[i])
		w.shared.suppressed[i].Store(w.counts.ICMPSuppressed[i])
	}
	w.shared.fragmented.Store(w.counts.Fragmented)
	w.shared.segmented.Store(w.counts.Segmented)
	w.shared.coalesced.Store(w.counts.Coalesced)
}

// Counters returns the counters as of the last Flush. It may be called from
// any goroutine.
func (w *Forwarder) Counters() Counters {
	var c Counters
	for i := range c.Drops {
		c.Drops[i] = w.shared.drops[i].Load()
	}
	for i := range c.ICMPSent {
		c.ICMPSent[i] = w.shared.sent[i].Load()
		c.ICMPSuppressed[i] = w.shared.suppressed[i].Load()
	}
	c.Fragmented, c.Segmented = w.shared.fragmented.Load(), w.shared.segmented.Load()
	c.Coalesced = w.shared.coalesced.Load()
	return c
}
