package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vrouter/internal/netlab"
)

// bgpFRR is FRR's bgpd with its zebra on a host.
type bgpFRR struct {
	r    *rig
	host *netlab.Host
	dir  string
}

// frrBGP starts FRR on a host.
func (r *rig) frrBGP(h *netlab.Host, config string) *bgpFRR {
	r.t.Helper()
	zebra, bgpd := need(r.t, "zebra"), need(r.t, "bgpd")
	need(r.t, "vtysh")
	if netlab.SingleUser() {
		r.t.Skip("FRR changes to a user of its own, which needs root outside")
	}
	return &bgpFRR{r, h, startFRR(r.t, r, h, zebra, bgpd, config)}
}

// ask runs commands of vtysh.
func (f *bgpFRR) ask(commands ...string) (string, error) {
	args := []string{need(f.r.t, "vtysh"), "--vty_socket", f.dir, "-d", "bgpd"}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	return f.r.run(f.host, args...)
}

// frrRoute is what bgpd tells of a path.
type frrRoute struct {
	Paths []struct {
		ASPath     struct{ String string } `json:"aspath"`
		Metric     int
		Stale      bool
		Community  struct{ String string }
		Large      struct{ String string } `json:"largeCommunity"`
		Nexthops   []struct{ IP, Scope string }
		Peer       struct{ PeerID string } `json:"peer"`
		Valid      bool
		OverallOld bool
	}
}

func (f *bgpFRR) route(prefix string) (r frrRoute, err error) {
	family := "ipv4"
	if strings.Contains(prefix, ":") {
		family = "ipv6"
	}
	out, err := f.ask("show bgp " + family + " unicast " + prefix + " json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &r)
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	}
	return r, err
}

// frrNeighbor is FRR's side of two sessions with the router; options are lines
// for both neighbours.
func frrNeighbor(options ...string) string {
	text := fmt.Sprintf("router bgp %d\n bgp router-id %s\n no bgp ebgp-requires-policy\n no bgp network import-check\n no bgp default ipv4-unicast\n", theirAS, wanHost4)
	for _, neighbor := range []string{"203.0.113.2", "2001:db8:2::2"} {
		for _, o := range append([]string{fmt.Sprintf("remote-as %d", ourAS), "timers connect 2", "advertisement-interval 0"}, options...) {
			text += fmt.Sprintf(" neighbor %s %s\n", neighbor, o)
		}
	}
	return text
}

// frrFamilies has FRR announce routes to both neighbours.
const frrFamilies = `
 address-family ipv4 unicast
  network 198.51.100.0/24 route-map mark
  network 203.0.113.128/25
  neighbor 203.0.113.2 activate
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:99::/48 route-map mark
  network 2001:db8:98::/48
  neighbor 2001:db8:2::2 activate
 exit-address-family
!
route-map mark permit 10
 set community 64500:7 64500:8
 set metric 5
`

// bgpPath is a path of "show bgp routes".
type bgpPath struct {
	Prefix, Neighbor string
	NextHop          string `json:"next_hop"`
	ASPath           string `json:"as_path"`
	MED              *int
	LocalPreference  int `json:"local_preference"`
	Communities      []string
	Best             bool
	Stale            bool
	Rejected         bool
	Reason           string
}

func (v *vrouter) paths(prefix string) (list []bgpPath, err error) {
	out, err := v.command("show", "bgp", "routes", prefix, "--json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &list)
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	}
	return list, err
}

// twoFRR is our side; import and export are further keys of both.
func twoFRR(keys, imported4, imported6, exported string) string {
	text := ""
	for _, n := range []struct{ name, address, families, imported, network string }{
		{"isp4", wanHost4, "ipv4", imported4, "192.0.2.0/24"},
		{"isp6", wanHost6, "ipv6", imported6, "2001:db8:1::/64"},
	} {
		text += fmt.Sprintf(`
[[bgp.neighbor]]
name = %q
address = %q
asn = %d
families = [%q]
hold_time = "30s"
%s
import = { prefixes = [%s], communities = ["65001:1"], local_preference = 250 }
export = { prefixes = [%q]%s }
`, n.name, n.address, theirAS, n.families, keys, n.imported, n.network, exported)
	}
	return text
}

