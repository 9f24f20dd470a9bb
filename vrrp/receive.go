package vrrp

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Receive processes an advertisement that Parse has found good. It checks what
// needs the virtual router, and says why it discarded the packet; ReasonNone: it was processed (RFC 9568 6.4.2, 6.4.3, 7.1).
//
// A list of other addresses than ours is counted and shown in Info, but does
// not make a packet bad (RFC 9568 7.1): to ignore such a master would only
// make a second one. In Initialize packets are discarded; but a drain that
// Stop has begun ends with the first that says who is Master now, so there may
// be actions beside ReasonNotRunning.
func (m *Machine) Receive(now time.Time, from Sender, adv Advertisement) ([]Action, Reason) {
	from.Addr = from.Addr.WithZone("")
	if r := m.check(from.Addr, &adv); r != ReasonNone {
		m.counters.reasons[r]++
		return m.refusedClaim(now, r, from, &adv), r
	}
	var actions []Action
	if m.state != Master && adv.Priority != PriorityStop {
		actions = m.release(nil, fmt.Sprintf("%v is master now, priority %d", from.Addr, adv.Priority))
	}
	if m.state == Initialize {
		m.counters.reasons[ReasonNotRunning]++
		return actions, ReasonNotRunning
	}
	m.note(&adv)
	if m.state == Master {
		return m.receiveMaster(now, from, &adv), ReasonNone
	}
	actions = append(actions, m.watch(now, from, &adv)...)
	m.receiveBackup(now, from, &adv)
	return actions, ReasonNone
}

// check verifies what needs the virtual router (RFC 9568 7.1, RFC 3768 7.1).
func (m *Machine) check(src netip.Addr, adv *Advertisement) Reason {
	switch {
	case adv.VRID != m.cfg.VRID || src.Is6() != m.cfg.IPv6():
		return ReasonUnknown
	case adv.Version != m.cfg.Version:
		return ReasonVersionMismatch
	case src == m.source.WithZone(""):
		return ReasonOwnSource
	case len(m.cfg.Peers) > 0 && !slices.Contains(m.cfg.Peers, src):
		return ReasonPeer
	}
	if r := m.authenticate(src, adv); r != ReasonNone {
		return r
	}
	switch {
	case adv.Version == 2 && adv.Interval != m.cfg.Interval:
		return ReasonIntervalMismatch
	case m.cfg.Owner() && adv.Priority == PriorityOwner:
		return ReasonOwnerConflict
	}
	return ReasonNone
}

// note remembers what is of interest to people only.
func (m *Machine) note(adv *Advertisement) {
	m.counters.received++
	if adv.Priority == PriorityStop {
		m.counters.zeroReceived++
	}
	m.peerPlainCSum = adv.PlainCSum
	if sameAddresses(m.cfg.Addresses, adv.Addresses) {
		m.peerAddresses = nil
		return
	}
	m.counters.reasons[ReasonAddressMismatch]++
	m.peerAddresses = adv.Addresses
}

// sameAddresses compares two lists without regard to their order.
func sameAddresses(a, b []netip.Addr) bool {
	if slices.Equal(a, b) {
		return true
	}
	if len(a) != len(b) {
		return false
	}
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortFunc(a, netip.Addr.Compare)
	slices.SortFunc(b, netip.Addr.Compare)
	return slices.Equal(a, b)
}

// receiveBackup is RFC 9568 6.4.2, ADVERTISEMENT received.
func (m *Machine) receiveBackup(now time.Time, from Sender, adv *Advertisement) {
	before := m.master
	heard := before.priority != PriorityStop // also nobody has priority 0
	m.observe(now, &before, from, adv)
	m.master = heardFrom(from, adv, now)
	switch {
	case adv.Priority == PriorityStop:
		m.timers.down, m.timers.preempt = latest(now.Add(m.skewTime()), m.listening), time.Time{}
		m.timers.better = time.Time{}
		m.elected, m.fallen, m.damped = false, 0, time.Time{}
		m.master.wasMaster = before.wasMaster
		if heard {
			m.handedOver = false
			m.master.wasMaster = from.Addr == before.Addr || from.Addr == m.better
		}
	case adv.Priority >= m.priority:
		m.follow(now, adv)
		m.believe(now, from.Addr)
	case !m.preempts(now):
		m.follow(now, adv)
		if from.Addr == m.better {
			m.timers.better = time.Time{} // it is not better any more
		}
		if m.cfg.Preempt && !m.handedOver && !now.Before(m.timers.better) {
			m.timers.preempt = m.preemptFrom()
		}
	case m.fell(now, &before, from.Addr):
		m.timers.better = time.Time{}
		if soon := latest(now.Add(m.skewTime()), m.listening); m.timers.down.After(soon) {
			m.timers.down, m.fallen = soon, before.priority
		}
	}
	// What is left is discarded: we preempt, and the Master_Down_Timer goes on.
}

