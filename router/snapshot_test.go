package router

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vrouter/dataplane/fib"
	"vrouter/packet"
	"vrouter/vrrp"
)

const everyRoute = `
[[interface]]
name = "lan"
attach = "af_packet"
device = "eth1"
addresses = ["192.0.2.2/24", "2001:db8:1::2/64"]

[[interface]]
name = "wan"
attach = "af_packet"
device = "eth2"
addresses = "host"

[[route]]
to = "198.51.100.0/25"
type = "blackhole"

[[route]]
to = "198.51.100.128/25"
type = "unreachable"

[[route]]
to = "2001:db8:8::/48"
via = ["fe80::7%wan"]

[[route]]
to = "203.0.113.0/24"
via = ["192.0.2.8"]
metric = 20

[[route]]
to = "203.0.113.0/24"
via = ["192.0.2.9"]
metric = 10

[[vrrp]]
name = "open"
interface = "lan"
vrid = 10
addresses = ["192.0.2.1"]
accept = true

[[vrrp]]
name = "closed"
interface = "lan"
vrid = 75
addresses = ["192.0.2.254"]
accept = false

[[vrrp]]
name = "six"
interface = "lan"
vrid = 140
addresses = ["fe80::1", "2001:db8:1::1"]
accept = true
`

// groupOf returns the destination of an address in a snapshot.
func groupOf(t *testing.T, s *fib.Snapshot, addr string) fib.Group {
	t.Helper()
	g := s.Route(netip.MustParseAddr(addr))
	if g == nil {
		t.Fatalf("no route to %s", addr)
	}
	return *g
}

// TestSnapshot reads everything that a worker gets to see.
func TestSnapshot(t *testing.T) {
	s := newScript(t, everyRoute)
	s.quiet = true
	up := func(port uint16, offload packet.Offload, kernel ...string) {
		state := PortState{Present: true, Up: true, MTU: 1500 + int(port), MAC: packet.MAC{2, 0, 0, 0, 1, byte(port)}, Offload: offload}
		for _, k := range kernel {
			state.KernelAddresses = append(state.KernelAddresses, netip.MustParsePrefix(k))
		}
		s.turn(s.router.PortChanged(s.now, port, state))
	}
	up(0, packet.OffloadCsum)
	first := s.router.Snapshot()
	up(1, packet.OffloadTSO4, "fe80::99/64", "198.18.0.1/15", "2001:db8:2::9/64")
	s.advance(10 * time.Second)
	snap := s.router.Snapshot()
	if snap.Serial <= first.Serial || snap.Seed == 0 || snap.Seed != first.Seed || snap.Lease != s.router.Lease() {
		t.Errorf("serial %d after %d, seed %x, lease %p", snap.Serial, first.Serial, snap.Seed, snap.Lease)
	}
	lan, wan := snap.Ports[0], snap.Ports[1]
	if lan.Name != "lan" || !lan.Up || !lan.Owns || lan.MTU != 1500 || lan.Offload != packet.OffloadCsum ||
		lan.MAC != (packet.MAC{2, 0, 0, 0, 1, 0}) ||
		lan.Addr4.String() != "192.0.2.2" || lan.Addr6.String() != "2001:db8:1::2" {
		t.Errorf("lan is %+v", lan)
	}
	if wan.Name != "wan" || !wan.Up || wan.Owns || wan.MTU != 1501 || wan.Offload != packet.OffloadTSO4 ||
		wan.Addr4.String() != "198.18.0.1" || wan.Addr6.String() != "2001:db8:2::9" {
		t.Errorf("wan is %+v", wan)
	}
	if lan.Masters4 != [4]uint64{1 << 10, 1 << (75 - 64)} || lan.Masters6 != [4]uint64{2: 1 << (140 - 128)} {
		t.Errorf("masters %x %x", lan.Masters4, lan.Masters6)
	}
	for addr, want := range map[string]fib.Kind{
		"198.51.100.1": fib.Blackhole, "198.51.100.129": fib.Unreachable, "192.0.2.77": fib.Connected,
		"192.0.2.2": fib.Local, "192.0.2.1": fib.Local, "192.0.2.254": fib.Virtual, "2001:db8:1::1": fib.Local,
		"192.0.2.255": fib.Broadcast, "198.18.0.1": fib.Foreign, "2001:db8:8::1": fib.Gateway,
	} {
		if g := groupOf(t, snap, addr); g.Kind != want {
			t.Errorf("%s is of kind %d, want %d", addr, g.Kind, want)
		}
	}
	if hop := groupOf(t, snap, "2001:db8:8::1").Hops[0]; hop.Port != 1 || hop.Via.String() != "fe80::7" {
		t.Errorf("next hop %+v", hop)
	}
	if hop := groupOf(t, snap, "203.0.113.1").Hops[0]; hop.Via.String() != "192.0.2.9" {
		t.Errorf("the higher metric is used: %+v", hop)
	}
	// A Backup has nothing of the virtual addresses.
	s.run("advert lan vrid=10 priority=254")
	s.run("advert lan vrid=75 priority=254 addresses=192.0.2.254")
	snap = s.router.Snapshot()
	for _, addr := range []string{"192.0.2.1", "192.0.2.254"} {
		if g := groupOf(t, snap, addr); g.Kind != fib.Connected {
			t.Errorf("%s is of kind %d on a Backup", addr, g.Kind)
		}
	}
	if accepted := localAddresses(s.router); strings.Contains(accepted, "192.0.2.1/") ||
		strings.Contains(accepted, "192.0.2.254") || !strings.Contains(accepted, "2001:db8:1::1") {
		t.Errorf("the local stack answers for %s", accepted)
	}
}

