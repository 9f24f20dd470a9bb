// Package wan is "vrouter demo --scenario bgp": two vrouter processes are the
// gateway of a LAN and have a provider each, by BGP and BFD; both providers
// lead to the same host. All run on this machine, in namespaces: the providers
// are BIRD and FRR where they are installed. Streams of packets run from the LAN
// to the host, and from there, while links, providers and routers fail and come
// back, and a table tells what each of that cost, and what it may.
package wan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"vrouter/internal/netlab"
)

// Options say how the scenario runs.
type Options struct {
	Out    io.Writer // progress and result
	Binary string    // the vrouter program; default: this one
	Plain  bool      // the providers are vrouter, too, also where BIRD and FRR are installed
}

// Run runs the scenario. It returns nil only if traffic flowed again within its
// bound after each step, in both families.
//
// As with package demo, this program is started once more in namespaces of its
// own, and nothing is left behind. An error that wraps netlab.ErrForbidden names
// the remedy.
func Run(ctx context.Context, o Options) error {
	return netlab.Run(ctx, o.Out, os.Stderr, func(ctx context.Context) error { return run(ctx, o) })
}

// errInterrupted says that ctx was done before the scenario was.
var errInterrupted = errors.New("interrupted")

const (
	rate        = 1000                   // packets a second, each family
	settleTime  = 45 * time.Second       // by then everything must be well again after a step
	steadyCount = 300                    // packets in a row that came back: traffic flows
	steady      = time.Second            // Flowing speaks of packets that were sent after the step by then
	calm        = 500 * time.Millisecond // before a step
	pollTime    = 50 * time.Millisecond
)

// story is one run.
type story struct {
	*network
	out     io.Writer
	start   time.Time
	streams [ways]*netlab.Stream
	results []result
}

func run(ctx context.Context, o Options) error {
	r, err := tell(ctx, o)
	if r != nil {
		fmt.Fprint(o.Out, r)
	}
	if err != nil {
		return err
	}
	return r.verdict()
}

