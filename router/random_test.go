package router

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"vrouter/arp"
	"vrouter/ndp"
	"vrouter/neigh"
	"vrouter/packet"
)

// twoLinks has everything that a frame could stir: both families, an owner,
// unicast peers, routes.
const twoLinks = `
[[interface]]
name = "lan"
attach = "af_packet"
device = "eth1"
addresses = ["192.0.2.2/24", "2001:db8:1::2/64"]

[[interface]]
name = "wan"
attach = "af_packet"
device = "eth2"
addresses = ["203.0.113.2/24"]

[[route]]
to = "0.0.0.0/0"
via = ["203.0.113.1"]

[[vrrp]]
name = "lan4"
interface = "lan"
vrid = 10
addresses = ["192.0.2.1"]
interval = "100ms"

[[vrrp]]
name = "lan6"
interface = "lan"
vrid = 10
addresses = ["fe80::1", "2001:db8:1::1"]

[[vrrp]]
name = "wan4"
interface = "wan"
vrid = 20
version = 2
addresses = ["203.0.113.254"]
peers = ["203.0.113.3"]
`

// newRunning returns a script whose router is up and Master of everything.
func newRunning(t testing.TB) *script {
	s := newScript(t, twoLinks)
	s.quiet = true
	s.run("up lan")
	s.run("up wan")
	s.advance(10 * time.Second)
	return s
}

// FuzzReceive hands any frame to a router that is Master: it must not panic,
// and all that a frame may bring about is a reply to its sender, a
// neighbour, or what a valid advertisement demands.
func FuzzReceive(f *testing.F) {
	s := newRunning(f)
	own, host := s.router.ifaces[0].state.MAC, packet.MAC{2, 0, 0, 0, 0, 0xaa}
	a, b := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("192.0.2.1")
	w := words{s: s, named: map[string]string{}}
	for _, seed := range [][]byte{
		arp.Request(host, a, b), arp.Reply(host, a, own, b), arp.Probe(host, b),
		ndp.Solicit(host, netip.MustParseAddr("fe80::10"), netip.MustParseAddr("fe80::1")),
		ndp.Probe(host, netip.MustParseAddr("fe80::1")),
		ndp.RouterSolicit(host, netip.MustParseAddr("fe80::10")),
		w.advertise(), w.advert(),
		{},
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, frame []byte, wan bool) {
		s := newRunning(t)
		before := s.router.VirtualRouters()
		in := uint16(0)
		if wan {
			in = 1
		}
		whole := append([]byte(nil), frame...)
		actions := s.router.Receive(s.now, in, frame)
		s.verify(actions)
		if string(whole) != string(frame) {
			t.Error("Receive changed the frame")
		}
		isVRRP := len(frame) > 23 && (frame[23] == packet.ProtoVRRP || frame[20] == packet.ProtoVRRP)
		after := s.router.VirtualRouters()
		for i := range before {
			if before[i].State != after[i].State && !isVRRP {
				t.Errorf("%s became %v by a frame that is no advertisement", before[i].Name, after[i].State)
			}
		}
		if len(actions) > 8 {
			t.Errorf("one frame has %d consequences", len(actions))
		}
	})
}

// TestARPAndNDNeverMoveAnAddressOfOurs tries every claim of every own and
// virtual address.
func TestARPAndNDNeverMoveAnAddressOfOurs(t *testing.T) {
	s := newRunning(t)
	thief := packet.MAC{2, 0, 0, 0, 0, 0x66}
	ours := []string{
		"192.0.2.1", "192.0.2.2", "203.0.113.2", "203.0.113.254",
		"2001:db8:1::1", "2001:db8:1::2", "fe80::1", "fe80::ff:fe00:100",
	}
	for _, text := range ours {
		a := netip.MustParseAddr(text)
		frames := [][]byte{}
		if a.Is4() {
			frames = append(frames, arp.Announcement(thief, a), arp.Request(thief, a, netip.MustParseAddr("192.0.2.2")),
				arp.Reply(thief, a, s.router.ifaces[0].state.MAC, netip.MustParseAddr("192.0.2.2")))
		} else {
			na := ndp.NeighborAdvert{
				MAC: thief, Target: a, To: s.router.ifaces[0].state.MAC,
				Dst: netip.MustParseAddr("2001:db8:1::2"), Solicited: true, Override: true,
			}
			frames = append(frames, ndp.Unsolicited(thief, a), na.Frame(),
				ndp.Solicit(thief, a, netip.MustParseAddr("2001:db8:1::2")), ndp.RouterSolicit(thief, a))
		}
		for _, frame := range frames {
			spoofed := s.router.counters.spoofed
			for _, action := range s.router.Receive(s.now, 0, frame) {
				if _, ok := action.(Publish); ok {
					t.Errorf("%s: a claim of %v published a snapshot", describeFrame(frame), a)
				}
			}
			if s.router.counters.spoofed != spoofed+1 {
				t.Errorf("%s: not counted as spoofed", describeFrame(frame))
			}
			if _, known := s.router.cache.Lookup(neigh.Key{Port: 0, Addr: a}); known {
				t.Errorf("%s: %v is in the neighbour cache", describeFrame(frame), a)
			}
		}
	}
}

