package rib

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func ip(s string) netip.Addr    { return netip.MustParseAddr(s) }

// via parses next hops, "192.0.2.1" or "fe80::1%1" with the port as the zone.
func via(addrs ...string) (vs []Via) {
	for _, s := range addrs {
		a := ip(s)
		v := Via{Addr: a.WithZone("")}
		if a.Zone() != "" {
			v.HasPort, v.Port = true, uint16(a.Zone()[0]-'0')
		}
		vs = append(vs, v)
	}
	return vs
}

func static(prefix string, metric uint32, hops ...string) Route {
	return Route{Prefix: pfx(prefix), Source: Static, Metric: metric, Via: via(hops...)}
}

var mac1, mac2 = packet.MAC{2, 0, 0, 0, 0, 1}, packet.MAC{2, 0, 0, 0, 0, 2}

// newTable returns a table with two ports that are up: 0 is 192.0.2.2/24 and
// 2001:db8:1::2/64, 1 is 203.0.113.2/24.
func newTable() *Table {
	t := New()
	t.SetPort(0, true)
	t.SetPort(1, true)
	t.AddAddress(0, pfx("192.0.2.2/24"), false)
	t.AddAddress(0, pfx("2001:db8:1::2/64"), false)
	t.AddAddress(0, pfx("fe80::2/64"), false)
	t.AddAddress(1, pfx("203.0.113.2/24"), false)
	return t
}

func publish(t *Table) *fib.Snapshot {
	s := &fib.Snapshot{Ports: make([]fib.Port, 3)}
	t.Publish(s)
	return s
}

// text describes what a snapshot does with an address: "local 0",
// "gateway 192.0.2.1/0 ...", with "?" for a next hop that is not resolved.
func text(s *fib.Snapshot, addr string) string {
	g := s.Route(ip(addr))
	if g == nil {
		return "none"
	}
	kind := [...]string{"unreachable", "blackhole", "connected", "gateway", "local", "virtual", "broadcast", "foreign"}[g.Kind]
	switch g.Kind {
	case fib.Gateway:
		for _, h := range g.Hops {
			kind += fmt.Sprintf(" %s/%d", h.Via, h.Port)
			if !h.Resolved {
				kind += "?"
			}
		}
		return kind
	case fib.Unreachable, fib.Blackhole:
		return kind
	}
	return fmt.Sprintf("%s %d", kind, g.Port)
}

func want(t *testing.T, s *fib.Snapshot, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if got := text(s, pairs[i]); got != pairs[i+1] {
			t.Errorf("%s: %s, want %s", pairs[i], got, pairs[i+1])
		}
	}
}

func TestAnAddressBringsItsRoutes(t *testing.T) {
	tab := newTable()
	tab.AddAddress(1, pfx("198.51.100.4/31"), false)
	tab.AddAddress(1, pfx("198.51.100.9/32"), false)
	tab.AddAddress(1, pfx("198.51.100.18/30"), true)
	s := publish(tab)
	want(t, s,
		"192.0.2.2", "local 0", "192.0.2.10", "connected 0", "192.0.2.255", "broadcast 0", "192.0.2.0", "broadcast 0",
		"2001:db8:1::2", "local 0", "2001:db8:1::10", "connected 0", "2001:db8:1::", "connected 0",
		"198.51.100.4", "local 1", "198.51.100.5", "connected 1", // RFC 3021: no broadcast in a /31
		"198.51.100.9", "local 1", "198.51.100.8", "none",
		"198.51.100.18", "foreign 1", "198.51.100.16", "broadcast 1", "198.51.100.19", "broadcast 1",
		"fe80::2", "none", "9.9.9.9", "none")
	if got := s.Ports[0].LinkLocals; len(got) != 1 || got[0] != (fib.LinkLocal{Addr: ip("fe80::2").As16(), Kind: fib.Local}) {
		t.Errorf("link-local addresses %v", got)
	}
	if !s.Own.May4(0xc0000202) {
		t.Error("an own address is not in Own")
	}
	for _, p := range []string{"198.51.100.4/31", "198.51.100.9/32", "198.51.100.18/30"} {
		tab.RemoveAddress(1, pfx(p))
	}
	tab.RemoveAddress(0, pfx("fe80::2/64"))
	tab.RemoveAddress(0, pfx("192.0.2.2/24"))
	s = publish(tab)
	want(t, s, "192.0.2.2", "none", "192.0.2.10", "none", "198.51.100.4", "none", "203.0.113.2", "local 1")
	if len(s.Ports[0].LinkLocals) != 0 || s.Own.May4(0xc0000202) {
		t.Error("an address that is gone is still ours")
	}
}

