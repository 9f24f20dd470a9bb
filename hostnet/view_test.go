package hostnet

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// gateways makes a unicast route by device 1.
func gateways(prefix string, metric uint32, via ...string) Route {
	r := Route{Prefix: pfx(prefix), Metric: metric, Protocol: unix.RTPROT_STATIC}
	for _, v := range via {
		r.Hops = append(r.Hops, Hop{Via: netip.MustParseAddr(v), Device: 1})
	}
	return r
}

func notice(r Route, change func(*message)) *message {
	m := &message{kind: unix.RTM_NEWROUTE, route: &tableRoute{254, r}}
	if change != nil {
		change(m)
	}
	return m
}

func gone(m *message)     { m.gone = true }
func added(m *message)    { m.added = true }
func replaces(m *message) { m.replaces = true }

// line writes a route as tests compare it.
func line(r *Route) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %d", r.Prefix, r.Metric)
	for _, h := range r.Hops {
		fmt.Fprintf(&b, " %v@%d", h.Via, h.Device)
	}
	return b.String()
}

// says writes all that Take hands out.
func says(v *View) (lines []string) {
	for v.Waiting() {
		for _, c := range v.Take(nil) {
			text := line(&c.Route)
			if c.Gone {
				text += " gone"
			}
			lines = append(lines, text)
		}
	}
	return lines
}

func wants(t *testing.T, v *View, want ...string) {
	t.Helper()
	if got := says(v); !slices.Equal(got, want) {
		t.Fatalf("changes %q, want %q", got, want)
	}
}

func TestOfSeveralChangesOfARouteOnlyTheLastIsTold(t *testing.T) {
	v := NewView(254)
	v.notice(notice(gateways("198.51.100.0/24", 0, "192.0.2.1"), nil))
	v.notice(notice(gateways("203.0.113.0/24", 0, "192.0.2.1"), nil))
	v.notice(notice(gateways("198.51.100.0/24", 0, "192.0.2.2"), replaces))
	wants(t, v, "198.51.100.0/24 0 192.0.2.2@1", "203.0.113.0/24 0 192.0.2.1@1")
	v.notice(notice(gateways("198.51.100.0/24", 0, "192.0.2.2"), gone))
	wants(t, v, "198.51.100.0/24 0 gone")
	v.notice(notice(gateways("203.0.113.0/24", 0, "192.0.2.1"), nil)) // nothing new
	wants(t, v)
}

func TestOtherTablesAreNotLookedAt(t *testing.T) {
	v := NewView(254)
	v.notice(notice(gateways("198.51.100.0/24", 0, "192.0.2.1"), func(m *message) { m.route.table = 100 }))
	v.Begin()
	v.saw(&tableRoute{255, gateways("198.51.100.0/24", 0, "192.0.2.1")})
	v.End()
	wants(t, v)
}

func TestALookFindsWhatWentInSilence(t *testing.T) {
	v := NewView(254)
	v.notice(notice(gateways("198.51.100.0/24", 0, "192.0.2.1"), nil))
	v.notice(notice(gateways("203.0.113.0/24", 0, "192.0.2.1"), nil))
	says(v)
	v.Begin()
	v.saw(&tableRoute{254, gateways("203.0.113.0/24", 0, "192.0.2.1")})
	v.End()
	wants(t, v, "198.51.100.0/24 0 gone")
	if v.Doubt() {
		t.Fatal("a quiet look leaves no doubt")
	}
}

func TestANoticeInTheTimeOfALookWins(t *testing.T) {
	v := NewView(254)
	v.notice(notice(gateways("198.51.100.0/24", 0, "192.0.2.1"), nil))
	v.notice(notice(gateways("203.0.113.0/24", 0, "192.0.2.1"), nil))
	says(v)
	v.Begin()
	v.notice(notice(gateways("198.51.100.0/24", 0, "192.0.2.1"), gone))
	v.notice(notice(gateways("203.0.113.0/24", 0, "192.0.2.9"), replaces))
	v.saw(&tableRoute{254, gateways("198.51.100.0/24", 0, "192.0.2.1")}) // both were read before
	v.saw(&tableRoute{254, gateways("203.0.113.0/24", 0, "192.0.2.1")})
	v.End()
	wants(t, v, "198.51.100.0/24 0 gone", "203.0.113.0/24 0 192.0.2.9@1")
}

