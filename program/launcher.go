package program

import (
	"context"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// startGap is the time between two starts: 500 programs a second cost a part
// of one CPU, and no configuration can have more of them.
const startGap = 2 * time.Millisecond

// Launcher starts programs, one after the other, from a thread of its own.
// That thread lives as long as the Launcher, so the kernel can be asked to
// kill a program whose starter is gone (PR_SET_PDEATHSIG, which goes by
// threads): a router process that is killed leaves no check behind.
type Launcher struct {
	starts  chan start
	closing chan struct{}
	close   func()
	signal  func(leader int) // kills a program's processes; tests replace it
	scanned atomic.Int64     // when all processes were looked at last, in ns
}

// start is a program that waits to be started.
type start struct {
	cmd  *exec.Cmd
	done chan error
}

// NewLauncher returns a Launcher, which Close ends.
func NewLauncher() *Launcher {
	l := &Launcher{starts: make(chan start), closing: make(chan struct{})}
	l.signal = l.killAll
	l.close = sync.OnceFunc(func() { close(l.closing) })
	go l.run()
	return l
}

// Close refuses further starts and ends the thread; the kernel kills what that
// has started and still runs. Whoever wants its results waits for them first.
func (l *Launcher) Close() { l.close() }

func (l *Launcher) run() {
	// Never unlocked: the thread ends with this function and not before.
	runtime.LockOSThread()
	for {
		select {
		case s := <-l.starts:
			s.done <- s.cmd.Start()
			time.Sleep(startGap)
		case <-l.closing:
			return
		}
	}
}

// start waits for the program's turn and starts it.
func (l *Launcher) start(ctx context.Context, cmd *exec.Cmd) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s := start{cmd, make(chan error, 1)}
	select {
	case l.starts <- s:
		return <-s.done
	case <-l.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}
