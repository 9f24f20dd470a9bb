package netstack

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/faketime"

	"vrouter/packet"
)

// reports returns the groups that a packet reports as joined (IGMPv3 and
// MLDv2: records EXCLUDE with no sources), or nil where it is no report.
func reports(t *testing.T, b []byte) (joined, left []netip.Addr) {
	t.Helper()
	p := parse(t, b)
	body, size := p.payload, 4
	switch {
	case p.src.Is4() && p.proto == packet.ProtoIGMP && body[0] == 0x22:
		if b[0] != 0x46 || b[20] != 0x94 { // RFC 3376 4: Router Alert
			t.Errorf("IGMP report without Router Alert: %x", b)
		}
		if p.dst != addr("224.0.0.22") || packet.Checksum(packet.Sum(0, body)) != 0 {
			t.Errorf("IGMPv3 report to %s, or its checksum is wrong: %x", p.dst, b)
		}
	case p.src.Is6() && p.proto == packet.ProtoHopByHop && body[8] == packet.ICMPv6MLDv2Report:
		if body[0] != packet.ProtoICMPv6 || body[2] != 5 { // RFC 3810 5: Router Alert
			t.Errorf("MLD report without Router Alert: %x", b)
		}
		body, size = body[8:], 16
		sum := packet.PseudoHeader(p.src, p.dst, packet.ProtoICMPv6, len(body))
		if p.dst != addr("ff02::16") || packet.Checksum(packet.Sum(sum, body)) != 0 {
			t.Errorf("MLDv2 report to %s, or its checksum is wrong: %x", p.dst, b)
		}
	default:
		return nil, nil
	}
	if p.ttl != 1 {
		t.Errorf("report with TTL %d", p.ttl)
	}
	for body = body[8:]; len(body) >= 4+size; body = body[4+size:] {
		group, _ := netip.AddrFromSlice(body[4 : 4+size])
		switch body[0] {
		case 2, 4: // MODE_IS_EXCLUDE, CHANGE_TO_EXCLUDE_MODE
			joined = append(joined, group)
		case 3: // CHANGE_TO_INCLUDE_MODE, of nothing
			left = append(left, group)
		}
	}
	return joined, left
}

// isReport finds the report of a group as joined (or left) on a port.
func isReport(t *testing.T, port uint16, src, group string, joins bool) func(Packet) bool {
	return func(p Packet) bool {
		in, out := reports(t, p.Data)
		if !joins {
			in = out
		}
		for _, g := range in {
			if g == addr(group) && p.Port == port && parse(t, p.Data).src == addr(src) {
				return true
			}
		}
		return false
	}
}

func TestMembershipIsReportedWhenItBeginsAndEnds(t *testing.T) {
	var out recorder
	s := newRouter(t, &out)
	for _, group := range []string{"ff02::1:ff00:2", "ff02::1:ff00:1"} {
		out.find(t, "report for a solicited-node group", isReport(t, 0, "fe80::5", group, true))
	}
	must(t, s.SetGroups(map[uint16][]netip.Addr{
		0: {addr("224.0.0.18"), addr("ff02::12")},
		1: {addr("ff02::12")},
	}))
	out.find(t, "IGMP report", isReport(t, 0, "192.0.2.2", "224.0.0.18", true))
	out.find(t, "MLD report", isReport(t, 0, "fe80::5", "ff02::12", true))
	out.find(t, "MLD report", isReport(t, 1, "fe80::6", "ff02::12", true))
	for _, p := range out.all() { // RFC 3810 5.2.13: from a link-local address
		if a := parse(t, p.Data); a.src == netip.IPv6Unspecified() && a.dst == addr("ff02::16") {
			t.Errorf("MLD report from the unspecified address: %x", p.Data)
		}
	}
	must(t, s.SetGroups(map[uint16][]netip.Addr{1: {addr("ff02::12")}}))
	out.find(t, "IGMP leave", isReport(t, 0, "192.0.2.2", "224.0.0.18", false))
	out.find(t, "MLD leave", isReport(t, 0, "fe80::5", "ff02::12", false))
	if isReport(t, 1, "fe80::6", "ff02::12", false)(out.all()[len(out.all())-1]) {
		t.Error("left on the wrong port")
	}
}

