package daemon

import (
	"context"
	"log/slog"
	"sync/atomic"

	"vrouter/control"
	"vrouter/router"
)

// noticesWaiting bounds the events that wait to be logged. The control loop
// never waits for a log: a pipe that nobody reads must not delay VRRP.
const noticesWaiting = 1024

// notices writes events to the log and to the control API's event log, from a
// goroutine of its own.
type notices struct {
	log    *slog.Logger
	events *control.EventLog
	queue  chan router.Event
	lost   atomic.Uint64
	done   chan struct{}
}

func newNotices(log *slog.Logger, events *control.EventLog) *notices {
	n := &notices{log: log, events: events, queue: make(chan router.Event, noticesWaiting), done: make(chan struct{})}
	go n.run()
	return n
}

// add takes an event; it never blocks.
func (n *notices) add(e router.Event) {
	n.events.Append(e)
	select {
	case n.queue <- e:
	default:
		n.lost.Add(1)
	}
}

func (n *notices) run() {
	defer close(n.done)
	for e := range n.queue {
		n.log.LogAttrs(context.Background(), level(e), e.Kind,
			slog.String("name", e.Name), slog.String("from", e.From),
			slog.String("to", e.To), slog.String("reason", e.Reason))
	}
}

// level says how loud an event is.
func level(e router.Event) slog.Level {
	switch e.Kind {
	case "duplicate_address":
		return slog.LevelError
	case "freeze":
		return slog.LevelWarn
	case "interface":
		if e.To == "down" {
			return slog.LevelWarn
		}
	}
	return slog.LevelInfo
}

// close writes what waits and ends.
func (n *notices) close() {
	close(n.queue)
	<-n.done
}