// TestFRRExchangesRoutes: with MD5 and GTSM, in both families, with the attributes
// that both sides set; a reload that imports more takes effect by route refresh,
// and one that takes fewer prefixes than there are ends the session.
func TestFRRExchangesRoutes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := r.frrBGP(r.up, frrNeighbor("password secret", "ttl-security hops 1")+frrFamilies)
	const keys = "password = \"secret\"\nttl_security = true"
	const exported = `, med_master = 50, prepend = 1, communities = ["65001:2", "65001:3:4"], default_originate = true`
	v := r.vrouter("r1", ownedSpeaker(twoFRR(keys, `"198.51.100.0/24"`, `"2001:db8:99::/48"`, exported)))
	v.start()
	v.waitEstablished("isp4")
	v.waitEstablished("isp6")
	v.waitRoute(farRoute4, "bgp", wanHost4)
	v.waitRoute(farRoute6, "bgp", wanHost6)
	for _, prefix := range []string{farRoute4, farRoute6} {
		p, err := v.paths(prefix)
		must(t, err)
		if len(p) != 1 || !p[0].Best || p[0].ASPath != "64500" || p[0].MED == nil || *p[0].MED != 5 || p[0].LocalPreference != 250 ||
			!slices.Contains(p[0].Communities, "64500:7") || !slices.Contains(p[0].Communities, "65001:1") ||
			!slices.Contains(p[0].Communities, "64500:8") {
			t.Errorf("%s: %+v", prefix, p)
		}
	}
	// What the prefix list leaves out is not there (RFC 8212 would have let it in
	// nowhere).
	v.waitRoute("203.0.113.128/25", "bgp")
	for prefix, hop := range map[string]string{
		"192.0.2.0/24": "203.0.113.2", "2001:db8:1::/64": "2001:db8:2::2", "0.0.0.0/0": "203.0.113.2", "::/0": "2001:db8:2::2",
	} {
		waitFor(t, patience, "FRR has "+prefix, func() error {
			route, err := f.route(prefix)
			if err != nil || len(route.Paths) != 1 {
				return fmt.Errorf("%+v, %w", route, err)
			}
			p := route.Paths[0]
			if p.ASPath.String != "65001 65001" || p.Metric != 50 || p.Community.String != "65001:2" ||
				p.Large.String != "65001:3:4" || len(p.Nexthops) == 0 || p.Nexthops[0].IP != hop {
				return fmt.Errorf("%+v", p)
			}
			return nil
		})
	}
	v.sameView(f, "isp4", "203.0.113.2", "ipv4Unicast")
	v.sameView(f, "isp6", "2001:db8:2::2", "ipv6Unicast")
	now := twoFRR(keys, `"198.51.100.0/24"`, `"2001:db8:99::/48"`, exported)
	v.refreshes(f, func(imported4, imported6 string) {
		t.Helper()
		next := twoFRR(keys, imported4, imported6, exported)
		v.reconfigure(now, next)
		now = next
	})
}

// refreshes changes the import while the sessions go on.
func (v *vrouter) refreshes(f *bgpFRR, reload func(imported4, imported6 string)) {
	t := v.t
	t.Helper()
	reload(`"198.51.100.0/24", "203.0.113.128/25"`, `"2001:db8:98::/47 le 48"`)
	v.waitRoute("203.0.113.128/25", "bgp", wanHost4)
	v.waitRoute("2001:db8:98::/48", "bgp", wanHost6)
	reload(`"203.0.113.128/25"`, `"2001:db8:98::/48"`)
	v.waitRoute(farRoute4, "bgp")
	v.waitRoute(farRoute6, "bgp")
	v.waitRoute("203.0.113.128/25", "bgp", wanHost4)
	for _, name := range []string{"isp4", "isp6"} {
		if s, err := v.session(name); err != nil || s.Established != 1 || s.State != "Established" {
			t.Errorf("%s did not go on through two reloads: %+v, %v", name, s, err)
		}
	}
	out, err := f.ask("show bgp neighbors 203.0.113.2 json")
	must(t, err)
	var told map[string]struct{ ConnectionsEstablished int }
	if err := json.Unmarshal([]byte(out), &told); err != nil || told["203.0.113.2"].ConnectionsEstablished != 1 {
		t.Errorf("FRR counts %+v, %v", told, err)
	}
}

