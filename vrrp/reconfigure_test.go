package vrrp

import (
	"net/netip"
	"testing"
	"time"
)

// reconfigure changes the configuration as edited.
func (r *rig) reconfigure(edits ...func(*Config)) []Action {
	cfg := r.m.cfg
	for _, edit := range edits {
		edit(&cfg)
	}
	return r.m.Reconfigure(r.now, cfg)
}

func TestReconfigure_without_a_change_does_nothing(t *testing.T) {
	for _, state := range []State{Initialize, Backup, Master} {
		r := newRig(t, fiveTimes)
		r.bring(state)
		before := *r.m
		r.want(r.reconfigure(), "")
		if before.timers != r.m.timers || before.state != r.m.state || before.priority != r.m.priority {
			t.Errorf("%v: %+v, was %+v", state, r.m, before)
		}
	}
}

func TestReconfigure_of_a_Master_says_at_once_what_is_new(t *testing.T) {
	two := func(c *Config) { c.Addresses = []netip.Addr{virtual, second} }
	tests := []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"priority", prio(150), "send 150"},
		{"addresses", two, "send 100, announce"},
		{"interval", fast, "send 100"},
		{"peers", func(c *Config) { c.Peers = []netip.Addr{routerA} }, "send 100"},
		{"preempt", noPreempt, ""},
		{"drain", noDrain, ""},
		{"announcements", fiveTimes, ""},
		{"accept", func(c *Config) { c.Accept = true }, ""},
		{"damping", func(c *Config) { c.Damping = true }, ""},
		{"group", func(c *Config) { c.Grouped = true }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t).asMaster()
			r.want(r.reconfigure(test.edit), test.want)
			r.state(Master)
			r.forwarding(true)
			for _, a := range r.until(5*sec + 700*ms) {
				if _, stays := a.(Transition); stays {
					t.Errorf("%+v", a)
				}
			}
		})
	}
}

func TestReconfigure_announces_the_new_addresses_first_and_all_of_them_again(t *testing.T) {
	r := newRig(t, fiveTimes).asMaster()
	r.until(20 * sec)
	actions := r.reconfigure(func(c *Config) { c.Addresses = []netip.Addr{second, virtual} })
	first := actions[1].(Announce)
	if len(first.Addresses) != 1 || first.Addresses[0] != second {
		t.Errorf("announced %v", first.Addresses)
	}
	var again []time.Duration
	for r.now.Before(epoch.Add(24 * sec)) {
		for _, a := range r.until(r.now.Sub(epoch) + 250*ms) {
			if a, ok := a.(Announce); ok {
				again = append(again, r.now.Sub(epoch))
				if len(a.Addresses) != 2 {
					t.Errorf("announced %v", a.Addresses)
				}
			}
		}
	}
	if len(again) != 4 || again[0] != 20*sec+250*ms || again[3] != 23*sec+750*ms {
		t.Errorf("announced again at %v", again)
	}
}

func TestReconfigure_to_fewer_addresses_announces_nothing(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Addresses = []netip.Addr{virtual, second} }).asMaster()
	r.want(r.reconfigure(func(c *Config) { c.Addresses = []netip.Addr{virtual} }), "send 100")
}

func TestReconfigure_leaves_a_priority_that_was_set_apart(t *testing.T) {
	r := newRig(t).asMaster()
	r.m.SetPriority(r.now, 70)
	r.reconfigure(prio(200))
	if got := r.m.Info().Priority; got != 70 {
		t.Errorf("effective priority %d", got)
	}
	r.m.SetPriority(r.now, 200)
	r.reconfigure(prio(90))
	if got := r.m.Info().Priority; got != 90 {
		t.Errorf("effective priority %d", got)
	}
}

// A Backup that goes by the old, shorter interval may miss the first
// advertisement that tells of the longer one, and the second.
func TestReconfigure_to_a_longer_interval_keeps_the_old_pace_until_the_others_know(t *testing.T) {
	r := newRig(t, fast).asMaster()
	r.until(4*sec + 5*ms)
	r.want(r.reconfigure(func(c *Config) { c.Interval = sec }), "send 100")
	for i := range time.Duration(3) {
		r.want(r.until(4*sec+5*ms+(i+1)*10*ms-1), "")
		r.want(r.until(4*sec+5*ms+(i+1)*10*ms), "send 100")
	}
	r.want(r.until(5*sec+35*ms-1), "")
	r.want(r.until(5*sec+35*ms), "send 100")
	r.deadline(6*sec + 35*ms)
}

func TestReconfigure_to_a_shorter_interval_begins_at_once(t *testing.T) {
	r := newRig(t).asMaster()
	r.want(r.reconfigure(fast), "send 100")
	r.deadline(4*sec + 10*ms)
	r.until(5 * sec)
	r.deadline(5*sec + 10*ms)
}

func TestReconfigure_back_and_forth_keeps_the_shortest_pace_that_others_may_go_by(t *testing.T) {
	r := newRig(t, fast).asMaster()
	r.reconfigure(func(c *Config) { c.Interval = sec })
	r.until(4*sec + 10*ms)
	r.reconfigure(func(c *Config) { c.Interval = 2 * sec })
	r.deadline(4*sec + 20*ms)
}

