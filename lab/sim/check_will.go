package sim

// Checks of last wills: whose process has ended as Master says priority 0 by
// its guardian, within willWithin; who was not Master says nothing.

// bequeaths: a router's process is gone, and its guardian lives.
func (c *checker) bequeaths(n *Node) {
	m := c.members[n.id]
	type claim struct{ due, may bool }
	var claims []claim
	for _, v := range m.voices {
		up := n.Links[v.vr.side].up && m.portUp[v.vr.side]
		claims = append(claims, claim{up && v.speaking && !v.unsure, v.speaking || v.unsure || c.w.now.Sub(v.mutedAt) <= graceMute})
	}
	c.dies(n, false)
	for i, v := range m.voices {
		v.willDue, v.willMay = claims[i].due, claims[i].may
	}
	c.w.After(willWithin, func() {
		for _, v := range m.voices {
			if v.willDue {
				c.report("%s: no last will for %s, of which it was master", n.Name, v.vr.name)
			}
			v.willDue, v.willMay = false, false
		}
	})
}

// noWill: the guardian went down as well, before it could send wills.
func (c *checker) noWill(n *Node) {
	for _, v := range c.members[n.id].voices {
		v.willDue = false
	}
}

// willSent is a frame that a guardian sends.
func (c *checker) willSent(n *Node, port int, frame []byte) {
	s := read(frame)
	for _, v := range c.members[n.id].voices {
		if s.advert == nil || v.vr.side != port || v.vr.vrid != s.advert.vrid || v.vr.v6 != s.advert.v6 {
			continue
		}
		if s.advert.priority != 0 || s.srcMAC != v.vr.mac {
			c.report("%s: the will of %s says priority %d from %x", n.Name, v.vr.name, s.advert.priority, s.srcMAC)
		}
		if !v.willMay {
			c.report("%s: a stale will for %s, of which it was not master", n.Name, v.vr.name)
		}
		v.willDue = false
	}
}