// TestTooManyPrefixesOfFRR: a neighbour that announces more than max_prefixes is
// shut out, and a word says so; a reload with a higher limit has it back.
func TestTooManyPrefixesOfFRR(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.frrBGP(r.up, frrNeighbor()+frrFamilies)
	v := r.vrouter("r1", ownedSpeaker(fmt.Sprintf(`
[[bgp.neighbor]]
name = "isp4"
address = %q
asn = %d
import = { prefixes = ["0.0.0.0/0 le 32"], max_prefixes = 1 }
`, wanHost4, theirAS)))
	v.start()
	waitFor(t, 2*patience, "the session is down for too many prefixes", func() error {
		s, err := v.session("isp4")
		if err == nil && (s.State == "Established" || !strings.Contains(s.LastError, "max_prefixes")) {
			err = fmt.Errorf("%+v", s)
		}
		return err
	})
	v.waitRoute(farRoute4, "bgp")
	v.reconfigure("max_prefixes = 1", "max_prefixes = 2")
	v.waitEstablished("isp4")
	v.waitRoute(farRoute4, "bgp", wanHost4)
	v.waitRoute("203.0.113.128/25", "bgp", wanHost4)
}

// TestGracefulRestartWithFRR: whoever of the two restarts, both go on forwarding
// by each other's routes.
func TestGracefulRestartWithFRR(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := r.frrBGP(r.up, frrNeighbor()+" bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n"+frrFamilies)
	v := r.vrouter("r1", ownedSpeaker(twoFRR("", `"198.51.100.0/24"`, `"2001:db8:99::/48"`, "")))
	v.start()
	v.waitEstablished("isp4")
	v.waitEstablished("isp6")
	v.waitRoute(farRoute4, "bgp", wanHost4)
	v.waitRoute(farRoute6, "bgp", wanHost6)

	t.Log("our BGP process is killed")
	pid, err := v.bgpProcess()
	must(t, err)
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	v.restarts(f, func() error {
		if now, err := v.bgpProcess(); err != nil || now == pid {
			return errors.Join(errors.New("there is no other BGP process yet"), err)
		}
		return nil
	})
	t.Log("FRR's bgpd is killed, and started again")
	before, err := v.session("isp4")
	must(t, err)
	f.killAndStart()
	v.restarts(nil, func() error {
		if s, err := v.session("isp4"); err != nil || s.Established == before.Established {
			return fmt.Errorf("no new session yet: %+v, %w", s, err)
		}
		return nil
	})
	t.Log("our router process is killed")
	router, err := v.routerProcess()
	must(t, err)
	must(t, syscall.Kill(router, syscall.SIGKILL))
	waitFor(t, patience, "FRR goes on with our networks while the router process comes back", func() error {
		f.keeps("192.0.2.0/24")
		f.keeps("2001:db8:1::/64")
		now, err := v.routerProcess()
		if err == nil && now == router {
			err = errors.New("still the old one")
		}
		if err == nil {
			_, err = v.show("bgp")
		}
		return err
	})
	v.waitEstablished("isp4")
	v.waitEstablished("isp6")
	v.waitRoute(farRoute4, "bgp", wanHost4)
	v.waitRoute(farRoute6, "bgp", wanHost6)
}

// killAndStart kills bgpd and starts it again; zebra stays, and the kernel's routes
// with it.
func (f *bgpFRR) killAndStart() {
	t := f.r.t
	t.Helper()
	file := func(name string) string { return filepath.Join(f.dir, name) }
	text, err := os.ReadFile(file("bgpd.pid"))
	must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	must(t, err)
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	waitFor(t, patience, "bgpd is gone", func() error {
		if syscall.Kill(pid, 0) == nil {
			return errors.New("it is there")
		}
		return nil
	})
	_, err = f.host.Start(need(t, "bgpd"), "-f", file("bgpd.conf"), "-i", file("bgpd.pid"),
		"-z", file("zserv"), "--vty_socket", f.dir, "-P", "0")
	must(t, err)
}

// restarts watches that we keep the neighbour's routes until done, and it ours
// where it is given, and both sessions are up and complete.
func (v *vrouter) restarts(f *bgpFRR, done func() error) {
	t := v.t
	t.Helper()
	waitFor(t, 2*patience, "the sessions are back", func() error {
		for _, prefix := range []string{farRoute4, farRoute6} {
			if route, err := v.route(prefix); err == nil && route == nil {
				t.Fatalf("the route to %s went", prefix)
			}
		}
		if f != nil {
			f.keeps("192.0.2.0/24")
			f.keeps("2001:db8:1::/64")
		}
		if err := done(); err != nil {
			return err
		}
		for _, name := range []string{"isp4", "isp6"} {
			if s, err := v.session(name); err != nil || s.State != "Established" || !s.EndOfRIB {
				return fmt.Errorf("%+v, %w", s, err)
			}
		}
		return nil
	})
}

