package daemon

import (
	"net/netip"
	"slices"
	"sync/atomic"

	"vrouter/config"
	"vrouter/dataplane"
	"vrouter/dataplane/fib"
	"vrouter/dataplane/port"
	"vrouter/dataplane/worker"
	"vrouter/guardian"
	"vrouter/hook"
	"vrouter/neigh"
	"vrouter/packet"
	"vrouter/router"
)

// sender is a way out for packets that no worker forwards: the control
// plane's frames, the local stack's packets. One goroutine uses it.
type sender struct {
	snapshot *atomic.Pointer[fib.Snapshot]
	forward  *dataplane.Forwarder
	tx       atomic.Pointer[[]port.Transmitter] // by port number
	resolve  *worker.Queue                      // packets of our own without a neighbour; In: the port they leave by
	transit  *worker.Queue                      // transit packets without a neighbour
	batch    []*packet.Frame
}

// newSender opens a transmit path on each port.
func newSender(ports []attached, snapshot *atomic.Pointer[fib.Snapshot], transit, resolve *worker.Queue) (*sender, error) {
	s := &sender{snapshot: snapshot, forward: dataplane.NewForwarder(), transit: transit, resolve: resolve}
	s.tx.Store(&[]port.Transmitter{})
	for _, p := range ports {
		if err := s.reach(p); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// reach opens a transmit path on the port with the next number. It may be called
// from any goroutine, one at a time, before a snapshot has the port.
func (s *sender) reach(p port.Port) error {
	tx, err := p.NewTransmitter()
	if err != nil {
		return err
	}
	all := append(slices.Clip(*s.tx.Load()), tx)
	s.tx.Store(&all)
	return nil
}

// by returns the transmit path on a port.
func (s *sender) by(number uint16) port.Transmitter { return (*s.tx.Load())[number] }

// close ends the transmit paths.
func (s *sender) close() {
	for _, tx := range *s.tx.Load() {
		_ = tx.Close() // nothing of it is used any more
	}
}

// begin opens a batch of decisions.
func (s *sender) begin() { s.forward.Begin(s.snapshot.Load(), worker.BootTime()) }

// transmit sends one frame as it is.
func (s *sender) transmit(port uint16, f *packet.Frame) {
	s.batch = append(s.batch[:0], f)
	s.by(port).Transmit(s.batch)
	s.empty()
}

// empty forgets the frames of the batch: what was sent is not sent again.
func (s *sender) empty() {
	clear(s.batch)
	s.batch = s.batch[:0]
}

// output sends a packet of our own: f has room for the Ethernet header. port
// decides for destinations that have a meaning on one link only.
func (s *sender) output(port uint16, f *packet.Frame) { s.settle(port, f, s.route(port, f), true) }

// route decides where a packet of our own goes.
func (s *sender) route(port uint16, f *packet.Frame) dataplane.Verdict {
	if onOneLink(f.Data) {
		return s.forward.OutputOn(port, f)
	}
	return s.forward.Output(f)
}

// onOneLink reports whether an IP packet's destination needs the port to be
// told: multicast, link-local, limited broadcast.
func onOneLink(frame []byte) bool {
	dst, linkLocal := linkLocalDestination(frame)
	return linkLocal || dst.IsMulticast() || dst == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// settle carries out a verdict on a packet that is not in a worker's hands.
// own: it is a packet of our own, else one in transit.
func (s *sender) settle(in uint16, f *packet.Frame, v dataplane.Verdict, own bool) {
	switch v.Action {
	case dataplane.Transmit:
		s.transmit(v.Port, f)
	case dataplane.Punt:
		switch {
		case v.Class != dataplane.ClassResolve: // it has been punted before
		case own:
			s.resolve.Put(worker.BootTime(), v.Port, f)
		default:
			s.transit.Put(worker.BootTime(), in, f)
		}
	case dataplane.Exception:
		s.emit(s.forward.Except(in, f, v))
	}
	s.forward.Flush()
}

// emit sends what an exception made: ICMP errors are packets of our own.
func (s *sender) emit(outs []dataplane.Out) {
	for i := range outs {
		o := &outs[i]
		switch o.Verdict.Action {
		case dataplane.Transmit:
			s.transmit(o.Verdict.Port, &o.Frame)
		case dataplane.Punt:
			if o.Verdict.Class == dataplane.ClassResolve {
				s.resolve.Put(worker.BootTime(), o.Verdict.Port, &o.Frame)
			}
		}
	}
}

// driver carries out the router's actions.
type driver struct {
	*sender
	ports   *portSet
	clock   clock
	local   *local
	notes   *notices
	hooks   *hook.Runner
	guard   *guardian.Client
	cfg     *config.Config // the one that the router works by
	bgp     *bgpEnd
	bfdPort bfdPort
	known   map[string]*config.VRRP // by name; also those that a reload has removed
}

// carryOut does what a turn of the router asks for, in order.
func (d *driver) carryOut(actions []router.Action) {
	for i, a := range actions {
		switch a := a.(type) {
		case router.Will:
			d.guard.Will(guardian.Will(a))
		case router.Publish:
			d.snapshot.Store(a.Snapshot)
			d.local.published(a.Snapshot)
		case router.Transmit:
			d.collect(actions[i:], a)
		case router.Forward:
			d.begin()
			d.again(a.Packet)
		case router.Unreachable:
			if a.Packet.Local {
				d.local.host.unreachable(a.Packet.Frame)
				break
			}
			d.begin()
			f := packet.Frame{Data: a.Packet.Frame, VNet: a.Packet.VNet}
			d.emit(d.sender.forward.Unreachable(a.Packet.In, &f))
			d.sender.forward.Flush()
		case router.Membership:
			d.membership(a)
		case router.Deliver:
			d.local.queues[dataplane.ClassLocal].Put(worker.BootTime(), a.Port, &packet.Frame{Data: a.Frame})
		case router.LocalStack:
			d.local.configure(a)
		case router.Speak:
			d.bgp.speak(a.Setup)
		case router.Notice:
			d.notice(a.Event)
		}
	}
}

// collect takes a frame to transmit, and sends what was collected where rest,
// which begins with it, has no more for the same port: hundreds of virtual
// routers advertise in one system call.
func (d *driver) collect(rest []router.Action, a router.Transmit) {
	d.batch = append(d.batch, &packet.Frame{Data: a.Frame})
	if len(rest) > 1 {
		if next, ok := rest[1].(router.Transmit); ok && next.Port == a.Port {
			return
		}
	}
	d.by(a.Port).Transmit(d.batch)
	d.empty()
}

// again decides anew on a packet that has waited for its neighbour.
func (d *driver) again(w neigh.Waiting) {
	f := packet.Frame{Data: w.Frame, VNet: w.VNet}
	if w.Local {
		d.output(w.In, &f)
		return
	}
	v := d.sender.forward.Forward(w.In, &f)
	if v.Action == dataplane.Punt && (v.Class == dataplane.ClassLocal || v.Class == dataplane.ClassBGP) { // it was kept until the address was ours
		d.local.queues[v.Class].Put(worker.BootTime(), w.In, &f)
		return
	}
	d.settle(w.In, &f, v, false)
}

// membership sets a port's receive filter. A port that refuses goes on with
// what it has; the operator must know.
func (d *driver) membership(m router.Membership) {
	p := d.ports.at(m.Port)
	check := func(what string, err error) {
		if err != nil {
			now, _ := d.clock.now()
			d.notes.add(router.Event{
				Time: now, Kind: "port", Name: p.Status().Device,
				Reason: what + " are not received: " + err.Error(),
			})
		}
	}
	check("virtual MAC addresses", p.SetMACs(m.MACs))
	check("multicast groups", p.SetGroups(m.Groups))
}
