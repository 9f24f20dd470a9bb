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

// announce asks for one round of announcements and sets the time of the next;
// where that would be too soon after the last, it is put off. At least one is
// made, whatever Config.GARPRepeat says (RFC 9568 6.4.2).
func (m *Machine) announce(actions []Action, now time.Time) []Action {
	if earliest := m.announcedAt.Add(contestedPace); earliest.After(now) && m.paced(now) {
		m.timers.announce = earliest
		return actions
	}
	m.counters.announced++
	m.announced++
	m.again = max(m.again-1, 0)
	m.announcedAt = now
	m.scheduleAnnouncement(now)
	return append(actions, Announce{m.cfg.Addresses})
}

// scheduleAnnouncement sets the time of the announcement that follows the last.
func (m *Machine) scheduleAnnouncement(now time.Time) {
	m.timers.announce = time.Time{}
	pause := announcePause(m.announced, m.cfg.GARPRepeat, m.cfg.GARPRefresh)
	switch {
	case m.again > 0:
		pause = contestedPace
	case pause == 0:
		return
	case m.paced(now):
		pause = max(pause, contestedPace)
	}
	m.timers.announce = m.announcedAt.Add(pause)
	if m.timers.announce.Before(now) {
		m.timers.announce = now
	}
}

// LastWill returns what tells the others that this router is gone, for its
// owner to prepare while it lives: priority 0. It is not counted.
func (m *Machine) LastWill() Advertisement { return m.advertisement(PriorityStop) }
