package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"vrouter/config"
	"vrouter/dataplane/port"
	"vrouter/dataplane/port/afpacket"
	"vrouter/dataplane/port/tap"
	"vrouter/router"
)

// openPort opens the port of an interface. A device that is not there yet is
// waited for by the port itself; what can never work is an error.
func openPort(c *config.Interface, routerName string, log *slog.Logger) (port.Port, error) {
	log = log.With("interface", c.Name)
	switch c.Attach {
	case config.AttachPacket:
		return afpacket.Open(afpacket.Config{
			Device: c.Device, MAC: c.MAC, MTU: c.MTU, Queues: c.Queues,
			OwnAddresses: !c.HostAddrs, Log: log,
		})
	case config.AttachTAP:
		return tap.Open(tap.Config{
			Name: c.Device, Bridge: c.Bridge, MAC: c.MAC, MTU: c.MTU, Queues: c.Queues, Log: log,
		})
	}
	return nil, fmt.Errorf("attach %q is not known", c.Attach)
}

// watchPort tells the loop each change of a port's device, beginning with its
// present state, until ctx ends.
func watchPort(ctx context.Context, l *loop, number uint16, p port.Port, c *config.Interface, addresses <-chan struct{}) {
	lent := lending{loop: l, number: number, port: p}
	tell := func() {
		lent.follow()
		s := portState(p, c, l.log)
		l.act(func(now time.Time) []router.Action { return l.router.PortChanged(now, number, s) })
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
func portState(p port.Port, c *config.Interface, log *slog.Logger) router.PortState {
	s := p.Status()
	state := router.PortState{
		Present: s.Present, Up: s.Present && s.Up, MAC: s.MAC, MTU: s.MTU, Offload: s.Offload,
		Problem: s.Err,
	}
	if s.Present && !s.Up {
		state.Problem = "link down"
	}
	if c.HostAddrs {
		var err error
		if state.KernelAddresses, err = kernelAddresses(c.Device); err != nil {
			log.Error("the kernel does not tell its addresses", "interface", c.Name, "error", err)
		}
	}
	return state
}
