package mcast

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"vrouter/packet"
)

var (
	mac    = packet.MAC{2, 0, 0, 0, 0, 2}
	vrrp4  = netip.MustParseAddr("224.0.0.18")
	vrrp6  = netip.MustParseAddr("ff02::12")
	node6  = netip.MustParseAddr("ff02::1:ff00:1")
	own4   = netip.MustParseAddr("192.0.2.2")
	own6   = netip.MustParseAddr("fe80::2")
	golden = map[string]struct {
		got  [][]byte
		want string
	}{
		"IGMPv3": {
			Reports4(mac, own4, []netip.Addr{vrrp4}),
			"01005e000016 020000000002 0800" +
				"46 c0 0028 0000 0000 01 02 81f7" + // six words, TTL 1, IGMP
				"c0000202 e0000016" + // to all routers that understand IGMPv3
				"94040000" + // Router Alert
				"22 00 fbeb 0000 0001" + // report of one record
				"02 00 0000 e0000012", // MODE_IS_EXCLUDE of nothing
		},
		"MLDv2": {
			Reports6(mac, own6, []netip.Addr{vrrp6, node6}),
			"333300000016 020000000002 86dd" +
				"60000000 0038 00 01" + // hop-by-hop options, hop limit 1
				"fe800000000000000000000000000002 ff020000000000000000000000000016" +
				"3a 00 05 02 0000 01 00" + // Router Alert, padding
				"8f 00 71dc 0000 0002" + // report of two records
				"02 00 0000 ff020000000000000000000000000012" +
				"02 00 0000 ff0200000000000000000001ff000001",
		},
	}
)

func TestReportsGolden(t *testing.T) {
	for name, g := range golden {
		want, err := hex.DecodeString(strings.ReplaceAll(g.want, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if len(g.got) != 1 || !bytes.Equal(g.got[0], want) {
			t.Errorf("%s:\ngot  %x\nwant %x", name, g.got, want)
		}
	}
}

// RFC 3376 4.2.13, RFC 3810 5.2.13: who has no address yet reports all the same.
func TestReportsWithoutAnAddress(t *testing.T) {
	ip4, ok4 := packet.ParseIPv4(Reports4(mac, netip.Addr{}, []netip.Addr{vrrp4})[0][packet.EthernetLen:])
	ip6, ok6 := packet.ParseIPv6(Reports6(mac, netip.Addr{}, []netip.Addr{vrrp6})[0][packet.EthernetLen:])
	if !ok4 || !ok6 || ip4.Src() != netip.IPv4Unspecified() || ip6.Src() != netip.IPv6Unspecified() || !ip4.HeaderOK() {
		t.Errorf("% x\n% x", ip4, ip6)
	}
}

// However many groups there are, no frame is greater than what every link
// carries, each group is reported once, and each checksum is right.
func TestReportsOfManyGroupsAreCutIntoFrames(t *testing.T) {
	for _, n := range []int{0, 1, maxRecords, maxRecords + 1, 700} {
		var groups4, groups6 []netip.Addr
		for i := range n {
			groups4 = append(groups4, netip.AddrFrom4([4]byte{239, 1, byte(i >> 8), byte(i)}))
			groups6 = append(groups6, netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 14: byte(i >> 8), 15: byte(i)}))
		}
		seen := map[string]int{}
		for _, f := range Reports4(mac, own4, groups4) {
			ip, ok := packet.ParseIPv4(f[packet.EthernetLen:])
			if !ok || !ip.HeaderOK() || packet.Checksum(packet.Sum(0, ip.Payload())) != 0 || len(ip) > 576 {
				t.Fatalf("%d groups: % x", n, f)
			}
			count(seen, ip.Payload(), 4)
		}
		for _, f := range Reports6(mac, own6, groups6) {
			ip, ok := packet.ParseIPv6(f[packet.EthernetLen:])
			icmp := ip.Payload()[hopByHopLen:]
			sum := packet.PseudoHeader(ip.Src(), ip.Dst(), packet.ProtoICMPv6, len(icmp))
			if !ok || packet.Checksum(packet.Sum(sum, icmp)) != 0 || len(ip) > 1280 {
				t.Fatalf("%d groups: % x", n, f)
			}
			count(seen, icmp, 16)
		}
		for _, g := range append(groups4, groups6...) {
			if seen[string(g.AsSlice())] != 1 {
				t.Errorf("%d groups: %v reported %d times", n, g, seen[string(g.AsSlice())])
			}
		}
		if len(seen) != 2*n {
			t.Errorf("%d groups: %d reported", n, len(seen))
		}
	}
}

// count counts the groups of a report.
func count(seen map[string]int, report []byte, size int) {
	records := int(report[6])<<8 | int(report[7])
	for i := range records {
		seen[string(report[8+i*(4+size)+4:][:size])]++
	}
}
