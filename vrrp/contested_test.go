package vrrp

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// hears hands in an advertisement each interval until a time after the epoch,
// and returns what came of it.
func (r *rig) hears(until, interval time.Duration, src netip.Addr, edit func(*Advertisement)) (actions []Action) {
	r.Helper()
	for d := r.now.Sub(epoch); d < until; d += interval {
		actions = append(actions, r.until(d)...)
		adv := r.m.advertisement(lesser)
		edit(&adv)
		more, _ := r.m.Receive(r.now, at(src), adv)
		actions = append(actions, more...)
	}
	return append(actions, r.until(until)...)
}

func asLesser(*Advertisement) {}

// contests returns the Contest actions of a list.
func contests(actions []Action) (list []Contest) {
	for _, a := range actions {
		if c, ok := a.(Contest); ok {
			list = append(list, c)
		}
	}
	return list
}

func TestContested_by_a_lesser_master_that_does_not_hear_us(t *testing.T) {
	for _, edit := range []func(*Config){prio(100), version2} {
		r := newRig(t, edit).asMaster()
		found := contests(r.hears(10*sec, sec, routerC, asLesser))
		if len(found) != 1 || !found[0].Begins {
			t.Fatalf("%+v", found)
		}
		c := r.m.Info().Contested
		if c == nil || c.Kind != ContestLesser || c.Sender != at(routerC) || c.Priority != lesser || !c.Deaf ||
			!c.Since.Equal(epoch.Add(4*sec)) || !c.Heard.Equal(epoch.Add(9*sec)) || c.Addresses[0] != virtual {
			t.Errorf("%+v", c)
		}
		want := "192.0.2.4 (02:00:00:00:00:04) goes on advertising priority 99 beside our 100: it does not hear us"
		if found[0].Reason != want {
			t.Error(found[0].Reason)
		}
		r.state(Master)
	}
}

func TestContested_begins_with_the_third_claim_only(t *testing.T) {
	r := newRig(t).asMaster()
	r.hears(6*sec, sec, routerC, asLesser)
	if c := r.m.Info().Contested; c != nil {
		t.Errorf("after two claims: %+v", c)
	}
	for range 20 { // copies of one packet are one claim
		r.hear(routerA, lesser)
	}
	if c := r.m.Info().Contested; c != nil {
		t.Errorf("by copies of one: %+v", c)
	}
}

func TestContested_is_forgotten_where_claims_are_far_apart(t *testing.T) {
	r := newRig(t).asMaster()
	if got := contests(r.hears(100*sec, 5*sec, routerC, asLesser)); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestContested_by_a_second_owner(t *testing.T) {
	r := newRig(t, owner)
	r.start()
	found := contests(r.hears(5*sec, sec, routerC, func(a *Advertisement) { a.Priority = 255 }))
	c := r.m.Info().Contested
	if len(found) != 1 || c == nil || c.Kind != ContestOwner || c.Deaf {
		t.Fatalf("%+v %+v", found, c)
	}
	if found[0].Reason != "192.0.2.4 (02:00:00:00:00:04) says that it owns the addresses (priority 255), as we do" {
		t.Error(found[0].Reason)
	}
	r.state(Master)
}

func TestContested_by_a_stranger_with_our_VRID_and_other_addresses(t *testing.T) {
	other := func(priority uint8) func(*Advertisement) {
		return func(a *Advertisement) {
			a.Priority, a.Addresses = priority, []netip.Addr{netip.MustParseAddr("198.51.100.1")}
		}
	}
	for _, priority := range []uint8{50, 200} {
		r := newRig(t).asMaster() // a better one makes it Backup
		found := contests(r.hears(9*sec, sec, routerC, other(priority)))
		c := r.m.Info().Contested
		if len(found) != 1 || c == nil || c.Kind != ContestAddresses || c.Deaf {
			t.Fatalf("priority %d: %+v %+v", priority, found, c)
		}
		if !strings.Contains(found[0].Reason, "with other addresses: [198.51.100.1]") {
			t.Error(found[0].Reason)
		}
	}
	r := newRig(t, func(c *Config) { c.Addresses = []netip.Addr{virtual, second} })
	r.start()
	partly := func(a *Advertisement) { a.Priority, a.Addresses = 200, []netip.Addr{virtual} }
	if got := contests(r.hears(9*sec, sec, routerC, partly)); len(got) != 0 {
		t.Errorf("lists that differ in part: %+v", got)
	}
}

func TestContested_by_one_whose_packets_are_discarded(t *testing.T) {
	tests := []struct {
		name   string
		edit   func(*Config)
		claim  func(*Advertisement)
		reason Reason
	}{
		{"version", prio(100), func(a *Advertisement) { a.Version = 2 }, ReasonVersionMismatch},
		{"interval", version2, func(a *Advertisement) { a.Interval = 2 * sec }, ReasonIntervalMismatch},
		{"peer", func(c *Config) { c.Peers = []netip.Addr{routerA} }, asLesser, ReasonPeer},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, test.edit).asMaster()
			found := contests(r.hears(9*sec, sec, routerC, test.claim))
			c := r.m.Info().Contested
			if len(found) != 1 || c == nil || c.Kind != ContestRefused || c.Refused != test.reason {
				t.Fatalf("%+v %+v", found, c)
			}
			if !strings.Contains(found[0].Reason, test.reason.String()) || found[0].Contested.Refused != test.reason {
				t.Error(found[0].Reason)
			}
		})
	}
}

