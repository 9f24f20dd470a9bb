package vrrp

import (
	"testing"
	"time"
)

// A master that says that it has become worse than a Backup that may preempt
// it. By RFC 9568 6.4.2 the Backup would let its Master_Down_Timer run down.

// following is a Backup that hears its master, of priority 150, until 1 s.
func following(t *testing.T, edits ...func(*Config)) *rig {
	r := newRig(t, edits...)
	r.start()
	r.hear(routerC, 150)
	r.until(sec)
	r.hear(routerC, 150)
	return r
}

func TestBackup_waits_for_the_skew_time_only_where_its_master_falls_below_it(t *testing.T) {
	for _, edit := range []func(*Config){prio(100), version2} {
		r := following(t, edit)
		r.until(sec + 500*ms)
		r.want(r.hear(routerC, lesser), "")
		skew := 2 * skew100 // of the learned interval
		if r.m.cfg.Version == 2 {
			skew = skew100
		}
		r.want(r.until(sec+500*ms+skew-1), "")
		r.want(r.until(sec+500*ms+skew), "Backup>Master, send 100, announce")
		if got := r.m.Info().LastReason; got != "192.0.2.4 fell from priority 150 to 99, below 100" {
			t.Error(got)
		}
	}
}

func TestBackup_whose_master_falls_takes_over_once_however_often_it_says_so(t *testing.T) {
	r := following(t)
	r.hear(routerC, 50)
	for d := sec + 100*ms; d < 2*sec; d += 100 * ms {
		r.until(d)
		r.hear(routerC, 50-uint8(d/(100*ms)))
	}
	r.want(r.until(sec+2*skew100), "Backup>Master, send 100, announce")
}

func TestBackup_follows_again_where_its_master_rises_in_time(t *testing.T) {
	r := following(t)
	r.hear(routerC, lesser)
	r.until(2 * sec)
	r.hear(routerC, 150)
	r.deadline(2*sec + learned)
}

func TestBackup_does_not_hurry_where_its_master_falls_and_it_may_not_preempt(t *testing.T) {
	r := following(t, noPreempt)
	r.until(2 * sec)
	r.hear(routerC, lesser)
	r.deadline(2*sec + learned)

	r = following(t, delayed)
	r.until(2 * sec)
	r.hear(routerC, lesser)
	r.deadline(2*sec + learned)
	for d := 3 * sec; d < 10*sec; d += sec {
		r.until(d)
		r.hear(routerC, lesser)
	}
	r.want(r.until(10*sec), "Backup>Master, send 100, announce")

	r = following(t)
	r.m.Hold(epoch.Add(time.Minute))
	r.hear(routerC, lesser)
	r.deadline(sec + learned)
}

func TestBackup_does_not_hurry_where_its_master_falls_to_its_own_priority(t *testing.T) {
	r := following(t)
	r.hear(routerC, 100)
	r.deadline(sec + learned)
}

func TestBackup_does_not_hurry_where_a_lesser_master_becomes_still_less(t *testing.T) {
	r := newRig(t)
	r.start()
	r.hear(routerC, 50)
	r.until(sec)
	r.hear(routerC, 40)
	r.deadline(down100)
}

func TestBackup_does_not_hurry_where_its_own_priority_rises(t *testing.T) {
	r := following(t)
	r.m.SetPriority(r.now, 200)
	r.hear(routerC, 150)
	r.deadline(sec + learned)
}

func TestBackup_does_not_hurry_where_another_better_master_lives(t *testing.T) {
	r := following(t)
	r.hear(routerA, 200)
	r.hear(routerC, 150)
	r.until(2 * sec)
	r.hear(routerC, lesser)
	r.deadline(sec + learned)
}

func TestBackup_hurries_where_the_other_better_master_is_long_gone(t *testing.T) {
	r := following(t)
	r.hear(routerA, 200)
	for d := sec; d < 20*sec; d += sec {
		r.until(d)
		r.hear(routerA, 200)
	}
	r.hear(routerA, 10)
	r.deadline(19*sec + 2*skew100)
}

// The hurry never makes a takeover come later than it would have come.
func TestBackup_whose_master_falls_late_does_not_wait_longer(t *testing.T) {
	r := following(t)
	r.until(sec + learned - 100*ms)
	r.hear(routerC, lesser)
	r.deadline(sec + learned)
}
