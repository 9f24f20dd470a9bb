package worker

import (
	"time"

	"golang.org/x/sys/unix"
)

// spinner decides for how long a worker looks for the next frame before it goes
// to sleep. To be woken costs tens of microseconds, in a virtual machine above
// all; to look costs the CPU. So it looks only where frames have come at least
// once in the longest time that it may look for, and where nobody else wants the
// CPU: it offers the CPU between two looks, and where others took much of it, it
// sleeps like everybody else for a while. Many routers on few CPUs so never keep
// each other from work by looking for some.
type spinner struct {
	most time.Duration // 0: it never looks
	gap  time.Duration // between frames, a moving average, as it lately was

	given time.Duration // what others took of the CPU, beyond their share, until seen
	seen  time.Time

	modest time.Duration // how long it lately did not look because others wanted the CPU
	until  time.Time     // when that ended, or ends
}

// gapWeight is the share that the newest gap has in the average, inverse.
const gapWeight = 8

const (
	// taken is how long it may take to offer the CPU and have it back: less than
	// a microsecond where nobody wants it, some tens where the control loop does.
	taken = 200 * time.Microsecond
	// Others may take one in share of the time, and patience beyond it: a control
	// loop's turn, a collection of garbage, a hypervisor's own work.
	share    = 8
	patience = 2 * time.Millisecond
	// leastModest and mostModest bound the time without looking: it doubles
	// where the CPU is taken again soon after.
	leastModest = 10 * time.Millisecond
	mostModest  = time.Second
	// forgiven is how many times as long as the last time without looking it
	// must have kept the CPU for the next to be the least again.
	forgiven = 8
)

// slept notes how long no frame came. A pause counts no more than it takes to
// end the looking.
func (s *spinner) slept(gap time.Duration) {
	gap = min(gap, 2*gapWeight*s.most)
	s.gap += (gap - s.gap) / gapWeight
}

// crowded notes that another thread took the CPU that was offered, for so long,
// until now, and reports whether that is more than it may be.
func (s *spinner) crowded(took time.Duration, now time.Time) bool {
	s.given = max(s.given-now.Sub(s.seen)/share, 0) + took
	s.seen = now
	if s.given < patience {
		return false
	}
	if now.Sub(s.until) > forgiven*s.modest {
		s.modest = leastModest
	} else {
		s.modest = min(2*s.modest, mostModest)
	}
	s.until = now.Add(s.modest)
	return true
}

// budget returns for how long to look, from now on.
func (s *spinner) budget(now time.Time) time.Duration {
	if s.gap > s.most || now.Before(s.until) {
		return 0
	}
	return s.most // 0: never
}

// spin serves frames that come within the budget, and returns when none does,
// having looked for idle.
func (w *Worker) spin(began time.Time) (served bool, idle time.Duration) {
	budget := w.spinner.budget(began)
	for idle < budget && !w.stopping.Load() {
		if w.round() {
			return true, time.Since(began)
		}
		// The kernel lets others run that want to, the control loop above all.
		_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		now := time.Now()
		looked := now.Sub(began)
		if took := looked - idle; took > taken && w.spinner.crowded(took, now) {
			budget = 0 // what came meanwhile is served, and then it sleeps
		}
		idle = looked
	}
	return false, idle
}