func TestContested_not_by_a_master_that_speaks_both_versions(t *testing.T) {
	r := newRig(t)
	r.start()
	for range 20 {
		r.hear(routerC, greater)
		adv := r.advert(greater)
		adv.Version = 2
		r.m.Receive(r.now, at(routerC), adv)
		r.until(r.now.Sub(epoch) + sec)
	}
	if c := r.m.Info().Contested; c != nil {
		t.Errorf("%+v", c)
	}
}

func TestContested_between_two_masters_that_a_Backup_hears(t *testing.T) {
	r := newRig(t)
	r.start()
	var found []Contest
	for range 8 {
		r.hear(routerA, 200)
		actions, _ := r.m.Receive(r.now, at(routerC), r.advert(50))
		found = append(found, contests(actions)...)
		r.until(r.now.Sub(epoch) + 2*sec)
	}
	c := r.m.Info().Contested
	if len(found) != 1 || c == nil || c.Kind != ContestTwo || c.Sender.Addr != routerC || !c.Deaf {
		t.Fatalf("%+v %+v", found, c)
	}
	r.state(Backup)
}

func TestContested_not_by_an_election(t *testing.T) {
	r := newRig(t)
	r.start()
	r.hear(routerC, 50) // is preempted
	r.until(down100)
	r.hear(routerC, 50) // crosses
	r.hear(routerC, 50)
	r.until(5 * sec)
	r.hear(routerA, 200) // a better one comes
	for range 10 {
		r.until(r.now.Sub(epoch) + sec)
		r.hear(routerA, 200)
	}
	if c := r.m.Info().Contested; c != nil || r.m.contest != nil && r.m.contest.shown {
		t.Errorf("%+v", c)
	}
}

func TestContested_ends_when_the_other_falls_silent(t *testing.T) {
	r := newRig(t).asMaster()
	r.hears(9*sec, sec, routerC, asLesser) // the last at 8 s
	found := contests(r.until(12*sec - 1))
	if len(found) != 0 {
		t.Errorf("%+v", found)
	}
	found = contests(r.until(12 * sec))
	if len(found) != 1 || found[0].Begins || found[0].Reason != "nothing from 192.0.2.4 for 4 s, contested for 8 s" {
		t.Errorf("%+v", found)
	}
	if c := r.m.Info().Contested; c != nil {
		t.Errorf("%+v", c)
	}
}

func TestContested_ends_when_the_other_gives_up(t *testing.T) {
	r := newRig(t).asMaster()
	r.hears(9*sec, sec, routerC, asLesser)
	r.want(r.hear(routerC, 0), "send 100, contested no more")
}

