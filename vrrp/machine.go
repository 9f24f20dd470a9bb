package vrrp

import (
	"net/netip"
	"slices"
	"time"
)

// Machine is the state machine of one virtual router on one interface (RFC 9568
// 6.4, RFC 3768 6.4):
//
//	                  +---------------+
//	       +--------->|               |<-------------+
//	       |          |  Initialize   |              |
//	       |   +------|               |----------+   |
//	       |   |      +---------------+          |   |
//	       |   |                                 |   |
//	  Stop |   | Start:                   Start: |   | Stop
//	  Down |   | the owner         anybody else  |   | Down
//	       |   V                                 V   |
//	+---------------+   higher priority,  +---------------+
//	|               |   or equal priority |               |
//	|    Master     |   and a greater     |    Backup     |
//	|               |   address heard;    |               |
//	|               |   Switchover;       |               |
//	|               |   Resume            |               |
//	|               |-------------------->|               |
//	|               |                     |               |
//	|               |<--------------------|               |
//	|               |   the master is     |               |
//	+---------------+   silent too long   +---------------+
//
// Beside its state a Machine may be draining: having given up mastership of
// its own will (Stop, Switchover) it goes on forwarding, without answering for
// the virtual addresses, until the next master is heard. No packet is lost in
// between: make before break. Every other way out of Master ends forwarding at
// once, because another master is known or suspected.
//
// A Machine is a plain value without clock, socket or goroutine. The caller
// hands in what happened and the time (without a monotonic part, never going
// back), carries out the actions in their order, and calls Advance when
// Deadline has come. A Machine is not safe for concurrent use.
type Machine struct {
	cfg      Config
	source   netip.Addr // what our advertisements come from
	priority uint8      // the effective one: Config.Priority, until SetPriority
	state    State
	timers   timers
	// serving: frames to the virtual MAC are forwarded. True as Master; true in
	// another state while draining, with timers.drain set.
	serving bool

	masterInterval time.Duration // Master_Adver_Interval
	master         rival         // as Backup: who was heard last; priority 0: has given up
	better         netip.Addr    // whom timers.better is about
	fallen         uint8         // as Backup: the master's priority before it fell below ours; 0: it did not
	damped         time.Time     // as Backup: a takeover by silence is held back until then
	quiet          time.Time     // as Backup: since when the silence counts
	asserted       int           // answers since the Adver_Timer fired
	announced      int           // announcements since becoming Master, or since addresses came
	announcedAt    time.Time     // the last of them, or of an earlier mastership
	again          int           // announcements that are due contestedPace apart, after a contest
	carriers       int           // advertisements that still come at carrierInterval: see Reconfigure

	carrierInterval time.Duration

	preemptAt  time.Time // the preemption delay of this start is over
	holdUntil  time.Time // by Hold: does not preempt before
	listening  time.Time // by Resume: what it hears until then may be old
	elected    bool      // with Config.Grouped: would be Master; waits for TakeOver, without a timer
	followTies bool      // see FollowTies
	tieSince   time.Time // as Master: another one of the same priority has been heard since
	handedOver bool      // by Switchover: does not preempt the one that took over
	waiting    bool      // handed over, and nobody has come forward yet

	since       time.Time
	transitions uint64
	lastReason  string

	takeovers [dampedTakeovers]time.Time // the last ones by silence, the oldest first
	contest   *contest                   // nil: nobody else claims the virtual router

	peerAddresses []netip.Addr
	peerPlainCSum bool
	counters      counters
	sequences     sequences // of authentication headers
}

// New returns a Machine in Initialize. cfg is validated; it is copied.
func New(cfg Config) *Machine {
	cfg.Addresses = slices.Clone(cfg.Addresses)
	cfg.Peers = slices.Clone(cfg.Peers)
	return &Machine{cfg: cfg, priority: cfg.Priority, masterInterval: cfg.Interval}
}

// Config returns the configuration, which must not be changed.
func (m *Machine) Config() *Config { return &m.cfg }

// State returns the state.
func (m *Machine) State() State { return m.state }

// Forwarding reports whether frames to the virtual MAC are served: as Master,
// or while draining.
func (m *Machine) Forwarding() bool { return m.serving }

// Answers reports whether ARP requests and neighbour solicitations for the
// virtual addresses are answered: as Master only (RFC 9568 6.4.2, 6.4.3).
func (m *Machine) Answers() bool { return m.state == Master }

