package ndp

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"vrouter/packet"
)

var (
	router  = packet.MAC{0x02, 0, 0x5e, 0x10, 0, 2}
	host    = packet.MAC{0x02, 0, 0, 0, 0, 0x64}
	virtual = packet.MAC{0, 0, 0x5e, 0, 2, 10}

	routerIP  = netip.MustParseAddr("2001:db8:1::2")
	hostIP    = netip.MustParseAddr("2001:db8:1::64")
	virtualIP = netip.MustParseAddr("fe80::1")
	unspec    = netip.IPv6Unspecified()
)

// message is a frame that tests bend; seal makes its lengths and checksum
// right again, so that only the bent part is wrong.
type message struct {
	to, from packet.MAC
	src, dst netip.Addr
	hop      uint8
	icmp     []byte
}

func (m message) seal() []byte {
	icmp := bytes.Clone(m.icmp)
	if len(icmp) >= 4 {
		put16(icmp[2:], 0)
		put16(icmp[2:], packet.Checksum(packet.Sum(pseudoHeader(m.src, m.dst, icmp), icmp)))
	}
	b := make([]byte, packet.EthernetLen+packet.IPv6Len, 200)
	packet.PutEthernet(b, m.to, m.from, packet.EtherTypeIPv6)
	h := packet.IPv6Header{NextHeader: packet.ProtoICMPv6, HopLimit: m.hop, Src: m.src, Dst: m.dst}
	h.Put(b[packet.EthernetLen:], len(icmp))
	return append(b, icmp...)
}

// unseal takes one of our own frames apart.
func unseal(frame []byte) message {
	e := packet.Ethernet(frame)
	p := packet.IPv6(e.Payload())
	return message{e.Dst(), e.Src(), p.Src(), p.Dst(), p.HopLimit(), bytes.Clone(p.Payload())}
}

// bend returns the frame with one thing changed.
func bend(frame []byte, change func(*message)) []byte {
	m := unseal(frame)
	change(&m)
	return m.seal()
}

func TestSolicitGolden(t *testing.T) {
	want := []byte{
		0x33, 0x33, 0xff, 0x00, 0x00, 0x64, // to the group's MAC (RFC 2464 7)
		0x02, 0x00, 0x5e, 0x10, 0x00, 0x02, // from the router
		0x86, 0xdd, // IPv6
		0x60, 0, 0, 0, // version 6
		0, 32, // payload length
		58,                                                            // ICMPv6
		255,                                                           // hop limit
		0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, // source
		0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0xff, 0, 0, 0x64, // solicited-node group
		135, 0, // Neighbor Solicitation
		0xbd, 0x4e, // checksum
		0, 0, 0, 0, // reserved
		0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x64, // target
		1, 1, // source link-layer address, 8 bytes
		0x02, 0x00, 0x5e, 0x10, 0x00, 0x02,
	}
	got := Solicit(router, routerIP, hostIP)
	if !bytes.Equal(got, want) {
		t.Errorf("\n got %x\nwant %x", got, want)
	}
}

func TestUnsolicitedGolden(t *testing.T) {
	// RFC 9568 6.4.1: R and O set, S clear, the virtual MAC in the option and
	// as the frame's source.
	got := Unsolicited(virtual, virtualIP)
	want := []byte{
		0x33, 0x33, 0, 0, 0, 1, // all nodes
		0, 0, 0x5e, 0, 2, 10, // the virtual MAC
		0x86, 0xdd,
		0x60, 0, 0, 0, 0, 32, 58, 255,
		0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // the virtual address
		0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // ff02::1
		136, 0, 0x79, 0x91, // checksum
		0xa0, 0, 0, 0, // R, O
		0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // target
		2, 1, 0, 0, 0x5e, 0, 2, 10, // target link-layer address
	}
	if !bytes.Equal(got, want) {
		t.Errorf("\n got %x\nwant %x", got, want)
	}
	if _, reason := Parse(got); reason != OK {
		t.Errorf("refused: %v", reason)
	}
}

