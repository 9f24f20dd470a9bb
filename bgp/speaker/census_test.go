package speaker

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"vrouter/bgp"
	w "vrouter/internal/bgpwire"
)

const nCensus = 85 // and the next

// censusOf returns what show bgp says of the i-th neighbour.
func censusOf(s *server, i int) map[string]bgp.Family {
	m := map[string]bgp.Family{}
	for _, x := range s.counted() {
		if x.Address == hostileAddr(i) {
			for _, f := range x.Families {
				m[f.Name] = f
			}
		}
	}
	return m
}

// What the import policy keeps out is received and rejected; what it lets in is
// accepted also where another neighbour's path is the better one.
func TestAcceptedIsWhatTheImportPolicyHasLetIn(t *testing.T) {
	s := hostileTarget(t)
	first, second := join(t, s, nCensus), join(t, s, nCensus+1)
	shared, own, six := netip.MustParsePrefix("24.0.0.0/16"), netip.MustParsePrefix("24.1.0.0/16"), netip.MustParsePrefix("2001:db8:2400::/48")
	loop, martian := netip.MustParsePrefix("24.2.0.0/16"), netip.MustParsePrefix("127.1.0.0/16")
	origin, _, hop := attributesOf(nCensus)
	looped := w.Attribute(w.Transitive, w.ASPath, w.Segment(2, hostileAS, hostileOurs, 3356)...)
	send(t, first, good(nCensus, shared, own, martian), good6(nCensus, six),
		w.Update(nil, slices.Concat(origin, looped, hop), w.Prefixes(loop)))
	eventually(t, "the first neighbour's routes", func() bool { return s.has(nCensus, shared) && s.has(nCensus, own) })
	send(t, second, good(nCensus+1, shared))

	check := func(what string, i int, name string, received, accepted uint64) {
		t.Helper()
		want := bgp.Family{Name: name, Received: received, Accepted: accepted, Rejected: received - accepted}
		var got bgp.Family
		for over := time.Now().Add(wait); time.Now().Before(over); time.Sleep(20 * time.Millisecond) {
			got = censusOf(s, i)[name]
			got.Advertised = 0 // others announce at the same time
			if got == want {
				return
			}
		}
		t.Errorf("%s: %+v, want %+v", what, got, want)
	}
	check("a martian and a loop are kept out", nCensus, "ipv4", 4, 2)
	check("IPv6", nCensus, "ipv6", 1, 1)
	check("a path that is not the best", nCensus+1, "ipv4", 1, 1)

	large := s.count(time.Millisecond)
	if got := large[hostileAddr(nCensus)]; got != (accepted{2, 1}) {
		t.Errorf("counted with pauses: %+v", got)
	}
	send(t, first, w.Update(w.Prefixes(own), nil, nil))
	check("after a withdrawal", nCensus, "ipv4", 3, 1)
	send(t, first, w.Update(nil, slices.Concat(origin, looped, hop), w.Prefixes(shared)))
	check("after a loop took the place of a good one", nCensus, "ipv4", 3, 0)
	check("the other neighbour's stays", nCensus+1, "ipv4", 1, 1)
	first.Close()
	check("after the end of the session", nCensus, "ipv4", 0, 0)
}

func TestBestPathsAreCountedByTheirNeighbour(t *testing.T) {
	tab := newTable()
	for text, list := range map[string][]way{
		"198.51.100.0/24": {hopWay(1, "203.0.113.1")},
		"192.0.2.0/24":    {hopWay(1, "203.0.113.1"), hopWay(2, "203.0.113.2")},
		"203.0.113.0/24":  {hopWay(2, "203.0.113.2")},
		"2001:db8:7::/48": {hopWay(2, "2001:db8::2")},
	} {
		tab.set(netip.MustParsePrefix(text), list...)
	}
	tab.set(netip.MustParsePrefix("203.0.113.0/24")) // and withdrawn
	got := tab.bestBySource()
	if len(got) != 2 || got[1] != (accepted{2, 0}) || got[2] != (accepted{0, 1}) {
		t.Errorf("counted %v", got)
	}
	var list []netip.Prefix
	for next, rounds := uint32(0), 0; ; rounds++ {
		n := len(list)
		if list, next = tab.prefixes(list, next, n+2); len(list) == n {
			break
		}
	}
	if len(list) != 3 {
		t.Errorf("walked through %v", list)
	}
}
