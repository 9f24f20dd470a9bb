package vrrp

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// Startup, RFC 9568 6.4.1.

func TestStart_makes_the_owner_Master_which_sends_and_announces_at_once(t *testing.T) {
	r := newRig(t, owner)
	r.want(r.start(), "Initialize>Master, send 255, announce")
	r.deadline(sec)
	r.forwarding(true)
}

func TestStart_makes_others_Backup_that_listen_for_Master_Down_Interval(t *testing.T) {
	r := newRig(t)
	r.want(r.start(), "Initialize>Backup")
	r.deadline(down100)
	r.forwarding(false)
	r.want(r.until(down100-1), "")
	r.want(r.until(down100), "Backup>Master, send 100, announce")
}

func TestStart_again_takes_over_the_source_only(t *testing.T) {
	r := newRig(t)
	r.start()
	r.now = r.now.Add(sec)
	r.want(r.m.Start(r.now, routerA), "")
	r.deadline(down100)
	if _, reason := r.m.Receive(r.now, at(routerA), r.advert(100)); reason != ReasonOwnSource {
		t.Error(reason)
	}
}

// Backup, RFC 9568 6.4.2.

func TestBackup_becomes_Master_when_the_master_is_silent(t *testing.T) {
	r := newRig(t)
	r.start()
	r.until(sec)
	r.hear(routerC, greater)
	r.forwarding(false)
	r.want(r.until(sec+learned-1), "")
	r.want(r.until(sec+learned), "Backup>Master, send 100, announce")
	r.deadline(sec + learned + sec) // Adver_Timer: our own interval, not the learned one
}

func TestBackup_waits_for_the_skew_time_after_priority_zero(t *testing.T) {
	r := newRig(t)
	r.start()
	r.hear(routerC, greater)
	r.until(sec)
	r.hear(routerC, 0)
	r.deadline(sec + 2*skew100) // of the learned interval of 2 s
	r.want(r.until(10 * sec)[:3], "Backup>Master, send 100, announce")
	if got := r.m.Info().LastReason; got != "192.0.2.4 gave up (priority 0)" {
		t.Error(got)
	}
}

func TestBackup_does_not_learn_the_interval_of_a_packet_that_it_discards(t *testing.T) {
	r := newRig(t)
	r.start()
	r.hear(routerC, lesser)
	if got := r.m.Info(); got.MasterInterval != sec || got.MasterDownInterval != down100 {
		t.Errorf("%+v", got)
	}
}

func TestBackup_learns_the_interval_of_its_master(t *testing.T) {
	r := newRig(t)
	r.start()
	r.hear(routerC, 100)
	i := r.m.Info()
	if i.MasterInterval != 2*sec || i.SkewTime != 2*skew100 || i.MasterDownInterval != learned {
		t.Errorf("%+v", i)
	}
	if i.MasterAddress != routerC || i.MasterPriority != 100 {
		t.Errorf("master %v %d", i.MasterAddress, i.MasterPriority)
	}
}

func TestBackup_preempts_a_lesser_master_by_letting_its_timer_run(t *testing.T) {
	r := newRig(t)
	r.start()
	for d := time.Duration(0); d < down100; d += 500 * ms {
		r.until(d)
		r.hear(routerC, lesser)
	}
	r.want(r.until(down100), "Backup>Master, send 100, announce")
	if got := r.m.Info().LastReason; got != "preempts 192.0.2.4: its priority 99 is below 100" {
		t.Error(got)
	}
}

func TestBackup_without_preemption_follows_a_lesser_master(t *testing.T) {
	r := newRig(t, noPreempt)
	r.start()
	for d := time.Duration(0); d < 60*sec; d += 2 * sec {
		r.until(d)
		r.hear(routerC, 1)
	}
	r.until(60 * sec)
	r.state(Backup)
	r.until(80 * sec)
	r.state(Master)
	if got := r.m.Info().LastReason; got != "no advertisement for 7.219 s from 192.0.2.4, last priority 1" {
		t.Error(got)
	}
}

func TestBackup_never_preempts_a_master_of_equal_priority(t *testing.T) {
	r := newRig(t)
	r.start()
	for d := time.Duration(0); d < 60*sec; d += 2 * sec {
		r.until(d)
		r.hear(routerA, 100) // although our address is the greater one
	}
	r.state(Backup)
}

func TestBackup_goes_to_Initialize_on_shutdown_in_silence(t *testing.T) {
	r := newRig(t)
	r.start()
	r.want(r.m.Stop(r.now, "test"), "Backup>Initialize")
	r.forwarding(false)
	if !r.m.Deadline().IsZero() {
		t.Error("a timer runs on")
	}
}

