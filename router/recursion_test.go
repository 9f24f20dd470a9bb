package router

import (
	"net/netip"
	"testing"
	"time"

	"vrouter/bgp"
	"vrouter/config"
)

// speakerOf is a router with two links and one BGP neighbour.
func speakerOf(t *testing.T, neighbor string) (*Router, time.Time) {
	t.Helper()
	cfg, err := config.Parse("test", []byte(`
[[interface]]
name = "lan"
device = "eth1"
addresses = ["192.0.2.2/24"]
[[interface]]
name = "wan"
device = "eth2"
addresses = ["203.0.113.2/24"]
[[route]]
to = "172.16.0.0/16"
via = ["192.0.2.9"]
[bgp]
asn = 65001
[[bgp.neighbor]]
name = "n"
`+neighbor))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1e9, 0)
	r := New(cfg, 1)
	r.Start(now)
	for port := range uint16(2) {
		r.PortChanged(now, port, PortState{Present: true, Up: true, MTU: 1500, MAC: [6]byte{2, 0, 0, 0, 1, byte(port)}})
	}
	return r, now
}

// RFC 4271 5.1.3, 6.3: a neighbour of the own system, or one several hops away,
// may name a next hop that is on no link; one on a link may not.
func TestWhichNextHopsOfBGPMayBeOnNoLink(t *testing.T) {
	for _, test := range []struct {
		name, neighbor string
		external, used bool
	}{
		{"inside the system", "address = \"192.0.2.77\"\nasn = 65001\n", false, true},
		{"several hops away", "address = \"172.16.9.9\"\nasn = 64500\nmultihop = 3\nimport = { prefixes = [\"0.0.0.0/0 le 32\"] }\nexport = { prefixes = [\"192.0.2.0/24\"] }\n", true, true},
		{"on a link", "address = \"203.0.113.1\"\nasn = 64500\nimport = { prefixes = [\"0.0.0.0/0 le 32\"] }\nexport = { prefixes = [\"192.0.2.0/24\"] }\n", true, false},
	} {
		r, now := speakerOf(t, test.neighbor)
		prefix := netip.MustParsePrefix("10.0.0.0/8")
		r.BGPRoutes(now, []bgp.Route{{Prefix: prefix, External: test.external, Hops: []netip.Addr{netip.MustParseAddr("172.16.0.1")}}})
		best, ok := r.table.Best(prefix)
		if ok != test.used || ok && best.NextHops[0].Via != netip.MustParseAddr("192.0.2.9") {
			t.Errorf("%s: %+v, %v", test.name, best, ok)
		}
	}
}

// A track sees that the way to a next hop is lost, and found again.
func TestALostWayToANextHopIsALostRoute(t *testing.T) {
	r, now := speakerOf(t, "address = \"192.0.2.77\"\nasn = 65001\n")
	prefix := netip.MustParsePrefix("0.0.0.0/0")
	r.BGPRoutes(now, []bgp.Route{{Prefix: prefix, Hops: []netip.Addr{netip.MustParseAddr("172.16.0.1")}}})
	for _, up := range []bool{false, true} {
		r.PortChanged(now, 0, PortState{Present: true, Up: up, MTU: 1500, MAC: [6]byte{2, 0, 0, 0, 1, 0}})
		if _, ok := r.table.Best(prefix); ok != up {
			t.Errorf("the link is up: %v, the route is in use: %v", up, ok)
		}
	}
}
