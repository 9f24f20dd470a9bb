package guardian

import (
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The third process: it works for the router process but has a life of its
// own, so that neither takes the other along. The router process asks for it
// (Client.Keep), with a text for it that the guardian does not understand.
const (
	companionMark     = "companion:"
	companionVariable = "VROUTER_COMPANION"
)

// Pause between two lives of the companion.
const (
	companionFirst = 50 * time.Millisecond
	companionMost  = 5 * time.Second
	companionCalm  = 10 * time.Second // after so long, the next pause is the first one again
	companionStop  = 3 * time.Second  // from the order to stop to the end by force
	companionGone  = 10 * time.Second // from there to its end, at most
)

// companion keeps the third process going, from a goroutine of its own: the
// guardian's thread has better things to do.
type companion struct {
	path string
	args []string
	env  []string

	mu     sync.Mutex
	log    *slog.Logger
	wanted string // the text for it; empty: no such process
	over   bool   // there is to be none any more
	pidfd  int    // of the one that runs; -1: none
	lives  int    // how many there were
	change chan struct{}
	done   chan struct{} // nil: never asked for
}

func newCompanion(o *Options, log *slog.Logger) *companion {
	return &companion{path: o.Path, args: o.Companion, env: o.Env, log: log, pidfd: -1, change: make(chan struct{}, 1)}
}

// keep says that there is to be such a process, with a text for it; empty:
// none. A text that has changed is for another process.
func (c *companion) keep(text string, log *slog.Logger) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = log
	if len(c.args) == 0 || c.over || text == c.wanted {
		return
	}
	c.wanted = text
	if c.done == nil {
		c.done = make(chan struct{})
		go c.run()
		return
	}
	c.signal(unix.SIGTERM)
	life := c.lives
	time.AfterFunc(companionStop, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.lives == life { // it does not stop: it hangs, or somebody has stopped it
			c.signal(unix.SIGKILL)
		}
	})
	select {
	case c.change <- struct{}{}:
	default:
	}
}

// signal sends the process a signal, where there is one.
func (c *companion) signal(s unix.Signal) {
	if c.pidfd >= 0 {
		_ = unix.PidfdSendSignal(c.pidfd, s, nil, 0) // it has ended: as good
	}
}

// end ends the process in order, or by force where it takes its time.
func (c *companion) end() {
	c.mu.Lock()
	done := c.done
	c.over, c.wanted = true, ""
	c.signal(unix.SIGTERM)
	c.mu.Unlock()
	if done == nil {
		return
	}
	select {
	case c.change <- struct{}{}:
	default:
	}
	select {
	case <-done:
		return
	case <-time.After(companionStop):
	}
	c.mu.Lock()
	c.signal(unix.SIGKILL)
	c.mu.Unlock()
	// Who starts the program again at once finds its TCP port free. The kernel needs
	// its time for gigabytes of memory.
	select {
	case <-done:
	case <-time.After(companionGone):
	}
}

// run starts the process again and again. The kernel tells it when this thread
// has ended (PR_SET_PDEATHSIG), which lives as long as the guardian.
func (c *companion) run() {
	runtime.LockOSThread()
	defer close(c.done)
	pause := companionFirst
	for {
		select {
		case <-c.change: // what it says is read now
		default:
		}
		c.mu.Lock()
		text, over := c.wanted, c.over
		c.mu.Unlock()
		if over {
			return
		}
		if text == "" {
			<-c.change
			continue
		}
		began := time.Now()
		why := c.life(text)
		c.mu.Lock()
		asked, log := c.wanted != text, c.log
		c.mu.Unlock()
		if asked {
			continue
		}
		if time.Since(began) > companionCalm {
			pause = companionFirst
		}
		log.Warn("the companion process has ended; another one is started", "process", c.args[0], "reason", why,
			"alive", time.Since(began).Round(time.Millisecond), "after", pause)
		select {
		case <-time.After(pause):
		case <-c.change:
		}
		pause = min(2*pause, companionMost)
	}
}

// life runs one process from its start to its end, and says why it ended.
func (c *companion) life(text string) string {
	pidfd := -1
	env := append(c.env[:len(c.env):len(c.env)], marker+"="+companionMark+strconv.Itoa(os.Getpid()), companionVariable+"="+text)
	pid, err := syscall.ForkExec(c.path, c.args, &syscall.ProcAttr{
		Env: env, Files: []uintptr{0, 1, 2},
		Sys: &syscall.SysProcAttr{Setpgid: true, PidFD: &pidfd, Pdeathsig: syscall.SIGTERM},
	})
	if err != nil || pidfd < 0 {
		return "it cannot be started: " + errorText(err)
	}
	c.mu.Lock()
	c.pidfd = pidfd
	c.lives++
	if c.wanted != text {
		c.signal(unix.SIGTERM)
	}
	c.mu.Unlock()
	waitPidfd(pidfd)
	c.mu.Lock()
	c.pidfd = -1
	c.mu.Unlock()
	unix.Close(pidfd)
	return "process " + strconv.Itoa(pid) + " is gone"
}

func errorText(err error) string {
	if err == nil {
		return "the kernel has no pidfd (Linux 5.4)"
	}
	return err.Error()
}

// waitPidfd waits until the process has ended. Its status is reaped by the
// guardian's thread, with those of all children.
func waitPidfd(fd int) {
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err == nil && fds[0].Revents != 0 {
			return
		}
	}
}

// CompanionText returns what the router process has asked the companion to do,
// and takes it out of the environment. It is for a process of RoleCompanion.
func CompanionText() string {
	text := os.Getenv(companionVariable)
	os.Unsetenv(companionVariable)
	return text
}
