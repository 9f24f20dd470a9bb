package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"vrouter/bgp"
	"vrouter/config"
)

// memory is a sink that remembers.
type memory struct {
	mu     sync.Mutex
	routes map[netip.Prefix]bgp.Route
	on     bool
	whys   []string
	synced int
	report bgp.Report
}

func (m *memory) Routes(routes []bgp.Route) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range routes {
		if len(r.Hops) == 0 {
			delete(m.routes, r.Prefix)
		} else {
			m.routes[r.Prefix] = r
		}
	}
}

func (m *memory) Report(r bgp.Report) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.report = r
}

func (m *memory) Connected(on bool, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.on = on; !on {
		m.whys = append(m.whys, why)
	}
}

func (m *memory) Synced() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.synced++
}

// until waits until something holds of the memory.
func (m *memory) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for over := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		m.mu.Lock()
		yes := ok()
		m.mu.Unlock()
		if yes {
			return
		}
		if time.Now().After(over) {
			t.Fatalf("not so in time: %s", what)
		}
	}
}

// fakeProcess is a BGP process as the client sees it: a socket and bytes.
type fakeProcess struct {
	listener *net.UnixListener
	conn     *net.UnixConn
}

func newFake(t *testing.T, stay time.Duration) (*Client, *memory, *fakeProcess) {
	t.Helper()
	return newImpatient(t, stay, aliveEvery, aliveLimit)
}

// newImpatient asks so often whether the process is alive, and waits so long.
func newImpatient(t *testing.T, stay, every, patience time.Duration) (*Client, *memory, *fakeProcess) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{routes: map[netip.Prefix]bgp.Route{}}
	c := start(path, slog.New(slog.DiscardHandler), m, every, patience)
	c.Set(&bgp.Setup{Config: config.BGP{ASN: 65001, RestartTime: stay}})
	p := &fakeProcess{listener: l}
	t.Cleanup(func() {
		if p.conn != nil {
			p.conn.Close()
		}
		c.Close()
		l.Close()
	})
	return c, m, p
}

// accept takes the next connection and reads the setup.
func (p *fakeProcess) accept(t *testing.T) {
	t.Helper()
	_ = p.listener.SetDeadline(time.Now().Add(20 * time.Second))
	c, err := p.listener.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	p.conn = c
	kind, body := p.read(t)
	var s bgp.Setup
	if err := json.Unmarshal(body, &s); kind != bgp.KindSetup || err != nil || s.Config.ASN != 65001 {
		t.Fatalf("kind %d, %v: %s", kind, err, body)
	}
}

func (p *fakeProcess) read(t *testing.T) (bgp.Kind, []byte) {
	t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	var h [bgp.HeaderLen]byte
	if _, err := io.ReadFull(p.conn, h[:]); err != nil {
		t.Fatal(err)
	}
	kind, n, err := bgp.ParseHeader(h)
	if err != nil {
		t.Fatal(err)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(p.conn, body); err != nil {
		t.Fatal(err)
	}
	return kind, body
}

func (p *fakeProcess) say(t *testing.T, b []byte) {
	t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

func oneRoute(prefix, hop string) bgp.Route {
	r := bgp.Route{Prefix: netip.MustParsePrefix(prefix)}
	if hop != "" {
		r.Hops = []netip.Addr{netip.MustParseAddr(hop)}
	}
	return r
}

// A BGP process that has been taken over, or whose memory is spoilt: it is told to
// end, what it said before stays, and its successor is listened to.
func TestNonsenseEndsTheConnectionAndNoRoute(t *testing.T) {
	header := bgp.AppendHeader
	for what, b := range map[string][]byte{
		"a kind that there is not":     {0, 0, 0, 1, 99},
		"a length beyond all messages": {0xff, 0xff, 0xff, 0xff, 1},
		"half a route":                 append(header(nil, bgp.KindRoutes, 2), 2, 24),
		"a report that is none":        append(header(nil, bgp.KindReport, 1), '{'),
		"an answer without a number":   append(header(nil, bgp.KindAnswer, 1), 1),
		"a setup":                      bgp.AppendBody(nil, bgp.KindSetup, []byte("{}")),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			_, m, p := newFake(t, time.Hour)
			p.accept(t)
			p.say(t, bgp.AppendRoutes(nil, []bgp.Route{oneRoute("198.51.100.0/24", "203.0.113.1")}))
			m.until(t, "the route is there", func() bool { return len(m.routes) == 1 })
			p.say(t, b)
			if kind, _ := p.read(t); kind != bgp.KindEnd {
				t.Errorf("it is told %d, not to end", kind)
			}
			m.until(t, "the connection is given up", func() bool { return len(m.whys) == 1 && m.whys[0] == Nonsense })
			p.conn.Close()
			p.accept(t)
			m.until(t, "its successor is connected", func() bool { return m.on && len(m.routes) == 1 })
		})
	}
}

// More prefixes than anybody has are not taken.
func TestPrefixesAreBounded(t *testing.T) {
	tab := table{most: 10}
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		err = tab.note([]bgp.Route{{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n)}), 16), Hops: []netip.Addr{netip.IPv6Loopback()}}})
	}
	if n != 11 || !errors.Is(err, bgp.ErrMessage) {
		t.Errorf("%d are taken: %v", n, err)
	}
}

// FuzzStream: whatever the BGP process says, the router process lives, and takes
// routes of no more than its bounds.
func FuzzStream(f *testing.F) {
	f.Add(bgp.AppendRoutes(nil, []bgp.Route{oneRoute("198.51.100.0/24", "203.0.113.1"), oneRoute("2001:db8::/32", "fe80::1%wan")}))
	f.Add(bgp.AppendBody(nil, bgp.KindReport, []byte(`{"Sessions":[{"name":"isp1","state":"Established"}]}`)))
	f.Add(append(bgp.AppendHeader(nil, bgp.KindSynced, 0), bgp.AppendNumbered(nil, bgp.KindAnswer, 1, []byte("{}"))...))
	f.Add([]byte{0, 0, 0, 1, 99})
	f.Fuzz(func(t *testing.T, stream []byte) {
		m := &memory{routes: map[netip.Prefix]bgp.Route{}}
		c := &Client{log: slog.New(slog.DiscardHandler), sink: m, asked: map[uint32]chan bgp.Answer{}}
		tab := table{most: 1000}
		var routes []bgp.Route
		for in := bytes.NewReader(stream); ; {
			var h [bgp.HeaderLen]byte
			if _, err := io.ReadFull(in, h[:]); err != nil {
				return
			}
			kind, n, err := bgp.ParseHeader(h)
			if err != nil || n > in.Len() {
				return
			}
			body := make([]byte, n)
			_, _ = io.ReadFull(in, body)
			if routes, err = c.take(received{kind: kind, body: body}, &tab, routes[:0]); err != nil {
				return
			}
			if len(routes) > bgp.RoutesMax {
				t.Fatalf("%d routes at once", len(routes))
			}
		}
	})
}
