package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"vrouter/config"
	"vrouter/control"
	"vrouter/dataplane"
	"vrouter/dataplane/fib"
	"vrouter/dataplane/netstack"
	"vrouter/dataplane/port"
	"vrouter/dataplane/port/xsk"
	"vrouter/dataplane/worker"
	"vrouter/guardian"
	"vrouter/hook"
	"vrouter/packet"
	"vrouter/program"
	"vrouter/router"
)

const (
	// eventsKept is how many events "show events" remembers.
	eventsKept = 10_000
	// stopMargin is what an orderly stop may take beyond the longest drain.
	stopMargin = 2 * time.Second
	// closeTime is more than everything takes to be closed.
	closeTime = 10 * time.Second
)

// process is the router process: its parts, and how to undo them.
type process struct {
	cfg      *config.Config // of the start; after a reload see driver.cfg
	file     string         // where it was read, for reload
	version  string         // of the program
	log      *slog.Logger
	listener net.Listener
	web      webEnd
	arena    *xsk.Arena // memory of the AF_XDP ports
	ports    portSet
	snapshot atomic.Pointer[fib.Snapshot]
	loop     *loop
	local    *local
	senders  []*sender
	workers  []*worker.Worker
	notes    *notices
	events   *control.EventLog
	programs *program.Launcher
	hooks    *hook.Runner
	guard    *guardian.Client // nil: there is no guardian
	checks   *checks
	bgp      *bgpEnd
	imports  *importEnd // nil: nothing is imported
	watches  watches

	reloading sync.Mutex // held by the reload that runs

	closing sync.Mutex // guards closers until close
	closers []func()
}

// open opens everything, or nothing.
func open(cfg *config.Config, log *slog.Logger, guard *guardian.Client) (*process, error) {
	d := &process{cfg: cfg, log: log, events: control.NewEventLog(eventsKept), guard: guard}
	// The socket comes first: a second vrouter on it must not touch a port.
	steps := []func() error{d.openSocket, d.openWeb, d.openPorts, d.openImport, d.openHooks, d.openLoop, d.openBGP, d.openHost, d.openLocal, d.openChecks, d.openWorkers}
	for _, step := range steps {
		if err := step(); err != nil {
			d.close()
			return nil, err
		}
	}
	return d, nil
}

// later adds to what close does.
func (d *process) later(f func()) {
	d.closing.Lock()
	defer d.closing.Unlock()
	d.closers = append(d.closers, f)
}

// close undoes what was opened, the last first.
func (d *process) close() {
	for i := len(d.closers) - 1; i >= 0; i-- {
		d.closers[i]()
	}
	d.closers = nil
}

func (d *process) openSocket() error {
	var err error
	if d.listener, err = control.Listen(d.cfg.Control.Socket); err != nil {
		return err
	}
	d.later(func() { _ = d.listener.Close() }) // the server may have closed it
	return nil
}

func (d *process) openPorts() error {
	d.arena = newArena(d.cfg.Interfaces)
	for i := range d.cfg.Interfaces {
		if err := d.openPort(&d.cfg.Interfaces[i]); err != nil {
			return err
		}
	}
	return nil
}

// openPort opens the port of an interface, which gets the next number.
func (d *process) openPort(c *config.Interface) error {
	p, err := openPort(c, d.arena, d.log)
	if err != nil {
		return fmt.Errorf("interface %s: %w", c.Name, err)
	}
	d.ports.add(p, c)
	d.later(func() {
		if err := p.Close(); err != nil {
			d.log.Error("device not given back as it was", "interface", c.Name, "error", err)
		}
	})
	return nil
}

