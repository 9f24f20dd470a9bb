package vrrp

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// lan is a perfect shared medium in virtual time: every packet arrives at
// every other station after the same short delay, encoded and parsed again.
type lan struct {
	t        *rapid.T
	now      time.Time
	delay    time.Duration
	stations []*station
	flying   []packetInFlight // by arrival time
	sent     []int            // advertisements by station since the last look
}

type station struct {
	index   int
	m       *Machine
	source  netip.Addr
	serving bool // as told by actions alone
}

type packetInFlight struct {
	at   time.Time
	from int
	b    []byte
}

// do carries actions out, and checks what holds for every list of actions.
func (l *lan) do(s *station, actions []Action) {
	for i, action := range actions {
		switch a := action.(type) {
		case Transition:
			if a.To == Master {
				if i != 0 {
					l.t.Fatalf("becoming Master is action %d", i)
				}
				s.serving = true
			} else if a.From == Master {
				s.serving = !s.m.timers.drain.IsZero()
			}
			if a.From == a.To || a.Reason == "" || !a.At.Equal(l.now) {
				l.t.Fatalf("odd %+v at %v", a, l.now)
			}
		case Send:
			l.sent[s.index]++
			b := a.Advertisement.Append(nil, s.source, l.group(), s.m.cfg.PlainCSum)
			l.flying = append(l.flying, packetInFlight{l.now.Add(l.delay), s.index, b})
		case Announce:
			if s.m.State() != Master {
				l.t.Fatalf("announcement in %v", s.m.State())
			}
		case Release:
			if !s.serving {
				l.t.Fatal("Release without forwarding")
			}
			s.serving = false
		}
	}
	if s.serving != s.m.Forwarding() {
		l.t.Fatalf("actions say forwarding %v, the Machine %v", s.serving, s.m.Forwarding())
	}
	if s.m.State() == Master && !s.m.Forwarding() {
		l.t.Fatal("a Master that does not forward")
	}
}

func (l *lan) group() netip.Addr {
	if l.stations[0].m.cfg.IPv6() {
		return GroupIPv6
	}
	return GroupIPv4
}

// run lets everything happen until the given time.
func (l *lan) run(end time.Time) {
	for steps := 0; ; steps++ {
		if steps > 200_000 {
			l.t.Fatal("a storm")
		}
		next, s := l.next()
		if next.After(end) {
			break
		}
		l.now = next
		if s != nil {
			l.do(s, s.m.Advance(l.now))
			if d := s.m.Deadline(); !d.IsZero() && !d.After(l.now) {
				l.t.Fatalf("deadline %v is not after %v", d, l.now)
			}
			continue
		}
		p := l.flying[0]
		l.flying = l.flying[1:]
		for _, s := range l.stations {
			if s.index != p.from {
				l.deliver(s, p)
			}
		}
	}
	l.now = end
}

// next returns when something happens; the station is nil for a packet.
func (l *lan) next() (time.Time, *station) {
	first, who := l.now.Add(1000*time.Hour), (*station)(nil)
	for _, s := range l.stations {
		if d := s.m.Deadline(); !d.IsZero() && d.Before(first) {
			first, who = d, s
		}
	}
	if len(l.flying) > 0 && !l.flying[0].at.After(first) {
		return l.flying[0].at, nil
	}
	return first, who
}

func (l *lan) deliver(s *station, p packetInFlight) {
	adv, reason := Parse(l.stations[p.from].source, l.group(), 255, p.b)
	if reason != ReasonNone {
		l.t.Fatalf("own packet discarded: %v", reason)
	}
	actions, reason := s.m.Receive(l.now, at(l.stations[p.from].source), adv)
	if reason != ReasonNone && reason != ReasonNotRunning {
		l.t.Fatalf("discarded: %v", reason)
	}
	l.do(s, actions)
}

func (l *lan) masters() (out []*station) {
	for _, s := range l.stations {
		if s.m.State() == Master {
			out = append(out, s)
		}
	}
	return out
}

func (l *lan) forwarding() (n int) {
	for _, s := range l.stations {
		if s.serving {
			n++
		}
	}
	return n
}

