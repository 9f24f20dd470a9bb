package dataplane

import (
	"testing"

	"vrouter/arp"
	"vrouter/packet"
)

// mirrored returns a Forwarder of a world whose shared port is a mirrored device.
func mirrored() *Forwarder {
	s := newWorld()
	s.Ports[shared].Transit = true
	w := NewForwarder()
	w.Begin(s, 1)
	return w
}

// Of the frames to a mirrored device's own MAC, those that go beyond the host
// are forwarded; the rest is the kernel's, but for what answers our questions.
func TestFramesToAMirroredDevice(t *testing.T) {
	beyond4, beyond6 := ip4{dst: "203.0.113.1"}, ip6{dst: "2001:db8:2::1"}
	advert := ip4{dst: "10.1.0.2", proto: packet.ProtoVRRP, ttl: 255, payload: make([]byte, 12)}
	for _, test := range []struct {
		name  string
		frame *packet.Frame
		want  Verdict
	}{
		{"IPv4 beyond the host", from4(beyond4), Verdict{Action: Transmit, Port: wan}},
		{"IPv6 beyond the host", from6(beyond6), Verdict{Action: Transmit, Port: wan}},
		{"to the host", from4(ip4{dst: "10.1.0.2"}), drop(ReasonHostAddress)},
		{"its last hop", from4(ip4{dst: "203.0.113.1", ttl: 1}), except(FaultTTL, 0)},
		{"to a link-local address", from6(ip6{dst: "fe80::77"}), drop(ReasonScope)},
		{"no route", from4(ip4{dst: "8.8.8.8"}), except(FaultNoRoute, 0)},
		{"advertisement of a unicast peer", from4(advert), punt(ClassVRRP)},
		{"ARP", &packet.Frame{Data: arp.Reply(macHost, ip("10.1.0.9"), macShared, ip("10.1.0.2"))}, punt(ClassARP)},
		{"neighbour advertisement", from6(ip6{dst: "2001:db8:1::2", next: packet.ProtoICMPv6, hops: 255, payload: icmp6(packet.ICMPv6NeighborAdvert)}), punt(ClassND)},
		{"neither", eth(macShared, macHost, 0x88cc, make([]byte, 46)), drop(ReasonEtherType)},
		{"spoofed", from4(ip4{src: "192.0.2.2", dst: "203.0.113.1"}), drop(ReasonSpoofed)},
	} {
		if got := mirrored().Forward(shared, to(macShared, test.frame)); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
	other := to(packet.MAC{2, 0, 0, 0, 9, 9}, from4(beyond4))
	if got := mirrored().Forward(shared, other); got != drop(ReasonForeignMAC) {
		t.Errorf("another station's frame: %+v", got)
	}
	everybody := to(packet.Broadcast, from4(beyond4))
	if got := mirrored().Forward(shared, everybody); got != drop(ReasonLinkBroadcast) {
		t.Errorf("unicast in a broadcast: %+v", got)
	}
}

// gVisor's engine is handed the same packets.
func TestFramesToAMirroredDeviceWithTheReferenceEngine(t *testing.T) {
	if got := mirrored().ForwardReference(shared, to(macShared, from4(ip4{dst: "203.0.113.1"}))); got != punt(ClassTransit) {
		t.Errorf("%+v", got)
	}
	if got := mirrored().ForwardReference(shared, to(macShared, from4(ip4{dst: "10.1.0.2"}))); got.Action != Drop {
		t.Errorf("%+v", got)
	}
}
