package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"vrouter/bgp"
	"vrouter/config"
)

// patience is how long something may take on a busy machine.
const patience = 20 * time.Second

// heard is a Sink that keeps what it is told, as lines.
type heard chan string

func (h heard) Routes(routes []bgp.Route) {
	for i := range routes {
		h <- fmt.Sprintf("route %v%v", routes[i].Prefix, routes[i].Hops)
	}
}

func (h heard) Report(r bgp.Report)           { h <- fmt.Sprintf("report %s%d", r.Problem, len(r.Sessions)) }
func (h heard) Connected(on bool, why string) { h <- fmt.Sprintf("connected %v %s", on, why) }
func (h heard) Synced()                       { h <- "synced" }
func (h heard) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-h:
			if got != w {
				t.Fatalf("told %q, want %q", got, w)
			}
		case <-time.After(patience):
			t.Fatalf("not told %q", w)
		}
	}
}

// all takes so many lines in any order.
func (h heard) all(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for range want {
		select {
		case line := <-h:
			got = append(got, line)
		case <-time.After(patience):
			t.Fatalf("told %q alone, want %q", got, want)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("told %q, want %q", got, want)
	}
}

// process is a BGP process that the test plays.
type process struct {
	t        *testing.T
	listener *net.UnixListener
	conn     *net.UnixConn
}

// play starts to listen.
func play(t *testing.T, socket string) *process {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, listener: l}
	t.Cleanup(func() { p.end() })
	return p
}

// accept takes the router's connection.
func (p *process) accept() {
	p.t.Helper()
	must(p.t, p.listener.SetDeadline(time.Now().Add(patience)))
	c, err := p.listener.AcceptUnix()
	must(p.t, err)
	must(p.t, c.SetDeadline(time.Now().Add(2*patience)))
	p.conn = c
}

// end is the death of the process.
func (p *process) end() {
	p.listener.Close()
	if p.conn != nil {
		p.conn.Close()
	}
}

func (p *process) send(b []byte) {
	p.t.Helper()
	_, err := p.conn.Write(b)
	must(p.t, err)
}

func (p *process) routes(routes ...bgp.Route) { p.t.Helper(); p.send(bgp.AppendRoutes(nil, routes)) }

func (p *process) synced() { p.t.Helper(); p.send(bgp.AppendHeader(nil, bgp.KindSynced, 0)) }

// read returns the next message of the router.
func (p *process) read() (bgp.Kind, []byte) {
	p.t.Helper()
	var h [bgp.HeaderLen]byte
	_, err := io.ReadFull(p.conn, h[:])
	must(p.t, err)
	kind, n, err := bgp.ParseHeader(h)
	must(p.t, err)
	body := make([]byte, n)
	_, err = io.ReadFull(p.conn, body)
	must(p.t, err)
	return kind, body
}

// setup reads a Setup.
func (p *process) setup() (s bgp.Setup) {
	p.t.Helper()
	kind, body := p.read()
	if kind != bgp.KindSetup {
		p.t.Fatalf("message of kind %d, want a setup", kind)
	}
	must(p.t, json.Unmarshal(body, &s))
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func route(prefix string, hops ...string) bgp.Route {
	r := bgp.Route{Prefix: netip.MustParsePrefix(prefix), External: true}
	for _, h := range hops {
		r.Hops = append(r.Hops, netip.MustParseAddr(h))
	}
	return r
}

// begin makes a client with what it tells, and the setup it is to hand on; stay
// is how long stale routes stay.
func begin(t *testing.T, stay time.Duration) (c *Client, h heard, socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "bgp")
	h = make(heard, 4096)
	c = New(socket, slog.New(slog.DiscardHandler), h)
	t.Cleanup(c.Close)
	c.Set(&bgp.Setup{RouterID: netip.MustParseAddr("192.0.2.1"), Config: config.BGP{ASN: 65001, RestartTime: stay}})
	return c, h, socket
}

