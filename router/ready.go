package router

import (
	"fmt"
	"time"

	"vrouter/config"
)

// readyLimit is the longest that a virtual router waits before it preempts a
// lesser master although this router cannot forward everything yet: what it
// waits for may never come.
const readyLimit = 10 * time.Second

// readyLimit is longer where routes of BGP neighbours are waited for.
func (r *Router) readyLimit() time.Duration {
	if len(r.bgp.peers) > 0 {
		return bgpHold
	}
	return readyLimit
}

// beginHold keeps a virtual router that starts from preempting until the router
// is ready (see unready). A master that stops or is silent is replaced all the
// same: forwarding badly is better than not at all.
func (r *Router) beginHold(now time.Time, v *virtual) {
	v.readyBy = now.Add(r.readyLimit())
	v.machine.Hold(v.readyBy)
}

// ready ends the waiting of those that are ready, or have waited long enough.
func (r *Router) ready(now time.Time) {
	routes, looked := "", false
	for _, v := range r.virtual {
		if v.readyBy.IsZero() {
			continue
		}
		if !looked {
			routes, looked = r.unreadyRouter(), true
		}
		v.unready = v.unreadyTerm()
		if v.unready == "" {
			v.unready = routes
		}
		late := due(v.readyBy, now)
		if v.unready != "" && !late {
			continue
		}
		if late && v.unready != "" {
			r.event(now, Event{
				Kind: "readiness", Name: v.cfg.Name, From: "holding", To: "ready",
				Reason: fmt.Sprintf("not ready after %v, preempts all the same: %s", r.readyLimit(), v.unready),
			})
		}
		v.readyBy, v.unready = time.Time{}, ""
		if !r.drained {
			v.machine.Hold(time.Time{})
		}
	}
}

// unreadyRouter says what the router cannot do yet; empty: it can forward.
func (r *Router) unreadyRouter() string {
	for _, f := range r.ifaces {
		if !f.state.Up {
			return "interface " + f.cfg.Name + " is down: " + f.state.Problem
		}
	}
	for i := range r.cfg.Routes {
		c := &r.cfg.Routes[i]
		if c.Type != config.RouteUnicast {
			continue
		}
		if up, reason := r.usableRoute(c.To); !up {
			return fmt.Sprintf("route %v: %s", c.To, reason)
		}
	}
	return r.unreadyBGP()
}

// unreadyTerm says what of the tracked is not there yet.
func (v *virtual) unreadyTerm() string {
	for i := range v.terms {
		switch t := &v.terms[i]; {
		case t.kind == "drain":
		case !t.known:
			return t.kind + " " + t.name + ": " + t.reason
		case !t.up:
			return t.down()
		}
	}
	return ""
}
