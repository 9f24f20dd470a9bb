package bfd

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Session is the machine of one session (RFC 5880 6.8; names of state variables
// are those of 6.8.1 without the prefix "bfd."). The zero Deadline says that
// nothing is to be done.
type Session struct {
	cfg    Config
	random *rand.Rand

	state       State
	diagnostic  Diagnostic
	multiplier  uint8
	desiredTX   time.Duration // DesiredMinTxInterval, as packets say it
	actualTX    time.Duration // and as it holds until the neighbour has agreed
	requiredRX  time.Duration // RequiredMinRxInterval
	polling     bool          // a Poll Sequence is under way
	pollAgain   bool          // another one is due after it
	remote      State
	remoteDiag  Diagnostic
	yours       uint32        // RemoteDiscr
	remoteRX    time.Duration // RemoteMinRxInterval; 0: it wants nothing
	remoteTX    time.Duration // its DesiredMinTxInterval
	remoteMult  uint8
	remoteAsks  bool // RemoteDemandMode
	transmitAt  time.Time
	detectAt    time.Time // the Detection Time is over; zero: it does not run
	excusedAt   time.Time // since then its end is put off (Unheard); zero: it is not
	since       time.Time
	transitions uint64
	lastReason  string
	sent        uint64
	received    uint64
	everUp      bool
	failed      bool
}

// New returns a session in AdminDown, which Start enables.
func New(cfg Config) *Session {
	return &Session{cfg: cfg, random: rand.New(rand.NewPCG(cfg.Seed, uint64(cfg.Discriminator)))}
}

// Config returns the configuration.
func (s *Session) Config() Config { return s.cfg }

// State returns the state.
func (s *Session) State() State { return s.state }

// Info returns what there is to tell.
func (s *Session) Info() Info {
	return Info{
		State: s.state, Remote: s.remote, Diagnostic: s.diagnostic, RemoteDiagnostic: s.remoteDiag,
		Mine: s.cfg.Discriminator, Yours: s.yours,
		TransmitInterval: s.transmitInterval(), DetectionTime: s.detectionTime(),
		Since: s.since, Transitions: s.transitions, LastReason: s.lastReason, Sent: s.sent, Received: s.received,
		EverUp: s.everUp, Failed: s.failed,
	}
}

// Deadline returns when Advance must be called next.
func (s *Session) Deadline() time.Time {
	switch {
	case s.transmitAt.IsZero(), !s.detectAt.IsZero() && s.detectAt.Before(s.transmitAt):
		return s.detectAt
	}
	return s.transmitAt
}

// Start enables the session: it is Down, and says so.
func (s *Session) Start(now time.Time) []Action {
	if s.state != AdminDown {
		return nil
	}
	s.multiplier = uint8(s.cfg.Multiplier)
	s.desiredTX, s.actualTX = max(slow, s.cfg.Interval), max(slow, s.cfg.Interval)
	s.requiredRX = s.cfg.Interval
	s.remote, s.remoteRX, s.yours = Down, time.Microsecond, 0 // 6.8.1
	s.everUp, s.failed = false, false
	actions := s.enter(nil, now, Down, None, "started")
	s.transmitAt = now
	return append(actions, s.Advance(now)...)
}

// Stop disables the session and tells the neighbour, which must not take it for a
// failure (RFC 5880 6.8.16).
func (s *Session) Stop(now time.Time, reason string) []Action {
	if s.state == AdminDown {
		return nil
	}
	actions := s.enter(nil, now, AdminDown, Administrative, reason)
	s.polling, s.pollAgain = false, false
	actions = append(actions, s.send(false))
	s.transmitAt, s.detectAt = time.Time{}, time.Time{}
	return actions
}

// Advance sends what is due, and ends the session where the neighbour was silent
// for the Detection Time.
func (s *Session) Advance(now time.Time) []Action {
	var actions []Action
	if due(s.detectAt, now) {
		actions = s.expire(actions, now)
	}
	if due(s.transmitAt, now) {
		actions = append(actions, s.send(false))
		s.schedule(now)
	}
	return actions
}

// expire is the end of the Detection Time (RFC 5880 6.8.4).
func (s *Session) expire(actions []Action, now time.Time) []Action {
	silent := s.detectionTime()
	s.detectAt, s.excusedAt = time.Time{}, time.Time{}
	s.yours = 0 // 6.8.1: until the neighbour is heard again
	s.remote = Down
	s.remoteAsks = false
	if s.state != Init && s.state != Up {
		return actions
	}
	return s.enter(actions, now, Down, TimeExpired, fmt.Sprintf("no packet for %v", written(silent)))
}

// Receive takes a packet of the neighbour that Parse has let through (RFC 5880
// 6.8.6).
func (s *Session) Receive(now time.Time, p *Packet) []Action {
	if s.state == AdminDown {
		return nil
	}
	s.received++
	s.yours, s.remote, s.remoteDiag = p.Mine, p.State, p.Diagnostic
	s.remoteAsks = p.Demand
	wanted := s.remoteRX
	s.remoteRX, s.remoteTX, s.remoteMult = p.RequiredRX, p.DesiredTX, p.Multiplier
	if p.Final && s.polling {
		s.agreed()
	}
	actions := s.follow(nil, now, p)
	switch {
	case s.transmitInterval() == 0:
		s.transmitAt = time.Time{}
	case s.remoteRX != wanted, s.transmitAt.IsZero():
		s.hurry(now)
	}
	if p.Poll {
		actions = append(actions, s.send(true))
	}
	s.detectAt, s.excusedAt = now.Add(s.detectionTime()), time.Time{}
	return actions
}

// unreadPause is how long packets are given to be read, at a time.
const unreadPause = time.Millisecond

// Due reports whether the neighbour was silent for the Detection Time, so that
// Advance would end the session.
func (s *Session) Due(now time.Time) bool { return due(s.detectAt, now) }

// Unheard tells that packets may have come that nobody has read: a Detection Time
// that is over by now is put off for a moment, though not for longer than it
// lasts. RFC 5880 6.8.4 asks what was received, and not when somebody had the CPU
// to look at it.
func (s *Session) Unheard(now time.Time) {
	if !s.Due(now) {
		return
	}
	if s.excusedAt.IsZero() {
		s.excusedAt = now
	}
	if now.Sub(s.excusedAt) < s.detectionTime() {
		s.detectAt = now.Add(unreadPause)
	}
}

// follow changes the state by what the neighbour says of its own.
func (s *Session) follow(actions []Action, now time.Time, p *Packet) []Action {
	if p.State == AdminDown {
		s.failed = false
		if s.state == Down {
			return actions
		}
		return s.enter(actions, now, Down, NeighborDown, "the neighbour has switched the session off")
	}
	switch s.state {
	case Down:
		switch p.State {
		case Down:
			return s.enter(actions, now, Init, None, "the neighbour is heard")
		case Init:
			return s.enter(actions, now, Up, None, "both hear each other")
		}
	case Init:
		if p.State == Init || p.State == Up {
			return s.enter(actions, now, Up, None, "both hear each other")
		}
	case Up:
		if p.State == Down {
			return s.enter(actions, now, Down, NeighborDown,
				fmt.Sprintf("the neighbour says that the session is down: %v", p.Diagnostic))
		}
	}
	return actions
}

// enter changes the state, and the intervals that depend on it.
func (s *Session) enter(actions []Action, now time.Time, to State, why Diagnostic, reason string) []Action {
	from := s.state
	s.state, s.diagnostic = to, why
	s.since, s.lastReason = now, reason
	s.transitions++
	switch {
	case to == Up:
		s.everUp, s.failed = true, false
		s.propose(s.cfg.Interval)
	case from == Up:
		// Whoever switches the session off says nothing of the path (RFC 5882 3.2).
		s.failed = to == Down && s.remote != AdminDown
		s.propose(max(slow, s.cfg.Interval))
		s.actualTX = s.desiredTX // nobody is there to agree
	}
	if to != AdminDown && !s.transmitAt.IsZero() {
		s.transmitAt = now // the neighbour learns of it at once
	}
	return append(actions, Transition{From: from, To: to, Reason: reason})
}

// propose changes what packets say of our interval, by a Poll Sequence. A longer
// one holds only when the neighbour has agreed (RFC 5880 6.8.3).
func (s *Session) propose(interval time.Duration) {
	if interval == s.desiredTX {
		return
	}
	s.desiredTX = interval
	if interval < s.actualTX || s.state != Up {
		s.actualTX = interval
	}
	s.pollAgain = s.polling
	s.polling = true
}

// agreed ends a Poll Sequence (RFC 5880 6.5).
func (s *Session) agreed() {
	s.polling, s.pollAgain = s.pollAgain, false
	if !s.polling {
		s.actualTX = s.desiredTX
	}
}

// transmitInterval is how often we send, before jitter; zero: not at all (RFC
// 5880 6.8.7).
func (s *Session) transmitInterval() time.Duration {
	if s.remoteRX == 0 || s.remoteAsks && s.state == Up && s.remote == Up && !s.polling {
		return 0
	}
	return max(s.actualTX, s.remoteRX)
}

// schedule sets the time of the next packet: the interval less a quarter at most,
// by chance, and less a tenth at least where one lost packet ends the session (RFC
// 5880 6.8.7).
func (s *Session) schedule(now time.Time) {
	interval := s.transmitInterval()
	if interval == 0 || s.state == AdminDown {
		s.transmitAt = time.Time{}
		return
	}
	least, most := 0.75, 1.0
	if s.multiplier == 1 {
		most = 0.9
	}
	share := least + (most-least)*s.random.Float64()
	s.transmitAt = now.Add(time.Duration(share * float64(interval)))
}

// hurry follows a change of the interval that the neighbour wants: a packet that
// would be late by it leaves earlier.
func (s *Session) hurry(now time.Time) {
	was := s.transmitAt
	s.schedule(now)
	if !was.IsZero() && !s.transmitAt.IsZero() && was.Before(s.transmitAt) {
		s.transmitAt = was
	}
}

// detectionTime is how long the neighbour may be silent (RFC 5880 6.8.4); zero:
// not known.
func (s *Session) detectionTime() time.Duration {
	if s.remoteMult == 0 {
		return 0
	}
	return time.Duration(s.remoteMult) * max(s.requiredRX, s.remoteTX)
}

// send makes a packet (RFC 5880 6.8.7).
func (s *Session) send(final bool) Send {
	s.sent++
	return Send{Packet{
		Diagnostic: s.diagnostic, State: s.state, Poll: s.polling && !final, Final: final,
		Multiplier: s.multiplier, Mine: s.cfg.Discriminator, Yours: s.yours,
		DesiredTX: s.desiredTX, RequiredRX: s.requiredRX,
	}}
}

// LastWill returns the packet that is to be sent when this system ends without a
// word: the session is down because nobody forwards here any more (RFC 5880 4.1,
// diagnostic 4). The neighbour then need not wait for the Detection Time. ok is
// false while the session is not Up.
func (s *Session) LastWill() (p Packet, ok bool) {
	if s.state != Up {
		return p, false
	}
	return Packet{
		Diagnostic: ForwardingReset, State: Down, Multiplier: s.multiplier, Mine: s.cfg.Discriminator, Yours: s.yours,
		DesiredTX: max(slow, s.cfg.Interval), RequiredRX: s.requiredRX,
	}, true
}

func due(deadline, now time.Time) bool { return !deadline.IsZero() && !deadline.After(now) }

// written rounds a time for people.
func written(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
