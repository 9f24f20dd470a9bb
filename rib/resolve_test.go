package rib

import (
	"fmt"
	"net/netip"
	"testing"
)

// far makes vias that may be on no link.
func far(addresses ...string) (vias []Via) {
	for _, v := range via(addresses...) {
		v.Recursive = true
		vias = append(vias, v)
	}
	return vias
}

func saysOf(t *testing.T, tab *Table, want map[string]string) {
	t.Helper()
	s := publish(tab)
	for a, text1 := range want {
		if got := text(s, a); got != text1 {
			t.Errorf("%s: %s, want %s", a, got, text1)
		}
	}
}

// RFC 4271 5.1.3: the next hop of an inner neighbour is reached as the inner
// routing says.
func TestANextHopOnNoLinkIsReachedByTheRouteToIt(t *testing.T) {
	tab := newTable()
	tab.Add(Route{Prefix: pfx("10.0.0.0/8"), Source: InternalBGP, Via: far("172.16.0.1")})
	saysOf(t, tab, map[string]string{"10.1.1.1": "none"})
	tab.Add(Route{Prefix: pfx("172.16.0.0/24"), Source: Imported, Via: via("192.0.2.10", "203.0.113.1")})
	saysOf(t, tab, map[string]string{"10.1.1.1": "gateway 192.0.2.10/0? 203.0.113.1/1?"})
	// A longer match; a better one; gone.
	tab.Add(Route{Prefix: pfx("172.16.0.1/32"), Source: Imported, Via: via("192.0.2.11")})
	saysOf(t, tab, map[string]string{"10.1.1.1": "gateway 192.0.2.11/0?"})
	tab.Add(Route{Prefix: pfx("172.16.0.1/32"), Source: Static, Via: via("192.0.2.12")})
	saysOf(t, tab, map[string]string{"10.1.1.1": "gateway 192.0.2.12/0?"})
	tab.SetNeighbor(0, ip("192.0.2.12"), mac1, true)
	saysOf(t, tab, map[string]string{"10.1.1.1": "gateway 192.0.2.12/0"})
	tab.Remove(Static, pfx("172.16.0.1/32"))
	tab.Remove(Imported, pfx("172.16.0.1/32"))
	tab.SetPort(0, false)
	saysOf(t, tab, map[string]string{"10.1.1.1": "gateway 203.0.113.1/1?"})
	tab.SetPort(1, false)
	saysOf(t, tab, map[string]string{"10.1.1.1": "none"})
}

func TestANextHopThatMustBeOnALinkIsNotLookedFor(t *testing.T) {
	tab := newTable()
	tab.Add(Route{Prefix: pfx("10.0.0.0/8"), Source: BGP, Via: via("172.16.0.1")})
	tab.Add(Route{Prefix: pfx("172.16.0.0/24"), Source: Static, Via: via("192.0.2.10")})
	saysOf(t, tab, map[string]string{"10.1.1.1": "none"})
}

func TestTheDefaultRouteResolvesNothing(t *testing.T) {
	tab := newTable()
	tab.Add(Route{Prefix: pfx("0.0.0.0/0"), Source: Static, Via: via("192.0.2.10")})
	tab.Add(Route{Prefix: pfx("10.0.0.0/8"), Source: InternalBGP, Via: far("172.16.0.1")})
	saysOf(t, tab, map[string]string{"10.1.1.1": "gateway 192.0.2.10/0?"}) // the default route itself
	if b, ok := tab.Best(pfx("10.0.0.0/8")); ok {
		t.Errorf("%+v is in use", b)
	}
}

