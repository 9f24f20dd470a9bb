package interop

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"vrouter/internal/netlab"
)

// A Linux host that learns all it has from router advertisements.

// withRA gives the LAN's interface of a configuration router advertisements,
// rare ones: what hosts need to know must come when it happens.
func withRA(config string) string {
	const table = `[interface.ra]
interval = "30m"
lifetime = "1h"
prefixes = ["2001:db8:1::/64"]
rdnss = ["2001:db8:1::53"]

`
	return strings.Replace(config, "[[interface]]\nname = \"wan\"", table+"[[interface]]\nname = \"wan\"", 1)
}

// learner is a host on the LAN without any configuration.
type learner struct {
	*rig
	host    *netlab.Host
	monitor *netlab.Process // of its routes
}

func (r *rig) learner() *learner {
	r.t.Helper()
	l := &learner{rig: r}
	var err error
	l.host, err = r.lab.Host("learner")
	must(r.t, err)
	l.monitor, err = l.host.Start("ip", "-6", "monitor", "route")
	must(r.t, err)
	// Linux asks for routers as soon as the device is up.
	must(r.t, l.host.Sysctl("net/ipv6/conf/default/accept_ra", "1"))
	_, err = r.lanNet.Connect(l.host, "eth0")
	must(r.t, err)
	return l
}

// defaultRoute returns by whom the host's default route leads; empty: it has none.
func (l *learner) defaultRoute() string {
	l.t.Helper()
	out, err := l.run(l.host, "ip", "-6", "route", "show", "default")
	must(l.t, err)
	if via := regexp.MustCompile(`via (\S+) dev eth0 proto ra`).FindStringSubmatch(out); via != nil {
		return via[1]
	}
	return ""
}

// waitRoute waits for a default route by an address; empty: for none.
func (l *learner) waitRoute(via string) {
	l.t.Helper()
	waitFor(l.t, patience, "default route by "+via, func() error {
		if got := l.defaultRoute(); got != via {
			return fmt.Errorf("it is by %q", got)
		}
		return nil
	})
}

// address returns the host's address by SLAAC.
func (l *learner) address() string {
	l.t.Helper()
	var address string
	waitFor(l.t, patience, "the host has an address of the prefix", func() error {
		out, err := l.run(l.host, "ip", "-6", "address", "show", "dev", "eth0", "scope", "global", "-tentative")
		if found := regexp.MustCompile(`inet6 (2001:db8:1:\S+)/64 scope global dynamic`).FindStringSubmatch(out); found != nil {
			address = found[1]
			return nil
		}
		return fmt.Errorf("%v: %s", err, out)
	})
	return address
}

// reaches waits until the host reaches the other side by its default route.
func (l *learner) reaches() {
	l.t.Helper()
	waitFor(l.t, patience, "the host reaches "+target6, func() error {
		_, err := l.run(l.host, "ping", "-n", "-c", "2", "-i", "0.1", "-W", "1", target6)
		return err
	})
}

// lost reports how often the host has lost a default route.
func (l *learner) lost() int { return strings.Count(l.monitor.Output(), "Deleted default") }

func TestHostsLearnTheVirtualRouter(t *testing.T) {
	need(t, "ip")
	t.Parallel()
	r := newRig(t)
	best := r.vrouter("r1", withRA(interfaces(numberFirst))+gateways(200, "200ms"))
	other := r.vrouter("r2", withRA(interfaces(numberB))+gateways(100, "200ms"))
	best.start()
	other.start()
	best.waitMaster()

	l := r.learner()
	l.waitRoute(virtualLL)
	before := l.lost()
	t.Logf("address %s", l.address())
	l.reaches()
	r.waitServed(patience, virtual6, "r1.lan")

	// The master dies; the route that the host has leads by the next one.
	best.process.Kill()
	other.waitMaster()
	l.reaches()

	// Preempted, and handed over by a planned stop: nobody takes the route away.
	best.start()
	best.waitMaster()
	l.reaches()
	best.stop()
	other.waitMaster()
	l.reaches()
	if via := l.defaultRoute(); via != virtualLL || l.lost() != before {
		t.Errorf("route by %q; lost %d times:\n%s", via, l.lost()-before, l.monitor.Output())
	}

	// The last router ends in order: the host is told.
	other.stop()
	l.waitRoute("")
}

// Where the interface has no IPv6 virtual router, hosts learn its own address.
func TestHostsLearnARouterWithoutVRRP(t *testing.T) {
	need(t, "ip")
	t.Parallel()
	r := newRig(t)
	v := r.vrouter("r1", withRA(interfaces(numberFirst))+
		virtualTable("wan6", "wan", vridWAN, 3, 200, "200ms", virtualLL, "2001:db8:2::1"))
	l := r.learner()
	v.start()
	v.waitState("wan6", "Master")
	l.waitRoute("fe80::2")
	l.address()
	l.reaches()
	v.stop()
	l.waitRoute("")
}

// The answer to a solicitation does not wait for the interval.
func TestARouterSolicitationIsAnsweredSoon(t *testing.T) {
	need(t, "ip")
	t.Parallel()
	r := newRig(t)
	v := r.vrouter("r1", withRA(interfaces(numberFirst))+gateways(200, "200ms"))
	v.start()
	v.waitMaster()
	time.Sleep(20 * time.Second) // beyond the initial advertisements
	start := time.Now()
	l := r.learner()
	l.waitRoute(virtualLL)
	// Linux asks within a second, the answer has half a one.
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("answered after %v", took)
	}
}
