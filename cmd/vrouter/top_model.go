package main

import (
	"cmp"
	"slices"
	"time"

	"vrouter/control"
	"vrouter/router"
)

// part is a part of the screen of top.
type part int

// The parts, in their order; the key of each is its number.
const (
	partAll part = iota
	partRouters
	partInterfaces
	partWorkers
	partLosses
	partEvents
)

// Limits of what is kept.
const (
	historyKept = 200 // samples
	eventsKept  = 200
)

// topModel is what top shows: a plain value that samples and keys change.
type topModel struct {
	source   string // the socket
	interval time.Duration

	last     *sample
	load     load        // between the last sample and the one before it
	history  []perSecond // packets received a second, oldest first
	events   []router.Event
	sequence uint64 // of the newest event
	problem  error  // why there is no newer sample

	only   part // the part that has the whole screen
	offset int  // its first row on the screen
	paused bool
	byLoad bool // interfaces by traffic, not in the order of the configuration
}

// take takes over a newer sample.
func (m *topModel) take(s *sample) {
	m.problem = nil
	for _, e := range s.events {
		m.sequence = max(m.sequence, e.Sequence)
		if !slices.ContainsFunc(m.events, func(k router.Event) bool { return k.Sequence == e.Sequence && k.Time.Equal(e.Time) }) {
			m.events = append(m.events, e)
		}
	}
	m.events = m.events[max(0, len(m.events)-eventsKept):]
	before := m.last
	m.last, m.load = s, s.between(before)
	if m.load.in >= 0 {
		m.history = append(m.history, m.load.in)
		m.history = m.history[max(0, len(m.history)-historyKept):]
	}
}

// fail notes that the router did not answer. If it comes back it may be another
// process, whose events are numbered anew: all of them are asked for, and those
// that are known left out.
func (m *topModel) fail(err error) {
	m.problem, m.sequence = err, 0
}

// interfaces are in the order that was chosen.
func (m *topModel) interfaces() []interfaceLoad {
	if !m.byLoad {
		return m.load.interfaces
	}
	list := slices.Clone(m.load.interfaces)
	slices.SortStableFunc(list, func(a, b interfaceLoad) int { return cmp.Compare(b.traffic(), a.traffic()) })
	return list
}

// routers are those in trouble first: where there is no room for all of them,
// they are the ones to see.
func (m *topModel) routers() (list []*control.VirtualRouter) {
	for i := range m.last.routers {
		list = append(list, &m.last.routers[i])
	}
	slices.SortStableFunc(list, func(a, b *control.VirtualRouter) int { return trouble(b) - trouble(a) })
	return list
}

// trouble is how badly a virtual router is off: 0 is well.
func trouble(v *control.VirtualRouter) int {
	switch {
	case v.Contested != nil, v.State == stateMaster && !v.Forwarding:
		return 2
	case v.State == stateInitialize:
		return 1
	}
	return 0
}

// press does what a key stands for. It returns true where the user wants to
// leave.
func (m *topModel) press(key string, page int) (leave bool) {
	switch key {
	case "q", "ctrl+c", "esc":
		if key == "esc" && m.only != partAll {
			m.only, m.offset = partAll, 0
			return false
		}
		return true
	case "0", "1", "2", "3", "4", "5":
		m.only, m.offset = part(key[0]-'0'), 0
	case "p", "space", " ":
		m.paused = !m.paused
	case "s":
		m.byLoad = !m.byLoad
	case "+", "=":
		m.interval = min(m.interval*2, maxTopInterval)
	case "-":
		m.interval = max(m.interval/2, minTopInterval)
	case "up", "k":
		m.offset--
	case "down", "j":
		m.offset++
	case "pgup":
		m.offset -= page
	case "pgdown":
		m.offset += page
	case "home", "g":
		m.offset = 0
	case "end", "G":
		m.offset = 1 << 30 // the view keeps it inside
	}
	return false
}

// share divides rows among parts that want so many each: none gets more than it
// wants, and those that want more get the same, the first of them what is left.
func share(rows int, wants []int) []int {
	got := make([]int, len(wants))
	for rows > 0 {
		given := false
		for i, want := range wants {
			if got[i] < want && rows > 0 {
				got[i]++
				rows--
				given = true
			}
		}
		if !given {
			break
		}
	}
	return got
}