func TestBuildersAreParsed(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame []byte
		want  Message
		to    packet.MAC
	}{
		{
			"Solicit", Solicit(router, routerIP, hostIP),
			Message{Type: 135, EthSrc: router, Src: routerIP, Dst: packet.SolicitedNode(hostIP), Target: hostIP, LinkAddr: router},
			packet.MAC{0x33, 0x33, 0xff, 0, 0, 0x64},
		},
		{
			"UnicastSolicit", UnicastSolicit(router, routerIP, host, hostIP),
			Message{Type: 135, EthSrc: router, Src: routerIP, Dst: hostIP, Target: hostIP, LinkAddr: router},
			host,
		},
		{
			"Probe has no link-layer address", Probe(router, routerIP),
			Message{Type: 135, EthSrc: router, Src: unspec, Dst: packet.SolicitedNode(routerIP), Target: routerIP},
			packet.MAC{0x33, 0x33, 0xff, 0, 0, 2},
		},
		{
			"Unsolicited", Unsolicited(virtual, virtualIP),
			Message{Type: 136, EthSrc: virtual, Src: virtualIP, Dst: AllNodes, Target: virtualIP, LinkAddr: virtual, Router: true, Override: true},
			packet.MAC{0x33, 0x33, 0, 0, 0, 1},
		},
		{
			"RouterSolicit", RouterSolicit(host, hostIP),
			Message{Type: 133, EthSrc: host, Src: hostIP, Dst: AllRouters, LinkAddr: host},
			packet.MAC{0x33, 0x33, 0, 0, 0, 2},
		},
		{
			"RouterSolicit from ::", RouterSolicit(host, unspec),
			Message{Type: 133, EthSrc: host, Src: unspec, Dst: AllRouters},
			packet.MAC{0x33, 0x33, 0, 0, 0, 2},
		},
	} {
		for _, padding := range []int{0, 7} {
			got, reason := Parse(append(bytes.Clone(c.frame), make([]byte, padding)...))
			if reason != OK || got != c.want {
				t.Errorf("%s, %d bytes of padding: %+v, %v", c.name, padding, got, reason)
			}
		}
		if to := packet.Ethernet(c.frame).Dst(); to != c.to {
			t.Errorf("%s: to %v, want %v", c.name, to, c.to)
		}
	}
}

func TestAdvertFlags(t *testing.T) {
	for bits := range 8 {
		a := NeighborAdvert{
			MAC: host, Target: hostIP, To: router, Dst: routerIP,
			Router: bits&1 != 0, Solicited: bits&2 != 0, Override: bits&4 != 0,
		}
		m, reason := Parse(a.Frame())
		if reason != OK || m.Router != a.Router || m.Solicited != a.Solicited || m.Override != a.Override {
			t.Errorf("flags %03b: %+v, %v", bits, m, reason)
		}
	}
}