func localAddresses(r *Router) string {
	text := ""
	for _, a := range r.localStack().Addresses {
		text += a.Prefix.String() + " "
	}
	return text
}

// TestLocalStackPrefersOwnAddresses: their order is that of preference.
func TestLocalStackPrefersOwnAddresses(t *testing.T) {
	s := newRunning(t)
	want := "192.0.2.2/24 2001:db8:1::2/64 fe80::ff:fe00:100/64 203.0.113.2/24 192.0.2.1/32 fe80::1/128 2001:db8:1::1/128 203.0.113.254/32 "
	if got := localAddresses(s.router); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestUnacceptedAddressesAreNotLocal: without accept mode nothing answers.
func TestUnacceptedAddressesAreNotLocal(t *testing.T) {
	s := newScript(t, everyRoute)
	s.quiet = true
	s.run("up lan")
	s.advance(10 * time.Second)
	if got := localAddresses(s.router); strings.Contains(got, "192.0.2.254") || !strings.Contains(got, "192.0.2.1/32") {
		t.Errorf("the local stack answers for %s", got)
	}
	for _, p := range s.router.localStack().Ports {
		if p.Port == 1 {
			t.Error("a port whose device was never seen is in the local stack")
		}
	}
}

// TestAdvertisementFrames compares whole frames, byte by byte.
func TestAdvertisementFrames(t *testing.T) {
	adv := vrrp.Advertisement{VRID: 10, Priority: 100, Interval: time.Second}
	for _, c := range []struct {
		name    string
		version uint8
		plain   bool
		address string
		src     string
		want    []string
	}{
		{"version 3, IPv4", 3, false, "192.0.2.1", "192.0.2.2", []string{
			"01005e000012 00005e00010a 0800", // the group's MAC, from the virtual MAC
			"45 c0 0020 0000 0000 ff 70",     // class CS6, 32 bytes, TTL 255, protocol 112
			"1899 c0000202 e0000012",         // header checksum, source, group
			"31 0a 64 01 0064",               // version and type, VRID, priority, count, centiseconds
			"05fd c0000201",                  // checksum with pseudo header, virtual address
		}},
		{"version 3, IPv4, plain", 3, true, "192.0.2.1", "192.0.2.2", []string{
			"01005e000012 00005e00010a 0800", "45 c0 0020 0000 0000 ff 70", "1899 c0000202 e0000012",
			"31 0a 64 01 0064", "a88e c0000201",
		}},
		{"version 2", 2, false, "192.0.2.1", "192.0.2.2", []string{
			"01005e000012 00005e00010a 0800", "45 c0 0028 0000 0000 ff 70", "1891 c0000202 e0000012",
			"21 0a 64 01 00 01", // authentication type none, seconds
			"b8f1 c0000201 0000000000000000",
		}},
		{"version 3, IPv6", 3, false, "fe80::1", "fe80::2", []string{
			"333300000012 00005e00020a 86dd",
			"6c000000 0018 70 ff", // class CS6, 24 bytes, next header 112, hop limit 255
			"fe800000000000000000000000000002", "ff020000000000000000000000000012",
			"31 0a 64 01 0064", "6dee", "fe800000000000000000000000000001",
		}},
	} {
		a := adv
		a.Version, a.Addresses = c.version, []netip.Addr{netip.MustParseAddr(c.address)}
		virtual := newScript(t, twoLinks).router.virtual
		v := virtual[0]
		group := vrrp.GroupIPv4
		if a.Addresses[0].Is6() {
			v = virtual[1]
			group = vrrp.GroupIPv6
		}
		cfg := *v.cfg
		cfg.PlainCSum = c.plain
		v.cfg = &cfg
		want, err := hex.DecodeString(strings.ReplaceAll(strings.Join(c.want, ""), " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		got := advertFrame(v, &a, envelope{src: netip.MustParseAddr(c.src), dst: group, from: v.mac, to: packet.MulticastMAC(group)})
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\ngot  %x\nwant %x", c.name, got, want)
		}
	}
}

// TestBadAdvertisementsCountWhereTheyBelong: at the virtual router that they
// name, for its operator to see.
func TestBadAdvertisementsCountWhereTheyBelong(t *testing.T) {
	s := newRunning(t)
	w := words{s: s, named: map[string]string{"vrid": "10", "every": "100ms"}}
	frame := w.advert()
	frame[len(frame)-1] ^= 1
	s.router.Receive(s.now, 0, frame)
	if n := s.router.VirtualRouters()[0].Counters["discarded_checksum"]; n != 1 {
		t.Errorf("the virtual router counts %d", n)
	}
	if n := s.router.ControlCounters()["vrrp_checksum"]; n != 1 {
		t.Errorf("the router counts %d", n)
	}
}

// TestOnLink: who is a neighbour on an interface.
func TestOnLink(t *testing.T) {
	f := &iface{addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8:1::2/64")}}
	for addr, want := range map[string]bool{
		"192.0.2.9": true, "192.0.3.9": false, "2001:db8:1::9": true, "2001:db8:2::9": false,
		"fe80::9": true, "169.254.1.1": false,
	} {
		if f.onLink(netip.MustParseAddr(addr)) != want {
			t.Errorf("onLink(%s) is not %v", addr, want)
		}
	}
	if src, ok := f.source(netip.MustParseAddr("203.0.113.1")); !ok || src.String() != "192.0.2.2" {
		t.Errorf("source %v %v", src, ok)
	}
	if _, ok := (&iface{}).source(netip.MustParseAddr("203.0.113.1")); ok {
		t.Error("a source of an interface without addresses")
	}
	if src, ok := f.vrrpSource(true); ok {
		t.Errorf("IPv6 advertisements from %v, which is not link-local", src)
	}
}

// TestWhoseAddressesAreProbedFor: an interface's own, but neither what the
// kernel owns nor what VRRP decides about.
func TestWhoseAddressesAreProbedFor(t *testing.T) {
	s := newScript(t, everyRoute)
	s.run("up lan")
	s.run("up wan kernel=198.18.0.1/15,2001:db8:2::9/64")
	s.advance(8 * time.Second)
	for text, want := range map[string]bool{
		"ARP probe 192.0.2.2": true, "NS :: > ff02::1:ff00:2 target 2001:db8:1::2": true,
		"ARP probe 198.18.0.1": false, "target 2001:db8:2::9": false, "ARP probe 192.0.2.1": false,
	} {
		if strings.Contains(s.trace.String(), text) != want {
			t.Errorf("%q in the trace: not %v", text, want)
		}
	}
	owner := strings.NewReplacer("[\"192.0.2.1\"]", "[\"192.0.2.2\"]\npriority = 255").Replace(everyRoute)
	s = newScript(t, owner)
	s.run("up lan")
	s.advance(8 * time.Second)
	if strings.Contains(s.trace.String(), "ARP probe 192.0.2.2") {
		t.Error("the owner probes for an address that it answers with the virtual MAC")
	}
}
