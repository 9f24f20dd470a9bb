package sim

import (
	"fmt"
	"slices"
	"time"

	"vrouter/config"
	"vrouter/dataplane"
	"vrouter/dataplane/fib"
	"vrouter/neigh"
	"vrouter/packet"
	"vrouter/router"
)

// backlogMax is what a frozen router's receive ring holds, in frames.
const backlogMax = 512

// Node is a router: the real control plane and fast path, driven by virtual
// time in place of the daemon.
type Node struct {
	w     *World
	id    int // its place in World.Routers
	Name  string
	cfg   *config.Config
	Links []*Link
	macs  []packet.MAC

	// Rate is how fast its clock runs; 1 is right.
	Rate float64
	// Late bounds how late its timers fire, at random.
	Late time.Duration
	// planted is a bug that the checkers must find.
	planted bug

	life    int // grows with each start: what belongs to an earlier life is void
	alive   bool
	frozen  bool
	backlog []punted // frames that came while frozen
	router  *router.Router
	plane   *dataplane.Forwarder
	snap    *fib.Snapshot
	filter  []router.Membership
	wakeAt  time.Time // when the timer fires
	timer   int       // the number of the one that is set
	known   []bool    // by port: it has been told that the link is up

	wills    map[string]router.Will // what its guardian holds
	mourns   bool                   // its guardian is about to start another process
	hangs    int                    // grows with each Hang and Thaw
	checking bool                   // a health check runs
	ailing   bool                   // and fails

	wall     time.Duration // how far its wall clock has been stepped
	asleep   time.Duration // planted: how long its clock stood still
	frozenAt time.Time
}

// punted is a frame that waits for the control plane.
type punted struct {
	in    uint16
	frame []byte
}

// newNode adds a router with a configuration text; its interfaces are plugged
// into switches in their order. It does not start yet.
func (w *World) newNode(name, text string, switches ...*Switch) (*Node, error) {
	cfg, err := config.Parse(name, []byte(text))
	if err != nil {
		return nil, err
	}
	n := &Node{w: w, id: len(w.Routers), Name: name, cfg: cfg, Rate: 1}
	for i, s := range switches {
		n.macs = append(n.macs, packet.MAC{2, 0, 0, 1, byte(len(w.Routers)), byte(i)})
		n.Links = append(n.Links, w.Connect(s, n, i))
	}
	w.Routers = append(w.Routers, n)
	return n, nil
}

// clock returns the router's own time, which runs at its own rate: that since
// boot, which nobody can step, and not the wall clock's.
func (n *Node) clock() time.Time {
	boot := Start.Add(time.Duration(float64(n.w.Elapsed()-n.asleep) * n.planted.rate(n.Rate)))
	if n.planted == bugWallClock {
		return boot.Add(n.wall)
	}
	return boot
}

// Begin starts the router's process.
func (n *Node) Begin() {
	if n.alive || n.mourns {
		return
	}
	n.life++
	n.alive, n.frozen, n.backlog = true, false, nil
	n.router, n.snap = router.New(n.planted.config(n.cfg), n.w.Rand.Uint64()), nil
	n.plane = dataplane.NewForwarder()
	n.filter = make([]router.Membership, len(n.Links))
	n.wakeAt = time.Time{}
	n.known = make([]bool, len(n.Links))
	n.wills = map[string]router.Will{}
	n.w.note("%s starts", n.Name)
	n.w.checks.begins(n)
	n.carryOut(n.router.Start(n.clock()))
	for i := range n.Links {
		if n.Links[i].up {
			n.known[i] = true
			n.portChanged(i, true)
		}
	}
	n.renew()
	if n.checking {
		n.check(n.life)
	}
}

// receive is a frame from a link.
func (n *Node) receive(port int, frame []byte) {
	if !n.alive || !n.hears(port, packet.Ethernet(frame).Dst()) {
		return
	}
	if n.frozen {
		if len(n.backlog) < backlogMax {
			n.backlog = append(n.backlog, punted{uint16(port), frame})
		}
		return
	}
	n.serve(uint16(port), frame)
}

// hears is the device's receive filter.
func (n *Node) hears(port int, mac packet.MAC) bool {
	m := &n.filter[port]
	return mac == n.macs[port] || mac == packet.Broadcast ||
		slices.Contains(m.MACs, mac) || slices.Contains(m.Groups, mac)
}

// serve is the worker: it decides on one frame.
func (n *Node) serve(in uint16, frame []byte) {
	n.w.checks.taken(n, int(in), frame)
	n.planted.answers(n, int(in), frame)
	f := packet.Frame{Data: frame}
	n.plane.Begin(n.snap, n.clock().UnixNano())
	n.settle(in, &f, n.plane.Forward(in, &f), false)
}

// settle carries out a verdict.
func (n *Node) settle(in uint16, f *packet.Frame, v dataplane.Verdict, local bool) {
	switch v.Action {
	case dataplane.Transmit:
		n.transmit(v.Port, f.Data)
	case dataplane.Punt:
		n.punt(v.Class, in, f, local)
	case dataplane.Exception:
		n.emit(in, n.plane.Except(in, f, v))
	}
}

// emit sends what the exception path made.
func (n *Node) emit(in uint16, outs []dataplane.Out) {
	for i := range outs {
		if outs[i].Verdict.Action == dataplane.Transmit {
			n.transmit(outs[i].Verdict.Port, outs[i].Frame.Data)
		}
	}
}

