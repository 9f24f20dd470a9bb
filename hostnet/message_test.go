package hostnet

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vrouter/packet"
)

// ntoh makes bytes of lines of hexadecimal digits; what follows // is said of
// the line. They are as a little-endian machine has them.
func ntoh(t testing.TB, lines string) []byte {
	t.Helper()
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the bytes of this test are a little-endian machine's")
	}
	var digits strings.Builder
	for l := range strings.Lines(lines) {
		l, _, _ = strings.Cut(l, "//")
		digits.WriteString(strings.Join(strings.Fields(l), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// only returns the one message in b.
func only(t testing.TB, b []byte) *message {
	t.Helper()
	var all []*message
	parse(b, func(m *message) { all = append(all, m) })
	if len(all) != 1 {
		t.Fatalf("%d messages", len(all))
	}
	return all[0]
}

const gatewayRoute = `
	3c000000 1800 0004 07000000 00000000 // length 60, RTM_NEWROUTE, NLM_F_CREATE, serial 7, from the kernel
	02 18 00 00 fe 0c 00 01 00000000     // AF_INET, /24, from anywhere, no TOS, main, bird, universe, unicast
	0800 0f00 fe000000                   // RTA_TABLE 254
	0800 0100 c6336400                   // RTA_DST 198.51.100.0
	0800 0600 20000000                   // RTA_PRIORITY 32
	0800 0500 c0000201                   // RTA_GATEWAY 192.0.2.1`

func TestARouteByAGateway(t *testing.T) {
	b := append(ntoh(t, gatewayRoute), ntoh(t, "0800 0400 03000000")...) // RTA_OIF 3
	b[0] = byte(len(b))
	m := only(t, b)
	want := &tableRoute{254, Route{
		Prefix: pfx("198.51.100.0/24"), Metric: 32, Protocol: unix.RTPROT_BIRD,
		Hops: []Hop{{Via: netip.MustParseAddr("192.0.2.1"), Device: 3}},
	}}
	if !reflect.DeepEqual(m.route, want) || m.gone || m.serial != 7 || m.added || m.replaces {
		t.Fatalf("%+v %+v", m, m.route)
	}
}

func TestAMultipathRouteByNextHopsOfTheOtherFamily(t *testing.T) {
	m := only(t, ntoh(t, `
		58000000 1900 0008 00000000 00000000 // RTM_DELROUTE
		02 00 00 00 00 0b 00 01 00000000     // AF_INET, the default route, table in its attribute, zebra
		0800 0f00 e8030000                   // RTA_TABLE 1000
		3400 0900                            // RTA_MULTIPATH
		2000 00 00 05000000                  // one next hop on device 5:
		1600 1200 0a00 fe80000000000000 0000000000000001 0000 // RTA_VIA AF_INET6 fe80::1, padding
		1000 00 00 06000000 0800 0500 c0000202 // another on device 6: 192.0.2.2`))
	want := &tableRoute{1000, Route{
		Prefix: pfx("0.0.0.0/0"), Protocol: unix.RTPROT_ZEBRA,
		Hops: []Hop{{Via: netip.MustParseAddr("fe80::1"), Device: 5}, {Via: netip.MustParseAddr("192.0.2.2"), Device: 6}},
	}}
	if !m.gone || !reflect.DeepEqual(m.route, want) {
		t.Fatalf("%+v", m.route)
	}
}

// What depends on more than the destination, or is no way for packets, is no
// route for the router.
func TestRoutesThatAreNotTakenOver(t *testing.T) {
	for name, change := range map[string]func(b []byte){
		"local":         func(b []byte) { b[23] = unix.RTN_LOCAL },
		"broadcast":     func(b []byte) { b[23] = unix.RTN_BROADCAST },
		"multicast":     func(b []byte) { b[23] = unix.RTN_MULTICAST },
		"throw":         func(b []byte) { b[23] = unix.RTN_THROW },
		"by source":     func(b []byte) { b[18] = 24 },
		"by TOS":        func(b []byte) { b[19] = 8 },
		"a cache entry": func(b []byte) { b[25] = 2 }, // RTM_F_CLONED
		"too long":      func(b []byte) { b[17] = 33 },
		"other family":  func(b []byte) { b[16] = unix.AF_INET6 },
		"to a group":    func(b []byte) { b[40] = 224 },
	} {
		b := ntoh(t, gatewayRoute)
		b[0] = byte(len(b))
		change(b)
		parse(b, func(m *message) { t.Errorf("%s: %+v", name, m.route) })
	}
}

func TestBlackholesAndProhibitedPrefixes(t *testing.T) {
	for kind, want := range map[byte]Type{
		unix.RTN_BLACKHOLE: Blackhole, unix.RTN_UNREACHABLE: Unreachable, unix.RTN_PROHIBIT: Unreachable,
	} {
		b := ntoh(t, gatewayRoute)
		b[0], b[23] = byte(len(b)), kind
		if r := only(t, b).route; r.Type != want || r.Hops != nil {
			t.Errorf("type %d: %+v", kind, r)
		}
	}
}

func TestADevice(t *testing.T) {
	m := only(t, ntoh(t, `
		58000000 1000 0000 00000000 00000000 // RTM_NEWLINK
		00 00 0100 02000000 03100100 00000000 // AF_UNSPEC, Ethernet, index 2, up broadcast multicast
		0900 0300 65746831 00 000000         // IFLA_IFNAME eth1
		0800 0400 dc050000                   // IFLA_MTU 1500
		0800 0a00 09000000                   // IFLA_MASTER 9
		0a00 0100 02005e100002 0000          // IFLA_ADDRESS
		1000 1280 0900 0100 76657468 00 000000 // IFLA_LINKINFO IFLA_INFO_KIND veth`))
	want := &Device{
		Index: 2, Name: "eth1", Kind: "veth", Ethernet: true, MAC: packet.MAC{2, 0, 0x5e, 0x10, 0, 2}, MTU: 1500, Admin: true, Master: 9,
	}
	if !reflect.DeepEqual(m.device, want) {
		t.Fatalf("%+v", m.device)
	}
}

// A bridge tells by messages of its own family that a port has left it, with the
// type of a device that has gone.
func TestWhatABridgeTellsOfItsPortsIsNoDevice(t *testing.T) {
	parse(ntoh(t, `
		2c000000 1100 0000 00000000 00000000
		07 00 0100 02000000 03100100 00000000
		0900 0300 65746831 00 000000`), func(m *message) { t.Fatalf("%+v", m.device) })
}

func TestAddresses(t *testing.T) {
	const header = "40000000 1400 0000 00000000 00000000" // RTM_NEWADDR
	for name, c := range map[string]struct {
		bytes string
		want  Address
	}{
		"ordinary": {
			"02 18 80 00 02000000 0800 0100 c0000202 0800 0200 c0000202 0800 0800 80000000 0800 0900 00000000 0800 0900 00000000",
			Address{Prefix: pfx("192.0.2.2/24")},
		},
		"with a peer": { // whose route is one of its own
			"02 20 80 00 02000000 0800 0100 c0000263 0800 0200 c0000202 0800 0800 80000000 0800 0900 00000000 0800 0900 00000000",
			Address{Prefix: pfx("192.0.2.2/32")},
		},
		"without prefix route": {
			"02 18 80 00 02000000 0800 0100 c0000202 0800 0200 c0000202 0800 0800 80020000 0800 0900 00000000 0800 0900 00000000",
			Address{Prefix: pfx("192.0.2.2/32")},
		},
		"tentative": {
			"0a 40 c0 00 02000000 1400 0100 20010db8000000000000000000000002 0800 0800 c0000000 0800 0900 00000000 0400 0900",
			Address{Prefix: pfx("2001:db8::2/64"), Tentative: true},
		},
	} {
		b := ntoh(t, header+c.bytes)
		b[0] = byte(len(b))
		m := only(t, b)
		if m.address == nil || m.address.device != 2 || m.address.Address != c.want {
			t.Errorf("%s: %+v", name, m.address)
		}
	}
}

func TestEndsOfDumps(t *testing.T) {
	m := only(t, ntoh(t, "14000000 0300 1200 09000000 00000000 00000000"))
	if !m.done || !m.torn || m.serial != 9 || m.failed != 0 {
		t.Errorf("%+v", m)
	}
	m = only(t, ntoh(t, "24000000 0200 0000 09000000 00000000 a1ffffff 00000000000000000000000000000000"))
	if m.done || m.failed != unix.EOPNOTSUPP {
		t.Errorf("%+v", m)
	}
}

// Whatever the bytes are, what is parsed is whole.
func FuzzParse(f *testing.F) {
	f.Add(ntoh(f, gatewayRoute))
	f.Add(ntoh(f, "24000000 0200 0000 09000000 00000000 a1ffffff 00000000000000000000000000000000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		parse(b, func(m *message) {
			if r := m.route; r != nil && (!r.Prefix.IsValid() || r.Prefix != r.Prefix.Masked() || r.Type != Unicast && r.Hops != nil) {
				t.Fatalf("%+v", r)
			}
			if a := m.address; a != nil && !a.Prefix.IsValid() {
				t.Fatalf("%+v", a)
			}
			if d := m.device; d != nil && (d.Name == "" || d.Index <= 0 || !d.Ethernet && !d.MAC.IsZero() || slices.Contains([]byte(d.Name), 0)) {
				t.Fatalf("%+v", d)
			}
		})
		v := NewView(254) // and a view takes it
		v.Begin()
		parse(b, func(m *message) {
			if m.route != nil {
				v.notice(m)
				v.saw(m.route)
			}
		})
		v.End()
	})
}
