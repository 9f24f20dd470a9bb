package vrrp

import (
	"net/netip"
	"testing"
)

// What a group hears of a Backup that would be Master: whether the master itself
// has said that it stops, so that the other members need not wait.
func TestElected_says_that_the_master_gave_up_only_where_it_was_the_master_that_did(t *testing.T) {
	type heard struct {
		from     netip.Addr
		priority uint8
	}
	for _, tt := range []struct {
		name   string
		heard  []heard
		gaveUp bool
	}{
		{"its master stops", []heard{{routerC, 200}, {routerC, 0}}, true},
		{"and says so twice", []heard{{routerC, 200}, {routerC, 0}, {routerC, 0}}, true},
		{"another one stops", []heard{{routerC, 200}, {routerA, 0}}, false},
		{"its master stops after a lesser one was heard", []heard{{routerC, 200}, {routerA, 1}, {routerC, 0}}, true},
		{"somebody stops of whom nothing was heard", []heard{{routerC, 0}}, false},
		{"its master is silent", []heard{{routerC, 200}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Grouped = true })
			r.start()
			for _, h := range tt.heard {
				r.hear(h.from, h.priority)
			}
			for _, a := range r.until(10 * sec) {
				if e, ok := a.(Elected); ok {
					if e.GaveUp != tt.gaveUp {
						t.Errorf("gave up %v, want %v (%s)", e.GaveUp, tt.gaveUp, e.Reason)
					}
					return
				}
			}
			t.Error("not elected")
		})
	}
}

// What was heard before its own mastership says nothing about the end of it.
func TestElected_after_yielding_says_nothing_of_an_earlier_master(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Grouped = true })
	r.start()
	r.hear(routerC, 200)
	r.hear(routerC, 0)
	r.until(sec)
	r.m.TakeOver(r.now, "the group")
	r.m.Yield(r.now, "the group")
	for _, a := range r.until(10 * sec) {
		if e, ok := a.(Elected); ok && e.GaveUp {
			t.Errorf("an earlier master gave up again: %s", e.Reason)
		}
	}
}