func TestBackup_tells_why_it_became_Master(t *testing.T) {
	tests := []struct {
		edit  func(*Config)
		heard []uint8
		want  string
	}{
		{prio(100), nil, "no master heard for 3.609 s"},
		{prio(100), []uint8{greater}, "no advertisement for 7.219 s from 192.0.2.4, last priority 101"},
		{prio(100), []uint8{100}, "no advertisement for 7.219 s from 192.0.2.4, last priority 100"},
		{prio(100), []uint8{lesser}, "preempts 192.0.2.4: its priority 99 is below 100"},
		{noPreempt, []uint8{lesser}, "no advertisement for 7.219 s from 192.0.2.4, last priority 99"},
		{prio(100), []uint8{greater, 0}, "192.0.2.4 gave up (priority 0)"},
		{delayed, []uint8{lesser}, "no advertisement for 7.219 s from 192.0.2.4, last priority 99"},
	}
	for _, test := range tests {
		r := newRig(t, test.edit)
		r.start()
		for _, priority := range test.heard {
			r.hear(routerC, priority)
		}
		r.until(9 * sec)
		r.state(Master)
		if got := r.m.Info().LastReason; got != test.want {
			t.Errorf("heard %v: %q, want %q", test.heard, got, test.want)
		}
	}
}

// Preemption delay.

func TestPreemptDelay_holds_back_from_a_working_lesser_master(t *testing.T) {
	r := newRig(t, delayed) // 10 s
	r.start()
	for d := time.Duration(0); d < 10*sec; d += sec {
		r.until(d)
		r.hear(routerC, lesser)
	}
	r.want(r.until(10*sec-1), "")
	r.want(r.until(10*sec), "Backup>Master, send 100, announce")
}

func TestPreemptDelay_does_not_hold_back_when_nobody_is_master(t *testing.T) {
	r := newRig(t, delayed)
	r.start()
	r.want(r.until(down100), "Backup>Master, send 100, announce")
}

func TestPreemptDelay_does_not_hold_back_when_the_lesser_master_is_lost(t *testing.T) {
	r := newRig(t, delayed)
	r.start()
	r.hear(routerC, lesser)
	r.want(r.until(learned), "Backup>Master, send 100, announce")

	r = newRig(t, delayed)
	r.start()
	r.hear(routerC, lesser)
	r.hear(routerC, 0)
	r.want(r.until(2*skew100), "Backup>Master, send 100, announce")
}

func TestPreemptDelay_ends_in_silence_where_the_master_is_no_longer_lesser(t *testing.T) {
	r := newRig(t, delayed)
	r.start()
	r.until(9 * ms)
	r.hear(routerC, lesser)
	for d := sec; d < 20*sec; d += sec {
		r.until(d)
		r.hear(routerC, greater)
	}
	r.state(Backup)
}

func TestPreemptDelay_shorter_than_listening_does_not_speed_up(t *testing.T) {
	r := newRig(t, func(c *Config) { c.PreemptDelay = sec })
	r.start()
	r.until(sec)
	r.hear(routerC, lesser)
	r.want(r.until(down100-1), "")
	r.want(r.until(down100), "Backup>Master, send 100, announce")
}

func TestPreemptDelay_means_nothing_without_preemption(t *testing.T) {
	r := newRig(t, delayed, noPreempt)
	r.start()
	for d := time.Duration(0); d < 30*sec; d += sec {
		r.until(d)
		r.hear(routerC, lesser)
	}
	r.state(Backup)
}

func TestPreemptDelay_means_nothing_to_the_owner(t *testing.T) {
	r := newRig(t, owner, delayed)
	r.want(r.start(), "Initialize>Master, send 255, announce")
}

func TestPreemptDelay_begins_anew_with_each_start(t *testing.T) {
	r := newRig(t, delayed)
	r.start()
	r.until(3 * sec)
	r.m.Down(r.now, "link")
	r.until(15 * sec)
	r.start()
	for d := 15 * sec; d < 25*sec; d += sec {
		r.until(d)
		r.hear(routerC, lesser)
	}
	r.state(Backup)
	r.until(25 * sec)
	r.state(Master)
}

// Master, RFC 9568 6.4.3.