// drawLAN draws two to six routers of one virtual router, with different
// addresses; at most one is the owner.
func drawLAN(t *rapid.T) *lan {
	version := rapid.SampledFrom([]uint8{2, 3, 3}).Draw(t, "version")
	ipv6 := version == 3 && rapid.Bool().Draw(t, "ipv6")
	interval := time.Duration(rapid.IntRange(1, 3).Draw(t, "seconds")) * time.Second
	if version == 3 {
		interval = time.Duration(rapid.SampledFrom([]int{1, 2, 10, 100, 4095}).Draw(t, "centiseconds")) * IntervalUnit3
	}
	top := uint8(rapid.IntRange(254, 255).Draw(t, "top"))
	l := &lan{t: t, now: epoch, delay: time.Duration(rapid.IntRange(1, 500).Draw(t, "delay us")) * us}
	n := rapid.IntRange(2, 6).Draw(t, "routers")
	numbers := rapid.Permutation([]int{2, 3, 4, 5, 6, 7}).Draw(t, "addresses")
	for i := range n {
		cfg := Config{
			VRID: 10, Version: version, Interval: interval, Preempt: true, GARPRepeat: 3,
			Addresses: []netip.Addr{virtual}, Drain: time.Second,
			Priority: uint8(rapid.IntRange(1, 254).Draw(t, "priority")),
		}
		source := netip.AddrFrom4([4]byte{192, 0, 2, byte(numbers[i])})
		if ipv6 {
			inIPv6(&cfg)
			source = netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: byte(numbers[i])})
		}
		if i == 0 {
			cfg.Priority = top
		}
		l.stations = append(l.stations, &station{index: i, m: New(cfg), source: source})
		l.sent = append(l.sent, 0)
	}
	return l
}

func (l *lan) interval() time.Duration { return l.stations[0].m.cfg.Interval }

// settling is long enough for every election.
func (l *lan) settling() time.Duration { return 10*l.interval() + 5*time.Second }

// best returns the station with the highest (priority, address).
func (l *lan) best() *station {
	return slices.MaxFunc(l.stations, func(a, b *station) int {
		if d := int(a.m.cfg.Priority) - int(b.m.cfg.Priority); d != 0 {
			return d
		}
		return a.source.Compare(b.source)
	})
}

func TestLAN_settles_on_the_highest_priority_and_address(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLAN(t)
		for _, s := range l.stations {
			l.do(s, s.m.Start(l.now, s.source))
		}
		l.run(l.now.Add(l.settling()))
		masters := l.masters()
		if len(masters) != 1 || masters[0] != l.best() || l.forwarding() != 1 {
			t.Fatalf("%d masters, %d forward; the best is %v", len(masters), l.forwarding(), l.best().source)
		}
		l.checkQuiet()
	})
}

// checkQuiet: only the Master speaks, once in each interval.
func (l *lan) checkQuiet() {
	clear(l.sent)
	l.run(l.now.Add(20 * l.interval()))
	for _, s := range l.stations {
		if want := 20; s.m.State() == Master && l.sent[s.index] != want {
			l.t.Fatalf("the Master sent %d advertisements in 20 intervals", l.sent[s.index])
		} else if s.m.State() != Master && l.sent[s.index] != 0 {
			l.t.Fatalf("a Backup sent %d advertisements", l.sent[s.index])
		}
	}
}

func TestLAN_settles_on_one_master_whatever_happened_before(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLAN(t)
		for range rapid.IntRange(0, 30).Draw(t, "events") {
			s := rapid.SampledFrom(l.stations).Draw(t, "station")
			switch rapid.SampledFrom([]string{"start", "start", "down", "stop", "switchover", "resume"}).Draw(t, "event") {
			case "start":
				l.do(s, s.m.Start(l.now, s.source))
			case "down":
				l.do(s, s.m.Down(l.now, "down"))
			case "stop":
				l.do(s, s.m.Stop(l.now, "stop"))
			case "switchover":
				actions, _ := s.m.Switchover(l.now)
				l.do(s, actions)
			case "resume":
				l.do(s, s.m.Resume(l.now, time.Second))
			}
			pause := time.Duration(rapid.IntRange(0, 5000).Draw(t, "pause 1/1000 intervals"))
			l.run(l.now.Add(pause * l.interval() / 1000))
		}
		for _, s := range l.stations {
			l.do(s, s.m.Start(l.now, s.source))
		}
		l.run(l.now.Add(2 * l.settling()))
		if len(l.masters()) != 1 || l.forwarding() != 1 {
			t.Fatalf("%d masters, %d forward", len(l.masters()), l.forwarding())
		}
		if m := l.masters()[0].m; m.cfg.Priority != l.best().m.cfg.Priority && !l.best().m.handedOver {
			t.Fatalf("the Master has priority %d of %d", m.cfg.Priority, l.best().m.cfg.Priority)
		}
		l.checkQuiet()
	})
}

