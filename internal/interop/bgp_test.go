package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vrouter/internal/netlab"
)

// Autonomous systems of the tests (RFC 5398, RFC 6996).
const (
	ourAS, theirAS = 65001, 64500
	farRoute4      = "198.51.100.0/24"
	farRoute6      = "2001:db8:99::/48"
)

// bird is a BIRD on a host.
type bird struct {
	t       *testing.T
	r       *rig
	host    *netlab.Host
	dir     string
	process *netlab.Process
}

// bird starts BIRD on a host with a configuration.
func (r *rig) bird(h *netlab.Host, config string) *bird {
	r.t.Helper()
	program := need(r.t, "bird")
	b := &bird{t: r.t, r: r, host: h, dir: filepath.Join(r.lab.Dir, "bird-"+h.Name)}
	must(r.t, os.Mkdir(b.dir, 0o755))
	b.write("router id 203.0.113.10;\nprotocol device {}\n" + config)
	var err error
	b.process, err = h.Start(program, "-f", "-c", b.file("conf"), "-s", b.file("ctl"), "-P", b.file("pid"))
	must(r.t, err)
	r.t.Cleanup(func() {
		if r.t.Failed() {
			r.t.Logf("log of BIRD:\n%s", tail(b.process.Output()))
		}
	})
	waitFor(r.t, patience, "BIRD runs", func() error {
		_, err := os.Stat(b.file("ctl"))
		return err
	})
	return b
}

func (b *bird) file(name string) string { return filepath.Join(b.dir, name) }

func (b *bird) write(config string) {
	b.t.Helper()
	must(b.t, os.WriteFile(b.file("conf"), []byte("log stderr all;\n"+config), 0o644))
}

// ask runs a command of BIRD's.
func (b *bird) ask(words ...string) (string, error) {
	return b.r.run(b.host, append([]string{need(b.t, "birdc"), "-s", b.file("ctl")}, words...)...)
}

// birdPeer is BIRD's side of a session, with the routes that it announces.
func birdPeer(options, channel4, channel6 string) string {
	return fmt.Sprintf(`
protocol static far4 { ipv4; route %s unreachable { bgp_community.add((64500,7)); bgp_med = 5; }; }
protocol static far6 { ipv6; route %s unreachable; }
protocol bgp peer {
	local 203.0.113.10 as %d;
	neighbor 203.0.113.2 as %d;
	connect delay time 1;
	connect retry time 2;
	error wait time 1, 2;
	%s
	ipv4 { import all; export where source = RTS_STATIC; %s };
	ipv6 { import all; export where source = RTS_STATIC; next hop address 2001:db8:2::10; %s };
}
`, farRoute4, farRoute6, theirAS, ourAS, options, channel4, channel6)
}