func TestMembershipIsReportedAgainAfterAGeneralQuery(t *testing.T) {
	var out recorder
	clock := faketime.NewManualClock()
	s, err := newWithClock(Config{}, out.emit, clock)
	must(t, err)
	t.Cleanup(s.Close)
	must(t, s.SetPorts([]Port{{Number: 0, Name: "lan", MTU: mtu}}))
	must(t, s.SetAddresses(addresses(0, "192.0.2.2/24", "fe80::5/64")))
	must(t, s.SetGroups(map[uint16][]netip.Addr{0: {addr("224.0.0.18"), addr("ff02::12")}}))
	igmp, mld := isReport(t, 0, "192.0.2.2", "224.0.0.18", true), isReport(t, 0, "fe80::5", "ff02::12", true)
	count := func(fits func(Packet) bool) (n int) {
		for _, p := range out.all() {
			if fits(p) {
				n++
			}
		}
		return n
	}
	// RFC 3376 8.1, RFC 3810 9.1: unsolicited reports are sent twice.
	clock.Advance(20 * time.Second)
	eventually(t, "two unsolicited reports", func() bool { return count(igmp) == 2 && count(mld) == 2 })
	clock.Advance(time.Hour)
	settle(t, s, &out)
	if count(igmp) != 2 || count(mld) != 2 {
		t.Errorf("%d IGMP and %d MLD reports that nobody asked for", count(igmp), count(mld))
	}

	query := []byte{
		0x46, 0xc0, 0, 36, 0, 0, 0, 0, 1, packet.ProtoIGMP, 0, 0, // IPv4, TTL 1
		192, 0, 2, 254, 224, 0, 0, 1, // from the querier to all systems
		0x94, 4, 0, 0, // Router Alert
		0x11, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // IGMPv3 general query, answer within 0.1 s
	}
	put(query[10:], packet.Checksum(packet.Sum(0, query[:24])))
	put(query[26:], packet.Checksum(packet.Sum(0, query[24:])))
	s.Deliver(0, query)

	msg := make([]byte, 28)
	msg[0], msg[5] = 130, 100 // MLDv2 general query, answer within 0.1 s
	hop := []byte{packet.ProtoICMPv6, 0, 5, 2, 0, 0, 1, 0}
	s.Deliver(0, ip("fe80::fe", "ff02::1", 1, packet.ProtoHopByHop,
		append(hop, sum6("fe80::fe", "ff02::1", packet.ProtoICMPv6, 2, msg)...)))
	settle(t, s, &out)
	eventually(t, "reports as asked", func() bool {
		clock.Advance(100 * time.Millisecond)
		return count(igmp) == 3 && count(mld) == 3
	})
}

func TestMembershipIsReportedAgainWhenTheLinkComesUp(t *testing.T) {
	var out recorder
	s := newRouter(t, &out)
	must(t, s.SetGroups(map[uint16][]netip.Addr{1: {addr("224.0.0.18"), addr("ff02::12")}}))
	igmp, mld := isReport(t, 1, "203.0.113.2", "224.0.0.18", true), isReport(t, 1, "fe80::6", "ff02::12", true)
	out.find(t, "IGMP report", igmp)
	out.find(t, "MLD report", mld)
	ports := []Port{{Number: 0, Name: "lan", MTU: mtu}, {Number: 1, Name: "wan", MTU: mtu, Down: true}}
	must(t, s.SetPorts(ports))
	settle(t, s, &out)
	down := len(out.all())
	s.Deliver(1, echo("203.0.113.9", "203.0.113.2", 64, 1, 0))
	settle(t, s, &out)
	for _, p := range out.all()[down:] {
		if p.Port == 1 {
			t.Errorf("sent on a port that is down: %x", p.Data)
		}
	}
	ports[1].Down = false
	must(t, s.SetPorts(ports))
	for _, fits := range []func(Packet) bool{igmp, mld} {
		eventually(t, "report after the link came up", func() bool { return slices.ContainsFunc(out.all()[down:], fits) })
	}
	s.Deliver(1, echo("203.0.113.9", "203.0.113.2", 64, 1, 0))
	s.Deliver(1, echo("2001:db8:2::9", "2001:db8:2::2", 64, 1, 0))
	for _, dst := range []string{"203.0.113.9", "2001:db8:2::9"} {
		out.find(t, "echo reply", func(p Packet) bool { return parse(t, p.Data).dst == addr(dst) })
	}
}

func put(b []byte, v uint16) { b[0], b[1] = byte(v>>8), byte(v) }
