package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/dataplane"
	"vrouter/dataplane/fib"
	"vrouter/dataplane/worker"
	"vrouter/guardian"
	"vrouter/neigh"
	"vrouter/packet"
	"vrouter/router"
)

// How much of each kind one turn of the loop takes, so that every turn is
// short and VRRP is looked at between any two.
const (
	turnUrgent   = 512 // VRRP and BFD frames
	turnControl  = 64  // ARP and ND frames, of each
	turnFlooded  = 128 // frames for a watched virtual MAC
	turnResolve  = 64  // packets without a neighbour, of each kind
	turnRequests = 4   // calls of the control API and port changes
)

// loop is the one thread that owns the control plane. Everything else talks
// to it by bounded queues and the wake-up descriptor.
type loop struct {
	router *router.Router
	clock  clock
	log    *slog.Logger
	driver *driver
	guard  *guardian.Client // heartbeats and last wills; nil: there is no guardian

	wake     int // eventfd: something waits
	queues   [dataplane.NumClasses]*worker.Queue
	pending  *worker.Queue // packets of the local stack without a neighbour
	requests chan func(now time.Time)
	workers  []*worker.Worker // set before run

	late    histogram // of Advance behind its deadline
	longest atomic.Int64
	done    chan struct{}
}

// newLoop returns a loop that run drives; wake-ups work at once.
func newLoop(r *router.Router, c clock, log *slog.Logger) (*loop, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	l := &loop{
		router: r, clock: c, log: log, wake: fd,
		requests: make(chan func(time.Time), 64),
		done:     make(chan struct{}),
	}
	for class := range l.queues {
		l.queues[class] = worker.NewQueue(worker.DefaultLimits[class], l.signal)
	}
	l.pending = worker.NewQueue(worker.DefaultLimits[dataplane.ClassResolve], l.signal)
	return l, nil
}

// signal wakes the loop; it never blocks. An eventfd write fails only where
// the count is at its maximum, and then the loop is awake.
func (l *loop) signal() { _, _ = unix.Write(l.wake, wakeOne[:]) }

var wakeOne = [8]byte{1}

// run is the control loop. It locks its thread and asks for real-time
// scheduling, so that advertisements leave on time while workers are busy.
func (l *loop) run(stopped func() bool) {
	runtime.LockOSThread()
	defer close(l.done)
	l.realtime()
	l.guard.Live()
	defer l.guard.Leave()
	now, _ := l.clock.now()
	l.driver.carryOut(l.router.Start(now))
	for {
		l.turn()
		if stopped() {
			return
		}
		if !l.busy() {
			l.wait()
		}
	}
}

// realtime asks the kernel to run this thread before ordinary ones
// (sched(7)). Without CAP_SYS_NICE it stays an ordinary one.
func (l *loop) realtime() {
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		l.log.Debug("control loop without real-time scheduling", "error", err,
			"remedy", "grant CAP_SYS_NICE for timers that hold under full load")
	}
}

// turn serves what waits, the urgent first, and renews the lease.
func (l *loop) turn() {
	began := worker.BootTime()
	l.drain(dataplane.ClassVRRP, turnUrgent)
	l.drain(dataplane.ClassBFD, turnUrgent)
	l.advance()
	l.drain(dataplane.ClassARP, turnControl)
	l.drain(dataplane.ClassND, turnControl)
	l.flooded()
	l.resolve()
	l.serve()
	l.advance()
	// Only now is it certain that VRRP has run on time up to this moment.
	now, boot := l.clock.now()
	l.router.Lease().Renew(boot + int64(l.router.LeaseEnd(now).Sub(now)))
	l.guard.Beat(boot)
	if took := worker.BootTime() - began; took > l.longest.Load() {
		l.longest.Store(took)
	}
}

// drain hands punted control frames to the router.
func (l *loop) drain(class dataplane.Class, most int) {
	l.queues[class].Drain(most, func(p *worker.Punted) {
		now, _ := l.clock.now()
		l.driver.carryOut(l.router.Receive(now, p.In, p.Data))
	})
}

// flooded hands the router frames for virtual MACs that it watches.
func (l *loop) flooded() {
	l.queues[dataplane.ClassFlooded].Drain(turnFlooded, func(p *worker.Punted) {
		now, _ := l.clock.now()
		l.driver.carryOut(l.router.Flooded(now, p.In, p.Data, p.VNet))
	})
}

// behindMost is how long a worker may leave frames unread, an answer perhaps,
// before a silence is none.
const behindMost = int64(500 * time.Microsecond)

// unheard tells the router where answers may have come that nobody has read.
func (l *loop) unheard() {
	for _, w := range l.workers {
		if w.Behind(behindMost) {
			now, _ := l.clock.now()
			l.driver.carryOut(l.router.Unheard(now))
			return
		}
	}
}

