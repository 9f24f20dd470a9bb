package router

import "time"

// event tells the driver of something that an operator would want to know.
// The driver numbers and keeps events.
func (r *Router) event(now time.Time, e Event) {
	e.Time = now
	r.events++
	r.do(Notice{e})
}

// EventCount returns how many events there have been: where it is the same as
// before, nothing of note has happened in between.
func (r *Router) EventCount() uint64 { return r.events }
