package worker

import (
	"testing"
	"time"
)

// looked runs a spinner through gaps between frames, and returns how often it
// would have looked for the next one before it slept.
func looked(s *spinner, gaps ...time.Duration) (n int) {
	for _, gap := range gaps {
		if s.budget() > 0 {
			n++
		}
		s.slept(gap)
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
