package harness

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// stallPeriod is how often a Stalls thread wants to run.
const stallPeriod = 500 * time.Microsecond

// stallPriority is above all that is measured; sched(7).
const stallPriority = 50

// Stalls is a thread that only wakes and looks how late it is: what it misses,
// nobody on the machine could have had. Before its use see NewStalls.
type Stalls struct {
	longest int64 // ns; read once done
	over    atomic.Bool
	done    chan bool
}

// NewStalls starts a thread before all ordinary ones, where that is allowed.
func NewStalls() *Stalls {
	s := &Stalls{done: make(chan bool)}
	go s.run()
	return s
}

// Stop ends the thread. It returns by how much it woke late at most, and whether
// it was allowed to go before ordinary threads.
func (s *Stalls) Stop() (longest time.Duration, realtime bool) {
	s.over.Store(true)
	realtime = <-s.done
	return time.Duration(s.longest), realtime
}

func (s *Stalls) run() {
	runtime.LockOSThread() // and it ends with the goroutine
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: stallPriority}
	realtime := unix.SchedSetAttr(0, &attr, 0) == nil
	var due, woke unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &due)
	for !s.over.Load() {
		due = unix.NsecToTimespec(due.Nano() + int64(stallPeriod))
		for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &due, nil) == unix.EINTR {
		}
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &woke)
		s.longest = max(s.longest, woke.Nano()-due.Nano())
		due = woke // not once more for the same stall
	}
	s.done <- realtime
}
