// Package router is the control plane as one plain value: it is made of the
// VRRP machines, the neighbour cache, the route table and the probers, turns
// what happens into actions, and says when it wants to be called next.
//
// It is pure. A driver (the daemon, or the lab in simulated time) hands in
// events with the time, carries out the actions in their order, and calls
// Advance at Deadline. The order within one turn is a promise: a new Snapshot
// is published before anything that relies on it leaves, so an advertisement
// or gratuitous ARP of a new Master never precedes its forwarding.
package router

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"vrouter/config"
	"vrouter/dataplane/fib"
	"vrouter/neigh"
	"vrouter/packet"
	"vrouter/rib"
	"vrouter/vrrp"
)

// Router is the control plane. Its methods are not for concurrent use.
type Router struct {
	cfg       *config.Config
	rand      *rand.Rand
	lease     *fib.Lease
	leaseTime time.Duration

	ifaces  []*iface // by port number
	virtual []*virtual
	groups  []*group
	checks  []*check
	cache   *neigh.Cache
	table   *rib.Table
	bgp     speaking
	imports importing
	host    hostWays // as last told
	flaps   map[flapKey]*flap
	kept    []neigh.Key // next hops that the cache keeps resolved; sorted

	inquiries []*inquiry // about masters whose frames a switch floods
	events    uint64     // that it has told
	keptBytes int        // of flooded frames

	flowSeed   uint64
	snapshot   *fib.Snapshot
	serial     uint64
	dirty      bool                // the snapshot is out of date
	willsStale bool                // the wills are
	wills      map[string][][]byte // by virtual router: the frames as last told
	localDirty bool                // the local stack's addresses or groups are
	unsettled  bool                // what is tracked, a machine's state, or what may run has changed: see settle
	bfd        sessions
	lastTurn   time.Time
	started    bool
	stopping   bool
	stopReason string
	drained    bool

	out      []Action // of this turn, but for Publish, which goes first
	counters counters
}

// New returns a router for a validated configuration. Port numbers are the
// indices of cfg.Interfaces. seed feeds the random delays that RFC 5227 and
// RFC 4861 ask for.
func New(cfg *config.Config, seed uint64) *Router {
	r := &Router{
		cfg:   cfg,
		rand:  rand.New(rand.NewPCG(seed, 0x7672)),
		lease: &fib.Lease{},
		flaps: map[flapKey]*flap{},
	}
	r.flowSeed = fib.FlowSeed(r.rand.Uint64())
	r.cache = neigh.New(neigh.Config{Rand: r.rand})
	r.table = rib.New()
	for i := range cfg.Interfaces {
		r.ifaces = append(r.ifaces, newIface(uint16(i), &cfg.Interfaces[i]))
	}
	for i := range cfg.VRRP {
		c := &cfg.VRRP[i]
		r.virtual = append(r.virtual, newVirtual(c, r.portOf(c.Interface)))
	}
	for i := range cfg.Checks {
		r.checks = append(r.checks, &check{cfg: &cfg.Checks[i]})
	}
	r.regroup()
	r.leaseTime = leaseDuration(cfg.VRRP)
	return r
}

// portOf returns the port number of a named interface, which exists: the
// configuration was validated.
func (r *Router) portOf(name string) uint16 {
	for i, f := range r.ifaces {
		if f.cfg.Name == name {
			return uint16(i)
		}
	}
	panic("router: interface " + name + " is not configured")
}

// Lease returns the forwarding lease that the driver renews after each turn
// (see LeaseDuration) and that all snapshots share.
func (r *Router) Lease() *fib.Lease { return r.lease }

// LeaseDuration is how long workers may serve virtual MACs without a turn of
// the control plane. A peer takes over three intervals and a skew after the
// last advertisement that it heard, which may have left one interval before
// the control plane stopped: two intervals are safe. Bounded to [20 ms, 2 s].
func (r *Router) LeaseDuration() time.Duration { return r.leaseTime }

