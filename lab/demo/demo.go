// Package demo is "vrouter demo": a redundant gateway of two real vrouter
// processes with real Linux hosts before and behind it, on this machine, in
// namespaces. A stream of packets runs through the gateway while its routers
// crash, come back, lose their cables and are stopped; in the end a timeline
// tells what each of that cost.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"vrouter/internal/netlab"
)

// Options say how the demo runs.
type Options struct {
	Keep   bool      // leave the lab running at the end, until ctx is done
	Out    io.Writer // progress and result
	Color  bool      // Out is a terminal: colours, and a line that is rewritten
	Binary string    // the vrouter program; default: this one
}

// Run runs the demo. It returns nil only if traffic flowed again after each
// event, in both families, with one router answering for the gateway.
//
// Run starts this program once more, with the same arguments, in namespaces
// of its own, and expects it to come to Run again: so it is the first thing
// that a command does. Nothing is left behind when it returns, also where ctx
// ends early. An error that wraps netlab.ErrForbidden names the remedy.
func Run(ctx context.Context, o Options) error {
	return netlab.Run(ctx, o.Out, os.Stderr, func(ctx context.Context) error { return run(ctx, o) })
}

// errInterrupted says that ctx was done before the demo was.
var errInterrupted = errors.New("interrupted")

// Bounds and paces of the demo.
const (
	rate        = 1000                   // packets a second, each family
	settleTime  = 10 * time.Second       // by then everything must be well again after an event
	gapLimit    = 3 * time.Second        // the longest time without service that passes
	steady      = 800 * time.Millisecond // masters that did not change for so long have settled
	steadyCount = 300                    // packets in a row that came back: traffic flows
	calm        = 500 * time.Millisecond // between events
	answerTime  = 250 * time.Millisecond // for routers to answer who has the gateway
	pollTime    = 20 * time.Millisecond
)

// demo is one run.
type demo struct {
	*network
	screen  *screen
	watch   *watch
	streams [2]*netlab.Stream // IPv4, IPv6
	start   time.Time
	results []result
	spans   []span
}

func run(ctx context.Context, o Options) (err error) {
	if o.Binary == "" {
		if o.Binary, err = os.Executable(); err != nil {
			return err
		}
	}
	l, err := netlab.New()
	if err != nil {
		return err
	}
	defer l.Close()
	d := &demo{screen: &screen{out: o.Out, terminal: o.Color}, start: time.Now()}
	d.screen.print(picture)
	if d.network, err = build(l, o.Binary); err != nil {
		return err
	}
	defer d.close()
	if err := d.traffic(); err != nil {
		return err
	}
	err = d.story(ctx)
	d.screen.clear()
	if errors.Is(err, errInterrupted) {
		return err
	}
	if err != nil {
		d.screen.print(d.logs())
	}
	report := d.report(time.Now(), err)
	d.screen.print(report.String())
	if o.Keep {
		d.keep(ctx)
	}
	return report.verdict()
}

func (d *demo) close() {
	for _, s := range d.streams {
		if s != nil {
			s.Close()
		}
	}
	if d.watch != nil {
		d.watch.close()
	}
}

// traffic starts the streams and the watch.
func (d *demo) traffic() (err error) {
	if d.watch, err = newWatch(d.lan, d.upstream); err != nil {
		return err
	}
	if d.streams[0], err = netlab.StartStream(d.lan, d.upstream, target4, 7007, rate); err != nil {
		return err
	}
	d.streams[1], err = netlab.StartStream(d.lan, d.upstream, target6, 7007, rate)
	return err
}

// result is what one event brought.
type result struct {
	at       time.Duration // since the demo's start
	title    string        // what happened
	from, to string        // masters before and after
	moved    time.Duration // until the new master was heard everywhere; 0: no change
	loss     [2]netlab.Loss
	planned  bool
	setup    bool // the first start: there was no service to lose
}

// event is something that happens to the routers.
type event struct {
	title   string // as it happens
	done    string // in the timeline
	do      func() error
	subject *member
	alive   bool    // whether the subject runs and is connected afterwards
	master  *member // who must be master afterwards
	planned bool
	setup   bool
}

