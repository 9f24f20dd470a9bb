package interop

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vrouter/internal/netlab"
)

// mirror adds a router that takes everything from its kernel, which has the
// gateway addresses of both links.
func (r *rig) mirror(name string) *vrouter {
	r.t.Helper()
	v := r.vrouter(name, "[import]\nmirror = true\n")
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
func unharmed(t *testing.T, streams []*netlab.Stream, what string) {
	t.Helper()
	time.Sleep(500 * time.Millisecond) // what was sent last is not judged yet
	for _, s := range streams {
		if loss := s.Loss(0); loss.Lost+loss.Duplicates > 0 || loss.Sent == 0 {
			t.Errorf("%s: %+v", what, loss)
		}
	}
}

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
	unharmed(t, streams, "routes, addresses and MTU changed elsewhere")

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
	unharmed(t, append(streams, s), "devices came and went")
}

// The kernel's own forwarding is switched on, off, and on: each packet goes once,
// and none is lost.
func TestMirrorForwardsInTheKernelsPlace(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	v := r.mirror("r1")
	must(t, v.host.Sysctl("net/ipv4/ip_forward", "1"))
	must(t, v.host.Sysctl("net/ipv6/conf/all/forwarding", "1"))
	v.start()
	waitFor(t, patience, "the router forwards", func() error { // as long as it starts, the kernel does
		for _, target := range []string{wanHost4, wanHost6} {
			if err := r.pingOnce(target); err != nil {
				return err
			}
		}
		counters, err := v.show("counters")
		if err == nil && !strings.Contains(string(counters), `"forwarded"`) {
			err = errors.New("nothing yet")
		}
		return err
	})
	streams := r.streams(wanHost4, wanHost6)
	for _, on := range []string{"0", "1", "0"} {
		must(t, v.host.Sysctl("net/ipv4/ip_forward", on))
		must(t, v.host.Sysctl("net/ipv6/conf/all/forwarding", on))
		time.Sleep(500 * time.Millisecond)
	}
	for _, own := range []string{"192.0.2.1", "203.0.113.1", "2001:db8:1::1", "fe80::1%eth0"} {
		if err := r.pingOnce(own); err != nil { // the kernel answers
			t.Error(err)
		}
	}
	unharmed(t, streams, "the kernel's forwarding")
}