// Deadline returns when Advance must be called next; the zero Time: no need.
// After Advance(now) it lies after now.
func (m *Machine) Deadline() time.Time { return earlier(m.timers.next(), m.contest.deadline()) }

// SetSource changes the source address of advertisements, which is also what
// decides between equal priorities: the interface's address has changed.
func (m *Machine) SetSource(_ time.Time, source netip.Addr) { m.source = source }

// Start begins the protocol: the interface is up (RFC 9568 6.4.1, Startup).
// source is the interface's primary IPv4 or link-local IPv6 address. The owner
// becomes Master at once, anybody else Backup. A Machine that has been started
// takes over source and does nothing else.
func (m *Machine) Start(now time.Time, source netip.Addr) []Action {
	m.source = source
	if m.state != Initialize {
		return nil
	}
	if m.cfg.Owner() {
		return m.becomeMaster(now, "started as the owner of the addresses")
	}
	listen := MasterDownInterval(m.cfg.Version, m.priority, m.cfg.Interval)
	if m.cfg.PreemptDelay > 0 {
		m.preemptAt = now.Add(max(m.cfg.PreemptDelay, listen))
	}
	return m.becomeBackup(nil, now, listen, "started")
}

// Down ends the protocol at once: the interface is down, nothing can be sent,
// nothing is forwarded.
func (m *Machine) Down(now time.Time, reason string) []Action {
	return m.release(m.initialize(nil, now, reason), reason)
}

// Stop ends the protocol as planned (RFC 9568 6.4.2 and 6.4.3, Shutdown): a
// Master sends priority 0. It goes on forwarding until the next master is
// heard, but at most for Config.Drain; then Release comes from Receive or
// Advance, which must still be called.
func (m *Machine) Stop(now time.Time, reason string) []Action {
	if m.state != Master {
		return m.initialize(nil, now, reason)
	}
	actions := m.initialize([]Action{m.sendZero()}, now, reason)
	return m.drain(actions, now, m.cfg.Drain, reason)
}

// Resume tells that the process stood still for longer than its forwarding
// lease, so that others may have acted meanwhile. Nothing that was due is made
// up for: a Master becomes Backup without a word, the owner too; forwarding
// ends; and who would have become Master by now listens for a full
// Master_Down_Interval first.
func (m *Machine) Resume(now time.Time, frozen time.Duration) []Action {
	m.counters.resumed++
	reason := "stood still for " + written(frozen)
	var actions []Action
	switch {
	case m.state == Master:
		silence := MasterDownInterval(m.cfg.Version, m.priority, m.cfg.Interval)
		actions = m.becomeBackup(nil, now, silence, reason)
	case m.state == Backup && (m.elected || due(m.timers.down, now) || due(m.timers.preempt, now)):
		m.elected, m.damped = false, time.Time{}
		m.timers.down, m.quiet = now.Add(m.masterDownInterval()), now
		m.timers.preempt = time.Time{}
	case m.state == Backup:
		m.listening = m.timers.down
		return m.release(nil, reason)
	default: // its interface may come up now, with what has waited there
		m.listening = now.Add(MasterDownInterval(m.cfg.Version, m.priority, m.cfg.Interval))
		return m.release(nil, reason)
	}
	m.listening = m.timers.down
	if m.preemptFrom().After(now) && m.preemptAt.Before(m.timers.down) {
		// The end of a delay, or of Hold, and a lesser master heard first do not
		// cut the listening short.
		m.preemptAt = m.timers.down
	}
	return m.release(actions, reason)
}

// Advance lets everything happen whose time has come. Called too early it does
// nothing; called late it makes up for nothing that would only be a burst.
func (m *Machine) Advance(now time.Time) []Action {
	contest := m.advanceContest(nil, now)
	var actions []Action
	switch m.state {
	case Backup:
		actions = m.advanceBackup(now)
	case Master:
		actions = m.advanceMaster(now)
	}
	actions = append(actions, contest...)
	if due(m.timers.drain, now) {
		m.serving, m.timers.drain = false, time.Time{}
		actions = append(actions, Release{Reason: "drained", Unheard: true})
	}
	return actions
}

