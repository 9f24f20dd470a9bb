package sim

import (
	"bytes"
	"time"
)

// voice is what may be said and done by one router for one virtual router,
// going by what was on its wires: a backup is silent.
type voice struct {
	vr *virtualRouter
	m  *member

	speaking   bool      // as master
	since      time.Time // it took over
	changedAt  time.Time // it took over, or ceased to be master
	lastAdvert time.Time // of its own
	src        []byte    // what its advertisements come from,
	said       byte      // and what priority they say
	announced  uint64    // which addresses since it became master, as a bit set
	notices    [2]pace   // by address: its announcements since then
	adverts    pace      // since then
	unsure     bool      // it stood still, and may have noticed or not: then it is backup
	announceAt time.Time // the last announcement, of whatever mastership

	mutedAt     time.Time // it was told that another is master
	notBefore   time.Time // it may take over
	listens     time.Time // until then it listens, having stood still: a priority 0 may be old
	begunAt     time.Time // its process or interface started
	heard       byte      // the priority that it heard last
	rivalAt     time.Time // it heard one that is no lesser than its own
	lastHeard   time.Time // any advertisement
	heardAt     time.Time // what notBefore and gaveUp are due to, and
	before      time.Time // what notBefore was until then
	mayForward  time.Time // until then it may still serve the virtual MAC
	askedAt     time.Time // it was told to give mastership away,
	switchAt    time.Time // and to leave it to others
	gaveUp      bool      // the last it heard was that the master gives up
	hadGivenUp  bool      // and what gaveUp was until then
	floodedAt   time.Time // a frame came for the virtual MAC
	handedOver  bool      // gave mastership away and does not take it back
	willDue     bool      // its guardian must say priority 0
	willMay     bool      // or may
	restarted   bool      // or does again, having started anew perhaps
	heardMaster bool      // since then
}

// spanFor is how long a voice must at least be silent, for a master's interval.
func (v *voice) spanFor(interval time.Duration) time.Duration {
	return time.Duration(early * float64(v.m.spec.down(interval)))
}

// heardLately reports that the router's advertisements come as they should.
func (v *voice) heardLately() bool {
	return v.speaking && v.m.node.w.now.Sub(v.lastAdvert) <= v.period()
}

// period is the longest time between two advertisements of a master.
func (v *voice) period() time.Duration {
	return time.Duration(late*float64(v.m.spec.Interval)) + 2*v.m.spec.Late + 5*time.Millisecond
}

// begin: the process or its interface has started. It must listen first.
func (v *voice) begin(now time.Time) {
	*v = voice{vr: v.vr, m: v.m, announceAt: v.announceAt, begunAt: now, notBefore: now.Add(v.spanFor(v.m.spec.Interval))}
}

// dead: the process or the link is gone.
func (v *voice) dead() { *v = voice{vr: v.vr, m: v.m, announceAt: v.announceAt} }

// thawed: the process stood still for longer than its lease.
func (v *voice) thawed(c *checker, now time.Time) {
	due := v.notBefore.Add(c.bound / 10)
	if last := v.lastHeard.Add(v.spanFor(c.quick) + c.bound/10); last.After(due) {
		due = last // it may have had reasons to begin anew
	}
	if !v.speaking && due.After(now) {
		v.mayForward = time.Time{}
		return // its time has not come anyway
	}
	v.speaking, v.mayForward, v.mutedAt = false, time.Time{}, time.Time{}
	v.notBefore = now.Add(v.spanFor(c.quick))
	v.listens = v.notBefore
}

