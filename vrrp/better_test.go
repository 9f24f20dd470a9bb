package vrrp

import (
	"testing"
	"time"
)

// Two masters at once, a better and a lesser one (who does not hear the
// other): the better one counts, until it is lost.

func TestPreemptDelay_ends_in_silence_while_a_better_master_lives_beside_a_lesser_one(t *testing.T) {
	r := newRig(t, delayed)
	r.start()
	for d := sec; d < 20*sec; d += sec {
		r.want(r.until(d), "")
		r.hear(routerA, greater)
		r.until(d + sec/2)
		r.hear(routerC, lesser)
	}
	r.state(Backup)
}

func TestPreemptDelay_ends_in_silence_after_yielding_to_a_better_master(t *testing.T) {
	r := newRig(t, delayed)
	r.start()
	r.until(4 * sec)
	r.state(Master)
	r.hear(routerA, greater)
	r.until(9 * sec)
	r.hear(routerC, lesser)
	r.until(11 * sec)
	r.state(Backup)
}

func TestPreemptDelay_ends_in_a_takeover_where_the_better_master_was_lost(t *testing.T) {
	r := newRig(t, delayed)
	r.start()
	r.hear(routerA, greater)
	for d := sec; d < 10*sec; d += sec {
		r.until(d)
		r.hear(routerC, lesser)
	}
	r.want(r.until(10*sec-1), "")
	r.want(r.until(10*sec), "Backup>Master, send 100, announce")
}

func TestPreemptDelay_ends_in_a_takeover_where_the_better_master_gave_up(t *testing.T) {
	r := newRig(t, delayed)
	r.start()
	r.until(3 * sec)
	r.hear(routerA, greater)
	r.hear(routerA, 0)
	for d := 3*sec + 500*ms; d < 10*sec; d += sec {
		r.until(d)
		r.hear(routerC, lesser)
	}
	r.want(r.until(10*sec), "Backup>Master, send 100, announce")
}

// A preemption delay that ends soon after a freeze does not cut short the
// listening for a better master.

func TestResume_listens_in_full_although_the_preemption_delay_ends(t *testing.T) {
	r := newRig(t, delayed)
	r.start()
	r.now = r.now.Add(9 * sec) // frozen, the Master_Down_Timer long due
	r.want(r.m.Resume(r.now, 9*sec), "")
	r.hear(routerC, lesser)
	r.want(r.until(9*sec+down100-1), "")
	r.want(r.until(9*sec+down100), "Backup>Master, send 100, announce")
}

func TestResume_of_a_Master_listens_in_full_although_the_preemption_delay_ends(t *testing.T) {
	r := newRig(t, delayed)
	r.start()
	r.until(4 * sec)
	r.state(Master)
	r.now = r.now.Add(5 * sec)
	r.want(r.m.Resume(r.now, 5*sec), "Master>Backup")
	r.hear(routerC, lesser)
	r.want(r.until(9*sec+down100-1), "")
	r.want(r.until(9*sec+down100), "Backup>Master, send 100, announce")
}

func TestResume_leaves_a_longer_preemption_delay_alone(t *testing.T) {
	r := newRig(t, delayed)
	r.start()
	r.now = r.now.Add(4 * sec)
	r.m.Resume(r.now, 4*sec)
	for d := 4 * sec; d < 10*sec; d += sec {
		r.want(r.until(d), "")
		r.hear(routerC, lesser)
	}
	r.want(r.until(10*sec), "Backup>Master, send 100, announce")
}

// So with Hold, as of a router that is not ready: neither its end nor that it is
// lifted cuts the listening short.
func TestResume_listens_in_full_although_Hold_ends(t *testing.T) {
	for _, lift := range []bool{false, true} {
		r := newRig(t)
		r.m.Hold(epoch.Add(9*sec + 10*time.Millisecond))
		r.start()
		r.now = r.now.Add(9 * sec)
		r.m.Resume(r.now, 9*sec)
		r.hear(routerC, lesser)
		if lift {
			r.m.Hold(time.Time{})
		}
		r.want(r.until(9*sec+down100-1), "")
		r.want(r.until(9*sec+down100), "Backup>Master, send 100, announce")
	}
}

// What waited in the queues of a router that stood still may be of long ago.
func TestResume_is_not_cut_short_by_a_priority_0(t *testing.T) {
	r := newRig(t)
	r.start()
	r.hear(routerC, 200)
	r.now = r.now.Add(9 * sec)
	r.m.Resume(r.now, 9*sec)
	r.hear(routerC, PriorityStop)
	r.want(r.until(9*sec+learned-1), "")
	r.want(r.until(9*sec+learned), "Backup>Master, send 100, announce")
}

// Nor where its interface began anew with it.
func TestResume_is_not_cut_short_by_a_priority_0_after_a_new_start(t *testing.T) {
	r := newRig(t)
	r.start()
	r.hear(routerC, 200)
	r.now = r.now.Add(9 * sec)
	r.m.Resume(r.now, 9*sec)
	r.m.Down(r.now, "test")
	r.start()
	r.hear(routerC, PriorityStop)
	r.want(r.until(9*sec+down100-1), "")
	r.state(Backup)
}

// One that was in Initialize meanwhile, its cable cut, has queues too.
func TestResume_in_Initialize_lets_no_priority_0_cut_the_listening_short(t *testing.T) {
	r := newRig(t)
	r.start()
	r.m.Down(r.now, "test")
	r.now = r.now.Add(9 * sec)
	r.want(r.m.Resume(r.now, 9*sec), "")
	r.start()
	r.hear(routerC, PriorityStop)
	r.want(r.until(9*sec+down100-1), "")
	r.want(r.until(9*sec+down100), "Backup>Master, send 100, announce")
}

// The lease is two of the router's own intervals; the master's may be shorter.
func TestBackup_that_notices_a_silence_too_late_listens_anew(t *testing.T) {
	for _, late := range []time.Duration{2 * sec, 2*sec + 1, sec / 2} {
		r := newRig(t)
		r.start()
		r.now = epoch.Add(down100 + late)
		if late <= 2*sec {
			r.want(r.m.Advance(r.now), "Backup>Master, send 100, announce")
			continue
		}
		r.want(r.m.Advance(r.now), "")
		r.state(Backup)
		r.want(r.until(late+2*down100-1), "")
		r.want(r.until(late+2*down100), "Backup>Master, send 100, announce")
	}
}
