package vrrp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// lossy is a LAN in virtual time that loses half of what it carries. The best
// router, station 0, lives all the time.
type lossy struct {
	rand     *rand.Rand
	now      time.Time
	machines []*Machine
	sources  []netip.Addr
	flying   []lossyPacket
	taken    []time.Time // when another than station 0 became Master
	dead     bool        // station 0 has died
}

type lossyPacket struct {
	at   time.Time
	from int
	adv  Advertisement
}

func newLossy(seed uint64, interval time.Duration, damping bool, priorities ...uint8) *lossy {
	l := &lossy{rand: rand.New(rand.NewPCG(seed, 1)), now: epoch}
	for i, priority := range priorities {
		l.machines = append(l.machines, New(Config{
			VRID: 10, Version: 3, Addresses: []netip.Addr{virtual}, Priority: priority,
			Interval: interval, Preempt: true, GARPRepeat: 5, Drain: sec, Damping: damping,
		}))
		l.sources = append(l.sources, netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + i)}))
	}
	for i, m := range l.machines {
		l.do(i, m.Start(l.now, l.sources[i]))
		l.run(10 * interval) // the best is Master by then, and heard
	}
	l.taken = nil
	return l
}

func (l *lossy) do(i int, actions []Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case Transition:
			if a.To == Master && i != 0 {
				l.taken = append(l.taken, l.now)
			}
		case Send:
			l.flying = append(l.flying, lossyPacket{l.now.Add(50 * us), i, a.Advertisement})
		}
	}
}

// run lets everything happen for a while.
func (l *lossy) run(d time.Duration) {
	end := l.now.Add(d)
	for {
		next, who := end.Add(1), -1
		for i, m := range l.machines {
			if deadline := m.Deadline(); !(l.dead && i == 0) && !deadline.IsZero() && deadline.Before(next) {
				next, who = deadline, i
			}
		}
		if len(l.flying) > 0 && !l.flying[0].at.After(next) && !l.flying[0].at.After(end) {
			l.deliver()
			continue
		}
		if next.After(end) {
			l.now = end
			return
		}
		l.now = next
		l.do(who, l.machines[who].Advance(l.now))
	}
}

func (l *lossy) deliver() {
	p := l.flying[0]
	l.flying, l.now = l.flying[1:], p.at
	for i, m := range l.machines {
		if i == p.from || l.dead && i == 0 || l.rand.IntN(2) == 0 {
			continue
		}
		actions, _ := m.Receive(l.now, at(l.sources[p.from]), p.adv)
		l.do(i, actions)
	}
}

