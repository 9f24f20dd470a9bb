package interop

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vrouter/internal/netlab"
)

// mirrored is a router that takes everything from its kernel. control is a stream
// that does not go through it: what that loses is lost to a busy machine.
type mirrored struct {
	*vrouter
	control *netlab.Stream
}

// mirror adds such a router, whose kernel has the gateway addresses of both
// links.
func (r *rig) mirror(name string) *mirrored {
	r.t.Helper()
	v := &mirrored{vrouter: r.vrouter(name, "[import]\nmirror = true\n")}
	beside := r.host("beside", r.lanNet, "192.0.2.50/24")
	var err error
	v.control, err = netlab.StartStream(r.lan, beside, netip.MustParseAddr("192.0.2.50"), 7900, 500)
	must(r.t, err)
	r.t.Cleanup(v.control.Close)
	for _, link := range []struct{ dev, a4, a6 string }{
		{"lan", "192.0.2.1/24", "2001:db8:1::1/64"}, {"wan", "203.0.113.1/24", "2001:db8:2::1/64"},
	} {
		must(r.t, v.host.Address(link.dev, link.a4, link.a6, virtualLL+"/64"))
	}
	return v
}

// ip runs iproute2 on a router's host.
func (v *vrouter) ip(r *rig, words string) {
	v.t.Helper()
	if out, err := r.run(v.host, append([]string{"ip"}, strings.Fields(words)...)...); err != nil {
		v.t.Fatalf("ip %s: %v: %s", words, err, out)
	}
}

// waitHops waits until a prefix is reached by so many resolved next hops.
func (v *vrouter) waitHops(prefix string, hops int) {
	v.t.Helper()
	waitFor(v.t, patience, fmt.Sprintf("%s is reached by %d next hops", prefix, hops), func() error {
		r, err := v.route(prefix)
		if err != nil || r == nil {
			return errors.Join(err, errors.New("no route"))
		}
		for _, h := range r.NextHops {
			if !h.Resolved || len(r.NextHops) != hops {
				return fmt.Errorf("%+v", r)
			}
		}
		return nil
	})
}

// streams starts streams from the LAN host to addresses of the upstream.
func (r *rig) streams(addresses ...string) (list []*netlab.Stream) {
	r.t.Helper()
	for i, a := range addresses {
		s, err := netlab.StartStream(r.lan, r.up, netip.MustParseAddr(a), uint16(7000+i), 500)
		must(r.t, err)
		r.t.Cleanup(s.Close)
		list = append(list, s)
	}
	return list
}

// unharmed runs what happens elsewhere, and tests that the streams have lost
// nothing since they began and were not doubled.
func (v *mirrored) unharmed(streams []*netlab.Stream, what string) {
	t := v.t
	t.Helper()
	allowed := v.allowed()
	time.Sleep(500 * time.Millisecond) // what was sent last is not judged yet
	for _, s := range streams {
		loss := s.Loss(0)
		t.Logf("%s: %d of %d lost", what, loss.Lost, loss.Sent)
		if loss.Lost > allowed || loss.Duplicates > 0 || loss.Sent == 0 {
			t.Errorf("%s: %+v, allowed %d", what, loss, allowed)
		}
	}
	if t.Failed() {
		for _, topic := range []string{"interfaces", "counters"} {
			out, err := v.show(topic)
			t.Logf("%s %v", out, err)
		}
	}
}

// allowed is how many packets a stream may lose: none on a machine with time for
// its tests, and a few for what the scheduler does.
func (v *mirrored) allowed() uint64 { return 3 + 4*v.control.Loss(0).Lost }

