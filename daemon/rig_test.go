package daemon

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"vrouter/config"
	"vrouter/control"
	"vrouter/dataplane/port/mem"
	"vrouter/packet"
)

// onLAN is the configuration of a router with a virtual router on one port,
// whose priority and address are to be filled in.
const onLAN = `
[[interface]]
name = "lan"
attach = "af_packet"
device = "eth0"
addresses = ["192.0.2.2/24"]

[[interface]]
name = "wan"
attach = "af_packet"
device = "eth1"
addresses = ["203.0.113.2/24"]

[[route]]
to = "0.0.0.0/0"
via = ["203.0.113.1"]

[[vrrp]]
name = "gw"
interface = "lan"
vrid = 10
addresses = ["192.0.2.1"]
interval = "100ms"
drain = "300ms"
`

// rig is the router process on ports in memory.
type rig struct {
	t       testing.TB
	process *process
	ports   []*mem.Port
	log     *syncBuffer
	client  *control.Client
	cancel  context.CancelFunc
	ended   chan error
}

// newRig opens a process whose ports are in memory; it does not run yet.
func newRig(t testing.TB, text string) *rig {
	t.Helper()
	cfg, err := config.Parse("test", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "vr") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	cfg.Control.Socket = filepath.Join(dir, "s")
	r := &rig{t: t, log: &syncBuffer{}}
	d := &process{cfg: cfg, log: slog.New(slog.NewTextHandler(r.log, nil)), events: control.NewEventLog(100)}
	r.process = d
	for i := range cfg.Interfaces {
		p := mem.New(mem.Config{Device: cfg.Interfaces[i].Device, MAC: packet.MAC{2, 0, 0, 0, 1, byte(i)}})
		r.ports = append(r.ports, p)
		d.ports.add(p, &cfg.Interfaces[i])
	}
	for _, step := range []func() error{d.openSocket, d.openWeb, d.openHooks, d.openLoop, d.openBGP, d.openHost, d.openLocal, d.openChecks, d.openWorkers} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	r.client = control.NewClient(cfg.Control.Socket)
	t.Cleanup(func() {
		r.stop()
		d.close()
		_ = os.RemoveAll(dir)
	})
	return r
}

// start runs the process.
func (r *rig) start() *rig {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.ended = cancel, make(chan error, 1)
	go func() { r.ended <- r.process.run(ctx) }()
	return r
}

// stop ends it in order and returns how long that took.
func (r *rig) stop() time.Duration {
	r.t.Helper()
	if r.cancel == nil {
		return 0
	}
	began := time.Now()
	r.cancel()
	r.cancel = nil
	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Errorf("run ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		r.t.Fatal("run has not ended 20 s after its context")
	}
	return time.Since(began)
}

// state returns the state of the first virtual router.
func (r *rig) state() string {
	list, err := r.client.VRRP(r.t.Context(), "")
	if err != nil || len(list) == 0 {
		return "unknown"
	}
	return list[0].State
}

// await calls done until it is true.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 15 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// syncBuffer takes a log.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// started returns a rig whose loop the test drives itself: the router is
// started and its ports are up, but no goroutine of it runs.
func started(t testing.TB, text string) *rig {
	t.Helper()
	r := newRig(t, text)
	l := r.process.loop
	now, _ := l.clock.now()
	l.driver.carryOut(l.router.Start(now))
	for i := range r.ports {
		state := r.process.portState(uint16(i))
		l.driver.carryOut(l.router.PortChanged(now, uint16(i), state))
	}
	return r
}

// silent is a logger without reader.
func silent() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