// most returns the greatest number of takeovers within any minute.
func (l *lossy) most() int {
	most := 0
	for i := range l.taken {
		n := 0
		for _, t := range l.taken[i:] {
			if t.Sub(l.taken[i]) < time.Minute {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

var lossyIntervals = []time.Duration{10 * ms, sec}

func TestDamping_allows_two_takeovers_in_a_minute_where_half_of_the_advertisements_are_lost(t *testing.T) {
	seeds := uint64(40)
	if testing.Short() {
		seeds = 5
	}
	for _, interval := range lossyIntervals {
		without := 0
		for seed := range seeds {
			l := newLossy(seed, interval, true, 200, 100)
			l.run(5 * time.Minute)
			if got := l.most(); got > dampedTakeovers {
				t.Errorf("%v, seed %d: %d takeovers within a minute", interval, seed, got)
			}
			l = newLossy(seed, interval, false, 200, 100)
			l.run(2 * time.Minute)
			without = max(without, l.most())
		}
		if without <= dampedTakeovers {
			t.Errorf("%v: without damping %d takeovers: the test shows nothing", interval, without)
		}
	}
}

// Backups hear of each other's takeovers by what is not lost.
func TestDamping_of_several_backups_counts_what_the_others_do(t *testing.T) {
	for _, interval := range lossyIntervals {
		for seed := range uint64(10) {
			l := newLossy(seed, interval, true, 200, 150, 100)
			l.run(2 * time.Minute)
			if got := l.most(); got > 2*dampedTakeovers {
				t.Errorf("%v, seed %d: %d takeovers within a minute", interval, seed, got)
			}
		}
	}
}

func TestDamping_notices_a_real_death_in_bounded_time(t *testing.T) {
	for _, interval := range lossyIntervals {
		for seed := range uint64(20) {
			l := newLossy(seed, interval, true, 200, 100)
			l.run(time.Minute)
			l.dead, l.flying = true, nil
			died := l.now
			bound := dampedSilence*interval + MasterDownInterval(3, 100, interval)
			l.run(bound)
			if l.machines[1].State() != Master {
				t.Errorf("%v, seed %d: still %v %v after the death", interval, seed, l.machines[1].State(), l.now.Sub(died))
			}
		}
	}
}

// damped is a Backup, with an interval of 100 ms, that has taken over twice by
// silence (at 0.9 and 1.8 s) and hears its master since 2 s.
func damped(t *testing.T, edits ...func(*Config)) *rig {
	r := newRig(t, append(edits, func(c *Config) { c.Interval = 100 * ms })...)
	r.start()
	hear := func() { r.m.Receive(r.now, at(routerC), r.m.advertisement(200)) }
	for _, d := range []time.Duration{0, sec, 2 * sec} {
		r.until(d)
		hear()
	}
	return r
}

func dampingOn(c *Config) { c.Damping = true }

// shortDown is the Master_Down_Interval of damped.
const shortDown = 300*ms + 60937500

func TestDamping_holds_the_third_takeover_back_for_48_intervals(t *testing.T) {
	r := damped(t, dampingOn)
	r.want(r.until(2*sec+shortDown), "")
	if until := r.m.Info().DampedUntil; !until.Equal(epoch.Add(6800 * ms)) {
		t.Errorf("held back until %v", until.Sub(epoch))
	}
	r.want(r.until(6800*ms-1), "")
	r.want(r.until(6800*ms), "Backup>Master, send 100, announce")
	want := "no advertisement for 4.8 s from 192.0.2.4, last priority 200 (held back by damping: 2 takeovers within 60 s before)"
	if i := r.m.Info(); i.LastReason != want || !i.DampedUntil.IsZero() {
		t.Errorf("%+v", i)
	}
}

func TestDamping_holds_back_until_the_minute_is_over_at_most(t *testing.T) {
	r := damped(t, dampingOn)
	for d := 2 * sec; d < 59*sec; d += 100 * ms {
		r.until(d)
		r.m.Receive(r.now, at(routerC), r.m.advertisement(200))
	}
	first := shortDown + time.Minute // the first takeover was at shortDown
	r.want(r.until(first-1), "")
	r.want(r.until(first), "Backup>Master, send 100, announce")
}

func TestDamping_is_an_option(t *testing.T) {
	r := damped(t)
	r.want(r.until(2*sec+shortDown-1), "")
	r.want(r.until(2*sec + shortDown)[:2], "Backup>Master, send 100")
	if got := r.m.Info().LastReason; strings.Contains(got, "damping") {
		t.Error(got)
	}
}

func TestDamping_never_holds_back_what_was_said(t *testing.T) {
	const skew = 60937500 * time.Nanosecond
	tests := []struct {
		name string
		say  func(*rig)
		wait time.Duration
	}{
		{"priority 0", func(r *rig) { r.hear(routerC, 0) }, skew},
		{"a master that falls", func(r *rig) { r.hear(routerC, 50) }, skew},
		{"an order", func(r *rig) { r.m.TakeOver(r.now, "test") }, 0},
		{"priority 0 while held back", func(r *rig) { r.until(3 * sec); r.hear(routerC, 0) }, sec + skew},
		{"an order while held back", func(r *rig) { r.until(3 * sec); r.m.TakeOver(r.now, "test") }, sec},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := damped(t, dampingOn)
			test.say(r)
			r.until(2*sec + test.wait)
			r.state(Master)
		})
	}
}

func TestDamping_of_a_lesser_master_that_lives_is_no_takeover_by_silence(t *testing.T) {
	r := newRig(t, dampingOn)
	r.start()
	for d := time.Duration(0); d < down100; d += 500 * ms {
		r.until(d)
		r.hear(routerC, lesser)
	}
	r.until(down100)
	r.state(Master)
	if r.m.takeovers[dampedTakeovers-1] != (time.Time{}) {
		t.Error("counted")
	}
}

func TestDamping_counts_in_a_group_when_the_group_takes_over(t *testing.T) {
	r := newRig(t, dampingOn, func(c *Config) { c.Grouped = true })
	r.start()
	r.until(4 * sec)
	if r.m.takeovers[dampedTakeovers-1] != (time.Time{}) {
		t.Error("counted before")
	}
	r.m.TakeOver(r.now, "the group")
	if r.m.takeovers[dampedTakeovers-1] != r.now {
		t.Error("not counted")
	}
}

func TestUnsteady_masterships_announce_once_in_a_second(t *testing.T) {
	r := newRig(t, fast, func(c *Config) { c.GARPRepeat = 10 })
	r.start()
	var announced []time.Duration
	for d := time.Duration(0); d < 5*sec; d += ms {
		if strings.Contains(fmt.Sprint(trace(r.until(d))), "announce") {
			announced = append(announced, d)
		}
		if d%(100*ms) == 0 { // the better one is heard now and then
			r.m.Receive(r.now, at(routerC), r.m.advertisement(greater))
		}
	}
	for i := 3; i < len(announced); i++ {
		if announced[i]-announced[i-1] < sec {
			t.Errorf("announced at %v", announced)
		}
	}
	if r.m.Info().Transitions < 50 || len(announced) < 4 {
		t.Errorf("%d transitions, announced at %v", r.m.Info().Transitions, announced)
	}
}
