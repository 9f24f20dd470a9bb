// Package worker runs the forwarding plane: each Worker is a locked thread
// that reads a batch from its receive queues, asks dataplane.Forwarder about
// each frame, and writes batches. It never allocates per frame and shares
// nothing with other workers but the snapshot pointer.
package worker

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"vrouter/dataplane"
	"vrouter/dataplane/fib"
	"vrouter/dataplane/port"
	"vrouter/packet"
)

// Input is one receive queue and the port that it belongs to.
type Input struct {
	Port     uint16
	Receiver port.Receiver
}

// Config is what a worker needs.
type Config struct {
	Snapshot *atomic.Pointer[fib.Snapshot]
	Inputs   []Input
	Outputs  []port.Transmitter // by port number
	Queues   *[dataplane.NumClasses]*Queue
	// Pending takes the ICMP errors that have no resolved neighbour; In of what
	// it holds is the port that they leave by.
	Pending *Queue
	// BusyPoll is the longest time that the worker looks for a next frame before
	// it sleeps, where frames come at least that often; 0: it sleeps at once.
	BusyPoll time.Duration
	// Reference leaves transit to gVisor's forwarder (engine = "netstack").
	Reference bool
}

// Worker is one forwarding thread.
type Worker struct {
	cfg      Config
	forward  *dataplane.Forwarder
	epoll    int
	stop     int            // eventfd
	stopping atomic.Bool    // for a worker that never comes to wait
	bridges  map[int32]bool // eventfds that stand for receivers without descriptor
	batch    [port.BatchMax]packet.Frame
	inputs   atomic.Pointer[[]Input]
	outputs  atomic.Pointer[[]port.Transmitter] // by port number
	to       []port.Transmitter                 // outputs, as of the current batch
	out      [][]*packet.Frame                  // by port number: waiting for flush
	now      int64                              // CLOCK_BOOTTIME of the current batch, ns
	spinner  spinner
	load     load
	done     chan struct{}
}

// New returns a worker that Run starts.
func New(cfg Config) (*Worker, error) {
	w := &Worker{
		cfg: cfg, forward: dataplane.NewForwarder(), done: make(chan struct{}),
		bridges: make(map[int32]bool),
	}
	// Nothing has come yet: it sleeps at first.
	w.spinner = spinner{most: cfg.BusyPoll, gap: 2 * cfg.BusyPoll}
	w.inputs.Store(&cfg.Inputs)
	w.outputs.Store(&cfg.Outputs)
	w.reach(cfg.Outputs)
	w.load.began = time.Now()
	var err error
	if w.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("worker: epoll: %w", err)
	}
	if w.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		unix.Close(w.epoll)
		return nil, fmt.Errorf("worker: eventfd: %w", err)
	}
	if err := w.watch(); err != nil {
		unix.Close(w.epoll)
		unix.Close(w.stop)
		return nil, err
	}
	return w, nil
}

// watch registers the stop signal and all receive queues with epoll.
func (w *Worker) watch() error {
	if err := w.register(w.stop); err != nil {
		return err
	}
	for _, in := range w.cfg.Inputs {
		if fd := in.Receiver.FD(); fd >= 0 {
			if err := w.register(fd); err != nil {
				return err
			}
			continue
		}
		waiter, ok := in.Receiver.(port.Waiter)
		if !ok {
			return fmt.Errorf("worker: a receiver of port %d has neither descriptor nor Ready", in.Port)
		}
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if err != nil {
			return fmt.Errorf("worker: eventfd: %w", err)
		}
		w.bridges[int32(fd)] = true
		go w.bridge(waiter, fd)
		if err := w.register(fd); err != nil {
			return err
		}
	}
	return nil
}

// register has epoll report a descriptor.
func (w *Worker) register(fd int) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if err := unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("worker: epoll add: %w", err)
	}
	return nil
}

// bridge makes the signals of a receiver without descriptor readable by epoll.
func (w *Worker) bridge(waiter port.Waiter, fd int) {
	defer unix.Close(fd)
	for {
		select {
		case <-w.done:
			return
		case <-waiter.Ready():
			// It fails only where the count is at its maximum: readable anyway.
			_, _ = unix.Write(fd, wakeOne[:])
		}
	}
}

var wakeOne = [8]byte{1}

// Run forwards until Stop. It locks its thread. Receivers that report an
// error are left alone until the next wake-up: the port reopens its device
// and signals.
func (w *Worker) Run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(w.done)
	defer unix.Close(w.epoll)
	events := make([]unix.EpollEvent, len(w.cfg.Inputs)+1)
	for {
		w.serveAll()
		asleep := time.Now()
		n, err := unix.EpollWait(w.epoll, events, -1)
		w.spinner.slept(time.Since(asleep) + w.spinner.budget(asleep))
		if err != nil && !errors.Is(err, unix.EINTR) {
			panic(fmt.Sprintf("worker: epoll_wait: %v", err)) // only a closed descriptor: a bug
		}
		if w.woken(events[:max(n, 0)]) {
			return
		}
	}
}

// roundsPerTime is how often a worker that always finds frames reads its queues
// before it tells how busy it has been.
const roundsPerTime = 64

