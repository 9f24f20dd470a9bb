// Package tap is a port on a TAP device that the router creates: the other
// end of the cable is a device of the kernel, in a Linux bridge or with
// addresses of the host. The device lives as long as the port; it ends with
// the process, however that ends.
package tap

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/dataplane/port"
	"vrouter/dataplane/port/kernel"
	"vrouter/packet"
)

// Config describes a TAP device.
type Config struct {
	Name   string // of the kernel's end, at most 15 bytes
	Bridge string // the Linux bridge that the kernel's end joins; empty: none
	// MAC is the router's address on the port, not that of the kernel's end.
	// Zero: one made from Name and Host.
	MAC packet.MAC
	// Host tells this machine from others, so that the TAPs of two of them get
	// different MACs; empty: the machine's id, or else its name.
	Host   string
	MTU    int // zero: the kernel's default of 1500 bytes
	Queues int // receive queues; zero: one
	// Kernel sets up the kernel's end, whose index it is told, before it is up for
	// the first time; it runs in the port's network namespace. Nil: the end gets a
	// MAC and an MTU that do for a bridge's port.
	Kernel func(index int) error
	Log    *slog.Logger // nil: no log
}

// retry is how long a port waits before it tries again what has failed.
const retry = time.Second

// Port is a TAP device. It implements port.Port.
type Port struct {
	cfg     Config
	mac     packet.MAC
	log     *slog.Logger
	net     *kernel.Net
	watch   *kernel.Watcher
	ended   chan struct{}
	changed chan struct{}
	queues  []*receiver

	mu      sync.Mutex // guards what follows
	closed  bool
	status  port.Status
	index   int   // of the device that we created; 0: none
	ready   bool  // it is set up
	fds     []int // of its queues; they belong to the receivers
	dropped int   // of its kernel.Link.Lost, what is counted
	offload packet.Offload
	paths   map[*transmitter]struct{}
}

