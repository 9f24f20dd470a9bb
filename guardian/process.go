package guardian

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is one life of the router process, seen from the guardian.
type process struct {
	pid    int
	pidfd  int
	socket int // messages come from here
	log    *slog.Logger
	inbox  inbox
	estate *estate

	lifeline *lifeline
	died     int           // eventfd: the lifeline's owner has died
	waited   chan struct{} // closed when nobody waits for the lifeline any more; nil: nobody does

	watchdog time.Duration // as the process wants it; 0: nothing is to be heard from it
	patience patience
	hunger   hunger
	began    int64 // boot time
	ready    bool
	stopping bool
	gone     bool          // its end of the socket is closed
	last     string        // it has said that its end comes; for people
	lastAt   int64         // boot time of that
	limit    time.Duration // from then on
	garbage  int           // messages that made no sense
	reaped   bool
	status   unix.WaitStatus
}

// life runs one router process from its start to its end.
func (g *guardian) life() (end, error) {
	r, err := g.start()
	if err != nil {
		return end{}, err
	}
	defer r.close()
	began := bootTime()
	why, late := g.watch(r)
	told := g.stopping
	sent, failed := r.estate.execute(late)
	r.signal(unix.SIGKILL)
	r.estate.close() // a TAP device ends with its last descriptor
	if sent+failed > 0 {
		g.log.Warn("last will sent", "frames", sent, "not_sent", failed, "reason", why, "late", late)
	}
	g.bury(r)
	e := end{
		status: r.status, told: told, ready: r.ready, why: why, alive: time.Duration(bootTime() - began),
		orderly: r.status.Exited() && r.status.ExitStatus() == 0 && (g.stopping || r.stopping),
	}
	if g.stopping && !r.ready && r.status.Signaled() && r.status.Signal() == unix.SIGTERM {
		e.orderly = true // it had nothing to hand over yet, not even a handler
	}
	if why == whyEnded {
		e.why = describe(r.status)
	}
	g.proven = g.proven || r.ready
	return e, nil
}

const whyEnded = "it has ended"

// start starts the router process, in a process group of its own: what a
// terminal sends to its foreground comes by way of the guardian.
func (g *guardian) start() (*process, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("socket for the router process: %w", err)
	}
	defer unix.Close(pair[1])
	line, lineFD, err := newLifeline()
	if err != nil {
		unix.Close(pair[0])
		return nil, err
	}
	defer unix.Close(lineFD)
	died, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		line.close()
		unix.Close(pair[0])
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	r := &process{lifeline: line, died: died, socket: pair[0], pidfd: -1, log: g.log, estate: newEstate(), began: bootTime()}
	r.inbox.init()
	r.pid, err = syscall.ForkExec(g.o.Path, g.o.Args, &syscall.ProcAttr{
		Env: append(g.o.Env[:len(g.o.Env):len(g.o.Env)], marker+"="+routerMark+strconv.Itoa(unix.Getpid()),
			restartsVariable+"="+strconv.FormatUint(g.starts, 10)),
		Files: []uintptr{0, 1, 2, uintptr(pair[1]), uintptr(lineFD)},
		Sys:   &syscall.SysProcAttr{Setpgid: true, PidFD: &r.pidfd},
	})
	if err == nil && r.pidfd < 0 {
		err = errors.New("the kernel has no pidfd (Linux 5.4)")
		unix.Kill(r.pid, unix.SIGKILL)
	}
	if err != nil {
		r.close()
		return nil, fmt.Errorf("starting the router process (%s): %w", g.o.Path, err)
	}
	g.starts++
	return r, nil
}

// watch follows the router process until it is at its end, or must come to
// it, and returns why, and by how much the guardian was too late to see it.
func (g *guardian) watch(r *process) (why string, late time.Duration) {
	for {
		r.patience.watchdog = limit(r.watchdog, len(r.estate.wills) > 0)
		asked := r.patience.wait()
		before := bootTime()
		socket := int32(r.socket)
		if r.gone {
			socket = -1 // it would be readable for ever
		}
		fds := []unix.PollFd{
			{Fd: int32(r.pidfd), Events: unix.POLLIN},
			{Fd: socket, Events: unix.POLLIN},
			{Fd: int32(g.signals.wake), Events: unix.POLLIN},
			{Fd: int32(r.died), Events: unix.POLLIN},
		}
		poll(fds, asked)
		now := bootTime()
		late = r.patience.woke(asked, time.Duration(now-before))
		r.patience.felt(r.lifeline.last(), now)
		if fds[1].Revents != 0 {
			g.receive(r)
		}
		if fds[2].Revents != 0 || g.hangup {
			g.take(r)
		}
		if why := g.verdict(r, fds[0].Revents != 0 || fds[3].Revents != 0, now); why != "" {
			return why, late
		}
	}
}

// verdict returns why the router process is at its end, or empty.
func (g *guardian) verdict(r *process, ended bool, now int64) string {
	switch {
	case ended:
		return whyEnded
	case r.gone && r.last == "":
		return whyEnded // or is about to: nothing else closes its socket
	case g.hurry:
		return "told to stop twice"
	case r.last != "":
		if time.Duration(now-r.lastAt) > r.limit {
			return fmt.Sprintf("%s, and did not end within %v", r.last, r.limit)
		}
	case !r.ready:
		if time.Duration(now-r.began) > startLimit {
			return fmt.Sprintf("not ready within %v of its start", startLimit)
		}
	case r.patience.dead() && !r.starved():
		return fmt.Sprintf("silent for %v", r.patience.silent.Round(time.Millisecond))
	}
	return ""
}

