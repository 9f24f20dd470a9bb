package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vrouter/internal/netlab"
)

// peer is another implementation of VRRP, on the host "peer" with the device
// lan.
type peer interface {
	start(t *testing.T)
	stop(t *testing.T) // in order: it is to send priority 0
	crash(t *testing.T)
	log() string
}

// variant is what two routers must agree on.
type variant struct {
	name      string
	version   int
	addresses []string // of the virtual router; the last one is what the test asks for
	own       []string // the peer's own
	address   string   // the peer's primary one, empty where it is made from the MAC
	auth      string   // of version 2: password or ah, with the key authKey; empty: none
	unicast   string   // vrouter's address, where the two speak to each other alone; else empty
}

const authKey = "labkey"

var variants = []variant{
	{name: "version 2 IPv4", version: 2, addresses: []string{virtual4}, own: []string{"192.0.2.3/24"}, address: "192.0.2.3"},
	{name: "version 3 IPv4", version: 3, addresses: []string{virtual4}, own: []string{"192.0.2.3/24"}, address: "192.0.2.3"},
	{name: "version 3 IPv6", version: 3, addresses: []string{virtualLL, virtual6}, own: []string{"2001:db8:1::3/64"}},
}

// With the interval of one second that all peers know: a backup that misses
// its master waits 3.2 to 4 seconds, one that hears priority 0 less than one.
const (
	interval      = "1s"
	handOverLimit = 2500 * time.Millisecond
	crashLimit    = 10 * time.Second
)

// duel is one virtual router on the LAN, with vrouter and a peer.
type duel struct {
	*rig
	variant
	v        *vrouter
	peer     peer
	peerHost *netlab.Host
	peerLink *netlab.Link
}

// newDuel makes a lab whose LAN has room for a peer; make tells how the peer
// is run.
func newDuel(t *testing.T, va variant, priority int, make func(d *duel) peer) *duel {
	t.Helper()
	r := newRig(t)
	d := &duel{rig: r, variant: va}
	d.v = r.vrouter("r1", interfaces(numberFirst)+
		virtualTable("vr", "lan", vridLAN, va.version, priority, interval, va.addresses...)+va.keys())
	d.peerHost, d.peerLink, _ = r.routerHost("peer")
	must(t, d.peerHost.Address("lan", va.own...))
	must(t, d.peerHost.Address("wan", "203.0.113.3/24", "2001:db8:2::3/64"))
	must(t, d.peerHost.Sysctl("net/ipv4/ip_forward", "1"))
	must(t, d.peerHost.Sysctl("net/ipv6/conf/all/forwarding", "1"))
	must(t, d.peerHost.Route("0.0.0.0/0", wanHost4, "wan"))
	must(t, d.peerHost.Route("::/0", wanHost6, "wan"))
	d.peer = make(d)
	t.Cleanup(func() {
		if t.Failed() {
			out, err := d.v.show("counters")
			t.Logf("counters: %v\n%s\nlog of the peer:\n%s", err, out, tail(d.peer.log()))
		}
	})
	return d
}

// keys are further keys of the table [[vrrp]].
func (va *variant) keys() (text string) {
	if va.auth != "" {
		text += fmt.Sprintf("auth = { type = %q, key = %q }\n", va.auth, authKey)
	}
	if va.unicast != "" {
		text += fmt.Sprintf("peers = [%q]\n", va.address)
	}
	return text
}

// asked is the virtual address that the test asks for.
func (d *duel) asked() string { return d.addresses[len(d.addresses)-1] }

// vrouterServes waits until vrouter is master and it alone answers.
func (d *duel) vrouterServes(limit time.Duration) {
	d.t.Helper()
	d.waitServed(limit, d.asked(), "r1.lan")
	d.v.waitState("vr", "Master")
	d.passes(numberFirst)
}