func (d *process) openLoop() error {
	d.notes = newNotices(d.log, d.events)
	d.later(d.notes.close)
	r := router.New(d.cfg, rand.Uint64())
	for number, p := range d.ports.all()[len(d.cfg.Interfaces):] {
		r.SetInterface(time.Time{}, uint16(len(d.cfg.Interfaces)+number), p.cfg)
	}
	if d.imports != nil && d.imports.mirror != nil && d.imports.mirror.contends {
		r.KernelForwards(time.Time{}, notReady)
	}
	l, err := newLoop(r, newClock(), d.log)
	if err != nil {
		return err
	}
	l.guard = d.guard
	d.loop = l
	d.local = newLocal(d.log, &l.queues)
	for _, class := range []dataplane.Class{dataplane.ClassBGP, dataplane.ClassLocal, dataplane.ClassTransit} {
		l.queues[class] = worker.NewQueue(worker.DefaultLimits[class], d.local.wake)
	}
	s, err := d.newSender()
	if err != nil {
		return err
	}
	l.driver = &driver{
		guard:  d.guard,
		sender: s, ports: &d.ports, clock: l.clock, local: d.local, notes: d.notes,
		hooks: d.hooks, known: map[string]*config.VRRP{},
	}
	l.driver.adopt(d.cfg)
	return nil
}

// newSender opens one more way out, which close ends.
func (d *process) newSender() (*sender, error) {
	s, err := newSender(d.ports.all(), &d.snapshot, d.loop.queues[dataplane.ClassResolve], d.loop.pending)
	if err != nil {
		return nil, err
	}
	d.senders = append(d.senders, s)
	d.later(s.close)
	return s, nil
}

// emitter returns a function by which a stack of gVisor sends its packets.
func (d *process) emitter() (func(port uint16, frame []byte), error) {
	s, err := d.newSender()
	if err != nil {
		return nil, err
	}
	return func(port uint16, frame []byte) {
		if d.snapshot.Load() == nil {
			return // not started yet
		}
		s.begin()
		s.output(port, &packet.Frame{Data: frame})
	}, nil
}

func (d *process) openLocal() error {
	emit, err := d.emitter()
	if err != nil {
		return err
	}
	d.local.stack, err = netstack.New(netstack.Config{Log: d.log, Egress: egress(&d.snapshot)}, emit)
	if err != nil {
		return fmt.Errorf("local stack: %w", err)
	}
	if d.cfg.Router.Engine == config.EngineNetstack {
		if emit, err = d.emitter(); err != nil {
			return err
		}
		if d.local.engine, err = netstack.NewEngine(netstack.Config{Log: d.log}, emit); err != nil {
			return fmt.Errorf("engine netstack: %w", err)
		}
	}
	d.local.start(context.Background())
	d.later(d.local.close)
	return nil
}

// openWorkers spreads the receive queues over the workers.
func (d *process) openWorkers() error {
	var inputs []worker.Input
	for number, p := range d.ports.all() {
		for _, r := range p.Receivers() {
			inputs = append(inputs, worker.Input{Port: uint16(number), Receiver: r})
		}
	}
	count := d.cfg.Router.Workers
	if count == 0 {
		count = runtime.NumCPU()
	}
	count = min(count, len(inputs))
	for i := range count {
		var mine []worker.Input
		for j := i; j < len(inputs); j += count {
			mine = append(mine, inputs[j])
		}
		if err := d.openWorker(mine); err != nil {
			return fmt.Errorf("worker %d: %w", i, err)
		}
	}
	return nil
}

// openWorker makes a worker for some receive queues, with a transmit path of
// its own on each port.
func (d *process) openWorker(inputs []worker.Input) error {
	outputs := make([]port.Transmitter, 0, len(d.ports.all()))
	for _, p := range d.ports.all() {
		tx, err := p.NewTransmitter()
		if err != nil {
			return err
		}
		d.later(func() { _ = tx.Close() }) // nothing of it is used any more
		outputs = append(outputs, tx)
	}
	w, err := worker.New(worker.Config{
		Snapshot: &d.snapshot, Inputs: inputs, Outputs: outputs, Queues: &d.loop.queues, Pending: d.loop.pending,
		BusyPoll:  d.cfg.Router.BusyPoll,
		Reference: d.cfg.Router.Engine == config.EngineNetstack,
	})
	if err != nil {
		return err
	}
	d.workers = append(d.workers, w)
	d.loop.workers = d.workers
	return nil
}

