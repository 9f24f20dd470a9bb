// Package mem is a network port in memory, for tests: what a test injects is
// received, what is transmitted the test takes out or a connected port
// receives. It keeps the contract of port.Port, also about who may keep which
// memory.
package mem

import (
	"errors"
	"slices"
	"sync"

	"vrouter/dataplane/port"
	"vrouter/packet"
)

// Config is a port's device. Zero fields mean their defaults.
type Config struct {
	Device  string
	MAC     packet.MAC
	MTU     int // of IP packets; default 1500
	Offload packet.Offload
	Queues  int // receive queues; default 1
	Depth   int // frames that a receive queue, and the transmit side, hold; default 1024
}

// Port is a port in memory, up from the start. Its methods may be called from
// any goroutine.
type Port struct {
	depth   int
	queues  []*queue
	changed chan struct{}

	mu     sync.Mutex
	status port.Status
	peer   *Port // takes what is transmitted; nil: sent does
	sent   ring
	macs   []packet.MAC
	groups []packet.MAC
	closed bool
}

// New returns a port.
func New(cfg Config) *Port {
	if cfg.MTU == 0 {
		cfg.MTU = 1500
	}
	if cfg.Depth == 0 {
		cfg.Depth = 1024
	}
	p := &Port{
		depth: cfg.Depth, changed: make(chan struct{}, 1), sent: newRing(cfg.Depth),
		status: port.Status{
			Device: cfg.Device, Present: true, Up: true, MAC: cfg.MAC, MTU: cfg.MTU, Offload: cfg.Offload,
		},
	}
	for range max(1, cfg.Queues) {
		p.queues = append(p.queues, &queue{port: p, waiting: newRing(cfg.Depth), ready: make(chan struct{}, 1)})
	}
	return p
}

// Connect puts a cable between two ports: what one transmits the first queue
// of the other receives.
func Connect(a, b *Port) {
	a.setPeer(b)
	b.setPeer(a)
}

func (p *Port) setPeer(peer *Port) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.peer = peer
}

// Inject makes frames arrive at a receive queue, and returns how many it had
// room for. It copies them.
func (p *Port) Inject(number int, frames ...packet.Frame) int {
	q := p.queues[number]
	taken := 0
	for i := range frames {
		if q.put(&frames[i]) {
			taken++
		}
	}
	return taken
}

// Sent returns copies of what was transmitted since the last call, oldest first.
func (p *Port) Sent() []packet.Frame {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []packet.Frame
	for p.sent.used > 0 {
		f := p.sent.take()
		out = append(out, packet.Frame{Data: slices.Clone(f.Data), VNet: f.VNet})
	}
	return out
}

// SetUp sets the link up or down.
func (p *Port) SetUp(up bool) { p.change(func(s *port.Status) { s.Up = up }) }

// SetMTU changes the MTU.
func (p *Port) SetMTU(mtu int) { p.change(func(s *port.Status) { s.MTU = mtu }) }

// SetMAC changes the device's own address.
func (p *Port) SetMAC(mac packet.MAC) { p.change(func(s *port.Status) { s.MAC = mac }) }

// SetPresent makes the device go away, or come back.
func (p *Port) SetPresent(present bool) {
	p.change(func(s *port.Status) {
		s.Present, s.Err = present, ""
		if !present {
			s.Err = "the device is gone"
		}
	})
}

func (p *Port) change(f func(*port.Status)) {
	p.mu.Lock()
	f(&p.status)
	p.mu.Unlock()
	signal(p.changed)
	for _, q := range p.queues {
		signal(q.ready)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// MACs returns what SetMACs was given last.
func (p *Port) MACs() []packet.MAC {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.macs
}

// Groups returns what SetGroups was given last.
func (p *Port) Groups() []packet.MAC {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.groups
}

// Receivers implements port.Port.
func (p *Port) Receivers() []port.Receiver {
	var list []port.Receiver
	for _, q := range p.queues {
		list = append(list, q)
	}
	return list
}

var errClosed = errors.New("mem: the port is closed")

// NewTransmitter implements port.Port.
func (p *Port) NewTransmitter() (port.Transmitter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	return &transmitter{port: p}, nil
}

// SetMACs implements port.Port.
func (p *Port) SetMACs(macs []packet.MAC) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.macs = slices.Clone(macs)
	return nil
}

// SetGroups implements port.Port.
func (p *Port) SetGroups(groups []packet.MAC) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.groups = slices.Clone(groups)
	return nil
}

// Status implements port.Port.
func (p *Port) Status() port.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// Changed implements port.Port.
func (p *Port) Changed() <-chan struct{} { return p.changed }

// Close implements port.Port.
func (p *Port) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed, p.status.Present, p.status.Up = true, false, false
	return nil
}

// carrying reports whether frames move.
func (p *Port) carrying() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status.Present && p.status.Up
}