func TestSeveralLevelsAreFollowedAndCirclesLeft(t *testing.T) {
	tab := newTable()
	for i := range levelsMax {
		tab.Add(Route{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16), Source: Static, Via: far(fmt.Sprintf("10.%d.0.1", i+1))})
	}
	tab.Add(Route{Prefix: pfx("10.8.0.0/16"), Source: Static, Via: via("192.0.2.10")})
	saysOf(t, tab, map[string]string{"10.1.0.9": "gateway 192.0.2.10/0?", "10.7.0.9": "gateway 192.0.2.10/0?"})
	// A circle: of 10.7/16 by 10.8/16 and back, with a way out beside it.
	tab.Add(Route{Prefix: pfx("10.8.0.0/16"), Source: Static, Via: far("10.7.0.1")})
	saysOf(t, tab, map[string]string{"10.1.0.9": "none", "10.7.0.9": "none", "10.8.0.9": "none"})
	tab.Add(Route{Prefix: pfx("10.0.0.0/12"), Source: BGP, Via: via("203.0.113.1")})
	saysOf(t, tab, map[string]string{"10.7.0.9": "gateway 203.0.113.1/1?", "10.8.0.9": "gateway 203.0.113.1/1?"})
	// And a route to its own next hop.
	tab.Add(Route{Prefix: pfx("172.16.0.0/12"), Source: Static, Via: far("172.16.0.1")})
	saysOf(t, tab, map[string]string{"172.16.0.9": "none"})
}

func TestADeadEndOnTheWayIsOne(t *testing.T) {
	tab := newTable()
	tab.Add(Route{Prefix: pfx("10.0.0.0/8"), Source: InternalBGP, Via: far("172.16.0.1")})
	tab.Add(Route{Prefix: pfx("172.16.0.0/16"), Source: Static, Via: via("192.0.2.10")})
	tab.Add(Route{Prefix: pfx("172.16.0.0/24"), Source: Static, Type: Blackhole})
	saysOf(t, tab, map[string]string{"10.1.1.1": "none"})
	tab.Add(Route{Prefix: pfx("172.16.0.1/32"), Source: Local, Type: LocalType})
	saysOf(t, tab, map[string]string{"10.1.1.1": "none"}) // the host itself
	tab.RemoveMetric(Local, pfx("172.16.0.1/32"), 0)
	tab.Remove(Static, pfx("172.16.0.0/24"))
	saysOf(t, tab, map[string]string{"10.1.1.1": "gateway 192.0.2.10/0?"})
}

// A route whose destinations are on the link makes the next hop a neighbour.
func TestALinkRouteOnTheWay(t *testing.T) {
	tab := newTable()
	tab.Add(Route{Prefix: pfx("10.0.0.0/8"), Source: InternalBGP, Via: far("172.16.0.1")})
	tab.Add(Route{Prefix: pfx("172.16.0.0/24"), Source: Imported, Via: []Via{{Port: 1, HasPort: true}}})
	saysOf(t, tab, map[string]string{"10.1.1.1": "gateway 172.16.0.1/1?", "172.16.0.1": "connected 1"})
	if !tab.OnLink(1, ip("172.16.0.1")) || !tab.OnLink(1, ip("172.16.0.77")) || tab.OnLink(0, ip("172.16.0.77")) || tab.OnLink(1, ip("172.16.1.1")) {
		t.Error("OnLink")
	}
	tab.SetPort(1, false)
	saysOf(t, tab, map[string]string{"10.1.1.1": "none", "172.16.0.1": "none"})
}

// Whatever circles a neighbour's routes make, one lookup costs a bounded number
// of steps.
func TestAThicketOfRoutesCostsABoundedNumberOfSteps(t *testing.T) {
	tab := newTable()
	const size = 30
	var all []string
	for i := range size {
		all = append(all, fmt.Sprintf("10.%d.0.1", i))
	}
	for i := range size {
		tab.Add(Route{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16), Source: InternalBGP, Via: far(all...)})
	}
	s := search{t: tab}
	s.resolve(ip("10.0.0.1"))
	if s.steps > stepsMax+size*levelsMax || len(s.hops) > 0 {
		t.Fatalf("%d steps, %d hops", s.steps, len(s.hops))
	}
}

// A table of routes by far next hops, and one route more: what costs what.
func BenchmarkAddBesideRecursion(b *testing.B) {
	tab := newTable()
	tab.Add(Route{Prefix: pfx("172.16.0.0/16"), Source: Imported, Via: via("192.0.2.10")})
	for i := range 1000 {
		tab.Add(Route{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i)}), 24), Source: InternalBGP, Via: far(fmt.Sprintf("172.16.%d.%d", i>>8, i&255))})
	}
	hops := far("172.16.0.1")
	for i := 0; b.Loop(); i++ {
		tab.Add(Route{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{30, byte(i >> 8), byte(i)}), 24), Source: InternalBGP, Via: hops})
	}
}
