package router

import (
	"testing"
	"time"
)

// A guardian that obeys each Will holds one for each Master, at any time.
func TestWillsAreOfMastersOnly(t *testing.T) {
	s := newScript(t, willConfig)
	s.quiet = true
	held := map[string]Will{}
	take := func(actions []Action) {
		t.Helper()
		for _, a := range actions {
			if w, ok := a.(Will); ok {
				if delete(held, w.Name); len(w.Frames) > 0 {
					held[w.Name] = w
				}
			}
		}
		for _, v := range s.router.virtual {
			if _, ok := held[v.cfg.Name]; ok != (len(s.router.willFrames(s.now, v)) > 0 && v.machine.Answers()) {
				t.Fatalf("%v: %s: a will %v, Master %v", s.now, v.cfg.Name, ok, v.machine.Answers())
			}
		}
	}
	turn := func(after time.Duration) {
		t.Helper()
		s.now = s.now.Add(after)
		take(s.router.Advance(s.now))
	}
	s.run("up lan")
	for range 50 {
		turn(100 * time.Millisecond)
	}
	if len(held) != 1 { // of the unicast one no peer is resolved
		t.Fatalf("%d wills after becoming Master, want one", len(held))
	}
	first := held["sealed"].Frames[0]
	for range 100 {
		turn(100 * time.Millisecond)
	}
	if again := held["sealed"].Frames[0]; string(again) == string(first) {
		t.Error("the will with an authentication header is never made anew: its sequence number ages")
	}
	if life := held["sealed"].Lifetime; life < 3*time.Second || life > 4*time.Second {
		t.Errorf("good for %v, want three intervals of 1 s and the longest skew time", life)
	}
	actions, err := s.router.Switchover(s.now, "sealed")
	if err != nil {
		t.Fatal(err)
	}
	if w, ok := actions[0].(Will); !ok || w.Name != "sealed" || w.Frames != nil {
		t.Errorf("a switchover begins with %#v, want the will withdrawn", actions[0])
	}
	take(actions)
	s.now = s.now.Add(20 * time.Second)
	take(s.router.Advance(s.now)) // a freeze
	if len(held) != 0 {
		t.Errorf("%d wills of a router that stood still", len(held))
	}
}
