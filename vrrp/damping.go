package vrrp

import (
	"fmt"
	"time"
)

// Damping (Config.Damping) holds back takeovers that rest on silence alone.
// Where a LAN loses half of the advertisements, three in a row are lost every
// few seconds; each time the Backup takes over from a master that lives, hears
// it and yields. So after dampedTakeovers of them within dampingWindow the next
// one needs a longer silence: until the first of them is dampingWindow ago, but
// dampedSilence intervals at most, which even such a LAN does not lose in a row.
//
// What is said is never doubted: a master that gives up (priority 0), that falls
// below us, or that TakeOver declares dead, is replaced as ever.
const (
	dampingWindow   = time.Minute
	dampedTakeovers = 2
	dampedSilence   = 48
)

// tookOver notes a takeover by silence, by us or by another.
func (m *Machine) tookOver(now time.Time) {
	copy(m.takeovers[:], m.takeovers[1:])
	m.takeovers[dampedTakeovers-1] = now
}

// observe notes that another Backup has taken over from a better master: one
// that gave up would have said so.
func (m *Machine) observe(now time.Time, before *rival, from Sender, adv *Advertisement) {
	again := now.Sub(m.takeovers[dampedTakeovers-1]) <= m.masterDownInterval()
	if from.Addr != before.Addr && adv.Priority > PriorityStop && adv.Priority < before.priority && !again {
		m.tookOver(now)
	}
}

// unsteady reports whether mastership comes and goes: as many takeovers by
// silence within the window as damping allows.
func (m *Machine) unsteady(now time.Time) bool {
	first := m.takeovers[0]
	return !first.IsZero() && now.Before(first.Add(dampingWindow))
}

// bySilence reports whether the Master_Down_Timer speaks of silence, and of
// nothing that was said.
func (m *Machine) bySilence(now time.Time) bool {
	r := &m.master
	return !m.waiting && m.fallen == 0 && !(r.Addr.IsValid() && r.priority == PriorityStop) && !m.preemptsLiving(now)
}

// preemptsLiving reports whether the Master_Down_Timer has run down beside a
// lesser master that lives.
func (m *Machine) preemptsLiving(now time.Time) bool {
	r := &m.master
	return r.Addr.IsValid() && m.preempts(now) && r.priority > PriorityStop && r.priority < m.priority &&
		now.Sub(r.at) <= masterDownFactor*r.interval
}

// holdBack puts a takeover by silence off, and reports whether it did.
func (m *Machine) holdBack(now time.Time) bool {
	if !m.cfg.Damping || !m.unsteady(now) || !m.bySilence(now) {
		return false
	}
	until := m.takeovers[0].Add(dampingWindow)
	if longest := m.quiet.Add(dampedSilence * m.masterInterval); longest.Before(until) {
		until = longest
	}
	if !until.After(now) {
		return false
	}
	m.timers.down, m.damped = until, until
	return true
}

// dampedNote is what the reason of a takeover that was held back says beside
// its evidence.
func (m *Machine) dampedNote() string {
	if m.damped.IsZero() || !m.bySilence(m.damped) {
		return ""
	}
	return fmt.Sprintf(" (held back by damping: %d takeovers within %s before)", dampedTakeovers, written(dampingWindow))
}
