package dataplane

import (
	"bytes"
	"testing"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// What a switch floods for the virtual MAC of a Backup: packets that the Master
// may be too dead to forward go to the control plane as they came; the rest is
// dropped as ever.
func TestFloodedFramesOfAWatchedVirtualMAC(t *testing.T) {
	u4, u6 := ip4{dst: "203.0.113.1"}, ip6{dst: "2001:db8:2::1"}
	padded := from4(u4)
	padded.Data = append(padded.Data, make([]byte, 20)...)
	gso := from4(u4)
	gso.VNet = packet.VNet{Flags: packet.VNetNeedsCsum, GSOType: packet.GSOTCPv4, GSOSize: 1000, CsumStart: 34, CsumOffset: 6}
	tests := []struct {
		name  string
		in    uint16
		frame *packet.Frame
		kept  bool
	}{
		{"IPv4", lan, to(watched4, from4(u4)), true},
		{"IPv6", lan, to(watched6, from6(u6)), true},
		{"IPv6 to the MAC of an IPv4 virtual router", lan, to(watched4, from6(u6)), true},
		{"to the virtual address itself", lan, to(watched4, from4(ip4{dst: "192.0.2.30"})), true},
		{"with padding", lan, to(watched4, padded), true},
		{"with segments to be cut", lan, to(watched4, gso), true},
		{"with TTL 1", lan, to(watched4, from4(ip4{dst: "203.0.113.1", ttl: 1})), true},
		{"a fragment", lan, to(watched4, from4(ip4{dst: "203.0.113.1", flags: 3})), true},

		{"ARP", lan, eth(watched4, macHost, packet.EtherTypeARP, make([]byte, 28)), false},
		{"neighbour solicitation", lan, to(watched6, from6(ip6{src: "fe80::10", dst: "fe80::31", hops: 255, next: 58, payload: icmp6(135)})), false},
		{"neighbour advertisement", lan, to(watched6, from6(ip6{src: "fe80::10", dst: "fe80::31", hops: 255, next: 58, payload: icmp6(136)})), false},
		{"advertisement", lan, to(watched4, from4(ip4{dst: "192.0.2.30", proto: packet.ProtoVRRP})), false},
		{"advertisement with authentication", lan, to(watched4, from4(ip4{dst: "192.0.2.30", proto: packet.ProtoAH, payload: []byte{112, 4, 0, 0, 0, 0, 0, 0}})), false},
		{"IPv6 advertisement", lan, to(watched6, from6(ip6{src: "fe80::10", dst: "fe80::31", next: packet.ProtoVRRP})), false},
		{"IPv4 multicast", lan, to(watched4, from4(ip4{dst: "224.1.1.1"})), false},
		{"IPv6 multicast", lan, to(watched6, from6(ip6{dst: "ff0e::1"})), false},
		{"broken IPv4", lan, to(watched4, with(from4(u4), func(b []byte) { b[l3+10]++ })), false},
		{"broken IPv6", lan, to(watched6, with(from6(u6), func(b []byte) { b[l3] = 0x40 })), false},
		{"truncated", lan, eth(watched4, macHost, packet.EtherTypeIPv4, make([]byte, 10)), false},
		{"LLDP", lan, eth(watched4, macHost, 0x88cc, make([]byte, 50)), false},
		{"virtual MAC of the other family", lan, to(packet.MAC{0, 0, 0x5e, 0, 2, 30}, from4(u4)), false},
		{"virtual MAC that another port watches", wan, to(watched4, from4(u4)), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := drop(ReasonNotMaster)
			if tt.kept {
				want = punt(ClassFlooded)
			}
			before, vnet := bytes.Clone(tt.frame.Data), tt.frame.VNet
			equal(t, "verdict", start().Forward(tt.in, tt.frame), want)
			if !bytes.Equal(before, tt.frame.Data) || vnet != tt.frame.VNet {
				t.Error("the frame was changed")
			}
			equal(t, "reference engine", start().ForwardReference(tt.in, tt.frame), want)
		})
	}
}

// A router that stood still decides on nothing that came meanwhile.
func TestNothingIsWatchedWithoutALease(t *testing.T) {
	w := NewForwarder()
	s := newWorld()
	s.Lease = &fib.Lease{}
	s.Lease.Renew(100)
	w.Begin(s, 100)
	equal(t, "verdict", w.Forward(lan, to(watched4, from4(ip4{dst: "203.0.113.1"}))), drop(ReasonLeaseExpired))
}
