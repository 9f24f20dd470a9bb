package worker

import (
	"time"

	"golang.org/x/sys/unix"
)

// spinner decides for how long a worker looks for the next frame before it goes
// to sleep. To be woken costs tens of microseconds, in a virtual machine above
// all; to look costs the CPU. So it looks only where frames have come at least
// once in the longest time that it may look for, and gives the CPU away to
// whoever wants it meanwhile.
type spinner struct {
	most time.Duration // 0: it never looks
	gap  time.Duration // between frames, a moving average, as it lately was
}

// gapWeight is the share that the newest gap has in the average, inverse.
const gapWeight = 8

// slept notes how long no frame came. A pause counts no more than it takes to
// end the looking.
func (s *spinner) slept(gap time.Duration) {
	gap = min(gap, 2*gapWeight*s.most)
	s.gap += (gap - s.gap) / gapWeight
}

// budget returns for how long to look.
func (s *spinner) budget() time.Duration {
	if s.gap > s.most {
		return 0
	}
	return s.most // 0: never
}

// looksPerTime is how often the queues are looked at before the clock is.
const looksPerTime = 8

// spin serves frames that come within the budget, and returns when none does,
// having looked for idle.
func (w *Worker) spin(began time.Time) (served bool, idle time.Duration) {
	budget := w.spinner.budget()
	for idle < budget && !w.stopping.Load() {
		for range looksPerTime {
			if w.round() {
				return true, time.Since(began)
			}
			// The kernel lets others run that want to, the control loop above all.
			_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		}
		idle = time.Since(began)
	}
	return false, idle
}
