package ndp

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"vrouter/packet"
)

var fullAdvert = RouterAdvert{
	HopLimit: 64, Managed: true, Other: false,
	Lifetime: 30 * time.Minute, Reachable: 30 * time.Second, Retrans: time.Second,
	LinkAddr: virtual, MTU: 1500,
	Prefixes: []Prefix{
		{netip.MustParsePrefix("2001:db8:1::/64"), true, true, 24 * time.Hour, 4 * time.Hour},
		{netip.MustParsePrefix("2001:db8:2::/48"), true, false, Forever, 0},
	},
	RDNSS:         []netip.Addr{netip.MustParseAddr("2001:db8:1::53"), netip.MustParseAddr("2001:db8:1::54")},
	RDNSSLifetime: 30 * time.Second,
}

func TestRouterAdvertGolden(t *testing.T) {
	got := fullAdvert.Frame(virtual, virtualIP)
	want := []byte{
		0x33, 0x33, 0, 0, 0, 1, // all nodes
		0, 0, 0x5e, 0, 2, 10, // the virtual MAC
		0x86, 0xdd,
		0x60, 0, 0, 0, 0, 136, 58, 255,
		0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
		0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
		134, 0, 0x7d, 0x70, // checksum
		64,         // hop limit
		0x80,       // M
		0x07, 0x08, // lifetime: 1800 s
		0, 0, 0x75, 0x30, // reachable: 30000 ms
		0, 0, 0x03, 0xe8, // retrans: 1000 ms
		1, 1, 0, 0, 0x5e, 0, 2, 10, // source link-layer address
		5, 1, 0, 0, 0, 0, 0x05, 0xdc, // MTU 1500
		3, 4, 64, 0xc0, // prefix: 32 bytes, /64, on-link, autonomous
		0, 0x01, 0x51, 0x80, // valid: 86400 s
		0, 0, 0x38, 0x40, // preferred: 14400 s
		0, 0, 0, 0,
		0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		3, 4, 48, 0x80, // prefix: /48, on-link
		0xff, 0xff, 0xff, 0xff, // valid for ever
		0, 0, 0, 0, // never preferred
		0, 0, 0, 0,
		0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		25, 5, 0, 0, // DNS servers: 40 bytes
		0, 0, 0, 30, // lifetime: 30 s
		0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53,
		0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x54,
	}
	if !bytes.Equal(got, want) {
		t.Errorf("\n got %x\nwant %x", got, want)
	}
}

func TestRouterAdvertSurvives(t *testing.T) {
	for _, ra := range []RouterAdvert{fullAdvert, {}, {Other: true, Lifetime: time.Second}} {
		m, reason := Parse(ra.Frame(virtual, virtualIP))
		if reason != OK {
			t.Fatalf("refused: %v", reason)
		}
		want := ra
		want.LinkAddr = packet.MAC{} // told by m.LinkAddr
		if !reflect.DeepEqual(*m.RA, want) || m.LinkAddr != ra.LinkAddr {
			t.Errorf("got %+v, want %+v", *m.RA, want)
		}
	}
}

func TestRouterAdvertToOneHost(t *testing.T) {
	b := fullAdvert.FrameTo(host, hostIP, virtual, virtualIP)
	m, reason := Parse(b)
	if reason != OK || m.Dst != hostIP || packet.Ethernet(b).Dst() != host {
		t.Errorf("%+v, %v", m, reason)
	}
}

func TestRouterAdvertLimits(t *testing.T) {
	ra := RouterAdvert{
		Lifetime: 100 * time.Hour, Reachable: -time.Second,
		Prefixes: []Prefix{{netip.MustParsePrefix("2001:db8:1::7/64"), true, true, 1 << 62, 1500 * time.Millisecond}},
	}
	m, reason := Parse(ra.Frame(router, virtualIP))
	if reason != OK {
		t.Fatal(reason)
	}
	p := m.RA.Prefixes[0]
	if m.RA.Lifetime != 65535*time.Second || m.RA.Reachable != 0 || p.Valid != Forever || p.Preferred != time.Second {
		t.Errorf("%+v", m.RA)
	}
	if p.Prefix != netip.MustParsePrefix("2001:db8:1::/64") { // RFC 4861 4.6.2: bits behind the prefix are zero
		t.Errorf("prefix %v", p.Prefix)
	}
}

func TestManyDNSServersNeedSeveralOptions(t *testing.T) {
	ra := RouterAdvert{RDNSSLifetime: time.Minute}
	for i := range 300 {
		ra.RDNSS = append(ra.RDNSS, netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 14: byte(i >> 8), 15: byte(i)}))
	}
	m, reason := Parse(ra.Frame(router, virtualIP))
	if reason != OK || !reflect.DeepEqual(m.RA.RDNSS, ra.RDNSS) {
		t.Errorf("%v, %d servers", reason, len(m.RA.RDNSS))
	}
}

func TestRouterAdvertRefusesMalformedOptions(t *testing.T) {
	frame := (&RouterAdvert{}).Frame(router, virtualIP)
	for name, option := range map[string][]byte{
		"MTU of 16 bytes":                 append([]byte{5, 2}, make([]byte, 14)...),
		"prefix of 8 bytes":               append([]byte{3, 1}, make([]byte, 6)...),
		"prefix of 129 bits":              append([]byte{3, 4, 129}, make([]byte, 29)...),
		"DNS servers without one":         append([]byte{25, 1}, make([]byte, 6)...),
		"DNS servers with one and a half": append([]byte{25, 4}, make([]byte, 30)...),
	} {
		bent := bend(frame, func(m *message) { m.icmp = append(m.icmp, option...) })
		if _, reason := Parse(bent); reason != Option {
			t.Errorf("%s: %v, want option", name, reason)
		}
	}
}

// FuzzParse: any message with a right checksum is taken apart without a panic,
// and what is accepted is fit for a cache.
func FuzzParse(f *testing.F) {
	for _, frame := range [][]byte{
		Solicit(host, hostIP, routerIP), Probe(host, routerIP), Unsolicited(host, hostIP),
		RouterSolicit(host, hostIP), fullAdvert.Frame(virtual, virtualIP),
	} {
		f.Add(frame, true)
	}
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, frame []byte, fix bool) {
		if fix { // get past the checksum
			if e, ok := packet.ParseEthernet(frame); ok {
				if p, ok := packet.ParseIPv6(e.Payload()); ok && len(p) >= packet.IPv6Len+4 {
					p[7] = hopLimit
					frame = unseal(frame).seal()
				}
			}
		}
		m, reason := Parse(frame)
		if reason != OK {
			return
		}
		addr, mac := m.Claim()
		if mac.IsMulticast() || m.EthSrc.IsMulticast() || m.EthSrc.IsZero() || addr.IsMulticast() {
			t.Fatalf("accepted %+v", m)
		}
		if (m.RA != nil) != (m.Type == packet.ICMPv6RouterAdvert) {
			t.Fatalf("content of a router advertisement: %+v", m)
		}
		if answer := Answer(m, owned(true)); answer != nil {
			if a, reason := Parse(answer); reason != OK || a.Target != m.Target || !a.Router || !a.Override {
				t.Fatalf("answered %+v with %+v (%v)", m, a, reason)
			}
		}
	})
}
