package web

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vrouter/bgp"
	"vrouter/control/controltest"
	"vrouter/metrics"
	"vrouter/router"
)

// fake is a router for tests of the pages: a gateway in use.
type fake struct {
	*controltest.Fake
	status   *metrics.Status
	statuses atomic.Int64  // how often it was asked
	turns    atomic.Int64  // the same
	release  chan struct{} // not nil: Status waits for it
	err      error         // of Status and Turn
}

func newFake() *fake {
	f := controltest.New()
	return &fake{Fake: f, status: &metrics.Status{
		Build: metrics.Build{Version: "v1.2.3", GoVersion: "go1.26"}, Router: "r1",
		VirtualRouters: f.VirtualRouters, Interfaces: f.InterfaceList, Counters: f.CounterValues,
		Checks: f.CheckList, BFD: f.BFDList,
		Neighbors: []router.NeighborCount{{Interface: "lan", State: "reachable", Neighbors: 7}},
		Routes:    []router.RouteCount{{Family: "ipv4", Source: "connected", Routes: 2}},
		BGP: []bgp.Session{
			{Name: "isp1", State: bgp.StateEstablished, EndOfRIB: true, ASN: 64500, Families: []bgp.Family{{Name: "ipv4", Received: 100, Accepted: 90}}},
			{Name: "isp2", State: bgp.StateActive, ASN: 64501, LastError: "connection refused"},
		},
	}}
}

// Status implements Source.
func (f *fake) Status(ctx context.Context) (*metrics.Status, error) {
	f.statuses.Add(1)
	if f.release != nil {
		select {
		case <-f.release:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if f.err != nil {
		return nil, f.err
	}
	s := *f.status
	return &s, nil
}

// Turn implements Source.
func (f *fake) Turn(ctx context.Context) error {
	f.turns.Add(1)
	if f.Hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return f.err
}

// serve serves the pages of a router on the loopback and returns their address.
func serve(t *testing.T, f *fake) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(f, slog.New(slog.DiscardHandler))
	s.now = func() time.Time { return controltest.Now }
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, l.Addr().String()
}

// ask returns the answer to a request; its body is read.
func ask(t *testing.T, method, url, host string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		r.Host = host
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var b strings.Builder
	if _, err := io.Copy(&b, answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer, b.String()
}