// A namespace that ip, BIRD and FRR configure forwards by the router, with
// nothing but mirror = true; what changes elsewhere costs a stream nothing.
func TestMirror(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	second := r.host("second", r.wanNet, "203.0.113.11/24", "2001:db8:2::11/64")
	v := r.mirror("r1")
	v.start()
	for _, target := range []string{wanHost4, wanHost6} {
		waitFor(t, patience, "the LAN host reaches "+target, func() error { return r.pingOnce(target) })
	}
	streams := r.streams(wanHost4, wanHost6)

	v.ip(r, "route add 198.51.100.0/24 via 203.0.113.10")
	v.ip(r, "route add 2001:db8:99::/48 via 2001:db8:2::10")
	for _, target := range []string{target4, target6} {
		waitFor(t, patience, "the LAN host reaches "+target, func() error { return r.pingOnce(target) })
	}
	streams = append(streams, r.streams(target4, target6)...)

	// Other routes, many of them, and changes of one: multipath, and back.
	must(t, second.Address("lo", "10.77.0.1/32"))
	v.ip(r, "route add 10.77.0.0/16 via 203.0.113.11")
	v.waitRoute("10.77.0.0/16", "imported", "203.0.113.11")
	v.ip(r, "route replace 10.77.0.0/16 nexthop via 203.0.113.11 nexthop via 203.0.113.10")
	v.waitHops("10.77.0.0/16", 2)
	v.ip(r, "route replace 10.77.0.0/16 via inet6 2001:db8:2::11 dev wan") // RFC 8950
	v.waitRoute("10.77.0.0/16", "imported", "2001:db8:2::11")
	must(t, second.Route("192.0.2.0/24", "203.0.113.1", "eth0"))
	waitFor(t, patience, "the LAN host reaches 10.77.0.1 by an IPv6 next hop", func() error { return r.pingOnce("10.77.0.1") })
	v.ip(r, "route replace 10.77.0.0/16 via 203.0.113.10")
	v.waitRoute("10.77.0.0/16", "imported", "203.0.113.10")
	v.ip(r, "route del 10.77.0.0/16")
	v.waitRoute("10.77.0.0/16", "")
	var batch strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&batch, "route add 10.%d.%d.0/24 via 203.0.113.11\n", 80+i/256, i%256)
	}
	v.batch(r, batch.String())
	v.waitRoute("10.91.183.0/24", "imported", "203.0.113.11")

	// An address more and one less; another MTU.
	v.ip(r, "addr add 192.0.2.77/24 dev lan")
	waitFor(t, patience, "the kernel answers for its new address", func() error { return r.pingOnce("192.0.2.77") })
	v.ip(r, "addr del 192.0.2.77/24 dev lan")
	v.waitRoute("192.0.2.77/32", "")
	v.ip(r, "link set dev wan mtu 1400")
	waitFor(t, patience, "packets of 1500 bytes are too big", func() error {
		out, _ := r.run(r.lan, "ping", "-c", "1", "-W", "1", "-M", "do", "-s", "1472", target4)
		if !strings.Contains(out, "mtu = 1400") && !strings.Contains(out, "mtu=1400") {
			return errors.New(out)
		}
		return nil
	})
	v.ip(r, "link set dev wan mtu 1500")
	v.unharmed(streams, "routes, addresses and MTU changed elsewhere")

	out, err := r.run(r.lan, "traceroute", "-n", "-w", "1", "-q", "1", target4)
	must(t, err)
	if !strings.Contains(out, " 192.0.2.1 ") {
		t.Errorf("the router is no hop of %s", out)
	}
}

// batch runs many commands of iproute2 on a router's host.
func (v *vrouter) batch(r *rig, commands string) {
	v.t.Helper()
	file := filepath.Join(r.lab.Dir, v.host.Name+".batch")
	must(v.t, os.WriteFile(file, []byte(commands), 0o600))
	v.ip(r, "-batch "+file)
}

