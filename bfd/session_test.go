package bfd

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const ms = time.Millisecond

func session(interval time.Duration) *Session {
	s := New(Config{Interval: interval, Multiplier: 3, Discriminator: 7, Seed: 1})
	s.Start(start)
	return s
}

// heard is a packet of a neighbour whose timers are those of session(50 ms).
func heard(state State) *Packet {
	return &Packet{State: state, Multiplier: 3, Mine: 9, Yours: 7, DesiredTX: 50 * ms, RequiredRX: 50 * ms}
}

// in brings a session into a state.
func in(t *testing.T, state State) *Session {
	t.Helper()
	s := session(50 * ms)
	switch state {
	case AdminDown:
		s.Stop(start, "test")
	case Init:
		s.Receive(start, heard(Down))
	case Up:
		s.Receive(start, heard(Down))
		s.Receive(start, heard(Up))
	}
	if s.State() != state {
		t.Fatalf("%v, want %v", s.State(), state)
	}
	return s
}

// packets returns what was sent, and the state changes as text.
func packets(actions []Action) (sent []Packet, changes string) {
	var list []string
	for _, a := range actions {
		switch a := a.(type) {
		case Send:
			sent = append(sent, a.Packet)
		case Transition:
			list = append(list, fmt.Sprintf("%v>%v", a.From, a.To))
		}
	}
	return sent, strings.Join(list, " ")
}

// RFC 5880 6.2 and 6.8.6: every state, and everything that can be heard in it.
func TestEveryTransition(t *testing.T) {
	const timer = State(9)
	for _, test := range []struct {
		in, hears, out State
		diagnostic     Diagnostic
	}{
		{AdminDown, AdminDown, AdminDown, Administrative},
		{AdminDown, Down, AdminDown, Administrative},
		{AdminDown, Init, AdminDown, Administrative},
		{AdminDown, Up, AdminDown, Administrative},
		{AdminDown, timer, AdminDown, Administrative},
		{Down, AdminDown, Down, None},
		{Down, Down, Init, None},
		{Down, Init, Up, None},
		{Down, Up, Down, None},
		{Down, timer, Down, None},
		{Init, AdminDown, Down, NeighborDown},
		{Init, Down, Init, None},
		{Init, Init, Up, None},
		{Init, Up, Up, None},
		{Init, timer, Down, TimeExpired},
		{Up, AdminDown, Down, NeighborDown},
		{Up, Down, Down, NeighborDown},
		{Up, Init, Up, None},
		{Up, Up, Up, None},
		{Up, timer, Down, TimeExpired},
	} {
		s := in(t, test.in)
		if test.hears == timer {
			s.Advance(start.Add(time.Hour))
		} else {
			s.Receive(start, heard(test.hears))
		}
		if i := s.Info(); i.State != test.out || i.Diagnostic != test.diagnostic {
			t.Errorf("%v hears %v: %v, %v; want %v, %v", test.in, test.hears, i.State, i.Diagnostic, test.out, test.diagnostic)
		}
	}
}

// RFC 5880 6.8.3: not faster than once in a second while the session is not Up.
func TestASessionThatIsNotUpIsSlow(t *testing.T) {
	s := session(50 * ms)
	sent := 0
	for now := start; now.Before(start.Add(10 * time.Second)); now = now.Add(ms) {
		list, _ := packets(s.Advance(now))
		for _, p := range list {
			if p.DesiredTX < time.Second {
				t.Fatalf("says that it sends each %v", p.DesiredTX)
			}
			sent++
		}
	}
	if sent < 9 || sent > 14 {
		t.Errorf("%d packets in 10 s", sent)
	}
}

