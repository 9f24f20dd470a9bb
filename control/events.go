package control

import (
	"sync"

	"vrouter/router"
)

// EventLog keeps the latest events in a ring, for "show events" and for those
// who follow. It is safe for use by several goroutines; Append never waits for
// a reader.
type EventLog struct {
	mu   sync.Mutex
	ring []router.Event // the event with sequence n is at n % len
	last uint64         // sequence of the newest event; 0: none yet
	more chan struct{}  // closed by the next Append
}

// NewEventLog returns an empty log that keeps the latest n events, at least
// one.
func NewEventLog(n int) *EventLog {
	return &EventLog{ring: make([]router.Event, max(n, 1)), more: make(chan struct{})}
}

// Append adds an event, numbers it (from 1, without gaps) and wakes those who
// follow. It returns the number.
func (l *EventLog) Append(e router.Event) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	e.Sequence = l.last
	l.ring[l.last%uint64(len(l.ring))] = e
	close(l.more)
	l.more = make(chan struct{})
	return l.last
}

// Since returns the kept events numbered above since, oldest first, and a
// channel that is closed when there is a newer one.
func (l *EventLog) Since(since uint64) ([]router.Event, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := uint64(len(l.ring))
	if l.last > size {
		since = max(since, l.last-size)
	}
	if since >= l.last {
		return nil, l.more
	}
	events := make([]router.Event, 0, l.last-since)
	for n := since + 1; n <= l.last; n++ {
		events = append(events, l.ring[n%size])
	}
	return events, l.more
}
