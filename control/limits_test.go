package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vrouter/router"
)

// stuck is a backend with events only; everything else waits for the end of
// its context.
type stuck struct {
	Backend
	log *EventLog
}

func (b stuck) Events(_ context.Context, since uint64) ([]router.Event, <-chan struct{}, error) {
	events, more := b.log.Since(since)
	return events, more, nil
}

func (b stuck) Neighbors(ctx context.Context) ([]router.NeighborStatus, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// serve runs a server on a new socket; change may set its limits.
func serve(t *testing.T, change func(*Server)) (*EventLog, *Server, string) {
	t.Helper()
	path := filepath.Join(shortDir(t), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	log := NewEventLog(1000)
	s := NewServer(stuck{log: log})
	if change != nil {
		change(s)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-done); err != nil {
			t.Error(err)
		}
	})
	return log, s, path
}

// shortDir is a directory whose name leaves room for a socket's.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

func TestFollowerGetsEventsAsTheyCome(t *testing.T) {
	log, s, path := serve(t, nil)
	log.Append(router.Event{Name: "first"})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var names []string
	enough := errors.New("enough")
	err := NewClient(path).FollowEvents(ctx, 0, func(e router.Event) error {
		names = append(names, e.Name)
		if len(names) == 3 {
			return enough
		}
		log.Append(router.Event{Name: fmt.Sprint("answer to ", e.Name)})
		return nil
	})
	if got := strings.Join(names, "; "); !errors.Is(err, enough) || got != "first; answer to first; answer to answer to first" {
		t.Errorf("%v, %s", err, got)
	}
	eventually(t, "the place of the stream is free again", func() bool { return len(s.streams) == 0 })
}

func TestSlowReaderIsDroppedAndHoldsUpNobody(t *testing.T) {
	log, s, path := serve(t, func(s *Server) { s.writeTimeout = 50 * time.Millisecond })
	slow, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprintf(slow, "GET /v1/events?follow=1 HTTP/1.1\r\nHost: vrouter\r\n\r\n")
	eventually(t, "the stream has begun", func() bool { return len(s.streams) == 1 })
	// It reads nothing. Append must not wait for it, however full its
	// connection is.
	reason := strings.Repeat("x", 10_000)
	eventually(t, "the slow reader is dropped", func() bool {
		log.Append(router.Event{Reason: reason})
		return len(s.streams) == 0
	})
	if _, err := NewClient(path).Events(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

func TestStreamsAreLimited(t *testing.T) {
	_, s, path := serve(t, func(s *Server) { s.streams = make(chan struct{}, 2) })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	for range 2 {
		go func() { done <- NewClient(path).FollowEvents(ctx, 0, func(router.Event) error { return nil }) }()
	}
	eventually(t, "both streams stand", func() bool { return len(s.streams) == 2 })
	var e *Error
	err := NewClient(path).FollowEvents(t.Context(), 0, nil)
	if !errors.As(err, &e) || e.Status != http.StatusServiceUnavailable {
		t.Errorf("a third stream: %v", err)
	}
	if _, err := NewClient(path).Events(t.Context(), 0); err != nil {
		t.Errorf("while all streams are taken: %v", err)
	}
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("an interrupted follower: %v", err)
		}
	}
	eventually(t, "the places are free again", func() bool { return len(s.streams) == 0 })
}

func TestStreamOutlivesTheReadTimeLimit(t *testing.T) {
	log, _, path := serve(t, func(s *Server) { s.http.ReadTimeout = 50 * time.Millisecond })
	time.AfterFunc(200*time.Millisecond, func() { log.Append(router.Event{Name: "late"}) })
	enough := errors.New("enough")
	err := NewClient(path).FollowEvents(t.Context(), 0, func(router.Event) error { return enough })
	if !errors.Is(err, enough) {
		t.Error(err)
	}
}

