package sim

import (
	"net/netip"
	"testing"
	"time"

	"vrouter/arp"
	"vrouter/ndp"
	"vrouter/packet"
)

var (
	virtualMAC = packet.MAC{0, 0, 0x5e, 0, 1, 10}
	gateway4   = netip.MustParseAddr("192.0.2.1")
	gateway6   = netip.MustParseAddr("2001:db8:1::1")
)

// Advertisements, written down byte by byte from the RFCs' figures.

func TestReadAdvertisementOfVersion3(t *testing.T) {
	frame := []byte{
		0x01, 0x00, 0x5e, 0, 0, 0x12, 0, 0, 0x5e, 0, 1, 10, 8, 0, // Ethernet
		0x45, 0, 0, 32, 0, 0, 0, 0, 255, 112, 0, 0, 192, 0, 2, 2, 224, 0, 0, 18, // IPv4
		0x31, 10, 200, 1, // version and type, VRID, priority, count
		0, 100, 0, 0, // centiseconds, checksum
		192, 0, 2, 1,
	}
	a := read(frame).advert
	if a == nil || a.version != 3 || a.vrid != 10 || a.priority != 200 || a.interval != time.Second || a.v6 || a.src[3] != 2 {
		t.Errorf("%+v", a)
	}
}

func TestReadAdvertisementOfVersion2(t *testing.T) {
	frame := []byte{
		0x01, 0x00, 0x5e, 0, 0, 0x12, 0, 0, 0x5e, 0, 1, 10, 8, 0,
		0x45, 0, 0, 40, 0, 0, 0, 0, 255, 112, 0, 0, 192, 0, 2, 2, 224, 0, 0, 18,
		0x21, 10, 100, 1, // version and type, VRID, priority, count
		0, 3, 0, 0, // authentication type, seconds, checksum
		192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0,
	}
	a := read(frame).advert
	if a == nil || a.version != 2 || a.priority != 100 || a.interval != 3*time.Second {
		t.Errorf("%+v", a)
	}
}

func TestReadClaims(t *testing.T) {
	other := packet.MAC{2, 0, 0, 0, 0, 9}
	host4, host6 := netip.MustParseAddr("192.0.2.100"), netip.MustParseAddr("2001:db8:1::100")
	answer6 := ndp.NeighborAdvert{MAC: virtualMAC, Target: gateway6, To: other, Dst: host6, Solicited: true, Override: true}
	for _, tt := range []struct {
		name          string
		frame         []byte
		claim, notice bool
	}{
		{"gratuitous ARP", arp.Gratuitous(virtualMAC, gateway4), true, true},
		{"an ARP reply", arp.Reply(virtualMAC, gateway4, other, host4), true, false},
		{"an ARP request from the address", arp.Request(virtualMAC, gateway4, host4), true, false},
		{"an ARP probe claims nothing", arp.Probe(virtualMAC, gateway4), false, false},
		{"unsolicited NA", ndp.Unsolicited(virtualMAC, gateway6), true, true},
		{"a solicited NA", answer6.Frame(), true, false},
		{"a solicitation claims nothing", ndp.Solicit(virtualMAC, gateway6, host6), false, false},
	} {
		s := read(tt.frame)
		if (s.claims != nil) != tt.claim || s.notice != tt.notice || s.srcMAC != virtualMAC {
			t.Errorf("%s: %+v", tt.name, s)
		}
		if a, _ := netip.AddrFromSlice(s.claims); tt.claim && (s.claim != virtualMAC || a != gateway4 && a != gateway6) {
			t.Errorf("%s: %v is at %v", tt.name, a, s.claim)
		}
	}
}

func TestProbesAreRecognised(t *testing.T) {
	for _, pair := range [][2]string{{"192.0.2.100", "203.0.113.100"}, {"2001:db8:1::100", "2001:db8:2::100"}} {
		frame := probeFrame(netip.MustParseAddr(pair[0]), netip.MustParseAddr(pair[1]), 3, 123456)
		packet.PutEthernet(frame, virtualMAC, packet.MAC{2}, map[bool]uint16{true: packet.EtherTypeIPv4, false: packet.EtherTypeIPv6}[len(frame) == 54])
		if id, ok := probeOf(frame); !ok || id != (probeID{3, 123456}) {
			t.Errorf("%s: %v %v", pair[0], id, ok)
		}
		for n := range len(frame) {
			if _, ok := probeOf(frame[:n]); ok {
				t.Errorf("%s: %d bytes are taken for a probe", pair[0], n)
			}
		}
	}
	if _, ok := probeOf(arp.Gratuitous(virtualMAC, gateway4)); ok {
		t.Error("ARP is taken for a probe")
	}
}

// Whatever is on the wire, the checkers must survive it.
func FuzzRead(f *testing.F) {
	f.Add(arp.Gratuitous(virtualMAC, gateway4))
	f.Add(ndp.Unsolicited(virtualMAC, gateway6))
	f.Add(probeFrame(gateway6, gateway6, 1, 1))
	f.Fuzz(func(_ *testing.T, frame []byte) {
		read(frame)
		probeOf(frame)
	})
}