// What a notice and the look in whose time it came both tell is one route, not
// two of one key.
func TestARouteThatIsToldAndSeenIsOne(t *testing.T) {
	v := NewView(254)
	r := gateways("198.51.100.0/24", 0, "192.0.2.1")
	v.Begin()
	v.notice(notice(r, nil))
	v.saw(&tableRoute{254, r})
	v.End()
	says(v)
	v.notice(notice(r, gone))
	wants(t, v, "198.51.100.0/24 0 gone")
}

func TestWhatANoisyLookMissesStaysUntilTheSecondMissesItToo(t *testing.T) {
	v := NewView(254)
	v.notice(notice(gateways("198.51.100.0/24", 0, "192.0.2.1"), nil))
	says(v)
	for _, want := range [][]string{nil, {"198.51.100.0/24 0 gone"}} {
		v.Begin()
		v.notice(notice(gateways("203.0.113.0/24", 0, "192.0.2.1"), gone))
		v.End()
		wants(t, v, want...)
		if doubt := v.Doubt(); doubt != (want == nil) {
			t.Fatalf("doubt %v", doubt)
		}
	}
}

// IPv6 tells of each next hop that leaves a multipath route, IPv4 of the whole.
func TestANextHopThatLeavesIsTakenAwayAlone(t *testing.T) {
	v := NewView(254)
	v.notice(notice(gateways("2001:db8:9::/48", 1024, "2001:db8::1", "2001:db8::2", "2001:db8::3"), nil))
	says(v)
	v.notice(notice(gateways("2001:db8:9::/48", 1024, "2001:db8::2"), gone))
	wants(t, v, "2001:db8:9::/48 1024 2001:db8::1@1 2001:db8::3@1")
	if !v.Doubt() {
		t.Fatal("another look would make it certain")
	}
	v.notice(notice(gateways("2001:db8:9::/48", 1024, "2001:db8::1", "2001:db8::3"), gone))
	wants(t, v, "2001:db8:9::/48 1024 gone")
}

// ip route append puts an IPv4 route behind another of the same prefix and
// metric: the first is in use until it goes.
func TestOfSeveralRoutesOfOneKeyTheFirstIsInUse(t *testing.T) {
	v := NewView(254)
	first, second := gateways("198.51.100.0/24", 0, "192.0.2.1"), gateways("198.51.100.0/24", 0, "192.0.2.2")
	v.notice(notice(first, nil))
	says(v)
	v.notice(notice(second, added))
	wants(t, v)
	v.notice(notice(first, gone))
	wants(t, v) // better an old one for a moment than none
	if !v.Doubt() {
		t.Fatal("only a look can tell which is in use now")
	}
	v.Begin()
	v.saw(&tableRoute{254, second})
	v.End()
	wants(t, v, "198.51.100.0/24 0 192.0.2.2@1")

	v.Begin() // and a look that sees both
	v.saw(&tableRoute{254, first})
	v.saw(&tableRoute{254, second})
	v.End()
	wants(t, v, "198.51.100.0/24 0 192.0.2.1@1")
}

func TestRoutesByAMovedDeviceAreToldAnew(t *testing.T) {
	v := NewView(254)
	v.notice(notice(gateways("198.51.100.0/24", 0, "192.0.2.1"), nil))
	other := gateways("203.0.113.0/24", 0, "192.0.2.1")
	other.Hops[0].Device = 2
	v.notice(notice(other, nil))
	says(v)
	v.Moved([]int{2})
	wants(t, v, "203.0.113.0/24 0 192.0.2.1@2")
}