func TestMaster_sends_each_interval_without_drift(t *testing.T) {
	for _, edit := range []func(*Config){owner, func(c *Config) { owner(c); fast(c) }} {
		r := newRig(t, edit)
		r.start()
		interval := r.m.cfg.Interval
		for i := 1; i <= 1000; i++ {
			tick := epoch.Add(time.Duration(i) * interval)
			if !r.m.Deadline().Equal(tick) {
				t.Fatalf("tick %d at %v", i, r.m.Deadline().Sub(epoch))
			}
			late := interval * time.Duration(i%10) / 10
			r.want(r.m.Advance(tick.Add(late)), "send 255")
		}
	}
}

func TestMaster_that_was_late_does_not_send_a_burst(t *testing.T) {
	r := newRig(t, owner)
	r.start()
	r.now = epoch.Add(10*sec + 300*ms)
	r.want(r.m.Advance(r.now), "send 255")
	r.deadline(11*sec + 300*ms)
}

func TestMaster_sends_what_is_configured(t *testing.T) {
	r := newRig(t, owner, inIPv6, func(c *Config) { c.Interval = 10 * ms; c.VRID = 77 })
	send := r.start()[1].(Send).Advertisement
	if send.Version != 3 || send.VRID != 77 || send.Priority != 255 || send.Interval != 10*ms ||
		len(send.Addresses) != 1 || send.Addresses[0] != r.m.cfg.Addresses[0] {
		t.Errorf("%+v", send)
	}
}

func TestMaster_sends_priority_zero_on_shutdown(t *testing.T) {
	r := newRig(t).asMaster()
	r.want(r.m.Stop(r.now, "test"), "send 0, Master>Initialize")
	r.want(r.m.Stop(r.now, "test"), "")
}

func TestMaster_sends_nothing_when_the_interface_is_down(t *testing.T) {
	r := newRig(t).asMaster()
	r.want(r.m.Down(r.now, "link"), "Master>Initialize")
	r.forwarding(false)
	if !r.m.Deadline().IsZero() {
		t.Error("a timer runs on")
	}
}

func TestMaster_answers_priority_zero_and_starts_its_timer_anew(t *testing.T) {
	r := newRig(t).asMaster()
	r.want(r.hear(routerC, 0), "send 100")
	r.deadline(5 * sec)
}

func TestMaster_yields_to_a_higher_priority_and_stops_forwarding(t *testing.T) {
	r := newRig(t).asMaster()
	r.want(r.hear(routerA, greater), "Master>Backup")
	r.forwarding(false)
	r.deadline(4*sec + learned)
	i := r.m.Info()
	if i.MasterAddress != routerA || i.MasterPriority != greater || i.LastReason != "192.0.2.2 has priority 101, above 100" {
		t.Errorf("%+v", i)
	}
}

func TestMaster_compares_addresses_as_unsigned_numbers(t *testing.T) {
	high := netip.MustParseAddr("203.0.113.200") // negative, were it signed
	r := newRig(t).asMaster()
	r.want(r.hear(high, 100), "Master>Backup")

	r = newRig(t, inIPv6).asMaster()
	r.want(r.hear(netip.MustParseAddr("fe80::8000:0:0:1"), 100), "Master>Backup")
}

func TestMaster_decides_by_its_present_address(t *testing.T) {
	r := newRig(t).asMaster()
	r.m.SetSource(r.now, netip.MustParseAddr("192.0.2.9"))
	r.want(r.hear(routerC, 100), "send 100")
	r.m.SetSource(r.now, routerA)
	r.want(r.hear(routerC, 100), "Master>Backup")
}

func TestMaster_asserts_itself_against_a_lesser_one_at_once(t *testing.T) {
	r := newRig(t).asMaster()
	r.want(r.hear(routerC, lesser), "send 100")
	r.deadline(down100 + sec) // the Adver_Timer is not touched
}

func TestMaster_of_version_2_discards_a_lesser_one_in_silence(t *testing.T) {
	r := newRig(t, version2).asMaster()
	r.want(r.hear(routerC, lesser), "")
	r.deadline(down100 + sec)
}

func TestMaster_cannot_be_made_to_start_a_storm_or_fall_silent(t *testing.T) {
	for _, priority := range []uint8{0, lesser} {
		r := newRig(t).asMaster()
		answers, regular := 0, 0
		for d := 4 * sec; d < 14*sec; d += ms {
			regular += len(r.until(d))
			answers += len(r.hear(routerC, priority))
		}
		if total := answers + regular; total > 11*(maxAsserted+1) || total < 10 {
			t.Errorf("priority %d: %d answers, %d regular advertisements in 10 s", priority, answers, regular)
		}
		if gap := r.m.Deadline().Sub(r.now); gap > sec {
			t.Errorf("priority %d: nothing for %v", priority, gap)
		}
	}
}