// keeps tests that FRR has a path of ours.
func (f *bgpFRR) keeps(prefix string) {
	f.r.t.Helper()
	route, err := f.route(prefix)
	must(f.r.t, err)
	if len(route.Paths) == 0 {
		f.r.t.Fatalf("FRR has withdrawn %s", prefix)
	}
}

// routerProcess returns the pid of the router process.
func (v *vrouter) routerProcess() (int, error) {
	for _, pid := range v.process.Children() {
		title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.HasPrefix(string(title), "vrouter: router") {
			return pid, nil
		}
	}
	return 0, errors.New("there is no router process")
}

const secondHost4 = "203.0.113.11"

// TestMultipathOverFRRAndBIRD: paths of two neighbours that are equally good share
// the traffic; all are shown, with what decides between them; and where one ends
// the other has it all.
func TestMultipathOverFRRAndBIRD(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	second := r.host("second", r.wanNet, secondHost4+"/24")
	must(t, second.Address("lo", target4+"/32"))
	r.frrBGP(r.up, frrNeighbor()+frrFamilies)
	b := r.bird(second, fmt.Sprintf(`
protocol static far4 { ipv4; route %s unreachable { bgp_med = 5; }; }
protocol bgp peer {
	local %s as %d;
	neighbor 203.0.113.2 as %d;
	connect delay time 1;
	connect retry time 2;
	ipv4 { import all; export where source = RTS_STATIC; };
}
`, farRoute4, secondHost4, theirAS, ourAS))
	v := r.vrouter("r1", strings.Replace(ownedSpeaker(fmt.Sprintf(`
[[bgp.neighbor]]
name = "frr"
address = %q
asn = %[2]d
import = { prefixes = ["198.51.100.0/24"] }

[[bgp.neighbor]]
name = "bird"
address = %[3]q
asn = %[2]d
import = { prefixes = ["198.51.100.0/24"] }
`, wanHost4, theirAS, secondHost4)), "[bgp]\n", "[bgp]\nmultipath = true\n", 1))
	v.start()
	v.waitEstablished("frr")
	v.waitEstablished("bird")
	v.waitRoute(farRoute4, "bgp", wanHost4, secondHost4)
	v.waitState("lan4", "Master")
	paths, err := v.paths(farRoute4)
	must(t, err)
	if len(paths) != 2 || !paths[0].Best || !paths[1].Best || paths[0].Reason == "" || paths[1].Reason == "" {
		t.Errorf("%+v, want two that are in use, and why", paths)
	}
	first, other := r.share(t, second)
	if first < 60 || other < 60 {
		t.Errorf("of 200 flows %d go by FRR and %d by BIRD, want half each", first, other)
	}
	_, err = b.ask("disable", "far4")
	must(t, err)
	v.waitRoute(farRoute4, "bgp", wanHost4)
	if first, other := r.share(t, second); first < 195 || other > 0 {
		t.Errorf("of 200 flows %d go by FRR and %d by BIRD, which has withdrawn the route", first, other)
	}
}

// share sends a packet of each of 200 flows from the LAN to the target, and
// returns how many came to the upstream host and to the other one.
func (r *rig) share(t *testing.T, other *netlab.Host) (first, second int) {
	t.Helper()
	const port, flows = 7010, 200
	open := func(h *netlab.Host) *net.UDPConn {
		var c *net.UDPConn
		must(t, h.Do(func() (err error) {
			c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(target4), port)))
			return err
		}))
		return c
	}
	sinks := [2]*net.UDPConn{open(r.up), open(other)}
	must(t, r.lan.Do(func() error {
		for range flows {
			c, err := net.Dial("udp", netip.AddrPortFrom(netip.MustParseAddr(target4), port).String())
			if err != nil {
				return err
			}
			if _, err := c.Write([]byte{1}); err != nil {
				return err
			}
			c.Close()
			time.Sleep(time.Millisecond)
		}
		return nil
	}))
	time.Sleep(300 * time.Millisecond)
	var counts [2]int
	for i, sink := range sinks {
		b := make([]byte, 16)
		must(t, sink.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
		for {
			if _, _, err := sink.ReadFrom(b); err != nil {
				break
			}
			counts[i]++
		}
		sink.Close()
	}
	return counts[0], counts[1]
}
