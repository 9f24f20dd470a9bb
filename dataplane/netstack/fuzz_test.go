package netstack

import (
	"slices"
	"testing"

	"vrouter/packet"
)

// seeds are packets of each kind that a router is sent.
func seeds() [][]byte {
	long := datagram("192.0.2.77", "198.51.100.130", 64, make([]byte, 1500))
	fragment := echo("192.0.2.77", "192.0.2.1", 64, 1, 64)
	fragment[6] = 0x20
	put(fragment[10:], 0)
	put(fragment[10:], packet.Checksum(packet.Sum(0, fragment[:20])))
	options := append([]byte{
		0x47, 0, 0, 36, 0, 0, 0, 0, 64, packet.ProtoUDP, 0, 0, 192, 0, 2, 77, 198, 51, 100, 130,
		7, 7, 4, 0, 0, 0, 0, 0,
	}, make([]byte, 8)...) // record route
	put(options[10:], packet.Checksum(packet.Sum(0, options[:28])))
	timestamp := slices.Clone(options)
	copy(timestamp[20:], []byte{68, 8, 5, 0, 0, 0, 0, 0})
	put(timestamp[10:], 0)
	put(timestamp[10:], packet.Checksum(packet.Sum(0, timestamp[:28])))
	return [][]byte{
		echo("192.0.2.77", "192.0.2.1", 64, 1, 8), echo("2001:db8:1::77", "2001:db8:1::1", 64, 1, 8),
		datagram("192.0.2.77", "192.0.2.1", 64, nil), syn("192.0.2.77", "192.0.2.1", 80),
		syn("2001:db8:1::77", "2001:db8:1::1", 80), long, fragment, options, timestamp,
		datagram("2001:db8:1::77", "2001:db8:8000::1", 1, nil), datagram("192.0.2.77", "198.51.100.130", 1, nil),
		ip("2001:db8:1::77", "2001:db8:8000::1", 64, packet.ProtoHopByHop, []byte{17, 0, 0xc2, 4, 0, 0, 0, 0, 1, 2, 3, 4, 0, 8, 0, 0}),
		ip("2001:db8:1::77", "2001:db8:1::1", 64, packet.ProtoRouting, []byte{59, 2, 0, 1, 0, 0, 0, 0}),
		ip("2001:db8:1::77", "2001:db8:1::1", 64, packet.ProtoFragment, []byte{58, 0, 0, 1, 0, 0, 0, 1, 128, 0, 0, 0, 0, 0, 0, 0}),
		ip("2001:db8:1::77", "2001:db8:2::77", 1, packet.ProtoICMPv6, []byte{3}), ip("192.0.2.77", "203.0.113.77", 1, packet.ProtoICMP, []byte{8, 0, 0}),
		ip("192.0.2.77", "203.0.113.77", 1, packet.ProtoICMP, []byte{11}), ip("2001:db8:1::77", "2001:db8:2::77", 1, packet.ProtoICMPv6, []byte{128, 0, 1}),
		ip("192.0.2.77", "224.0.0.1", 1, packet.ProtoIGMP, []byte{0x11, 1, 0xee, 0xfe, 0, 0, 0, 0}),
	}
}

// repair makes the IPv4 header checksum right, so that a changed packet comes
// past the first check.
func repair(b []byte) []byte {
	b = slices.Clone(b)
	if p, ok := packet.ParseIPv4(b); ok {
		put(p[10:], 0)
		put(p[10:], packet.Checksum(packet.Sum(0, p[:p.HeaderLen()])))
	}
	return b
}

// FuzzEngine looks for a transit packet that ends the process, or that leaves
// as something that is not an IP packet with the length it states.
func FuzzEngine(f *testing.F) {
	for _, b := range seeds() {
		f.Add(b)
	}
	e, err := NewEngine(Config{ErrorsPerSecond: -1}, func(uint16, []byte) {})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(e.Close)
	if err := e.Publish(testNetwork().snapshot()); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, p := range e.ForwardOne(0, repair(b)) {
			parse(t, p.Data[Headroom:])
		}
	})
}

// FuzzStack looks for a packet to the router that ends the process.
func FuzzStack(f *testing.F) {
	for _, b := range seeds() {
		f.Add(b)
	}
	s, err := New(Config{ErrorsPerSecond: -1}, func(uint16, []byte) {})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	if err := s.SetPorts([]Port{{Number: 0, Name: "lan", MTU: mtu}}); err != nil {
		f.Fatal(err)
	}
	if err := s.SetAddresses(addresses(0, "192.0.2.1/24", "fe80::1/64", "2001:db8:1::1/64")); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = repair(b)
		if p, ok := s.prepare(0, b); ok {
			p.pkt = packetBuffer(b[:p.size])
			s.inject(p)
			p.pkt.DecRef()
		}
	})
}

// FuzzParseEchoError looks for a panic in reading a quoted packet.
func FuzzParseEchoError(f *testing.F) {
	for _, b := range seeds() {
		f.Add(b)
	}
	quote := echo("192.0.2.1", "198.51.100.7", 1, 77, 8)
	msg := append([]byte{packet.ICMPTimeExceeded, 0, 0, 0, 0, 0, 0, 0}, quote...)
	put(msg[2:], packet.Checksum(packet.Sum(0, msg)))
	f.Add(ip("192.0.2.254", "192.0.2.1", 64, packet.ProtoICMP, msg))
	quote = echo("2001:db8:1::1", "2001:db8:9::9", 1, 77, 8)
	msg = append([]byte{packet.ICMPv6TimeExceeded, 0, 0, 0, 0, 0, 0, 0}, quote...)
	f.Add(ip("2001:db8:1::fe", "2001:db8:1::1", 64, packet.ProtoICMPv6,
		sum6("2001:db8:1::fe", "2001:db8:1::1", packet.ProtoICMPv6, 2, msg)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, e, ok := parseEchoError(b); ok && (!k.dst.IsValid() || !e.From.IsValid() || e.Error() == "") {
			t.Errorf("%x: %+v %+v", b, k, e)
		}
	})
}
