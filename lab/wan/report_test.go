package wan

import (
	"strings"
	"testing"
	"time"

	"vrouter/internal/netlab"
)

const ms = time.Millisecond

func lost(packets uint64, gap, late time.Duration) netlab.Loss {
	return netlab.Loss{Lost: packets, Gap: gap, Late: late}
}

func TestAStepIsJudgedByTheWorseFamily(t *testing.T) {
	flapped := result{step: step{title: "flaps", bound: 400 * ms}, wrong: "mastership oscillates"}
	if v := flapped.verdict(); v != "MISSED" || !strings.Contains(flapped.words(), flapped.wrong) {
		t.Errorf("mastership oscillates: %q\n%s", v, flapped.words())
	}
	// A router that the machine left no CPU time listens first: nothing of BGP.
	flapped.froze = "r2"
	if v := flapped.verdict(); v != "stalled" || !strings.Contains(flapped.words(), "but r2 stood still") {
		t.Errorf("r2 stood still: %q\n%s", v, flapped.words())
	}
	for _, test := range []struct {
		name    string
		bound   time.Duration
		setup   bool
		v4, v6  netlab.Loss
		verdict string
	}{
		{"nothing lost, nothing may be", 0, false, lost(0, 0, 0), lost(0, 0, 0), "ok"},
		{"one lost where none may be", 0, false, lost(0, 0, 0), lost(1, ms, 0), "MISSED"},
		{"within the bound", 250 * ms, false, lost(240, 240*ms, 0), lost(250, 250*ms, 0), "ok"},
		{"beyond it in IPv6", 250 * ms, false, lost(0, 0, 0), lost(251, 251*ms, 0), "MISSED"},
		{"a stall of the machine", 0, false, lost(900, 900*ms, stall), lost(0, 0, 0), "stalled"},
		{"less than a stall", 0, false, lost(900, 900*ms, stall-1), lost(0, 0, 0), "MISSED"},
		{"a stall that cost nothing", 0, false, lost(0, 0, time.Second), lost(0, 0, 0), "ok"},
		{"before anything ran", 0, true, lost(3000, 3*time.Second, 0), lost(0, 0, 0), "ok"},
	} {
		r := result{step: step{title: test.name, bound: test.bound, setup: test.setup}, loss: [ways]netlab.Loss{out4: test.v4, back6: test.v6}}
		if v := r.verdict(); v != test.verdict {
			t.Errorf("%s: %q, want %q", test.name, v, test.verdict)
		}
		all := report{results: []result{{}, r}}
		if (all.verdict() != nil) != (test.verdict == "MISSED") {
			t.Errorf("%s: the whole is %v", test.name, all.verdict())
		}
		if (all.unjudged() != "") != (test.verdict == "stalled") {
			t.Errorf("%s: unjudged %q", test.name, all.unjudged())
		}
		if text := all.String(); !test.setup && !strings.Contains(text, test.name) {
			t.Errorf("%s is not in the table:\n%s", test.name, text)
		}
	}
}

func TestTheTableTellsEachDirection(t *testing.T) {
	r := report{results: []result{
		{step: step{title: "a cable", bound: 400 * ms, why: byBFD}, loss: [ways]netlab.Loss{lost(1, ms, 0), lost(2, 2*ms, 0), lost(3, 3*ms, 0), lost(4, 9*ms, 0)}},
		{step: step{title: "another", bound: 400 * ms, why: byBFD}},
		{step: step{title: "a step with quite long words"}, loss: [ways]netlab.Loss{lost(9900, 9999*ms, stall), lost(9900, 9999*ms, stall), lost(1, ms, 0)}},
	}}
	text := r.String()
	for _, want := range []string{"a cable                      1 + 2       3 + 4          9 ms   400 ms  ok", "0 + 0"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if n := strings.Count(text, byBFD); n != 1 {
		t.Errorf("the reason of the bound is there %d times\n%s", n, text)
	}
	for _, line := range strings.Split(text, "\n") {
		if len([]rune(line)) > 80 {
			t.Errorf("wider than a terminal: %q", line)
		}
	}
}
