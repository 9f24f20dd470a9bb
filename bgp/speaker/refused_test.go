package speaker

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"vrouter/bgp"
	"vrouter/config"
	w "vrouter/internal/bgpwire"
)

// Neighbours of the hostile tests' server that have policies of their own.
const (
	nListed   = 87 // importListed
	nUnlisted = 88 // nothing (RFC 8212)
)

// importListed is what the neighbour nListed may announce: IPv4 alone.
var importListed = []config.PrefixRange{
	{Prefix: netip.MustParsePrefix("30.0.0.0/8"), Min: 16, Max: 24},
	{Prefix: netip.MustParsePrefix("30.4.0.0/16"), Min: 26, Max: 28},
	{Prefix: netip.MustParsePrefix("31.0.0.0/16"), Min: 16, Max: 16},
}

// Each reason where it holds, and the first one where several do: the order is that
// of the statements that GoBGP goes through.
func TestWhyARouteIsNotAccepted(t *testing.T) {
	listed := external("isp")
	listed.Import.Prefixes = append(slices.Clone(importListed), list("2001:db8::/32")...)
	four := listed
	four.Import.Prefixes = importListed
	const loop = "AS loop: our own AS 65001 is in its path"
	for _, test := range []struct {
		neighbor config.Neighbor
		prefix   string
		hop      string
		path     []uint32
		want     string
	}{
		{external("isp"), "30.1.0.0/16", "203.0.113.1", nil, "no import policy (RFC 8212); write import.prefixes of neighbor isp"},
		{four, "2001:db8::/32", "2001:db8:2::1", nil, "no import policy for IPv6 (RFC 8212): import.prefixes of neighbor isp has none of that family"},
		{listed, "32.0.0.0/16", "203.0.113.1", nil, "import.prefixes of neighbor isp has no entry with it"},
		{listed, "0.0.0.0/0", "203.0.113.1", nil, "import.prefixes of neighbor isp has no entry with it"},
		{listed, "30.1.0.0/25", "203.0.113.1", nil, "import.prefixes of neighbor isp, entry 1: of 30.0.0.0/8 /16 to /24 pass, not /25"},
		{listed, "30.4.0.0/25", "203.0.113.1", nil, "import.prefixes of neighbor isp, entry 2: of 30.4.0.0/16 /26 to /28 pass, not /25"},
		{listed, "31.0.5.0/24", "203.0.113.1", nil, "import.prefixes of neighbor isp, entry 3: of 31.0.0.0/16 only /16 pass, not /24"},
		{listed, "2001:db8:5::/48", "2001:db8:2::1", nil, "import.prefixes of neighbor isp, entry 4: of 2001:db8::/32 only /32 pass, not /48"},
		{listed, "30.1.0.0/16", "203.0.113.1", []uint32{64500, 65001}, loop},
		{listed, "30.1.0.0/16", "203.0.113.100", nil, "its next hop 203.0.113.100 is our own address"},
		{listed, "2001:db8::/32", "fe80::1", nil, "its next hop fe80::1 is our own address"},
		{listed, "127.0.0.0/8", "203.0.113.100", []uint32{65001}, "no network has such addresses (martian)"},
		{external("isp"), "32.0.0.0/16", "203.0.113.100", []uint32{64500, 65001, 64501}, loop},
		{listed, "30.1.0.0/16", "203.0.113.1", nil, unexplained},
		{internal("r2"), "32.0.0.0/16", "203.0.113.1", nil, unexplained},
	} {
		setup := setupOf(test.neighbor)
		setup.Own = []netip.Addr{netip.MustParseAddr("203.0.113.100"), netip.MustParseAddr("fe80::1%wan")}
		d := bgp.Path{Prefix: netip.MustParsePrefix(test.prefix), NextHop: netip.MustParseAddr(test.hop)}
		p := pathOf("203.0.113.1", append([]uint32{4200000001}, test.path...)...)
		if got := refusal(setup, &setup.Config.Neighbors[0], &d, p); got != test.want {
			t.Errorf("%s of %s by %s, path %v: %q, want %q", test.prefix, test.neighbor.Name, test.hop, test.path, got, test.want)
		}
	}
}

// RFC 4456 8: what was reflected back to us; another system's identifier says nothing.
func TestAReflectedRouteOfOurOwnIsNotAccepted(t *testing.T) {
	for _, test := range []struct {
		neighbor   config.Neighbor
		originator string
		want       string
	}{
		{internal("r2"), "192.0.2.1", "it is a route of our own that comes back: originator identifier 192.0.2.1 (RFC 4456)"},
		{internal("r2"), "192.0.2.2", unexplained},
		{external("isp"), "192.0.2.1", "no import policy (RFC 8212); write import.prefixes of neighbor isp"},
	} {
		setup := setupOf(test.neighbor)
		p := pathOf("203.0.113.1")
		id, err := gobgp.NewPathAttributeOriginatorId(netip.MustParseAddr(test.originator))
		if err != nil {
			t.Fatal(err)
		}
		p.Attrs = append(p.Attrs, id)
		d := bgp.Path{Prefix: netip.MustParsePrefix("198.51.100.0/24"), NextHop: netip.MustParseAddr("203.0.113.1")}
		if got := refusal(setup, &setup.Config.Neighbors[0], &d, p); got != test.want {
			t.Errorf("%s of %s: %q, want %q", test.originator, test.neighbor.Name, got, test.want)
		}
	}
}

