package daemon

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"

	"vrouter/dataplane"
	"vrouter/dataplane/fib"
	"vrouter/dataplane/netstack"
	"vrouter/dataplane/worker"
	"vrouter/packet"
	"vrouter/router"
)

// localBatch is how many frames the local stack's goroutine takes between two
// looks at its other signals.
const localBatch = 64

// local runs the local stack: a goroutine that feeds it what was punted to the
// router itself, and one that follows changes of addresses. gVisor takes locks
// and allocates, so the control loop only leaves notes for it.
type local struct {
	log     *slog.Logger
	stack   *netstack.Stack
	engine  *netstack.Engine // nil: the fast path forwards
	queues  *[dataplane.NumClasses]*worker.Queue
	punted  chan struct{} // a frame of ClassLocal or ClassTransit waits
	config  mailbox[router.LocalStack]
	routes  mailbox[*fib.Snapshot]
	stop    context.CancelFunc
	stopped chan struct{}
	host    *hostEnd // the addresses that the host's kernel has
}

// mailbox holds the newest of what was put in.
type mailbox[T any] struct {
	value atomic.Pointer[T]
	full  chan struct{}
}

func newMailbox[T any]() mailbox[T] { return mailbox[T]{full: make(chan struct{}, 1)} }

// put replaces what is there; it never blocks.
func (m *mailbox[T]) put(v T) {
	m.value.Store(&v)
	notify(m.full)
}

// notify leaves a signal, unless one is there already.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// newLocal returns a local stack that is fed from queues, once run.
func newLocal(log *slog.Logger, queues *[dataplane.NumClasses]*worker.Queue) *local {
	return &local{
		log: log, queues: queues,
		punted: make(chan struct{}, 1),
		config: newMailbox[router.LocalStack](), routes: newMailbox[*fib.Snapshot](),
		stopped: make(chan struct{}),
	}
}

// wake is the queues' signal that a frame waits.
func (l *local) wake() { notify(l.punted) }

// configure notes what the stack is to answer for.
func (l *local) configure(c router.LocalStack) {
	l.config.put(c)
	l.host.want(c.Host)
}

// published notes the routes for gVisor's forwarder.
func (l *local) published(s *fib.Snapshot) {
	if l.engine != nil {
		l.routes.put(s)
	}
}

// start runs the goroutines.
func (l *local) start(ctx context.Context) {
	ctx, l.stop = context.WithCancel(ctx)
	go l.run(ctx)
}

// close ends the goroutines and the stack.
func (l *local) close() {
	l.stop()
	<-l.stopped
	l.stack.Close()
	if l.engine != nil {
		l.engine.Close()
	}
}

func (l *local) run(ctx context.Context) {
	defer close(l.stopped)
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.config.full:
			l.apply(*l.config.value.Load())
		case <-l.routes.full:
			if err := l.engine.Publish(*l.routes.value.Load()); err != nil {
				l.log.Error("gVisor's forwarder does not take the routes", "error", err)
			}
		case <-l.punted:
			l.feed()
		}
	}
}

// feed hands waiting frames over; where more wait it comes back, so that
// changes of configuration are seen in between.
func (l *local) feed() {
	deliver := func(p *worker.Punted) {
		if len(p.Data) <= packet.EthernetLen {
			return
		}
		if _, stack := l.host.toKernel(p.In, p.Data); stack {
			l.stack.Deliver(p.In, p.Data[packet.EthernetLen:])
		}
	}
	n := l.queues[dataplane.ClassBGP].Drain(localBatch, deliver)
	n += l.queues[dataplane.ClassLocal].Drain(localBatch, deliver)
	if l.engine != nil {
		n += l.queues[dataplane.ClassTransit].Drain(localBatch, func(p *worker.Punted) {
			l.engine.Forward(p.In, p.Data[packet.EthernetLen:])
		})
	}
	if n > 0 {
		notify(l.punted)
	}
}

// apply brings the stacks in step with the router.
func (l *local) apply(c router.LocalStack) {
	ports := make([]netstack.Port, 0, len(c.Ports))
	for _, p := range c.Ports {
		ports = append(ports, netstack.Port{Number: p.Port, Name: p.Name, MTU: p.MTU, MAC: p.MAC, Down: !p.Up})
	}
	addresses := make([]netstack.Address, 0, len(c.Addresses))
	for _, a := range c.Addresses {
		addresses = append(addresses, netstack.Address{Port: a.Port, Prefix: a.Prefix})
	}
	check := func(what string, err error) {
		if err != nil {
			l.log.Error("the local stack does not take its "+what, "error", err)
		}
	}
	check("ports", l.stack.SetPorts(ports))
	check("addresses", l.stack.SetAddresses(addresses))
	check("multicast groups", l.stack.SetGroups(c.Groups))
}

// egress tells the local stack by which port a destination is reached.
func egress(snapshot *atomic.Pointer[fib.Snapshot]) func(netip.Addr) (uint16, bool) {
	return func(dst netip.Addr) (uint16, bool) {
		s := snapshot.Load()
		if s == nil {
			return 0, false
		}
		g := s.Route(dst)
		if g == nil {
			return 0, false
		}
		switch g.Kind {
		case fib.Connected:
			return g.Port, true
		case fib.Gateway:
			return g.Hops[0].Port, true
		}
		return 0, false
	}
}
