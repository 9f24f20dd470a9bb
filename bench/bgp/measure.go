package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"vrouter/bench/harness"
	"vrouter/internal/netlab"
)

// load is how one program has taken the table.
type load struct {
	took   time.Duration // from the session to the last route, in the FIB where there is one
	bgp    memory        // of the process with GoBGP
	router memory        // of the router process
	// CPU time from the start of the session on: of both, and of the neighbour.
	bgpCPU, routerCPU, peerCPU time.Duration
	late                       []time.Duration // of advertisements meanwhile
	loopLate                   time.Duration   // the most that the control loop was late
	turn                       time.Duration   // its longest turn
	stall                      time.Duration   // what the machine kept from everybody; harness.Stalls
}

func (l *load) String() string {
	return fmt.Sprintf("%.1f s; CPU: router %.1f s, bgp %.1f s, neighbour %.1f s; memory: router %v, bgp %v; longest turn %v, loop late %v, machine %v; advertisements late %v, %v, %v",
		l.took.Seconds(), l.routerCPU.Seconds(), l.bgpCPU.Seconds(), l.peerCPU.Seconds(), l.router, l.bgp, l.turn, l.loopLate, l.stall,
		percentile(l.late, 50), percentile(l.late, 99), percentile(l.late, 100))
}

// loss is what the loss of the neighbour has cost.
type loss struct {
	how       string
	detection time.Duration // from the loss to the router's event
	outage    time.Duration // from the first lost packet to the last of the series
	reroute   time.Duration // from the event to the last lost packet; 0: it was sent before the event
	lost      int
	settled   time.Duration // from the loss to when BGP has no route by the neighbour any more
	late      []time.Duration
}

// loadPatience bounds how long a table may take to load.
const loadPatience = 10 * time.Minute

// measure runs everything.
func (r *report) measure(ctx context.Context, b *testbed) error {
	r.total = b.total()
	for _, n := range b.isps {
		if err := n.start(b.lab.Dir); err != nil {
			return err
		}
		if err := n.loaded(ctx); err != nil {
			return err
		}
	}
	for range r.rounds {
		l, err := b.loadPlain(ctx)
		if err != nil {
			return fmt.Errorf("GoBGP: %w", err)
		}
		r.plain = append(r.plain, l)
		if err := b.write(0); err != nil {
			return err
		}
		if err := b.startRouter(ctx); err != nil {
			return err
		}
		if l, err = b.loadRouter(ctx, b.isps[0]); err != nil {
			return fmt.Errorf("vrouter: %w", err)
		}
		r.ours = append(r.ours, l)
		fmt.Printf("GoBGP alone: %v\nvrouter:     %v\n", &r.plain[len(r.plain)-1], &l)
		if len(r.ours) == r.rounds && r.losses > 0 {
			if err := r.lose(ctx, b); err != nil {
				return err
			}
		}
		if err := errors.Join(b.isps[0].disable(ctx), b.isps[1].disable(ctx), b.stopRouter()); err != nil {
			return err
		}
	}
	return nil
}

// loadPlain has GoBGP alone take the table.
func (b *testbed) loadPlain(ctx context.Context) (l load, err error) {
	self, err := os.Executable()
	if err != nil {
		return l, err
	}
	n := b.isps[0]
	p, err := b.router.Start(self, plainMode, "-neighbor", link4(0, 1), "-asn", strconv.Itoa(ourAS),
		"-peer-asn", strconv.Itoa(int(n.asn)), "-id", link4(0, 2))
	if err != nil {
		return l, err
	}
	defer p.Kill()
	peerCPU := cpuOf(n.process.PID())
	if err := n.enable(ctx); err != nil {
		return l, err
	}
	var from, to time.Time
	err = await(ctx, loadPatience, "GoBGP has all routes", func() (bool, error) {
		select {
		case <-p.Ended():
			return false, fmt.Errorf("it has ended: %s", p.Output())
		default:
		}
		out := p.Output()
		from, to = stamp(out, lineEstablished), stamp(out, lineComplete)
		return !to.IsZero(), nil
	})
	l.took, l.bgp, l.bgpCPU, l.peerCPU = to.Sub(from), memoryOf(p.PID()), cpuOf(p.PID()), cpuOf(n.process.PID())-peerCPU
	return l, errors.Join(err, n.disable(ctx), p.Signal(syscall.SIGTERM))
}

// stamp returns the time in the line that begins with a word.
func stamp(out, word string) time.Time {
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, word+" "); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64); err == nil {
				return time.Unix(0, n)
			}
		}
	}
	return time.Time{}
}

// loadRouter has vrouter take the table from a neighbour.
func (b *testbed) loadRouter(ctx context.Context, n *isp) (l load, err error) {
	listener, err := listen(b.lanLink)
	if err != nil {
		return l, err
	}
	defer listener.tap.Close()
	router, bgp := b.processes()
	cpu := [3]time.Duration{cpuOf(router), cpuOf(bgp), cpuOf(n.process.PID())}
	stalls := harness.NewStalls()
	began := time.Now()
	if err := n.enable(ctx); err != nil {
		stalls.Stop()
		return l, err
	}
	var done time.Time
	err = await(ctx, loadPatience, "vrouter has all routes", func() (bool, error) {
		routes, err := b.routes(ctx)
		done = time.Now()
		return routes >= b.total(), err
	})
	l.stall, _ = stalls.Stop()
	if err != nil {
		return l, err
	}
	since, err := b.since(ctx, n.name)
	if err != nil {
		return l, err
	}
	l.took = done.Sub(since)
	l.late = listener.late(began, done)
	l.router, l.bgp = memoryOf(router), memoryOf(bgp)
	l.routerCPU, l.bgpCPU, l.peerCPU = cpuOf(router)-cpu[0], cpuOf(bgp)-cpu[1], cpuOf(n.process.PID())-cpu[2]
	c, err := b.client.Counters(ctx)
	l.loopLate, l.turn = time.Duration(c.Timers["control_loop_late"].MaxUS)*time.Microsecond, time.Duration(c.Control["longest_turn_us"])*time.Microsecond
	return l, err
}