// The clauses of validation; each frame is a good one with one thing bent.
func TestValidation(t *testing.T) {
	ns := Solicit(host, hostIP, routerIP)
	dad := Probe(host, hostIP)
	na := (&NeighborAdvert{MAC: host, Target: hostIP, To: router, Dst: routerIP, Solicited: true}).Frame()
	rs := RouterSolicit(host, hostIP)
	ra := (&RouterAdvert{LinkAddr: host}).Frame(host, netip.MustParseAddr("fe80::64"))
	linkOption := func(kind byte) []byte { return append([]byte{kind, 1}, host[:]...) }
	for _, c := range []struct {
		name  string
		frame []byte
		bent  func(*message)
		want  Reason
	}{
		{"7.1.1: NS with hop limit 254", ns, func(m *message) { m.hop = 254 }, HopLimit},
		{"7.1.2: NA with hop limit 64", na, func(m *message) { m.hop = 64 }, HopLimit},
		{"6.1.1: RS with hop limit 254", rs, func(m *message) { m.hop = 254 }, HopLimit},
		{"6.1.2: RA with hop limit 1", ra, func(m *message) { m.hop = 1 }, HopLimit},
		{"7.1.1: NS with code 1", ns, func(m *message) { m.icmp[1] = 1 }, Code},
		{"7.1.2: NA with code 1", na, func(m *message) { m.icmp[1] = 1 }, Code},
		{"6.1.1: RS with code 1", rs, func(m *message) { m.icmp[1] = 1 }, Code},
		{"6.1.2: RA with code 1", ra, func(m *message) { m.icmp[1] = 1 }, Code},
		{"7.1.1: NS of 23 bytes", ns, func(m *message) { m.icmp = m.icmp[:23] }, Short},
		{"7.1.2: NA of 23 bytes", na, func(m *message) { m.icmp = m.icmp[:23] }, Short},
		{"6.1.1: RS of 7 bytes", rs, func(m *message) { m.icmp = m.icmp[:7] }, Short},
		{"6.1.2: RA of 15 bytes", ra, func(m *message) { m.icmp = m.icmp[:15] }, Short},
		{"ICMPv6 of 3 bytes", ns, func(m *message) { m.icmp = m.icmp[:3] }, Short},
		{"7.1.1: NS of exactly 24 bytes", ns, func(m *message) { m.icmp = m.icmp[:24] }, OK},
		{"6.1.1: RS of exactly 8 bytes", rs, func(m *message) { m.icmp = m.icmp[:8] }, OK},
		{"7.1.1: NS target is multicast", ns, func(m *message) { copyAddr(m.icmp[8:], AllNodes) }, Target},
		{"7.1.2: NA target is multicast", na, func(m *message) { copyAddr(m.icmp[8:], AllNodes) }, Target},
		{"NS target is ::", ns, func(m *message) { copyAddr(m.icmp[8:], unspec) }, Target},
		{"NS target is ::1", ns, func(m *message) { copyAddr(m.icmp[8:], netip.IPv6Loopback()) }, Target},
		{"7.1.1: NS from :: to a unicast address", dad, func(m *message) { m.dst = hostIP }, Dst},
		{"7.1.1: NS from :: to all nodes", dad, func(m *message) { m.dst = AllNodes }, Dst},
		{"7.1.1: NS from :: with source link-layer address", dad, func(m *message) { m.icmp = append(m.icmp, linkOption(1)...) }, Source},
		{"NS from :: with an unknown option (nonce, RFC 7527)", dad, func(m *message) { m.icmp = append(m.icmp, 14, 1, 1, 2, 3, 4, 5, 6) }, OK},
		{"6.1.1: RS from :: with source link-layer address", rs, func(m *message) { m.src = unspec }, Source},
		{"7.1.2: NA to a group with S", na, func(m *message) { m.dst = AllNodes }, Dst},
		{"4.4: NA from ::", na, func(m *message) { m.src = unspec }, Source},
		{"6.1.2: RA from a global address", ra, func(m *message) { m.src = hostIP }, Source},
		{"NS from a group", ns, func(m *message) { m.src = AllNodes }, Source},
		{"NS from ::1", ns, func(m *message) { m.src = netip.IPv6Loopback() }, Source},
		{"7.1.1: NS with an option of length 0", ns, func(m *message) { m.icmp[25] = 0 }, Option},
		{"7.1.2: NA with an option of length 0", na, func(m *message) { m.icmp[25] = 0 }, Option},
		{"6.1.1: RS with an option of length 0", rs, func(m *message) { m.icmp[9] = 0 }, Option},
		{"6.1.2: RA with an option of length 0", ra, func(m *message) { m.icmp[17] = 0 }, Option},
		{"an unknown option of length 0", ns, func(m *message) { m.icmp = append(m.icmp, 99, 0, 0, 0, 0, 0, 0, 0) }, Option},
		{"an option that is cut off", ns, func(m *message) { m.icmp[25] = 2 }, Option},
		{"an option of 7 bytes", ns, func(m *message) { m.icmp = m.icmp[:31] }, Option},
		{"one byte behind the options", ns, func(m *message) { m.icmp = append(m.icmp, 1) }, Option},
		{"a link-layer address of 14 bytes", ns, func(m *message) { m.icmp[25] = 2; m.icmp = append(m.icmp, make([]byte, 8)...) }, Option},
		{"7.1.1: an unknown option is ignored", ns, func(m *message) { m.icmp = append(m.icmp, 99, 1, 0, 0, 0, 0, 0, 0) }, OK},
		{"7.1.1: an option of another message is ignored", ns, func(m *message) { m.icmp = append(m.icmp, linkOption(2)...) }, OK},
		{"7.1.1: reserved is ignored", ns, func(m *message) { m.icmp[4] = 0xff }, OK},
		{"a group as link-layer address", ns, func(m *message) { m.icmp[26] = 1 }, LinkAddr},
		{"zero as link-layer address", na, func(m *message) { clear(m.icmp[26:32]) }, LinkAddr},
		{"a frame from a group", ns, func(m *message) { m.from = packet.Broadcast }, LinkAddr},
		{"a redirect", ns, func(m *message) { m.icmp[0] = packet.ICMPv6Redirect }, NotND},
		{"an echo request", ns, func(m *message) { m.icmp[0] = packet.ICMPv6Echo }, NotND},
	} {
		if _, got := Parse(bend(c.frame, c.bent)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestValidationOfTheFrame(t *testing.T) {
	ns := Solicit(host, hostIP, routerIP)
	for n := range len(ns) {
		if _, got := Parse(ns[:n]); got != Short {
			t.Errorf("cut to %d bytes: %v, want short", n, got)
		}
	}
	for at := 54; at < len(ns); at++ { // any flipped bit of the message
		b := bytes.Clone(ns)
		b[at] ^= 0x10
		if _, got := Parse(b); got == OK {
			t.Errorf("flipped bit in byte %d was not noticed", at)
		}
	}
	for _, next := range []byte{packet.ProtoHopByHop, packet.ProtoFragment, packet.ProtoDestOpts, packet.ProtoUDP} {
		b := bytes.Clone(ns) // RFC 6980 5: fragments are discarded
		b[packet.EthernetLen+6] = next
		if _, got := Parse(b); got != NotND {
			t.Errorf("next header %d: %v, want not_nd", next, got)
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

func parsed(t *testing.T, frame []byte) Message {
	t.Helper()
	m, reason := Parse(frame)
	if reason != OK {
		t.Fatalf("Parse of our own frame: %v", reason)
	}
	return m
}

func TestAnswer(t *testing.T) {
	solicited := func(mac packet.MAC, target netip.Addr) []byte {
		return (&NeighborAdvert{MAC: mac, Target: target, To: host, Dst: hostIP, Router: true, Solicited: true, Override: true}).Frame()
	}
	noOption := bend(Solicit(host, hostIP, routerIP), func(m *message) { m.icmp = m.icmp[:24] })
	otherSender := bend(noOption, func(m *message) { m.from = packet.MAC{2, 0, 0, 0, 0, 0x77} })
	for _, c := range []struct {
		name   string
		frame  []byte
		master bool
		want   []byte
	}{
		{"7.2.4: own address, to the sender, with S", Solicit(host, hostIP, routerIP), false, solicited(router, routerIP)},
		{"7.3.3: a unicast probe of us", UnicastSolicit(host, hostIP, router, routerIP), false, solicited(router, routerIP)},
		{"a solicitation without link-layer address goes back whence it came", noOption, false, solicited(router, routerIP)},
		{"and that is the frame's source", otherSender, false, func() []byte {
			b := solicited(router, routerIP)
			copy(b, []byte{2, 0, 0, 0, 0, 0x77})
			return b
		}()},
		{"RFC 9568 6.4.3: Master answers with the virtual MAC, R and O", Solicit(host, hostIP, virtualIP), true, solicited(virtual, virtualIP)},
		{"RFC 9568 6.4.2: Backup must not answer", Solicit(host, hostIP, virtualIP), false, nil},
		{"7.2.4: from ::, to all nodes without S", Probe(host, routerIP), false, Unsolicited(router, routerIP)},
		{"from ::, for a virtual address, by the Master", Probe(host, virtualIP), true, Unsolicited(virtual, virtualIP)},
		{"from ::, for a virtual address, not by a Backup", Probe(host, virtualIP), false, nil},
		{"somebody else's address", Solicit(host, hostIP, netip.MustParseAddr("2001:db8:1::9")), true, nil},
		{"spoofed own address as source", Solicit(host, routerIP, virtualIP), true, nil},
		{"spoofed virtual address as source", Solicit(host, virtualIP, routerIP), true, nil},
		{"an advertisement is not answered", Unsolicited(host, hostIP), true, nil},
		{"a router solicitation is not answered here", RouterSolicit(host, hostIP), true, nil},
	} {
		if got := Answer(parsed(t, c.frame), owned(c.master)); !bytes.Equal(got, c.want) {
			t.Errorf("%s:\n got %x\nwant %x", c.name, got, c.want)
		}
	}
}

func TestConflicts(t *testing.T) {
	for _, c := range []struct {
		name           string
		frame          []byte
		inUse, probing bool
	}{
		{"RFC 4862 5.4.4: an advertisement of our address", Unsolicited(host, routerIP), true, true},
		{"a solicitation from our address", Solicit(host, routerIP, hostIP), true, true},
		{"RFC 4862 5.4.3: a probe for the address that we probe for", Probe(host, routerIP), false, true},
		{"a solicitation for our address", Solicit(host, hostIP, routerIP), false, false},
		{"a probe for another address", Probe(host, hostIP), false, false},
		{"an advertisement of another address", Unsolicited(host, hostIP), false, false},
	} {
		m := parsed(t, c.frame)
		if m.Conflicts(routerIP, false) != c.inUse || m.Conflicts(routerIP, true) != c.probing {
			t.Errorf("%s: in use %t, probing %t", c.name, m.Conflicts(routerIP, false), m.Conflicts(routerIP, true))
		}
	}
}

func TestClaim(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame []byte
		addr  netip.Addr
		mac   packet.MAC
	}{
		{"of a solicitation: its source", Solicit(host, hostIP, routerIP), hostIP, host},
		{"of an advertisement: its target", Unsolicited(host, hostIP), hostIP, host},
		{"of a probe: nothing", Probe(host, hostIP), unspec, packet.MAC{}},
		{"of a router solicitation: its source", RouterSolicit(host, hostIP), hostIP, host},
	} {
		m := parsed(t, c.frame)
		if addr, mac := m.Claim(); addr != c.addr || mac != c.mac {
			t.Errorf("%s: %v at %v", c.name, addr, mac)
		}
	}
}

func TestReasonNames(t *testing.T) {
	names := slices.Sorted(slices.Values(reasonNames[:]))
	if names[0] == "" || len(slices.Compact(names)) != NumReasons {
		t.Errorf("names are not distinct: %q", names)
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	ns, na := Solicit(host, hostIP, routerIP), Unsolicited(host, hostIP)
	if n := testing.AllocsPerRun(100, func() { Parse(ns); Parse(na) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
