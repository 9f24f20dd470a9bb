package daemon

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vrouter/bgp"
	"vrouter/bgp/client"
	"vrouter/control"
)

// onBGP is onLAN with a neighbour.
const onBGP = onLAN + `
[bgp]
asn = 65001
restart_time = "1h"

[[bgp.neighbor]]
name = "isp1"
address = "203.0.113.1"
asn = 64500
import = { prefixes = ["0.0.0.0/0 le 32"] }
`

// bgpFake is what a BGP process looks like to the router process.
type bgpFake struct {
	t    *testing.T
	rig  *rig
	l    *net.UnixListener
	conn *net.UnixConn
}

// withBGP is a running router whose BGP process the test plays.
func withBGP(t *testing.T) *bgpFake {
	t.Helper()
	r := newRig(t, onBGP)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: r.process.cfg.Control.BGPSocket(), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	f := &bgpFake{t: t, rig: r, l: l}
	t.Cleanup(func() {
		l.Close()
		if f.conn != nil {
			f.conn.Close()
		}
	})
	r.start()
	f.accept()
	return f
}

// accept takes the router's next connection, and what it says first: the setup.
func (f *bgpFake) accept() {
	f.t.Helper()
	_ = f.l.SetDeadline(time.Now().Add(30 * time.Second))
	c, err := f.l.AcceptUnix()
	if err != nil {
		f.t.Fatalf("the router does not connect: %v", err)
	}
	f.conn = c
	kind, body := f.read()
	var setup bgp.Setup
	if kind != bgp.KindSetup || json.Unmarshal(body, &setup) != nil || setup.Config.ASN != 65001 || len(setup.Circumstances) != 1 {
		f.t.Fatalf("first it says %d: %s", kind, body)
	}
}

func (f *bgpFake) read() (bgp.Kind, []byte) {
	f.t.Helper()
	_ = f.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	var h [bgp.HeaderLen]byte
	if _, err := io.ReadFull(f.conn, h[:]); err != nil {
		f.t.Fatal(err)
	}
	kind, n, err := bgp.ParseHeader(h)
	body := make([]byte, n)
	if err == nil {
		_, err = io.ReadFull(f.conn, body)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return kind, body
}

func (f *bgpFake) say(b []byte) {
	f.t.Helper()
	if _, err := f.conn.Write(b); err != nil {
		f.t.Fatal(err)
	}
}

// announce says n routes, one message of at most bgp.RoutesMax each.
func (f *bgpFake) announce(n int) {
	f.t.Helper()
	var batch []bgp.Route
	for i := range n {
		batch = append(batch, bgp.Route{
			Prefix:   netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(i >> 8), byte(i), 0}), 24),
			External: true, Hops: []netip.Addr{netip.MustParseAddr("203.0.113.1")},
		})
		if len(batch) == bgp.RoutesMax || i == n-1 {
			f.say(bgp.AppendRoutes(nil, batch))
			batch = batch[:0]
		}
	}
}

// learned is how many routes of BGP the router has; life how many processes it has
// given up.
func (f *bgpFake) learned() (routes uint64, life int) {
	_ = f.rig.process.loop.call(context.Background(), func(time.Time) {
		routes, life = f.rig.process.loop.router.ControlCounters()["bgp_routes"], f.rig.process.bgp.life
	})
	return routes, life
}

func (f *bgpFake) expect(what string, routes uint64, life int) {
	f.t.Helper()
	await(f.t, what, func() bool {
		r, l := f.learned()
		return r == routes && l == life
	})
}

// More routes than a turn of the loop takes come through whole, and go again; a new
// process confirms some, and the others go when it is complete.
func TestRoutesOfTheBGPProcessReachTheRouter(t *testing.T) {
	t.Parallel()
	f := withBGP(t)
	const many = 3*bgp.RoutesMax + 7
	f.announce(many)
	f.expect("all routes", many, 0)
	if got := f.rig.process.bgp.routes.Load(); got != many {
		t.Errorf("%d changes were counted", got)
	}
	f.conn.Close()
	f.accept()
	f.expect("they stay without the process that told them", many, 0)
	f.announce(10)
	f.say(bgp.AppendHeader(nil, bgp.KindSynced, 0))
	f.expect("what nobody has confirmed is gone", 10, 0)
}