func TestTwoAddressesOfOneSubnetShareItsRoutes(t *testing.T) {
	tab := newTable()
	tab.AddAddress(0, pfx("192.0.2.3/24"), false)
	tab.AddAddress(0, pfx("192.0.2.3/24"), false) // once more is no more
	tab.RemoveAddress(0, pfx("192.0.2.2/24"))
	want(t, publish(tab), "192.0.2.2", "connected 0", "192.0.2.3", "local 0", "192.0.2.255", "broadcast 0")
	tab.RemoveAddress(0, pfx("192.0.2.3/24"))
	tab.RemoveAddress(0, pfx("192.0.2.3/24"))
	want(t, publish(tab), "192.0.2.3", "none", "192.0.2.10", "none", "192.0.2.255", "none")
}

func TestAnAddressMayPassToTheHost(t *testing.T) {
	tab := newTable()
	tab.AddAddress(0, pfx("192.0.2.2/24"), true)
	s := publish(tab)
	want(t, s, "192.0.2.2", "foreign 0", "192.0.2.9", "connected 0")
	if s.Own.May4(0xc0000202) {
		t.Error("the host's address is not ours")
	}
}

func TestVirtualAddressesComeAndGoWithMastership(t *testing.T) {
	tab := newTable()
	tab.SetVirtual(0, ip("192.0.2.1"), true)
	tab.SetVirtual(0, ip("fe80::1"), false)
	tab.SetVirtual(0, ip("2001:db8:1::1"), false)
	s := publish(tab)
	want(t, s, "192.0.2.1", "local 0", "2001:db8:1::1", "virtual 0")
	if len(s.Ports[0].LinkLocals) != 2 || s.Ports[0].LinkLocals[0] != (fib.LinkLocal{Addr: ip("fe80::1").As16(), Kind: fib.Virtual}) {
		t.Errorf("link-local addresses %v", s.Ports[0].LinkLocals)
	}
	tab.SetVirtual(0, ip("192.0.2.1"), false)
	tab.SetVirtual(0, ip("fe80::1"), true)
	s = publish(tab)
	want(t, s, "192.0.2.1", "virtual 0")
	if s.Ports[0].LinkLocals[0].Kind != fib.Local {
		t.Error("accept did not change")
	}
	tab.RemoveVirtual(0, ip("192.0.2.1"))
	tab.RemoveVirtual(0, ip("192.0.2.1"))
	tab.RemoveVirtual(0, ip("fe80::1"))
	s = publish(tab)
	want(t, s, "192.0.2.1", "connected 0")
	if len(s.Ports[0].LinkLocals) != 1 || s.Own.May4(0xc0000201) {
		t.Error("still ours")
	}
}

func TestTheOwnerOfAVirtualAddressStaysLocal(t *testing.T) {
	tab := newTable()
	tab.SetVirtual(0, ip("192.0.2.2"), false)
	tab.SetVirtual(0, ip("fe80::2"), false)
	s := publish(tab)
	want(t, s, "192.0.2.2", "local 0")
	if len(s.Ports[0].LinkLocals) != 1 || s.Ports[0].LinkLocals[0].Kind != fib.Local {
		t.Errorf("link-local addresses %v", s.Ports[0].LinkLocals)
	}
	tab.RemoveVirtual(0, ip("192.0.2.2"))
	want(t, publish(tab), "192.0.2.2", "local 0")
}

func TestTheSameLinkLocalAddressMayBeOnManyPorts(t *testing.T) {
	tab := newTable()
	tab.SetVirtual(0, ip("fe80::1"), false)
	tab.SetVirtual(1, ip("fe80::1"), true)
	s := publish(tab)
	if s.Ports[0].LinkLocals[0].Kind != fib.Virtual || s.Ports[1].LinkLocals[0].Kind != fib.Local {
		t.Errorf("%v %v", s.Ports[0].LinkLocals, s.Ports[1].LinkLocals)
	}
}

