package sim

// Checks of the probes: none lost, none twice, none in a loop, none forwarded
// by a backup.

// mustDeliver reports whether the network owes delivery to a probe that is
// sent now: it is steady, and each router that might be master for the sender
// can reach the receiver. (Where one cannot, only tracking would help.)
func (c *checker) mustDeliver(f *flow) bool {
	if !c.steady() || c.torn(f.virtual) {
		return false
	}
	near, far := f.from.link, f.to.link
	capable := 0
	for _, m := range c.members {
		if !m.attached(f.side, near.island()) {
			continue
		}
		v := m.voices[f.virtual]
		// Who is at fault may not have noticed, and serves until another does.
		serves := v.speaking || c.w.now.Before(v.mayForward)
		if (serves || !v.faulted()) && !m.attached(1-f.side, far.island()) {
			return false
		}
		if v.capable(near.island()) { // else it only serves until another does
			capable++
		}
	}
	return capable > 0
}

// delivered is a probe that has reached its host.
func (c *checker) delivered(f *flow, p *probe) {
	if p.copies > 1 && p.due {
		c.report("%s: a probe was delivered %d times", f.name, p.copies)
	}
}

// relayed is a probe that a router transmits.
func (c *checker) relayed(m *member, id probeID) {
	f := c.w.flows[id.flow]
	p := &f.probes[id.number]
	p.hops++
	if p.hops > 1 && p.due || p.hops > probeTTL {
		c.report("%s: a probe was forwarded %d times", f.name, p.hops)
	}
	by := p.by[m.node.id]
	if by == 0 {
		c.report("%s forwards a probe of %s that was not for a virtual MAC", m.node.Name, f.name)
		return
	}
	m.voices[by-1].forwarded(c)
}

// judge looks for lost probes among those that are old enough.
func (c *checker) judge() {
	for _, f := range c.w.flows {
		for f.judged < len(f.probes) && c.w.now.Sub(f.probes[f.judged].sent) >= transit {
			p := &f.probes[f.judged]
			f.judged++
			excused := !p.due || p.asking || c.faultAt.After(p.sent) || c.disturbed()
			if p.copies == 0 && !excused {
				c.report("%s: probe %d, sent at %.6f, was lost", f.name, f.judged-1, p.sent.Sub(Start).Seconds())
			}
		}
	}
}

// gatewaysKnown checks that hosts that ask for their gateway get an answer.
func (c *checker) gatewaysKnown() {
	if c.w.now.Sub(c.faultAt) < c.bound+hostRetry+transit {
		return
	}
	for _, f := range c.w.flows {
		family := 0
		if f.v6 {
			family = 1
		}
		if !f.from.gateways[family].resolved && c.mustDeliver(f) {
			c.report("%s: nobody answers for the gateway", f.name)
		}
	}
}