// TestRandomEvents drives two routers through the same long random history:
// every turn keeps the promises that script.verify checks, and both do the
// same.
func TestRandomEvents(t *testing.T) {
	for seed := range uint64(40) {
		one := randomHistory(t, seed)
		if two := randomHistory(t, seed); one != two {
			t.Fatalf("seed %d: the same history had different outcomes:\n%s", seed, firstDifference(one, two))
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func randomHistory(t *testing.T, seed uint64) string {
	s := newScript(t, twoLinks)
	rng := rand.New(rand.NewPCG(seed, 1))
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	address := func() string {
		return pick("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.10", "203.0.113.1", "203.0.113.3")
	}
	address6 := func() string { return pick("fe80::1", "fe80::3", "fe80::10", "2001:db8:1::1", "2001:db8:1::10") }
	mac := func() string { return pick("02:00:00:00:00:03", "02:00:00:00:00:aa", "02:00:00:00:00:66") }
	port := func() string { return pick("lan", "wan") }
	for range 300 {
		switch rng.IntN(14) {
		case 0:
			s.run("up " + port() + " mtu=" + pick("1500", "9000"))
		case 1:
			if rng.IntN(4) == 0 {
				s.run("down " + port() + " why=x")
			}
		case 2, 3, 4:
			s.run("run " + pick("1ms", "40ms", "300ms", "1s", "4s"))
		case 5:
			s.run("freeze " + pick("10ms", "150ms", "1s", "9s"))
		case 6:
			s.run("advert lan vrid=10 every=100ms from=192.0.2.3 priority=" + pick("0", "1", "100", "254", "255"))
		case 7:
			s.run("advert lan vrid=10 from=fe80::3 addresses=fe80::1 priority=" + pick("0", "100", "254"))
		case 8:
			s.run("advert wan vrid=20 version=2 from=203.0.113.3 to=203.0.113.2 priority=" + pick("0", "100", "254"))
		case 9:
			s.run("request " + port() + " from=" + address() + " target=" + address() + " mac=" + mac())
		case 10:
			s.run("reply " + port() + " from=" + address() + " target=" + address() + " mac=" + mac())
		case 11:
			s.run("ns lan from=" + address6() + " target=" + address6() + " mac=" + mac())
		case 12:
			s.run("resolve " + port() + " via=" + address() + " local=" + pick("", "yes"))
		case 13:
			s.run("switchover " + pick("lan4", "lan6", "wan4"))
		}
	}
	s.run("stop")
	s.advance(5 * time.Second)
	if !s.router.Stopped() {
		t.Errorf("seed %d: not stopped 5 s after Stop", seed)
	}
	return s.trace.String()
}

// TestLeaseDuration: two intervals of the fastest virtual router, within bounds.
func TestLeaseDuration(t *testing.T) {
	for _, c := range []struct {
		intervals []string
		want      time.Duration
	}{
		{nil, 2 * time.Second},
		{[]string{"10ms"}, 20 * time.Millisecond},
		{[]string{"40.95s"}, 2 * time.Second},
		{[]string{"1s", "100ms", "500ms"}, 200 * time.Millisecond},
	} {
		text := "[[interface]]\nname = \"lan\"\nattach = \"af_packet\"\ndevice = \"eth1\"\naddresses = [\"192.0.2.2/24\"]\n"
		for i, interval := range c.intervals {
			n := string(rune('a' + i))
			text += "[[vrrp]]\nname = \"" + n + "\"\ninterface = \"lan\"\nvrid = " + string(rune('1'+i)) +
				"\naddresses = [\"192.0.2.10" + string(rune('1'+i)) + "\"]\ninterval = \"" + interval + "\"\n"
		}
		if got := newScript(t, text).router.LeaseDuration(); got != c.want {
			t.Errorf("intervals %v: lease %v, want %v", c.intervals, got, c.want)
		}
	}
}

// TestDeadlineKeepsTheLease: while a virtual MAC is served the router wants a
// turn within a quarter of the lease, and has no need of one while it is idle.
func TestDeadlineKeepsTheLease(t *testing.T) {
	s := newRunning(t)
	for range 50 {
		if wait := s.router.Deadline().Sub(s.now); wait > s.router.LeaseDuration()/4 {
			t.Fatalf("next turn in %v, lease %v", wait, s.router.LeaseDuration())
		}
		s.now = s.router.Deadline()
		s.advanceOnce()
	}
	s.run("down lan why=x")
	s.run("down wan why=x")
	s.advance(time.Minute)
	if d := s.router.Deadline(); !d.IsZero() {
		t.Errorf("with all links down the router wants a turn in %v", d.Sub(s.now))
	}
}

// TestStatusBelongsToTheCaller: what the status functions return does not
// change with the router.
func TestStatusBelongsToTheCaller(t *testing.T) {
	s := newRunning(t)
	interfaces, routers := s.router.Interfaces(), s.router.VirtualRouters()
	again, againRouters := s.router.Interfaces(), s.router.VirtualRouters()
	s.run("up lan mac=02:00:00:00:09:09")
	s.run("down wan why=x")
	if !reflect.DeepEqual(interfaces, again) || !reflect.DeepEqual(routers, againRouters) {
		t.Error("a status has changed after it was handed out")
	}
	if egress, ok := s.router.Egress(netip.MustParseAddr("192.0.2.99")); !ok || egress != 0 {
		t.Errorf("egress of a connected destination: %d %v", egress, ok)
	}
	if _, ok := s.router.Egress(netip.MustParseAddr("198.51.100.1")); ok {
		t.Error("there is an egress by a default route whose port is down")
	}
}

// TestReceiveForAnUnknownPort: a frame of a port that does not exist counts.
func TestReceiveForAnUnknownPort(t *testing.T) {
	s := newRunning(t)
	frame := make([]byte, 60)
	binary.BigEndian.PutUint16(frame[12:], packet.EtherTypeARP)
	if actions := s.router.Receive(s.now, 7, frame); len(actions) != 0 || s.router.counters.malformed != 1 {
		t.Errorf("actions %v, malformed %d", actions, s.router.counters.malformed)
	}
}
