package netstack

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestConnectTellsAnOpenPortFromAClosedOneInBothFamilies(t *testing.T) {
	p := newPair(t)
	go serveEcho(listen(t, p.b, "0.0.0.0:80"))
	go serveEcho(listen(t, p.b, "[::]:82"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for host, port := range map[string]string{"192.0.2.2": ":80", "[2001:db8:1::2]": ":82", "[fe80::2%lan]": ":82"} {
		if took, err := p.a.Connect(ctx, netip.MustParseAddrPort(host+port)); err != nil || took <= 0 {
			t.Errorf("%s: %v, %v", host, took, err)
		}
		if _, err := p.a.Connect(ctx, netip.MustParseAddrPort(host+":81")); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s, closed port: %v", host, err)
		}
	}
}

func TestConnectGivesUpWithItsContext(t *testing.T) {
	var out recorder
	s := newRouter(t, &out)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for range 2 {
		if _, err := s.Connect(ctx, netip.MustParseAddrPort("192.0.2.9:80")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	}
	out.find(t, "SYN", func(p Packet) bool { return len(p.Data) > 20 && p.Data[9] == 6 })
}

func TestConnectWithoutASourceAddressSaysSo(t *testing.T) {
	s := newStack(t, Config{}, (&recorder{}).emit)
	if _, err := s.Connect(t.Context(), netip.MustParseAddrPort("192.0.2.9:80")); err == nil || !strings.Contains(err.Error(), "192.0.2.9") {
		t.Errorf("got %v", err)
	}
}

// A check every 10 ms would use up all ports in minutes, if each connection
// stayed for its TIME-WAIT.
func TestConnectLeavesNothingBehind(t *testing.T) {
	p := newPair(t)
	go serveEcho(listen(t, p.b, "0.0.0.0:80"))
	ctx, cancel := context.WithTimeout(t.Context(), 6*patience)
	defer cancel()
	for range 200 {
		if _, err := p.a.Connect(ctx, netip.MustParseAddrPort("192.0.2.2:80")); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		a, b := len(p.a.gv.RegisteredEndpoints()), len(p.b.gv.RegisteredEndpoints())
		if a+b <= 4 { // the listener, and what is ending just now
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d and %d endpoints are left after 200 connections", a, b)
		}
	}
}
