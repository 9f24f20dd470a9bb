package vrrp

import (
	"errors"
	"time"
)

// Here is what the owner of a Machine may ask of it beside the protocol's own
// events.

// Errors of Switchover.
var (
	ErrNotMaster = errors.New("vrrp: not Master: nothing to hand over")
	ErrOwner     = errors.New("vrrp: the owner of the addresses cannot hand them over: stop it instead")
)

// Switchover hands mastership over as planned: the Master sends priority 0 and
// becomes Backup, but forwards on until the next master is heard, to which it
// then yields whatever its priority, until that one is lost in turn. Where
// nobody comes forward (for longer than any router's skew time, and not before
// Config.Drain is over) it becomes Master again, having forwarded throughout.
// With Config.Drain 0 forwarding ends at once.
func (m *Machine) Switchover(now time.Time) ([]Action, error) {
	if m.state != Master {
		return nil, ErrNotMaster
	}
	if m.cfg.Owner() {
		return nil, ErrOwner
	}
	actions := m.Yield(now, "switchover")
	m.handedOver = true
	return actions, nil
}

// Yield gives mastership up for now: the Master sends priority 0 and becomes
// Backup, but forwards on until the next master is heard. Unlike after
// Switchover it preempts again by the ordinary rules. Where nobody comes forward
// (see Switchover) it is elected again. In other states it does nothing.
func (m *Machine) Yield(now time.Time, reason string) []Action {
	if m.state != Master {
		return nil
	}
	hold := m.handoverHold()
	actions := m.becomeBackup([]Action{m.sendZero()}, now, hold, reason)
	m.waiting = true
	if m.cfg.Drain == 0 {
		hold = 0
	}
	return m.drain(actions, now, hold, reason)
}

// TakeOver makes a Backup Master at once: the owner of the Machine knows that
// the master is gone, or decides for a group. In other states it does nothing.
func (m *Machine) TakeOver(now time.Time, reason string) []Action {
	if m.state != Backup {
		return nil
	}
	if m.elected && m.bySilence(now) {
		m.tookOver(now)
	}
	return m.becomeMaster(now, reason)
}

// Impersonated tells that a frame from the virtual MAC was received: another
// router sent it, such as an announcement of the last master that crossed our
// takeover on the wire. Switches have learned the MAC there; a Master puts them
// right with an advertisement, as often as it may assert itself. In other states
// it does nothing.
func (m *Machine) Impersonated(time.Time) []Action {
	if m.state != Master {
		return nil
	}
	return m.assert()
}

// SetPriority changes the effective priority, which begins as Config.Priority:
// 1 to 254. A Master says so at once, so that a better Backup need not wait for
// the next advertisement. The owner's priority never changes (RFC 9568 5.2.4).
func (m *Machine) SetPriority(now time.Time, priority uint8) []Action {
	if priority == m.priority || m.cfg.Owner() {
		return nil
	}
	m.priority = priority
	if m.state != Master {
		return nil
	}
	m.timers.advert = now.Add(m.nextInterval())
	return []Action{m.send()}
}

// Hold keeps the Machine from preempting a lesser master before a time; the
// zero Time lets it do so from now on. A master that gives up, or is lost, is
// replaced all the same.
func (m *Machine) Hold(until time.Time) {
	m.holdUntil = until
	if !m.timers.preempt.IsZero() {
		m.timers.preempt = m.preemptFrom()
	}
}

// preemptFrom returns from when a lesser master is preempted.
func (m *Machine) preemptFrom() time.Time {
	if m.holdUntil.After(m.preemptAt) {
		return m.holdUntil
	}
	return m.preemptAt
}

// Elected reports whether an Elected action waits for TakeOver.
func (m *Machine) Elected() bool { return m.elected }

// DrainEnd returns when a drain in progress ends at the latest; the zero Time
// where there is none.
func (m *Machine) DrainEnd() time.Time { return m.timers.drain }

// FollowTies leaves the decision between equal priorities to somebody else, the
// leader of a group: this Machine goes on as Master for as long as a Backup would
// wait, and only then goes by the greater address as RFC 9568 6.4.3 says. Two
// groups that each won one member by its address would else go round for ever.
func (m *Machine) FollowTies(follow bool) { m.followTies = follow }
