package vrrp

import (
	"net/netip"
	"slices"
	"time"
)

// carriers is how many advertisements with a new, longer interval still come at
// the pace of the old one: as many as a Backup that goes by the old one misses
// before it takes the Master for lost.
const carriers = masterDownFactor

// Reconfigure takes over another configuration of the same virtual router: VRID,
// family and version are those of before, or else the Machine must be stopped
// and another one started. It keeps its state, and what it knows of others; the
// timers of the protocol go on. A Master says at once what it says differently
// from now on, and announces addresses that are new.
//
// The effective priority moves to the new Config.Priority where it was the old
// one; where SetPriority has set another, that one stays until the next call. A
// Machine that becomes the owner of its addresses becomes Master (RFC 9568
// 6.4.1). Preemption, its delay and the choice of peers decide over what is
// heard from now on; a drain that has begun goes on as it was.
func (m *Machine) Reconfigure(now time.Time, cfg Config) []Action {
	old := m.cfg
	cfg.Addresses, cfg.Peers = slices.Clone(cfg.Addresses), slices.Clone(cfg.Peers)
	m.cfg = cfg
	if m.priority == old.Priority || cfg.Owner() || old.Owner() {
		m.priority = cfg.Priority
	}
	if !m.master.Addr.IsValid() {
		m.masterInterval = cfg.Interval
	}
	m.shiftPreemption(now, cfg.PreemptDelay-old.PreemptDelay)
	switch {
	case m.state == Master:
		return m.reconfigureMaster(now, &old)
	case m.state != Backup || m.elected && cfg.Grouped:
	case cfg.Owner() && !old.Owner():
		return m.elect(now, "the owner of the addresses by its new configuration")
	case m.elected && !cfg.Grouped:
		return m.becomeMaster(now, "elected, and no longer one of a group")
	}
	return nil
}

// shiftPreemption moves the end of a preemption delay that has not come yet.
func (m *Machine) shiftPreemption(now time.Time, by time.Duration) {
	if m.preemptAt.After(now) {
		m.preemptAt = m.preemptAt.Add(by)
	}
	if m.timers.preempt.IsZero() {
		return
	}
	m.timers.preempt = time.Time{}
	if m.cfg.Preempt {
		m.timers.preempt = m.preemptFrom()
	}
}

// reconfigureMaster tells the others of what has changed.
func (m *Machine) reconfigureMaster(now time.Time, old *Config) []Action {
	var actions []Action
	m.pace(now, old.Interval)
	if m.cfg.Priority != old.Priority || m.cfg.Interval != old.Interval || m.cfg.Auth != old.Auth ||
		!slices.Equal(m.cfg.Addresses, old.Addresses) || !slices.Equal(m.cfg.Peers, old.Peers) {
		m.timers.advert = now.Add(m.nextInterval())
		actions = append(actions, m.send())
	}
	added := added(old.Addresses, m.cfg.Addresses)
	switch {
	case len(added) > 0:
		m.announced = 0
		before := len(actions)
		if actions = m.announce(actions, now); len(actions) > before {
			actions[before] = Announce{added}
		}
	case m.cfg.GARPRepeat != old.GARPRepeat || m.cfg.GARPRefresh != old.GARPRefresh:
		m.scheduleAnnouncement(now)
	}
	return actions
}

// added returns the addresses that are in now, but not in old.
func added(old, now []netip.Addr) (list []netip.Addr) {
	for _, a := range now {
		if !slices.Contains(old, a) {
			list = append(list, a)
		}
	}
	return list
}

// pace keeps the pace of a shorter interval for as many advertisements as tell
// the others of the longer one.
func (m *Machine) pace(now time.Time, old time.Duration) {
	if m.carriers > 0 {
		old = min(old, m.carrierInterval)
	}
	m.carriers = 0
	if m.cfg.Interval > old {
		m.carriers, m.carrierInterval = carriers, old
	} else if next := now.Add(m.cfg.Interval); m.timers.advert.After(next) {
		m.timers.advert = next
	}
}

// nextInterval returns how long the next advertisement comes after this one.
func (m *Machine) nextInterval() time.Duration {
	if m.carriers == 0 {
		return m.cfg.Interval
	}
	m.carriers--
	return m.carrierInterval
}
