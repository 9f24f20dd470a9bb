package router

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vrouter/bgp"
	"vrouter/rib"
)

// twoFamilies has a neighbour of each kind: on the link, by its link-local address,
// and beyond the link.
const twoFamilies = `
[[interface]]
name = "lan"
addresses = ["192.0.2.2/24"]

[[interface]]
name = "wan"
addresses = ["203.0.113.2/24", "2001:db8:2::2/64"]

[[vrrp]]
name = "gw"
interface = "lan"
vrid = 10
addresses = ["192.0.2.1"]
priority = 200
interval = "100ms"

[bgp]
asn = 65001

[[bgp.neighbor]]
name = "isp"
address = "203.0.113.1"
asn = 64500
import = { prefixes = ["0.0.0.0/0 le 32"] }
follow = "gw"

[[bgp.neighbor]]
name = "local"
address = "fe80::9%wan"
asn = 64501
families = ["ipv4", "ipv6"]

[[bgp.neighbor]]
name = "far"
address = "198.51.100.9"
asn = 64502
multihop = 5
`

// What the BGP process is told of the circumstances: next hops of the other family,
// the kernel's name of a link, every address that is nobody else's next hop, and
// why there must be no session.
func TestWhatTheBGPProcessIsTold(t *testing.T) {
	s := newScript(t, twoFamilies)
	if s.router.bgp.setup != nil {
		t.Errorf("told %+v before the interfaces were looked at: the router identifier could be another one", s.router.bgp.setup)
	}
	s.run("up lan")
	s.run("up wan")
	setup := s.router.bgp.setup
	if setup == nil || setup.RouterID != netip.MustParseAddr("203.0.113.2") || setup.Restarting {
		t.Fatalf("told %+v", setup)
	}
	source4, source6 := netip.MustParseAddr("203.0.113.2"), netip.MustParseAddr("2001:db8:2::2")
	for i, want := range []bgp.Circumstance{
		{Peer: netip.MustParseAddr("203.0.113.1"), Interface: "wan", Backup: true, Source4: source4, Source6: source6},
		{Peer: netip.MustParseAddr("fe80::9%vr-wan"), Interface: "wan", Source4: source4, Source6: source6},
		{Peer: netip.MustParseAddr("198.51.100.9")},
	} {
		if got := setup.Circumstances[i]; got != want {
			t.Errorf("circumstance %d: %+v, want %+v", i, got, want)
		}
	}
	for _, own := range []string{"192.0.2.1", "192.0.2.2", "203.0.113.2", "2001:db8:2::2"} {
		if !slices.Contains(setup.Own, netip.MustParseAddr(own)) {
			t.Errorf("%s is not told to be an address of ours: %v", own, setup.Own)
		}
	}
	s.run("down wan why=cut")
	for i, down := range []bool{true, true, false} { // who is not on a link may be reached otherwise
		if got := s.router.bgp.setup.Circumstances[i].Down; (got != "") != down || down && !strings.Contains(got, "wan") {
			t.Errorf("neighbour %d with its link cut: %q", i, got)
		}
	}
	if s.router.bgp.setup.RouterID != setup.RouterID {
		t.Error("another router identifier would end all sessions")
	}
}

// A new BGP process must say that packets still go by the routes of the one before
// (RFC 4724 4.1), and no other one may.
func TestOnlyASuccessorSaysThatItRestarts(t *testing.T) {
	s := newScript(t, twoFamilies)
	s.run("up lan")
	s.run("up wan")
	s.run("bgpprocess runs")
	s.run("bgpprocess ends")
	if s.router.bgp.setup.Restarting {
		t.Error("no session was up, and the successor says that routes are in use")
	}
	s.run("bgpprocess runs")
	s.run("bgp isp Established rib=yes")
	s.run("bgpprocess ends")
	if !s.router.bgp.setup.Restarting {
		t.Error("a session was up, and the successor does not say that its routes are in use")
	}
}

// Routes that the BGP process should not have chosen are counted and not used.
func TestRefusedRoutesOfBGP(t *testing.T) {
	s := newScript(t, twoFamilies)
	s.run("up lan")
	s.run("up wan")
	for _, test := range []struct{ prefix, via, counter string }{
		{"127.0.0.0/8", "203.0.113.1", "bgp_refused_martian"},
		{"fe80::/64", "2001:db8:2::1", "bgp_refused_martian"},
		{"198.51.100.0/24", "203.0.113.2", "bgp_refused_own_next_hop"},
		{"198.51.100.0/25", "192.0.2.2", "bgp_refused_own_next_hop"},
		{"2001:db8:9::/48", "fe80::1%dmz", "bgp_refused_unknown_interface"},
	} {
		before := map[string]uint64{}
		s.router.bgpCounters(before)
		s.run("bgproute " + test.prefix + " via=" + test.via)
		after := map[string]uint64{}
		s.router.bgpCounters(after)
		if after[test.counter] != before[test.counter]+1 {
			t.Errorf("%s via %s: %s is %d after %d", test.prefix, test.via, test.counter, after[test.counter], before[test.counter])
		}
		if b, ok := s.router.table.Best(netip.MustParsePrefix(test.prefix)); ok && len(b.NextHops) > 0 && b.Source == rib.BGP {
			t.Errorf("%s via %s is used: %+v", test.prefix, test.via, b)
		}
	}
	s.run("bgproute 2001:db8:9::/48 via=fe80::1%wan")
	if b, ok := s.router.table.Best(netip.MustParsePrefix("2001:db8:9::/48")); !ok || len(b.NextHops) != 1 || b.NextHops[0].Via != netip.MustParseAddr("fe80::1") {
		t.Errorf("by a link-local next hop: %+v, %v", b, ok)
	}
}

// Why a session is not up, in the words that an operator sees.
func TestSessionsThatAreNotUpSayWhy(t *testing.T) {
	s := newScript(t, twoFamilies)
	s.run("up lan")
	s.run("up wan")
	list, problem := s.router.BGPSessions()
	if problem != "" || len(list) != 3 || list[0].LastError != "the BGP process is not running" || list[0].Follows != "gw" || list[0].Families == nil {
		t.Errorf("without a process: %+v, %q", list, problem)
	}
	s.run("bgpprocess runs")
	for _, test := range []struct {
		command, want string
		known         bool
	}{
		{"bgp isp Active error=connection_refused", "Active: connection refused", false},
		{"bgp isp Connect", "Connect", false},
		{"bgp isp Established", "still announcing its routes", false},
		{"bgp isp Established rib=yes", "", true},
		{"bgp isp Idle stale=yes error=the_neighbour_restarts", "", true},
		{"bgp isp Idle error=gone", "Idle: gone", true},
	} {
		s.run(test.command)
		if got := s.router.bgpTerm("isp"); got.reason != test.want || got.up != (test.want == "") || got.known != test.known {
			t.Errorf("%s: %+v, want %q", test.command, got, test.want)
		}
	}
	if got := s.router.unreadyBGP(); !strings.Contains(got, "bgp local") {
		t.Errorf("waited for: %q", got)
	}
	s.run("run " + (bgpHold + time.Second).String())
	if got := s.router.unreadyBGP(); got != "" {
		t.Errorf("waited for after the limit: %q", got)
	}
}
