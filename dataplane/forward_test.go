package dataplane

import (
	"bytes"
	"testing"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// with changes a frame and returns it.
func with(f *packet.Frame, change func(b []byte)) *packet.Frame {
	change(f.Data)
	return f
}

// to sets a frame's destination MAC.
func to(mac packet.MAC, f *packet.Frame) *packet.Frame {
	copy(f.Data, mac[:])
	return f
}

func icmp6(kind uint8) []byte { return []byte{kind, 0, 0, 0, 0, 0, 0, 0} }

// bytes after the Ethernet header start here.
const l3 = packet.EthernetLen

func TestForwardDropsAndSaysWhy(t *testing.T) {
	u4 := ip4{dst: "203.0.113.1"}
	dst := func(a string) ip4 { return ip4{dst: a} }
	src := func(a string) ip4 { return ip4{src: a, dst: "203.0.113.1"} }
	src6 := func(a string) ip6 { return ip6{src: a, dst: "2001:db8:2::1"} }
	other := packet.MAC{2, 0, 0, 0, 9, 9}
	tests := []struct {
		name   string
		in     uint16
		frame  *packet.Frame
		reason Reason
	}{
		{"13 bytes", lan, &packet.Frame{Data: make([]byte, 13)}, ReasonRunt},
		{"no bytes", lan, &packet.Frame{}, ReasonRunt},
		{"port that does not exist", 77, from4(u4), ReasonPort},
		{"port that is down", dead, from4(u4), ReasonPort},
		{"802.1Q tag", lan, eth(macLAN, macHost, 0x8100, from4(u4).Data), ReasonVLAN},
		{"802.1ad tag", lan, eth(macLAN, macHost, 0x88a8, from4(u4).Data), ReasonVLAN},
		{"tag to another station", lan, eth(other, macHost, 0x8100, from4(u4).Data), ReasonVLAN},
		{"another station's MAC", lan, to(other, from4(u4)), ReasonForeignMAC},
		{"MAC of another port", lan, to(macWAN, from4(u4)), ReasonForeignMAC},
		{"device MAC with host addresses", shared, to(macShared, from4(u4)), ReasonNotOurs},
		{"virtual MAC of a VRID without Master", lan, to(packet.MAC{0, 0, 0x5e, 0, 1, 11}, from4(u4)), ReasonNotMaster},
		{"virtual MAC of IPv6, VRID without Master", lan, to(packet.MAC{0, 0, 0x5e, 0, 2, 11}, from4(u4)), ReasonNotMaster},
		{"virtual MAC on a port where it is not ours", wan, to(virtual4, from4(u4)), ReasonNotMaster},
		{"IANA MAC that is no virtual one", lan, to(packet.MAC{0, 0, 0x5e, 0, 3, 10}, from4(u4)), ReasonForeignMAC},
		{"LLDP", lan, eth(macLAN, macHost, 0x88cc, make([]byte, 50)), ReasonEtherType},
		{"ARP to a multicast MAC", lan, eth(packet.MAC{1, 0, 0x5e, 0, 0, 1}, macHost, packet.EtherTypeARP, make([]byte, 28)), ReasonMulticast},

		{"IPv4 in a link broadcast", lan, to(packet.Broadcast, from4(u4)), ReasonLinkBroadcast},
		{"IPv4 in a link multicast", lan, to(packet.MAC{1, 0, 0x5e, 0, 0, 1}, from4(u4)), ReasonLinkBroadcast},
		{"IPv4 to an own address in a link broadcast", lan, to(packet.Broadcast, from4(dst("192.0.2.2"))), ReasonLinkBroadcast},
		{"IPv6 in a link broadcast", lan, to(packet.Broadcast, from6(ip6{dst: "2001:db8:2::1"})), ReasonLinkBroadcast},

		{"19 bytes of IPv4", lan, &packet.Frame{Data: from4(u4).Data[:l3+19]}, ReasonHeader},
		{"version 5", lan, with(from4(u4), func(b []byte) { b[l3] = 0x55 }), ReasonHeader},
		{"header length 4 words", lan, with(from4(u4), func(b []byte) { b[l3] = 0x44 }), ReasonHeader},
		{"header longer than packet", lan, with(from4(ip4{dst: "203.0.113.1", payload: []byte{}}), func(b []byte) { b[l3] = 0x46 }), ReasonHeader},
		{"total length beyond frame", lan, with(from4(u4), func(b []byte) { b[l3+3]++; fixChecksum4(b[l3:]) }), ReasonHeader},
		{"total length under header", lan, with(from4(u4), func(b []byte) { b[l3+3] = 19; fixChecksum4(b[l3:]) }), ReasonHeader},
		{"wrong checksum", lan, with(from4(u4), func(b []byte) { b[l3+10] ^= 1 }), ReasonChecksum},
		{"strict source route", lan, from4(ip4{dst: "203.0.113.1", options: []byte{137, 7, 4, 10, 0, 0, 1, 0}}), ReasonSourceRoute},
		{"loose source route after NOP, to an own address", lan, from4(ip4{dst: "192.0.2.2", options: []byte{1, 131, 7, 4, 10, 0, 0, 1}}), ReasonSourceRoute},
		{"option longer than header", lan, from4(ip4{dst: "203.0.113.1", options: []byte{7, 5, 0, 0}}), ReasonOptions},
		{"option of length 1", lan, from4(ip4{dst: "203.0.113.1", options: []byte{7, 1, 0, 0}}), ReasonOptions},
		{"option type without length", lan, from4(ip4{dst: "203.0.113.1", options: []byte{1, 1, 1, 7}}), ReasonOptions},

		{"source 0.0.0.0", lan, from4(src("0.0.0.0")), ReasonMartianSource},
		{"source 0.1.2.3", lan, from4(src("0.1.2.3")), ReasonMartianSource},
		{"source 127.0.0.1", lan, from4(src("127.0.0.1")), ReasonMartianSource},
		{"source multicast", lan, from4(src("224.0.0.5")), ReasonMartianSource},
		{"source 240.0.0.1", lan, from4(src("240.0.0.1")), ReasonMartianSource},
		{"source broadcast", lan, from4(src("255.255.255.255")), ReasonMartianSource},
		{"source broadcast to an own address", lan, from4(ip4{src: "255.255.255.255", dst: "192.0.2.2"}), ReasonMartianSource},
		{"source own", lan, from4(src("192.0.2.2")), ReasonSpoofed},
		{"source own of another port", lan, from4(src("203.0.113.2")), ReasonSpoofed},
		{"source virtual", lan, from4(src("192.0.2.1")), ReasonSpoofed},
		{"source directed broadcast", lan, from4(src("192.0.2.255")), ReasonMartianSource},
		{"source own, to an own address", lan, from4(ip4{src: "192.0.2.2", dst: "192.0.2.2"}), ReasonSpoofed},
		{"destination 0.0.0.0", lan, from4(dst("0.0.0.0")), ReasonMartianDestination},
		{"destination 127.0.0.1", lan, from4(dst("127.0.0.1")), ReasonMartianDestination},
		{"destination 250.0.0.1", lan, from4(dst("250.0.0.1")), ReasonMartianDestination},
		{"destination 255.255.255.255", lan, to(packet.Broadcast, from4(dst("255.255.255.255"))), ReasonBroadcast},
		{"DHCP discover", lan, to(packet.Broadcast, from4(ip4{src: "0.0.0.0", dst: "255.255.255.255"})), ReasonBroadcast},
		{"link-local source leaves", lan, from4(src("169.254.3.4")), ReasonScope},
		{"link-local destination, routed", lan, from4(dst("169.254.7.9")), ReasonScope},
		{"link-local destination without a route", lan, from4(dst("169.254.9.9")), ReasonScope},
		{"multicast", lan, to(packet.MulticastMAC(ip("239.1.2.3")), from4(dst("239.1.2.3"))), ReasonMulticast},
		{"multicast to the port's MAC", lan, from4(dst("239.1.2.3")), ReasonMulticast},
		{"ping to all hosts", lan, to(packet.MulticastMAC(ip("224.0.0.1")), from4(ip4{dst: "224.0.0.1", proto: packet.ProtoICMP, payload: icmp6(8)})), ReasonMulticast},
		{"VRRP to another group", lan, to(packet.MulticastMAC(ip("224.0.0.19")), from4(ip4{dst: "224.0.0.19", proto: packet.ProtoVRRP})), ReasonMulticast},
		{"multicast with host addresses", shared, to(packet.MulticastMAC(ip("224.0.0.251")), from4(dst("224.0.0.251"))), ReasonNotOurs},
		{"IGMP from a loopback address", lan, from4(ip4{src: "127.0.0.1", dst: "224.0.0.1", proto: packet.ProtoIGMP}), ReasonMartianSource},
		{"virtual address without accept", lan, from4(dst("192.0.2.1")), ReasonNotAccepted},
		{"directed broadcast", wan, eth(macWAN, macISP, packet.EtherTypeIPv4, ip4{src: "203.0.113.1", dst: "192.0.2.255"}.bytes()), ReasonDirectedBroadcast},
		{"directed broadcast, all zeros", wan, eth(macWAN, macISP, packet.EtherTypeIPv4, ip4{src: "203.0.113.1", dst: "192.0.2.0"}.bytes()), ReasonDirectedBroadcast},
		{"address of the host", lan, from4(dst("10.1.0.2")), ReasonHostAddress},
		{"blackhole", lan, from4(dst("10.66.0.1")), ReasonBlackhole},
		{"blackhole with TTL 1", lan, from4(ip4{dst: "10.66.0.1", ttl: 1}), ReasonBlackhole},

		{"39 bytes of IPv6", lan, &packet.Frame{Data: from6(src6("2001:db8:1::10")).Data[:l3+39]}, ReasonHeader},
		{"IPv6 with version 4", lan, with(from6(src6("2001:db8:1::10")), func(b []byte) { b[l3] = 0x40 }), ReasonHeader},
		{"IPv6 length beyond frame", lan, with(from6(src6("2001:db8:1::10")), func(b []byte) { b[l3+5]++ }), ReasonHeader},
		{"IPv6 source ::", lan, from6(src6("::")), ReasonMartianSource},
		{"IPv6 source ::1", lan, from6(src6("::1")), ReasonMartianSource},
		{"IPv6 source IPv4-mapped", lan, from6(src6("::ffff:192.0.2.10")), ReasonMartianSource},
		{"IPv6 source multicast", lan, from6(src6("ff02::1")), ReasonMartianSource},
		{"IPv6 destination ::", lan, from6(ip6{dst: "::"}), ReasonMartianDestination},
		{"IPv6 destination ::1", lan, from6(ip6{dst: "::1"}), ReasonMartianDestination},
		{"IPv6 destination IPv4-mapped", lan, from6(ip6{dst: "::ffff:192.0.2.10"}), ReasonMartianDestination},
		{"IPv6 source own", lan, from6(src6("2001:db8:2::2")), ReasonSpoofed},
		{"IPv6 link-local destination of another", lan, from6(ip6{src: "fe80::10", dst: "fe80::99"}), ReasonScope},
		{"IPv6 own link-local address of another port", lan, from6(ip6{src: "fe80::10", dst: "fe80::3"}), ReasonScope},
		{"IPv6 virtual link-local without accept", lan, from6(ip6{src: "fe80::10", dst: "fe80::1"}), ReasonNotAccepted},
		{"IPv6 virtual address without accept", lan, from6(ip6{dst: "2001:db8:1::1"}), ReasonNotAccepted},
		{"IPv6 multicast", lan, from6(ip6{dst: "ff05::1:3"}), ReasonMulticast},
		{"IPv6 multicast UDP on the link", lan, from6(ip6{dst: "ff02::fb"}), ReasonMulticast},
		{"IPv6 multicast source, multicast", lan, from6(ip6{src: "ff02::5", dst: "ff02::1", next: 58, payload: icmp6(135)}), ReasonMartianSource},
		{"IPv6 multicast from ::", lan, from6(ip6{src: "::", dst: "ff02::fb"}), ReasonMartianSource},
		{"IPv6 blackhole", lan, from6(ip6{dst: "2001:db8:66::1"}), ReasonBlackhole},
		{"IPv6 ping to all nodes with host addresses", shared, from6(ip6{dst: "ff02::1", next: 58, payload: icmp6(128)}), ReasonNotOurs},
	}
	for _, tt := range tests {
		if tt.frame.Data != nil && len(tt.frame.Data) > l3+24 && tt.frame.Data[l3+24] == 0xff && tt.frame.Data[12] == 0x86 {
			to(packet.MulticastMAC(packet.IPv6(tt.frame.Data[l3:]).Dst()), tt.frame)
		}
		t.Run(tt.name, func(t *testing.T) {
			w := start()
			before := bytes.Clone(tt.frame.Data)
			v := w.Forward(tt.in, tt.frame)
			if v.Action != Drop || v.Reason != tt.reason {
				t.Fatalf("got %+v (%s), want drop %s", v, v.Reason, tt.reason)
			}
			if got := dropsBy(w); len(got) != 1 || got[tt.reason.String()] != 1 {
				t.Errorf("counted %v", got)
			}
			if !bytes.Equal(before, tt.frame.Data) {
				t.Error("a dropped frame was changed")
			}
		})
	}
}

func TestForwardPuntsByClass(t *testing.T) {
	arp := make([]byte, 28)
	vrrp6 := to(packet.MulticastMAC(ip("ff02::12")), from6(ip6{src: "fe80::10", dst: "ff02::12", hops: 255, next: packet.ProtoVRRP}))
	group4 := func(p ip4) *packet.Frame { return to(packet.MulticastMAC(ip(p.dst)), from4(p)) }
	group6 := func(p ip6) *packet.Frame { return to(packet.MulticastMAC(ip(p.dst)), from6(p)) }
	hopByHop := append([]byte{58, 0, 5, 2, 0, 0, 1, 0}, icmp6(143)...)
	hiddenND := append([]byte{58, 0, 1, 4, 0, 0, 0, 0}, icmp6(135)...)
	fragmentND := append([]byte{58, 0, 0, 1, 0, 0, 0, 0}, icmp6(135)...)
	tests := []struct {
		name  string
		in    uint16
		frame *packet.Frame
		class Class
	}{
		{"ARP broadcast", lan, eth(packet.Broadcast, macHost, packet.EtherTypeARP, arp), ClassARP},
		{"ARP to the port", lan, eth(macLAN, macHost, packet.EtherTypeARP, arp), ClassARP},
		{"ARP to a virtual MAC", lan, eth(virtual4, macHost, packet.EtherTypeARP, arp), ClassARP},
		{"ARP broadcast with host addresses", shared, eth(packet.Broadcast, macHost, packet.EtherTypeARP, arp), ClassARP},
		{"ARP answer to the device with host addresses", shared, eth(macShared, macHost, packet.EtherTypeARP, arp), ClassARP},
		{"VRRP", lan, group4(ip4{dst: "224.0.0.18", ttl: 255, proto: packet.ProtoVRRP}), ClassVRRP},
		{"VRRP in an authentication header", lan, group4(ip4{dst: "224.0.0.18", proto: packet.ProtoAH, payload: []byte{112, 4, 0, 0, 0, 0, 0, 0}}), ClassVRRP},
		{"VRRP with host addresses", shared, group4(ip4{dst: "224.0.0.18", proto: packet.ProtoVRRP}), ClassVRRP},
		{"VRRP unicast", lan, from4(ip4{dst: "192.0.2.2", proto: packet.ProtoVRRP}), ClassVRRP},
		{"VRRP unicast to an address of the host", shared, to(macShared, from4(ip4{dst: "10.1.0.2", proto: packet.ProtoVRRP})), ClassVRRP},
		{"VRRP over IPv6", lan, vrrp6, ClassVRRP},
		{"VRRP over IPv6 unicast", lan, from6(ip6{src: "fe80::10", dst: "fe80::2", next: packet.ProtoVRRP}), ClassVRRP},
		{"BFD", lan, from4(ip4{dst: "192.0.2.2", ttl: 255, payload: udp(49152, 3784, make([]byte, 24))}), ClassBFD},
		{"BFD over IPv6", lan, from6(ip6{dst: "2001:db8:1::2", payload: udp(49152, 3784, make([]byte, 24))}), ClassBFD},
		{"neighbour solicitation", lan, group6(ip6{src: "fe80::10", dst: "ff02::1:ff00:2", hops: 255, next: 58, payload: icmp6(135)}), ClassND},
		{"duplicate address detection", lan, group6(ip6{src: "::", dst: "ff02::1:ff00:2", hops: 255, next: 58, payload: icmp6(135)}), ClassND},
		{"router solicitation", lan, group6(ip6{src: "fe80::10", dst: "ff02::2", hops: 255, next: 58, payload: icmp6(133)}), ClassND},
		{"neighbour advertisement", lan, from6(ip6{src: "fe80::10", dst: "fe80::2", hops: 255, next: 58, payload: icmp6(136)}), ClassND},
		{"neighbour advertisement to a global address", lan, from6(ip6{dst: "2001:db8:1::2", hops: 255, next: 58, payload: icmp6(136)}), ClassND},
		{"solicitation of a virtual address without accept", lan, from6(ip6{dst: "2001:db8:1::1", hops: 255, next: 58, payload: icmp6(135)}), ClassND},
		{"solicitation of a virtual link-local address without accept", lan, from6(ip6{src: "fe80::10", dst: "fe80::1", hops: 255, next: 58, payload: icmp6(135)}), ClassND},
		{"advertisement to the device with host addresses", shared, to(macShared, from6(ip6{src: "fe80::10", dst: "fe80::77", next: 58, payload: icmp6(136)})), ClassND},
		{"solicitation behind an extension header", lan, group6(ip6{src: "fe80::10", dst: "ff02::1:ff00:2", next: 60, payload: hiddenND}), ClassND},
		{"solicitation in a fragment (RFC 6980)", lan, from6(ip6{src: "fe80::10", dst: "fe80::2", next: 44, payload: fragmentND}), ClassLocal},
		{"IGMP query", lan, group4(ip4{dst: "224.0.0.1", ttl: 1, proto: packet.ProtoIGMP}), ClassLocal},
		{"IGMP from 0.0.0.0", lan, group4(ip4{src: "0.0.0.0", dst: "224.0.0.1", ttl: 1, proto: packet.ProtoIGMP}), ClassLocal},
		{"MLD behind hop-by-hop options", lan, group6(ip6{src: "fe80::10", dst: "ff02::16", hops: 1, next: 0xff, payload: hopByHop}), ClassLocal},
		{"ping to all nodes", lan, group6(ip6{dst: "ff02::1", next: 58, payload: icmp6(128)}), ClassLocal},
		{"own address", lan, from4(ip4{dst: "192.0.2.2"}), ClassLocal},
		{"own address with TTL 1", lan, from4(ip4{dst: "192.0.2.2", ttl: 1}), ClassLocal},
		{"own address with TTL 0", lan, with(from4(ip4{dst: "192.0.2.2"}), func(b []byte) { b[l3+8] = 0; fixChecksum4(b[l3:]) }), ClassLocal},
		{"own address of another port", lan, from4(ip4{dst: "203.0.113.2"}), ClassLocal},
		{"own address from a link-local source", wan, to(macWAN, from4(ip4{src: "169.254.7.9", dst: "169.254.7.1"})), ClassLocal},
		{"virtual address with accept", lan, to(virtual4, from4(ip4{dst: "192.0.2.3"})), ClassLocal},
		{"fragment that looks like BFD", lan, from4(ip4{dst: "192.0.2.2", flags: 3, payload: udp(1, 3784, nil)}), ClassLocal},
		{"own IPv6 address", lan, from6(ip6{dst: "2001:db8:1::2"}), ClassLocal},
		{"own IPv6 address from a link-local source", lan, from6(ip6{src: "fe80::10", dst: "2001:db8:1::2", hops: 1}), ClassLocal},
		{"own link-local address", lan, from6(ip6{src: "fe80::10", dst: "fe80::2"}), ClassLocal},
		{"neighbour that is not resolved", lan, from4(ip4{dst: "203.0.113.50"}), ClassResolve},
		{"port where no neighbour is", lan, from4(ip4{dst: "10.1.0.50"}), ClassResolve},
		{"next hop that is not resolved", lan, from4(ip4{dst: "10.7.0.1"}), ClassResolve},
		{"IPv6 neighbour that is not resolved", lan, from6(ip6{dst: "2001:db8:2::50"}), ClassResolve},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.frame.Data[l3]>>4 == 6 && tt.frame.Data[l3+6] == 0xff {
				tt.frame.Data[l3+6] = packet.ProtoHopByHop
			}
			before := bytes.Clone(tt.frame.Data)
			w := start()
			if v := w.Forward(tt.in, tt.frame); v.Action != Punt || v.Class != tt.class {
				t.Fatalf("got %+v (%s), want punt %s", v, v.Reason, tt.class)
			}
			if !bytes.Equal(before, tt.frame.Data) {
				t.Error("the frame was changed")
			}
		})
	}
}

