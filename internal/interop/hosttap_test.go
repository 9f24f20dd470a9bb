package interop

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// ownedSpeaker is a router that owns the addresses of its devices, with BGP
// neighbours on the WAN.
func ownedSpeaker(neighbors string) string {
	return fmt.Sprintf(`
[[interface]]
name = "lan"
attach = "af_packet"
device = "lan"
addresses = ["192.0.2.2/24", "2001:db8:1::2/64"]

[[interface]]
name = "wan"
attach = "af_packet"
device = "wan"
addresses = ["203.0.113.2/24", "2001:db8:2::2/64"]
`+virtualTable("wan4", "wan", vridWAN, 3, 150, "200ms", "203.0.113.1")+
		virtualTable("lan4", "lan", vridLAN, 3, 150, "200ms", virtual4)+`
[bgp]
asn = %d
networks = ["192.0.2.0/24", "2001:db8:1::/64"]
%s
`, ourAS, neighbors)
}

// twoNeighbors are sessions with the same BIRD over both families.
var twoNeighbors = fmt.Sprintf(`
[[bgp.neighbor]]
name = "isp4"
address = "%[1]s"
asn = %[3]d
password = "secret-4"
ttl_security = true
bfd = { interval = "100ms", multiplier = 3 }
hold_time = "30s"
import = { prefixes = ["0.0.0.0/0 le 32"] }
export = { prefixes = ["192.0.2.0/24"] }

[[bgp.neighbor]]
name = "isp6"
address = "%[2]s"
asn = %[3]d
password = "secret-6"
ttl_security = true
bfd = { interval = "100ms", multiplier = 3 }
hold_time = "30s"
import = { prefixes = ["::/0 le 128"] }
export = { prefixes = ["2001:db8:1::/64"] }
`, wanHost4, wanHost6, theirAS)

// birdTwo is BIRD's side of them.
func birdTwo() string {
	text := fmt.Sprintf(`
protocol bfd { interface "eth0" { min rx interval 100 ms; min tx interval 100 ms; multiplier 3; }; }
protocol static far4 { ipv4; route %s unreachable; }
protocol static far6 { ipv6; route %s unreachable; }
`, farRoute4, farRoute6)
	for _, p := range []struct{ name, local, neighbor, password, channel string }{
		{"peer4", wanHost4, "203.0.113.2", "secret-4", "ipv4"},
		{"peer6", wanHost6, "2001:db8:2::2", "secret-6", "ipv6"},
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
`, p.name, p.local, theirAS, p.neighbor, ourAS, p.password, p.channel)
	}
	return text
}

// hostTAP is what "show interfaces" says of a host TAP.
type hostTAP struct {
	Device  string
	Up      bool
	Problem string
}

// tap returns the host TAP of an interface.
func (v *vrouter) tap(name string) (hostTAP, error) {
	out, err := v.show("interfaces")
	if err != nil {
		return hostTAP{}, err
	}
	var list []struct {
		Name    string
		HostTAP *hostTAP `json:"host_tap"`
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return hostTAP{}, err
	}
	for _, i := range list {
		if i.Name == name && i.HostTAP != nil {
			return *i.HostTAP, nil
		}
	}
	return hostTAP{}, fmt.Errorf("interface %q has no host TAP: %s", name, out)
}

// waitTAP waits until the host TAP of an interface is up.
func (v *vrouter) waitTAP(name string) {
	v.t.Helper()
	waitFor(v.t, patience, "the host TAP of "+name+" is up", func() error {
		t, err := v.tap(name)
		if err == nil && !t.Up {
			err = fmt.Errorf("it is not: %s", t.Problem)
		}
		return err
	})
}

// Sessions with MD5, GTSM and BFD over an interface whose addresses are the
// router's own, in both families.
func TestBGPOverAnInterfaceOfTheRoutersOwn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.bird(r.up, birdTwo())
	v := r.vrouter("r1", ownedSpeaker(twoNeighbors))
	v.start()
	v.waitTAP("wan")
	v.waitEstablished("isp4")
	v.waitEstablished("isp6")
	v.waitRoute(farRoute4, "bgp", wanHost4)
	v.waitRoute(farRoute6, "bgp", wanHost6)
	out, err := b.ask("show", "route", "all")
	must(t, err)
	for _, want := range []string{"192.0.2.0/24", "2001:db8:1::/64"} {
		if !strings.Contains(out, want) {
			t.Errorf("BIRD has no %s:\n%s", want, out)
		}
	}
}
