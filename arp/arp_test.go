package arp

import (
	"bytes"
	"net/netip"
	"testing"

	"vrouter/packet"
)

var (
	router  = packet.MAC{0x02, 0, 0x5e, 0x10, 0, 2}
	host    = packet.MAC{0x02, 0, 0, 0, 0, 0x64}
	virtual = packet.MAC{0, 0, 0x5e, 0, 1, 10}

	routerIP  = netip.MustParseAddr("192.0.2.2")
	hostIP    = netip.MustParseAddr("192.0.2.100")
	virtualIP = netip.MustParseAddr("192.0.2.1")
	zeroIP    = netip.IPv4Unspecified()
)

// hostRequest asks for the router's address: payload bytes, a line per field.
var hostRequest = []byte{
	0x00, 0x01, // hardware: Ethernet
	0x08, 0x00, // protocol: IPv4
	6,          // hardware address length
	4,          // protocol address length
	0x00, 0x01, // operation: request
	0x02, 0, 0, 0, 0, 0x64, // sender MAC
	192, 0, 2, 100, // sender IP
	0, 0, 0, 0, 0, 0, // target MAC: unset
	192, 0, 2, 2, // target IP
}

func TestParseGolden(t *testing.T) {
	want := Packet{Op: OpRequest, SenderMAC: host, SenderIP: hostIP, TargetIP: routerIP}
	for _, padding := range []int{0, 1, 18, 200} {
		got, reason := Parse(append(bytes.Clone(hostRequest), make([]byte, padding)...))
		if reason != OK || got != want {
			t.Errorf("with %d bytes of padding: %+v, %v", padding, got, reason)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const op, senderMAC, senderIP, targetMAC, targetIP = 6, 8, 14, 18, 24
	for _, c := range []struct {
		name string
		at   int
		with []byte
		want Reason
	}{
		{"hardware type IEEE 802", 0, []byte{0, 6}, Hardware},
		{"hardware length 8", 4, []byte{8}, Hardware},
		{"protocol type IPv6", 2, []byte{0x86, 0xdd}, Protocol},
		{"protocol length 16", 5, []byte{16}, Protocol},
		{"operation 0", op, []byte{0, 0}, Operation},
		{"reverse request", op, []byte{0, 3}, Operation},
		{"operation 0x0101", op, []byte{1, 1}, Operation},
		{"zero sender", senderMAC, make([]byte, 6), SenderMAC},
		{"broadcast sender", senderMAC, packet.Broadcast[:], SenderMAC},
		{"multicast sender", senderMAC, []byte{1, 0, 0x5e}, SenderMAC},
		{"loopback sender", senderIP, []byte{127, 0, 0, 1}, SenderIP},
		{"multicast sender IP", senderIP, []byte{224, 0, 0, 1}, SenderIP},
		{"broadcast sender IP", senderIP, []byte{255, 255, 255, 255}, SenderIP},
		{"sender on network 0", senderIP, []byte{0, 0, 0, 1}, SenderIP},
		{"multicast target", targetIP, []byte{239, 1, 1, 1}, TargetIP},
		{"broadcast target", targetIP, []byte{255, 255, 255, 255}, TargetIP},
		{"zero target", targetIP, []byte{0, 0, 0, 0}, TargetIP},
		{"loopback target", targetIP, []byte{127, 0, 0, 1}, TargetIP},
		{"probe", senderIP, []byte{0, 0, 0, 0}, OK},
		{"virtual MAC sender", senderMAC, virtual[:], OK},
		{"target MAC is broadcast", targetMAC, packet.Broadcast[:], OK},
	} {
		b := bytes.Clone(hostRequest)
		copy(b[c.at:], c.with)
		if _, got := Parse(b); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	for n := range Len {
		if _, got := Parse(hostRequest[:n]); got != Short {
			t.Errorf("%d bytes: %v, want short", n, got)
		}
	}
}

func TestParseReply(t *testing.T) {
	// To a Probe the reply's target IP is 0.0.0.0; only the sender matters.
	b := Reply(host, hostIP, router, zeroIP)
	if p, reason := Parse(b[packet.EthernetLen:]); reason != OK || p.IsProbe() || p.TargetMAC != router {
		t.Errorf("reply to a probe: %+v, %v", p, reason)
	}
	b = Reply(host, zeroIP, router, routerIP)
	if _, reason := Parse(b[packet.EthernetLen:]); reason != SenderIP {
		t.Errorf("reply from 0.0.0.0: %v, want sender_ip", reason)
	}
}

func TestBuildersGolden(t *testing.T) {
	request, reply := []byte{0, 1, 8, 0, 6, 4, 0, 1}, []byte{0, 1, 8, 0, 6, 4, 0, 2}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	arpType, none := []byte{8, 6}, make([]byte, 6)
	ip := netip.Addr.AsSlice
	for _, c := range []struct {
		name      string
		got, want []byte
	}{
		{
			"Request", Request(router, routerIP, hostIP),
			join(packet.Broadcast[:], router[:], arpType, request, router[:], ip(routerIP), none, ip(hostIP)),
		},
		{
			"UnicastRequest", UnicastRequest(router, routerIP, host, hostIP),
			join(host[:], router[:], arpType, request, router[:], ip(routerIP), none, ip(hostIP)),
		},
		{
			"Probe", Probe(router, routerIP),
			join(packet.Broadcast[:], router[:], arpType, request, router[:], ip(zeroIP), none, ip(routerIP)),
		},
		{
			"Reply", Reply(router, routerIP, host, hostIP),
			join(host[:], router[:], arpType, reply, router[:], ip(routerIP), host[:], ip(hostIP)),
		},
		{
			"Announcement", Announcement(router, routerIP),
			join(packet.Broadcast[:], router[:], arpType, request, router[:], ip(routerIP), none, ip(routerIP)),
		},
		{
			"Gratuitous", Gratuitous(virtual, virtualIP),
			join(packet.Broadcast[:], virtual[:], arpType, request, virtual[:], ip(virtualIP), none, ip(virtualIP)),
		},
	} {
		if len(c.got) != FrameLen || !bytes.Equal(c.got, c.want) {
			t.Errorf("%s:\n got %x\nwant %x", c.name, c.got, c.want)
		}
	}
}

// owned answers for the router's address and, as Master, for the virtual one.
func owned(master bool) Owner {
	return func(addr netip.Addr) (packet.MAC, bool) {
		switch {
		case addr == routerIP:
			return router, true
		case addr == virtualIP && master:
			return virtual, true
		}
		return packet.MAC{}, false
	}
}

func parsed(t *testing.T, frame []byte) Packet {
	t.Helper()
	p, reason := Parse(frame[packet.EthernetLen:])
	if reason != OK {
		t.Fatalf("Parse of our own frame: %v", reason)
	}
	return p
}

func TestAnswer(t *testing.T) {
	other := netip.MustParseAddr("192.0.2.9")
	for _, c := range []struct {
		name   string
		frame  []byte
		master bool
		want   []byte
	}{
		{"own address: the port's MAC", Request(host, hostIP, routerIP), false, Reply(router, routerIP, host, hostIP)},
		{"unicast probe of us", UnicastRequest(host, hostIP, router, routerIP), false, Reply(router, routerIP, host, hostIP)},
		{"RFC 9568 6.4.3: Master answers with the virtual MAC", Request(host, hostIP, virtualIP), true, Reply(virtual, virtualIP, host, hostIP)},
		{"RFC 9568 6.4.2: Backup must not answer", Request(host, hostIP, virtualIP), false, nil},
		{"somebody else's address", Request(host, hostIP, other), true, nil},
		{"a reply is not answered", Reply(host, hostIP, router, routerIP), true, nil},
		{"RFC 5227 2.1.1: a probe is answered", Probe(host, routerIP), false, Reply(router, routerIP, host, zeroIP)},
		{"a probe for a virtual address is answered by the Master", Probe(host, virtualIP), true, Reply(virtual, virtualIP, host, zeroIP)},
		{"spoofed own address as sender", Request(host, routerIP, virtualIP), true, nil},
		{"spoofed virtual address as sender", Request(host, virtualIP, routerIP), true, nil},
		{"the Master's request, at a Backup, is answered", Request(virtual, virtualIP, routerIP), false, Reply(router, routerIP, virtual, virtualIP)},
		{"gratuitous for our address", Announcement(host, routerIP), true, nil},
		{"gratuitous for another", Announcement(host, hostIP), true, nil},
	} {
		if got := Answer(parsed(t, c.frame), owned(c.master)); !bytes.Equal(got, c.want) {
			t.Errorf("%s:\n got %x\nwant %x", c.name, got, c.want)
		}
	}
}

func TestAnswerFromTheMACThatItTells(t *testing.T) {
	// Switches learn the virtual MAC from the frame's source.
	frame := packet.Ethernet(Answer(parsed(t, Request(host, hostIP, virtualIP)), owned(true)))
	if frame.Src() != virtual || frame.Dst() != host {
		t.Errorf("source %v, destination %v", frame.Src(), frame.Dst())
	}
}

func TestConflicts(t *testing.T) {
	for _, c := range []struct {
		name           string
		frame          []byte
		inUse, probing bool
	}{
		{"RFC 5227 2.4: our address as sender of a request", Request(host, routerIP, hostIP), true, true},
		{"RFC 5227 2.1.1: our address as sender of a reply", Reply(host, routerIP, router, zeroIP), true, true},
		{"an announcement of our address", Announcement(host, routerIP), true, true},
		{"RFC 5227 2.1.1: a probe for the address that we probe for", Probe(host, routerIP), false, true},
		{"a request for our address", Request(host, hostIP, routerIP), false, false},
		{"a probe for another address", Probe(host, hostIP), false, false},
	} {
		p := parsed(t, c.frame)
		if p.Conflicts(routerIP, false) != c.inUse || p.Conflicts(routerIP, true) != c.probing {
			t.Errorf("%s: in use %t, probing %t", c.name, p.Conflicts(routerIP, false), p.Conflicts(routerIP, true))
		}
	}
}

func TestKindsOfPacket(t *testing.T) {
	for _, c := range []struct {
		name              string
		frame             []byte
		probe, gratuitous bool
	}{
		{"request", Request(host, hostIP, routerIP), false, false},
		{"probe", Probe(host, hostIP), true, false},
		{"announcement", Announcement(host, hostIP), false, true},
		{"gratuitous reply", Reply(host, hostIP, packet.Broadcast, hostIP), false, true},
	} {
		p := parsed(t, c.frame)
		if p.IsProbe() != c.probe || p.IsGratuitous() != c.gratuitous {
			t.Errorf("%s: probe %t, gratuitous %t", c.name, p.IsProbe(), p.IsGratuitous())
		}
	}
}

func TestReasonNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range Reason(NumReasons) {
		if r.String() == "" || seen[r.String()] {
			t.Errorf("reason %d has the name %q", r, r)
		}
		seen[r.String()] = true
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Parse(hostRequest) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzParse: whatever is accepted survives encoding, and is fit for a cache.
func FuzzParse(f *testing.F) {
	f.Add(hostRequest)
	f.Add(hostRequest[:27])
	f.Add(Probe(host, routerIP)[packet.EthernetLen:])
	f.Add(Reply(host, hostIP, router, routerIP)[packet.EthernetLen:])
	f.Fuzz(func(t *testing.T, b []byte) {
		p, reason := Parse(b)
		if reason != OK {
			return
		}
		if p.SenderMAC.IsMulticast() || p.SenderMAC.IsZero() || p.SenderIP.IsMulticast() {
			t.Fatalf("accepted %+v", p)
		}
		if p.SenderIP.IsUnspecified() != p.IsProbe() {
			t.Fatalf("0.0.0.0 as sender, but no probe: %+v", p)
		}
		if again := frame(router, &p); !bytes.Equal(again[packet.EthernetLen:], b[:Len]) {
			t.Fatalf("encoded again:\n%x\n%x", again[packet.EthernetLen:], b[:Len])
		}
		reply := Answer(p, owned(true))
		if reply != nil && (p.Op != OpRequest || p.SenderIP == routerIP || p.SenderIP == virtualIP) {
			t.Fatalf("answered %+v", p)
		}
	})
}
