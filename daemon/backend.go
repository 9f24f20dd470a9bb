package daemon

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"vrouter/control"
	"vrouter/dataplane"
	"vrouter/dataplane/netstack"
	"vrouter/dataplane/port"
	"vrouter/dataplane/worker"
	"vrouter/router"
	"vrouter/vrrp"
)

// backend answers the control API: it asks the control loop, and the workers'
// counters.
type backend struct {
	loop    *loop
	ports   *portSet
	workers []*worker.Worker
	senders []*sender // loop, local stack, forwarder
	events  *control.EventLog
	local   *local
	reload  func(context.Context) error
	bgp     *bgpEnd
}

// ask runs a query on the control loop.
func ask[T any](ctx context.Context, l *loop, query func(now time.Time) T) (T, error) {
	var answer T
	err := l.call(ctx, func(now time.Time) { answer = query(now) })
	if err != nil {
		var none T
		return none, err // answer may still be written to
	}
	return answer, nil
}

// VRRP implements control.Backend.
func (b *backend) VRRP(ctx context.Context) ([]router.VirtualRouterStatus, error) {
	return ask(ctx, b.loop, func(time.Time) []router.VirtualRouterStatus { return b.loop.router.VirtualRouters() })
}

// Interfaces implements control.Backend.
func (b *backend) Interfaces(ctx context.Context) ([]router.InterfaceStatus, error) {
	list, err := ask(ctx, b.loop, func(time.Time) []router.InterfaceStatus { return b.loop.router.Interfaces() })
	return b.withTraffic(list), err
}

// withTraffic fills in the counters of interfaces, which are in order of their
// ports.
func (b *backend) withTraffic(list []router.InterfaceStatus) []router.InterfaceStatus {
	for i := range list {
		b.traffic(&list[i], i)
	}
	// A number that no interface has at the moment.
	return slices.DeleteFunc(list, func(s router.InterfaceStatus) bool { return s.Name == "" })
}

// traffic fills in an interface's counters.
func (b *backend) traffic(s *router.InterfaceStatus, number int) {
	var rx, tx port.Stats
	for _, r := range b.ports.at(uint16(number)).Receivers() {
		rx.Add(r.Stats())
	}
	for _, w := range b.workers {
		tx.Add(w.Output(number).Stats())
	}
	for _, d := range b.senders {
		tx.Add(d.by(uint16(number)).Stats())
	}
	s.RX = trafficStatus(rx)
	if s.HostTAP != nil {
		s.HostTAP.ToHost, s.HostTAP.FromHost = b.local.host.traffic(uint16(number))
	}
	s.TX = trafficStatus(tx)
}

// Routes implements control.Backend. There may be a million: the loop does not
// wait for the list to be written.
func (b *backend) Routes(ctx context.Context) ([]router.RouteStatus, error) {
	list, err := ask(ctx, b.loop, func(time.Time) router.RouteList { return b.loop.router.RouteList() })
	if err != nil {
		return nil, err
	}
	return list.Status(), nil
}

// Neighbors implements control.Backend.
func (b *backend) Neighbors(ctx context.Context) ([]router.NeighborStatus, error) {
	return ask(ctx, b.loop, func(now time.Time) []router.NeighborStatus { return b.loop.router.Neighbors(now) })
}

// Counters implements control.Backend.
func (b *backend) Counters(ctx context.Context) (router.CountersStatus, error) {
	control, err := ask(ctx, b.loop, func(time.Time) map[string]uint64 { return b.loop.router.ControlCounters() })
	if err != nil {
		return router.CountersStatus{}, err
	}
	return b.withCounts(control), nil
}

