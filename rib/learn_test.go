package rib

import (
	"net/netip"
	"testing"
)

func bgpBy(from uint32, hop string) Route {
	return Route{Source: BGP, Via: []Via{{Addr: ip(hop), From: from}}}
}

// A hundred thousand prefixes that share two ways take the second one in one step
// when whoever has told of the first is lost, and the first again when it is back.
func TestAllPrefixesOfALostNeighborLeadElsewhereAtOnce(t *testing.T) {
	tab := newTable()
	const n = 100_000
	for i := range n {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{20 + byte(i>>16), byte(i >> 8), byte(i)}), 24)
		tab.Learn(p, bgpBy(1, "192.0.2.10"), bgpBy(2, "192.0.2.11"))
	}
	publish(tab)
	if l, s := tab.Learned(); l != n || s != n {
		t.Fatalf("%d learned, %d with a spare way", l, s)
	}
	for round, want := range []string{"192.0.2.11", "192.0.2.10", "192.0.2.11"} {
		if !tab.SetSilent(1, round != 1) || tab.SetSilent(1, round != 1) {
			t.Error("it is news once")
		}
		if changed := len(tab.pending); changed > 0 || tab.rebuild {
			t.Errorf("%d prefixes are changed one by one", changed)
		}
		s := publish(tab)
		for _, a := range []string{"20.0.0.1", "20.77.3.9", "21.134.159.255"} {
			if g := s.Route(ip(a)); g == nil || len(g.Hops) != 1 || g.Hops[0].Via != ip(want) {
				t.Fatalf("round %d: %s goes to %+v", round, a, g)
			}
		}
	}
}

// The spare way is kept resolved: the first packet must not wait for an answer.
func TestSpareNextHopsAreKeptResolved(t *testing.T) {
	tab := newTable()
	tab.Learn(pfx("198.51.100.0/24"), bgpBy(1, "192.0.2.10"), bgpBy(2, "192.0.2.11"))
	has := func(a string) bool {
		for _, n := range tab.NextHops() {
			if n.Addr == ip(a) {
				return true
			}
		}
		return false
	}
	if !has("192.0.2.10") || !has("192.0.2.11") {
		t.Errorf("kept: %v", tab.NextHops())
	}
	tab.Learn(pfx("198.51.100.0/24"), bgpBy(1, "192.0.2.10"), Route{})
	if has("192.0.2.11") {
		t.Error("a way that there is not any more is kept")
	}
}

// What is learned takes the place of what was, of both sources; other sources'
// routes stay.
func TestLearningReplacesBothSources(t *testing.T) {
	tab := newTable()
	p := pfx("198.51.100.0/24")
	tab.Add(Route{Prefix: p, Source: Imported, Via: via("192.0.2.12")})
	tab.Learn(p, bgpBy(1, "192.0.2.10"), Route{Source: InternalBGP, Via: via("192.0.2.11")})
	tab.Learn(p, Route{Source: InternalBGP, Via: via("192.0.2.11")}, Route{})
	if b, ok := tab.Best(p); !ok || b.Source != Imported {
		t.Errorf("%+v: 110 goes before 200", b)
	}
	tab.Remove(Imported, p)
	if b, ok := tab.Best(p); !ok || b.Source != InternalBGP {
		t.Errorf("%+v", b)
	}
	tab.Learn(p, Route{}, Route{})
	if b, ok := tab.Best(p); ok {
		t.Errorf("still there: %+v", b)
	}
	if l, s := tab.Learned(); l != 0 || s != 0 {
		t.Errorf("%d learned, %d spare", l, s)
	}
}

// Other next hops for each prefix are taken up to a bound; prefixes that share them
// go on being learned.
func TestWhatPrefixesShareIsBounded(t *testing.T) {
	tab := newTable()
	tab.choicesMost = len(tab.choices) + 10
	prefix := func(i int) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{30, byte(i)}), 16) }
	for i := range 100 {
		r := Route{Source: BGP}
		for j := range 7 {
			if i>>j&1 != 0 {
				r.Via = append(r.Via, Via{Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + j)})})
			}
		}
		tab.Learn(prefix(i), r, Route{})
	}
	if l, _ := tab.Learned(); l != 10 || tab.Refused() != 89 || len(tab.groups) > 40 {
		t.Errorf("%d learned, %d refused, %d groups", l, tab.Refused(), len(tab.groups))
	}
	tab.Learn(prefix(50), Route{Source: BGP, Via: []Via{{Addr: ip("192.0.2.100")}}}, Route{})
	if l, _ := tab.Learned(); l != 11 {
		t.Errorf("one with next hops that are known is not learned: %d", l)
	}
}
