package main

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vrouter/dataplane/port"
	"vrouter/internal/netlab"
	"vrouter/packet"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m)) }

func small(t *testing.T, more ...string) *options {
	t.Helper()
	o, err := parseOptions(append([]string{"-v4", "3000", "-v6", "1000", "-flows", "500", "-rounds", "2", "-tries", "1", "-loss", "200ms"}, more...))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestBadOptionsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-v4", "0"}, {"-rounds", "-1"}, {"-updates", "1"}, {"-loss", "0s"}, {"more"}, {"-what"}} {
		if _, err := parseOptions(args); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

// The table is what is measured: all prefixes by eight next hops on the WAN, and
// all by the default route when that is down.
func TestTheTableLosesItsNextHops(t *testing.T) {
	o := small(t)
	routes := o.internet()
	if len(routes) != 4000 {
		t.Fatalf("%d routes", len(routes))
	}
	tab := newTable(backup)
	s := loadTable(tab, routes)
	used := map[netip.Addr]int{}
	for i := range routes {
		g := s.Route(routes[i].Prefix.Addr())
		if g == nil || len(g.Hops) != 1 || g.Hops[0].Port != wan || !g.Hops[0].Resolved {
			t.Fatalf("%s goes to %+v", routes[i].Prefix, g)
		}
		used[g.Hops[0].Via]++
	}
	if len(used) != 2*hops {
		t.Errorf("next hops %v", used)
	}
	tab.SetPort(wan, false)
	s = publish(tab)
	for i := range routes {
		if g := s.Route(routes[i].Prefix.Addr()); g == nil || g.Hops[0].Port != backup {
			t.Fatalf("%s goes to %+v", routes[i].Prefix, g)
		}
	}
}

// Each change is one: the route has another next hop afterwards, again and again.
func TestChangesChange(t *testing.T) {
	o := small(t, "-v4", "30", "-v6", "10")
	routes := o.internet()
	tab := newTable(backup)
	loadTable(tab, routes)
	c := changer{table: tab, prefixes: compact(routes)}
	for i := range routes {
		if got := c.prefixes[i].prefix(); got != routes[i].Prefix {
			t.Fatalf("%s became %s", routes[i].Prefix, got)
		}
	}
	for n := range 200 {
		p := routes[n%len(routes)].Prefix
		before, _ := tab.Best(p)
		if c.take(1, 1) <= 0 {
			t.Error("a change takes no time")
		}
		after, ok := tab.Best(p)
		if !ok || after.NextHops[0].Via == before.NextHops[0].Via || after.NextHops[0].Port != wan {
			t.Fatalf("change %d of %s: from %v to %v", n, p, before.NextHops, after.NextHops)
		}
	}
}

func TestRates(t *testing.T) {
	now := time.Now()
	a := counts{at: now, busy: 100, frames: 10}
	b := counts{at: now.Add(time.Second / 2), busy: 1100, frames: 20}
	a.forwarded[wan], b.forwarded[wan], b.forwarded[backup] = 5, 12, 3
	if rate, cost := b.rate(a); rate != 20 || cost != 100 {
		t.Errorf("%v packets/s, %v ns", rate, cost)
	}
	if rate, cost := a.rate(a); cost != 0 || rate == rate && rate > 0 {
		t.Errorf("of nothing: %v packets/s, %v ns", rate, cost)
	}
	if m := median([]float64{3, 1, 2}); m != 2 {
		t.Errorf("median %v", m)
	}
}

// device takes frames and remembers how many at a time.
type device struct {
	batches []int
	stop    func()
}

func (d *device) Transmit(frames []*packet.Frame) int {
	d.batches = append(d.batches, len(frames))
	if len(d.batches) == 20 {
		d.stop()
	}
	return len(frames)
}
func (d *device) Stats() port.Stats { return port.Stats{} }
func (d *device) Close() error      { return nil }

// A generator that may send as it likes sends full batches; one that is paced, not
// more than is due, whatever the machine does meanwhile.
func TestThePaceOfTheGenerator(t *testing.T) {
	frames := make([]*packet.Frame, 70)
	for _, rate := range []float64{0, 20_000} {
		quit := make(chan struct{})
		d := &device{stop: func() { close(quit) }}
		began := time.Now()
		send(d, frames, rate, quit)
		sent := 0
		for _, n := range d.batches {
			sent += n
		}
		took := time.Since(began).Seconds()
		if rate > 0 && float64(sent) > rate*took+1 {
			t.Errorf("%d frames in %.4f s at %v a second", sent, took, rate)
		}
		if rate == 0 && !slices.Equal(d.batches[:6], []int{32, 32, 6, 32, 32, 6}) {
			t.Errorf("batches %v", d.batches)
		}
	}
}

// The whole measurement with a small table: it shows that the meter works, not how
// good the router is.
func TestMeasuresASmallTable(t *testing.T) {
	if err := netlab.Unavailable(); err != nil {
		t.Skip(err)
	}
	o := small(t, "-page", filepath.Join(t.TempDir(), "page.md"))
	r := &report{options: *o, begin: time.Now()}
	r.load()
	r.changes()
	b, err := newTestbed(o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.measure(ctx, b); err != nil {
		t.Skipf("the machine is too busy to measure: %v", err)
	}
	for f := range r.forwarding {
		if w := r.forwarding[f]; len(w.rate) == 0 || w.few[0] <= 0 || w.manyCost[0] <= 0 {
			t.Errorf("implausible: %+v", w)
		}
	}
	if len(r.firstPacket) == 0 || len(r.calm) != 1 || len(r.stirred) != 1 || r.stirred[0].sent == 0 || r.stirred[0].late == 0 {
		t.Errorf("implausible: %v %v %v", r.firstPacket, r.calm, r.stirred)
	}
	page := r.markdown()
	for _, part := range []string{"# Routes at scale", "3000 IPv4 and 1000 IPv6 prefixes", "| load:", "| IPv6 packets/s |", "first packet", "10000 changed routes a second", picture} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	if strings.Contains(page, "%!") {
		t.Error(page)
	}
}

// What is taken for a route of one family is of that family.
func TestNeighborsAreOnTheirLink(t *testing.T) {
	for port := range numPorts {
		for f := range own[port] {
			for i := range 2 * hops {
				if a := neighbor(port, f, i); !own[port][f].Contains(a) || a == own[port][f].Addr() {
					t.Errorf("neighbour %d of port %d: %s", i, port, a)
				}
			}
		}
	}
	if family(defaults[0]) != 0 || family(defaults[1]) != 1 {
		t.Error("families are mixed up")
	}
}