// Devices that come, go, and become part of a bridge.
func TestMirrorFollowsDevices(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	v := r.mirror("r1")
	v.start()
	waitFor(t, patience, "the LAN host reaches "+wanHost4, func() error { return r.pingOnce(wanHost4) })
	streams := r.streams(wanHost4, wanHost6)
	dmz, err := r.lab.Switch("br-dmz")
	must(t, err)
	server := r.host("server", dmz, "198.18.0.10/24")
	must(t, server.Route("0.0.0.0/0", "198.18.0.1", "eth0"))
	for range 2 { // the second time the number of the first one is used again
		_, err = dmz.Connect(v.host, "dmz")
		must(t, err)
		must(t, v.host.Address("dmz", "198.18.0.1/24"))
		waitFor(t, patience, "the LAN host reaches the new link", func() error { return r.pingOnce("198.18.0.10") })
		must(t, v.host.Delete("dmz"))
		v.waitRoute("198.18.0.0/24", "")
	}
	_, err = dmz.Connect(v.host, "dmz")
	must(t, err)
	v.ip(r, "link add br0 type bridge")
	v.ip(r, "link set dmz master br0")
	v.ip(r, "link set br0 up")
	must(t, v.host.Address("br0", "198.18.0.1/24"))
	waitFor(t, patience, "the LAN host reaches the link behind the bridge", func() error { return r.pingOnce("198.18.0.10") })
	s, err := netlab.StartStream(r.lan, server, netip.MustParseAddr("198.18.0.10"), 7100, 500)
	must(t, err)
	defer s.Close()
	time.Sleep(500 * time.Millisecond)
	v.unharmed(append(streams, s), "devices came and went")
}

// A kernel that forwards goes on until the router can, and after it: each packet
// goes once, and none is lost, whoever is switched on and off.
func TestMirrorForwardsInTheKernelsPlace(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	v := r.mirror("r1")
	v.ip(r, "route add 198.51.100.0/24 via 203.0.113.10")
	forwarding := func(on string) {
		must(t, v.host.Sysctl("net/ipv4/ip_forward", on))
		must(t, v.host.Sysctl("net/ipv6/conf/all/forwarding", on))
	}
	forwarding("1")
	targets := []string{wanHost4, wanHost6, target4}
	for _, target := range targets {
		waitFor(t, patience, "the kernel forwards to "+target, func() error { return r.pingOnce(target) })
	}
	streams := r.streams(targets...)
	v.start()
	who := func(to string) {
		t.Helper()
		waitFor(t, patience, to+" forwards", func() error {
			out, err := v.show("events")
			i := strings.LastIndex(string(out), `"name": "forwarding"`)
			if err != nil || i < 0 || !strings.Contains(string(out)[i:min(i+160, len(out))], fmt.Sprintf(`"to": %q`, to)) {
				return fmt.Errorf("not yet: %s %w", out, err)
			}
			return nil
		})
	}
	who("vrouter")
	time.Sleep(300 * time.Millisecond)
	for _, on := range []string{"0", "1"} {
		forwarding(on)
		time.Sleep(300 * time.Millisecond)
	}
	for _, own := range []string{"192.0.2.1", "203.0.113.1", "2001:db8:1::1", "fe80::1%eth0"} {
		if err := r.pingOnce(own); err != nil { // the kernel answers
			t.Error(err)
		}
	}
	for i, s := range streams {
		loss := s.Loss(0)
		t.Logf("%s: %+v", targets[i], loss)
		if loss.Lost > v.allowed() {
			t.Errorf("%s: %+v", targets[i], loss)
		}
	}
	killed := streams[0].Next()
	must(t, v.killRouter())
	waitFor(t, patience, "the next process forwards", func() error {
		out, err := v.show("events")
		if err != nil || !strings.Contains(string(out), `"to": "vrouter"`) {
			return fmt.Errorf("not yet: %w", err)
		}
		return nil
	})
	time.Sleep(600 * time.Millisecond)
	loss := streams[0].Loss(killed)
	t.Logf("router process killed: %+v", loss)
	if loss.Lost > 100 { // 200 ms: what was in its hands; the kernel is there at once
		t.Errorf("the kernel has not taken over: %+v", loss)
	}
	after := make([]uint64, len(streams))
	for i, s := range streams {
		after[i] = s.Next()
	}
	v.stop()
	time.Sleep(time.Second)
	for i, s := range streams {
		loss := s.Loss(after[i])
		t.Logf("%s: %+v", targets[i], loss)
		if loss.Lost > v.allowed() || loss.Sent == 0 || loss.Duplicates > loss.Sent/5 { // a few while it changes hands
			t.Errorf("%s: %+v", targets[i], loss)
		}
	}
}