func TestTheBestSourceThenTheBestMetricWins(t *testing.T) {
	tab := newTable()
	tab.Add(static("10.0.0.0/8", 20, "192.0.2.20"))
	tab.Add(Route{Prefix: pfx("10.0.0.0/8"), Source: BGP, Via: via("192.0.2.30")})
	want(t, publish(tab), "10.1.1.1", "gateway 192.0.2.20/0?")
	tab.Add(static("10.0.0.0/8", 10, "192.0.2.10"))
	want(t, publish(tab), "10.1.1.1", "gateway 192.0.2.10/0?")
	tab.Add(static("10.0.0.0/8", 10, "192.0.2.11")) // in its place
	want(t, publish(tab), "10.1.1.1", "gateway 192.0.2.11/0?")
	b, ok := tab.Best(pfx("10.0.0.0/8"))
	if !ok || b.Source != Static || b.Metric != 10 || b.Type != Unicast || len(b.NextHops) != 1 || b.NextHops[0].Via != ip("192.0.2.11") {
		t.Errorf("best %+v", b)
	}
	tab.Remove(Static, pfx("10.0.0.0/8"))
	want(t, publish(tab), "10.1.1.1", "gateway 192.0.2.30/0?")
	tab.Remove(BGP, pfx("10.0.0.0/8"))
	tab.Remove(BGP, pfx("10.0.0.0/8"))
	want(t, publish(tab), "10.1.1.1", "none")
	tab.Add(static("192.0.2.0/24", 0, "203.0.113.1"))
	want(t, publish(tab), "192.0.2.77", "connected 0")
}

func TestBlackholeAndUnreachableRoutes(t *testing.T) {
	tab := newTable()
	tab.Add(Route{Prefix: pfx("10.0.0.0/8"), Source: Static, Type: Blackhole})
	tab.Add(Route{Prefix: pfx("10.1.0.0/16"), Source: Static, Type: Unreachable})
	tab.Add(Route{Prefix: pfx("10.2.0.0/16"), Source: Static}) // without a next hop it is never used
	want(t, publish(tab), "10.9.0.1", "blackhole", "10.1.0.1", "unreachable", "10.2.0.1", "blackhole")
	if b, _ := tab.Best(pfx("10.0.0.0/8")); b.Type != Blackhole || b.NextHops != nil {
		t.Errorf("%+v", b)
	}
}

func TestAPortThatGoesDownTakesItsRoutesAlong(t *testing.T) {
	tab := newTable()
	tab.Add(static("10.0.0.0/8", 1, "203.0.113.1"))
	tab.Add(static("10.0.0.0/8", 2, "192.0.2.10"))
	tab.Add(static("10.1.0.0/16", 1, "203.0.113.1", "192.0.2.10"))
	tab.Add(static("10.2.0.0/16", 1, "203.0.113.1"))
	tab.SetPort(1, false)
	want(t, publish(tab), "10.0.0.1", "gateway 192.0.2.10/0?", "10.1.0.1", "gateway 192.0.2.10/0?", "10.2.0.1", "gateway 192.0.2.10/0?",
		"203.0.113.1", "none", "203.0.113.255", "none", "203.0.113.2", "local 1")
	if _, ok := tab.Best(pfx("10.2.0.0/16")); ok {
		t.Error("a route through a port that is down is in use")
	}
	tab.SetPort(1, true)
	want(t, publish(tab), "10.0.0.1", "gateway 203.0.113.1/1?", "10.1.0.1", "gateway 192.0.2.10/0? 203.0.113.1/1?", "10.2.0.1", "gateway 203.0.113.1/1?",
		"203.0.113.1", "connected 1", "203.0.113.255", "broadcast 1")
}

func TestANextHopFollowsTheConnectedPrefixThatHoldsIt(t *testing.T) {
	tab := newTable()
	tab.Add(static("10.0.0.0/8", 1, "198.51.100.1"))
	want(t, publish(tab), "10.0.0.1", "none")
	tab.AddAddress(1, pfx("198.51.100.2/24"), false)
	want(t, publish(tab), "10.0.0.1", "gateway 198.51.100.1/1?")
	tab.AddAddress(0, pfx("198.51.100.3/25"), false) // more specific
	want(t, publish(tab), "10.0.0.1", "gateway 198.51.100.1/0?")
	tab.RemoveAddress(0, pfx("198.51.100.3/25"))
	tab.RemoveAddress(1, pfx("198.51.100.2/24"))
	want(t, publish(tab), "10.0.0.1", "none")
}

func TestALinkLocalNextHopNamesItsPort(t *testing.T) {
	tab := newTable()
	tab.Add(static("::/0", 1, "fe80::1%1"))
	want(t, publish(tab), "2001:db8:99::1", "gateway fe80::1/1?")
	if got := tab.NextHops(); !slices.Equal(got, []Neighbor{{1, ip("fe80::1")}}) {
		t.Errorf("next hops %v", got)
	}
	tab.SetPort(1, false)
	want(t, publish(tab), "2001:db8:99::1", "none")
}