// The setup may be known before there is a process: each new one is told it, and
// the newest at once.
func TestEachBGPProcessIsToldTheSetup(t *testing.T) {
	t.Parallel()
	c, h, socket := begin(t, time.Hour)
	p := play(t, socket)
	p.accept()
	h.expect(t, "connected true ")
	if s := p.setup(); s.Config.ASN != 65001 || s.Restarting {
		t.Errorf("setup %+v", s)
	}
	c.Set(&bgp.Setup{Restarting: true, Config: config.BGP{ASN: 65002}})
	if s := p.setup(); s.Config.ASN != 65002 || !s.Restarting {
		t.Errorf("setup %+v", s)
	}
	p.end()
	h.expect(t, "connected false the BGP process has ended")
	p = play(t, socket)
	p.accept()
	h.expect(t, "connected true ")
	if s := p.setup(); s.Config.ASN != 65002 {
		t.Errorf("the second process is told %+v", s)
	}
}

// Routes outlive the process; when its successor has told all of its own, what it
// does not know is withdrawn, and nothing else.
func TestRoutesStayUntilTheSuccessorIsComplete(t *testing.T) {
	t.Parallel()
	_, h, socket := begin(t, time.Hour)
	p := play(t, socket)
	p.accept()
	p.setup()
	p.routes(route("198.51.100.0/24", "203.0.113.1"), route("192.0.2.0/24", "203.0.113.1"), route("2001:db8:7::/48", "2001:db8::1"))
	p.routes(route("192.0.2.0/24")) // withdrawn by itself: not once more below
	p.synced()
	h.expect(t, "connected true ",
		"route 198.51.100.0/24[203.0.113.1]", "route 192.0.2.0/24[203.0.113.1]", "route 2001:db8:7::/48[2001:db8::1]",
		"route 192.0.2.0/24[]", "synced")
	for n := range 2 { // the second successor dies before it is complete
		p.end()
		h.expect(t, "connected false the BGP process has ended")
		p = play(t, socket)
		p.accept()
		p.setup()
		h.expect(t, "connected true ")
		if n == 0 {
			p.routes(route("2001:db8:7::/48", "2001:db8::2"))
			h.expect(t, "route 2001:db8:7::/48[2001:db8::2]")
		}
	}
	p.routes(route("203.0.113.0/24", "203.0.113.1"))
	p.synced()
	h.expect(t, "route 203.0.113.0/24[203.0.113.1]")
	h.all(t, "route 198.51.100.0/24[]", "route 2001:db8:7::/48[]", "synced")
	p.synced() // there is nothing stale any more
	h.expect(t, "synced")
}

// Without a successor, or with one that is never complete, stale routes go after
// the restart time. A process that ends again does not give them another one.
func TestStaleRoutesHaveALimit(t *testing.T) {
	t.Parallel()
	for _, comes := range []bool{false, true} {
		t.Run(fmt.Sprintf("a successor comes: %v", comes), func(t *testing.T) {
			t.Parallel()
			_, h, socket := begin(t, time.Second)
			p := play(t, socket)
			p.accept()
			p.setup()
			p.routes(route("198.51.100.0/24", "203.0.113.1"), route("192.0.2.0/24", "203.0.113.1"))
			h.expect(t, "connected true ", "route 198.51.100.0/24[203.0.113.1]", "route 192.0.2.0/24[203.0.113.1]")
			ended := time.Now()
			p.end()
			h.expect(t, "connected false the BGP process has ended")
			want := []string{"route 198.51.100.0/24[]", "route 192.0.2.0/24[]"}
			if comes {
				p = play(t, socket)
				p.accept()
				p.routes(route("192.0.2.0/24", "203.0.113.9")) // this one is confirmed
				h.expect(t, "connected true ", "route 192.0.2.0/24[203.0.113.9]")
				want = want[:1]
			}
			h.all(t, want...)
			if after := time.Since(ended); after < 900*time.Millisecond {
				t.Errorf("withdrawn after %v, want not before a second", after)
			}
		})
	}
}

