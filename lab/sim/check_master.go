package sim

// Checks of who is master, once the network is settled.

// oneMaster checks that each virtual router has one master on each part of
// each LAN, and that the switch knows the virtual MAC behind it.
func (c *checker) oneMaster() {
	for i, v := range c.virtual {
		if c.torn(i) {
			continue
		}
		for island := range 2 {
			var speakers []*member
			capable := 0
			for _, m := range c.members {
				if !m.voices[i].capable(island) {
					continue
				}
				capable++
				if m.voices[i].heardLately() {
					speakers = append(speakers, m)
				}
			}
			if capable == 0 {
				continue
			}
			if len(speakers) != 1 {
				c.report("%s has %d masters on island %d of %s: %v", v.name, len(speakers), island, v.sw.Name, names(speakers))
				continue
			}
			if !c.exact() && c.w.now.Sub(c.faultAt) <= c.bound+2*c.longest() {
				continue // two may have taken over at once: the next advertisement puts it right
			}
			if l := speakers[0].node.Links[v.side]; v.sw.portOf(island, v.mac) != l {
				c.report("%s: switch %s does not have the virtual MAC behind the master %s", v.name, v.sw.Name, speakers[0].node.Name)
			}
		}
	}
}

func names(ms []*member) []string {
	var list []string
	for _, m := range ms {
		list = append(list, m.node.Name)
	}
	return list
}

// bestMaster checks that no master is lesser than a router that would preempt
// it (RFC 9568 6.4.2): one that is not new, and has not been told to leave
// mastership to others.
func (c *checker) bestMaster() {
	quiet := min(c.w.now.Sub(c.faultAt), c.w.now.Sub(c.plannedAt))
	if quiet < c.bound+c.hold+c.patience() {
		return
	}
	for i, v := range c.virtual {
		for _, s := range c.members {
			if c.torn(i) {
				continue
			}
			island := s.node.Links[v.side].island()
			if !s.voices[i].speaking || !s.voices[i].capable(island) {
				continue
			}
			for _, m := range c.members {
				o := m.voices[i]
				if o.capable(island) && m.spec.Preempt && !o.leftToOthers() && !m.drained && o.priority() > s.voices[i].priority() {
					c.report("%s: %s (priority %d) is master, and not %s (priority %d), which preempts",
						v.name, s.node.Name, s.voices[i].priority(), m.node.Name, o.priority())
				}
			}
		}
	}
}
