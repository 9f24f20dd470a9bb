package daemon

import (
	"context"
	"log/slog"
	"time"

	"vrouter/hostnet"
	"vrouter/rib"
	"vrouter/router"
)

// importEnd hands what the host's kernel has to the loop.
type importEnd struct {
	loop     *loop
	log      *slog.Logger
	follower *hostnet.Follower
	done     chan struct{} // Run has ended
	names    map[int]string
	batch    []router.KernelRoute
	hops     []router.KernelHop
}

// openImport opens the way to the kernel's routes, where they are wanted.
func (d *process) openImport() error {
	if d.cfg.Import == nil {
		return nil
	}
	e := &importEnd{loop: d.loop, log: d.log}
	var err error
	if e.follower, err = hostnet.New(hostnet.Config{Table: d.cfg.Import.Table}, e); err != nil {
		return err
	}
	d.imports = e
	d.later(e.close)
	return nil
}

// start begins to follow the kernel.
func (e *importEnd) start() {
	if e == nil {
		return
	}
	e.done = make(chan struct{})
	go func() {
		defer close(e.done)
		e.follower.Run()
	}()
}

// stop ends following. What is known stays.
func (e *importEnd) stop() {
	if e != nil && e.done != nil {
		e.follower.Stop()
		<-e.done
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
	_ = e.loop.call(context.Background(), func(now time.Time) { e.loop.driver.carryOut(f(now)) })
}

// Devices implements hostnet.Sink.
func (e *importEnd) Devices(list []hostnet.Device) {
	names := make(map[int]string, len(list))
	for i := range list {
		names[list[i].Index] = list[i].Name
	}
	e.names = names
}

// Routes implements hostnet.Sink.
func (e *importEnd) Routes(changes []hostnet.Change) {
	e.batch, e.hops = e.batch[:0], e.hops[:0]
	for i := range changes {
		c := &changes[i]
		k := router.KernelRoute{
			Prefix: c.Prefix, Metric: c.Metric, Protocol: c.Protocol, Type: kernelType(c.Type), Gone: c.Gone,
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
	e.call(func(now time.Time) []router.Action { return e.loop.router.KernelRoutes(now, e.batch) })
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
	e.call(func(now time.Time) []router.Action { return e.loop.router.ImportStatus(now, router.ImportStatus(s)) })
}
