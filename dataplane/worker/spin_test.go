package worker

import (
	"testing"
	"time"
)

// looked runs a spinner through gaps between frames, and returns how often it
// would have looked for the next one before it slept.
func looked(s *spinner, gaps ...time.Duration) (n int) {
	now := time.Unix(1, 0)
	for _, gap := range gaps {
		if s.budget(now) > 0 {
			n++
		}
		s.slept(gap)
		now = now.Add(gap)
	}
	return n
}

func repeat(gap time.Duration, n int) []time.Duration {
	list := make([]time.Duration, n)
	for i := range list {
		list[i] = gap
	}
	return list
}

func TestASpinnerLooksWhereFramesComeOftenEnough(t *testing.T) {
	const most = 2 * time.Millisecond
	for _, test := range []struct {
		name        string
		gaps        []time.Duration
		least, most int
	}{
		{"one thousand frames a second", repeat(time.Millisecond, 100), 80, 99},
		{"one hundred frames a second", repeat(10*time.Millisecond, 100), 0, 0},
		{"an advertisement now and then", repeat(time.Second, 100), 0, 0},
		{"a flood", repeat(5*time.Microsecond, 100), 90, 99},
	} {
		s := spinner{most: most, gap: 2 * most}
		if n := looked(&s, test.gaps...); n < test.least || n > test.most {
			t.Errorf("%s: it looks %d times of %d", test.name, n, len(test.gaps))
		}
	}
}

// A long flood must not make it look for long when all is over: idle costs nothing.
func TestASpinnerSleepsSoonAfterAFlood(t *testing.T) {
	s := spinner{most: 2 * time.Millisecond}
	looked(&s, repeat(time.Microsecond, 10_000)...)
	if n := looked(&s, repeat(time.Second, 10)...); n != 1 {
		t.Errorf("it looks %d times more", n)
	}
}

func TestASpinnerThatMayNotLookNeverDoes(t *testing.T) {
	s := spinner{}
	if n := looked(&s, repeat(0, 100)...); n != 0 {
		t.Errorf("it looks %d times", n)
	}
}

// every is so long in one of so many milliseconds.
func every(n int, took time.Duration) func(int) time.Duration {
	return func(tick int) time.Duration {
		if tick%n == 0 {
			return took
		}
		return 0
	}
}

// Somebody who wants the CPU now and then costs nothing; somebody who wants it for
// long, a moment of sleep; somebody who wants it all the time, all the looking but
// for a try now and then.
func TestASpinnerIsModestWhereOthersWantTheCPU(t *testing.T) {
	const most = 2 * time.Millisecond
	now := time.Unix(1, 0)
	for _, test := range []struct {
		name        string
		crowd       func(tick int) time.Duration // that others take of the CPU when it looks in this millisecond
		least, most int                          // looks in 10,000 ms
	}{
		{"nobody", every(1, 0), 10_000, 10_000},
		{"half a millisecond of each ten", every(10, 500*time.Microsecond), 10_000, 10_000},
		{"a millisecond of each hundred", every(100, time.Millisecond), 10_000, 10_000},
		{"five milliseconds of each second", every(1000, 5*time.Millisecond), 9_800, 9_950},
		{"a quarter of the time", every(4, time.Millisecond), 50, 500},
		{"always", every(1, time.Millisecond), 10, 60},
		{"for a second, then no more", func(tick int) time.Duration {
			if tick < 1000 {
				return time.Millisecond
			}
			return 0
		}, 8_000, 9_100},
	} {
		s := spinner{most: most, gap: time.Millisecond}
		looks := 0
		for tick := range 10_000 {
			if s.budget(now) > 0 {
				looks++
				if took := test.crowd(tick); took > 0 {
					s.crowded(took, now)
				}
			}
			s.slept(time.Millisecond)
			now = now.Add(time.Millisecond)
		}
		if looks < test.least || looks > test.most {
			t.Errorf("%s: it looks %d times, wanted %d to %d", test.name, looks, test.least, test.most)
		}
	}
}
