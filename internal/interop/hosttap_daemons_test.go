package interop

import (
	"fmt"
	"strings"
	"testing"

	"vrouter/internal/netlab"
)

// importing is a router with host TAPs that has no routes but those that its
// host's kernel gets from others.
func importing() string {
	return strings.Replace(hostTAPs("[import]\nkernel_table = 254\n"), routes, "", 1)
}

// bgpOn is a BIRD's protocols on the router's host: sessions from its addresses,
// whose routes go into the kernel; with authentication, GTSM and BFD.
func bgpOn() string {
	text := `
protocol kernel k4 { ipv4 { export where source = RTS_BGP; import none; }; }
protocol kernel k6 { ipv6 { export where source = RTS_BGP; import none; }; }
protocol bfd { interface "vr-*" { min rx interval 100 ms; min tx interval 100 ms; multiplier 3; }; }
protocol static lan4 { ipv4; route 192.0.2.0/24 unreachable; }
protocol static lan6 { ipv6; route 2001:db8:1::/64 unreachable; }
`
	for _, p := range []struct{ name, local, neighbor, password, channel string }{
		{"up4", "203.0.113.2", wanHost4, "secret-4", "ipv4"},
		{"up6", "2001:db8:2::2", wanHost6, "secret-6", "ipv6"},
	} {
		text += fmt.Sprintf(`
protocol bgp %s {
	local %s as %d;
	neighbor %s as %d;
	password "%s";
	ttl security on;
	bfd on;
	connect delay time 1;
	connect retry time 2;
	error wait time 1, 2;
	%s { import all; export where source = RTS_STATIC; };
}
`, p.name, p.local, ourAS, p.neighbor, theirAS, p.password, p.channel)
	}
	return text
}

// waitForwarded waits until what a daemon of the host has learned is forwarded
// by.
func waitForwarded(r *rig, v *vrouter) {
	r.t.Helper()
	for _, prefix := range []string{farRoute4, farRoute6} {
		waitFor(r.t, patience, prefix+" is taken over", func() error {
			route, err := v.route(prefix)
			if err == nil && (route == nil || route.Source != "imported" || len(route.NextHops) != 1 || route.NextHops[0].Interface != "wan") {
				err = fmt.Errorf("%+v", route)
			}
			return err
		})
	}
	waitFor(r.t, patience, "packets pass", r.forwards)
	for _, target := range []string{target4, target6} {
		must(r.t, talk(v.host, target)) // the host itself uses them, too
	}
}

// BIRD on the router's host speaks BGP from the router's addresses.
func TestBIRDOnTheRoutersHost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.echo(r.up, target4)
	r.echo(r.up, target6)
	r.bird(r.up, birdTwo())
	v := r.vrouter("r1", importing())
	v.start()
	v.waitTAP("wan")
	v.waitMaster()
	b := r.bird(v.host, "router id 203.0.113.2;\n"+bgpOn())
	waitForwarded(r, v)
	for _, name := range []string{"up4", "up6"} {
		out, err := b.ask("show", "protocols", "all", name)
		must(t, err)
		if !strings.Contains(out, "Established") {
			t.Errorf("%s: %s", name, out)
		}
	}
	waitFor(t, patience, "both BFD sessions are up", func() error {
		out, err := b.ask("show", "bfd", "sessions")
		if err == nil && strings.Count(out, "Up") != 2 {
			err = fmt.Errorf("%s", out)
		}
		return err
	})
	if out, err := v.show("routes"); err != nil || strings.Contains(string(out), `"protocol": "118"`) {
		t.Errorf("the router has taken its own routes of the host over: %v %s", err, out)
	}
	// What BIRD withdraws is forwarded no more.
	must(t, b.process.Stop(stopPatience))
	v.waitRoute(farRoute4, "imported")
}

// FRR does so.
func TestFRROnTheRoutersHost(t *testing.T) {
	t.Parallel()
	zebra, bgpd := need(t, "zebra"), need(t, "bgpd")
	if netlab.SingleUser() {
		t.Skip("FRR changes to a user of its own, which needs root outside")
	}
	r := newRig(t)
	r.echo(r.up, target4)
	r.echo(r.up, target6)
	r.bird(r.up, withoutBFD(birdTwo()))
	v := r.vrouter("r1", importing())
	v.start()
	v.waitTAP("wan")
	v.waitMaster()
	startFRR(t, r, v.host, zebra, bgpd, fmt.Sprintf(`
router bgp %[1]d
 bgp router-id 203.0.113.2
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 neighbor %[2]s remote-as %[4]d
 neighbor %[2]s password secret-4
 neighbor %[2]s ttl-security hops 1
 neighbor %[2]s timers connect 2
 neighbor %[3]s remote-as %[4]d
 neighbor %[3]s password secret-6
 neighbor %[3]s ttl-security hops 1
 neighbor %[3]s timers connect 2
 address-family ipv4 unicast
  neighbor %[2]s activate
 exit-address-family
 address-family ipv6 unicast
  neighbor %[3]s activate
 exit-address-family
`, ourAS, wanHost4, wanHost6, theirAS))
	waitForwarded(r, v)
}