// pathsOf returns what "show bgp routes" says of the paths of the i-th neighbour.
func pathsOf(t *testing.T, s *server, i int, prefix netip.Prefix) (list []bgp.Path) {
	t.Helper()
	all, err := s.paths(prefix)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.Neighbor == hostileName(i) {
			list = append(list, p)
		}
	}
	return list
}

// Of all that neighbours announce each path is shown: in use, or kept out with the
// reason; and GoBGP keeps out what the reasons say, no more and no less.
func TestRejectedPathsAreShownWithTheReason(t *testing.T) {
	s := hostileTarget(t)
	listed, unlisted := join(t, s, nListed), join(t, s, nUnlisted)
	random := rand.New(rand.NewPCG(5, 0))
	prefixes := []netip.Prefix{netip.MustParsePrefix("30.0.0.0/8"), netip.MustParsePrefix("30.4.0.0/16"), netip.MustParsePrefix("31.0.0.0/16")}
	for range 80 {
		a := netip.AddrFrom4([4]byte{byte(30 + random.IntN(3)), byte(random.IntN(6)), byte(random.Uint32()), byte(random.Uint32())})
		prefixes = append(prefixes, netip.PrefixFrom(a, 8+random.IntN(25)).Masked())
	}
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	prefixes = slices.Compact(prefixes)
	send(t, listed, good(nListed, prefixes...), good6(nListed, netip.MustParsePrefix("2001:db8:3000::/48")))
	send(t, unlisted, good(nUnlisted, prefixes...))
	last := netip.MustParsePrefix("30.5.255.0/24")
	taken(t, s, listed, nListed, last)
	eventually(t, "the other one's have come", func() bool { return len(pathsOf(t, s, nUnlisted, prefixes[len(prefixes)-1])) == 1 })

	accepted := 0
	for _, p := range prefixes {
		want := slices.ContainsFunc(importListed, func(r config.PrefixRange) bool {
			return r.Prefix.Contains(p.Addr()) && p.Bits() >= r.Min && p.Bits() <= r.Max
		})
		got := pathsOf(t, s, nListed, p)
		if len(got) != 1 || got[0].Rejected == want || got[0].Best != want || strings.Contains(got[0].Reason, unexplained) {
			t.Errorf("%v: %+v, want accepted %v", p, got, want)
		}
		if want {
			accepted++
		}
		got = pathsOf(t, s, nUnlisted, p)
		if len(got) != 1 || !got[0].Rejected || got[0].Best || !strings.HasPrefix(got[0].Reason, "not accepted: no import policy (RFC 8212)") {
			t.Errorf("%v of a neighbour without a list: %+v", p, got)
		}
	}
	if accepted < 10 || accepted > len(prefixes)-10 {
		t.Errorf("%d of %d prefixes pass: that says little", accepted, len(prefixes))
	}
	six := pathsOf(t, s, nListed, netip.MustParsePrefix("2001:db8:3000::/48"))
	if len(six) != 1 || !six[0].Rejected || !strings.Contains(six[0].Reason, "no import policy for IPv6") || six[0].NextHop != hop6(nListed) {
		t.Errorf("IPv6: %+v", six)
	}
}

// A path that loops or leads back to us, beside an accepted one of another
// neighbour: that is the only path, and the others say what is wrong with them; what
// is withdrawn is shown no more.
func TestARejectedPathBesideTheBest(t *testing.T) {
	s := hostileTarget(t)
	bad, fine := join(t, s, nListed+2), join(t, s, nListed+3)
	prefix := netip.MustParsePrefix("33.0.0.0/16")
	origin, path, hop := attributesOf(nListed + 2)
	looped := w.Attribute(w.Transitive, w.ASPath, w.Segment(2, hostileAS, hostileOurs)...)
	send(t, bad, w.Update(nil, slices.Concat(origin, looped, hop), w.Prefixes(prefix)))
	taken(t, s, fine, nListed+3, prefix)
	reasons := func() (list []string) {
		all, err := s.paths(prefix)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			list = append(list, fmt.Sprintf("%s %v: %s", p.Neighbor, p.Rejected, p.Reason))
		}
		return list
	}
	expect := func(what string, want ...string) {
		t.Helper()
		want = append([]string{hostileName(nListed+3) + " false: the only path"}, want...)
		eventually(t, what, func() bool { return slices.Equal(reasons(), want) })
	}
	expect("a loop", hostileName(nListed+2)+" true: not accepted: AS loop: our own AS 65001 is in its path")
	send(t, bad, w.Update(nil, slices.Concat(origin, path, w.Attribute(w.Transitive, w.NextHop, 192, 0, 2, 1)), w.Prefixes(prefix)))
	expect("a next hop of ours", hostileName(nListed+2)+" true: not accepted: its next hop 192.0.2.1 is our own address")
	send(t, bad, w.Update(w.Prefixes(prefix), nil, nil))
	expect("a withdrawal")
}
