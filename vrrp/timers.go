package vrrp

import "time"

// masterDownFactor is how many of the master's intervals may pass in silence
// (RFC 9568 6.1, Master_Down_Interval).
const masterDownFactor = 3

// Pacing of Announce. The first comes with the mastership; the gaps behind it
// double, so that one lost frame is made good soon and a busy LAN gets few:
// with five announcements 0, 0.25, 0.75, 1.75 and 3.75 s after becoming Master.
const (
	announceGap    = 250 * time.Millisecond
	maxAnnounceGap = 8 * time.Second
)

// maxAsserted bounds the advertisements that received frames provoke, within one
// interval. Neither a flood, nor two routers that each take the other for the
// lesser one, can start a storm; and the Adver_Timer goes on all the while.
const maxAsserted = 10

// SkewTime returns how long a backup router waits beyond the master's silence,
// or after a priority 0: the less the higher its priority. Version 3: (256 -
// priority) * interval / 256, interval being the master's (RFC 9568 6.1).
// Version 2: (256 - priority) / 256 seconds (RFC 3768 6.1).
func SkewTime(version, priority uint8, interval time.Duration) time.Duration {
	if version == 2 {
		interval = time.Second
	}
	return time.Duration(256-int(priority)) * interval / 256
}

// MasterDownInterval returns the silence after which the master is taken for
// lost: 3 * interval + SkewTime (RFC 9568 6.1, RFC 3768 6.1).
func MasterDownInterval(version, priority uint8, interval time.Duration) time.Duration {
	return masterDownFactor*interval + SkewTime(version, priority, interval)
}

func (m *Machine) skewTime() time.Duration {
	return SkewTime(m.cfg.Version, m.priority, m.masterInterval)
}

func (m *Machine) masterDownInterval() time.Duration {
	return MasterDownInterval(m.cfg.Version, m.priority, m.masterInterval)
}

// handoverHold is how long a router that has handed over waits for another to
// come forward before it takes mastership back: longer than any skew time can
// be (one interval; one second in version 2).
func (m *Machine) handoverHold() time.Duration {
	longest := m.cfg.Interval
	if m.cfg.Version == 2 {
		longest = time.Second
	}
	return max(m.cfg.Drain, longest+longest/2)
}

// timers are the deadlines of a Machine; the zero Time means not running.
type timers struct {
	down     time.Time // Master_Down_Timer; Backup
	preempt  time.Time // the preemption delay ends, and a lesser master was heard; Backup
	advert   time.Time // Adver_Timer; Master
	announce time.Time // the next Announce; Master
	drain    time.Time // forwarding after mastership ends at the latest; not Master
	// better is not a deadline: until then a master is believed to live that we
	// do not preempt, whatever lesser ones say; Backup.
	better time.Time
	// several is not a deadline: until then more than one of these may live.
	several time.Time
}

// next returns the earliest deadline.
func (t *timers) next() time.Time {
	var first time.Time
	for _, d := range [...]time.Time{t.down, t.preempt, t.advert, t.announce, t.drain} {
		first = earlier(first, d)
	}
	return first
}

// earlier returns the earlier of two deadlines, where zero means none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// due reports whether a deadline has come.
func due(deadline, now time.Time) bool {
	return !deadline.IsZero() && !deadline.After(now)
}

// nextTick returns the deadline that follows one that was served at now. It
// keeps the grid, so that lateness does not add up; after a whole interval or
// more it starts a new one, so that nothing is made up for in a burst.
func nextTick(last, now time.Time, interval time.Duration) time.Time {
	if next := last.Add(interval); next.After(now) {
		return next
	}
	return now.Add(interval)
}

// announcePause returns the pause behind the n-th announcement of a
// mastership; 0: that was the last.
func announcePause(n, repeat int, refresh time.Duration) time.Duration {
	if n >= repeat {
		return refresh
	}
	pause := announceGap
	for i := 1; i < n && pause < maxAnnounceGap; i++ {
		pause *= 2
	}
	return pause
}
