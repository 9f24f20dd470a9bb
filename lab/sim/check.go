package sim

import (
	"fmt"
	"time"
)

// Tolerances of the checkers.
const (
	graceMute  = time.Millisecond      // to carry out what a frame has told
	graceHear  = 20 * time.Microsecond // from a frame in the receive ring to the control plane
	graceGroup = 10 * time.Millisecond // for all members of a group to do what one does
	slack      = 20 * time.Millisecond // beyond the protocol's bounds
	slackV2    = 300 * time.Millisecond
	early      = 0.98 // clocks are apart by 1 %
	late       = 1.03
	readyLimit = 10100 * time.Millisecond // for whom is never ready
	transit    = 100 * time.Millisecond   // a probe that is not there by then is lost
	maxFound   = 20
	maxRouters = 7
)

// checker watches the wires, the switches' tables and what hosts receive. It
// knows how the network is cabled and configured, what was done to it, and
// what RFC 9568 and RFC 3768 promise; of the routers' insides it knows
// nothing, and it shares no code with them.
//
// The network is steady when no fault is going on or younger than the
// protocol's bound: then nothing may be lost. It is settled when there was no
// planned change within that time either: then there is one master.
type checker struct {
	w       *World
	found   []string
	virtual []*virtualRouter
	members []*member
	bound   time.Duration // 3 x interval + skew + slack, of the slowest
	hold    time.Duration // how long a planned hand-over may last beyond that
	quick   time.Duration // the shortest interval that has ever been configured
	tick    time.Duration

	faultAt   time.Time // the last fault, or its end
	wholeAt   time.Time // a link or switch was mended
	plannedAt time.Time
	started   bool
}

// virtualRouter is what all routers are configured with alike.
type virtualRouter struct {
	name  string
	side  int
	v6    bool
	vrid  byte
	mac   [6]byte
	addrs [][]byte
	sw    *Switch
}

// member is a router as the checker sees it.
type member struct {
	node     *Node
	spec     Spec
	voices   []*voice // by virtual router
	stopping bool
	frozenAt time.Time
	startAt  time.Time // of its process
	portUp   [2]bool   // as the process knows it
	ailing   bool      // its health check fails
	healing  time.Time // until then it may not have been noticed that it succeeds
	drained  bool
}

func newChecker(w *World) *checker { return &checker{w: w, faultAt: w.now, plannedAt: w.now} }

// report notes a violation.
func (c *checker) report(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.w.note("VIOLATION %s", text)
	if len(c.found) < maxFound {
		c.found = append(c.found, fmt.Sprintf("%.6f %s", c.w.Elapsed().Seconds(), text))
	}
}

// join makes a router known.
func (c *checker) join(n *Node, s Spec) {
	m := &member{node: n, spec: s, stopping: true}
	for _, v := range c.virtual {
		m.voices = append(m.voices, &voice{vr: v, m: m})
	}
	c.members = append(c.members, m)
	c.setBounds()
}

// setBounds computes how long the protocol may take, from all routers.
func (c *checker) setBounds() {
	var longest, lateness, shortest time.Duration
	var skew time.Duration
	extra := slack
	for _, m := range c.members {
		longest, lateness = max(longest, m.spec.Interval), max(lateness, m.spec.Late)
		if shortest == 0 || m.spec.Interval < shortest {
			shortest = m.spec.Interval
		}
		if m.spec.Version == 2 {
			extra = slackV2
		}
		c.hold = max(c.hold, m.spec.Drain)
	}
	for _, m := range c.members {
		skew = max(skew, m.spec.skew(m.least(), longest))
	}
	if c.quick == 0 || shortest < c.quick {
		c.quick = shortest
	}
	c.bound = max(c.bound, time.Duration(late*float64(3*longest+skew))+extra+2*lateness)
	c.hold = max(c.hold, 3*longest/2)
	if extra == slackV2 {
		c.hold = max(c.hold, 3*time.Second/2)
	}
	c.tick = max(shortest/2, 5*time.Millisecond)
}

// skew is the RFCs' Skew_Time (RFC 9568 6.1; RFC 3768 6.1 in seconds) at a
// priority.
func (s *Spec) skew(priority int, interval time.Duration) time.Duration {
	if s.Version == 2 {
		interval = time.Second
	}
	return interval * time.Duration(256-priority) / 256
}

// down is the silence after which a router takes over from a master of the
// given interval, at the highest priority that it may have.
func (s *Spec) down(interval time.Duration) time.Duration {
	return 3*interval + s.skew(s.Priority, interval)
}

// least returns the lowest priority that the router may come to: drained, it
// waits for longest, and is master only where there is nobody else.
func (m *member) least() int {
	if m.drained {
		return 1
	}
	s := &m.spec
	if s.Track > 0 || s.Check > 0 {
		return max(1, s.Priority-max(s.Track, 0)-max(s.Check, 0))
	}
	return s.Priority
}