func TestForwardLeavesToExceptions(t *testing.T) {
	big := make([]byte, 1300)
	tests := []struct {
		name  string
		frame *packet.Frame
		fault Fault
	}{
		{"TTL 1", from4(ip4{dst: "203.0.113.1", ttl: 1}), FaultTTL},
		{"TTL 0", with(from4(ip4{dst: "203.0.113.1"}), func(b []byte) { b[l3+8] = 0; fixChecksum4(b[l3:]) }), FaultTTL},
		{"TTL 1 without a route", from4(ip4{dst: "9.9.9.9", ttl: 1}), FaultTTL},
		{"TTL 1 to an unreachable route", from4(ip4{dst: "10.67.0.1", ttl: 1}), FaultTTL},
		{"TTL 1 to an unresolved neighbour", from4(ip4{dst: "203.0.113.50", ttl: 1}), FaultTTL},
		{"no route", from4(ip4{dst: "9.9.9.9"}), FaultNoRoute},
		{"unreachable route", from4(ip4{dst: "10.67.0.1"}), FaultUnreachable},
		{"port of the next hop down", from4(ip4{dst: "10.8.0.1"}), FaultUnreachable},
		{"too big with DF", from4(ip4{dst: "198.51.100.10", flags: 0x4000, payload: big}), FaultTooBig},
		{"too big without DF", from4(ip4{dst: "198.51.100.10", payload: big}), FaultFragment},
		{"hop limit 1", from6(ip6{dst: "2001:db8:2::1", hops: 1}), FaultTTL},
		{"no IPv6 route", from6(ip6{dst: "2001:db8:9999::1"}), FaultNoRoute},
		{"unreachable IPv6 route", from6(ip6{dst: "2001:db8:67::1"}), FaultUnreachable},
		{"IPv6 too big", from6(ip6{dst: "2001:db8:3::10", payload: big}), FaultTooBig},
		{"link-local source leaves", from6(ip6{src: "fe80::10", dst: "2001:db8:2::1"}), FaultBeyondScope},
		{"link-local source without a route", from6(ip6{src: "fe80::10", dst: "2001:db8:9999::1"}), FaultBeyondScope},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := bytes.Clone(tt.frame.Data)
			w := start()
			if v := w.Forward(lan, tt.frame); v.Action != Exception || v.Fault != tt.fault {
				t.Fatalf("got %+v (%s), want fault %d", v, v.Reason, tt.fault)
			}
			if tt.fault < FaultFragment && !bytes.Equal(before, tt.frame.Data) {
				t.Error("the frame was changed")
			}
		})
	}
}