// A message that none of ours sends ends the connection; the client connects anew.
func TestNonsenseEndsTheConnection(t *testing.T) {
	t.Parallel()
	for name, message := range map[string][]byte{
		"a route cut off":           bgp.AppendBody(nil, bgp.KindRoutes, []byte{2, 8}),
		"a report that is no JSON":  bgp.AppendBody(nil, bgp.KindReport, []byte("{")),
		"an answer without number":  bgp.AppendBody(nil, bgp.KindAnswer, []byte{1}),
		"an answer that is no JSON": bgp.AppendNumbered(nil, bgp.KindAnswer, 1, []byte("[")),
		"what is for the process":   bgp.AppendHeader(nil, bgp.KindEnd, 0),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, h, socket := begin(t, time.Hour)
			p := play(t, socket)
			p.accept()
			h.expect(t, "connected true ")
			p.send(message)
			h.expect(t, "connected false the BGP process sent nonsense")
			p.accept()
			h.expect(t, "connected true ")
			p.send([]byte{0, 0, 0, 0, 0}) // not even a header
			h.expect(t, "connected false "+Nonsense)
		})
	}
}

// Answers find who has asked, in whatever order they come; one that nobody waits
// for any more harms nothing.
func TestAnswersFindWhoHasAsked(t *testing.T) {
	t.Parallel()
	c, h, socket := begin(t, time.Hour)
	if _, err := c.Ask(t.Context(), bgp.Query{}); !errors.Is(err, ErrNotConnected) {
		t.Errorf("without a process: %v", err)
	}
	p := play(t, socket)
	p.accept()
	p.setup()
	h.expect(t, "connected true ")
	prefixes := []string{"198.51.100.0/24", "192.0.2.0/24", "203.0.113.0/24"}
	answers := make(chan error, len(prefixes))
	for _, prefix := range prefixes {
		go func() {
			q := bgp.Query{Prefix: netip.MustParsePrefix(prefix)}
			a, err := c.Ask(context.Background(), q)
			if err == nil && (len(a.Paths) != 1 || a.Paths[0].Prefix != q.Prefix) {
				err = fmt.Errorf("%s is answered %+v", prefix, a)
			}
			answers <- err
		}()
	}
	asked := map[uint32]netip.Prefix{}
	for range prefixes {
		kind, body := p.read()
		number, text, err := bgp.ParseNumbered(body)
		must(t, err)
		var q bgp.Query
		must(t, json.Unmarshal(text, &q))
		if kind != bgp.KindQuery || asked[number].IsValid() {
			t.Fatalf("kind %d, number %d once more", kind, number)
		}
		asked[number] = q.Prefix
	}
	p.answer(999, bgp.Answer{Error: "nobody has asked"})
	for number, prefix := range asked {
		p.answer(number, bgp.Answer{Paths: []bgp.Path{{Prefix: prefix}}})
		p.answer(number, bgp.Answer{Error: "twice"})
	}
	for range prefixes {
		must(t, <-answers)
	}
}

func (p *process) answer(number uint32, a bgp.Answer) {
	p.t.Helper()
	text, err := json.Marshal(a)
	must(p.t, err)
	p.send(bgp.AppendNumbered(nil, bgp.KindAnswer, number, text))
}