func TestContested_ends_with_the_protocol(t *testing.T) {
	r := newRig(t).asMaster()
	r.hears(9*sec, sec, routerC, asLesser)
	r.want(r.m.Down(r.now, "link"), "Master>Initialize, contested no more")
	if !r.m.Deadline().IsZero() {
		t.Error("a timer runs on")
	}
}

// announcements returns when a Machine announced until a time after the epoch.
func (r *rig) announcements(until time.Duration) (list []time.Duration) {
	for {
		next := r.m.Deadline()
		if next.IsZero() || next.After(epoch.Add(until)) {
			r.now = epoch.Add(until)
			return list
		}
		r.now = next
		if strings.Contains(trace(r.m.Advance(r.now)), "announce") {
			list = append(list, r.now.Sub(epoch))
		}
	}
}

func TestContested_heals_the_winner_announces_at_once_and_again_after_a_second(t *testing.T) {
	r := newRig(t).asMaster()
	r.hears(8*sec+500*ms, sec, routerC, asLesser) // the last at 8 s; the next should have come
	got := r.announcements(20 * sec)
	if len(got) != 2 || got[0] != 9*sec+500*ms || got[1] != 10*sec+500*ms {
		t.Errorf("announced at %v", got)
	}
}

func TestContested_announcements_are_a_second_apart(t *testing.T) {
	r := newRig(t, fast, func(c *Config) { c.GARPRepeat = 60 })
	r.start()
	last := time.Time{}
	watch := func(actions []Action) {
		for _, a := range actions {
			if _, ok := a.(Announce); !ok {
				continue
			}
			if r.m.Info().Contested != nil && r.now.Sub(last) < sec {
				t.Errorf("at %v: announced %v after the last", r.now.Sub(epoch), r.now.Sub(last))
			}
			last = r.now
		}
	}
	// A lesser one beside us all the time, and a better one that comes and goes:
	// mastership flaps.
	for d := time.Duration(0); d < 20*sec; d += 5 * ms {
		for next := r.m.Deadline(); !next.After(epoch.Add(d)); next = r.m.Deadline() {
			r.now = next
			watch(r.m.Advance(r.now))
		}
		r.now = epoch.Add(d)
		if d%(10*ms) == 0 {
			actions, _ := r.m.Receive(r.now, at(routerC), r.m.advertisement(lesser))
			watch(actions)
		}
		if d%(300*ms) == 0 && d > 10*sec {
			actions, _ := r.m.Receive(r.now, at(routerA), r.m.advertisement(greater))
			watch(actions)
		}
	}
	if r.m.Info().Contested == nil || r.m.Info().Transitions < 40 {
		t.Errorf("%+v", r.m.Info())
	}
}

func TestContested_of_one_leaves_no_room_for_others(t *testing.T) {
	r := newRig(t).asMaster()
	r.hears(9*sec, sec, routerC, asLesser)
	r.hear(routerA, 50)
	if c := r.m.Info().Contested; c.Sender.Addr != routerC {
		t.Errorf("%+v", c)
	}
}

func TestContestKind_has_a_name_each(t *testing.T) {
	seen := map[string]bool{}
	for k := ContestLesser; k <= ContestRefused; k++ {
		name, err := k.MarshalText()
		if err != nil || seen[string(name)] || string(name) == "unknown_kind" {
			t.Errorf("%d: %s", k, name)
		}
		seen[string(name)] = true
	}
	if ContestKind(0).String() != "unknown_kind" {
		t.Error("a kind that does not exist has a name")
	}
}

func TestImpersonated_Master_advertises_as_often_as_it_may_assert_itself(t *testing.T) {
	r := newRig(t)
	r.want(r.m.Impersonated(r.now), "")
	r.start()
	r.want(r.m.Impersonated(r.now), "")
	r.until(4 * sec)
	for range 3 {
		sent := 0
		for range 3 * maxAsserted {
			sent += len(r.m.Impersonated(r.now))
		}
		if sent != maxAsserted {
			t.Errorf("%d advertisements within one interval", sent)
		}
		r.until(r.now.Sub(epoch) + sec)
	}
}