// events is what happens, in this order.
func (d *demo) events() []event {
	r1, r2 := d.r1, d.r2
	both := func() error { return errors.Join(r1.Start(), r2.Start()) }
	return []event{
		{"starting both routers", "both routers started", both, r1, true, r1, true, true},
		{"killing r1's router process (kill -9)", "r1 killed (kill -9)", r1.crash, r1, true, r1, false, false},
		{"cutting the power of r1", "power of r1 cut", r1.cutPower, r1, false, r2, false, false},
		{"starting r1 again", "r1 started again", r1.Start, r1, true, r1, true, false},
		{"pulling both cables of r1", "cables of r1 pulled", r1.cut, r1, false, r2, false, false},
		{"plugging them in again", "cables of r1 plugged in", r1.plug, r1, true, r1, true, false},
		{"stopping r1 in order (SIGTERM)", "r1 stopped (SIGTERM)", r1.stop, r1, false, r2, true, false},
		{"starting r1 again", "r1 started again", r1.Start, r1, true, r1, true, false},
	}
}

// story lets the events happen one after the other.
func (d *demo) story(ctx context.Context) error {
	d.spans = append(d.spans, span{"r2", true, time.Now()})
	for _, e := range d.events() {
		if err := d.play(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// play lets one event happen, waits until all is well again, and notes what
// was lost meanwhile.
func (d *demo) play(ctx context.Context, e event) error {
	if err := d.pause(ctx, e.title, calm); err != nil {
		return err
	}
	var marks [2]uint64
	for i, s := range d.streams {
		marks[i] = s.Next()
	}
	from, _ := d.watch.agreed()
	now := time.Now()
	d.screen.step(now.Sub(d.start), e.title)
	d.spans = append(d.spans, span{e.subject.Name, e.alive, now})
	if err := e.do(); err != nil {
		return err
	}
	if err := d.settle(ctx, e); err != nil {
		return err
	}
	to, since := d.watch.agreed()
	r := result{at: now.Sub(d.start), title: e.done, from: from, to: to, planned: e.planned, setup: e.setup}
	if since.After(now) {
		r.moved = since.Sub(now)
	}
	for i, s := range d.streams {
		r.loss[i] = s.Loss(marks[i])
	}
	d.results = append(d.results, r)
	d.screen.outcome(r)
	return nil
}

// pause lets the traffic run for a while.
func (d *demo) pause(ctx context.Context, what string, duration time.Duration) error {
	for end := time.Now().Add(duration); time.Now().Before(end); {
		if err := d.tick(ctx, what); err != nil {
			return err
		}
	}
	return nil
}

// tick waits for a moment, shows the state on the screen, and looks whether
// anything has ended that should not.
func (d *demo) tick(ctx context.Context, what string) error {
	select {
	case <-ctx.Done():
		return errInterrupted
	case <-time.After(pollTime):
	}
	master, _ := d.watch.agreed()
	d.screen.live(time.Since(d.start), master, d.streams[0].Returned(), d.streams[1].Returned(), what)
	return errors.Join(d.r1.died(), d.r2.died())
}

// settle waits until the wanted router is master everywhere, says so itself,
// alone answers for the gateway, and traffic flows.
func (d *demo) settle(ctx context.Context, e event) error {
	missing := errors.New("nothing was looked at")
	for end := time.Now().Add(settleTime); time.Now().Before(end); {
		if err := d.tick(ctx, e.title); err != nil {
			return err
		}
		if missing = d.well(ctx, e); missing == nil {
			return nil
		}
	}
	return fmt.Errorf("%s: not well again after %v: %w", e.title, settleTime, missing)
}

// well returns nil when all is as it must be after an event, else what is
// not. The cheap questions come first.
func (d *demo) well(ctx context.Context, e event) error {
	master, since := d.watch.agreed()
	if master != e.master.Name {
		return fmt.Errorf("heard as master everywhere: %q, want %s", master, e.master.Name)
	}
	if time.Since(since) < steady {
		return errors.New("masters still change")
	}
	for i, family := range []string{"IPv4", "IPv6"} {
		if !d.streams[i].Flowing(steadyCount) {
			return fmt.Errorf("%s packets do not all come back", family)
		}
		if hops := d.streams[i].Hops(); len(hops) != 1 || hops[1] == 0 {
			return fmt.Errorf("%s packets do not all pass exactly one router (routers passed: packets): %v", family, hops)
		}
	}
	states, err := e.master.states(ctx)
	if err != nil {
		return err
	}
	for _, place := range places {
		if states[place] != "Master" {
			return fmt.Errorf("%s says of itself in %s: %q, want Master", e.master.Name, place, states[place])
		}
	}
	for _, g := range gateways {
		if err := d.checkGateway(g, e.master); err != nil {
			return err
		}
	}
	return nil
}

// logs returns the last words of both routers.
func (d *demo) logs() (text string) {
	for _, m := range []*member{d.r1, d.r2} {
		if m.Process != nil {
			text += fmt.Sprintf("\nLOG OF %s\n\n%s\n", m.Name, m.Process.LastLines(15))
		}
	}
	return text
}
