package guardian

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bootTime returns CLOCK_BOOTTIME in nanoseconds: nobody can step it, and it
// goes on while the machine is suspended.
func bootTime() int64 {
	var t unix.Timespec
	// Raw: it does not block, and Go's scheduler need not hear of it.
	_, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&t)), 0)
	if errno != 0 {
		panic(fmt.Sprintf("guardian: CLOCK_BOOTTIME: %v", errno)) // Linux has had it since 2.6.39
	}
	return t.Nano()
}

// poll waits for one of the descriptors, or until timeout is over.
func poll(fds []unix.PollFd, timeout time.Duration) {
	ts := unix.NsecToTimespec(int64(timeout))
	if _, err := unix.Ppoll(fds, &ts, nil); err != nil {
		for i := range fds {
			fds[i].Revents = 0 // a signal; whoever is called looks again
		}
	}
}

// calm makes the calling thread one that the machine's load does not hold up:
// locked, real-time where permitted (CAP_SYS_NICE), its memory not paged out
// where permitted (RLIMIT_MEMLOCK, CAP_IPC_LOCK). Threads and processes that it starts are
// ordinary ones.
func calm(log *slog.Logger) {
	runtime.LockOSThread()
	realtime(log)
	// On fault: what has never been used need not be there. Not what is mapped
	// later: beyond the limit that would fail, and end the guardian.
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_ONFAULT); err != nil {
		log.Debug("guardian may be paged out", "error", err, "remedy", "raise the limit on locked memory (LimitMEMLOCK), or grant CAP_IPC_LOCK")
	}
}

// realtime asks for real-time scheduling of the calling thread, before the
// control loop, which has priority 1: it is what is watched.
func realtime(log *slog.Logger) {
	attr := unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 2, Flags: unix.SCHED_FLAG_RESET_ON_FORK,
	}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		log.Debug("guardian without real-time scheduling", "error", err, "remedy", "grant CAP_SYS_NICE")
	}
}

// signals collects signals for a thread that sleeps in poll.
type signals struct {
	wake    int // eventfd: some have come
	channel chan os.Signal

	mu   sync.Mutex
	come []unix.Signal
}

func watchSignals() (*signals, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	s := &signals{wake: fd, channel: make(chan os.Signal, 16)}
	// SIGPIPE is taken because a log that nobody reads must not end the guardian.
	signal.Notify(s.channel, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGCHLD, unix.SIGPIPE)
	go func() {
		for one := range s.channel {
			s.mu.Lock()
			s.come = append(s.come, one.(unix.Signal))
			s.mu.Unlock()
			_, _ = unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // fails only where it is set already
		}
	}()
	return s, nil
}

// take returns the signals that have come since the last call, in order.
func (s *signals) take() []unix.Signal {
	var drain [8]byte
	_, _ = unix.Read(s.wake, drain[:]) // EAGAIN: none
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.come
	s.come = nil
	return list
}

// close ends the collection; signals have their ordinary effect again.
func (s *signals) close() {
	signal.Stop(s.channel)
	close(s.channel)
}