// A golden frame: what comes in on the LAN, and what leaves towards the ISP.
func TestForwardRewritesTheFrameInPlace(t *testing.T) {
	in := []byte{
		0, 0, 0x5e, 0, 1, 10, // destination: the virtual MAC
		2, 0, 0, 0, 1, 10, // source: the host
		0x08, 0x00, // IPv4
		0x45, 0x10, 0, 30, // version, TOS, total length
		0x12, 0x34, 0x40, 0, // identification, DF
		64, 17, 0x49, 0x11, // TTL, UDP, checksum
		192, 0, 2, 10,
		203, 0, 113, 1,
		0, 1, 0, 2, 0, 10, 0, 0, 'h', 'i', // UDP
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // Ethernet padding
	}
	fixChecksum4(in[l3 : l3+20])
	want := bytes.Clone(in[:44])
	copy(want, []byte{2, 0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 2}) // to the ISP, from the port
	want[22] = 63
	fixChecksum4(want[l3 : l3+20])
	f := &packet.Frame{Data: in}
	v := start().Forward(lan, f)
	if v != (Verdict{Action: Transmit, Port: wan}) {
		t.Fatalf("verdict %+v", v)
	}
	if !bytes.Equal(f.Data, want) {
		t.Errorf("got\n%x, want\n%x", f.Data, want)
	}
}

