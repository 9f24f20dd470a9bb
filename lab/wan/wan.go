// Package wan is "vrouter demo --scenario bgp": two vrouter processes are the
// gateway of a LAN and have a provider each, by BGP and BFD; both providers
// lead to the same host. All run on this machine, in namespaces: the providers
// are BIRD and FRR where they are installed. A stream of packets runs from the
// LAN to the host and back while links, providers and routers fail and come
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
	streams [2]*netlab.Stream // IPv4, IPv6
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
	if err != nil && !errors.Is(err, errInterrupted) {
		fmt.Fprint(s.out, s.logs())
	}
	return &report{results: s.results}, err
}

func (s *story) close() {
	for _, stream := range s.streams {
		if stream != nil {
			stream.Close()
		}
	}
}

func (s *story) traffic() (err error) {
	for i, target := range []addressPair{remote4, remote6} {
		if s.streams[i], err = netlab.StartStream(s.lan, s.remote, target.addr(), 7007, rate); err != nil {
			return err
		}
	}
	return nil
}

// step is something that happens.
type step struct {
	title  string
	do     func() error
	bound  time.Duration // the longest gap; 0: nothing may be lost
	why    string        // where the bound comes from
	setup  bool          // nothing was there that could be lost
	master *gateway      // who must be master afterwards
	up     []session     // what must be established afterwards, with all routes
	down   []session     // and what must not be
	leads  *gateway      // by whom the Internet is reached afterwards, in both families
}

// play lets one step happen, waits until all is well, and notes what was lost.
func (s *story) play(ctx context.Context, e step) error {
	if err := wait(ctx, calm); err != nil {
		return err
	}
	var marks [2]uint64
	for i, stream := range s.streams {
		marks[i] = stream.Next()
	}
	at := time.Now()
	fmt.Fprintf(s.out, "%5.1f s  %s\n", at.Sub(s.start).Seconds(), e.title)
	if err := e.do(); err != nil {
		return err
	}
	if err := s.settle(ctx, e); err != nil {
		return err
	}
	r := result{at: at.Sub(s.start), step: e, took: time.Since(at)}
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
	for i, family := range families {
		if !s.streams[i].Flowing(steadyCount) {
			return fmt.Errorf("%s packets do not all come back", family)
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
	if e.leads == nil {
		return nil
	}
	return e.master.leadsBy(ctx, e.leads)
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