// latest returns the later of two times. A router that stood still hears first
// what waited in its queues meanwhile: a priority 0 of long ago must not make it
// Master before it has listened.
func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// believe takes the sender of an advertisement for a living master that we do
// not preempt.
func (m *Machine) believe(now time.Time, addr netip.Addr) {
	if addr != m.better && m.timers.better.After(now) {
		m.timers.several = m.timers.down
	}
	m.better, m.timers.better = addr, m.timers.down
}

// fell reports whether the one master that we followed says that it is worse
// than we are, which it did not say before. It has in effect given up: no need
// to wait for the rest of the Master_Down_Timer. (RFC 9568 6.4.2 discards such an
// advertisement; the others that are better than it wait for their skew times
// just as after a priority 0, so the best of them goes first.)
func (m *Machine) fell(now time.Time, before *rival, addr netip.Addr) bool {
	return before.Addr == addr && before.priority >= m.priority && !m.timers.several.After(now)
}

// follow takes the sender for the master: version 3 learns its interval (RFC
// 9568 6.4.2); the Master_Down_Timer starts anew.
func (m *Machine) follow(now time.Time, adv *Advertisement) {
	m.masterInterval = adv.Interval
	m.waiting, m.elected, m.fallen = false, false, 0
	m.damped = time.Time{}
	m.timers.down, m.timers.preempt = now.Add(m.masterDownInterval()), time.Time{}
	m.quiet = now
}

// preempts reports whether a master of lower priority is taken over from. The
// owner always does (RFC 9568 6.1, Preempt_Mode).
func (m *Machine) preempts(now time.Time) bool {
	if m.cfg.Owner() {
		return true
	}
	return m.cfg.Preempt && !m.handedOver && !now.Before(m.preemptFrom())
}

// receiveMaster is RFC 9568 6.4.3, ADVERTISEMENT received.
func (m *Machine) receiveMaster(now time.Time, from Sender, adv *Advertisement) []Action {
	switch {
	case adv.Priority == PriorityStop:
		actions := m.assert()
		if actions != nil {
			m.timers.advert = now.Add(m.nextInterval())
		}
		return append(actions, m.concede(now, from)...)
	case adv.Priority > m.priority:
		return m.yield(now, from, adv, higherPriority(from.Addr, adv.Priority, m.priority))
	case adv.Priority == m.priority && from.Addr.Compare(m.source.WithZone("")) > 0 && !m.tieOpen(now, adv.Interval):
		return m.yield(now, from, adv, greaterAddress(from.Addr, adv.Priority))
	case m.cfg.Version == 3:
		actions := m.assert() // RFC 9568 6.4.3; earlier RFCs discard it in silence
		return append(actions, m.lesserClaim(now, from, adv)...)
	}
	return m.lesserClaim(now, from, adv)
}

// tieOpen reports whether the decision between equal priorities is still to come
// from elsewhere (FollowTies).
func (m *Machine) tieOpen(now time.Time, interval time.Duration) bool {
	if !m.followTies {
		return false
	}
	wait := MasterDownInterval(m.cfg.Version, m.priority, interval)
	if m.tieSince.IsZero() || now.Sub(m.tieSince) > 2*wait { // the first, or another one than then
		m.tieSince = now
	}
	return now.Sub(m.tieSince) < wait
}

// yield leaves Master to a better one.
func (m *Machine) yield(now time.Time, from Sender, adv *Advertisement, reason string) []Action {
	silence := MasterDownInterval(m.cfg.Version, m.priority, adv.Interval)
	actions := m.becomeBackup(nil, now, silence, reason)
	m.masterInterval = adv.Interval
	m.master = heardFrom(from, adv, now)
	m.believe(now, from.Addr)
	return m.release(actions, reason)
}

// assert sends an advertisement because a received one calls for it.
func (m *Machine) assert() []Action {
	if m.asserted >= maxAsserted {
		return nil
	}
	m.asserted++
	m.counters.asserted++
	return []Action{m.send()}
}