// peerServes waits until the peer alone answers.
func (d *duel) peerServes(limit time.Duration) {
	d.t.Helper()
	d.waitServed(limit, d.asked(), "peer.lan")
	d.passes(numberB)
}

// passes checks that the virtual address answers, and that packets pass through
// the router with a number: the way back leads through the same one.
func (d *duel) passes(number int) {
	d.t.Helper()
	network, via, target := "192.0.2.0/24", fmt.Sprintf("203.0.113.%d", number), target4
	if strings.Contains(d.asked(), ":") {
		network, via, target = "2001:db8:1::/64", fmt.Sprintf("2001:db8:2::%d", number), target6
	}
	must(d.t, d.up.Route(network, via, "eth0"))
	for _, address := range []string{d.asked(), target} {
		waitFor(d.t, patience, "ping to "+address, func() error {
			_, err := d.run(d.lan, "ping", "-n", "-c", "2", "-i", "0.1", "-W", "1", address)
			return err
		})
	}
}

// vrouterFollows waits until vrouter is backup and knows whose.
func (d *duel) vrouterFollows(priority int) {
	d.t.Helper()
	d.v.waitState("vr", "Backup")
	waitFor(d.t, patience, "vrouter knows its master", func() error {
		one, err := d.v.virtual("vr")
		if err == nil && (one.Master.Priority != priority || d.address != "" && one.Master.Address != d.address) {
			err = fmt.Errorf("it has %+v", one.Master)
		}
		return err
	})
}

// holds checks that for a time nothing changes: the router on a port is the
// one that answers, and vrouter counts no transition.
func (d *duel) holds(port string) {
	d.t.Helper()
	before, err := d.v.virtual("vr")
	must(d.t, err)
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Second) {
		if at, _, err := d.served(d.asked()); err != nil || at != port {
			d.t.Errorf("%s: served by %q, %v; want %s throughout", d.asked(), at, err, port)
		}
	}
	after, err := d.v.virtual("vr")
	if err != nil || after.Transitions != before.Transitions || after.State != before.State {
		d.t.Errorf("from %+v to %+v, %v: want no change", before, after, err)
	}
}

// testPeer plays both roles with a peer; make is given the peer's priority.
func testPeer(t *testing.T, va variant, make func(d *duel, priority int) peer) {
	t.Run("vrouter has the higher priority", func(t *testing.T) {
		t.Parallel()
		d := newDuel(t, va, 200, func(d *duel) peer { return make(d, 100) })
		d.peer.start(t)
		d.peerServes(patience)
		d.v.start()
		d.vrouterServes(patience) // it preempts
		d.holds("r1.lan")

		start := time.Now()
		d.v.stop()
		d.peerServes(handOverLimit)
		t.Logf("stop of vrouter: the peer served after %v", time.Since(start).Round(time.Millisecond))

		d.v.start()
		d.vrouterServes(patience)
		start = time.Now()
		d.v.process.Kill()
		d.peerServes(crashLimit)
		t.Logf("crash of vrouter: the peer served after %v", time.Since(start).Round(time.Millisecond))
	})
	t.Run("the peer has the higher priority", func(t *testing.T) {
		t.Parallel()
		d := newDuel(t, va, 100, func(d *duel) peer { return make(d, 200) })
		d.v.start()
		d.vrouterServes(patience)
		d.peer.start(t)
		d.peerServes(patience) // it preempts
		d.vrouterFollows(200)
		d.holds("peer.lan")

		start := time.Now()
		d.peer.stop(t)
		d.vrouterServes(handOverLimit)
		t.Logf("stop of the peer: vrouter served after %v", time.Since(start).Round(time.Millisecond))

		d.peer.start(t)
		d.peerServes(patience)
		d.vrouterFollows(200)
		start = time.Now()
		d.peer.crash(t)
		d.vrouterServes(crashLimit)
		t.Logf("crash of the peer: vrouter served after %v", time.Since(start).Round(time.Millisecond))
	})
}