// A route through the virtual address of a gateway leads nowhere once this
// router is that gateway.
func TestANextHopThatIsOurOwnIsNotUsed(t *testing.T) {
	tab := newTable()
	tab.Add(static("10.0.0.0/8", 1, "192.0.2.1", "192.0.2.10"))
	want(t, publish(tab), "10.0.0.1", "gateway 192.0.2.1/0? 192.0.2.10/0?")
	tab.SetVirtual(0, ip("192.0.2.1"), false)
	want(t, publish(tab), "10.0.0.1", "gateway 192.0.2.10/0?")
	tab.RemoveVirtual(0, ip("192.0.2.1"))
	want(t, publish(tab), "10.0.0.1", "gateway 192.0.2.1/0? 192.0.2.10/0?")
}

func TestOnlyResolvedNextHopsHaveBuckets(t *testing.T) {
	tab := newTable()
	tab.Add(static("10.0.0.0/8", 1, "192.0.2.10", "192.0.2.11"))
	buckets := func() (n [2]int, g fib.Group) {
		s := publish(tab)
		g = *s.Route(ip("10.0.0.1"))
		for _, i := range g.Buckets {
			n[i]++
		}
		return n, g
	}
	if n, _ := buckets(); n[0] == 0 || n[0] != n[1] {
		t.Errorf("none resolved: %v", n)
	}
	tab.SetNeighbor(0, ip("192.0.2.11"), mac1, true)
	if n, g := buckets(); n[0] != 0 || n[1] == 0 || g.Hops[1].MAC != mac1 {
		t.Errorf("one resolved: %v %v", n, g.Hops)
	}
	tab.SetNeighbor(0, ip("192.0.2.10"), mac2, true)
	if n, _ := buckets(); n[0] != n[1] {
		t.Errorf("both resolved: %v", n)
	}
	tab.SetNeighbor(0, ip("192.0.2.11"), mac2, true)
	if _, g := buckets(); g.Hops[1].MAC != mac2 {
		t.Error("the new MAC is not followed")
	}
	tab.SetNeighbor(0, ip("192.0.2.11"), packet.MAC{}, false)
	if n, g := buckets(); n[1] != 0 || g.Hops[1] != (fib.NextHop{Via: ip("192.0.2.11")}) {
		t.Errorf("one lost: %v %v", n, g.Hops)
	}
}

func TestNextHopsAreThoseOfRoutesInUse(t *testing.T) {
	tab := newTable()
	tab.Add(static("10.0.0.0/8", 1, "192.0.2.10", "203.0.113.1"))
	tab.Add(static("10.0.0.0/8", 2, "192.0.2.99"))
	tab.Add(static("10.1.0.0/16", 1, "192.0.2.10"))
	got := func() string { return fmt.Sprint(tab.NextHops()) }
	if got() != "[{0 192.0.2.10} {1 203.0.113.1}]" {
		t.Error(got())
	}
	tab.SetPort(1, false)
	if got() != "[{0 192.0.2.10}]" {
		t.Error(got())
	}
	tab.Remove(Static, pfx("10.0.0.0/8"))
	tab.Remove(Static, pfx("10.1.0.0/16"))
	if got() != "[]" {
		t.Error(got())
	}
}

func TestReplaceKeepsWhatIsThere(t *testing.T) {
	tab := newTable()
	tab.Replace(Static, []Route{static("10.0.0.0/8", 1, "192.0.2.10"), static("10.1.0.0/16", 1, "192.0.2.11"), static("10.1.0.0/16", 2, "192.0.2.12")})
	tab.Add(Route{Prefix: pfx("10.7.0.0/16"), Source: BGP, Via: via("192.0.2.30")})
	before := publish(tab)
	tab.Replace(Static, []Route{static("10.1.0.0/16", 2, "192.0.2.12"), static("10.1.0.0/16", 1, "192.0.2.11"), static("10.0.0.0/8", 1, "192.0.2.10")})
	after := publish(tab)
	if before.Routes != after.Routes || &before.Groups[0] != &after.Groups[0] {
		t.Error("the same routes made a new snapshot")
	}
	tab.Replace(Static, []Route{static("10.1.0.0/16", 2, "192.0.2.12")})
	want(t, publish(tab), "10.0.0.1", "none", "10.1.0.1", "gateway 192.0.2.12/0?", "10.7.0.1", "gateway 192.0.2.30/0?")
	tab.Replace(Static, nil)
	want(t, publish(tab), "10.1.0.1", "none", "10.7.0.1", "gateway 192.0.2.30/0?", "192.0.2.2", "local 0")
}

