package afpacket

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/dataplane/port"
	"vrouter/dataplane/port/kernel"
	"vrouter/dataplane/port/xsk"
	"vrouter/packet"
)

// Config describes a port on an existing network device.
type Config struct {
	Device string // empty: none yet, see SetDevice
	// MAC is the port's address. It is not set on the device: frames to it are
	// asked for beside the device's own. Zero: the device's own.
	MAC packet.MAC
	// MTU in bytes without the Ethernet header is set on the device, and put
	// back by Close. Zero: the device's own.
	MTU int
	// Queues is the number of receive queues, over which flows are spread by
	// hash; zero: one.
	Queues int
	// OwnAddresses keeps the kernel's network stack off the device while the
	// port is open: the router alone answers and sends there.
	OwnAddresses bool
	// LeaveAlone leaves the device as it is: it is not set up, and a port on a
	// device that is down waits for it.
	LeaveAlone bool
	// Express gives the port AF_XDP beside the packet sockets: frames that are the
	// router's come and go by it, from a program on the device. Nil: none.
	Express *xsk.Arena
	Log     *slog.Logger // nil: no log
}

// retry is how long a port waits before it tries again to open a device that
// exists but could not be opened.
const retry = time.Second

// offload is what packet sockets take on every device: where the device itself
// cannot do it, the kernel does it in software before it hands frames over.
const offload = packet.OffloadCsum | packet.OffloadTSO4 | packet.OffloadTSO6 | packet.OffloadUSO

// Port is a network device, opened by packet sockets. It implements port.Port.
type Port struct {
	cfg     Config
	base    *slog.Logger
	log     *slog.Logger // base with the device
	net     *kernel.Net
	watch   *kernel.Watcher
	ended   chan struct{}
	changed chan struct{}
	queues  []*receiver

	mu     sync.Mutex // guards what follows, and is held while the device is opened or closed
	closed bool
	status port.Status
	device *device // nil: not attached
	paths  map[*transmitter]struct{}
	macs   []packet.MAC
	groups []packet.MAC
	found  kernel.Link // the device as it was when first attached

	failure error // of restore
}