func TestShutdownEndsFollowers(t *testing.T) {
	_, s, path := serve(t, nil)
	done := make(chan error, 1)
	go func() { done <- NewClient(path).FollowEvents(t.Context(), 0, func(router.Event) error { return nil }) }()
	eventually(t, "the stream stands", func() bool { return len(s.streams) == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	var e *Error
	if err := <-done; !errors.As(err, &e) || !strings.Contains(e.Message, "closed the stream") {
		t.Errorf("follower: %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestBackendThatHangsIsReported(t *testing.T) {
	_, _, path := serve(t, func(s *Server) { s.callTimeout = 20 * time.Millisecond })
	_, err := NewClient(path).Neighbors(t.Context())
	var e *Error
	if !errors.As(err, &e) || e.Status != http.StatusGatewayTimeout || e.Remedy == "" {
		t.Errorf("%v", err)
	}
}

func TestSilentAndMalformedConnectionsAreClosed(t *testing.T) {
	_, _, path := serve(t, func(s *Server) {
		s.http.ReadHeaderTimeout, s.http.ReadTimeout = 50*time.Millisecond, 50*time.Millisecond
	})
	for _, test := range []struct{ sent, answer string }{
		{"", ""},
		{"GET /v1/show/vrrp HT", "HTTP/1.1 400"},
		{"\x00\xff\r\n\r\n", "HTTP/1.1 400"},
		{"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400"}, // no Host
		{"GET /" + strings.Repeat("x", 40<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 431"},
		// The body never comes.
		{"POST /v1/switchover HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{", "HTTP/1.1 400"},
	} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, test.sent)
		if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		var answer strings.Builder
		if _, err := bufio.NewReader(c).WriteTo(&answer); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%.40q: still open", test.sent)
		}
		if !strings.HasPrefix(answer.String(), test.answer) || (test.answer == "" && answer.Len() > 0) {
			t.Errorf("%.40q: %q", test.sent, answer.String())
		}
		c.Close()
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	inner, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	l := &limitListener{Listener: inner, tokens: make(chan struct{}, 1)}
	for range 2 {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn)
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	select {
	case <-accepted:
		t.Fatal("a second connection beside the first")
	case <-time.After(20 * time.Millisecond):
	}
	first.Close()
	first.Close() // gives its place back once
	(<-accepted).Close()
	if len(l.tokens) != 0 {
		t.Error("a place is lost")
	}
}

func TestEventLogNumbersWithoutGapsAndKeepsTheLatest(t *testing.T) {
	l := NewEventLog(3)
	if events, _ := l.Since(0); len(events) != 0 {
		t.Error(events)
	}
	for n := uint64(1); n <= 5; n++ {
		_, more := l.Since(n - 1)
		if got := l.Append(router.Event{Name: fmt.Sprint(n), Sequence: 77}); got != n {
			t.Errorf("event %d has number %d", n, got)
		}
		select {
		case <-more:
		default:
			t.Errorf("event %d woke nobody", n)
		}
	}
	for since, want := range map[uint64]string{0: "345", 1: "345", 2: "345", 3: "45", 4: "5", 5: "", 6: "", 1 << 63: ""} {
		events, more := l.Since(since)
		got := ""
		for _, e := range events {
			got += e.Name
			if fmt.Sprint(e.Sequence) != e.Name {
				t.Errorf("%+v", e)
			}
		}
		if got != want {
			t.Errorf("since %d: %q, want %q", since, got, want)
		}
		select {
		case <-more:
			t.Errorf("since %d: told of more", since)
		default:
		}
	}
}

func TestClientReadsUnknownStatesAndNewFields(t *testing.T) {
	var v VirtualRouter
	text := `{"name":"lan4","state":"Dormant","virtual_mac":"00:00:5e:00:01:0a","new":1,"addresses":["192.0.2.1"]}`
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	if v.State != "Dormant" || v.Name != "lan4" || v.VirtualMAC.String() != "00:00:5e:00:01:0a" || len(v.Addresses) != 1 {
		t.Errorf("%+v", v)
	}
}