// run works until ctx ends and the hand-over after it is done.
func (d *process) run(ctx context.Context) error {
	var ended atomic.Bool
	go mourned(d.guard, func() { d.loop.run(ended.Load) })
	// The first snapshot is there once the loop answers: workers may run. An end
	// that comes as early as this is an orderly one, too.
	if err := d.loop.call(context.WithoutCancel(ctx), func(time.Time) {}); err != nil {
		return err
	}
	for _, w := range d.workers {
		go mourned(d.guard, w.Run)
	}
	unwatch := d.watches.start(d)
	d.imports.start()
	d.checks.Set(d.cfg.Checks)
	server := d.serve()
	d.web.serve()
	d.log.Info("running", "interfaces", len(d.ports.all()), "virtual_routers", len(d.cfg.VRRP),
		"workers", len(d.workers), "engine", d.cfg.Router.Engine, "socket", d.cfg.Control.Socket)
	d.systemd(sd.SdNotifyReady)
	d.loop.post(func(time.Time) {
		d.guard.Ready()
		d.bgp.keep(d.loop.driver.cfg)
	})
	d.idle(ctx)
	d.systemd(sd.SdNotifyStopping)
	d.bgp.goodbye() // neighbours turn away while this router still forwards
	d.handOver()
	d.checks.Close()
	d.imports.stop()
	unwatch()
	server()
	d.web.end()
	for _, w := range d.workers {
		w.Stop()
	}
	ended.Store(true)
	d.loop.signal()
	<-d.loop.done
	d.guard.Ended(hooksTime(d.loop.driver.cfg.Notify) + closeTime) // the client was the loop's until now
	d.endHooks()
	d.log.Info("stopped")
	return nil
}

// idle waits for the end, which also comes with the guardian's, and answers
// SIGHUP.
func (d *process) idle(ctx context.Context) {
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	d.later(func() { signal.Stop(reload) }) // not before: it would end the hand-over
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.guard.Gone():
			d.log.Error("the guardian has ended: handing over, since nobody would speak for this process")
			return
		case <-reload:
			_ = d.reload(ctx) // it has logged what is wrong
		}
	}
}

// backend returns what answers those who ask about the router.
func (d *process) backend() *backend {
	return &backend{
		loop: d.loop, ports: &d.ports, workers: d.workers, senders: d.senders,
		events: d.events, local: d.local, reload: d.reload, bgp: d.bgp,
	}
}

// serve starts the control API and returns how to end it.
func (d *process) serve() (end func()) {
	server := control.NewServer(d.backend())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(d.listener); err != nil {
			d.log.Error("the control API has ended", "error", err)
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(ctx) // who is late is cut off
		<-done
	}
}

// handOver gives up mastership and waits until it is taken, or nobody comes.
func (d *process) handOver() {
	most := stopMargin
	cfg, err := ask(context.Background(), d.loop, func(time.Time) *config.Config { return d.loop.driver.cfg })
	if err != nil {
		return // the loop has ended
	}
	for i := range cfg.VRRP {
		most = max(most, cfg.VRRP[i].Drain+stopMargin)
	}
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	d.loop.act(func(now time.Time) []router.Action {
		d.guard.Stopping()
		return d.loop.router.Stop(now, "shutdown")
	})
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		stopped, err := ask(ctx, d.loop, func(time.Time) bool { return d.loop.router.Stopped() })
		if stopped {
			return
		}
		if err != nil {
			d.log.Error("hand-over not finished", "error", err)
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
		}
	}
}

// systemd tells the service manager, where there is one (sd_notify(3)).
func (d *process) systemd(state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		d.log.Debug("service manager not notified", "error", err)
	}
}
