package daemon

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"time"

	"vrouter/check"
	"vrouter/dataplane/netstack"
	"vrouter/program"
)

// prober sends the probes of checks: from the local stack, so that they take
// the way of the packets that the router forwards; but by the kernel where that
// keeps the addresses of the interface, and so gets the answers.
type prober struct {
	stack    *netstack.Stack
	egress   func(dst netip.Addr) (port uint16, ok bool)
	ports    *portSet
	host     *hostEnd
	sequence atomic.Uint32
}

// probes are what checks need.
func (p *prober) probes(l *program.Launcher) check.Probes {
	return check.Probes{Ping: p.ping, Connect: p.connect, Run: l.Run}
}

// checkSize is the payload of an echo request, that of ping(8).
const checkSize = 56

// ping sends one echo request; ctx limits the wait.
func (p *prober) ping(ctx context.Context, to netip.Addr) (time.Duration, error) {
	to = to.Unmap()
	sequence := uint16(p.sequence.Add(1))
	if device, ok := p.kernels(to); ok {
		return kernelPing(ctx, device, to, sequence)
	}
	limit := time.Hour
	if deadline, ok := ctx.Deadline(); ok {
		limit = max(time.Until(deadline), time.Millisecond)
	}
	r, err := p.stack.Ping(ctx, netstack.PingRequest{Address: to, Sequence: sequence, Size: checkSize, Timeout: limit})
	switch {
	case err != nil:
		return 0, err
	case errors.Is(r.Err, netstack.ErrTimeout):
		return 0, context.DeadlineExceeded
	}
	return r.RTT, r.Err
}

// connect opens a TCP connection and resets it.
func (p *prober) connect(ctx context.Context, to netip.AddrPort) (time.Duration, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if device, ok := p.kernels(to.Addr()); ok {
		return kernelConnect(ctx, device, netip.Addr{}, to)
	}
	// The answer to a connection comes to whoever has the address.
	if device, from, ok := p.tap(to.Addr()); ok {
		return kernelConnect(ctx, device, from, to)
	}
	return p.stack.Connect(ctx, to)
}

// tap returns the host TAP by which the kernel reaches an address, where it has
// the addresses of the interface there, and the address that it does so from,
// which leads there whatever other routes the host has.
func (p *prober) tap(to netip.Addr) (device string, from netip.Addr, ok bool) {
	if p.host == nil {
		return "", from, false
	}
	if to.IsLinkLocalUnicast() && to.Is6() {
		for number, a := range p.ports.all() {
			if a.cfg.Name == to.Zone() {
				device, ok = p.host.linkDevice(uint16(number))
			}
		}
		return device, from, ok
	}
	number, ok := p.egress(to)
	if !ok {
		return "", from, false
	}
	return p.host.device(number, to)
}

// kernels returns the device by which the router's own routes reach an
// address, where the kernel keeps its addresses.
func (p *prober) kernels(to netip.Addr) (device string, ok bool) {
	if to.IsLinkLocalUnicast() && to.Is6() {
		for _, a := range p.ports.all() {
			if f := a.cfg; f.Name == to.Zone() && f.HostAddrs {
				return f.Device, true
			}
		}
		return "", false
	}
	port, ok := p.egress(to)
	if !ok {
		return "", false
	}
	if f := p.ports.at(port).cfg; f.HostAddrs {
		return f.Device, true
	}
	return "", false
}
