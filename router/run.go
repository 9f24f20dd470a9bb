package router

import (
	"time"

	"vrouter/vrrp"
)

// settleRounds bounds how often one turn looks again because a virtual router
// has changed its state; a group is settled after two.
const settleRounds = 8

// settle brings everything in step with what has changed in this turn: faults
// and effective priorities with what is tracked, running machines with what may
// run, the members of groups with each other.
func (r *Router) settle(now time.Time) {
	r.unsettled = r.unsettled || due(r.deadlineFlaps(), now)
	for range settleRounds {
		if !r.unsettled {
			return
		}
		r.unsettled = false
		r.followFlaps(now)
		for _, v := range r.virtual {
			r.evaluate(v)
		}
		for _, v := range r.virtual {
			r.run(now, v)
		}
		// A new Master speaks with the new priority, and one that gives up need
		// not tell of it.
		r.prioritizeAll(now, func(s vrrp.State) bool { return s != vrrp.Master })
		for _, g := range r.groups {
			r.unite(now, g)
		}
		r.prioritizeAll(now, func(vrrp.State) bool { return true })
		r.ready(now)
	}
}

// run starts or stops a machine as it may or may not run.
func (r *Router) run(now time.Time, v *virtual) {
	reason := r.obstacle(v)
	if reason == "" && v.group != nil {
		for _, other := range v.group.members {
			if o := r.obstacle(other); o != "" {
				reason = "group " + v.group.name + ": " + other.cfg.Name + ": " + o
			}
		}
	}
	if reason == v.obstacle && (reason != "") == (v.machine.State() == vrrp.Initialize) {
		return
	}
	was := v.obstacle
	v.obstacle = reason
	if reason == "" {
		source, _ := r.ifaces[v.port].vrrpSource(v.cfg.IPv6())
		r.beginHold(now, v)
		r.vrrpActions(now, v, v.machine.Start(now, source))
		return
	}
	if v.machine.State() == vrrp.Initialize && was != reason && r.tells(v) {
		r.event(now, Event{Kind: "vrrp", Name: v.cfg.Name, From: "Initialize", To: "Initialize", Reason: reason})
	}
	if r.ifaces[v.port].state.Up && r.hasSource(v) {
		r.vrrpActions(now, v, v.machine.Stop(now, reason))
	} else {
		r.vrrpActions(now, v, v.machine.Down(now, reason))
	}
}

// tells reports whether a machine that does not run is worth an event: what is
// wrong with it alone; that its interface is down has been told.
func (r *Router) tells(v *virtual) bool {
	return r.ifaces[v.port].state.Up && !r.stopping && !v.leaving
}

// obstacle says why a virtual router cannot run by itself; empty: it can.
func (r *Router) obstacle(v *virtual) string {
	f := r.ifaces[v.port]
	switch {
	case r.stopping:
		return r.stopReason
	case v.leaving:
		return v.leavingWhy
	case !f.state.Up:
		why := f.state.Problem
		if why == "" {
			why = "down"
		}
		return "interface " + f.cfg.Name + ": " + why
	case !r.hasSource(v):
		return "interface " + f.cfg.Name + " has no " + family(v.cfg.IPv6()) +
			" address to advertise from: add one to its addresses"
	}
	return v.fault
}

func (r *Router) hasSource(v *virtual) bool {
	_, ok := r.ifaces[v.port].vrrpSource(v.cfg.IPv6())
	return ok
}
