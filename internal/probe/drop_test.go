package probe

import (
	"encoding/binary"
	"testing"
)

// droppedChecks sends what no router may forward or answer.
func droppedChecks(t *testing.T, r *rig) {
	drop := func(name string, frames ...[]byte) {
		t.Run(name, func(t *testing.T) { wantNothing(t, r.probe("lan", frames...)) })
	}
	f4 := func(p ip4) []byte { return eth(virtual4, hostMAC, typeIPv4, p.bytes()) }
	f6 := func(p ip6) []byte { return eth(virtual6, hostMAC, typeIPv6, p.bytes()) }
	for _, src := range []string{
		"0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
		"169.254.1.1", lanOwn, "203.0.113.2", "192.0.2.1", "192.0.2.255", "192.0.2.0", "203.0.113.255",
	} {
		p := udp4(src, beyond)
		drop("source "+src, f4(p))
		p.ttl = 1
		drop("source "+src+" with TTL 1", f4(p))
	}
	for _, dst := range []string{
		"0.0.0.0", "0.1.2.3", "127.0.0.1", "240.0.0.1", "255.255.255.255", "169.254.1.1",
		"224.0.0.1", "224.0.0.251", "239.1.1.1", "192.0.2.255", "203.0.113.255", "203.0.113.0", "192.0.2.0", "198.51.100.63", "198.51.100.129",
	} {
		p := udp4(lanHost, dst)
		drop("destination "+dst, f4(p))
		p.ttl = 1
		if dst != "198.51.100.129" {
			drop("destination "+dst+" with TTL 1", f4(p))
		}
		drop("broadcast to "+dst, eth(everyone, hostMAC, typeIPv4, p.bytes()))
	}
	for _, src := range []string{"::", "::1", "::ffff:192.0.2.10", "ff02::1", "ff0e::1", lanOwn6, "2001:db8:1::1", "2001:db8:2::2"} {
		q := udp6(src, beyond6)
		drop("source "+src, f6(q))
		q.hops = 1
		drop("source "+src+" with hop limit 1", f6(q))
	}
	for _, dst := range []string{"::", "::1", "::ffff:203.0.113.10", "ff02::1", "ff05::2", "ff0e::1", "fe80::99", "2001:db8:b::1"} {
		drop("destination "+dst, f6(udp6(lanHost6, dst)))
	}
	p, q := udp4(lanHost, beyond), udp6(lanHost6, beyond6)
	drop("link broadcast", eth(everyone, hostMAC, typeIPv4, p.bytes()), eth(everyone, hostMAC, typeIPv6, q.bytes()))
	drop("link multicast", eth(mac{1, 0, 0x5e, 0, 0, 1}, hostMAC, typeIPv4, p.bytes()), eth(mac{0x33, 0x33, 0, 0, 0, 1}, hostMAC, typeIPv6, q.bytes()))
	for _, dst := range []string{lanOwn, "192.0.2.1"} {
		drop("ping "+dst+" in a link broadcast (RFC 1122 3.3.6)", eth(everyone, hostMAC, typeIPv4, echo4(lanHost, dst, 8).bytes()))
	}
	for name, m := range map[string]mac{
		"foreign": {2, 9, 9, 9, 9, 9}, "backup": {0, 0, 0x5e, 0, 1, 99}, "backup6": {0, 0, 0x5e, 0, 2, 99},
		"other port": r.mac["wan"], "virtual of other family": {0, 0, 0x5e, 0, 2, 77},
	} {
		drop("to MAC "+name, eth(m, hostMAC, typeIPv4, p.bytes()), eth(m, hostMAC, typeIPv6, q.bytes()),
			eth(m, hostMAC, typeIPv4, echo4(lanHost, lanOwn, 8).bytes()))
	}
	drop("VLAN", eth(virtual4, hostMAC, typeVLAN, cat(u16(5), u16(typeIPv4), p.bytes())),
		eth(virtual4, hostMAC, typeVLAN, cat(u16(0), u16(typeIPv4), p.bytes())),
		eth(virtual4, hostMAC, 0x88a8, cat(u16(5), u16(typeIPv4), p.bytes())))
	drop("ether types", eth(virtual4, hostMAC, 0x86dd, p.bytes()), eth(virtual6, hostMAC, 0x0800, q.bytes()),
		eth(virtual4, hostMAC, len(p.bytes()), p.bytes()), eth(virtual4, hostMAC, 0x88cc, p.bytes()))
	for _, option := range [][]byte{
		{131, 7, 4, 203, 0, 113, 10, 0},
		{137, 7, 4, 203, 0, 113, 10, 0},
		{131, 3, 4, 0},
		{131, 7, 8, 203, 0, 113, 10, 0},
		{1, 1, 131, 7, 4, 203, 0, 113, 10, 0, 0, 0},
		{7, 0, 0, 0},
		{7, 1, 0, 0},
		{7, 200, 4, 0},
		{1, 1, 1, 7},
	} {
		p.options = option
		drop("options", f4(p))
	}
	p = udp4(lanHost, beyond)
	damage := func(name string, change func(b []byte) []byte) {
		drop(name, eth(virtual4, hostMAC, typeIPv4, change(p.bytes())))
	}
	mend := func(b []byte) []byte {
		b[10], b[11] = 0, 0
		binary.BigEndian.PutUint16(b[10:], sum16(b[:20]))
		return b
	}
	damage("checksum", func(b []byte) []byte { b[11] ^= 1; return b })
	damage("checksum zero", func(b []byte) []byte { b[10], b[11] = 0, 0; return b })
	damage("version", func(b []byte) []byte { b[0] = 0x55; return mend(b) })
	damage("header length 4", func(b []byte) []byte { b[0] = 0x44; return mend(b) })
	damage("header longer than packet", func(b []byte) []byte { b[0] = 0x4f; return mend(b) })
	damage("total length too large", func(b []byte) []byte { b[3]++; return mend(b) })
	damage("total length under header", func(b []byte) []byte { b[3] = 19; return mend(b) })
	damage("cut in the header", func(b []byte) []byte { return b[:19] })
	damage("nothing", func(b []byte) []byte { return nil })
	drop("IPv6 longer than frame", eth(virtual6, hostMAC, typeIPv6, q.bytes()[:50]))
	drop("IPv6 cut in the header", eth(virtual6, hostMAC, typeIPv6, q.bytes()[:39]))
	drop("nothing but an Ethernet header", eth(virtual4, hostMAC, typeIPv4, nil), eth(virtual6, hostMAC, typeIPv6, nil), eth(everyone, hostMAC, typeARP, nil))
	neverAbout(t, drop, f4, f6)
}