// withCounts adds to the control plane's counters those of the threads.
func (b *backend) withCounts(control map[string]uint64) router.CountersStatus {
	s := router.CountersStatus{
		Drops: map[string]uint64{}, Punts: map[string]router.PuntStatus{}, ICMP: map[string]uint64{},
		Control: control, Workers: []router.WorkerStatus{},
		Timers: map[string]router.HistogramStatus{"control_loop_late": b.loop.late.status()},
	}
	s.Control["events_not_logged"] = b.loop.driver.notes.lost.Load()
	s.Control["host_tap_refused"] = b.local.host.refused.Load()
	hooks := b.loop.driver.hooks.Counts()
	s.Control["hooks_run"], s.Control["hooks_failed"], s.Control["hooks_dropped"] = hooks.Run, hooks.Failed, hooks.Dropped
	s.Control["longest_turn_us"] = uint64(b.loop.longest.Load() / 1000)
	var sum dataplane.Counters
	for i, w := range b.workers {
		c := w.Counters()
		sum.Add(&c)
		s.Workers = append(s.Workers, workerStatus(i, w, &c))
	}
	for _, d := range b.senders {
		c := d.forward.Counters()
		sum.Add(&c)
	}
	for reason := dataplane.ReasonNone + 1; reason < dataplane.NumReasons; reason++ {
		s.Drops[reason.String()] = sum.Drops[reason]
	}
	s.Forwarding = map[string]uint64{"fragmented": sum.Fragmented, "segmented": sum.Segmented, "coalesced": sum.Coalesced}
	for e := dataplane.ICMPError(0); e < dataplane.NumICMPErrors; e++ {
		s.ICMP[e.String()+"_sent"] = sum.ICMPSent[e]
		s.ICMP[e.String()+"_suppressed"] = sum.ICMPSuppressed[e]
	}
	for class, q := range b.loop.queues {
		accepted, dropped := q.Counts()
		s.Punts[dataplane.Class(class).String()] = router.PuntStatus{Accepted: accepted, Dropped: dropped}
	}
	return s
}

// Events implements control.Backend.
func (b *backend) Events(_ context.Context, since uint64) ([]router.Event, <-chan struct{}, error) {
	list, more := b.events.Since(since)
	return list, more, nil
}

// Switchover implements control.Backend.
func (b *backend) Switchover(ctx context.Context, name string) error {
	result, err := ask(ctx, b.loop, func(now time.Time) error {
		actions, err := b.loop.router.Switchover(now, name)
		b.loop.driver.carryOut(actions)
		return err
	})
	if err != nil {
		return err
	}
	switch {
	case errors.Is(result, vrrp.ErrNotMaster):
		return &control.Error{
			Status: http.StatusConflict, Message: result.Error(),
			Remedy: "run it on the router that is Master: vrouter show vrrp tells its address",
		}
	case errors.Is(result, vrrp.ErrOwner):
		return &control.Error{
			Status: http.StatusConflict, Message: result.Error(),
			Remedy: "stop this vrouter: the owner of the addresses always wins while it runs",
		}
	}
	return result
}

// Ping implements control.Backend.
func (b *backend) Ping(ctx context.Context, request control.PingRequest, reply func(control.PingReply) error) error {
	next := time.NewTicker(request.Interval())
	defer next.Stop()
	for sequence := uint64(1); request.Count == 0 || sequence <= uint64(request.Count); sequence++ {
		if sequence > 1 {
			select {
			case <-next.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		r, err := b.local.stack.Ping(ctx, netstack.PingRequest{
			Address: request.Address, Sequence: uint16(sequence),
			Size: request.Size, Timeout: request.Timeout(),
		})
		if err != nil {
			return err
		}
		if err := reply(pingReply(sequence, request.Size, r)); err != nil {
			return err
		}
	}
	return nil
}

// icmpHeader is the length of an echo reply's header, in bytes (RFC 792, RFC
// 4443 4.2).
const icmpHeader = 8

func pingReply(sequence uint64, size int, r netstack.PingReply) control.PingReply {
	p := control.PingReply{Sequence: sequence, From: r.From, TTL: r.TTL, TimeUS: r.RTT.Microseconds()}
	if r.Err != nil {
		p.Error = r.Err.Error()
	} else {
		p.Size = size + icmpHeader
	}
	return p
}
