package vrrp

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// A virtual router is contested while another router goes on claiming it beside
// its Master, although an election would have ended that: one of the two does
// not hear the other, or will not. The Machine does what the protocol says, tells
// of it, and keeps its announcements to one in a second: two routers that
// announce against each other would fill the LAN and help nobody.

const (
	// claimsToBegin is how often a claim must be heard. One or two come with any
	// election: they cross the advertisement that ends them.
	claimsToBegin = 3
	// contestLife is how many of its intervals a claimant may be silent before
	// the contest is over, and contestLinger for how long at least.
	contestLife   = 4
	contestLinger = time.Second
	// contestedPace is the least time between announcements while contested.
	contestedPace = time.Second
)

// ContestKind says what is wrong about a claim.
type ContestKind uint8

// The kinds.
const (
	ContestLesser    ContestKind = iota + 1 // we are Master, and it goes on advertising lower than we do: it does not hear us
	ContestTwo                              // as Backup: beside our master a lesser one, which does not hear it
	ContestOwner                            // it says that it owns the addresses, as we do
	ContestAddresses                        // a stranger: none of its addresses is one of ours
	ContestRefused                          // what it sends for our VRID is discarded: other version, interval, peer, authentication
)

// String returns the kind in snake case.
func (k ContestKind) String() string {
	switch k {
	case ContestLesser:
		return "lesser_master"
	case ContestTwo:
		return "two_masters"
	case ContestOwner:
		return "owner_conflict"
	case ContestAddresses:
		return "other_addresses"
	case ContestRefused:
		return "refused"
	}
	return "unknown_kind"
}

