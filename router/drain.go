package router

import (
	"time"

	"vrouter/vrrp"
)

// Drain makes every virtual router hand over and stay Backup, with the lowest
// effective priority and without preempting, so that the machine can be
// serviced; it still takes over where nobody else is left. The owner of its
// addresses stops instead: it would win them back at once. Off ends that.
func (r *Router) Drain(now time.Time, on bool) []Action {
	r.begin(now)
	if r.drained == on {
		return r.end(now)
	}
	r.drained = on
	from, to, reason := "serving", "drained", "drain"
	if !on {
		from, to, reason = "drained", "serving", "end of drain"
	}
	r.event(now, Event{Kind: "drain", Name: "router", From: from, To: to, Reason: reason})
	for _, v := range r.virtual {
		switch {
		case !on:
			v.machine.Hold(v.readyBy)
		case v.cfg.Owner():
		default:
			r.vrrpActions(now, v, v.machine.Yield(now, "drained"))
			v.machine.Hold(now.Add(drainHold))
		}
	}
	r.unsettled = true
	return r.end(now)
}

// drainHold is how long a drained router does not preempt: for ever.
const drainHold = 100 * 365 * 24 * time.Hour

// Drained reports whether Drain is on and no virtual router forwards any more.
func (r *Router) Drained() bool {
	for _, v := range r.virtual {
		if v.machine.Forwarding() {
			return false
		}
	}
	return r.drained
}

// switchover hands over a virtual router, with its whole group.
func (r *Router) switchover(now time.Time, v *virtual) error {
	members := []*virtual{v}
	if v.group != nil {
		members = v.group.members
	}
	for _, m := range members {
		if m.machine.State() != vrrp.Master {
			return vrrp.ErrNotMaster
		}
		if m.cfg.Owner() {
			return vrrp.ErrOwner
		}
	}
	for _, m := range members {
		actions, err := m.machine.Switchover(now)
		if err != nil {
			return err
		}
		r.vrrpActions(now, m, actions)
	}
	return nil
}
