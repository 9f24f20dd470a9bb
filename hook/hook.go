// Package hook runs the programs of [[notify]] when a virtual router changes
// its state: in order for each virtual router, side by side for different ones,
// and never so that the caller waits.
package hook

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"vrouter/config"
	"vrouter/program"
)

// Limits.
const (
	maxWaiting = 64 // changes of one virtual router that wait for their hooks
	maxAtOnce  = 64 // programs that run at the same time
)

// Change is what hooks are told, each as an environment variable.
type Change struct {
	Event     string // the kind of the event: "vrrp"
	Name      string // of the virtual router
	From, To  string // states
	Reason    string
	Interface string
	Family    string // "ipv4" or "ipv6"
	Group     string // empty: none
	VRID      uint8
	Priority  uint8 // the effective one
	Sequence  uint64
	Time      time.Time
}

// environment returns the change as variables of an environment.
func (c *Change) environment() []string {
	return []string{
		"VROUTER_EVENT=" + c.Event,
		"VROUTER_NAME=" + c.Name,
		"VROUTER_FROM=" + c.From,
		"VROUTER_TO=" + c.To,
		"VROUTER_REASON=" + strings.ReplaceAll(c.Reason, "\x00", "?"), // which ends a variable
		"VROUTER_INTERFACE=" + c.Interface,
		"VROUTER_FAMILY=" + c.Family,
		"VROUTER_GROUP=" + c.Group,
		"VROUTER_VRID=" + strconv.Itoa(int(c.VRID)),
		"VROUTER_PRIORITY=" + strconv.Itoa(int(c.Priority)),
		"VROUTER_SEQUENCE=" + strconv.FormatUint(c.Sequence, 10),
		"VROUTER_TIME=" + c.Time.UTC().Format(time.RFC3339Nano),
	}
}

// Counts tell what became of changes and programs.
type Counts struct {
	Run     uint64 // programs that have ended
	Failed  uint64 // of these, with an error or at their time-out
	Dropped uint64 // changes without hooks: too many waited, or the process ended
}

// Runner runs the hooks. Its methods may be called from any goroutine.
type Runner struct {
	run    func(context.Context, program.Command) program.Result
	log    *slog.Logger
	places chan struct{} // one token for each program that runs
	ctx    context.Context
	stop   context.CancelFunc

	mu      sync.Mutex
	hooks   []config.Notify
	extra   []string            // environment of every hook
	waiting map[string][]Change // by virtual router; a key is there while its goroutine runs
	idle    *sync.Cond          // on mu: waiting has become empty
	counts  Counts
	closed  bool
}

// New returns a Runner without hooks. env, of the form "NAME=value", goes to
// every hook.
func New(run func(context.Context, program.Command) program.Result, log *slog.Logger, env ...string) *Runner {
	ctx, stop := context.WithCancel(context.Background())
	r := &Runner{
		run: run, log: log, places: make(chan struct{}, maxAtOnce), ctx: ctx, stop: stop,
		extra: env, waiting: map[string][]Change{},
	}
	r.idle = sync.NewCond(&r.mu)
	return r
}

// Set replaces the hooks. A change that waits is told to the new ones.
func (r *Runner) Set(hooks []config.Notify) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hooks = hooks
}

// Counts returns the counters.
func (r *Runner) Counts() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts
}

// Add has the hooks run for a change, behind those that wait for the same
// virtual router. It never blocks: where too many wait the oldest is dropped,
// since the newest says how things are.
func (r *Runner) Add(c Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch queue, busy := r.waiting[c.Name]; {
	case len(r.hooks) == 0:
	case r.closed:
		r.counts.Dropped++
	case !busy:
		r.waiting[c.Name] = []Change{c}
		go r.work(c.Name)
	default:
		if len(queue) >= maxWaiting {
			queue = queue[1:]
			r.counts.Dropped++
		}
		r.waiting[c.Name] = append(queue, c)
	}
}

// work runs the hooks of one virtual router until none waits.
func (r *Runner) work(name string) {
	for {
		c, hooks, more := r.next(name)
		if !more {
			return
		}
		for _, h := range hooks {
			r.call(&c, h)
		}
	}
}

// next takes the oldest change of a virtual router, or ends its turn.
func (r *Runner) next(name string) (c Change, hooks []config.Notify, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	queue := r.waiting[name]
	if len(queue) == 0 || r.ctx.Err() != nil {
		r.counts.Dropped += uint64(len(queue))
		delete(r.waiting, name)
		r.idle.Broadcast()
		return Change{}, nil, false
	}
	r.waiting[name] = queue[1:]
	return queue[0], r.hooks, true
}

// call runs one program for one change.
func (r *Runner) call(c *Change, h config.Notify) {
	select {
	case r.places <- struct{}{}:
	case <-r.ctx.Done():
		return
	}
	defer func() { <-r.places }()
	result := r.run(r.ctx, program.Command{
		Args: h.Exec, Timeout: h.Timeout, KeepChildren: true,
		Env: append(c.environment(), r.extra...),
	})
	failed := result.Err != nil
	r.mu.Lock()
	r.counts.Run++
	if failed {
		r.counts.Failed++
	}
	r.mu.Unlock()
	log := r.log.With("name", c.Name, "to", c.To, "event", c.Sequence, "program", h.Exec[0], "output", result.Output)
	if failed {
		log.Warn("notify: the program has failed", "error", result.Err)
	} else {
		log.Debug("notify: the program has run")
	}
}

// errShutdown says that hooks had their time.
var errShutdown = errors.New("notify: hooks were still running at the end; they were killed")

// Close takes no more changes and gives the hooks of those that wait some
// time. What runs then is killed; the error says so.
func (r *Runner) Close(wait time.Duration) error {
	defer r.stop()
	over := time.AfterFunc(wait, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stop()
		r.idle.Broadcast()
	})
	defer over.Stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for len(r.waiting) > 0 && r.ctx.Err() == nil {
		r.idle.Wait()
	}
	if r.ctx.Err() == nil {
		return nil
	}
	for len(r.waiting) > 0 { // killing takes no time worth a limit (program.Run)
		r.idle.Wait()
	}
	return errShutdown
}