// advanceBackup is RFC 9568 6.4.2, Active_Down_Timer, and the preemption delay.
func (m *Machine) advanceBackup(now time.Time) []Action {
	if first := earlier(m.timers.preempt, m.timers.down); due(first, now) {
		if late := now.Sub(first); late > standstill(m.masterInterval) {
			return m.Resume(now, late)
		}
	}
	switch {
	case due(m.timers.preempt, now):
		return m.elect(now, m.preemptReason())
	case due(m.timers.down, now) && !m.holdBack(now):
		return m.elect(now, m.downReason(now))
	}
	return nil
}

// standstill is how late a Backup may notice that its time has come. Later than
// that it was not there to hear the master either, whose advertisements may wait
// unread. The forwarding lease says the same of a Master, by its own interval; a
// Backup's master may have a shorter one.
func standstill(interval time.Duration) time.Duration { return max(20*time.Millisecond, 2*interval) }

// elect becomes Master, or with Config.Grouped says that it would.
func (m *Machine) elect(now time.Time, reason string) []Action {
	if !m.cfg.Grouped {
		if m.bySilence(now) {
			m.tookOver(now)
		}
		return m.becomeMaster(now, reason)
	}
	m.timers.down, m.timers.preempt = time.Time{}, time.Time{}
	m.elected = true
	return []Action{Elected{Reason: reason, GaveUp: m.master.wasMaster}}
}

// advanceMaster is RFC 9568 6.4.3, Adver_Timer, and the announcements.
func (m *Machine) advanceMaster(now time.Time) []Action {
	var actions []Action
	if due(m.timers.advert, now) {
		actions = append(actions, m.send())
		m.timers.advert = nextTick(m.timers.advert, now, m.nextInterval())
		m.asserted = 0
	}
	if due(m.timers.announce, now) {
		actions = m.announce(actions, now)
	}
	return actions
}

// becomeMaster enters Master (RFC 9568 6.4.1, 6.4.2). A drain in progress is
// over without a Release: forwarding has never ended.
func (m *Machine) becomeMaster(now time.Time, reason string) []Action {
	m.timers = timers{advert: now.Add(m.cfg.Interval)}
	m.serving = true
	m.handedOver, m.waiting, m.elected = false, false, false
	m.tieSince = time.Time{}
	m.master = rival{}
	m.asserted, m.announced, m.carriers, m.again = 0, 0, 0, 0
	m.damped = time.Time{}
	m.counters.becameMaster++
	return m.announce([]Action{m.transition(now, Master, reason), m.send()}, now)
}

// becomeBackup enters Backup, to become Master after the given silence. Until
// a master is heard, its interval is taken to be our own.
func (m *Machine) becomeBackup(actions []Action, now time.Time, silence time.Duration, reason string) []Action {
	m.timers = timers{down: now.Add(silence), drain: m.timers.drain}
	m.quiet = now
	m.elected, m.fallen, m.damped = false, 0, time.Time{}
	m.masterInterval = m.cfg.Interval
	return append(actions, m.transition(now, Backup, reason))
}

// initialize enters Initialize; a drain goes on.
func (m *Machine) initialize(actions []Action, now time.Time, reason string) []Action {
	if m.state == Initialize {
		return actions
	}
	m.timers = timers{drain: m.timers.drain}
	m.handedOver, m.waiting, m.elected = false, false, false
	m.fallen, m.damped = 0, time.Time{}
	m.master = rival{}
	m.masterInterval = m.cfg.Interval
	actions = append(actions, m.transition(now, Initialize, reason))
	return m.endContest(actions, now, reason)
}

// drain goes on forwarding for at most the given time.
func (m *Machine) drain(actions []Action, now time.Time, most time.Duration, reason string) []Action {
	if most <= 0 {
		return m.release(actions, reason)
	}
	m.timers.drain = now.Add(most)
	return actions
}

// release ends forwarding, where it has not ended yet; the end of a drain is an
// action of its own.
func (m *Machine) release(actions []Action, reason string) []Action {
	m.serving = false
	if m.timers.drain.IsZero() {
		return actions
	}
	m.timers.drain = time.Time{}
	return append(actions, Release{Reason: reason})
}

func (m *Machine) transition(now time.Time, to State, reason string) Transition {
	t := Transition{From: m.state, To: to, Reason: reason, At: now}
	m.state, m.since, m.lastReason = to, now, reason
	m.transitions++
	return t
}