// killRouter kills the router process.
func (v *vrouter) killRouter() error {
	for _, pid := range v.process.Children() {
		title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.HasPrefix(string(title), "vrouter: router") {
			return syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return errors.New("there is no router process")
}

// BIRD and FRR on the router's own host put routes into the kernel, each of its
// own; the router forwards by them.
func TestMirrorOfBIRDAndFRR(t *testing.T) {
	t.Parallel()
	bird, zebra, staticd := need(t, "bird"), need(t, "zebra"), need(t, "staticd")
	if netlab.SingleUser() {
		t.Skip("FRR changes to a user of its own, which needs root outside")
	}
	r := newRig(t)
	second := r.host("second", r.wanNet, "203.0.113.11/24", "2001:db8:2::11/64")
	must(t, second.Address("lo", "10.66.0.1/32", "2001:db8:66::1/128"))
	for _, route := range [][2]string{{"192.0.2.0/24", "203.0.113.1"}, {"2001:db8:1::/64", "2001:db8:2::1"}} {
		must(t, second.Route(route[0], route[1], "eth0"))
	}
	v := r.mirror("r1")
	v.start()
	waitFor(t, patience, "the LAN host reaches "+wanHost4, func() error { return r.pingOnce(wanHost4) })
	unrelated := r.streams(wanHost4, wanHost6)

	b := &birdOnRouter{r: r, v: v.vrouter, program: bird}
	b.start(`
		route 198.51.100.0/24 via 203.0.113.10;
		route 10.88.0.0/16 via 203.0.113.10 via 203.0.113.11;`, `
		route 2001:db8:99::/48 via 2001:db8:2::10;`)
	startFRR(t, r, v.host, zebra, staticd, `
ip route 10.66.0.0/16 203.0.113.11
ip route 10.89.0.0/16 203.0.113.10
ip route 10.89.0.0/16 203.0.113.11
ip route 10.90.0.0/16 blackhole
ipv6 route 2001:db8:66::/48 2001:db8:2::11
`)
	for prefix, hops := range map[string]int{
		"198.51.100.0/24": 1, "10.88.0.0/16": 2, "2001:db8:99::/48": 1,
		"10.66.0.0/16": 1, "10.89.0.0/16": 2, "2001:db8:66::/48": 1,
	} {
		v.waitHops(prefix, hops)
	}
	waitFor(t, patience, "FRR's blackhole is there", func() error {
		if hole, err := v.route("10.90.0.0/16"); err != nil || hole == nil || len(hole.NextHops) > 0 {
			return fmt.Errorf("%+v %w", hole, err)
		}
		return nil
	})
	for _, target := range []string{target4, target6, "10.66.0.1", "2001:db8:66::1"} {
		waitFor(t, patience, "the LAN host reaches "+target, func() error { return r.pingOnce(target) })
	}
	by, err := r.streamsTo(second, "10.66.0.1", "2001:db8:66::1")
	must(t, err)

	// BIRD moves its routes, FRR's and others stay.
	b.configure(`
		route 198.51.100.0/24 via 203.0.113.11;
		route 10.88.0.0/16 via 203.0.113.11;`, "")
	v.waitRoute("198.51.100.0/24", "imported", "203.0.113.11")
	v.waitRoute("10.88.0.0/16", "imported", "203.0.113.11")
	v.waitRoute("2001:db8:99::/48", "imported")
	v.unharmed(append(unrelated, by...), "BIRD has moved its routes")
	b.stop()
	v.waitRoute("198.51.100.0/24", "imported")
	if out, err := v.show("routes"); err != nil || !strings.Contains(string(out), `"protocol": "zebra"`) && !strings.Contains(string(out), `"protocol": "196"`) && !strings.Contains(string(out), `"protocol": "static"`) {
		t.Errorf("%v %s", err, out)
	}
	v.unharmed(append(unrelated, by...), "BIRD has gone")
}

// streamsTo starts streams from the LAN host to addresses of another host.
func (r *rig) streamsTo(h *netlab.Host, addresses ...string) (list []*netlab.Stream, err error) {
	for i, a := range addresses {
		s, err := netlab.StartStream(r.lan, h, netip.MustParseAddr(a), uint16(7200+i), 500)
		if err != nil {
			return nil, err
		}
		r.t.Cleanup(s.Close)
		list = append(list, s)
	}
	return list, nil
}

// birdOnRouter is a BIRD that puts its routes into the router's kernel.
type birdOnRouter struct {
	r       *rig
	v       *vrouter
	program string
	dir     string
	process *netlab.Process
}

func (b *birdOnRouter) text(routes4, routes6 string) string {
	return fmt.Sprintf(`
log stderr all;
router id 203.0.113.1;
protocol device {}
protocol kernel k4 { ipv4 { export all; }; merge paths on; }
protocol kernel k6 { ipv6 { export all; }; merge paths on; }
protocol static s4 { ipv4; %s }
protocol static s6 { ipv6; %s }
`, routes4, routes6)
}

func (b *birdOnRouter) start(routes4, routes6 string) {
	b.r.t.Helper()
	b.dir = filepath.Join(b.r.lab.Dir, "bird-router")
	must(b.r.t, os.Mkdir(b.dir, 0o755))
	must(b.r.t, os.WriteFile(filepath.Join(b.dir, "conf"), []byte(b.text(routes4, routes6)), 0o644))
	var err error
	b.process, err = b.v.host.Start(b.program, "-f", "-c", filepath.Join(b.dir, "conf"), "-s", filepath.Join(b.dir, "ctl"), "-P", filepath.Join(b.dir, "pid"))
	must(b.r.t, err)
	b.r.t.Cleanup(func() {
		if b.r.t.Failed() {
			b.r.t.Logf("log of BIRD:\n%s", tail(b.process.Output()))
		}
	})
}

func (b *birdOnRouter) configure(routes4, routes6 string) {
	b.r.t.Helper()
	must(b.r.t, os.WriteFile(filepath.Join(b.dir, "conf"), []byte(b.text(routes4, routes6)), 0o644))
	out, err := b.r.run(b.v.host, need(b.r.t, "birdc"), "-s", filepath.Join(b.dir, "ctl"), "configure")
	if err != nil {
		b.r.t.Fatalf("birdc configure: %v: %s", err, out)
	}
}

func (b *birdOnRouter) stop() { must(b.r.t, b.process.Stop(stopPatience)) }

// Routes of the host's kernel beside interfaces of the router's own: a default
// route by a network that is not the router's is left alone, a virtual router
// tracks an imported route, and the route goes with its interface, whatever the
// kernel still has.
func TestRoutesOfTheHost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	v := r.vrouter("r1", `
[[interface]]
name = "inside"
device = "lan"
addresses = ["192.0.2.2/24", "2001:db8:1::2/64"]

[[interface]]
name = "outside"
device = "wan"
addresses = "host"

[import]
kernel_table = 254
`+virtualTable("lan4", "inside", vridLAN, 3, 150, "200ms", virtual4)+`track = [{ route = "198.51.100.0/24", weight = 0 }]
`+virtualTable("wan4", "outside", vridWAN, 3, 150, "200ms", "203.0.113.1"))
	must(t, v.host.Address("wan", "203.0.113.2/24"))
	management, err := r.lab.Switch("br-mgmt")
	must(t, err)
	_, err = management.Connect(v.host, "mgmt")
	must(t, err)
	must(t, v.host.Address("mgmt", "198.18.0.2/24"))
	v.ip(r, "route add default via 198.18.0.1")
	v.start()
	v.waitState("wan4", "Master")
	v.waitState("lan4", "Initialize") // the route is down
	v.ip(r, "route add 198.51.100.0/24 via 203.0.113.10")
	v.waitState("lan4", "Master")
	waitFor(t, patience, "the LAN host reaches "+target4, func() error { return r.pingOnce(target4) })
	if got, err := v.route("0.0.0.0/0"); got != nil || err != nil {
		t.Errorf("the management network's route was taken: %+v, %v", got, err)
	}
	must(t, v.wan.Cut()) // its carrier: the kernel keeps the route
	v.waitRoute("198.51.100.0/24", "")
	v.waitState("lan4", "Initialize")
	must(t, v.wan.Plug())
	v.waitState("lan4", "Master")
	v.ip(r, "route del 198.51.100.0/24")
	v.waitState("lan4", "Initialize")
}