func TestABatchIsBounded(t *testing.T) {
	v := NewView(254)
	for i := range 3*BatchMax + 1 {
		v.notice(notice(gateways(fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255), 0, "192.0.2.1"), nil))
	}
	for _, want := range []int{BatchMax, BatchMax, BatchMax, 1, 0} {
		if got := len(v.Take(nil)); got != want {
			t.Fatalf("%d changes, want %d", got, want)
		}
	}
}

// world is a kernel: routes, what it has told and nobody has read yet, and a
// walk through its table.
type world struct {
	routes  map[routeKey]Route
	unread  []*message
	walking []routeKey // what the walk has still to visit
}

func (w *world) step(r *rand.Rand, v *View) string {
	route := gateways(fmt.Sprintf("10.%d.0.0/16", r.IntN(12)), uint32(r.IntN(2)), fmt.Sprintf("192.0.2.%d", 1+r.IntN(3)))
	k := routeKey{route.Prefix, route.Metric}
	_, known := w.routes[k]
	switch what := r.IntN(12); {
	case what < 4:
		w.routes[k] = route
		w.unread = append(w.unread, notice(route, replaces))
		return "put " + line(&route)
	case what < 6 && known:
		was := w.routes[k]
		delete(w.routes, k)
		w.unread = append(w.unread, notice(was, gone))
		return "delete " + line(&was)
	case what == 6 && known: // with its device
		delete(w.routes, k)
		return "lose in silence " + line(&route)
	case what == 7:
		w.unread = nil
		v.Abandon()
		w.walk(v)
		return "overrun"
	case what == 8 && !v.looking:
		w.walk(v)
		return "look"
	case what < 11:
		n := r.IntN(4)
		w.read(v, n)
		return fmt.Sprint("read ", n)
	}
	w.visit(v, 3)
	return "visit"
}

// walk begins a look. The kernel walks by key, so that what is there all the
// time is seen.
func (w *world) walk(v *View) {
	v.Begin()
	w.walking = nil
	for i := range 12 {
		for metric := range uint32(2) {
			w.walking = append(w.walking, routeKey{pfx(fmt.Sprintf("10.%d.0.0/16", i)), metric})
		}
	}
}

func (w *world) visit(v *View, n int) {
	for range n {
		if !v.looking {
			return
		}
		if len(w.walking) == 0 {
			v.End()
			return
		}
		if r, ok := w.routes[w.walking[0]]; ok {
			v.saw(&tableRoute{254, r})
		}
		w.walking = w.walking[1:]
	}
}

func (w *world) read(v *View, n int) {
	for ; n > 0 && len(w.unread) > 0; n-- {
		v.notice(w.unread[0])
		w.unread = w.unread[1:]
	}
}

// Whatever happens in whatever order, a view ends with what the kernel has, and
// so does who is told of the changes.
func TestAViewEndsWithWhatTheKernelHas(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 3))
		w, v, told := &world{routes: map[routeKey]Route{}}, NewView(254), map[routeKey]string{}
		take := func() {
			for _, c := range v.Take(nil) {
				k := routeKey{c.Prefix, c.Metric}
				if delete(told, k); !c.Gone {
					told[k] = line(&c.Route)
				}
			}
		}
		var history []string
		for range 120 {
			history = append(history, w.step(r, v))
			if r.IntN(4) == 0 {
				take()
			}
		}
		w.read(v, len(w.unread))
		for v.looking {
			w.visit(v, 1)
		}
		for range 3 { // a noisy look may have to be repeated
			w.walk(v)
			w.visit(v, len(w.walking)+1)
		}
		take()
		want := map[routeKey]string{}
		for k, route := range w.routes {
			want[k] = line(&route)
		}
		if !maps.Equal(told, want) {
			t.Fatalf("seed %d: told %v\nwant %v\nafter %s", seed, told, want, strings.Join(history, "; "))
		}
		if len(v.lists) > len(want) || v.Len() != len(want) {
			t.Fatalf("seed %d: %d lists of next hops for %d routes", seed, len(v.lists), v.Len())
		}
	}
}