// RFC 5880 6.8.7: jitter of 0 to 25 %, and 10 % at least where one packet counts.
func TestJitter(t *testing.T) {
	for _, multiplier := range []int{1, 3} {
		s := New(Config{Interval: 100 * ms, Multiplier: multiplier, Discriminator: 7, Seed: 5})
		s.Start(start)
		p := &Packet{State: Init, Multiplier: 3, Mine: 9, Yours: 7, DesiredTX: 100 * ms, RequiredRX: 100 * ms}
		s.Receive(start, p)
		most := 100 * ms
		if multiplier == 1 {
			most = 90 * ms
		}
		last := start
		shortest, longest := time.Hour, time.Duration(0)
		s.Receive(start, &Packet{State: Up, Final: true, Multiplier: 3, Mine: 9, Yours: 7, DesiredTX: time.Hour, RequiredRX: 100 * ms})
		for range 1000 {
			now := s.Deadline()
			if list, _ := packets(s.Advance(now)); len(list) != 1 {
				t.Fatal("no packet at the deadline")
			}
			if last != start {
				shortest, longest = min(shortest, now.Sub(last)), max(longest, now.Sub(last))
			}
			last = now
		}
		if shortest < 75*ms || longest > most || longest-shortest < (most-75*ms)*3/4 {
			t.Errorf("multiplier %d: %v to %v", multiplier, shortest, longest)
		}
	}
}

// RFC 5880 6.8.4: the neighbour's multiplier, and the longer of what it sends and
// what we can take.
func TestDetectionTime(t *testing.T) {
	for _, test := range []struct {
		multiplier uint8
		sends      time.Duration
		want       time.Duration
	}{
		{3, 10 * ms, 150 * ms}, // faster than we take
		{3, 50 * ms, 150 * ms},
		{5, 200 * ms, time.Second},
		{1, 70 * ms, 70 * ms},
	} {
		s := in(t, Up)
		p := heard(Up)
		p.Multiplier, p.DesiredTX = test.multiplier, test.sends
		s.Receive(start, p)
		if got := s.Info().DetectionTime; got != test.want {
			t.Errorf("%d x %v: %v, want %v", test.multiplier, test.sends, got, test.want)
		}
		s.Advance(start.Add(test.want - 1))
		if s.State() != Up {
			t.Errorf("%d x %v: down too early", test.multiplier, test.sends)
		}
		if s.Advance(start.Add(test.want)); s.State() != Down {
			t.Errorf("%d x %v: not down", test.multiplier, test.sends)
		}
	}
}

// RFC 5880 6.8.1: after the Detection Time the neighbour's discriminator is not
// known any more.
func TestTheDiscriminatorIsForgottenWithTheNeighbour(t *testing.T) {
	s := in(t, Up)
	list, changes := packets(s.Advance(start.Add(time.Hour)))
	if changes != "Up>Down" || len(list) != 1 || list[0].Yours != 0 || list[0].State != Down || list[0].Diagnostic != TimeExpired {
		t.Errorf("%s %+v", changes, list)
	}
}

// RFC 5880 6.5: a poll is answered at once, with Final and without Poll.
func TestAPollIsAnsweredAtOnce(t *testing.T) {
	s := in(t, Up)
	p := heard(Up)
	p.Poll = true
	list, _ := packets(s.Receive(start, p))
	if len(list) != 1 || !list[0].Final || list[0].Poll {
		t.Errorf("%+v", list)
	}
}

// RFC 5880 6.5, 6.8.3: coming Up changes the interval by a Poll Sequence, which
// the neighbour's Final ends.
func TestAChangeOfTheIntervalIsPolled(t *testing.T) {
	s := in(t, Init)
	s.Receive(start, heard(Up))
	list, _ := packets(s.Advance(start))
	if len(list) != 1 || !list[0].Poll || list[0].DesiredTX != 50*ms {
		t.Fatalf("%+v", list)
	}
	p := heard(Up)
	p.Final = true
	s.Receive(start, p)
	list, _ = packets(s.Advance(start.Add(60 * ms)))
	if len(list) != 1 || list[0].Poll {
		t.Errorf("%+v", list)
	}
}

// RFC 5880 6.8.7: nothing is sent to a neighbour that wants nothing, or that has
// asked for demand mode while both are Up.
func TestSilenceWhereItIsWanted(t *testing.T) {
	p := heard(Up)
	p.RequiredRX = 0
	s := in(t, Up)
	s.Receive(start, p)
	if list, _ := packets(s.Advance(start.Add(140 * ms))); len(list) != 0 {
		t.Errorf("required RX 0: %+v", list)
	}
	p = heard(Up)
	p.Demand, p.Final = true, true
	s = in(t, Up)
	s.Receive(start, p)
	if list, _ := packets(s.Advance(start.Add(140 * ms))); len(list) != 0 {
		t.Errorf("demand mode: %+v", list)
	}
	p.Poll, p.Final = true, false // it is answered all the same (6.6)
	if list, _ := packets(s.Receive(start.Add(140*ms), p)); len(list) != 1 || !list[0].Final {
		t.Errorf("demand mode, a poll: %+v", list)
	}
}