func TestForwardServesVirtualMACsOnlyWhileTheLeaseHolds(t *testing.T) {
	s := newWorld()
	s.Lease = &fib.Lease{}
	s.Lease.Renew(1000)
	w := NewForwarder()
	for _, tt := range []struct {
		now  int64
		want Action
	}{{999, Transmit}, {1000, Drop}, {999999, Drop}} {
		w.Begin(s, tt.now)
		for _, mac := range []packet.MAC{virtual4, virtual6} {
			v := w.Forward(lan, to(mac, from4(ip4{dst: "203.0.113.1"})))
			equal(t, "action", v.Action, tt.want)
			if v.Action == Drop {
				equal(t, "reason", v.Reason, ReasonLeaseExpired)
			}
		}
		v := w.Forward(lan, from4(ip4{dst: "203.0.113.1"}))
		equal(t, "the port's own MAC", v.Action, Transmit)
	}
	s.Lease.Renew(2000000)
	w.Begin(s, 1000000)
	equal(t, "renewed", w.Forward(lan, to(virtual4, from4(ip4{dst: "203.0.113.1"}))).Action, Transmit)
}

func TestForwardTakesEitherFamilyOnAVirtualMAC(t *testing.T) {
	w := start()
	equal(t, "IPv6 to an IPv4 virtual MAC", w.Forward(lan, to(virtual4, from6(ip6{dst: "2001:db8:2::1"}))).Action, Transmit)
	equal(t, "IPv4 to an IPv6 virtual MAC", w.Forward(lan, to(virtual6, from4(ip4{dst: "203.0.113.1"}))).Action, Transmit)
	equal(t, "host addresses", w.Forward(shared, to(virtual20, from4(ip4{dst: "203.0.113.1"}))).Action, Transmit)
}

