package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// farNeighbors are one by link-local addresses and one beyond the link.
var farNeighbors = fmt.Sprintf(`
[[bgp.neighbor]]
name = "near"
address = "fe80::10%%wan"
asn = %[1]d
hold_time = "30s"
import = { prefixes = ["::/0 le 128"] }

[[bgp.neighbor]]
name = "far"
address = "%[2]s"
asn = %[1]d
multihop = 2
password = "secret"
hold_time = "30s"
import = { prefixes = ["0.0.0.0/0 le 32"] }

[[route]]
to = "%[2]s/32"
via = ["%[3]s"]
`, theirAS, target4, wanHost4)

// birdFar is BIRD's side of them.
var birdFar = fmt.Sprintf(`
protocol static far4 { ipv4; route 198.18.7.0/24 unreachable; }
protocol static far6 { ipv6; route %[1]s unreachable; }
protocol bgp near {
	local fe80::10 as %[2]d;
	neighbor fe80::2%%eth0 as %[3]d;
	connect delay time 1;
	connect retry time 2;
	error wait time 1, 2;
	ipv6 { import all; export where source = RTS_STATIC; };
}
protocol bgp far {
	local %[4]s as %[2]d;
	neighbor 203.0.113.2 as %[3]d;
	multihop 2;
	password "secret";
	connect delay time 1;
	connect retry time 2;
	error wait time 1, 2;
	ipv4 { import all; export where source = RTS_STATIC; };
}
`, farRoute6, theirAS, ourAS, target4)

// Sessions between link-local addresses, which are bound to a device, and with a
// neighbour beyond the link, on a host with a default route of its own; before
// and after the router process was killed.
func TestBGPByLinkLocalAddressesAndBeyondTheLink(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	must(t, r.up.Address("eth0", "fe80::10/64"))
	r.bird(r.up, birdFar)
	v := r.vrouter("r1", strings.Replace(ownedSpeaker(farNeighbors), `"2001:db8:2::2/64"]`, `"2001:db8:2::2/64", "fe80::2/64"]`, 1))
	manage, err := r.lab.Switch("br-mgmt")
	must(t, err)
	_, err = manage.Connect(v.host, "mgmt")
	must(t, err)
	must(t, v.host.Address("mgmt", "198.19.0.2/24"))
	must(t, v.host.Route("0.0.0.0/0", "198.19.0.1", "mgmt"))
	v.start()
	near, _ := v.waitEstablished("near"), v.waitEstablished("far")
	v.waitRoute("198.18.7.0/24", "bgp", wanHost4) // recursively
	waitFor(t, patience, farRoute6+" is there", func() error {
		route, err := v.route(farRoute6)
		if err == nil && (route == nil || route.Source != "bgp" || route.NextHops[0].Interface != "wan") {
			err = fmt.Errorf("%+v", route)
		}
		return err
	})
	must(t, v.killRouter())
	waitFor(t, 2*patience, "the link-local session is another one", func() error {
		s, err := v.session("near")
		if err == nil && (s.State != "Established" || s.Established == near.Established) {
			err = fmt.Errorf("%+v", s)
		}
		return err
	})
	v.waitEstablished("far")
}

// A link that is cut is down for the host, too, and the host goes by another.
func TestTheHostSeesThatTheLinkIsCut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	v := r.vrouter("r1", hostTAPs(""))
	v.start()
	v.waitTAP("wan")
	v.waitTAP("lan")
	carrier := func(on bool) {
		t.Helper()
		waitFor(t, patience, fmt.Sprintf("vr-wan has a carrier: %v", on), func() error {
			out, err := r.run(v.host, "ip", "link", "show", "dev", "vr-wan")
			if err == nil && strings.Contains(out, "NO-CARRIER") == on {
				err = fmt.Errorf("%s", out)
			}
			return err
		})
	}
	carrier(true)
	must(t, v.wan.Cut())
	carrier(false)
	r.echo(v.host, "203.0.113.2")
	waitFor(t, patience, "the address is reached from the LAN", func() error { return talk(r.lan, "203.0.113.2") })
	must(t, v.wan.Plug())
	carrier(true)
	began := time.Now()
	waitFor(t, patience, "the address is reached from the WAN", func() error { return talk(r.up, "203.0.113.2") })
	t.Logf("reached again after %v", time.Since(began).Round(time.Millisecond))
}