// TestLAN_planned_changes_never_leave_the_LAN_without_a_forwarder: stop,
// switchover and preemption, where a drain is allowed to last long enough.
func TestLAN_planned_changes_never_leave_the_LAN_without_a_forwarder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLAN(t)
		for _, s := range l.stations {
			s.m.cfg.Drain = 2 * l.interval()
			if s.m.cfg.Version == 2 {
				s.m.cfg.Drain += 2 * time.Second
			}
			l.do(s, s.m.Start(l.now, s.source))
		}
		l.run(l.now.Add(l.settling()))
		s := l.masters()[0]
		if rapid.Bool().Draw(t, "stop") {
			l.do(s, s.m.Stop(l.now, "stop"))
		} else {
			actions, _ := s.m.Switchover(l.now)
			l.do(s, actions)
		}
		for end := l.now.Add(l.settling()); l.now.Before(end); {
			next, _ := l.next()
			l.run(next)
			if l.forwarding() == 0 {
				t.Fatalf("nobody forwards %v before the end", end.Sub(l.now))
			}
		}
		if len(l.masters()) != 1 {
			t.Fatalf("%d masters", len(l.masters()))
		}
		l.do(s, s.m.Start(l.now, s.source)) // comes back, and preempts
		for end := l.now.Add(l.settling()); l.now.Before(end); {
			next, _ := l.next()
			l.run(next)
			if l.forwarding() == 0 {
				t.Fatal("nobody forwards while the better router comes back")
			}
		}
		if len(l.masters()) != 1 || l.forwarding() != 1 {
			t.Fatalf("%d masters, %d forward", len(l.masters()), l.forwarding())
		}
	})
}

// TestMachine_survives_anything: no sequence of calls panics or leaves a
// deadline behind.
func TestMachine_survives_anything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, src, _ := drawAdvertisement(t)
		m := New(Config{
			VRID: a.VRID, Version: a.Version, Addresses: a.Addresses, Interval: a.Interval,
			Priority:     rapid.Uint8Range(1, 255).Draw(t, "own priority"),
			Preempt:      rapid.Bool().Draw(t, "preempt"),
			PreemptDelay: time.Duration(rapid.IntRange(0, 20).Draw(t, "delay")) * time.Second,
			GARPRepeat:   rapid.IntRange(0, 70).Draw(t, "repeat"),
			GARPRefresh:  time.Duration(rapid.IntRange(0, 3).Draw(t, "refresh")) * time.Second,
			Drain:        time.Duration(rapid.IntRange(0, 3).Draw(t, "drain")) * time.Second,
		})
		l := &lan{t: t, now: epoch, stations: []*station{{m: m, source: linkB}}, sent: []int{0}}
		s := l.stations[0]
		if src.Is4() {
			s.source = routerB
		}
		calls := map[string]func(){
			"start":  func() { l.do(s, m.Start(l.now, s.source)) },
			"down":   func() { l.do(s, m.Down(l.now, "down")) },
			"stop":   func() { l.do(s, m.Stop(l.now, "stop")) },
			"resume": func() { l.do(s, m.Resume(l.now, time.Minute)) },
			"switchover": func() {
				actions, _ := m.Switchover(l.now)
				l.do(s, actions)
			},
			"receive": func() {
				adv := a
				adv.Priority = rapid.SampledFrom([]uint8{0, 1, 100, 254, 255}).Draw(t, "priority")
				actions, _ := m.Receive(l.now, at(src), adv)
				l.do(s, actions)
			},
			"advance": func() {
				l.do(s, m.Advance(l.now))
				if d := m.Deadline(); !d.IsZero() && !d.After(l.now) {
					t.Fatalf("deadline %v is not after %v in %v", d, l.now, m.State())
				}
			},
		}
		names := []string{"start", "down", "stop", "resume", "switchover", "receive", "receive", "advance", "advance"}
		for range rapid.IntRange(1, 60).Draw(t, "calls") {
			calls[rapid.SampledFrom(names).Draw(t, "call")]()
			l.now = l.now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "pause ms")) * ms)
		}
		if d := m.Deadline(); m.State() != Initialize && d.IsZero() {
			t.Fatalf("%v waits for nothing", m.State())
		}
	})
}
