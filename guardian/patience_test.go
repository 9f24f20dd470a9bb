package guardian

import (
	"testing"
	"time"
)

const ms = time.Millisecond

// step is one sleep of the guardian: it lasts as long as was asked for, or for a
// given time, and late more. In it or not, a heartbeat was left ago before its end.
type step struct {
	elapsed time.Duration // 0: as asked
	late    time.Duration
	beat    bool
	ago     time.Duration
}

func TestPatience(t *testing.T) {
	const frozen = 6 * time.Second
	beat, silence := step{beat: true, ago: 20 * ms}, step{}
	for _, tt := range []struct {
		name  string
		steps []step
		dead  bool
	}{
		{"it beats", []step{beat, beat, beat, beat, beat, beat}, false},
		{"its last heartbeat is late", []step{beat, silence}, false},
		{"a watchdog's time without a sign", []step{beat, silence, silence}, true},
		{"a sign at the last moment", []step{beat, silence, {beat: true, ago: 1 * ms}}, false},
		{"a message wakes the guardian again and again, without a heartbeat", []step{
			beat, {elapsed: 10 * ms}, {elapsed: 10 * ms}, {elapsed: 10 * ms}, {elapsed: 10 * ms}, {elapsed: 10 * ms}, {elapsed: 10 * ms}, {elapsed: 20 * ms},
		}, true},
		{"the guardian was frozen", []step{beat, {late: frozen}}, false},
		{"the guardian alone was frozen, the process beat meanwhile", []step{beat, {late: frozen, beat: true, ago: 5 * ms}, silence}, false},
		{"both were frozen, and only the guardian comes back", []step{beat, {late: frozen}, silence, silence}, true},
		{"both were frozen; the last heartbeat was left just before", []step{beat, {late: frozen, beat: true, ago: frozen}, silence}, false},
		{"a freeze does not count as silence afterwards", []step{beat, silence, {late: frozen}, silence}, false},
		{"both were frozen for a moment, until the guardian is to wake", []step{beat, {late: 10 * ms}}, false},
		{"a guardian that is a little late each time", []step{beat, {late: 5 * ms}, {late: 5 * ms}}, true},
		{"a guardian that is late for ever", []step{
			beat,
			{late: 60 * ms},
			{late: 60 * ms},
			{late: 60 * ms},
			{late: 60 * ms},
			{late: 60 * ms},
			{late: 60 * ms},
			{late: 60 * ms},
			{late: 60 * ms},
			{late: 60 * ms},
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := patience{watchdog: 100 * ms}
			now := int64(time.Hour)
			for i, s := range tt.steps {
				asked := p.wait()
				elapsed := asked + s.late
				if s.elapsed > 0 {
					elapsed = s.elapsed
				}
				now += int64(elapsed)
				p.woke(asked, elapsed)
				last := p.beat
				if s.beat {
					last = now - int64(s.ago)
				}
				p.felt(last, now)
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

// However the heartbeats and the guardian's looks fall, a silence is seen when it
// has lasted a watchdog's time, and a process that beats is looked at about twice
// in that time.
func TestASilenceIsSeenWhenItsTimeIsOver(t *testing.T) {
	const watchdog, every, fell = 100 * ms, 25 * ms, 10 * time.Second
	for phase := time.Duration(0); phase < every; phase += ms {
		p := patience{watchdog: watchdog}
		last := fell - phase // the last heartbeat
		looks := 0
		for now := time.Duration(0); !p.dead(); looks++ {
			asked := p.wait()
			now += asked
			p.woke(asked, asked)
			beat := min(now, last)
			beat -= (beat + phase) % every
			p.felt(int64(beat), int64(now))
			if p.dead() && now != last+watchdog {
				t.Errorf("phase %v: dead %v after the last heartbeat", phase, now-last)
			}
			if now > fell+time.Second {
				t.Fatalf("phase %v: never dead", phase)
			}
		}
		if most := int(2 * fell / watchdog); looks > most {
			t.Errorf("phase %v: %d looks in %v, want %d at most", phase, looks, fell, most)
		}
	}
}

func TestNobodyHurriesWithoutAWill(t *testing.T) {
	for _, tt := range []struct {
		watchdog time.Duration
		wills    bool
		want     time.Duration
	}{
		{100 * ms, true, 100 * ms},
		{100 * ms, false, time.Second},
		{5 * time.Second, true, 5 * time.Second},
		{5 * time.Second, false, 5 * time.Second},
		{0, false, 0}, // not known yet, or nothing to be heard
	} {
		if got := limit(tt.watchdog, tt.wills); got != tt.want {
			t.Errorf("watchdog %v, wills %v: %v, want %v", tt.watchdog, tt.wills, got, tt.want)
		}
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
