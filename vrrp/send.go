package vrrp

import "time"

// advertisement returns ours, with the given priority.
func (m *Machine) advertisement(priority uint8) Advertisement {
	return Advertisement{
		Version:   m.cfg.Version,
		VRID:      m.cfg.VRID,
		Priority:  priority,
		Interval:  m.cfg.Interval,
		Addresses: m.cfg.Addresses,
		AuthType:  m.cfg.Auth.Type,
		AuthData:  m.cfg.Auth.authData(),
	}
}

func (m *Machine) send() Send {
	m.counters.sent++
	return Send{m.advertisement(m.priority)}
}

// sendZero tells the others that we give up (RFC 9568 6.4.3, Shutdown).
func (m *Machine) sendZero() Send {
	m.counters.sent++
	m.counters.zeroSent++
	return Send{m.advertisement(PriorityStop)}
}

// announce asks for one round of announcements and sets the time of the next.
// At least one is made, whatever Config.GARPRepeat says (RFC 9568 6.4.2).
func (m *Machine) announce(now time.Time) Announce {
	m.counters.announced++
	m.announced++
	m.announcedAt = now
	m.scheduleAnnouncement(now)
	return Announce{m.cfg.Addresses}
}

// scheduleAnnouncement sets the time of the announcement that follows the last.
func (m *Machine) scheduleAnnouncement(now time.Time) {
	m.timers.announce = time.Time{}
	pause := announcePause(m.announced, m.cfg.GARPRepeat, m.cfg.GARPRefresh)
	if pause == 0 {
		return
	}
	m.timers.announce = m.announcedAt.Add(pause)
	if m.timers.announce.Before(now) {
		m.timers.announce = now
	}
}

// LastWill returns what tells the others that this router is gone, for its
// owner to prepare while it lives: priority 0. It is not counted.
func (m *Machine) LastWill() Advertisement { return m.advertisement(PriorityStop) }