// Open creates the device in the network namespace of the calling thread. A
// bridge that does not exist is waited for; Status tells. An error means that
// waiting would not help, as without the capability CAP_NET_ADMIN.
func Open(cfg Config) (*Port, error) {
	p := &Port{
		cfg: cfg, mac: cfg.MAC, log: cfg.Log,
		ended: make(chan struct{}), changed: make(chan struct{}, 1),
		paths:  map[*transmitter]struct{}{},
		status: port.Status{Device: cfg.Name},
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.log = p.log.With("device", cfg.Name)
	if p.mac.IsZero() {
		p.mac = stableMAC(cfg.Name, cfg.Host)
	}
	if cfg.Name == "" {
		return nil, errors.New("TAP device: it has no name")
	}
	if err := p.open(); err != nil {
		p.release()
		return nil, fmt.Errorf("TAP device %s: %w", cfg.Name, err)
	}
	p.net.Go(p.run, p.lost)
	return p, nil
}

func (p *Port) open() (err error) {
	if p.net, err = kernel.Here(); err != nil {
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
	p.queues[0].lost = p.countLost
	err = p.sync()
	if p.index == 0 { // not even created
		return err
	}
	return nil // what is missing, as the bridge, is waited for
}

// release closes what is left of a port whose goroutine does not run.
func (p *Port) release() {
	p.destroy()
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

// stableMAC makes a locally administered unicast address (IEEE 802 8.4.2)
// that is the same at each start.
func stableMAC(name, host string) packet.MAC {
	if host == "" {
		if id, err := os.ReadFile("/etc/machine-id"); err == nil {
			host = string(id)
		} else if host, err = os.Hostname(); err != nil {
			host = "unknown"
		}
	}
	sum := sha256.Sum256([]byte("vrouter tap\x00" + host + "\x00" + name))
	mac := packet.MAC(sum[:6])
	mac[0] = mac[0]&^1 | 2
	return mac
}

// run follows the device until Close.
func (p *Port) run() {
	defer close(p.ended)
	wait := time.Duration(-1)
	for {
		p.mu.Lock()
		if err := p.sync(); err != nil {
			wait = retry
		} else {
			wait = -1
		}
		p.mu.Unlock()
		if !p.watch.Wait(wait) {
			return
		}
	}
}

// lost is called where run cannot follow the device into its namespace.
func (p *Port) lost(err error) {
	p.log.Error("device is not watched", "error", err)
	p.mu.Lock()
	p.destroy()
	p.setStatus(port.Status{Device: p.cfg.Name, MAC: p.mac, Err: err.Error()})
	p.mu.Unlock()
	close(p.ended)
}

// sync looks at the device and makes it what it should be: created, in its
// bridge, up.
func (p *Port) sync() error {
	link, found, err := p.net.Link(p.cfg.Name)
	if err == nil && p.index != 0 && (!found || link.Index != p.index) {
		p.destroy() // somebody has deleted it
		found = false
	}
	if err == nil && p.index == 0 {
		var old *kernel.Link
		if found {
			old = &link
		}
		if err = p.create(old); err == nil {
			link, found, err = p.net.Link(p.cfg.Name)
		}
		if err != nil || !found {
			p.destroy()
		}
	}
	if err == nil && found {
		if p.index == 0 { // a new one
			p.dropped = link.Lost
		}
		p.index = link.Index
		err = p.configure(&link)
	}
	s := port.Status{Device: p.cfg.Name, MAC: p.mac, Offload: p.offload, MTU: link.MTU}
	if err != nil {
		s.Err = err.Error()
	} else {
		s.Present, s.Up, s.Index = found, link.Carrier, p.index
	}
	p.setStatus(s)
	return err
}

// configure sets the device up once, and sees to it that it is in its bridge
// always.
func (p *Port) configure(link *kernel.Link) error {
	if !p.ready {
		if err := p.prepare(link); err != nil {
			return err
		}
	}
	if p.cfg.Bridge != "" {
		if err := p.join(link); err != nil {
			return err
		}
	}
	if !p.ready {
		if err := p.net.SetAdmin(link.Index, true); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		p.ready = true
	}
	now, found, err := p.net.Link(p.cfg.Name)
	if err == nil && !found {
		err = unix.ENODEV
	}
	*link = now
	return err
}

// prepare sets what must be set before anybody sees the device.
func (p *Port) prepare(link *kernel.Link) error {
	if p.cfg.Kernel != nil {
		return p.cfg.Kernel(link.Index)
	}
	// A bridge takes the lowest address of its ports for its own: this one
	// never is, so the router's start does not change the bridge's address.
	mac := stableMAC(p.cfg.Name+" kernel", p.cfg.Host)
	mac[0] = 0xfe
	if link.MAC != mac {
		if err := p.net.SetMAC(link.Index, mac); err != nil {
			return fmt.Errorf("set MAC address: %w", err)
		}
	}
	if p.cfg.MTU != 0 && link.MTU != p.cfg.MTU {
		if err := p.net.SetMTU(link.Index, p.cfg.MTU); err != nil {
			return fmt.Errorf("set MTU %d: %w", p.cfg.MTU, err)
		}
	}
	return nil
}

// join puts the kernel's end into the bridge. There it needs no IPv6 of its
// own, whose noise the hosts of the bridge would hear.
func (p *Port) join(link *kernel.Link) error {
	bridge, found, err := p.net.Link(p.cfg.Bridge)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("bridge %s does not exist: waiting for it (ip link add %s type bridge)", p.cfg.Bridge, p.cfg.Bridge)
	}
	if link.Master == bridge.Index {
		return nil
	}
	if _, err := kernel.DisableIPv6(p.cfg.Name, true); err != nil {
		p.log.Warn("the kernel's end of the TAP keeps its IPv6", "error", err)
	}
	if err := p.net.SetMaster(link.Index, bridge.Index); err != nil {
		return fmt.Errorf("join %s (is it a bridge?): %w", p.cfg.Bridge, err)
	}
	return nil
}

// SetCarrier has the kernel see a cable in the device, or none.
func (p *Port) SetCarrier(on bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.index == 0 || p.closed {
		return os.ErrClosed
	}
	value := 0
	if on {
		value = 1
	}
	if err := unix.IoctlSetPointerInt(p.fds[0], unix.TUNSETCARRIER, value); err != nil {
		return fmt.Errorf("TUNSETCARRIER: %w", err)
	}
	return nil
}

// countLost returns how many frames found no room in the device's queues since
// it was called before.
func (p *Port) countLost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.index == 0 || p.closed {
		return 0
	}
	link, found, err := p.net.Link(p.cfg.Name)
	if err != nil || !found || link.Index != p.index {
		return 0 // just gone: what it lost at last is not known
	}
	lost := link.Lost - p.dropped
	p.dropped = link.Lost
	return lost
}

func (p *Port) setStatus(s port.Status) {
	if s == p.status {
		return
	}
	p.status = s
	p.log.Info("port changed", "present", s.Present, "up", s.Up, "mtu", s.MTU, "mac", s.MAC, "problem", s.Err)
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// Receivers implements port.Port.
func (p *Port) Receivers() []port.Receiver {
	r := make([]port.Receiver, len(p.queues))
	for i := range r {
		r[i] = p.queues[i]
	}
	return r
}

// NewTransmitter implements port.Port. Transmit paths are spread over the
// device's queues.
func (p *Port) NewTransmitter() (port.Transmitter, error) {
	t := &transmitter{forget: p.forget}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, os.ErrClosed
	}
	if p.index != 0 {
		if err := t.attachDup(p.fds[len(p.paths)%len(p.fds)]); err != nil {
			return nil, fmt.Errorf("TAP device %s: %w", p.cfg.Name, err)
		}
	}
	p.paths[t] = struct{}{}
	return t, nil
}

// Lend implements port.Lender. The device lives until the descriptor is closed
// as well.
func (p *Port) Lend() (port.Loan, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.index == 0 || p.closed {
		return port.Loan{}, fmt.Errorf("TAP device %s: %s", p.cfg.Name, p.status.Err)
	}
	fd, err := unix.FcntlInt(uintptr(p.fds[0]), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return port.Loan{}, fmt.Errorf("TAP device %s: duplicate descriptor: %w", p.cfg.Name, err)
	}
	return port.Loan{FD: fd, Header: packet.VNetLen}, nil
}

func (p *Port) forget(t *transmitter) {
	p.mu.Lock()
	delete(p.paths, t)
	p.mu.Unlock()
}

// SetMACs implements port.Port: every frame that the kernel sends into the
// TAP arrives, so there is nothing to ask for.
func (p *Port) SetMACs([]packet.MAC) error { return nil }

// SetGroups implements port.Port, as SetMACs does.
func (p *Port) SetGroups([]packet.MAC) error { return nil }

// Status implements port.Port.
func (p *Port) Status() port.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// Changed implements port.Port.
func (p *Port) Changed() <-chan struct{} { return p.changed }

// Close implements port.Port: the device is gone when it returns. No worker
// may use the port's receivers any more.
func (p *Port) Close() error {
	p.mu.Lock()
	closed := p.closed
	p.closed = true
	p.mu.Unlock()
	if closed {
		return nil
	}
	p.watch.Stop()
	<-p.ended
	p.mu.Lock()
	paths := len(p.paths)
	p.mu.Unlock()
	p.release()
	if paths > 0 {
		return errors.New("transmit paths are still open: the device stays until they are closed")
	}
	return nil
}
