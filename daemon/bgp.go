package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"vrouter/bgp"
	"vrouter/bgp/client"
	"vrouter/bgp/speaker"
	"vrouter/config"
	"vrouter/control"
	"vrouter/guardian"
)

// bgpEnd is the router process' end of what is between it and the BGP process.
type bgpEnd struct {
	loop   *loop
	log    *slog.Logger
	guard  *guardian.Client // the loop's
	socket string
	life   int // how many BGP processes were given up; the loop's

	mu     sync.Mutex
	client *client.Client // nil: nothing to talk about
	over   bool
	routes atomic.Uint64 // changes of routes that were taken
}

// openBGP makes the end; the router says when there is something to tell.
func (d *process) openBGP() error {
	d.bgp = &bgpEnd{loop: d.loop, log: d.log, guard: d.guard, socket: d.cfg.Control.BGPSocket()}
	d.loop.driver.bgp = d.bgp
	d.later(d.bgp.close)
	d.later(d.loop.driver.bfdPort.close)
	return nil
}

// companionTask is what the guardian hands the BGP process from the router
// process.
type companionTask struct {
	Socket string
	Log    config.Log
	Router string
	Life   int // another one is for another process
}

// keep asks the guardian for a BGP process, or for none. The loop calls it.
func (b *bgpEnd) keep(cfg *config.Config) {
	if cfg.BGP == nil {
		b.guard.Keep("")
		return
	}
	text, _ := json.Marshal(companionTask{cfg.Control.BGPSocket(), cfg.Log, cfg.Router.Name, b.life}) // plain data
	b.guard.Keep(string(text))
}

// goodbye ends the sessions with all neighbours.
func (b *bgpEnd) goodbye() {
	b.loop.post(func(time.Time) { b.guard.Keep("") })
	b.close()
}

func (b *bgpEnd) close() {
	b.mu.Lock()
	c := b.client
	b.client, b.over = nil, true
	b.mu.Unlock()
	if c != nil {
		c.Close()
	}
}

// speak hands a setup to the BGP process; nil: there is to be none. It never
// blocks. The loop calls it.
func (b *bgpEnd) speak(setup *bgp.Setup) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.over:
	case setup == nil && b.client != nil:
		go b.client.Close()
		b.client = nil
	case setup != nil:
		if b.client == nil {
			b.client = client.New(b.socket, b.log, &sink{b})
		}
		b.client.Set(setup)
	}
}

// sink hands what the BGP process tells to the loop and waits until that has
// taken it: a BGP process with a million changes is read at the loop's pace.
type sink struct{ *bgpEnd }

func (s *sink) call(f func(now time.Time)) {
	// Where the loop has ended nobody wants to know any more.
	_ = s.loop.call(context.Background(), f)
}

// Routes implements client.Sink.
func (s *sink) Routes(routes []bgp.Route) {
	s.routes.Add(uint64(len(routes)))
	for part := range slices.Chunk(routes, routesAtOnce) {
		s.call(func(now time.Time) { s.loop.driver.carryOut(s.loop.router.BGPRoutes(now, part)) })
	}
}

// routesAtOnce bounds the routes that one turn of the loop takes.
const routesAtOnce = 256

// Report implements client.Sink.
func (s *sink) Report(r bgp.Report) {
	s.call(func(now time.Time) { s.loop.driver.carryOut(s.loop.router.BGPReport(now, r)) })
}

// Connected implements client.Sink.
func (s *sink) Connected(on bool, why string) {
	s.call(func(now time.Time) {
		s.loop.driver.carryOut(s.loop.router.BGPConnected(now, on, why))
		if why == client.Nonsense || why == client.Hung {
			s.life++
			s.keep(s.loop.driver.cfg)
		}
	})
}

// Synced implements client.Sink: the sessions' own End-of-RIB is what counts.
func (s *sink) Synced() { s.log.Debug("all BGP routes are there") }

// ask asks the BGP process.
func (b *bgpEnd) ask(ctx context.Context, q bgp.Query) (bgp.Answer, error) {
	b.mu.Lock()
	c := b.client
	b.mu.Unlock()
	if c == nil {
		return bgp.Answer{}, client.ErrNotConnected
	}
	return c.Ask(ctx, q)
}

// BGP implements control.Backend.
func (b *backend) BGP(ctx context.Context) ([]bgp.Session, error) {
	var problem string
	list, err := ask(ctx, b.loop, func(time.Time) (list []bgp.Session) {
		list, problem = b.loop.router.BGPSessions()
		return list
	})
	if err != nil || len(list) == 0 {
		return list, err
	}
	return b.withPrefixes(ctx, list, problem), nil
}

// withPrefixes asks the BGP process for the sessions with the counts of their
// prefixes; where it does not answer, they are as the router knows them.
func (b *backend) withPrefixes(ctx context.Context, list []bgp.Session, problem string) []bgp.Session {
	if a, err := b.bgp.ask(ctx, bgp.Query{Neighbors: true}); err == nil && len(a.Sessions) > 0 {
		return a.Sessions
	}
	for i := range list {
		if problem != "" {
			list[i].LastError = problem
		}
	}
	return list
}

// BGPPaths implements control.Backend.
func (b *backend) BGPPaths(ctx context.Context, prefix netip.Prefix) ([]bgp.Path, error) {
	a, err := b.bgp.ask(ctx, bgp.Query{Prefix: prefix})
	if errors.Is(err, client.ErrNotConnected) {
		return nil, &control.Error{
			Status: http.StatusServiceUnavailable, Message: err.Error(),
			Remedy: "vrouter show bgp tells of the neighbours; without [bgp] in the configuration there are none",
		}
	}
	return a.Paths, err
}

// RunBGP is the BGP process: text is what the router process has left for it
// with the guardian. It returns nil after an orderly stop and where the guardian
// is to start it anew.
func RunBGP(ctx context.Context, text string, out io.Writer) error {
	var task companionTask
	if err := json.Unmarshal([]byte(text), &task); err != nil {
		return fmt.Errorf("the BGP process is started by vrouter run alone: %w", err)
	}
	if out == nil {
		out = os.Stderr
	}
	log, err := newLogger(out, task.Log)
	if err != nil {
		return err
	}
	log = log.With("process", "bgp", "router", task.Router)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	defer outliveLogReader()()
	err = speaker.Run(ctx, speaker.Options{Socket: task.Socket, Log: log})
	if errors.Is(err, speaker.ErrAnew) {
		return nil
	}
	return err
}
