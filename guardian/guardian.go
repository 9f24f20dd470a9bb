// Package guardian keeps the router process going, and speaks for it when it
// cannot speak any more.
//
// "vrouter run" is the guardian: small and calm, with a thread of its own. It
// starts the router process from the same program (Run), which finds its way
// back by Inherit and then leaves heartbeats, and for each virtual router of
// which it is Master a last will: the frames by which the others learn that it
// is gone. When the router process ends, or is silent for longer than its
// watchdog, the guardian sends the wills, ends the process for good, and starts
// another.
//
// The guardian knows no protocol: frames are bytes, and ports are descriptors
// that the router process has opened and lent.
package guardian

import (
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Options say what the guardian starts.
type Options struct {
	Path   string    // of the router process' program
	Args   []string  // its arguments; the first is its title
	Env    []string  // its environment, to which one variable is added
	Stderr io.Writer // the guardian's own log lines, as the router process asks for them
	// Companion are the arguments of a third process of the same program, which
	// the router process may ask for (Client.Keep); none: there is none.
	Companion []string
}

// Pause between two lives of the router process.
const (
	pauseFirst  = 100 * time.Millisecond
	pauseMost   = 10 * time.Second
	aliveEnough = time.Minute // after so long, the next pause is the first one again
)

// Bounds on what a router process may take its time for.
const (
	startLimit = time.Minute // from its start to ready
	lastLimit  = time.Second // from a panic to its end: the stack is being written
)

// guardian is the state of the guarding process. One thread owns it.
type guardian struct {
	starts  uint64 // of the router process
	o       Options
	log     *slog.Logger
	tape    *tape
	signals *signals
	manager *manager
	third   *companion

	stopping bool // an order to stop has come
	hurry    bool // another one
	hangup   bool // SIGHUP came before the router process could take it
	proven   bool // a router process was ready once
	pause    time.Duration
}

// end says how a life of the router process ended.
type end struct {
	status  unix.WaitStatus
	orderly bool // it stopped as it was told to
	told    bool // it had been told to stop
	ready   bool // it had been ready
	why     string
	alive   time.Duration
}

// Run starts the router process, and starts it again whenever it ends, until a
// signal asks for the end (SIGTERM, SIGINT: passed on, so that it hands over)
// or it ends in order by itself. SIGHUP is passed on. A second order to stop
// does not wait for the hand-over.
//
// It returns the exit status of this process: 0 after an orderly stop. A router
// process that ends before it was ready for the first time has said why on its
// own stderr, and its status is returned: its failure would only repeat itself.
// The error is nil but where no process could be started at all.
func Run(o Options) (status int, err error) {
	g := &guardian{o: o, pause: pauseFirst, manager: newManager()}
	g.o.Env = slices.DeleteFunc(slices.Clone(o.Env), func(v string) bool {
		return strings.HasPrefix(v, notifySocket+"=") // the manager listens to this process only
	})
	g.tape = newTape(o.Stderr)
	defer g.tape.close()
	g.log = newLogger(g.tape, Hello{})
	if g.signals, err = watchSignals(); err != nil {
		return 1, err
	}
	defer g.signals.close()
	g.third = newCompanion(&g.o, g.log)
	defer g.third.end()
	calm(g.log)
	for {
		e, err := g.life()
		if err != nil {
			return 1, err
		}
		switch {
		case e.orderly:
			return 0, nil
		case g.stopping && e.told:
			g.log.Error("the router process was ended before it had handed over", "reason", e.why)
			return 1, nil
		case !g.proven:
			return g.stillborn(e), nil
		}
		if !g.stopping {
			g.rest(e)
		}
		if g.stopping {
			return 0, nil // between two lives nothing has to be handed over
		}
	}
}

// stillborn returns the exit status of a first process that was never ready.
func (g *guardian) stillborn(e end) int {
	if e.status.Exited() && e.status.ExitStatus() != 0 {
		return e.status.ExitStatus()
	}
	g.log.Error("the router process ended before it was ready", "reason", e.why)
	return 1
}

// rest waits before the next life.
func (g *guardian) rest(e end) {
	if e.alive >= aliveEnough {
		g.pause = pauseFirst
	}
	g.log.Error("the router process has ended; another one is started", "reason", e.why,
		"alive", e.alive.Round(time.Millisecond), "after", g.pause)
	g.manager.tell("STATUS=The router process has ended (" + e.why + "); another one is started")
	until := bootTime() + int64(g.pause)
	for !g.stopping {
		left := time.Duration(until - bootTime())
		if left <= 0 {
			break
		}
		fds := []unix.PollFd{{Fd: int32(g.signals.wake), Events: unix.POLLIN}}
		poll(fds, left)
		g.take(nil)
	}
	g.pause = min(2*g.pause, pauseMost)
}

// take acts on the signals that have come; r is the router process, or nil.
func (g *guardian) take(r *process) {
	for _, s := range g.signals.take() {
		switch s {
		case unix.SIGTERM, unix.SIGINT:
			g.hurry = g.stopping
			if !g.stopping {
				g.manager.tell("STOPPING=1")
				r.signal(unix.SIGTERM)
			}
			g.stopping = true
		case unix.SIGHUP:
			g.hangup = true
		case unix.SIGCHLD:
			r.reap()
		}
	}
	// Before it is ready, a process may not have its handler yet.
	if g.hangup && r != nil && r.ready {
		g.hangup = false
		r.signal(unix.SIGHUP)
	}
}
