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
	m.timers.announce = time.Time{}
	if pause := announcePause(m.announced, m.cfg.GARPRepeat, m.cfg.GARPRefresh); pause > 0 {
		m.timers.announce = now.Add(pause)
	}
	return Announce{}
}