// hears is an advertisement that the router takes from its link.
func (v *voice) hears(c *checker, a *heardAdvert) {
	now := c.w.now
	own := v.thinks()
	if !v.speaking && now.Sub(v.heardAt) > graceHear {
		v.heardAt, v.before, v.hadGivenUp = now, v.notBefore, v.gaveUp
	}
	v.lastHeard = now
	v.gaveUp = a.priority == 0
	if a.priority != 0 && a.priority >= own {
		v.rivalAt = now
		v.unsure = v.unsure || v.speaking && a.priority == own && v.mates()[0] != v // its group decides, or time
	}
	better := a.priority > own || a.priority == own && bytes.Compare(a.src, v.src) > 0 && v.mates()[0] == v
	switch {
	case a.priority == 0 && !v.speaking:
		v.notBefore = now.Add(time.Duration(early * float64(v.m.spec.skew(v.m.spec.Priority, c.quick))))
		if v.listens.After(v.notBefore) {
			v.notBefore = v.listens
		}
		if v.heardMaster {
			v.handedOver = false
		}
	case a.priority == 0 || v.speaking && !better:
	case v.speaking:
		v.speaking, v.mutedAt = false, now
		v.leaves(c)
		v.mayForward = now.Add(graceMute)
		v.notBefore = now.Add(v.spanFor(a.interval))
		v.heardMaster = true
	default:
		v.heardMaster = true
		if end := now.Add(graceMute); v.mayForward.After(end) {
			v.mayForward = end
		}
		if now.Before(v.m.healing) {
			return // it may not run yet, and begins to listen only when it does
		}
		if a.priority >= own || !v.m.spec.Preempt || v.handedOver || v.m.drained {
			v.notBefore = now.Add(v.spanFor(a.interval))
		} else {
			v.hearsLesser(c, a)
		}
	}
	v.heard = a.priority
}

// hearsLesser is an advertisement of a master that may be preempted. Waiting
// goes on, but ends soon where the master has fallen in priority; and a router
// that had to wait until it was ready has gone by the master's interval.
func (v *voice) hearsLesser(c *checker, a *heardAdvert) {
	now := c.w.now
	first := v.notBefore
	if now.Sub(v.begunAt) <= readyLimit {
		first = now.Add(v.spanFor(a.interval))
	}
	// At the end of its preemption delay a router takes over at once. When that
	// is, is known only as well as clocks are.
	delay := float64(v.m.spec.PreemptDelay)
	if delay > 0 && now.Sub(v.begunAt) <= time.Duration(late*delay)+v.m.spec.Late {
		if end := v.begunAt.Add(time.Duration(early * delay)); end.Before(first) {
			first = end
		}
	}
	if a.priority < v.heard {
		first = now.Add(time.Duration(early * float64(v.m.spec.skew(v.m.spec.Priority, c.quick))))
	}
	if v.notBefore.After(first) {
		v.notBefore = first
	}
}

// thinks returns the priority that the router goes by: as Master what it says;
// else the highest that it may have.
func (v *voice) thinks() byte {
	if v.speaking {
		return v.said
	}
	return byte(v.m.spec.Priority)
}

// says is a frame that the router sends on the link.
func (v *voice) says(c *checker, s *said) {
	now := c.w.now
	if a := s.advert; a != nil && a.vrid == v.vr.vrid && a.v6 == v.vr.v6 {
		v.advertises(c, a, s.srcMAC)
		return
	}
	addr := -1
	for i, own := range v.vr.addrs {
		if s.claims != nil && bytes.Equal(s.claims, own) {
			addr = i
		}
	}
	if addr < 0 && s.srcMAC != v.vr.mac {
		return
	}
	if !v.speaking && now.Sub(v.mutedAt) > graceMute {
		c.report("%s is not master of %s, but sends from %x, claiming %x", v.m.node.Name, v.vr.name, s.srcMAC, s.claims)
	}
	if addr < 0 {
		return
	}
	if s.claim != v.vr.mac {
		c.report("%s says that %x of %s is at %x", v.m.node.Name, s.claims, v.vr.name, s.claim)
	}
	if s.notice && s.srcMAC == v.vr.mac {
		v.announced |= 1 << addr
		if !v.notices[addr].allows(now, noticesMax, time.Duration(early*float64(time.Second))) {
			c.report("%s announces %x of %s more than %d times in a second", v.m.node.Name, s.claims, v.vr.name, noticesMax)
		}
		v.announceAt = c.w.now
	}
}

