package interop

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vrouter/internal/netlab"
)

// inside is a neighbour of the own system: its name, and the address of its host.
type inside struct{ name, address string }

var insiders = []inside{{"a", "203.0.113.11"}, {"b", "203.0.113.12"}, {"c", "203.0.113.13"}}

// insideBIRD is the side of one; channel holds further options, static its routes.
func insideBIRD(n inside, channel, static string) string {
	return fmt.Sprintf(`
router id %[1]s;
%[3]s
protocol bgp peer {
	local %[1]s as %[4]d;
	neighbor 203.0.113.2 as %[4]d;
	connect delay time 1;
	connect retry time 2;
	ipv4 { import all; export where source = RTS_STATIC; %[2]s };
}
`, n.address, channel, static, ourAS)
}

// insideTables are our side of all of them.
func insideTables(keys map[string]string) (text string) {
	for _, n := range insiders {
		text += fmt.Sprintf("\n[[bgp.neighbor]]\nname = %q\naddress = %q\nasn = %d\n%s\n", n.name, n.address, ourAS, keys[n.name])
	}
	return text
}

// TestRoutesAreReflectedInsideTheSystem: two clients of the route reflector
// announce one prefix, the third gets both paths (RFC 4456, RFC 7911), with the
// next hops that they had; a path from outside comes with ourselves as next hop.
// Meanwhile the command gobgp looks in by the socket of GoBGP's own API.
func TestRoutesAreReflectedInsideTheSystem(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	hosts := map[string]*netlab.Host{}
	for _, n := range insiders {
		hosts[n.name] = r.host("bird-"+n.name, r.wanNet, n.address+"/24")
	}
	const static = "protocol static { ipv4; route 198.51.100.0/24 unreachable; }"
	r.bird(hosts["a"], insideBIRD(insiders[0], "", static))
	r.bird(hosts["b"], insideBIRD(insiders[1], "", static))
	c := r.bird(hosts["c"], insideBIRD(insiders[2], "add paths rx;", ""))
	r.bird(r.up, birdPeer("", "", ""))
	api := filepath.Join(r.lab.Dir, "gobgp.sock")
	config := strings.Replace(ownedSpeaker(insideTables(map[string]string{
		"a": "route_reflector_client = true",
		"b": "route_reflector_client = true",
		"c": "route_reflector_client = true\nadd_path = { receive = true, send = 4 }",
	})+fmt.Sprintf(`
[[bgp.neighbor]]
name = "isp"
address = %q
asn = %d
import = { prefixes = ["198.51.100.0/24"], local_preference = 50 }
`, wanHost4, theirAS)), "[bgp]\n", fmt.Sprintf("[bgp]\napi = %q\n", api), 1)
	v := r.vrouter("r1", config)
	v.start()
	for _, name := range []string{"a", "b", "c", "isp"} {
		v.waitEstablished(name)
	}
	// Local preference 100 inside is above the 50 of the one outside.
	waitFor(t, patience, "the route leads inside", func() error {
		route, err := v.route(farRoute4)
		if err != nil || route == nil || route.Source != "ibgp" {
			return fmt.Errorf("%+v, %w", route, err)
		}
		return nil
	})
	waitFor(t, patience, "the client has all paths", func() error {
		out, err := c.ask("show", "route", farRoute4, "all")
		if err != nil {
			return err
		}
		for _, want := range []string{
			"BGP.next_hop: 203.0.113.11", "BGP.next_hop: 203.0.113.12", // of clients, as they were
			"BGP.next_hop: 203.0.113.2\n", "BGP.as_path: 64500", // from outside: next_hop_self
			"BGP.originator_id: 203.0.113.11", "BGP.originator_id: 203.0.113.12", "BGP.cluster_list:",
		} {
			if !strings.Contains(out, want) {
				return fmt.Errorf("no %q in:\n%s", want, out)
			}
		}
		return nil
	})
	paths, err := v.paths(farRoute4)
	must(t, err)
	if paths = slices.DeleteFunc(paths, func(p bgpPath) bool { return p.Rejected }); len(paths) != 3 {
		t.Errorf("%+v, want three", paths)
	}
	gobgp := filepath.Join(t.TempDir(), "gobgp")
	if out, err := exec.Command("go", "build", "-o", gobgp, "github.com/osrg/gobgp/v4/cmd/gobgp").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(gobgp, "--target", "unix://"+api, "neighbor").CombinedOutput()
	if err != nil || strings.Count(string(out), "Establ") != 4 {
		t.Errorf("gobgp neighbor: %v\n%s", err, out)
	}
}