// RFC 5880 6.8.16: who is switched off says so, and hears nothing.
func TestStopTellsTheNeighbour(t *testing.T) {
	s := in(t, Up)
	list, changes := packets(s.Stop(start, "shutdown"))
	if changes != "Up>AdminDown" || len(list) != 1 || list[0].State != AdminDown || list[0].Diagnostic != Administrative {
		t.Errorf("%s %+v", changes, list)
	}
	if !s.Deadline().IsZero() || s.Receive(start, heard(Up)) != nil {
		t.Error("it goes on")
	}
	if _, changes := packets(s.Start(start)); changes != "AdminDown>Down" {
		t.Errorf("started again: %s", changes)
	}
}

// RFC 5882 3.2: what the neighbour has switched off says nothing of the path.
func TestASessionThatIsSwitchedOffHasNotFailed(t *testing.T) {
	s := in(t, Up)
	want := func(state State, failed bool) {
		t.Helper()
		if i := s.Info(); i.State != state || i.Failed != failed || !i.EverUp {
			t.Errorf("%v, failed %v; want %v, %v", i.State, i.Failed, state, failed)
		}
	}
	s.Receive(start, heard(AdminDown))
	want(Down, false)
	s.Receive(start, heard(Down)) // it is switched on again
	want(Init, false)
	s.Receive(start, heard(Up))
	want(Up, false)
	s.Receive(start, heard(Down))
	want(Down, true)
	s.Receive(start, heard(AdminDown))
	want(Down, false)
	s.Receive(start, heard(Down))
	s.Receive(start, heard(Up))
	s.Advance(start.Add(time.Hour))
	want(Down, true)
	s.Stop(start, "test")
	s.Start(start)
	if s.Info().Failed {
		t.Error("failed before it was Up")
	}
}

// Two sessions, a path with delay and loss, in virtual time: they come up, stay up
// with one packet of two in a row lost, go down within the Detection Time when the
// path ends, at both ends when it ends one way, and come up again.
func TestTwoSessionsOverAPath(t *testing.T) {
	for seed := range uint64(50) {
		l := newLink(seed)
		l.run(5 * time.Second)
		l.want(t, Up, Up)
		up := l.ends[0].Info().Transitions
		l.loseEvery = 2
		l.run(10 * time.Second)
		l.want(t, Up, Up)
		if l.ends[0].Info().Transitions != up {
			t.Fatalf("seed %d: the session was lost with every second packet lost", seed)
		}
		l.loseEvery = 0
		l.cut[0] = true // what end 0 sends is lost
		l.run(200 * ms)
		l.want(t, Down, Down)
		l.cut[0] = false
		l.run(5 * time.Second)
		l.want(t, Up, Up)
		l.cut = [2]bool{true, true}
		l.run(151 * ms)
		l.want(t, Down, Down)
	}
}

// link joins two sessions.
type link struct {
	now       time.Time
	ends      [2]*Session
	cut       [2]bool
	loseEvery int
	count     [2]int
	flying    []flight
	seed      uint64
}

type flight struct {
	at time.Time
	to int
	p  Packet
}

func newLink(seed uint64) *link {
	l := &link{now: start, seed: seed}
	for i := range l.ends {
		l.ends[i] = New(Config{Interval: 50 * ms, Multiplier: 3, Discriminator: uint32(i + 1), Seed: seed})
		l.carry(i, l.ends[i].Start(l.now))
	}
	return l
}

func (l *link) carry(from int, actions []Action) {
	for _, a := range actions {
		s, ok := a.(Send)
		if !ok || l.cut[from] {
			continue
		}
		if l.count[from]++; l.loseEvery > 0 && l.count[from]%l.loseEvery == 0 && l.ends[from].State() == Up {
			continue
		}
		l.flying = append(l.flying, flight{l.now.Add(ms), 1 - from, s.Packet})
	}
}

