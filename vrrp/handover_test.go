package vrrp

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// Draining: make before break.

func TestStop_forwards_on_until_the_next_master_is_heard(t *testing.T) {
	r := newRig(t).asMaster()
	r.m.Stop(r.now, "test")
	r.forwarding(true)
	r.deadline(5 * sec)
	r.until(4*sec + 600*ms)
	if _, reason := r.m.Receive(r.now, at(routerC), r.advert(0)); reason != ReasonNotRunning || !r.m.Forwarding() {
		t.Error("priority 0 is no master to hand over to")
	}
	actions, reason := r.m.Receive(r.now, at(routerC), r.advert(1))
	r.want(actions, "release")
	if reason != ReasonNotRunning {
		t.Error(reason)
	}
	r.forwarding(false)
	if !r.m.Deadline().IsZero() {
		t.Error("a timer runs on")
	}
}

func TestStop_forwards_on_for_the_drain_time_at_most(t *testing.T) {
	r := newRig(t).asMaster()
	r.m.Stop(r.now, "test")
	r.want(r.until(5*sec-1), "")
	r.want(r.until(5*sec), "release")
	r.forwarding(false)
}

func TestDown_ends_a_drain(t *testing.T) {
	r := newRig(t).asMaster()
	r.m.Stop(r.now, "test")
	r.want(r.m.Down(r.now, "link"), "release")
	r.want(r.m.Down(r.now, "link"), "")
}

func TestStart_during_a_drain_goes_on_forwarding(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Drain = 10 * sec }).asMaster()
	r.m.Stop(r.now, "test")
	r.want(r.start(), "Initialize>Backup")
	r.forwarding(true)
	r.want(r.until(4*sec+down100), "Backup>Master, send 100, announce")
	r.forwarding(true)
	if got := trace(r.until(20 * sec)); strings.Contains(got, "release") {
		t.Error("the old drain ended the new mastership")
	}
}

// Switchover.

func TestSwitchover_hands_over_without_a_gap_and_does_not_take_back(t *testing.T) {
	r := newRig(t).asMaster()
	actions, err := r.m.Switchover(r.now)
	r.want(actions, "send 0, Master>Backup")
	if err != nil {
		t.Error(err)
	}
	r.forwarding(true)
	r.until(4*sec + 700*ms)
	r.want(r.hear(routerC, lesser), "release")
	r.forwarding(false)
	for d := 5 * sec; d < 60*sec; d += 2 * sec {
		r.until(d)
		r.hear(routerC, lesser)
	}
	r.state(Backup)
	r.until(59*sec + learned)
	r.state(Master)
	if got := r.m.Info().LastReason; got != "no advertisement for 7.219 s from 192.0.2.4, last priority 99" {
		t.Error(got)
	}
}

func TestSwitchover_still_yields_after_a_priority_zero_of_somebody_else(t *testing.T) {
	r := newRig(t).asMaster()
	r.m.Switchover(r.now)
	r.hear(routerC, 0) // another that goes, and was never master here
	r.until(4*sec + 500*ms)
	r.hear(routerA, lesser)
	r.until(10 * sec)
	r.hear(routerA, lesser)
	r.state(Backup)
}

func TestSwitchover_is_forgotten_by_the_next_mastership_and_the_next_start(t *testing.T) {
	restart := func(r *rig) { r.m.Down(r.now, "link"); r.start() }
	retake := func(r *rig) { r.until(10 * sec); r.state(Master); r.hear(routerA, greater) }
	for _, between := range []func(*rig){restart, retake} {
		r := newRig(t).asMaster()
		r.m.Switchover(r.now)
		between(r)
		r.state(Backup)
		for range 10 {
			r.hear(routerC, lesser)
			r.until(r.now.Sub(epoch) + sec)
		}
		if got := r.m.Info().LastReason; got != "preempts 192.0.2.4: its priority 99 is below 100" {
			t.Error(got)
		}
	}
}

func TestSwitchover_preempts_again_after_the_one_that_took_over_gave_up(t *testing.T) {
	r := newRig(t).asMaster()
	r.m.Switchover(r.now)
	r.hear(routerC, lesser)
	r.until(5 * sec)
	r.hear(routerC, 0)
	r.hear(routerA, 50) // yet another one
	r.want(r.until(5*sec+2*skew100), "Backup>Master, send 100, announce")
}