// Whatever a BGP process says that is no message: its connection ends, its routes
// stay, the guardian is asked for another process, VRRP does not notice. A message
// that is only cut off is an end like any other: no other process is asked for.
func TestABGPProcessThatSendsNonsense(t *testing.T) {
	t.Parallel()
	route := bgp.AppendRoutes(nil, []bgp.Route{{
		Prefix: netip.MustParsePrefix("198.51.100.0/24"), Hops: []netip.Addr{netip.MustParseAddr("203.0.113.1")},
	}})
	corrupt := bytes.Clone(route)
	corrupt[bgp.HeaderLen] ^= 0xff
	long := binary.BigEndian.AppendUint32(nil, bgp.MessageMax+1)
	for _, test := range []struct {
		what string
		say  []byte
		life int
	}{
		{"a corrupt message", corrupt, 1},
		{"a message that is too long", append(long, byte(bgp.KindRoutes)), 1},
		{"a message of no length", make([]byte, bgp.HeaderLen), 1},
		{"a message of an unknown kind", []byte{0, 0, 0, 1, 99}, 1},
		{"a report that is no JSON", bgp.AppendBody(nil, bgp.KindReport, []byte("{")), 1},
		{"an answer of two bytes", bgp.AppendBody(nil, bgp.KindAnswer, []byte{0, 1}), 1},
		{"a message that is the router's to send", bgp.AppendHeader(nil, bgp.KindEnd, 0), 1},
		{"half a message", route[:len(route)-3], 0},
		{"half a header", route[:2], 0},
		{"nothing", nil, 0},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			f := withBGP(t)
			f.announce(5)
			f.expect("the routes", 5, 0)
			await(t, "Master", func() bool { return f.rig.state() == "Master" })
			f.say(test.say)
			if test.life == 0 {
				f.conn.Close()
			}
			old := f.conn
			f.accept()
			old.Close()
			f.expect("the routes stay", 5, test.life)
			if state := f.rig.state(); state != "Master" {
				t.Errorf("VRRP: %s", state)
			}
		})
	}
}

// A process that ends as soon as it is connected, again and again: each time it is
// told everything, what it said stays, and nothing grows.
func TestABGPProcessThatEndsAtOnce(t *testing.T) {
	t.Parallel()
	f := withBGP(t)
	f.announce(5)
	f.expect("the routes", 5, 0)
	for range 20 {
		f.conn.Close()
		f.accept()
	}
	f.expect("the routes stay", 5, 0)
	f.announce(6)
	f.expect("the last one is listened to", 6, 0)
	if state := f.rig.state(); state != "Master" && state != "Backup" {
		t.Errorf("VRRP: %s", state)
	}
}

// Who asks a process that hangs waits as long as he wants to, and the router's own
// view of the sessions is there all the same; who asks where there is none is told.
func TestQuestionsToABGPProcess(t *testing.T) {
	t.Parallel()
	f := withBGP(t)
	f.say(bgp.AppendBody(nil, bgp.KindReport, []byte(`{"Problem":"TCP port 179: in use"}`)))
	b := &backend{loop: f.rig.process.loop, bgp: f.rig.process.bgp}
	prefix := netip.MustParsePrefix("198.51.100.0/24")
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.BGPPaths(short, prefix); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a process that hangs: %v", err)
	}
	await(t, "the problem is known", func() bool {
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		list, err := b.BGP(short)
		return err == nil && len(list) == 1 && list[0].LastError == "TCP port 179: in use"
	})
	f.rig.process.bgp.close()
	f.rig.process.bgp.close() // once more does no harm
	f.rig.process.bgp.speak(&bgp.Setup{})
	var refused *control.Error
	if _, err := b.BGPPaths(t.Context(), prefix); !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable ||
		refused.Remedy == "" || !strings.Contains(refused.Message, client.ErrNotConnected.Error()) {
		t.Errorf("no process: %v", err)
	}
}

// What a BGP process answers comes to who has asked, an error in its words.
func TestAnswersOfABGPProcess(t *testing.T) {
	t.Parallel()
	f := withBGP(t)
	b := &backend{loop: f.rig.process.loop, bgp: f.rig.process.bgp}
	for _, test := range []struct{ answer, want string }{
		{`{"Paths":[{"prefix":"198.51.100.0/24","neighbor":"isp1","rejected":true}]}`, "isp1 true <nil>"},
		{`{"Error":"paths of 198.51.100.0/24: no such table"}`, "paths of 198.51.100.0/24: no such table"},
	} {
		got := make(chan string, 1)
		go func() {
			paths, err := b.BGPPaths(t.Context(), netip.MustParsePrefix("198.51.100.0/24"))
			if len(paths) == 1 {
				got <- fmt.Sprint(paths[0].Neighbor, " ", paths[0].Rejected, " ", err)
			} else {
				got <- fmt.Sprint(err)
			}
		}()
		for {
			kind, body := f.read()
			number, rest, err := bgp.ParseNumbered(body)
			var q bgp.Query
			if kind != bgp.KindQuery || err != nil || json.Unmarshal(rest, &q) != nil || !q.Prefix.IsValid() {
				continue // another setup, or whether it is alive
			}
			f.say(bgp.AppendNumbered(nil, bgp.KindAnswer, number, []byte(test.answer)))
			break
		}
		if s := <-got; s != test.want {
			t.Errorf("%q, want %q", s, test.want)
		}
	}
}

// The BGP process is nobody's to start by hand, and says so.
func TestABGPProcessStartedByHand(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{", `{"Socket":1}`} {
		if err := RunBGP(t.Context(), text, io.Discard); err == nil || !strings.Contains(err.Error(), "started by vrouter run alone") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