func TestANeighbourThatMovesChangesOneGroupAndNoRoute(t *testing.T) {
	tab := newTable()
	for i := range 200 {
		tab.Add(static(fmt.Sprintf("10.%d.0.0/16", i), 1, "192.0.2.10"))
		tab.Add(static(fmt.Sprintf("11.%d.0.0/16", i), 1, "192.0.2.11", "192.0.2.12"))
	}
	before := publish(tab)
	tab.SetNeighbor(0, ip("192.0.2.10"), mac1, true)
	after := publish(tab)
	if before.Routes != after.Routes {
		t.Error("the prefix table was replaced")
	}
	changed := 0
	for i := range before.Groups {
		if !slices.Equal(before.Groups[i].Hops, after.Groups[i].Hops) {
			changed++
		}
	}
	if changed != 1 || len(before.Groups) != len(after.Groups) {
		t.Errorf("%d groups changed", changed)
	}
	want(t, before, "10.5.0.1", "gateway 192.0.2.10/0?")
	want(t, after, "10.5.0.1", "gateway 192.0.2.10/0", "11.5.0.1", "gateway 192.0.2.11/0? 192.0.2.12/0?")
	if mac, ok := after.Ports[0].Neighbors.Lookup(ip("192.0.2.10")); !ok || mac != mac1 || before.Ports[0].Neighbors.Len() != 0 {
		t.Error("the neighbour table is wrong")
	}
	tab.SetNeighbor(0, ip("192.0.2.10"), mac1, true)
	if again := publish(tab); &again.Groups[0] != &after.Groups[0] || again.Ports[0].Neighbors != after.Ports[0].Neighbors {
		t.Error("nothing changed, but the snapshot")
	}
}

func TestGroupsAreFreedAndShared(t *testing.T) {
	tab := newTable()
	base := len(publish(tab).Groups)
	for round := range 50 {
		a, b := fmt.Sprintf("192.0.2.%d", 10+round), fmt.Sprintf("192.0.2.%d", 100+round)
		tab.Add(static("10.0.0.0/8", 1, a, b))
		tab.Add(static("11.0.0.0/8", 1, b, a, b)) // the same set
		if n := len(publish(tab).Groups); n > base+2 {
			t.Fatalf("round %d: %d groups", round, n)
		}
	}
}

func TestLookupAndAll(t *testing.T) {
	tab := newTable()
	tab.Add(static("0.0.0.0/0", 5, "203.0.113.1"))
	b, ok := tab.Lookup(ip("9.9.9.9"))
	if !ok || b.Prefix != pfx("0.0.0.0/0") || b.Metric != 5 || b.NextHops[0].Port != 1 {
		t.Errorf("%+v", b)
	}
	if b, _ = tab.Lookup(ip("192.0.2.2")); b.Source != Local || b.Type != LocalType {
		t.Errorf("%+v", b)
	}
	for _, a := range []netip.Addr{{}, ip("fe80::1"), ip("2001:db8:ffff::1")} {
		if _, ok := tab.Lookup(a); ok {
			t.Errorf("a route to %s", a)
		}
	}
	if _, ok := tab.Best(pfx("1.0.0.0/8")); ok {
		t.Error("a best route without candidates")
	}
	var lines []string
	for _, b := range tab.All() {
		lines = append(lines, fmt.Sprint(b.Prefix, " ", b.Source, " ", b.Type))
	}
	wanted := `0.0.0.0/0 static unicast
192.0.2.0/24 connected unicast
192.0.2.0/32 local broadcast
192.0.2.2/32 local local
192.0.2.255/32 local broadcast
203.0.113.0/24 connected unicast
203.0.113.0/32 local broadcast
203.0.113.2/32 local local
203.0.113.255/32 local broadcast
2001:db8:1::/64 connected unicast
2001:db8:1::2/128 local local`
	if got := strings.Join(lines, "\n"); got != wanted {
		t.Errorf("got\n%s", got)
	}
}

func TestInvalidInputsAreIgnored(t *testing.T) {
	tab := newTable()
	before := len(tab.All())
	tab.Add(Route{Source: Static})
	tab.AddAddress(0, netip.Prefix{}, false)
	tab.SetVirtual(0, netip.Addr{}, true)
	tab.Remove(Static, netip.Prefix{})
	if len(tab.All()) != before {
		t.Error("an invalid prefix made a route")
	}
}