// punt hands a frame to the control plane, which is a moment away.
func (n *Node) punt(class dataplane.Class, in uint16, f *packet.Frame, local bool) {
	if class == dataplane.ClassLocal || n.planted.deaf(f.Data) {
		return // the local stack is not simulated
	}
	frame := append([]byte(nil), f.Data...)
	life := n.life
	n.w.After(10*time.Microsecond, func() {
		if n.life != life || !n.alive {
			return
		}
		if n.frozen {
			n.backlog = append(n.backlog, punted{in, frame})
			return
		}
		n.turn(func(now time.Time) []router.Action {
			switch class {
			case dataplane.ClassFlooded:
				return n.router.Flooded(now, in, frame, packet.VNet{})
			case dataplane.ClassResolve:
			default:
				return n.router.Receive(now, in, frame)
			}
			port, via, ok := dataplane.Resolve(n.snap, frame)
			if !ok {
				return nil
			}
			return n.router.Resolve(now, port, via, neigh.Waiting{In: in, Local: local, Frame: frame})
		})
	})
}

// turn gives the router an input and carries out what it wants.
func (n *Node) turn(input func(now time.Time) []router.Action) {
	n.carryOut(input(n.clock()))
	n.renew()
}

// renew renews the lease, sets the timer, and sees whether a stop is done.
func (n *Node) renew() {
	if !n.alive {
		return
	}
	if n.router.Stopped() {
		n.alive = false
		n.w.note("%s has stopped", n.Name)
		n.w.checks.dies(n, true)
		return
	}
	n.router.Lease().Renew(n.router.LeaseEnd(n.clock()).UnixNano())
	deadline := n.router.Deadline()
	if deadline.IsZero() || deadline.Equal(n.wakeAt) {
		return
	}
	n.wakeAt = deadline
	life := n.life
	after := time.Duration(float64(deadline.Sub(n.clock()))/n.planted.rate(n.Rate)) + time.Nanosecond
	if n.Late > 0 {
		after += time.Duration(n.w.Rand.Int64N(int64(n.Late)))
	}
	n.timer++
	timer := n.timer
	n.w.After(max(after, 0), func() {
		if n.timer == timer { // else another has been set since
			n.advance(life)
		}
	})
}

// advance is a timer that fires.
func (n *Node) advance(life int) {
	if n.life != life || !n.alive || n.frozen {
		return
	}
	n.wakeAt = time.Time{}
	n.turn(n.router.Advance)
}

// linkChanged tells the router of its cable.
func (n *Node) linkChanged(port int, up bool) {
	if !n.alive || n.frozen || n.known[port] == up {
		return // a frozen one learns of it when it thaws
	}
	n.known[port] = up
	n.w.checks.portChanges(n, port, up)
	n.portChanged(port, up)
}

func (n *Node) portChanged(port int, up bool) {
	problem := ""
	if !up {
		problem = "link down"
	}
	n.turn(func(now time.Time) []router.Action {
		return n.router.PortChanged(now, uint16(port), router.PortState{
			Present: true, Up: up, MAC: n.macs[port], MTU: 1500, Problem: problem,
		})
	})
}

// carryOut does what the router wants, in order.
func (n *Node) carryOut(actions []router.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case router.Publish:
			n.publish(n.planted.snapshot(n, a.Snapshot))
		case router.Transmit:
			n.transmit(a.Port, a.Frame)
		case router.Forward:
			n.again(a.Packet)
		case router.Unreachable:
			f := packet.Frame{Data: a.Packet.Frame}
			n.plane.Begin(n.snap, n.clock().UnixNano())
			n.emit(a.Packet.In, n.plane.Unreachable(a.Packet.In, &f))
		case router.Will:
			n.will(a)
		case router.Membership:
			n.filter[a.Port] = a
		case router.Notice:
			n.w.note("%s %s %s: %s -> %s (%s)", n.Name, a.Event.Kind, a.Event.Name, a.Event.From, a.Event.To, a.Event.Reason)
		}
	}
}

// publish makes a snapshot the worker's.
func (n *Node) publish(s *fib.Snapshot) {
	if n.planted != bugLatePublish || n.snap == nil {
		n.snap = s
		return
	}
	life := n.life
	n.w.After(n.cfg.VRRP[0].Interval/2, func() {
		if n.life == life {
			n.snap = s
		}
	})
}

// again decides anew on a packet that waited for its neighbour.
func (n *Node) again(p neigh.Waiting) {
	f := packet.Frame{Data: p.Frame}
	n.plane.Begin(n.snap, n.clock().UnixNano())
	if p.Local {
		n.settle(p.In, &f, n.plane.Output(&f), true)
		return
	}
	v := n.plane.Forward(p.In, &f)
	if v.Action == dataplane.Punt && v.Class == dataplane.ClassFlooded {
		return // it waited while the virtual MAC was ours: it was not flooded
	}
	n.settle(p.In, &f, v, false)
}

// transmit sends a frame, under the eyes of the checkers.
func (n *Node) transmit(port uint16, frame []byte) {
	if n.planted.swallows(n, frame) {
		return
	}
	for range n.planted.copies(frame) {
		n.w.checks.sent(n, int(port), frame)
		n.Links[port].send(frame)
	}
}

// State returns the state of a virtual router as the process tells it;
// "dead" and "frozen" where it cannot.
func (n *Node) State(name string) string {
	switch {
	case !n.alive:
		return "dead"
	case n.frozen:
		return "frozen"
	}
	for _, v := range n.router.VirtualRouters() {
		if v.Name == name {
			return v.State.String()
		}
	}
	return fmt.Sprintf("no virtual router %s", name)
}