// Open opens a port in the network namespace of the calling thread. A device
// that does not exist is waited for; Status tells. An error means that waiting
// would not help, as without the capabilities.
func Open(cfg Config) (*Port, error) {
	p := &Port{
		cfg:     cfg,
		log:     cfg.Log,
		ended:   make(chan struct{}),
		changed: make(chan struct{}, 1),
		paths:   map[*transmitter]struct{}{},
		status:  port.Status{Device: cfg.Device},
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.base = p.log
	p.log = p.base.With("device", cfg.Device)
	err := p.open()
	if err != nil {
		p.release()
		return nil, fmt.Errorf("port on %s: %w", cfg.Device, err)
	}
	p.net.Go(p.run, p.lost)
	return p, nil
}

func (p *Port) open() (err error) {
	if p.net, err = kernel.Here(); err != nil {
		return err
	}
	if err := p.permitted(); err != nil {
		return err
	}
	// First the watch, then the look: nothing is missed between them.
	if p.watch, err = kernel.Watch(); err != nil {
		return err
	}
	for range max(p.cfg.Queues, 1) {
		q, err := newReceiver()
		if err != nil {
			return err
		}
		p.queues = append(p.queues, q)
	}
	err = p.sync()
	if errors.Is(err, os.ErrPermission) || errors.Is(err, kernel.ErrOwned) {
		return errors.Join(err, p.restore())
	}
	return nil // else it is waited for
}

// permitted tells at once what would else be told when the device appears.
func (p *Port) permitted() error {
	fd, err := packetSocket()
	if err != nil {
		return err
	}
	unix.Close(fd)
	if !p.cfg.OwnAddresses {
		return nil // a device that is up may be used with CAP_NET_RAW alone
	}
	return p.net.MayConfigure()
}

// release closes what is left of a port whose goroutine does not run.
func (p *Port) release() {
	for _, q := range p.queues {
		q.close()
	}
	if p.watch != nil {
		p.watch.Close()
	}
	if p.net != nil {
		p.net.Close()
	}
}

// run follows the device until Close.
func (p *Port) run() {
	defer close(p.ended)
	wait := retry // once: a process before this one may have left late
	for p.watch.Wait(wait) {
		wait = -1
		p.mu.Lock()
		if p.sync() != nil || p.quicken() {
			wait = retry
		}
		p.mu.Unlock()
	}
	p.mu.Lock()
	p.failure = p.giveBack()
	p.mu.Unlock()
}

// lost is called where run cannot follow the device into its namespace.
func (p *Port) lost(err error) {
	p.log.Error("device is not watched", "error", err)
	p.mu.Lock()
	p.detach()
	p.setStatus(port.Status{Device: p.cfg.Device, Err: err.Error()})
	p.mu.Unlock()
	close(p.ended)
}

// sync looks at the device and makes the port agree with it. An error means
// that the device is there but could not be opened.
func (p *Port) sync() error {
	if p.cfg.Device == "" {
		p.detach()
		p.setStatus(port.Status{Err: "no device"})
		return nil
	}
	link, found, err := p.net.Link(p.cfg.Device)
	if p.device != nil && (!found || link.Index != p.device.index) {
		p.detach()
	}
	if found && p.device == nil {
		err = p.attach(&link)
	}
	s := port.Status{Device: p.cfg.Device}
	switch {
	case err != nil:
		s.Err = err.Error()
	case !found:
		s.Err = fmt.Sprintf("device %s does not exist: waiting for it", p.cfg.Device)
	default:
		s.Present, s.Up, s.MTU, s.MAC, s.Offload = true, link.Carrier, link.MTU, link.MAC, offload
		s.Index = link.Index
		p.device.setMTU(link.MTU, p.paths)
		if !p.cfg.MAC.IsZero() {
			s.MAC = p.cfg.MAC
		}
	}
	if p.status.Up && !s.Up {
		for _, q := range p.queues {
			q.clearError()
		}
	}
	p.setStatus(s)
	return err
}

func (p *Port) setStatus(s port.Status) {
	old := p.status
	if s == old {
		return
	}
	p.status = s
	p.log.Info("port changed", "present", s.Present, "up", s.Up, "mtu", s.MTU, "mac", s.MAC, "problem", s.Err)
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// SetDevice puts the port onto another device of its namespace; empty: none. It
// is for ports with LeaveAlone, which have nothing to give back.
func (p *Port) SetDevice(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return os.ErrClosed
	}
	if p.cfg.Device == name {
		return nil
	}
	p.detach()
	p.cfg.Device, p.found, p.log = name, kernel.Link{}, p.base.With("device", name)
	return p.net.Do(p.sync)
}

// Receivers implements port.Port.
func (p *Port) Receivers() []port.Receiver {
	r := make([]port.Receiver, len(p.queues))
	for i := range r {
		r[i] = p.queues[i]
	}
	return r
}

// NewTransmitter implements port.Port.
func (p *Port) NewTransmitter() (port.Transmitter, error) {
	t := newTransmitter(p.forget)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, os.ErrClosed
	}
	p.paths[t] = struct{}{}
	if p.device == nil {
		return t, nil
	}
	err := p.net.Do(func() error { return p.openPath(t, p.device) })
	if err != nil && !errors.Is(err, unix.ENODEV) { // just gone: opened when it is back
		delete(p.paths, t)
		return nil, fmt.Errorf("port on %s: %w", p.cfg.Device, err)
	}
	return t, nil
}

// Lend implements port.Lender.
func (p *Port) Lend() (loan port.Loan, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.device == nil {
		return loan, fmt.Errorf("port on %s: %s", p.cfg.Device, p.status.Err)
	}
	err = p.net.Do(func() error {
		loan.FD, err = openLoan(p.device.index, p.cfg.OwnAddresses)
		return err
	})
	return loan, err
}

func (p *Port) forget(t *transmitter) {
	p.mu.Lock()
	delete(p.paths, t)
	p.mu.Unlock()
}

// SetMACs implements port.Port.
func (p *Port) SetMACs(macs []packet.MAC) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.macs = append([]packet.MAC(nil), macs...)
	return p.subscribe()
}

// SetGroups implements port.Port.
func (p *Port) SetGroups(groups []packet.MAC) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.groups = append([]packet.MAC(nil), groups...)
	return p.subscribe()
}

// Status implements port.Port.
func (p *Port) Status() port.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// Changed implements port.Port.
func (p *Port) Changed() <-chan struct{} { return p.changed }

// Close implements port.Port. No worker may use the port's receivers any more.
func (p *Port) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	p.mu.Unlock()
	p.watch.Stop()
	<-p.ended
	p.release()
	return p.failure
}

// restore gives the device back as it was found. What the port does not have
// to undo is gone with its sockets.
func (p *Port) restore() error {
	if p.cfg.LeaveAlone {
		return nil
	}
	link, found, err := p.net.Link(p.cfg.Device)
	if err != nil || !found || link.Index != p.found.Index {
		return err // another device, or none: nothing of ours on it
	}
	var errs []error
	if p.cfg.MTU != 0 && link.MTU == p.cfg.MTU && p.found.MTU != link.MTU {
		errs = append(errs, p.net.SetMTU(link.Index, p.found.MTU))
	}
	if !p.found.Admin && link.Admin {
		errs = append(errs, p.net.SetAdmin(link.Index, false))
	}
	if err := errors.Join(errs...); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("give device %s back: %w", p.cfg.Device, err)
	}
	return nil
}