// exact reports that no two routers would take over at one time: then planned
// changes lose nothing.
func (c *checker) exact() bool {
	var lateness time.Duration
	for _, m := range c.members {
		lateness = max(lateness, m.spec.Late)
	}
	for i, m := range c.members {
		for _, o := range c.members[:i] {
			for k := range m.voices {
				apart := (m.spec.skew(m.voices[k].priority(), c.quick) - o.spec.skew(o.voices[k].priority(), c.quick)).Abs()
				if apart <= lateness+time.Millisecond+c.longest()/50 {
					return false
				}
			}
		}
	}
	return true
}

// begin starts the regular checks.
func (c *checker) begin() {
	if c.started {
		return
	}
	c.started = true
	var next func()
	next = func() {
		c.judge()
		if c.settled() {
			c.oneMaster()
			c.bestMaster()
		}
		c.gatewaysKnown()
		c.w.After(c.tick, next)
	}
	c.w.After(c.tick, next)
}

// fault tells of something that may interrupt service, or of its end. A
// hand-over under way is lost with it: then the one who gave mastership away
// waits for others for as long as it would have.
func (c *checker) fault() {
	at := c.w.now
	if end := c.plannedAt.Add(c.hold); end.After(at) {
		at = end
	}
	if at.After(c.faultAt) {
		c.faultAt = at
	}
}

// lossOver tells that a link or switch carries everything again. Who was asked
// for a neighbour in vain meanwhile asks again only after RetransTimer (RFC
// 4861 10), so the fault lasts that much longer.
func (c *checker) lossOver() {
	c.faultAt = c.w.now.Add(hostRetry + slack)
	c.wholeAt = c.w.now
}

// planned tells of a change that must not interrupt service: to be called
// while whoever starts, or stops, does not count. Where one comes before the
// network is settled, where others could not go on with the service, or where
// two successors are equal, it counts as a fault.
func (c *checker) planned() {
	served := c.exact() && c.settled()
	for _, f := range c.w.flows {
		served = served && c.mustDeliver(f)
	}
	if !served || c.drainsTooShortly() {
		c.fault()
	}
	c.plannedAt = c.w.now
}

// drainsTooShortly reports whether a router that is drained may take over only
// when whoever hands over has waited long enough: its priority is 1, and its
// Skew_Time an interval.
func (c *checker) drainsTooShortly() bool {
	for _, m := range c.members {
		if !m.drained {
			continue
		}
		wait := time.Duration(late*float64(m.spec.skew(m.least(), c.longest()))) + m.spec.Late + slack
		for _, o := range c.members {
			if o.spec.Drain <= wait {
				return true
			}
		}
	}
	return false
}

// begun is when the router's process, or the last of its interfaces, started.
func (m *member) begun() time.Time {
	var last time.Time
	for _, v := range m.voices {
		if v.begunAt.After(last) {
			last = v.begunAt
		}
	}
	return last
}

// disturbed reports whether links lose frames.
func (c *checker) disturbed() bool {
	for _, s := range c.w.Switches {
		for _, l := range s.links {
			if l.lossUp > 0 || l.lossDown > 0 {
				return true
			}
		}
	}
	return false
}

// steady reports that no fault is young or going on.
func (c *checker) steady() bool {
	return c.w.now.Sub(c.faultAt) >= c.bound && !c.disturbed()
}

// settled reports that nothing at all is going on.
func (c *checker) settled() bool {
	return c.steady() && c.w.now.Sub(c.plannedAt) >= c.bound+c.hold
}

// longest returns the longest interval.
func (c *checker) longest() time.Duration {
	var longest time.Duration
	for _, m := range c.members {
		longest = max(longest, m.spec.Interval)
	}
	return longest
}

// patience is how long beyond the settling of the network the best router may
// leave mastership to a lesser one: its preemption delay, and then the wait
// for an advertisement to preempt.
func (c *checker) patience() time.Duration {
	var delay time.Duration
	for _, m := range c.members {
		delay = max(delay, m.spec.PreemptDelay)
	}
	return time.Duration(late*float64(delay)) + c.bound + c.readiness()
}

// readiness is how long routers may wait to be ready before they preempt.
func (c *checker) readiness() time.Duration {
	most := time.Duration(0)
	for _, m := range c.members {
		if !m.node.alive {
			continue
		}
		if m.spec.Check >= 0 {
			most = max(most, (checkRow+1)*checkInterval)
		}
		for side, l := range m.node.Links {
			if !m.portUp[side] || m.ailing || m.spec.Route && l.island() != 0 {
				return readyLimit
			}
		}
		if m.spec.Route && m.begun().Before(c.wholeAt) && c.w.now.Sub(m.begun()) <= readyLimit+slack {
			return readyLimit // its next hops were away: it asks for them less and less often
		}
	}
	return most
}

// capable reports whether a router can be master of a virtual router for an
// island of its side.
func (v *voice) capable(island int) bool {
	return !v.m.stopping && v.m.attached(v.vr.side, island) && !v.faulted()
}

// attached reports whether a running router has a link to an island of a side.
func (m *member) attached(side, island int) bool {
	n := m.node
	l := n.Links[side]
	return n.alive && !n.frozen && l.up && l.sw.islandOf(l) == island
}
