package probe

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestMACChange gives a device another MAC while the router runs.
func TestMACChange(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lan", "wan")
	r.stations["lan"].neighbor(lanHost, hostMAC)
	r.stations["wan"].neighbor(wanHost, nextMAC)
	r.run(forwardingTwo + vrrpTable("v", 33, 3, 100, "200ms", "", "192.0.2.100"))
	r.waitState("v", "Master", 5*time.Second)
	old := r.mac["lan"]
	changed := mac{2, 0, 0, 0, 9, 9}
	if err := r.ns.Netlink().LinkSetHardwareAddr(r.ns.Link(t, "lan"), changed[:]); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	r.quiet("lan")
	got := r.ask("lan", other, ask("192.0.2.2")...)
	if len(got) != 1 || source(got[0]) != changed || !bytes.Equal(got[0][22:28], changed[:]) {
		t.Errorf("answers %x, want one from %x", got, changed)
	}
	if got := r.probeFor(500*time.Millisecond, "lan", eth(changed, hostMAC, typeIPv4, udp4(lanHost, wanHost).bytes())); len(got) != 1 {
		t.Errorf("to the new MAC: %v", got)
	}
	wantNothing(t, r.probe("lan", eth(old, hostMAC, typeIPv4, udp4(lanHost, wanHost).bytes())))
	r.waitState("v", "Master", 5*time.Second)
}

// TestDuplicateAddress: another station has an own address of the router: it
// is told to people (RFC 5227 2.1, RFC 4862 5.4).
func TestDuplicateAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lan")
	r.stations["lan"].neighbor("192.0.2.2", other)
	r.run(vrrpInterface + vrrpTable("v", 33, 3, 100, "200ms", "", "192.0.2.100"))
	r.waitState("v", "Master", 5*time.Second)
	for end := time.Now().Add(8 * time.Second); !strings.Contains(r.logged(), "duplicate_address"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("nobody is told\n%s", r.logged())
		}
	}
	out, err := r.command("show", "events", "--json")
	if err != nil || !strings.Contains(string(out), "duplicate_address") {
		t.Errorf("events: %v\n%s", err, out)
	}
}

// TestLocalDetails sends unusual packets to the router's own addresses.
func TestLocalDetails(t *testing.T) {
	t.Parallel()
	r := forwarding(t)
	one := func(name string, want int, f []byte) {
		t.Helper()
		if got := r.probe("lan", f); len(got) != want {
			t.Errorf("%s: %v, want %d frames", name, got, want)
		}
	}
	p, q := echo4(lanHost, "192.0.2.1", 8), echo6(lanHost6, "2001:db8:1::1", 8)
	p.ttl, q.hops = 1, 1
	one("TTL 1 to a virtual address", 1, eth(virtual4, hostMAC, typeIPv4, p.bytes()))
	one("hop limit 1 to a virtual address", 1, eth(virtual6, hostMAC, typeIPv6, q.bytes()))
	p.options = []byte{1, 1, 1, 0}
	one("options", 1, eth(virtual4, hostMAC, typeIPv4, p.bytes()))
	padded := append(eth(virtual4, hostMAC, typeIPv4, echo4(lanHost, "192.0.2.1", 0).bytes()), make([]byte, 18)...)
	one("padded", 1, padded)
	one("ping all nodes", 1, eth(mac{0x33, 0x33, 0, 0, 0, 1}, hostMAC, typeIPv6, echo6("fe80::10", "ff02::1", 8).bytes()))
	one("ping all hosts (RFC 1122 3.2.2.6: may be silent)", 0, eth(mac{1, 0, 0x5e, 0, 0, 1}, hostMAC, typeIPv4, echo4(lanHost, "224.0.0.1", 8).bytes()))
	one("UDP to a group", 0, eth(mac{0x33, 0x33, 0, 0, 0, 1}, hostMAC, typeIPv6, udp6("fe80::10", "ff02::1").bytes()))
	one("unknown protocol", 1, eth(virtual4, hostMAC, typeIPv4, ip4{src: lanHost, dst: "192.0.2.1", proto: 253, payload: pattern(8)}.bytes()))
	one("an ICMP error", 0, eth(virtual4, hostMAC, typeIPv4, ip4{src: lanHost, dst: "192.0.2.1", proto: protoICMP, payload: icmp4(3, 3, cat(make([]byte, 4), udp4("192.0.2.1", lanHost).bytes()))}.bytes()))
	one("an ICMP redirect", 0, eth(virtual4, hostMAC, typeIPv4, ip4{src: lanHost, dst: lanOwn, proto: protoICMP, payload: icmp4(5, 1, cat(addr("192.0.2.66"), udp4(lanOwn, beyond).bytes()))}.bytes()))
	redirect := icmp6("fe80::10", lanOwn6, 137, 0, cat(make([]byte, 4), addr("fe80::66"), addr(beyond6)))
	one("an ICMPv6 redirect", 0, eth(virtual6, hostMAC, typeIPv6, ip6{src: "fe80::10", dst: lanOwn6, hops: 255, next: protoICMPv6, payload: redirect}.bytes()))
	one("a router advertisement", 0, eth(mac{0x33, 0x33, 0, 0, 0, 1}, hostMAC, typeIPv6, ip6{src: "fe80::10", dst: "ff02::1", hops: 255, next: protoICMPv6, payload: icmp6("fe80::10", "ff02::1", 134, 0, make([]byte, 12))}.bytes()))
	got := r.probe("lan", eth(virtual6, hostMAC, typeIPv6, udp6(lanHost6, beyond6).bytes()))
	if len(got) != 1 || got[0].port != "wan" || destination(got[0].frame) != nextMAC {
		t.Errorf("after redirects: %v", got)
	}
	one("timestamp request (may be silent)", 0, eth(virtual4, hostMAC, typeIPv4, ip4{src: "192.0.2.255", dst: lanOwn, proto: protoICMP, payload: icmp4(8, 0, make([]byte, 12))}.bytes()))
	for _, size := range []int{1, 100, 1400} {
		reply := r.probe("lan", eth(virtual4, hostMAC, typeIPv4, echo4("192.0.2.0", lanOwn, size).bytes()))
		wantNothing(t, reply)
	}
}
