package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"vrouter/config"
	"vrouter/dataplane/port"
	"vrouter/dataplane/port/afpacket"
	"vrouter/dataplane/port/tap"
	"vrouter/dataplane/port/xsk"
	"vrouter/router"
)

// openPort opens the port of an interface. A device that is not there yet is
// waited for by the port itself; what can never work is an error.
func openPort(c *config.Interface, arena *xsk.Arena, log *slog.Logger) (port.Port, error) {
	log = log.With("interface", c.Name)
	switch c.Attach {
	case config.AttachPacket, config.AttachXDP:
		cfg := afpacket.Config{
			Device: c.Device, MAC: c.MAC, MTU: c.MTU, Queues: c.Queues,
			OwnAddresses: !c.HostAddrs, LeaveAlone: c.Mirror, Log: log,
		}
		if c.Attach == config.AttachXDP {
			cfg.Express = arena
		}
		return afpacket.Open(cfg)
	case config.AttachTAP:
		return tap.Open(tap.Config{
			Name: c.Device, Bridge: c.Bridge, MAC: c.MAC, MTU: c.MTU, Queues: c.Queues, Log: log,
		})
	}
	return nil, fmt.Errorf("attach %q is not known", c.Attach)
}

// newArena returns the memory that the AF_XDP ports of a configuration share.
func newArena(interfaces []config.Interface) *xsk.Arena {
	queues := 0
	for i := range interfaces {
		if interfaces[i].Attach == config.AttachXDP {
			queues += max(interfaces[i].Queues, 1)
		}
	}
	return xsk.NewArena(queues)
}

// watches tell the loop what becomes of the ports' devices.
type watches struct {
	mu   sync.Mutex
	ctx  context.Context // nil: not started yet
	wake []chan struct{} // by port number: look at its addresses
}

// start begins with the ports that there are, and returns how to end it all.
func (w *watches) start(d *process) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	w.mu.Lock()
	w.ctx = ctx
	w.mu.Unlock()
	w.follow(d)
	if err := watchKernelAddresses(ctx, func() { w.readdressed(d, nil) }); err != nil {
		d.log.Error("changes of the kernel's addresses are not seen", "error", err)
	}
	return cancel
}

// follow begins with the ports that have come since it was last called.
func (w *watches) follow(d *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx == nil {
		return
	}
	for number := len(w.wake); number < len(d.ports.all()); number++ {
		c := make(chan struct{}, 1)
		w.wake = append(w.wake, c)
		go watchPort(w.ctx, d, uint16(number), c)
	}
}

// readdressed has the ports look whose addresses are the kernel's: of mirrored
// devices, those of the list; else all others.
func (w *watches) readdressed(d *process, mirrored []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for number, c := range w.wake {
		cfg := d.ports.at(uint16(number)).cfg
		if cfg.HostAddrs && (cfg.Mirror && slices.Contains(mirrored, cfg.Device) || !cfg.Mirror && mirrored == nil) {
			notify(c)
		}
	}
}

// watchPort tells the loop each change of a port's device, beginning with its
// present state, until ctx ends.
func watchPort(ctx context.Context, d *process, number uint16, addresses <-chan struct{}) {
	p := d.ports.at(number).Port
	lent := lending{loop: d.loop, number: number, port: p}
	tell := func() {
		lent.follow()
		s := d.portState(number)
		d.loop.act(func(now time.Time) []router.Action { return d.loop.router.PortChanged(now, number, s) })
	}
	tell()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.Changed():
		case <-addresses:
		}
		tell()
	}
}

// portState returns what the router must know of a port.
func (d *process) portState(number uint16) router.PortState {
	p := d.ports.at(number)
	s := p.Status()
	state := router.PortState{
		Present: s.Present, Up: s.Present && s.Up, MAC: s.MAC, MTU: s.MTU, Offload: s.Offload,
		Problem: s.Err,
	}
	if s.Present && !s.Up {
		state.Problem = "link down"
	}
	switch {
	case p.cfg.Mirror:
		state.KernelAddresses = d.imports.addresses(p.cfg.Device)
	case p.cfg.HostAddrs:
		var err error
		if state.KernelAddresses, err = kernelAddresses(p.cfg.Device); err != nil {
			d.log.Error("the kernel does not tell its addresses", "interface", p.cfg.Name, "error", err)
		}
	}
	return state
}
