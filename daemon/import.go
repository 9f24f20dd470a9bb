package daemon

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/config"
	"vrouter/dataplane/port/hosttap"
	"vrouter/hostnet"
	"vrouter/rib"
	"vrouter/router"
)

// importEnd hands what the host's kernel has to the loop.
type importEnd struct {
	d        *process
	follower *hostnet.Follower
	done     chan struct{} // Run has ended
	names    map[int]string
	batch    []router.KernelRoute
	hops     []router.KernelHop
	mirror   *mirror // nil: routes alone
	first    []hostnet.Device
}

// noticesRoom is how many bytes of notices of the kernel's wait to be read; 0:
// hostnet's default. Tests of overruns make it small.
var noticesRoom = 0

// openImport opens the way to the kernel's routes, where they are wanted, and
// the ports of the devices that it has.
func (d *process) openImport() error {
	if d.cfg.Import == nil {
		return nil
	}
	e := &importEnd{d: d}
	var err error
	if d.cfg.Import.Mirror {
		if e.mirror, err = newMirror(d); err != nil {
			return err
		}
		d.later(e.mirror.close)
	}
	if e.follower, err = hostnet.New(hostnet.Config{Table: d.cfg.Import.Table, Room: noticesRoom}, e); err != nil {
		return err
	}
	d.imports = e
	d.later(e.close)
	return e.follower.Look()
}

// start begins to follow the kernel.
func (e *importEnd) start() {
	if e == nil {
		return
	}
	e.done = make(chan struct{})
	go func() {
		defer close(e.done)
		if e.mirror != nil {
			e.tellHost(e.first)
		}
		e.follower.Run()
	}()
}

// stop ends following, and has the kernel forward again where it did before.
// What is known stays.
func (e *importEnd) stop() {
	if e == nil || e.done == nil {
		return
	}
	e.follower.Stop()
	<-e.done
	if e.mirror != nil {
		e.mirror.handBack()
	}
}

func (e *importEnd) close() {
	e.stop()
	e.follower.Close()
}

// call runs an input of the router on the loop and waits until it was taken: the
// kernel is followed at the loop's pace.
func (e *importEnd) call(f func(now time.Time) []router.Action) {
	// Where the loop has ended nobody wants to know any more.
	l := e.d.loop
	_ = l.call(context.Background(), func(now time.Time) { l.driver.carryOut(f(now)) })
}

// Devices implements hostnet.Sink.
func (e *importEnd) Devices(list []hostnet.Device) (moved []int) {
	names := make(map[int]string, len(list))
	for i := range list {
		names[list[i].Index] = list[i].Name
	}
	e.names = names
	if e.mirror == nil {
		return nil
	}
	moved = e.mirror.follow(list)
	if e.d.loop != nil {
		e.tellHost(list)
	} else { // it is the first look: the router comes to life with these
		e.first = list
	}
	return moved
}

// addresses returns the kernel's addresses on a device that is mirrored.
func (e *importEnd) addresses(device string) []netip.Prefix { return e.mirror.addresses(device) }

// Routes implements hostnet.Sink.
func (e *importEnd) Routes(changes []hostnet.Change) {
	e.batch, e.hops = e.batch[:0], e.hops[:0]
	for i := range changes {
		c := &changes[i]
		k := router.KernelRoute{
			Prefix: c.Prefix, Metric: c.Metric, Protocol: c.Protocol, Type: kernelType(c.Type), Gone: c.Gone || e.ours(c),
		}
		first := len(e.hops)
		for _, h := range c.Hops {
			hop := router.KernelHop{Via: h.Via}
			if !h.Encap {
				hop.Device = e.names[h.Device]
			}
			e.hops = append(e.hops, hop)
		}
		k.Hops = e.hops[first:len(e.hops):len(e.hops)]
		e.batch = append(e.batch, k)
	}
	e.call(func(now time.Time) []router.Action { return e.d.loop.router.KernelRoutes(now, e.batch) })
}

// ours reports whether a route of the kernel's is there because this router has
// given it a host TAP: what it says the router has said.
func (e *importEnd) ours(c *hostnet.Change) bool {
	return c.Protocol == hosttap.Protocol || c.Protocol == unix.RTPROT_KERNEL && len(c.Hops) == 1 && e.isTAP(e.names[c.Hops[0].Device])
}

// isTAP reports whether a device is the host TAP of an interface.
func (e *importEnd) isTAP(device string) bool {
	return slices.ContainsFunc(e.d.ports.all(), func(p attached) bool {
		return !p.cfg.HostAddrs && device == config.HostTAPDevice(p.cfg.Name)
	})
}

func kernelType(t hostnet.Type) rib.Type {
	switch t {
	case hostnet.Blackhole:
		return rib.Blackhole
	case hostnet.Unreachable:
		return rib.Unreachable
	}
	return rib.Unicast
}

// Status implements hostnet.Sink.
func (e *importEnd) Status(s hostnet.Status) {
	e.call(func(now time.Time) []router.Action { return e.d.loop.router.ImportStatus(now, router.ImportStatus(s)) })
	if s.Synced && e.mirror != nil {
		e.mirror.synced()
	}
}