// MarshalText writes the kind's name.
func (k ContestKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Contested is who else claims the virtual router.
type Contested struct {
	Kind      ContestKind
	Sender    Sender
	Priority  uint8
	Addresses []netip.Addr // as it lists them
	Refused   Reason       // with ContestRefused: why it is discarded
	Since     time.Time    // its first claim
	Heard     time.Time    // its last
	// Deaf tells that it does not hear the Master, going by what it sends; where
	// false, what it sends does not tell.
	Deaf   bool
	Reason string // what is wrong, with the evidence
}

// Contest says that a contest begins, or is over.
type Contest struct {
	Contested Contested
	Begins    bool
	Reason    string
}

func (Contest) action() {}

// contest is a Contested in the making, shown, or healing.
type contest struct {
	Contested
	interval time.Duration // the claimant's
	claims   int
	sent     uint64    // ours at the first claim
	shown    bool      // the Contest has been told
	missed   time.Time // a claim should have come by then: it may have healed; zero: that was said already
}

// over returns when the contest is over, unless another claim is heard. One that
// was told of lingers, so that it does not begin and end all the time.
func (c *contest) over() time.Time {
	life := contestLife * c.interval
	if c.shown {
		life = max(life, contestLinger)
	}
	return c.Heard.Add(life)
}

// deadline returns when advanceContest must be called.
func (c *contest) deadline() time.Time {
	if c == nil {
		return time.Time{}
	}
	if !c.missed.IsZero() && c.missed.Before(c.over()) {
		return c.missed
	}
	return c.over()
}

// claim notes an advertisement that is no part of an election. One claimant is
// kept at a time: the first, until it falls silent.
func (m *Machine) claim(now time.Time, kind ContestKind, from Sender, adv *Advertisement) []Action {
	if m.state == Initialize {
		return nil
	}
	c := m.contest
	if c == nil || !c.over().After(now) && !c.shown {
		c = &contest{Contested: Contested{Since: now}, sent: m.counters.sent}
		m.contest = c
	} else if c.Sender.Addr != from.Addr {
		return nil
	}
	c.Kind, c.Sender, c.Priority, c.Heard = kind, from, adv.Priority, now
	c.Addresses, c.Refused = adv.Addresses, ReasonNone
	c.Deaf = kind == ContestLesser || kind == ContestTwo
	c.claims++
	c.interval = max(adv.Interval, IntervalUnit3)
	c.missed = now.Add(c.interval + c.interval/2)
	if c.shown || c.claims < claimsToBegin || now.Sub(c.Since) < c.interval {
		return nil
	}
	if kind == ContestLesser && m.counters.sent-c.sent < claimsToBegin-1 {
		return nil // it has not had the chance to hear us yet
	}
	c.shown = true
	return m.beginContest()
}

// beginContest tells of the contest.
func (m *Machine) beginContest() []Action {
	c := m.contested()
	return []Action{Contest{*c, true, c.Reason}}
}

// contestReason says what is wrong, with the evidence.
func (m *Machine) contestReason() string {
	c := m.contest
	who := fmt.Sprintf("%v (%v)", c.Sender.Addr, c.Sender.MAC)
	switch c.Kind {
	case ContestLesser:
		return fmt.Sprintf("%s goes on advertising priority %d beside our %d: it does not hear us", who, c.Priority, m.priority)
	case ContestTwo:
		return fmt.Sprintf("%s advertises priority %d beside the master %v: it does not hear it", who, c.Priority, m.better)
	case ContestOwner:
		return who + " says that it owns the addresses (priority 255), as we do"
	case ContestAddresses:
		return fmt.Sprintf("%s advertises our VRID %d with other addresses: %v, priority %d", who, m.cfg.VRID, c.Addresses, c.Priority)
	}
	return fmt.Sprintf("%s advertises our VRID %d, and is discarded (%v), priority %d", who, m.cfg.VRID, c.Refused, c.Priority)
}

// refusedClaim notes a packet for this virtual router that is discarded. A
// router that speaks both versions is no second master (RFC 9568 8.4.2).
func (m *Machine) refusedClaim(now time.Time, r Reason, from Sender, adv *Advertisement) []Action {
	switch {
	case r == ReasonUnknown || r == ReasonOwnSource || from.Addr == m.master.Addr:
		return nil
	case adv.Priority == PriorityStop:
		return m.concede(now, from)
	case r == ReasonOwnerConflict:
		return m.claim(now, ContestOwner, from, adv)
	}
	actions := m.claim(now, ContestRefused, from, adv)
	if c := m.contest; c != nil && c.Sender.Addr == from.Addr {
		c.Refused = r
		if len(actions) > 0 {
			actions = m.beginContest()
		}
	}
	return actions
}

// stranger reports whether an advertisement lists none of our addresses. Lists
// that differ in part are those of routers that are being reconfigured.
func (m *Machine) stranger(adv *Advertisement) bool {
	return !slices.ContainsFunc(adv.Addresses, func(a netip.Addr) bool {
		return slices.Contains(m.cfg.Addresses, a)
	})
}

// lesserClaim notes the advertisement of a lesser router beside us, as Master.
func (m *Machine) lesserClaim(now time.Time, from Sender, adv *Advertisement) []Action {
	switch {
	case m.stranger(adv):
		return m.claim(now, ContestAddresses, from, adv)
	case m.followTies && adv.Priority == m.priority:
		return nil // an election that is still open
	}
	return m.claim(now, ContestLesser, from, adv)
}

// watch looks for claims in what a Backup hears.
func (m *Machine) watch(now time.Time, from Sender, adv *Advertisement) []Action {
	switch {
	case adv.Priority == PriorityStop:
		return m.concede(now, from)
	case m.stranger(adv):
		return m.claim(now, ContestAddresses, from, adv)
	case adv.Priority < m.priority && m.timers.better.After(now) && from.Addr != m.better:
		return m.claim(now, ContestTwo, from, adv)
	}
	return nil
}

// concede ends the contest with a claimant that gives up.
func (m *Machine) concede(now time.Time, from Sender) []Action {
	if m.contest == nil || m.contest.Sender.Addr != from.Addr {
		return nil
	}
	m.heal(now)
	return m.endContest(nil, now, gaveUp(from.Addr))
}

// advanceContest lets a contest heal, and end.
func (m *Machine) advanceContest(actions []Action, now time.Time) []Action {
	c := m.contest
	if c == nil {
		return actions
	}
	if due(c.missed, now) {
		c.missed = time.Time{}
		if c.shown {
			m.heal(now)
		}
	}
	if c.over().After(now) {
		return actions
	}
	return m.endContest(actions, now, fmt.Sprintf("nothing from %v for %s", c.Sender.Addr, written(now.Sub(c.Heard))))
}

// endContest forgets the claimant; where the contest was told of, its end is too.
func (m *Machine) endContest(actions []Action, now time.Time, reason string) []Action {
	c := m.contest
	m.contest = nil
	if c == nil || !c.shown {
		return actions
	}
	reason += ", contested for " + written(now.Sub(c.Since))
	return append(actions, Contest{c.Contested, false, reason})
}

// contested returns who else claims the virtual router, as told; nil: nobody.
func (m *Machine) contested() *Contested {
	if m.contest == nil || !m.contest.shown {
		return nil
	}
	c := m.contest.Contested
	c.Reason = m.contestReason()
	return &c
}

// heal has the Master announce at once and again after a second, as the pace
// allows: switches and hosts may have believed the other one.
func (m *Machine) heal(now time.Time) {
	if m.state != Master {
		return
	}
	m.again = 2
	m.timers.announce = now
	if earliest := m.announcedAt.Add(contestedPace); earliest.After(now) {
		m.timers.announce = earliest
	}
}

// paced reports whether announcements are kept apart: while contested, and while
// mastership comes and goes.
func (m *Machine) paced(now time.Time) bool {
	return m.contest != nil && m.contest.shown || m.unsteady(now)
}
