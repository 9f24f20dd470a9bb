package guardian

import (
	"testing"
	"time"
)

const ms = time.Millisecond

// step is one sleep of the guardian.
type step struct {
	elapsed time.Duration
	heard   bool
}

func TestPatience(t *testing.T) {
	beat, silence := step{25 * ms, true}, step{25 * ms, false}
	for _, tt := range []struct {
		name  string
		steps []step
		dead  bool
	}{
		{"it beats", []step{beat, beat, beat, beat, beat, beat}, false},
		{"three looks without a sign", []step{beat, silence, silence, silence}, false},
		{"a watchdog's time without a sign", []step{beat, silence, silence, silence, silence}, true},
		{"a sign at the last moment", []step{beat, silence, silence, silence, {25 * ms, true}}, false},
		{"the guardian was frozen", []step{beat, silence, {6 * time.Second, false}}, false},
		{"both were frozen, and only the guardian comes back", []step{
			beat, silence, {6 * time.Second, false}, silence, silence, silence, silence,
		}, true},
		{"a freeze does not count as silence afterwards", []step{
			beat, silence, silence, silence, {6 * time.Second, false}, silence, silence, silence,
		}, false},
		{"a guardian that is a little late each time", []step{
			beat, {30 * ms, false}, {30 * ms, false}, {30 * ms, false}, {15 * ms, false},
		}, true},
		{"a guardian that is late for ever", []step{
			beat,
			{60 * ms, false},
			{60 * ms, false},
			{60 * ms, false},
			{60 * ms, false},
			{60 * ms, false},
			{60 * ms, false},
			{60 * ms, false},
			{60 * ms, false},
			{60 * ms, false},
			{60 * ms, false},
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := patience{watchdog: 100 * ms}
			for i, s := range tt.steps {
				asked := p.wait()
				if asked > 25*ms {
					t.Fatalf("step %d: it would sleep for %v, longer than a quarter", i, asked)
				}
				p.woke(asked, s.elapsed)
				if s.heard {
					p.heard()
				}
				if dead := p.dead(); dead && i != len(tt.steps)-1 {
					t.Fatalf("dead after step %d of %d", i, len(tt.steps))
				}
			}
			if p.dead() != tt.dead {
				t.Errorf("dead %v, want %v (silent for %v)", p.dead(), tt.dead, p.silent)
			}
		})
	}
}

func TestPatienceWithoutWatchdogIsEndless(t *testing.T) {
	p := patience{}
	for range 1000 {
		p.woke(p.wait(), time.Hour)
	}
	if p.dead() {
		t.Error("dead before it has said how it is to be watched")
	}
}

func TestPatienceSaysHowLate(t *testing.T) {
	p := patience{watchdog: 100 * ms}
	if late := p.woke(25*ms, 20*ms); late != 0 {
		t.Errorf("woken early: late by %v", late)
	}
	if late := p.woke(25*ms, 2*time.Second); late != 1975*ms {
		t.Errorf("late by %v, want 1.975s", late)
	}
}

// While the router process starts or hands over, its silence ends nothing; the
// guardian must not look again and again meanwhile.
func TestTheGuardianNeverSpins(t *testing.T) {
	p := patience{watchdog: 100 * ms}
	for i := range 20 {
		asked := p.wait()
		if asked < ms {
			t.Fatalf("look %d: after %v", i, asked)
		}
		p.woke(asked, asked)
	}
	if !p.dead() {
		t.Error("two seconds of silence are not seen")
	}
}