const (
	lastOrder = "handed over"
	lastPanic = "panicked"
)

// receive takes all messages that wait.
func (g *guardian) receive(r *process) {
	for !r.gone {
		b, fd, status := r.inbox.receive(r.socket)
		switch status {
		case inboxEmpty:
			return
		case inboxClosed:
			r.gone = true
			return
		}
		m, err := parse(b)
		if err == nil && (m.kind == kindPort) && (m.loan.FD >= 0) != (fd >= 0) {
			err = errMessage // one without the other
		}
		if fd >= 0 && (err != nil || m.kind != kindPort) {
			unix.Close(fd)
			fd = -1
		}
		if err != nil {
			r.nonsense(err)
			continue
		}
		m.loan.FD = fd
		r.patience.heard(0)
		g.obey(r, &m)
	}
}

// nonsense notes a message that makes no sense: the first, and then ever fewer.
func (r *process) nonsense(err error) {
	r.garbage++
	if r.garbage&(r.garbage-1) == 0 {
		r.log.Error("the router process sends nonsense", "error", err, "times", r.garbage)
	}
}

// obey carries out a message.
func (g *guardian) obey(r *process, m *message) {
	switch m.kind {
	case kindHello:
		r.watchdog = m.hello.Watchdog
		g.log = newLogger(g.tape, m.hello)
		r.log = g.log
	case kindWill:
		if !r.estate.set(m.will) {
			g.log.Error("no room for a last will", "name", m.will.Name)
		}
	case kindPort:
		if !r.estate.lend(m.loan) {
			g.log.Error("no room for a descriptor", "port", m.loan.Port)
		}
	case kindReady:
		r.ready = true
		r.follow()
		g.log.Debug("the router process is ready", "pid", r.pid, "watchdog", r.watchdog)
		g.manager.tell("READY=1\nSTATUS=The router process is running")
		g.take(r)
	case kindKeep:
		g.third.keep(m.text, g.log)
	case kindReloading:
		g.manager.tell(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", monotonic().Microseconds()))
	case kindStopping:
		r.stopping = true
		g.manager.tell("STOPPING=1")
	case kindEnded:
		r.estate.close()
		r.farewell(lastOrder, m.most)
	case kindDying:
		// Its stack is still to be written, but nothing that it is Master of
		// may wait for that.
		sent, failed := r.estate.execute(0)
		g.log.Warn("last will sent", "frames", sent, "not_sent", failed, "reason", "the router process panics")
		r.farewell(lastPanic, lastLimit)
	}
}

// farewell notes that the process has said that its end comes.
func (r *process) farewell(last string, limit time.Duration) {
	r.last, r.lastAt, r.limit = last, bootTime(), limit
	r.watchdog = 0 // nothing is to be heard any more
}

// signal sends the process a signal; to none it does nothing. It cannot hit
// another process of that number: this one is not waited for yet.
func (r *process) signal(s unix.Signal) {
	if r != nil && !r.reaped {
		_ = unix.PidfdSendSignal(r.pidfd, s, nil, 0) // it has ended: as good
	}
}

// reap takes note of the end of this process' children: of the router process
// and of those that it left behind, where they come to the guardian because it
// is the first process of a container.
func (r *process) reap() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if r != nil && pid == r.pid {
			r.reaped, r.status = true, status
		}
	}
}

// bury waits until the process, which has got SIGKILL, is no more: its devices
// are free only then.
func (g *guardian) bury(r *process) {
	const patience = 10 * time.Second
	for asked := bootTime(); !r.reaped; {
		fds := []unix.PollFd{
			{Fd: int32(r.pidfd), Events: unix.POLLIN},
			{Fd: int32(g.signals.wake), Events: unix.POLLIN},
		}
		poll(fds, patience)
		g.take(r)
		if fds[0].Revents != 0 {
			r.reap()
			runtime.Gosched()
		}
		if !r.reaped && bootTime()-asked > int64(patience) {
			asked = bootTime()
			g.log.Error("the router process does not end, though killed: the kernel holds it", "pid", r.pid)
		}
	}
}

// follow starts to wait for the lifeline, from a thread of its own.
func (r *process) follow() {
	if r.waited != nil {
		return // ready for a second time
	}
	r.waited = make(chan struct{})
	go func() {
		defer close(r.waited)
		runtime.LockOSThread()
		realtime(r.log)
		if r.lifeline.wait() {
			_, _ = unix.Write(r.died, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // never full
		}
	}()
}

func (r *process) close() {
	if r.waited != nil {
		r.lifeline.cut()
		<-r.waited
	}
	r.lifeline.close()
	unix.Close(r.died)
	unix.Close(r.socket)
	if r.pidfd >= 0 {
		unix.Close(r.pidfd)
	}
}

// describe says how a process ended.
func describe(s unix.WaitStatus) string {
	switch {
	case s.Signaled():
		return "killed by " + unix.SignalName(s.Signal())
	case s.Exited():
		return fmt.Sprintf("exit status %d", s.ExitStatus())
	}
	return whyEnded
}