// LeaseEnd returns until when the lease is renewed at now: for LeaseDuration,
// but hardly beyond the end of a drain. A process that stands still while it
// drains would else forward, when it goes on, what its successor has forwarded.
// The end of a drain may be noticed drainLate late: all virtual routers have one
// lease.
func (r *Router) LeaseEnd(now time.Time) time.Time {
	end := now.Add(r.leaseTime)
	for _, v := range r.virtual {
		if d := v.machine.DrainEnd(); !d.IsZero() {
			end = earlier(end, d.Add(min(r.leaseTime/4, drainLate)))
		}
	}
	return end
}

const drainLate = 20 * time.Millisecond

func leaseDuration(virtual []config.VRRP) time.Duration {
	shortest := time.Second
	for i := range virtual {
		shortest = min(shortest, virtual[i].Interval)
	}
	return max(20*time.Millisecond, min(2*shortest, 2*time.Second))
}

// Start begins work: everything is down until PortChanged says otherwise.
func (r *Router) Start(now time.Time) []Action {
	r.begin(now)
	r.started = true
	r.lastTurn = now
	r.addStaticRoutes()
	r.rearrangeBGP(now)
	r.rearrangeBFD(now)
	for _, f := range r.ifaces {
		r.membership(f)
	}
	r.dirty, r.localDirty, r.unsettled = true, true, true
	return r.end(now)
}

// Advance runs what is due. The driver calls it when now has reached
// Deadline, and may call it at any other time.
func (r *Router) Advance(now time.Time) []Action {
	r.begin(now)
	for _, v := range r.virtual {
		if due(v.machine.Deadline(), now) {
			r.vrrpActions(now, v, v.machine.Advance(now))
		}
		if due(v.readyBy, now) {
			r.unsettled = true
		}
	}
	if due(r.cache.Deadline(), now) {
		r.neighActions(r.cache.Advance(now))
	}
	for _, f := range r.ifaces {
		r.advanceProbers(now, f)
		r.advanceRA(now, f)
		r.advanceReports(now, f)
	}
	r.advanceInquiries(now)
	r.advanceBGP(now)
	r.advanceBFD(now)
	return r.end(now)
}

// due reports whether a deadline (zero: none) has come.
func due(deadline, now time.Time) bool {
	return !deadline.IsZero() && !deadline.After(now)
}

// Deadline returns when Advance wants to be called next. While a virtual
// router runs it is at most a quarter of the lease away: of a Master, so that
// the lease is renewed in time; of a Backup, so that begin can tell a freeze
// from a silence in which there was nothing to do.
func (r *Router) Deadline() time.Time {
	next := earlier(time.Time{}, r.cache.Deadline())
	for _, v := range r.virtual {
		next = earlier(next, v.machine.Deadline())
		next = earlier(next, v.readyBy)
		if v.machine.State() != vrrp.Initialize || v.machine.Forwarding() {
			next = earlier(next, r.lastTurn.Add(r.leaseTime/4))
		}
	}
	for _, g := range r.groups {
		next = earlier(next, g.yieldAt)
	}
	next = earlier(next, r.deadlineFlaps())
	next = earlier(next, r.deadlineBGP())
	next = earlier(next, r.deadlineBFD())
	for _, q := range r.inquiries {
		next = earlier(next, q.due)
	}
	for _, f := range r.ifaces {
		next = earlier(next, r.deadlineRA(f))
		next = earlier(next, f.reports.next)
		for _, p := range f.probers {
			next = earlier(next, p.machine.Deadline())
		}
	}
	return next
}

// earlier returns the earlier of two deadlines, where zero means none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// Stop begins a planned stop: each Master says so with priority 0 and goes on
// forwarding until its successor is heard, at most its drain time. The driver
// goes on until Stopped.
func (r *Router) Stop(now time.Time, reason string) []Action {
	r.begin(now)
	r.stopping, r.stopReason = true, reason
	for _, f := range r.ifaces {
		r.settleOwnRA(now, f)
	}
	for _, v := range r.virtual {
		r.vrrpActions(now, v, v.machine.Stop(now, reason))
	}
	r.stopBFD(now, reason)
	return r.end(now)
}