func TestSwitchover_takes_mastership_back_where_nobody_comes_forward(t *testing.T) {
	r := newRig(t).asMaster()
	r.m.Switchover(r.now)
	r.want(r.until(5*sec+500*ms-1), "")
	r.forwarding(true)
	r.want(r.until(5*sec+500*ms), "Backup>Master, send 100, announce")
	if got := r.m.Info().LastReason; got != "nobody took over for 1.5 s" {
		t.Error(got)
	}
}

func TestSwitchover_waits_longer_than_any_skew_time(t *testing.T) {
	for _, version := range []uint8{2, 3} {
		for _, interval := range []time.Duration{10 * ms, sec, 40 * sec} {
			r := newRig(t, noDrain, func(c *Config) { c.Version, c.Interval = version, interval })
			if longest := SkewTime(version, 1, interval); r.m.handoverHold() <= longest {
				t.Errorf("version %d, %v: waits %v, skew time %v", version, interval, r.m.handoverHold(), longest)
			}
		}
	}
}

func TestSwitchover_needs_a_Master_that_is_not_the_owner(t *testing.T) {
	r := newRig(t)
	if _, err := r.m.Switchover(r.now); !errors.Is(err, ErrNotMaster) {
		t.Error(err)
	}
	r = newRig(t, owner)
	r.start()
	if _, err := r.m.Switchover(r.now); !errors.Is(err, ErrOwner) {
		t.Error(err)
	}
}

// Resume.

func TestResume_makes_a_Master_listen_before_it_speaks(t *testing.T) {
	for _, edit := range []func(*Config){prio(100), owner} {
		r := newRig(t, edit, fiveTimes).asMaster()
		r.now = epoch.Add(10 * sec)
		r.want(r.m.Resume(r.now, 6*sec), "Master>Backup")
		r.forwarding(false)
		listen := MasterDownInterval(3, r.m.cfg.Priority, sec)
		r.want(r.until(10*sec+listen-1), "")
		if got := trace(r.until(10*sec + listen)); !strings.HasPrefix(got, "Backup>Master") {
			t.Error(got)
		}
	}
}

func TestResume_forgets_what_was_learned_before(t *testing.T) {
	r := newRig(t)
	r.start()
	r.hear(routerC, greater) // with an interval of 2 s
	r.until(10 * sec)
	r.state(Master)
	r.m.Resume(r.now, sec)
	if i := r.m.Info(); i.MasterAddress.IsValid() || i.MasterInterval != sec {
		t.Errorf("%+v", i)
	}
	r.until(20 * sec)
	if got := r.m.Info().LastReason; got != "no master heard for 3.609 s" {
		t.Error(got)
	}
}

func TestResume_lets_the_owner_preempt_whatever_the_configuration_says(t *testing.T) {
	r := newRig(t, owner, noPreempt)
	r.start()
	r.m.Resume(r.now, sec)
	for d := time.Duration(0); d < 5*sec; d += sec {
		r.until(d)
		r.hear(routerC, 254)
	}
	r.state(Master)
}

func TestResume_of_a_Backup_whose_timer_expired_listens_anew(t *testing.T) {
	r := newRig(t)
	r.start()
	r.now = epoch.Add(down100)
	r.want(r.m.Resume(r.now, 3*sec), "")
	r.deadline(2 * down100)
}

func TestResume_of_a_Backup_in_time_changes_nothing(t *testing.T) {
	r := newRig(t)
	r.start()
	r.now = epoch.Add(sec)
	r.want(r.m.Resume(r.now, sec), "")
	r.deadline(down100)
}

func TestResume_during_the_preemption_delay_listens_anew(t *testing.T) {
	r := newRig(t, delayed)
	r.start()
	for d := time.Duration(0); d < 9*sec; d += sec {
		r.until(d)
		r.hear(routerC, lesser)
	}
	r.now = epoch.Add(11 * sec)
	r.want(r.m.Resume(r.now, 2*sec), "")
	r.deadline(11*sec + learned)
}

func TestResume_ends_a_drain(t *testing.T) {
	r := newRig(t).asMaster()
	r.m.Stop(r.now, "test")
	r.want(r.m.Resume(r.now, sec), "release")
}