// speakerConfig is a router whose devices' addresses the kernel keeps.
func speakerConfig(neighbor string) string {
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
addresses = "host"
`+virtualTable("wan4", "wan", vridWAN, 3, 150, "200ms", "203.0.113.1")+`
[bgp]
asn = %d
networks = ["192.0.2.0/24", "2001:db8:1::/64"]

[[bgp.neighbor]]
name = "isp"
address = "203.0.113.10"
asn = %d
families = ["ipv4", "ipv6"]
hold_time = "30s"
%s
`, ourAS, theirAS, neighbor)
}

// speaker adds a router with BGP.
func (r *rig) speaker(name, neighbor string) *vrouter {
	r.t.Helper()
	v := r.vrouter(name, speakerConfig(neighbor))
	must(r.t, v.host.Address("wan", "203.0.113.2/24", "2001:db8:2::2/64"))
	return v
}

// bgpSession is what "show bgp" says of a neighbour.
type bgpSession struct {
	Name, State string
	EndOfRIB    bool   `json:"end_of_rib"`
	LastError   string `json:"last_error"`
	Established int
	Families    []struct {
		Name                           string
		Received, Accepted, Advertised int
	}
}

func (v *vrouter) session(name string) (bgpSession, error) {
	out, err := v.show("bgp")
	if err != nil {
		return bgpSession{}, err
	}
	var list []bgpSession
	if err := json.Unmarshal(out, &list); err != nil {
		return bgpSession{}, err
	}
	for _, s := range list {
		if s.Name == name {
			return s, nil
		}
	}
	return bgpSession{}, fmt.Errorf("no neighbour %q: %s", name, out)
}

// waitEstablished waits until the session is up and its routes are there.
func (v *vrouter) waitEstablished(name string) bgpSession {
	v.t.Helper()
	var s bgpSession
	waitFor(v.t, 2*patience, name+" is Established, with End-of-RIB", func() (err error) {
		if s, err = v.session(name); err == nil && (s.State != "Established" || !s.EndOfRIB) {
			err = fmt.Errorf("%+v", s)
		}
		return err
	})
	return s
}

// routeTo is a route of "show routes".
type routeTo struct {
	Prefix, Source string
	NextHops       []struct {
		Via, Interface string
		Resolved       bool
	}
}

// route returns the route in use of a prefix; nil: there is none.
func (v *vrouter) route(prefix string) (*routeTo, error) {
	out, err := v.show("routes")
	if err != nil {
		return nil, err
	}
	var list []routeTo
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Prefix == prefix {
			return &list[i], nil
		}
	}
	return nil, nil
}

// waitRoute waits until the next hops of a prefix are these; none: until there
// is no route.
func (v *vrouter) waitRoute(prefix, source string, via ...string) {
	v.t.Helper()
	waitFor(v.t, patience, fmt.Sprintf("%s leads to %v", prefix, via), func() error {
		r, err := v.route(prefix)
		if err != nil || r == nil && len(via) == 0 {
			return err
		}
		if r == nil {
			return fmt.Errorf("there is no such route")
		}
		var hops []string
		for _, h := range r.NextHops {
			hops = append(hops, h.Via)
		}
		if strings.Join(hops, " ") != strings.Join(via, " ") || r.Source != source {
			return fmt.Errorf("%s by %v", r.Source, hops)
		}
		return nil
	})
}

// forwards tests that the LAN host reaches the target through the router's own
// addresses.
func (r *rig) forwards() error {
	for _, target := range []string{target4, target6} {
		if out, err := r.run(r.lan, "ping", "-c", "1", "-W", "1", target); err != nil {
			return fmt.Errorf("%s: %w\n%s", target, err, out)
		}
	}
	return nil
}

const takeDefaults = `
import = { prefixes = ["198.51.100.0/24", "2001:db8:99::/48"], communities = ["65001:1"] }
export = { prefixes = ["192.0.2.0/24", "2001:db8:1::/64"], med_master = 50, prepend = 1, communities = ["65001:2", "65001:3:4"] }
`

// TestBGPAuthenticated: TCP MD5 (RFC 2385) and GTSM (RFC 5082) with BIRD; with
// another password nothing comes about.
func TestBGPAuthenticated(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.bird(r.up, birdPeer(`password "secret"; ttl security on;`, "", ""))
	v := r.speaker("r1", `password = "secret"`+"\nttl_security = true\n"+takeDefaults)
	v.start()
	v.waitEstablished("isp")
	v.waitRoute(farRoute4, "bgp", wanHost4)
	b.write("router id 203.0.113.10;\nprotocol device {}\n" + birdPeer(`password "another"; ttl security on;`, "", ""))
	_, err := b.ask("configure")
	must(t, err)
	v.waitRoute(farRoute4, "bgp")
	waitFor(t, patience, "the session is down, and a word says why", func() error {
		s, err := v.session("isp")
		if err == nil && (s.State == "Established" || s.LastError == "") {
			err = fmt.Errorf("%+v", s)
		}
		return err
	})
}

func TestBIRDExchangesRoutes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.bird(r.up, birdPeer("", "", ""))
	v := r.speaker("r1", takeDefaults)
	v.start()
	s := v.waitEstablished("isp")
	v.waitRoute(farRoute4, "bgp", wanHost4)
	v.waitRoute(farRoute6, "bgp", wanHost6)
	for _, f := range s.Families {
		if f.Received != 1 || f.Accepted != 1 || f.Advertised != 1 {
			t.Errorf("%s: %+v, want one of each", f.Name, f)
		}
	}
	waitFor(t, patience, "BIRD has our networks with their attributes", func() error {
		for prefix, want := range map[string][]string{
			"192.0.2.0/24":    {"BGP.as_path: 65001 65001", "BGP.next_hop: 203.0.113.2", "BGP.med: 50", "(65001,2)", "(65001, 3, 4)"},
			"2001:db8:1::/64": {"BGP.as_path: 65001 65001", "BGP.next_hop: 2001:db8:2::2", "BGP.med: 50"},
		} {
			out, err := b.ask("show", "route", prefix, "all")
			if err != nil {
				return err
			}
			for _, w := range want {
				if !strings.Contains(out, w) {
					return fmt.Errorf("no %q in:\n%s", w, out)
				}
			}
		}
		return nil
	})
	out, err := v.show("bgp")
	must(t, err)
	t.Logf("%s", out)
	// The route goes when BIRD withdraws it.
	_, err = b.ask("disable", "far4")
	must(t, err)
	v.waitRoute(farRoute4, "bgp")
	_, err = b.ask("enable", "far4")
	must(t, err)
	v.waitRoute(farRoute4, "bgp", wanHost4)
	v.stop()
}
