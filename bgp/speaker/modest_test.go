package speaker

import (
	"context"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"vrouter/bgp"
)

func TestMemoryIsGivenForTimeWhileRoutesLoadOnly(t *testing.T) {
	was := debug.SetGCPercent(100)
	defer debug.SetGCPercent(was)
	c := newCollector()
	for _, step := range []struct {
		loading bool
		want    int
	}{{false, 100}, {true, loadingPercent}, {true, loadingPercent}, {false, 100}} {
		c.pace(step.loading)
		if got := debug.SetGCPercent(step.want); got != step.want {
			t.Errorf("loading %v: %d, want %d", step.loading, got, step.want)
		}
	}
}

func TestTheOperatorsGOGCStaysWhereItGivesMore(t *testing.T) {
	was := debug.SetGCPercent(100)
	defer debug.SetGCPercent(was)
	for _, set := range []int{-1, 400} {
		debug.SetGCPercent(set)
		c := newCollector()
		c.pace(true)
		if got := debug.SetGCPercent(100); got != set {
			t.Errorf("%d has become %d", set, got)
		}
	}
}

func TestManyChangesAreLoadingToo(t *testing.T) {
	s := &server{changes: hurry}
	if !s.loading() || s.loading() {
		t.Error("not while they come, or for ever")
	}
}

func TestAnEstablishedNeighboursUpdatesAreNotLogged(t *testing.T) {
	up, down := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	l := slog.New(&listener{next: slog.DiscardHandler, up: func(a netip.Addr) bool { return a == up }})
	ctx := context.Background()
	for _, x := range []struct {
		log   *slog.Logger
		level slog.Level
		want  bool
	}{
		{l, slog.LevelDebug, false},
		{l, slog.LevelInfo, true},
		{l.With("Key", up.String()), slog.LevelDebug, false},
		{l.With("Key", up.String()), slog.LevelInfo, true},
		{l.With("Key", down.String()), slog.LevelDebug, true}, // why does it not connect?
	} {
		if got := x.log.Enabled(ctx, x.level); got != x.want {
			t.Errorf("%v at %v: %v", x.log.Handler().(*listener).peer, x.level, got)
		}
	}
}

func TestSessionsAreNotKeptWaitingByThePauseBetweenRoutes(t *testing.T) {
	l := &link{sent: manyTold}
	l.more = sync.NewCond(&l.mu)
	rested := make(chan struct{})
	go func() {
		l.mu.Lock()
		l.rest(time.Hour)
		l.mu.Unlock()
		close(rested)
	}()
	for { // until it rests
		l.mu.Lock()
		resting := l.resting
		l.mu.Unlock()
		if resting {
			break
		}
		time.Sleep(time.Millisecond)
	}
	l.wake() // routes are
	select {
	case <-rested:
		t.Fatal("routes have ended the pause")
	case <-time.After(20 * time.Millisecond):
	}
	l.report(bgp.Report{})
	select {
	case <-rested:
	case <-time.After(10 * time.Second):
		t.Fatal("a session has not")
	}
}