func TestReconfigure_of_a_Backup_keeps_its_timer_and_its_master(t *testing.T) {
	r := newRig(t)
	r.start()
	r.hear(routerC, greater)
	r.until(sec)
	r.want(r.reconfigure(fast, noPreempt, prio(50), noDrain), "")
	r.deadline(learned)
	if i := r.m.Info(); i.MasterAddress != routerC || i.MasterInterval != 2*sec || i.Priority != 50 {
		t.Errorf("%+v", i)
	}
}

func TestReconfigure_lets_a_Backup_preempt_that_may_do_so_now(t *testing.T) {
	r := newRig(t, noPreempt)
	r.start()
	r.hear(routerC, lesser)
	r.until(sec)
	r.reconfigure(func(c *Config) { c.Preempt = true })
	for d := 2 * sec; d < 7*sec; d += sec {
		r.hear(routerC, lesser)
		r.until(d)
	}
	r.want(r.until(learned), "Backup>Master, send 100, announce")
}

func TestReconfigure_ends_a_preemption_that_waits_and_is_not_wanted_any_more(t *testing.T) {
	r := newRig(t, delayed)
	r.start()
	r.hear(routerC, lesser)
	r.until(sec)
	r.reconfigure(noPreempt)
	for d := 2 * sec; d < 15*sec; d += sec {
		r.hear(routerC, lesser)
		r.until(d)
	}
	r.state(Backup)
}

func TestReconfigure_moves_the_end_of_a_preemption_delay(t *testing.T) {
	for _, delay := range []time.Duration{6 * sec, 14 * sec} {
		r := newRig(t, delayed)
		r.start()
		r.hear(routerC, lesser)
		r.until(sec)
		r.reconfigure(func(c *Config) { c.PreemptDelay = delay })
		for d := sec; d < delay; d += sec {
			r.until(d)
			r.hear(routerC, lesser)
		}
		r.want(r.until(delay-1), "")
		r.want(r.until(delay), "Backup>Master, send 100, announce")
	}
}

func TestReconfigure_makes_the_owner_Master_at_once_and_its_priority_counts(t *testing.T) {
	r := newRig(t)
	r.start()
	r.m.SetPriority(r.now, 10)
	r.hear(routerC, greater)
	r.want(r.reconfigure(owner), "Backup>Master, send 255, announce")
	r.want(r.reconfigure(prio(100)), "send 100")
}

func TestReconfigure_out_of_a_group_ends_the_wait_for_it(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Grouped = true })
	r.start()
	r.until(4 * sec)
	if !r.m.Info().Elected {
		t.Fatal("not elected")
	}
	r.want(r.reconfigure(func(c *Config) { c.Priority = 101 }), "")
	r.want(r.reconfigure(func(c *Config) { c.Grouped = false }), "Backup>Master, send 101, announce")
}

func TestReconfigure_begins_refreshes_that_were_switched_off(t *testing.T) {
	r := newRig(t, owner)
	r.start()
	r.until(10 * sec)
	r.reconfigure(func(c *Config) { c.GARPRefresh = 30 * sec })
	if got := trace(r.until(29 * sec)); len(got) == 0 || got[len(got)-8:] != "send 255" {
		t.Error(got)
	}
	r.want(r.until(30 * sec)[0:2], "send 255, announce")
}

func TestReconfigure_copies_the_configuration(t *testing.T) {
	r := newRig(t)
	addrs := []netip.Addr{virtual}
	r.reconfigure(func(c *Config) { c.Addresses = addrs })
	addrs[0] = second
	if r.m.Config().Addresses[0] != virtual {
		t.Error("the Machine shares its list with the caller")
	}
}

func TestReconfigure_in_Initialize_counts_from_the_next_start(t *testing.T) {
	r := newRig(t)
	r.want(r.reconfigure(prio(200), fast), "")
	r.start()
	r.deadline(MasterDownInterval(3, 200, 10*ms))
}

// The time of a silence, and who was heard last, are in the reason.
func TestReasons_carry_their_evidence(t *testing.T) {
	r := newRig(t, fast)
	r.start()
	adv := r.m.advertisement(200)
	r.m.Receive(r.now, at(routerA), adv)
	r.until(50 * ms)
	if got := r.m.Info().LastReason; got != "no advertisement for 36 ms from 192.0.2.2, last priority 200" {
		t.Error(got)
	}
	r.m.Receive(r.now, at(routerC), r.m.advertisement(100))
	if got := r.m.Info().LastReason; got != "192.0.2.4 has the same priority 100 and the greater address" {
		t.Error(got)
	}
	r.m.Down(r.now, "link")
	r.m.Resume(r.now, sec)
	for d, want := range map[time.Duration]string{
		0: "0 ms", 361*ms + 400*us: "361 ms", sec: "1 s", 3609375 * us: "3.609 s", 90 * sec: "90 s",
	} {
		if got := written(d); got != want {
			t.Errorf("%v is written %q, want %q", d, got, want)
		}
	}
}