// Stopped reports whether a Stop has been carried out to its end.
func (r *Router) Stopped() bool {
	if !r.stopping {
		return false
	}
	for _, v := range r.virtual {
		if v.machine.Forwarding() {
			return false
		}
	}
	return true
}

// Errors of Switchover.
var ErrUnknownVirtualRouter = errors.New("no such virtual router")

// Switchover makes the named virtual router give mastership away in order.
func (r *Router) Switchover(now time.Time, name string) ([]Action, error) {
	r.begin(now)
	for _, v := range r.virtual {
		if v.cfg.Name != name {
			continue
		}
		if err := r.switchover(now, v); err != nil {
			return r.end(now), fmt.Errorf("%s: %w", name, err)
		}
		return r.end(now), nil
	}
	return r.end(now), fmt.Errorf("%s: %w", name, ErrUnknownVirtualRouter)
}

// begin opens a turn. Where the last one is longer ago than the lease although
// there was something to do, the process was frozen (stopped, suspended,
// starved): others may have taken over, or a Backup may not have heard the
// advertisements that came meanwhile, so every virtual router listens first.
func (r *Router) begin(now time.Time) {
	r.out = nil
	frozen := now.Sub(r.lastTurn)
	if r.started && frozen > r.leaseTime && r.overdue(now) {
		r.event(now, Event{Kind: "freeze", Name: "router", From: "serving", To: "listening", Reason: fmt.Sprintf(
			"no turn of the control plane for %v (lease %v): listening before serving virtual addresses again",
			frozen.Round(time.Millisecond), r.leaseTime)})
		for _, v := range r.virtual {
			r.deafen(v)
			r.vrrpActions(now, v, v.machine.Resume(now, frozen))
		}
	}
	for _, g := range r.groups {
		if due(g.yieldAt, now) {
			r.unite(now, g)
		}
	}
	r.lastTurn = now
}

// overdue reports whether Advance should have been called so long ago that
// the lease, each quarter of which wants a turn, has run out.
func (r *Router) overdue(now time.Time) bool {
	deadline := r.Deadline()
	return !deadline.IsZero() && now.Sub(deadline) > r.leaseTime-r.leaseTime/4
}

// end closes a turn: wills are withdrawn and made, and what changed is
// published, before anything leaves.
func (r *Router) end(now time.Time) []Action {
	r.settle(now)
	r.leave()
	r.settle(now) // what comes in the place of those that have left
	r.speak()
	if r.unsettled { // the routes of a neighbour that is lost count no more, whatever tracks them
		r.settle(now)
		r.speak()
	}
	r.followHost()
	first := append(r.bequeath(now), r.publish()...)
	if r.localDirty {
		first = append(first, r.localStack())
		r.localDirty = false
	}
	return append(first, r.out...)
}

// do adds an action to the turn.
func (r *Router) do(a Action) { r.out = append(r.out, a) }

// isOwn reports whether addr, heard on a port, is an address of the router, its
// own or a virtual one that it is Master of: a packet that claims to come from
// it is a fake. Link-local addresses mean something on their own link only.
func (r *Router) isOwn(port uint16, addr netip.Addr) bool {
	anywhere := !addr.IsLinkLocalUnicast()
	for _, f := range r.ifaces {
		if (anywhere || f.port == port) && f.hasAddress(addr) {
			return true
		}
	}
	for _, v := range r.virtual {
		if (anywhere || v.port == port) && v.machine.State() == vrrp.Master && v.has(addr) {
			return true
		}
	}
	return false
}

// macSet collects distinct MACs in order.
type macSet []packet.MAC

func (s *macSet) add(m packet.MAC) {
	for _, have := range *s {
		if have == m {
			return
		}
	}
	*s = append(*s, m)
}