// serveAll serves frames until none has come for as long as the worker looks
// for one.
func (w *Worker) serveAll() {
	for began := time.Now(); ; {
		for n := 1; !w.stopping.Load() && w.round(); n++ {
			if n%roundsPerTime == 0 { // a flood may never end
				now := time.Now()
				w.load.worked(began, now)
				began = now
			}
		}
		ended := time.Now()
		w.load.worked(began, ended)
		served, idle := w.spin(ended)
		if !served {
			return
		}
		w.spinner.slept(idle)
		began = ended.Add(idle) // what was served within it is a round at most
	}
}

// woken takes back the signals that epoll reported, and tells whether to stop.
func (w *Worker) woken(events []unix.EpollEvent) bool {
	var drain [8]byte
	for _, ev := range events {
		if int(ev.Fd) == w.stop {
			return true
		}
		if w.bridges[ev.Fd] {
			_, _ = unix.Read(int(ev.Fd), drain[:]) // the count does not matter
		}
	}
	return false
}

// Stop ends Run and waits for it.
func (w *Worker) Stop() {
	w.stopping.Store(true)
	_, _ = unix.Write(w.stop, wakeOne[:]) // an eventfd takes it
	<-w.done
	unix.Close(w.stop)
}

// round serves each input once and reports whether there was anything.
func (w *Worker) round() bool {
	any := false
	inputs := *w.inputs.Load()
	for i := range inputs {
		in := &inputs[i]
		n, err := in.Receiver.Receive(w.batch[:])
		if err != nil || n == 0 {
			continue
		}
		any = true
		w.serve(in.Port, w.batch[:n])
	}
	return any
}

// serve decides on one batch and sends what it may. The frames belong to the
// receiver until the next Receive, so everything leaves here or is copied.
func (w *Worker) serve(in uint16, frames []packet.Frame) {
	w.now = BootTime()
	w.load.served.Store(w.now)
	w.forward.Begin(w.cfg.Snapshot.Load(), w.now)
	// After the snapshot: a port is in it only when there is a way out by it.
	if outputs := *w.outputs.Load(); len(outputs) != len(w.to) {
		w.reach(outputs)
	}
	w.forward.Ahead(frames)
	sent := 0
	for i := range frames {
		f := &frames[i]
		v := w.decide(in, f)
		switch v.Action {
		case dataplane.Transmit:
			w.out[v.Port] = append(w.out[v.Port], f)
			sent++
		case dataplane.Punt:
			w.punt(v.Class, in, f)
		case dataplane.Exception:
			w.flush() // keep the order within a flow
			w.emit(in, w.forward.Except(in, f, v))
		}
	}
	w.flush()
	w.forward.Flush()
	w.load.read(len(frames), sent)
}

// decide asks the engine.
func (w *Worker) decide(in uint16, f *packet.Frame) dataplane.Verdict {
	if w.cfg.Reference {
		return w.forward.ForwardReference(in, f)
	}
	return w.forward.Forward(in, f)
}

// flush sends what waits for each port. The frames are not kept.
func (w *Worker) flush() {
	for p := range w.out {
		if len(w.out[p]) == 0 {
			continue
		}
		w.to[p].Transmit(w.forward.Coalesce(uint16(p), w.out[p]))
		w.out[p] = w.out[p][:0]
	}
}

// emit sends what an exception produced.
func (w *Worker) emit(in uint16, outs []dataplane.Out) {
	for i := range outs {
		o := &outs[i]
		switch o.Verdict.Action {
		case dataplane.Transmit:
			p := o.Verdict.Port
			w.out[p] = append(w.out[p], &o.Frame)
			if len(w.out[p]) == cap(w.out[p]) {
				w.flush()
			}
		case dataplane.Punt:
			if o.Verdict.Class == dataplane.ClassResolve {
				w.cfg.Pending.Put(w.now, o.Verdict.Port, &o.Frame)
			} else {
				w.punt(o.Verdict.Class, in, &o.Frame)
			}
		}
	}
	w.flush()
}

// Counters returns the forwarder's counters; safe from any goroutine.
func (w *Worker) Counters() dataplane.Counters { return w.forward.Counters() }

// Output returns the transmit path to a port, whose Stats any goroutine may
// read.
func (w *Worker) Output(number int) port.Transmitter { return (*w.outputs.Load())[number] }

// Behind reports whether frames wait in a receive queue although the worker has
// read none for the given time, in nanoseconds: it does not get to run. Safe from
// any goroutine while the receivers are open.
func (w *Worker) Behind(most int64) bool {
	if BootTime()-w.load.served.Load() <= most {
		return false
	}
	for _, in := range *w.inputs.Load() {
		fd := in.Receiver.FD()
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} // a negative one is ignored
		if n, err := unix.Poll(fds, 0); err == nil && n > 0 && fds[0].Revents&unix.POLLIN != 0 {
			return true
		}
	}
	return false
}

// BootTime returns CLOCK_BOOTTIME in nanoseconds: unlike the monotonic clock
// it goes on while the machine is suspended, which is what the forwarding
// lease is about.
func BootTime() int64 {
	var ts unix.Timespec
	// It fails only for clocks that the kernel does not have (clock_gettime(2)).
	// Raw: it does not block, and Go's scheduler need not hear of it.
	_, _, _ = unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Nano()
}