// Who asks is told of an error, of the process' end, and does not wait for longer
// than he wants to.
func TestQuestionsWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	c, h, socket := begin(t, time.Hour)
	p := play(t, socket)
	p.accept()
	p.setup()
	h.expect(t, "connected true ")
	ask := func(ctx context.Context) chan error {
		result := make(chan error, 1)
		go func() {
			_, err := c.Ask(ctx, bgp.Query{Neighbors: true})
			result <- err
		}()
		return result
	}
	result := ask(t.Context())
	_, body := p.read()
	number, _, err := bgp.ParseNumbered(body)
	must(t, err)
	p.answer(number, bgp.Answer{Error: "no such prefix"})
	if err := <-result; err == nil || err.Error() != "no such prefix" {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result = ask(ctx)
	p.read()
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	result = ask(t.Context())
	p.read()
	p.end()
	if err := <-result; !errors.Is(err, ErrNotConnected) {
		t.Errorf("the process ends: %v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.asked) != 0 {
		t.Errorf("%d questions are kept", len(c.asked))
	}
}

// An orderly end is said, so that the neighbours are told at once instead of when
// the connection's end has been waited for.
func TestCloseSaysGoodbye(t *testing.T) {
	t.Parallel()
	c, h, socket := begin(t, time.Hour)
	p := play(t, socket)
	p.accept()
	p.setup()
	h.expect(t, "connected true ")
	c.Close()
	if kind, body := p.read(); kind != bgp.KindEnd || len(body) != 0 {
		t.Errorf("message of kind %d, %q", kind, body)
	}
	if n, err := p.conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("then %d bytes, %v", n, err)
	}
	c.Set(&bgp.Setup{}) // whoever comes too late disturbs nobody
	if _, err := c.Ask(t.Context(), bgp.Query{}); !errors.Is(err, ErrNotConnected) {
		t.Errorf("asked after the end: %v", err)
	}
}

// A report comes as it was sent; a process that does not read is given up instead
// of being waited for.
func TestAProcessThatDoesNotReadIsGivenUp(t *testing.T) {
	t.Parallel()
	c, h, socket := begin(t, time.Hour)
	p := play(t, socket)
	p.accept()
	h.expect(t, "connected true ")
	text, err := json.Marshal(bgp.Report{Problem: "port", Sessions: make([]bgp.Session, 3)})
	must(t, err)
	p.send(bgp.AppendBody(nil, bgp.KindReport, text))
	h.expect(t, "report port3")
	large := &bgp.Setup{Config: config.BGP{API: string(bytes.Repeat([]byte("x"), 1<<20))}}
	for range 80 { // more than there is room for
		c.Set(large)
	}
	h.expect(t, "connected false the BGP process has ended")
}

// The table against a plain map, through many connections.
func TestTableKnowsWhatTheRouterWasTold(t *testing.T) {
	tab := table{most: prefixesMost}
	told := map[netip.Prefix]bool{} // what the router has
	by := func(routes []bgp.Route) {
		if len(routes) == 0 || len(routes) > bgp.RoutesMax {
			t.Fatalf("%d routes at once", len(routes))
		}
		for _, r := range routes {
			if !told[r.Prefix] {
				t.Fatalf("%v is withdrawn and was not there", r.Prefix)
			}
			delete(told, r.Prefix)
		}
	}
	prefix := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, byte(18 + i>>16&1), byte(i >> 8), byte(i)}), 32)
	}
	const all = 3 * bgp.RoutesMax / 2
	for connection := range 300 { // more than the numbers there are for them
		tab.now++
		tab.stale = connection > 0
		want := map[netip.Prefix]bool{}
		for i := range all {
			if (i+connection)%3 != 0 || connection%50 == 49 {
				continue
			}
			must(t, tab.note([]bgp.Route{route(prefix(i).String(), "203.0.113.1")}))
			told[prefix(i)], want[prefix(i)] = true, true
		}
		tab.withdraw(by)
		if !reflect.DeepEqual(told, want) || tab.prefixes.Size() != len(want) {
			t.Fatalf("connection %d: the router has %d prefixes, the table %d, want %d", connection, len(told), tab.prefixes.Size(), len(want))
		}
		if n := tab.withdraw(by); n != 0 {
			t.Fatalf("connection %d: %d withdrawn twice", connection, n)
		}
	}
}