func TestForwardSendsBackOutOfTheIngressPort(t *testing.T) {
	v := start().Forward(wan, eth(macWAN, macISP, packet.EtherTypeIPv4, ip4{src: "203.0.113.1", dst: "203.0.113.3"}.bytes()))
	equal(t, "verdict", v, Verdict{Action: Transmit, Port: wan})
}

func TestForwardPassesOptionsUnchanged(t *testing.T) {
	for _, options := range [][]byte{
		{7, 7, 4, 0, 0, 0, 0, 0},    // record route
		{68, 8, 5, 0, 0, 0, 0, 0},   // timestamp
		{148, 4, 0, 0},              // router alert
		{1, 1, 1, 1},                // no operation
		{0, 131, 99, 99},            // what follows the end is no option
		{0x5e, 4, 1, 2, 0, 0, 0, 0}, // unknown
	} {
		f := from4(ip4{dst: "203.0.113.1", options: options})
		equal(t, "action", start().Forward(lan, f).Action, Transmit)
		if got := f.Data[l3+20 : l3+20+len(options)]; !bytes.Equal(got, options) {
			t.Errorf("options %x became %x", options, got)
		}
		if slowChecksum(f.Data[l3:l3+20+len(options)]) != 0 {
			t.Errorf("checksum wrong with options %x", options)
		}
	}
}

func TestForwardPassesExtensionHeadersUnchanged(t *testing.T) {
	routing := append([]byte{17, 2, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, udp(1, 2, nil)...)
	f := from6(ip6{dst: "2001:db8:2::1", next: packet.ProtoRouting, payload: routing})
	before := bytes.Clone(f.Data)
	equal(t, "action", start().Forward(lan, f).Action, Transmit)
	before[l3+7]--
	if !bytes.Equal(f.Data[l3:], before[l3:]) {
		t.Errorf("got %x, want %x", f.Data[l3:], before[l3:])
	}
}

func TestEveryReasonAndClassHasAName(t *testing.T) {
	seen := map[string]bool{}
	add := func(s string) {
		if s == "" || seen[s] {
			t.Errorf("name %q", s)
		}
		seen[s] = true
	}
	for r := range Reason(NumReasons) {
		add(r.String())
	}
	for c := range Class(NumClasses) {
		add("class " + c.String())
	}
	for e := range ICMPError(NumICMPErrors) {
		add("icmp " + e.String())
	}
}