func TestMaster_asserts_itself_in_every_interval(t *testing.T) {
	r := newRig(t).asMaster()
	for range 5 {
		answers := 0
		for range 2 * maxAsserted {
			answers += strings.Count(trace(r.hear(routerC, lesser)), "send")
		}
		if answers != maxAsserted {
			t.Errorf("%d answers within one interval", answers)
		}
		r.until(r.now.Sub(epoch) + sec)
	}
}

// Announcements.

func TestMaster_announces_again_after_growing_pauses_and_then_refreshes(t *testing.T) {
	r := newRig(t, owner, fiveTimes)
	r.start()
	var got []time.Duration
	for r.now.Sub(epoch) < 3*time.Minute {
		r.now = r.m.Deadline()
		if strings.Contains(trace(r.m.Advance(r.now)), "announce") {
			got = append(got, r.now.Sub(epoch))
		}
	}
	want := []time.Duration{250 * ms, 750 * ms, 1750 * ms, 3750 * ms, 63750 * ms, 123750 * ms}
	if len(got) != len(want) {
		t.Fatalf("announced at %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("announced at %v, want %v", got, want)
			break
		}
	}
}

func TestMaster_announces_at_least_once_and_never_again_when_so_configured(t *testing.T) {
	r := newRig(t, owner, func(c *Config) { c.GARPRepeat = 0 })
	r.want(r.start(), "Initialize>Master, send 255, announce")
	if got := trace(r.until(time.Hour)); strings.Contains(got, "announce") {
		t.Error("announced again")
	}
}

func TestMaster_announces_anew_with_each_mastership(t *testing.T) {
	r := newRig(t, fiveTimes, noDrain)
	for range 2 {
		r.start()
		first := r.now.Sub(epoch)
		if got := strings.Count(trace(r.until(first+10*sec)), "announce"); got != 5 {
			t.Errorf("%d announcements", got)
		}
		r.m.Stop(r.now, "test")
	}
}

func TestMaster_stops_announcing_when_it_yields(t *testing.T) {
	r := newRig(t, fiveTimes).asMaster()
	r.hear(routerC, greater)
	r.deadline(4*sec + learned)
}

func TestAnnouncePause_is_bounded(t *testing.T) {
	for n := 1; n < 100; n++ {
		if p := announcePause(n, 1000, 0); p < announceGap || p > maxAnnounceGap {
			t.Errorf("pause %d is %v", n, p)
		}
	}
}

// Timers, RFC 9568 6.1 and RFC 3768 6.1.

func TestSkewTime_and_MasterDownInterval(t *testing.T) {
	tests := []struct {
		version, priority uint8
		interval          time.Duration
		skew, down        time.Duration
	}{
		{3, 100, sec, 609375 * us, 3609375 * us},
		{3, 1, sec, 996093750, 3996093750},
		{3, 254, sec, 7812500, 3007812500},
		{3, 255, sec, 3906250, 3003906250},
		{3, 100, 10 * ms, 6093750, 36093750},
		{3, 100, MaxInterval3, 24953906250, 147803906250},
		{2, 100, sec, 609375 * us, 3609375 * us},
		{2, 100, 10 * sec, 609375 * us, 30609375 * us},
		{2, 1, 255 * sec, 996093750, 765996093750},
	}
	for _, test := range tests {
		skew := SkewTime(test.version, test.priority, test.interval)
		down := MasterDownInterval(test.version, test.priority, test.interval)
		if skew != test.skew || down != test.down {
			t.Errorf("version %d, priority %d, %v: %v, %v; want %v, %v",
				test.version, test.priority, test.interval, skew, down, test.skew, test.down)
		}
	}
}

func TestAdvance_called_early_does_nothing(t *testing.T) {
	r := newRig(t, fiveTimes).asMaster()
	before := r.m.Deadline()
	r.want(r.m.Advance(before.Add(-1)), "")
	if !r.m.Deadline().Equal(before) {
		t.Error("the deadline has moved")
	}
}

func TestNew_copies_the_configuration(t *testing.T) {
	addrs, peers := []netip.Addr{virtual}, []netip.Addr{routerC}
	m := New(Config{Addresses: addrs, Peers: peers})
	addrs[0], peers[0] = second, routerA
	if m.Config().Addresses[0] != virtual || m.Config().Peers[0] != routerC {
		t.Error("the Machine shares its lists with the caller")
	}
}