func (l *link) run(d time.Duration) {
	for end := l.now.Add(d); l.now.Before(end); l.now = l.now.Add(ms) {
		rest := l.flying[:0:0]
		for _, f := range l.flying {
			if f.at.After(l.now) {
				rest = append(rest, f)
				continue
			}
			// Over the wire, as bytes.
			p, reason := Parse(ours, peers, TTL, f.p.AppendUDP(nil, ours, peers, 50000))
			if reason != OK {
				panic(reason)
			}
			l.flying = nil
			l.carry(f.to, l.ends[f.to].Receive(l.now, &p))
			rest = append(rest, l.flying...)
		}
		l.flying = rest
		for i, s := range l.ends {
			if d := s.Deadline(); !d.IsZero() && !d.After(l.now) {
				l.carry(i, s.Advance(l.now))
			}
		}
	}
}

func (l *link) want(t *testing.T, a, b State) {
	t.Helper()
	if l.ends[0].State() != a || l.ends[1].State() != b {
		t.Fatalf("seed %d, %v: %v (%s), %v (%s)", l.seed, l.now.Sub(start), l.ends[0].State(), l.ends[0].lastReason,
			l.ends[1].State(), l.ends[1].lastReason)
	}
}

// A last will says that the session is down for want of a forwarder, and ends the
// neighbour's session as soon as it is heard; there is one only while it is Up.
func TestALastWillEndsTheNeighboursSessionAtOnce(t *testing.T) {
	for _, state := range []State{AdminDown, Down, Init} {
		if _, ok := in(t, state).LastWill(); ok {
			t.Errorf("there is one in %v", state)
		}
	}
	p, ok := in(t, Up).LastWill()
	if !ok || p.State != Down || p.Diagnostic != ForwardingReset || p.Mine != 7 || p.Yours != 9 || p.Poll || p.Final {
		t.Fatalf("%+v, %v", p, ok)
	}
	neighbour := in(t, Up)
	neighbour.Receive(start.Add(ms), &p)
	if i := neighbour.Info(); i.State != Down || i.Diagnostic != NeighborDown || !i.Failed ||
		!strings.Contains(i.LastReason, "forwarding plane reset") {
		t.Errorf("the neighbour: %+v", i)
	}
}

// RFC 5880 6.8.4: a session ends without receipt of a packet. One that waits to
// be read was received.
func TestAPacketThatNobodyHasReadIsNoSilence(t *testing.T) {
	s := in(t, Up)
	over := start.Add(150 * ms)
	s.Unheard(over.Add(-ms)) // nothing is due
	if s.Due(over.Add(-ms)) || !s.Due(over) {
		t.Fatal("the Detection Time is not the one that was agreed")
	}
	s.Unheard(over)
	if _, changes := packets(s.Advance(over)); changes != "" || s.State() != Up {
		t.Fatalf("%s while packets wait", changes)
	}
	if d := s.Deadline(); d.After(over.Add(unreadPause)) {
		t.Errorf("looked at again after %v", d.Sub(over))
	}
	// It was one of the neighbour's: all is as it was.
	s.Receive(over.Add(ms/2), heard(Up))
	if s.Advance(over.Add(149 * ms)); s.State() != Up {
		t.Error("down though it was heard")
	}
	if s.Advance(over.Add(151 * ms)); s.State() != Down {
		t.Errorf("%v after a silence that nobody excused", s.State())
	}
}

// Packets that are never read must not keep a dead session up.
func TestASilenceIsPutOffForTheDetectionTimeAtMost(t *testing.T) {
	for _, late := range []time.Duration{0, time.Second} { // the router itself may be late
		s := in(t, Up)
		first := start.Add(150*ms + late)
		now := first
		for s.State() == Up && now.Before(first.Add(time.Second)) {
			s.Unheard(now)
			s.Advance(now)
			now = now.Add(unreadPause)
		}
		if put := now.Sub(first); put < 150*ms || put > 155*ms {
			t.Errorf("%v late: put off by %v", late, put)
		}
	}
}