// advertises is an advertisement that the router sends.
func (v *voice) advertises(c *checker, a *heardAdvert, mac [6]byte) {
	now := c.w.now
	v.src = a.src
	if mac != v.vr.mac {
		c.report("%s advertises %s from %x", v.m.node.Name, v.vr.name, mac)
	}
	switch {
	case a.priority == 0 && !v.speaking && now.Sub(v.mutedAt) > graceMute:
		c.report("%s gives up %s, which it did not have", v.m.node.Name, v.vr.name)
	case a.priority == 0 && !v.speaking: // told to by its group, having just heard a better master, too
	case a.priority == 0:
		if !v.mayGiveUp(now) {
			c.report("%s gives up %s unasked", v.m.node.Name, v.vr.name)
		}
		v.speaking, v.mutedAt = false, now
		v.leaves(c)
		v.handedOver, v.heardMaster = now.Sub(v.switchAt) <= graceMute, false
		v.mayForward = now.Add(time.Duration(late * float64(c.hold)))
		v.notBefore = now.Add(time.Duration(early * float64(v.m.spec.hold())))
	case v.speaking, now.Sub(v.mutedAt) <= graceHear:
		v.said = a.priority
		v.onTime(c)
	default:
		if early := v.mayTakeOver(c); early > 0 {
			c.report("%s takes over %s %v too early", v.m.node.Name, v.vr.name, early)
		}
		v.speaking, v.since, v.lastAdvert, v.announced, v.handedOver = true, now, now, 0, false
		v.restarted = false
		// It may have heard a better one just before, and yield at once.
		v.notices, v.adverts, v.unsure, v.said = [2]pace{}, pace{}, now.Sub(v.rivalAt) <= graceHear, a.priority
		c.w.watch(v.m.spec.Interval / 4)
		since := now
		c.w.After(max(graceMute, v.announceAt.Add(announcePace).Sub(now)), func() { v.announcedAll(c, since) })
		v.changedAt = now
		c.w.After(graceGroup+v.m.spec.Late, func() { v.united(c) })
	}
}

// Limits of what a master may say.
const (
	noticesMax = 3  // announcements of an address in a second (RFC 9568 asks for one in all)
	advertsMax = 22 // advertisements in any interval, whose halves belong to two of the master's: its own, and ten that others provoke, in each
)

// onTime sees to it that a master advertises neither too seldom nor too often.
func (v *voice) onTime(c *checker) {
	now := c.w.now
	gap := now.Sub(v.lastAdvert)
	if v.unsure {
		v.notices = [2]pace{} // it may be master anew
	}
	if most := v.period(); gap > most && !v.unsure && v.speaking {
		c.report("%s advertises %s after %v, which is later than %v", v.m.node.Name, v.vr.name, gap, most)
	}
	if !v.adverts.allows(now, advertsMax, time.Duration(early*float64(v.m.spec.Interval))) {
		c.report("%s advertises %s more than %d times in an interval", v.m.node.Name, v.vr.name, advertsMax)
	}
	v.lastAdvert, v.unsure = now, false
}

// pace remembers when something was done last, to find what is done too often.
type pace struct {
	at [advertsMax]time.Time
	n  int
}

// allows notes that something is done now, and reports whether that is at most
// the given number of times within the given time.
func (p *pace) allows(now time.Time, most int, within time.Duration) bool {
	slot := &p.at[p.n%most]
	ok := p.n < most || now.Sub(*slot) >= within
	*slot = now
	p.n++
	return ok
}

// hold is how long a router that has handed over waits for a successor.
func (s *Spec) hold() time.Duration {
	longest := s.Interval
	if s.Version == 2 {
		longest = time.Second
	}
	return max(s.Drain, 3*longest/2)
}

// announcePace is how long after its last announcement a router whose mastership
// comes and goes may announce again.
const announcePace = 1050 * time.Millisecond

// announcedAll checks that a master since then has announced its addresses,
// unless it stood still.
func (v *voice) announcedAll(c *checker, since time.Time) {
	if v.speaking && v.since.Equal(since) && !v.m.frozenAt.After(since) && v.announced != 1<<len(v.vr.addrs)-1 {
		c.report("%s took over %s without announcing its addresses (%b)", v.m.node.Name, v.vr.name, v.announced)
	}
}

// forwarded is a probe that the router has forwarded, having got it for the
// virtual MAC.
func (v *voice) forwarded(c *checker) {
	if !v.speaking && c.w.now.After(v.mayForward) {
		c.report("%s is not master of %s, but forwards for its MAC", v.m.node.Name, v.vr.name)
	}
}