// tell runs the scenario in namespaces that are already there. The report is
// not nil where any step was taken.
func tell(ctx context.Context, o Options) (r *report, err error) {
	if o.Binary == "" {
		if o.Binary, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	l, err := netlab.New()
	if err != nil {
		return nil, err
	}
	defer l.Close()
	s := &story{out: o.Out, start: time.Now()}
	fmt.Fprint(s.out, picture)
	if s.network, err = build(l, o); err != nil {
		return nil, err
	}
	fmt.Fprintf(s.out, "isp1 is %s, isp2 is %s, the Internet behind them is %s.\n\n", s.isp1.kind, s.isp2.kind, s.net.kind)
	defer s.close()
	if err := s.traffic(); err != nil {
		return nil, err
	}
	for _, step := range s.steps() {
		if err = s.play(ctx, step); err != nil {
			break
		}
	}
	r = &report{results: s.results}
	if err != nil && !errors.Is(err, errInterrupted) || r.verdict() != nil {
		fmt.Fprint(s.out, s.logs())
	}
	return r, err
}

func (s *story) close() {
	for _, stream := range s.streams {
		if stream != nil {
			stream.Close()
		}
	}
}

// The streams: each family out from the LAN, and back to it.
const (
	out4 = iota
	back4
	out6
	back6
	ways
)

var wayNames = [ways]string{"IPv4 out", "IPv4 back", "IPv6 out", "IPv6 back"}

func (s *story) traffic() (err error) {
	for i, to := range [ways]addressPair{remote4, lanSide.V4, remote6, lanSide.V6} {
		from, there := s.lan, s.remote
		if i == back4 || i == back6 {
			from, there = there, from
		}
		if s.streams[i], err = netlab.StartOneWay(from, there, to.addr(), 7007, rate); err != nil {
			return err
		}
	}
	return nil
}

// step is something that happens.
type step struct {
	title  string
	do     func() error
	bound  time.Duration               // the longest gap; 0: nothing may be lost
	why    string                      // where the bound comes from
	setup  bool                        // nothing was there that could be lost
	master *gateway                    // who must be master afterwards
	up     []session                   // what must be established afterwards, with all routes
	down   []session                   // and what must not be
	leads  *gateway                    // whose provider leads to the Internet afterwards, and back, in both families
	still  bool                        // r1 stands still by it
	after  func(context.Context) error // what else must be so; nil: nothing
}

// play lets one step happen, waits until all is well, and notes what was lost.
func (s *story) play(ctx context.Context, e step) error {
	if err := wait(ctx, calm); err != nil {
		return err
	}
	var marks [ways]uint64
	for i, stream := range s.streams {
		marks[i] = stream.Next()
	}
	frozen := [2]int{s.r1.freezes(), s.r2.freezes()}
	at := time.Now()
	fmt.Fprintf(s.out, "%5.1f s  %s\n", at.Sub(s.start).Seconds(), e.title)
	if err := e.do(); err != nil {
		return err
	}
	if err := s.settle(ctx, e); err != nil {
		return err
	}
	r := result{at: at.Sub(s.start), step: e, took: time.Since(at)}
	for i, g := range []*gateway{s.r1, s.r2} {
		if g.freezes() > frozen[i] && !(g == s.r1 && e.still) {
			r.froze = g.Name
		}
	}
	if e.after != nil {
		if err := e.after(ctx); err != nil {
			r.wrong = err.Error()
		}
	}
	for i, stream := range s.streams {
		r.loss[i] = stream.Loss(marks[i])
	}
	s.results = append(s.results, r)
	fmt.Fprintf(s.out, "         %s\n", r.words())
	return nil
}

// settle waits until all is as it must be after a step, and traffic flows.
func (s *story) settle(ctx context.Context, e step) error {
	if err := wait(ctx, steady); err != nil {
		return err
	}
	missing := errors.New("nothing was looked at")
	for end := time.Now().Add(settleTime); time.Now().Before(end); {
		if err := wait(ctx, pollTime); err != nil {
			return err
		}
		if missing = s.well(ctx, e); missing == nil {
			return nil
		}
	}
	return fmt.Errorf("%s: not well again after %v: %w", e.title, settleTime, missing)
}

// well returns nil when all is as it must be after a step, else what is not.
func (s *story) well(ctx context.Context, e step) error {
	for i, way := range wayNames {
		if !s.streams[i].Flowing(steadyCount) {
			return fmt.Errorf("packets do not all arrive: %s", way)
		}
	}
	if err := e.master.isMaster(ctx); err != nil {
		return err
	}
	for _, one := range e.up {
		if err := one.is(ctx, true); err != nil {
			return err
		}
	}
	for _, one := range e.down {
		if err := one.is(ctx, false); err != nil {
			return err
		}
	}
	if err := e.master.leadsBy(ctx, e.leads); err != nil {
		return err
	}
	if e.leads == s.r1 {
		return passesBy(ctx, s.isp1, s.isp2)
	}
	return passesBy(ctx, s.isp2, s.isp1)
}

// passesBy returns nil where traffic goes by one provider in both directions, and
// none by the other: answers come in through the router that the LAN sends by.
func passesBy(ctx context.Context, one, other *provider) error {
	const (
		span = 200 * time.Millisecond
		many = 2 * rate / 10 // half of what the streams send in span, each way
		few  = many / 4      // BGP, BFD and neighbours
	)
	was, err := received(one, other)
	if err != nil {
		return err
	}
	if err := wait(ctx, span); err != nil {
		return err
	}
	is, err := received(one, other)
	if err != nil {
		return err
	}
	for i, direction := range []string{"out", "back"} {
		if got, beside := is[i]-was[i], is[i+2]-was[i+2]; got < many || beside > few {
			return fmt.Errorf("%d packets %s pass %s and %d pass %s in %v", got, direction, one.plan.Name, beside, other.plan.Name, span)
		}
	}
	return nil
}

// received returns how many packets each provider got of its customer and of the
// Internet.
func received(providers ...*provider) (counts []uint64, err error) {
	for _, p := range providers {
		for _, dev := range []string{isp1Cust.Dev, isp1Up.Dev} {
			n, e := p.host.Received(dev)
			counts, err = append(counts, n), errors.Join(err, e)
		}
	}
	return counts, err
}

// wait waits, unless ctx is done before.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return errInterrupted
	case <-time.After(d):
		return nil
	}
}
