package daemon

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"vrouter/bgp"
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

// add takes an event and returns its number; it never blocks.
func (n *notices) add(e router.Event) (sequence uint64) {
	sequence = n.events.Append(e)
	select {
	case n.queue <- e:
	default:
		n.lost.Add(1)
	}
	return sequence
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
	case "flood":
		if e.To == e.From {
			return slog.LevelDebug
		}
	case "duplicate_address":
		return slog.LevelError
	case "freeze", "port":
		return slog.LevelWarn
	case "bgp":
		if e.To != "running" && e.To != bgp.StateEstablished {
			return slog.LevelWarn
		}
	case "contested":
		if e.To == "contested" {
			return slog.LevelWarn
		}
	case "import":
		if e.To != "synced" && e.To != "vrouter" {
			return slog.LevelWarn
		}
	case "interface", "check", "host_tap":
		if e.To == "down" {
			return slog.LevelWarn
		}
	}
	return slog.LevelInfo
}

// closeWait bounds how long a log that nobody reads holds up the end.
const closeWait = time.Second

// close writes what waits and ends. Nothing may be added any more.
func (n *notices) close() {
	close(n.queue)
	select {
	case <-n.done:
	case <-time.After(closeWait):
	}
}
