package router

import (
	"fmt"
	"time"
)

// What comes and goes must not take mastership with it each time: every change of
// the Master moves the traffic of a LAN, and the neighbours are told other
// attributes. So what is tracked of the world beyond the router's own links (BGP
// and BFD sessions, routes) is believed when it goes, at once; when it comes back it
// is believed at once too, but not after flapsFree losses within flapWindow: then it
// must have stayed for flapSteady first. Packets follow it without delay all the
// same: that is the routes' business. (RFC 5882 3.1 has such a thing in mind for those
// that use BFD; checks have fall and rise.)
const (
	flapsFree  = 3
	flapWindow = time.Minute
	flapSteady = 20 * time.Second
)

// flapKey tells tracked things apart.
type flapKey struct{ kind, name string }

// flap is how one tracked thing comes and goes.
type flap struct {
	up     bool                     // as it is
	losses [flapsFree + 1]time.Time // the last ones, the oldest first
	until  time.Time                // it is up, and counts as down until then; zero: it counts as it is
	seen   bool                     // something tracks it
}

// damped reports whether a kind of term is damped.
func damped(kind string) bool { return kind == "bgp" || kind == "bfd" || kind == "route" }

// followFlaps notes what has come and gone of what is tracked.
func (r *Router) followFlaps(now time.Time) {
	for _, v := range r.virtual {
		for i := range v.cfg.Track {
			if t := r.trackTerm(&v.cfg.Track[i]); damped(t.kind) {
				r.followFlap(now, flapKey{t.kind, t.name}, t.up || !t.known)
			}
		}
	}
	for key, f := range r.flaps {
		if !f.seen {
			delete(r.flaps, key)
		}
		f.seen = false
	}
}

// followFlap notes whether one thing is up now, or not known to be down.
func (r *Router) followFlap(now time.Time, key flapKey, up bool) {
	f := r.flaps[key]
	if f == nil {
		f = &flap{up: up}
		r.flaps[key] = f
	}
	f.seen = true
	switch {
	case f.up && !up:
		copy(f.losses[:], f.losses[1:])
		f.losses[flapsFree], f.until = now, time.Time{}
	case !f.up && up && !f.losses[0].IsZero() && now.Before(f.losses[0].Add(flapWindow)):
		f.until = now.Add(flapSteady)
	case due(f.until, now):
		f.until = time.Time{}
	}
	f.up = up
}

// holdDown has a thing that is up count as down while it is not believed yet.
func (r *Router) holdDown(t *term) {
	f := r.flaps[flapKey{t.kind, t.name}]
	if f == nil || f.until.IsZero() || !t.up {
		return
	}
	t.up, t.known = false, true
	t.reason = fmt.Sprintf("up again, but lost %d times within %v: counts as up when it has stayed for %v", flapsFree+1, flapWindow, flapSteady)
}

// deadlineFlaps returns when something is believed again.
func (r *Router) deadlineFlaps() (next time.Time) {
	for _, f := range r.flaps {
		next = earlier(next, f.until)
	}
	return next
}
