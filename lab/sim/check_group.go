package sim

import "time"

// What routers may do whose virtual routers change state together, or follow
// what they track.

// mates returns the voices of a router that change state with this one: at
// least itself.
func (v *voice) mates() []*voice {
	name := v.group()
	if name == "" {
		return []*voice{v}
	}
	var list []*voice
	for _, o := range v.m.voices {
		if o.group() == name {
			list = append(list, o)
		}
	}
	return list
}

// group returns the name of the group; empty: none.
func (v *voice) group() string {
	if v.vr.v6 {
		return v.m.spec.groupOf(1)
	}
	return v.m.spec.groupOf(0)
}

// own returns the effective priority of the virtual router by itself.
func (v *voice) own() int {
	m := v.m
	p := m.spec.Priority
	if m.spec.Track > 0 && !m.portUp[1-v.vr.side] {
		p -= m.spec.Track
	}
	if m.spec.Check > 0 && m.ailing {
		p -= m.spec.Check
	}
	if m.drained {
		p = 1
	}
	return max(p, 1)
}

// priority returns the effective priority: the lowest of the group.
func (v *voice) priority() int {
	lowest := v.own()
	for _, o := range v.mates() {
		lowest = min(lowest, o.own())
	}
	return lowest
}

// faulted reports whether the virtual router must not run, although its own
// interface is up.
func (v *voice) faulted() bool {
	m := v.m
	if m.spec.Check == 0 && m.ailing || m.spec.Track == 0 && !m.portUp[1-v.vr.side] {
		return true
	}
	for _, o := range v.mates() {
		if !m.portUp[o.vr.side] || m.spec.Track == 0 && !m.portUp[1-o.vr.side] {
			return true
		}
	}
	return false
}

// torn reports that routers whose virtual routers change state together see
// each other on one side, and not on the other: then some part of a LAN may have
// no master, for a group has one master or the other, and not half of each.
func (c *checker) torn(virtual int) bool {
	for i, m := range c.members {
		for _, o := range c.members[:i] {
			if len(m.voices[virtual].mates()) < 2 && len(o.voices[virtual].mates()) < 2 {
				continue
			}
			same := [2]bool{}
			for side := range sideNames {
				same[side] = m.node.Links[side].island() == o.node.Links[side].island()
			}
			if same[0] != same[1] {
				return true
			}
		}
	}
	return false
}

// mayTakeOver returns how much too early it is for a router to take over. A
// group takes over when the time of each member has come; or when that of one
// has come whose master has given up, or is known to be gone.
func (v *voice) mayTakeOver(c *checker) (early time.Duration) {
	now := c.w.now
	var last time.Duration
	for _, o := range v.mates() {
		wait := o.notBefore.Sub(now)
		justHeard := now.Sub(o.heardAt) <= graceHear && !now.Before(o.before)
		if o.speaking || justHeard {
			wait = 0
		}
		if (o.gaveUp || justHeard && o.hadGivenUp) && wait <= 0 || o.mayBeFast(c) {
			return 0
		}
		last = max(last, wait)
	}
	return last
}

// mayGiveUp reports whether there is a reason for priority 0: the router was
// told to, what it tracks is down, or the group has heard a better master.
func (v *voice) mayGiveUp(now time.Time) bool {
	if now.Sub(v.askedAt) <= graceMute || v.m.spec.Check == 0 && v.m.ailing {
		return true
	}
	for _, o := range v.mates() {
		if o != v && (now.Sub(o.rivalAt) <= graceGroup+v.m.spec.Late || now.Sub(o.changedAt) <= graceGroup+v.m.spec.Late) {
			return true
		}
	}
	return false
}

// united checks that the members of a group are master together, or none is: to
// be called a moment after one has changed its state.
func (v *voice) united(c *checker) {
	if !v.m.node.alive || v.m.node.frozen {
		return
	}
	speaking := 0
	for _, o := range v.mates() {
		if o.unsure || c.w.now.Sub(o.changedAt) < graceGroup+v.m.spec.Late {
			return // of the latest change there will be a check of its own
		}
		if o.speaking {
			speaking++
		}
	}
	if speaking != 0 && speaking != len(v.mates()) {
		c.report("%s is master of %d of the %d members of the group of %s", v.m.node.Name, speaking, len(v.mates()), v.vr.name)
	}
}

// leaves notes that a router is no longer master: its group follows.
func (v *voice) leaves(c *checker) {
	mates := v.mates()
	for _, o := range mates {
		o.askedAt = c.w.now
	}
	if len(mates) > 1 {
		v.changedAt = c.w.now
		c.w.After(graceGroup+v.m.spec.Late, func() { v.united(c) })
	}
}

// heals: what has kept virtual routers from running may be gone from now on.
// Those that did not run listen first.
func (m *member) heals(c *checker) {
	for _, v := range m.voices {
		if first := c.w.now.Add(v.spanFor(m.spec.Interval)); v.notBefore.After(first) {
			v.notBefore = first
		}
		v.restarted = v.restarted || v.handedOver
		v.handedOver = false
	}
}

// ails: the health check of a router will fail from now on, or succeed.
func (c *checker) ails(n *Node, ails bool) {
	m := c.members[n.id]
	m.ailing = ails
	if !ails {
		m.heals(c)
		// A process that has not run for long enough to see it fail runs on.
		if c.w.now.Sub(m.startAt) >= time.Duration(early*float64(checkRow*checkInterval)) {
			m.healing = c.w.now.Add((checkRow + 1) * checkInterval)
		}
	}
	c.planned()
	c.plannedAt = c.w.now.Add((checkRow + 1) * checkInterval)
	// Where nobody else served, nobody does until it has listened. A fault that
	// lasts longer goes on.
	if m.spec.Check == 0 && !ails && c.plannedAt.After(c.faultAt) {
		c.faultAt = c.plannedAt
	}
}

// leftToOthers reports that the router, or a member of its group, leaves
// mastership to who took it over.
func (v *voice) leftToOthers() bool {
	for _, o := range v.mates() {
		if o.handedOver || o.restarted {
			return true
		}
	}
	return false
}

// drains: a router is drained, or no longer.
func (c *checker) drains(n *Node, on bool) (asked func()) {
	m := c.members[n.id]
	if m.drained == on {
		return func() {}
	}
	m.drained = on
	m.unread(c.w.now)
	c.setBounds()
	c.planned()
	if !on {
		return func() {}
	}
	return c.mustGiveUp(n, "")
}

// reloads: a router is given another configuration.
func (c *checker) reloads(n *Node, s Spec) {
	m := c.members[n.id]
	for _, v := range m.voices {
		v.unsure = v.speaking && s.Interval != m.spec.Interval
	}
	m.spec = s
	c.setBounds()
	c.planned()
}
