package sim

import "time"

// What happens to routers, as the checker is told of it.

// begins: a router's process starts, with its interfaces up as they are.
func (c *checker) begins(n *Node) {
	m := c.members[n.id]
	for _, v := range m.voices {
		v.begin(c.w.now)
	}
	for side, l := range n.Links {
		m.portUp[side] = l.up
	}
	m.drained = false
	m.startAt, m.healing = c.w.now, time.Time{}
	c.planned()
	if m.spec.Check >= 0 {
		c.plannedAt = c.w.now.Add((checkRow + 1) * checkInterval)
	}
	m.stopping = false // only now does it count
}

// ends: a router's process is asked to stop. What is returned is to be called
// when it has been.
func (c *checker) ends(n *Node) (asked func()) {
	c.members[n.id].stopping = true
	c.planned()
	return c.mustGiveUp(n, "")
}

// handsOver: a router is asked to hand over a virtual router, "" all.
func (c *checker) handsOver(n *Node, virtual string) (asked func()) {
	c.planned()
	for _, v := range c.members[n.id].voices {
		if v.vr.name == virtual {
			for _, o := range v.mates() {
				o.switchAt = c.w.now
			}
		}
	}
	return c.mustGiveUp(n, virtual)
}

// mustGiveUp: a router must say priority 0 now for what it is master of.
func (c *checker) mustGiveUp(n *Node, virtual string) (asked func()) {
	var speaking []*voice
	for _, v := range c.members[n.id].voices {
		if virtual != "" && v.vr.name != virtual {
			continue
		}
		v.askedAt = c.w.now
		if v.speaking && !v.unsure && !v.yields() {
			speaking = append(speaking, v)
		}
	}
	return func() {
		for _, v := range speaking {
			if v.speaking {
				c.report("%s was told to give up %s, and has not said priority 0", n.Name, v.vr.name)
			}
		}
	}
}

// yields reports whether another one of the voice's group has lost its mastership
// just now, which takes the voice's own with it.
func (v *voice) yields() bool {
	for _, o := range v.mates() {
		if !o.speaking {
			return true
		}
	}
	return false
}

// dies: a router's process is gone.
func (c *checker) dies(n *Node, asPlanned bool) {
	m := c.members[n.id]
	m.stopping = true
	for _, v := range m.voices {
		v.dead()
	}
	if !asPlanned {
		c.fault()
	}
}

func (c *checker) freezes(n *Node) {
	m := c.members[n.id]
	m.frozenAt = c.w.now
	m.unread(c.w.now)
	c.fault()
}

// unread: what the router has taken from its rings just now it has not read yet,
// and will read as what it is by then.
func (m *member) unread(now time.Time) {
	for _, v := range m.voices {
		if now.Sub(v.heardAt) <= graceHear && v.before.Before(v.notBefore) {
			v.notBefore = v.before
		}
	}
}

// thaws is called before the process does anything again. One that stood
// still for two of its intervals (20 ms .. 2 s) must not have noticed nothing.
func (c *checker) thaws(n *Node) {
	c.fault()
	m := c.members[n.id]
	lease := max(20*time.Millisecond, min(2*m.spec.Interval, 2*time.Second))
	if c.w.now.Sub(m.frozenAt) <= time.Duration(late*float64(lease)) {
		for _, v := range m.voices {
			v.unsure = v.speaking
		}
		return
	}
	for _, v := range m.voices {
		v.thawed(c, c.w.now)
	}
}

// portChanges: a router notices that a cable was plugged in or out.
func (c *checker) portChanges(n *Node, port int, up bool) {
	m := c.members[n.id]
	for _, v := range m.voices {
		switch {
		case v.vr.side != port:
		case up:
			v.begin(c.w.now)
		default:
			v.leaves(c)
			v.dead()
		}
	}
	m.portUp[port] = up
	if up {
		m.heals(c)
	} else if m.spec.Track == 0 {
		for _, v := range m.voices {
			v.leaves(c)
		}
	}
	c.fault()
}

// sent is a frame that a router puts on a link.
func (c *checker) sent(n *Node, port int, frame []byte) {
	if !n.Links[port].up {
		return
	}
	m := c.members[n.id]
	if id, ok := probeOf(frame); ok {
		c.relayed(m, id)
		return
	}
	s := read(frame)
	for _, v := range m.voices {
		if v.vr.side == port {
			v.says(c, &s)
		}
	}
}

// taken is a frame that a router takes from a link to look at.
func (c *checker) taken(n *Node, port int, frame []byte) {
	m := c.members[n.id]
	for _, v := range m.voices {
		if v.vr.side == port && v.vr.mac == [6]byte(frame[:6]) {
			v.floodedAt = c.w.now
		}
	}
	if id, ok := probeOf(frame); ok {
		by := &c.w.flows[id.flow].probes[id.number].by[n.id]
		*by = 0
		for i, v := range c.virtual {
			if v.side == port && v.mac == [6]byte(frame[:6]) {
				*by = uint8(i + 1)
			}
		}
		return
	}
	s := read(frame)
	if s.advert == nil {
		return
	}
	for _, v := range m.voices {
		if v.vr.side == port && v.vr.vrid == s.advert.vrid && v.vr.v6 == s.advert.v6 {
			v.hears(c, s.advert)
		}
	}
}

// forgets: a switch has forgotten what it learned. Frames are flooded, but
// none is lost and none comes twice.
func (c *checker) forgets() { c.plannedAt = c.w.now }
