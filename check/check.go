// Package check runs the probes of [[check]]: an echo request, a TCP
// connection, a program. It says what came of each probe; whether that makes
// the check go up or down is counted by package router.
package check

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"time"

	"vrouter/config"
	"vrouter/program"
)

// Probes are how things are probed. Each is called from many goroutines; ctx
// ends at the check's time-out, or when the check is over.
type Probes struct {
	// Ping sends one echo request and returns how long the answer took, or why
	// there is none.
	Ping func(ctx context.Context, address netip.Addr) (time.Duration, error)
	// Connect opens a TCP connection, ends it, and returns how long the first
	// took.
	Connect func(ctx context.Context, address netip.AddrPort) (time.Duration, error)
	// Run runs a program (see program.Launcher).
	Run func(ctx context.Context, c program.Command) program.Result
}

// Result is what came of one probe.
type Result struct {
	Name   string // of the check
	OK     bool
	Detail string // for people: "312us", "timeout after 500ms", a program's last line
}

// Runner probes each check at its interval. Each check has a goroutine of its
// own and never two probes at once.
type Runner struct {
	probes Probes
	report func(Result)
	pace   pace

	mu      sync.Mutex
	running map[string]*running
	closed  bool
}

// running is a check that is probed.
type running struct {
	check config.Check
	stop  context.CancelFunc
	done  chan struct{}
}

// New returns a Runner without checks. report is called from many goroutines
// and may take its time: only the check that reports waits for it.
func New(p Probes, report func(Result)) *Runner {
	return &Runner{probes: p, report: report, running: map[string]*running{}}
}

// Set replaces the checks. One that stays as it was goes on undisturbed. When
// it returns, no probe of a check that is gone is reported any more.
func (r *Runner) Set(checks []config.Check) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	wanted := make(map[string]config.Check, len(checks))
	for _, c := range checks {
		wanted[c.Name] = c
	}
	var ended []*running
	for name, have := range r.running {
		if want, ok := wanted[name]; ok && reflect.DeepEqual(want, have.check) {
			delete(wanted, name)
			continue
		}
		ended = append(ended, have)
		delete(r.running, name)
	}
	end(ended)
	for name, c := range wanted {
		r.running[name] = r.start(c)
	}
}

// Close ends all checks and waits for their goroutines.
func (r *Runner) Close() {
	r.Set(nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

// end stops checks and waits for them, all at once.
func end(list []*running) {
	for _, c := range list {
		c.stop()
	}
	for _, c := range list {
		<-c.done
	}
}

func (r *Runner) start(c config.Check) *running {
	ctx, stop := context.WithCancel(context.Background())
	one := &running{check: c, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(one.done)
		r.loop(ctx, &c)
	}()
	return one
}

// loop probes a check until ctx ends. The first probe comes within the
// interval, at random: checks of one interval do not all run at once.
func (r *Runner) loop(ctx context.Context, c *config.Check) {
	next := time.Now().Add(rand.N(c.Interval))
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		result, lingers := r.probe(ctx, c)
		if ctx.Err() != nil {
			return
		}
		r.report(result)
		if lingers != nil && !r.outlast(ctx, c, lingers) {
			return
		}
		// What was missed is not caught up with.
		next = next.Add(c.Interval)
		if now := time.Now(); next.Before(now) {
			next = now
		}
		timer.Reset(time.Until(next))
	}
}

// outlast reports failures until a program that could not be killed is gone,
// and false where the check is over before. No second one is started beside it.
func (r *Runner) outlast(ctx context.Context, c *config.Check, gone <-chan struct{}) bool {
	tick := time.NewTicker(c.Interval)
	defer tick.Stop()
	for {
		select {
		case <-gone:
			return true
		case <-tick.C:
			r.report(Result{c.Name, false, "the program before was killed, but the kernel holds it"})
		case <-ctx.Done():
			return false
		}
	}
}

// probe runs a check once.
func (r *Runner) probe(ctx context.Context, c *config.Check) (result Result, lingers <-chan struct{}) {
	if len(c.Exec) > 0 {
		done := r.probes.Run(ctx, program.Command{
			Args: c.Exec, Timeout: c.Timeout, Env: []string{"VROUTER_CHECK=" + c.Name},
		})
		return Result{c.Name, done.Err == nil, programDetail(done)}, done.Lingers
	}
	r.pace.wait(ctx)
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	var took time.Duration
	var err error
	if c.Ping.IsValid() {
		took, err = r.probes.Ping(ctx, c.Ping)
	} else {
		took, err = r.probes.Connect(ctx, c.TCP)
	}
	switch {
	case err == nil:
		return Result{c.Name, true, strings.Replace(took.Round(time.Microsecond).String(), "µ", "u", 1)}, nil
	case errors.Is(err, context.DeadlineExceeded):
		return Result{c.Name, false, fmt.Sprintf("timeout after %v", c.Timeout)}, nil
	}
	return Result{c.Name, false, err.Error()}, nil
}

// programDetail is how a program ended, and its last line.
func programDetail(r program.Result) string {
	switch {
	case r.Err == nil:
		return r.Output
	case r.Output == "":
		return r.Err.Error()
	}
	return r.Err.Error() + ": " + r.Output
}

// paceGap is the time between two built-in probes, of whatever checks: 10,000
// a second are a load that forwarding and VRRP stand beside.
const paceGap = 100 * time.Microsecond

// pace spreads probes over time.
type pace struct {
	mu   sync.Mutex
	next time.Time
}

// wait returns when it is the caller's turn, or ctx ends.
func (p *pace) wait(ctx context.Context) {
	p.mu.Lock()
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	turn := p.next
	p.next = turn.Add(paceGap)
	p.mu.Unlock()
	if !turn.After(now) {
		return
	}
	select {
	case <-time.After(turn.Sub(now)):
	case <-ctx.Done():
	}
}