// neverAbout sends what no ICMP error may be about (RFC 1812 4.3.2.7, RFC 1122
// 3.2.2, RFC 4443 2.4 e): all of it has TTL 1.
func neverAbout(t *testing.T, drop func(string, ...[]byte), f4 func(ip4) []byte, f6 func(ip6) []byte) {
	t.Helper()
	quote := udp4(beyond, lanHost).bytes()
	for kind := range 43 {
		switch kind {
		case 3, 4, 5, 11, 12, 30: // errors
			drop("about an ICMP error", f4(ip4{src: lanHost, dst: beyond, ttl: 1, proto: protoICMP, payload: icmp4(kind, 0, cat(make([]byte, 4), quote))}))
		}
	}
	p := udp4(lanHost, beyond)
	p.ttl, p.fragment = 1, 1
	drop("about a later fragment", f4(p))
	p.fragment = 0x2001
	drop("about a middle fragment", f4(p))
	p = udp4(lanHost, beyond)
	p.ttl = 1
	drop("about a link broadcast", eth(everyone, hostMAC, typeIPv4, p.bytes()), eth(mac{1, 0, 0x5e, 1, 2, 3}, hostMAC, typeIPv4, p.bytes()))
	q := udp6(lanHost6, beyond6)
	for _, kind := range []int{1, 2, 3, 4, 100, 127, 137} {
		drop("about an ICMPv6 error", f6(ip6{
			src: lanHost6, dst: beyond6, hops: 1, next: protoICMPv6,
			payload: icmp6(lanHost6, beyond6, kind, 0, cat(make([]byte, 4), q.bytes())),
		}))
		inner := icmp6(lanHost6, beyond6, kind, 0, cat(make([]byte, 4), q.bytes()))
		drop("about an ICMPv6 error behind options", f6(ip6{src: lanHost6, dst: beyond6, hops: 1, next: 0, payload: cat([]byte{58, 0, 1, 4, 0, 0, 0, 0}, inner)}))
	}
	q.hops = 1
	drop("about an IPv6 link multicast", eth(mac{0x33, 0x33, 0, 0, 0, 1}, hostMAC, typeIPv6, q.bytes()))
}