// routes returns how many routes of BGP the router forwards by.
func (b *testbed) routes(ctx context.Context) (int, error) {
	c, err := b.client.Counters(ctx)
	return int(c.Control["bgp_routes"]), err
}

// since returns when the session with a neighbour came up.
func (b *testbed) since(ctx context.Context, name string) (time.Time, error) {
	list, err := b.client.Events(ctx, 0)
	if err != nil {
		return time.Time{}, err
	}
	for _, e := range slices.Backward(list) {
		if e.Kind == "bgp" && e.Name == name && e.To == "Established" {
			return e.Time, nil
		}
	}
	return time.Time{}, fmt.Errorf("no event tells that %s is established", name)
}

// ways of losing a neighbour.
const (
	byLink = "link down"
	byBFD  = "BFD"
	byBGP  = "BGP session reset"
)

// lose takes the first neighbour away, in each way and again and again, while
// packets flow to prefixes that the second one announces, too.
func (r *report) lose(ctx context.Context, b *testbed) error {
	began := time.Now()
	if err := b.isps[1].enable(ctx); err != nil {
		return err
	}
	if err := b.standby(ctx, b.total()); err != nil {
		return err
	}
	r.standby = time.Since(began)
	router, bgp := b.processes()
	r.both = [2]memory{memoryOf(router), memoryOf(bgp)}
	for range r.losses {
		for _, how := range []string{byLink, byBFD, byBGP} {
			l, err := b.lose(ctx, how)
			if err != nil {
				return fmt.Errorf("%s: %w", how, err)
			}
			fmt.Printf("%s: detected after %v, %d packets lost, rerouted %v after; converged after %.1f s; advertisements late %v, %v, %v\n", how, l.detection,
				l.lost, l.reroute, l.settled.Seconds(), percentile(l.late, 50), percentile(l.late, 99), percentile(l.late, 100))
			r.lost = append(r.lost, l)
		}
	}
	return nil
}

// standby waits until the router knows another way for so many prefixes.
func (b *testbed) standby(ctx context.Context, want int) error {
	return await(ctx, loadPatience, "vrouter knows a second way for all prefixes", func() (bool, error) {
		c, err := b.client.Counters(ctx)
		return int(c.Control["bgp_routes_spare"]) >= want, err
	})
}

// lose takes the first neighbour away once, and brings it back.
func (b *testbed) lose(ctx context.Context, how string) (l loss, err error) {
	s, err := startStream(b.lan, b.far, b.targets(1000), b.rate)
	if err != nil {
		return l, err
	}
	defer s.close()
	listener, err := listen(b.lanLink)
	if err != nil {
		return l, err
	}
	defer listener.tap.Close()
	time.Sleep(500 * time.Millisecond)
	l.how = how
	last, err := b.lastEvent(ctx)
	if err != nil {
		return l, err
	}
	from, began := s.next(), time.Now()
	undo, err := b.breakFirst(ctx, how)
	if err != nil {
		return l, err
	}
	time.Sleep(4 * time.Second)
	until := s.next()
	time.Sleep(500 * time.Millisecond)
	o := s.outage(from, until)
	detected, err := b.detected(ctx, how, last)
	if err != nil {
		return l, errors.Join(err, undo())
	}
	l.detection, l.lost = detected.Sub(began), o.lost
	if o.lost > 0 {
		l.outage, l.reroute = o.last.Sub(o.first), max(o.last.Sub(detected), 0)
	}
	err = await(ctx, loadPatience, "BGP has converged", func() (bool, error) {
		c, err := b.client.Counters(ctx)
		return c.Control["bgp_routes_spare"] == 0 && int(c.Control["bgp_routes"]) >= b.total(), err
	})
	l.settled = time.Since(began)
	l.late = listener.late(began, time.Now())
	return l, errors.Join(err, undo(), b.standby(ctx, b.total()))
}

// breakFirst takes the first neighbour away; undo brings it back.
func (b *testbed) breakFirst(ctx context.Context, how string) (undo func() error, err error) {
	switch how {
	case byLink:
		return b.wan[0].Plug, b.wan[0].Cut()
	case byBFD:
		return func() error { return b.wan[0].Block(false) }, b.wan[0].Block(true)
	}
	// It forwards on, so nothing needs to be lost; what is measured is for how long
	// BGP needs.
	return func() error { return b.isps[0].enable(ctx) }, b.isps[0].disable(ctx)
}

// lastEvent returns the number of the last event.
func (b *testbed) lastEvent(ctx context.Context) (uint64, error) {
	list, err := b.client.Events(ctx, 0)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	return list[len(list)-1].Sequence, nil
}

// detected returns when the router has noticed the loss.
func (b *testbed) detected(ctx context.Context, how string, after uint64) (time.Time, error) {
	list, err := b.client.Events(ctx, 0)
	if err != nil {
		return time.Time{}, err
	}
	kind := map[string]string{byLink: "interface", byBFD: "bfd", byBGP: "bgp"}[how]
	for _, e := range list {
		if e.Sequence > after && e.Kind == kind {
			return e.Time, nil
		}
	}
	return time.Time{}, fmt.Errorf("no event of kind %s", kind)
}

// ended reports whether a process has ended.
func ended(p *netlab.Process) bool {
	select {
	case <-p.Ended():
		return true
	default:
		return false
	}
}