// advance runs what is due, and notes how late it was.
func (l *loop) advance() {
	if l.router.Asking() { // an answer that is here must not count as none
		l.drain(dataplane.ClassARP, turnUrgent)
		l.drain(dataplane.ClassND, turnUrgent)
		l.unheard()
	}
	deadline := l.router.Deadline()
	now, _ := l.clock.now()
	if deadline.IsZero() || deadline.After(now) {
		return
	}
	if l.router.Detecting(now) { // neither must a packet that is here
		l.drain(dataplane.ClassBFD, turnUrgent)
		l.unheard()
	}
	l.late.observe(now.Sub(deadline))
	l.driver.carryOut(l.router.Advance(now))
}

// resolve asks the router for the neighbours that packets wait for.
func (l *loop) resolve() {
	snapshot := l.router.Snapshot()
	ask := func(p *worker.Punted, local bool) {
		port, via, ok := nextHop(snapshot, p, local)
		if !ok {
			return // the routes have changed meanwhile: nothing to wait for
		}
		w := neigh.Waiting{
			In: p.In, Local: local, VNet: p.VNet,
			Frame: append([]byte(nil), p.Data...),
		}
		now, _ := l.clock.now()
		l.driver.carryOut(l.router.Resolve(now, port, via, w))
	}
	l.queues[dataplane.ClassResolve].Drain(turnResolve, func(p *worker.Punted) { ask(p, false) })
	l.pending.Drain(turnResolve, func(p *worker.Punted) { ask(p, true) })
}

// serve runs calls from other goroutines.
func (l *loop) serve() {
	for range turnRequests {
		select {
		case f := <-l.requests:
			now, _ := l.clock.now()
			f(now)
		default:
			return
		}
	}
}

// busy reports whether something waits for the next turn.
func (l *loop) busy() bool {
	if len(l.requests) > 0 || l.pending.Len() > 0 {
		return true
	}
	for class := dataplane.ClassVRRP; class <= dataplane.ClassResolve; class++ {
		if l.queues[class].Len() > 0 {
			return true
		}
	}
	return false
}

// wait sleeps until the next deadline or a wake-up.
func (l *loop) wait() {
	timeout := time.Second
	if deadline := l.router.Deadline(); !deadline.IsZero() {
		now, _ := l.clock.now()
		timeout = min(timeout, deadline.Sub(now))
	}
	if beat := l.guard.Next(); beat != 0 {
		timeout = min(timeout, time.Duration(beat-worker.BootTime()))
	}
	if timeout <= 0 {
		return
	}
	ts := unix.NsecToTimespec(int64(timeout))
	fds := []unix.PollFd{{Fd: int32(l.wake), Events: unix.POLLIN}}
	n, err := unix.Ppoll(fds, &ts, nil)
	if err != nil && !errors.Is(err, unix.EINTR) {
		panic(fmt.Sprintf("control loop: ppoll: %v", err)) // only a closed descriptor: a bug
	}
	if n > 0 {
		var drain [8]byte
		_, _ = unix.Read(l.wake, drain[:]) // the count does not matter
	}
}

// errStopped says that the router is shutting down.
var errStopped = errors.New("the router is shutting down")

// call runs f on the loop and waits for it.
func (l *loop) call(ctx context.Context, f func(now time.Time)) error {
	ran := make(chan struct{})
	request := func(now time.Time) {
		defer close(ran)
		f(now)
	}
	select {
	case l.requests <- request:
		l.signal()
	case <-ctx.Done():
		return ctx.Err()
	case <-l.done:
		return errStopped
	}
	select {
	case <-ran:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.done:
		return errStopped
	}
}

// post runs f on the loop, some time.
func (l *loop) post(f func(now time.Time)) {
	select {
	case l.requests <- f:
		l.signal()
	case <-l.done:
	}
}

// act runs an input of the router on the loop and carries out what comes of it.
func (l *loop) act(f func(now time.Time) []router.Action) {
	l.post(func(now time.Time) { l.driver.carryOut(f(now)) })
}

// nextHop returns the neighbour that a packet waits for: its destination,
// where that is on the link of a known port, else what the routes say.
func nextHop(s *fib.Snapshot, p *worker.Punted, local bool) (port uint16, via netip.Addr, ok bool) {
	if local {
		if dst, is := linkLocalDestination(p.Data); is {
			return p.In, dst, true
		}
	}
	return dataplane.Resolve(s, p.Data)
}

// linkLocalDestination returns the destination of an IP packet in a frame,
// where it has a meaning on one link only.
func linkLocalDestination(frame []byte) (netip.Addr, bool) {
	if len(frame) < packet.EthernetLen {
		return netip.Addr{}, false
	}
	if ip, ok := packet.ParseIPv6(frame[packet.EthernetLen:]); ok {
		return ip.Dst(), ip.Dst().IsLinkLocalUnicast()
	}
	if ip, ok := packet.ParseIPv4(frame[packet.EthernetLen:]); ok {
		return ip.Dst(), ip.Dst().IsLinkLocalUnicast()
	}
	return netip.Addr{}, false
}
