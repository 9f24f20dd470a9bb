package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"vrouter/bgp"
	"vrouter/control/controltest"
)

// bgpBackend has a neighbour in each condition that a screen tells apart, and a
// prefix with paths that are used, lesser, stale and rejected.
func bgpBackend() *controltest.Fake {
	f := controltest.Idle()
	session := func(name, address, state string, ago time.Duration, families ...bgp.Family) bgp.Session {
		return bgp.Session{
			Name: name, Address: netip.MustParseAddr(address), ASN: 64500, State: state,
			Since: controltest.Now.Add(-ago), Families: families, Announces: "master",
		}
	}
	up := session("isp1", "203.0.113.1", bgp.StateEstablished, 90*time.Minute,
		bgp.Family{Name: "ipv4", Received: 1000, Accepted: 990, Rejected: 10, Advertised: 2},
		bgp.Family{Name: "ipv6", Received: 200, Accepted: 0, Rejected: 200, Advertised: 1})
	up.EndOfRIB, up.Follows = true, "gw"
	learning := session("isp2", "203.0.113.9", bgp.StateEstablished, time.Second, bgp.Family{Name: "ipv4", Received: 7})
	restarting := session("isp3", "2001:db8::9", bgp.StateIdle, 3*time.Second)
	restarting.Stale, restarting.LastError = true, "the neighbour restarts; its routes stay meanwhile"
	down := session("isp4", "203.0.113.10", bgp.StateActive, 26*time.Hour)
	down.LastError = "ended by the neighbour: cease, administrative shutdown"
	f.Sessions = []bgp.Session{up, learning, restarting, down}

	prefix, med := netip.MustParsePrefix("198.51.100.0/24"), uint32(50)
	path := func(neighbor, hop, as, reason string) bgp.Path {
		return bgp.Path{
			Prefix: prefix, Neighbor: neighbor, NextHop: netip.MustParseAddr(hop), ASPath: as, Origin: "igp",
			LocalPreference: 100, Since: controltest.Now.Add(-time.Hour), Communities: []string{}, External: true, Reason: reason,
		}
	}
	best := path("isp1", "203.0.113.1", "64500 3356", "the shorter AS path (2, not 3)")
	best.Best, best.Selected, best.MED, best.Communities = true, true, &med, []string{"64500:7", "no-export"}
	stale := path("isp3", "203.0.113.9", "64500 64500 3356", "the best has the shorter AS path (2, not 3)")
	stale.Stale = true
	loop := path("isp2", "203.0.113.9", "64500 65001", "not accepted: AS loop: our own AS 65001 is in its path")
	unlisted := path("r2", "192.0.2.3", "", "not accepted: import.prefixes of neighbor r2 has no entry with it")
	loop.Rejected, unlisted.Rejected = true, true
	f.Paths = []bgp.Path{best, stale, loop, unlisted}
	return f
}

func TestBGPScreens(t *testing.T) {
	socket := serve(t, bgpBackend())
	for _, test := range []struct{ name, args string }{
		{"bgp_neighbors", "show bgp"},
		{"bgp_neighbors_json", "show bgp --json"},
		{"bgp_paths", "show bgp routes 198.51.100.0/24"},
		{"bgp_paths_json", "show bgp routes 198.51.100.0/24 --json"},
	} {
		r := command(t, "", nil, append(strings.Fields(test.args), "-s", socket)...)
		if r.status != exitDone || r.stderr != "" {
			t.Errorf("%s: status %d, stderr %q", test.args, r.status, r.stderr)
		}
		golden(t, test.name, r.stdout)
	}
	r := command(t, "", nil, "show", "bgp", "routes", "198.51.100.0/24", "-s", serve(t, controltest.Idle()))
	if r.status != exitDone || r.stdout != "BGP has no path to 198.51.100.0/24\n" {
		t.Errorf("a prefix without paths: status %d, %q", r.status, r.stdout)
	}
}
