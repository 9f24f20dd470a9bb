package router

import "time"

// event tells the driver of something that an operator would want to know.
// The driver numbers and keeps events.
func (r *Router) event(now time.Time, e Event) {
	e.Time = now
	r.do(Notice{e})
}
