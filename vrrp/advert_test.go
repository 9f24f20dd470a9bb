package vrrp

import (
	"bytes"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"vrouter/packet"

	"pgregory.net/rapid"
)

var (
	routerA = netip.MustParseAddr("192.0.2.2")
	routerB = netip.MustParseAddr("192.0.2.3")
	routerC = netip.MustParseAddr("192.0.2.4")
	virtual = netip.MustParseAddr("192.0.2.1")
	second  = netip.MustParseAddr("192.0.2.254")
	linkA   = netip.MustParseAddr("fe80::a")
	linkB   = netip.MustParseAddr("fe80::b")
)

// golden packets: every byte from the figures of RFC 3768 5.1 and RFC 9568 5.2,
// every checksum computed apart from this package.
var golden = []struct {
	name     string
	src, dst netip.Addr
	plain    bool
	adv      Advertisement
	bytes    []byte
}{
	{
		"version 2", routerA, GroupIPv4, false,
		Advertisement{Version: 2, VRID: 10, Priority: 150, Interval: time.Second, Addresses: []netip.Addr{virtual, second}},
		[]byte{
			0x21,       // version 2, type 1
			10,         // virtual router
			150,        // priority
			2,          // addresses
			0,          // authentication type: none
			1,          // interval, seconds
			0xc3, 0xf1, // checksum, no pseudo header
			192, 0, 2, 1, // address 1
			192, 0, 2, 254, // address 2
			0, 0, 0, 0, // authentication data 1
			0, 0, 0, 0, // authentication data 2
		},
	},
	{
		"version 3 IPv4, checksum with pseudo header", routerA, GroupIPv4, false,
		Advertisement{Version: 3, VRID: 10, Priority: 150, Interval: time.Second, Addresses: []netip.Addr{virtual, second}},
		[]byte{
			0x31,       // version 3, type 1
			10,         // virtual router
			150,        // priority
			2,          // addresses
			0x00, 0x64, // reserved 0, interval 100 centiseconds
			0x10, 0xf9, // checksum with pseudo header 192.0.2.2, 224.0.0.18, 112, 16
			192, 0, 2, 1, // address 1
			192, 0, 2, 254, // address 2
		},
	},
	{
		"version 3 IPv4, checksum without pseudo header", routerA, GroupIPv4, true,
		Advertisement{Version: 3, VRID: 10, Priority: 150, Interval: time.Second, Addresses: []netip.Addr{virtual, second}, PlainCSum: true},
		[]byte{
			0x31, 10, 150, 2, // as above
			0x00, 0x64, // reserved 0, interval 100 centiseconds
			0xb3, 0x8e, // checksum over the message alone
			192, 0, 2, 1, // address 1
			192, 0, 2, 254, // address 2
		},
	},
	{
		"version 3 IPv4 to a unicast peer", routerA, routerB, false,
		Advertisement{Version: 3, VRID: 10, Priority: 150, Interval: time.Second, Addresses: []netip.Addr{virtual, second}},
		[]byte{
			0x31, 10, 150, 2, // as above
			0x00, 0x64, // reserved 0, interval 100 centiseconds
			0x2f, 0x08, // checksum with pseudo header 192.0.2.2, 192.0.2.3, 112, 16
			192, 0, 2, 1, // address 1
			192, 0, 2, 254, // address 2
		},
	},
	{
		"version 3 IPv6, owner, longest interval", linkA, GroupIPv6, false,
		Advertisement{
			Version: 3, VRID: 20, Priority: 255, Interval: 40950 * time.Millisecond,
			Addresses: []netip.Addr{netip.MustParseAddr("fe80::1"), netip.MustParseAddr("2001:db8:1::1")},
		},
		[]byte{
			0x31,       // version 3, type 1
			20,         // virtual router
			255,        // priority: owner
			2,          // addresses
			0x0f, 0xff, // reserved 0, interval 4095 centiseconds
			0x95, 0x74, // checksum with pseudo header fe80::a, ff02::12, 40, 112
			0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // address 1: link-local
			0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // address 2
		},
	},
}

func TestAppend_writes_the_bytes_of_the_figures(t *testing.T) {
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			got := g.adv.Append([]byte{0xaa}, g.src, g.dst, g.plain)
			if !bytes.Equal(got, append([]byte{0xaa}, g.bytes...)) {
				t.Errorf("got  % x\nwant % x", got[1:], g.bytes)
			}
		})
	}
}

func TestParse_reads_the_bytes_of_the_figures(t *testing.T) {
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			got, reason := Parse(g.src, g.dst, 255, g.bytes)
			if reason != ReasonNone || !reflect.DeepEqual(got, g.adv) {
				t.Errorf("got %+v, %v\nwant %+v", got, reason, g.adv)
			}
		})
	}
}

// withSum puts the right checksum into b, computed byte pair by byte pair.
func withSum(b []byte, pseudo []byte) []byte {
	b = bytes.Clone(b)
	b[6], b[7] = 0, 0
	sum := uint32(0)
	for _, part := range [][]byte{pseudo, b} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(part[i])<<8 | uint32(part[i+1])
		}
		if len(part)%2 != 0 {
			sum += uint32(part[len(part)-1]) << 8
		}
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	b[6], b[7] = byte(^sum>>8), byte(^sum)
	return b
}

func edit(b []byte, at int, value byte) []byte {
	b = bytes.Clone(b)
	b[at] = value
	return b
}

// badPacket is one that Parse must discard.
type badPacket struct {
	name     string
	src, dst netip.Addr
	ttl      uint8
	b        []byte
	want     Reason
}

func badPackets() []badPacket {
	v2, v3, v6 := golden[0].bytes, golden[2].bytes, golden[4].bytes
	other := netip.MustParseAddr("224.0.0.5")
	return []badPacket{
		{"TTL 254", routerA, GroupIPv4, 254, v3, ReasonTTL},
		{"TTL 0", routerA, GroupIPv4, 0, v3, ReasonTTL},
		{"TTL 64 from a unicast peer", routerA, routerB, 64, v3, ReasonTTL},
		{"hop limit 254", linkA, GroupIPv6, 254, v6, ReasonTTL},
		{"no source", netip.Addr{}, GroupIPv4, 255, v3, ReasonSource},
		{"source 0.0.0.0", netip.IPv4Unspecified(), GroupIPv4, 255, v3, ReasonSource},
		{"multicast source", GroupIPv4, GroupIPv4, 255, v3, ReasonSource},
		{"IPv6 source not link-local", netip.MustParseAddr("2001:db8::1"), GroupIPv6, 255, v6, ReasonSource},
		{"IPv6 source unspecified", netip.IPv6Unspecified(), GroupIPv6, 255, v6, ReasonSource},
		{"IPv6 source is a mapped IPv4 address", netip.MustParseAddr("::ffff:192.0.2.2"), GroupIPv6, 255, v6, ReasonSource},
		{"no destination", routerA, netip.Addr{}, 255, v3, ReasonDestination},
		{"destination of the other family", routerA, GroupIPv6, 255, v3, ReasonDestination},
		{"destination is another group", routerA, other, 255, v3, ReasonDestination},
		{"destination is the other IPv6 group", linkA, netip.MustParseAddr("ff02::1"), 255, v6, ReasonDestination},
		{"empty", routerA, GroupIPv4, 255, nil, ReasonLength},
		{"seven bytes", routerA, GroupIPv4, 255, v3[:7], ReasonLength},
		{"header alone", routerA, GroupIPv4, 255, withSum(v3[:8], nil), ReasonLength},
		{"an address too few", routerA, GroupIPv4, 255, withSum(v3[:12], nil), ReasonLength},
		{"half an address", routerA, GroupIPv4, 255, withSum(v3[:14], nil), ReasonLength},
		{"an address too many", routerA, GroupIPv4, 255, withSum(append(bytes.Clone(v3), 192, 0, 2, 9), nil), ReasonLength},
		{"a byte behind", routerA, GroupIPv4, 255, append(bytes.Clone(v3), 0), ReasonLength},
		{"version 2 without authentication data", routerA, GroupIPv4, 255, withSum(v2[:16], nil), ReasonLength},
		{"version 2 with half the authentication data", routerA, GroupIPv4, 255, withSum(v2[:20], nil), ReasonLength},
		{"IPv6 with half an address", linkA, GroupIPv6, 255, v6[:32], ReasonLength},
		{"version 0", routerA, GroupIPv4, 255, withSum(edit(v3, 0, 0x01), nil), ReasonVersion},
		{"version 1", routerA, GroupIPv4, 255, withSum(edit(v3, 0, 0x11), nil), ReasonVersion},
		{"version 4", routerA, GroupIPv4, 255, withSum(edit(v3, 0, 0x41), nil), ReasonVersion},
		{"version 2 over IPv6", linkA, GroupIPv6, 255, withSum(edit(v6, 0, 0x21), nil), ReasonVersion},
		{"type 0", routerA, GroupIPv4, 255, withSum(edit(v3, 0, 0x30), nil), ReasonType},
		{"type 2", routerA, GroupIPv4, 255, withSum(edit(v3, 0, 0x32), nil), ReasonType},
		{"type 2 of version 2", routerA, GroupIPv4, 255, withSum(edit(v2, 0, 0x22), nil), ReasonType},
		{"no addresses", routerA, GroupIPv4, 255, withSum(edit(v3, 3, 0)[:8], nil), ReasonCount},
		{"no addresses in version 2", routerA, GroupIPv4, 255, withSum(edit(v2, 3, 0)[:16], nil), ReasonCount},
		{"checksum 0", routerA, GroupIPv4, 255, edit(edit(v3, 6, 0), 7, 0), ReasonChecksum},
		{"checksum of version 2", routerA, GroupIPv4, 255, edit(v2, 7, v2[7]+1), ReasonChecksum},
		{"checksum with the pseudo header of another sender", routerB, GroupIPv4, 255, golden[1].bytes, ReasonChecksum},
		{"IPv6 checksum without pseudo header", linkA, GroupIPv6, 255, edit(edit(v6, 6, 0x93), 7, 0xac), ReasonChecksum},
		{"VRID 0", routerA, GroupIPv4, 255, withSum(edit(v3, 1, 0), nil), ReasonVRID},
		{"unknown authentication", routerA, GroupIPv4, 255, withSum(edit(v2, 4, 9), nil), ReasonAuthType},
		{"interval 0", routerA, GroupIPv4, 255, withSum(edit(v3, 5, 0), nil), ReasonInterval},
		{"interval 0 beside reserved bits", routerA, GroupIPv4, 255, withSum(edit(edit(v3, 5, 0), 4, 0xf0), nil), ReasonInterval},
		{"interval 0 of version 2", routerA, GroupIPv4, 255, withSum(edit(v2, 5, 0), nil), ReasonInterval},
	}
}

func TestParse_discards(t *testing.T) {
	seen := map[Reason]bool{}
	for _, test := range badPackets() {
		t.Run(test.name, func(t *testing.T) {
			seen[test.want] = true
			if _, got := Parse(test.src, test.dst, test.ttl, test.b); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
	for r := ReasonTTL; r < ReasonUnknown; r++ {
		if !seen[r] && r != ReasonAuthHeader { // of ParseIPv4
			t.Errorf("no packet was discarded for %v", r)
		}
	}
}

func TestParse_ignores_the_reserved_bits_and_Append_clears_them(t *testing.T) {
	b := []byte{0x31, 10, 150, 1, 0xf0, 0x01, 0xe4, 0x5e, 192, 0, 2, 1} // reserved 15, interval 1
	a, reason := Parse(routerA, GroupIPv4, 255, b)
	if reason != ReasonNone || a.Interval != 10*time.Millisecond {
		t.Fatalf("got %v, %v", a, reason)
	}
	a.Interval = time.Hour // does not fit: must not run over into the reserved bits
	if got := a.Append(nil, routerA, GroupIPv4, false)[4] & 0xf0; got != 0 {
		t.Errorf("reserved bits %x", got)
	}
}

func TestParse_ignores_authentication_data_of_type_none(t *testing.T) {
	b := edit(golden[0].bytes, len(golden[0].bytes)-1, 7)
	if _, reason := Parse(routerA, GroupIPv4, 255, withSum(b, nil)); reason != ReasonNone {
		t.Error(reason)
	}
}

func TestParse_accepts_both_checksum_readings_of_version_3_over_IPv4(t *testing.T) {
	for i, plain := range map[int]bool{1: false, 2: true} {
		a, reason := Parse(routerA, GroupIPv4, 255, golden[i].bytes)
		if reason != ReasonNone || a.PlainCSum != plain {
			t.Errorf("%s: %v, plain %v", golden[i].name, reason, a.PlainCSum)
		}
	}
}

func TestParse_names_the_virtual_router_of_a_discarded_packet(t *testing.T) {
	a, reason := Parse(routerA, GroupIPv4, 1, golden[1].bytes)
	if reason != ReasonTTL || a.VRID != 10 || a.Version != 3 {
		t.Errorf("%+v %v", a, reason)
	}
	a, reason = Parse(routerA, GroupIPv4, 255, golden[1].bytes[:2])
	if reason != ReasonLength || a.VRID != 10 || a.Version != 3 {
		t.Errorf("%+v %v", a, reason)
	}
}

func TestParse_finds_every_flipped_bit(t *testing.T) {
	for _, g := range golden {
		for bit := range len(g.bytes) * 8 {
			b := bytes.Clone(g.bytes)
			b[bit/8] ^= 1 << (bit % 8)
			if _, reason := Parse(g.src, g.dst, 255, b); reason == ReasonNone {
				t.Errorf("%s: bit %d flipped unnoticed", g.name, bit)
			}
		}
	}
}

func TestReason_names_are_distinct_counter_names(t *testing.T) {
	seen := map[string]bool{}
	for r := range NumReasons {
		name := r.String()
		if name == "" || seen[name] || name == "unknown_reason" {
			t.Errorf("reason %d has the name %q", r, name)
		}
		seen[name] = true
	}
	if NumReasons.String() != "unknown_reason" {
		t.Error("a reason out of range has a name")
	}
}

// drawAdvertisement draws any valid advertisement and its IP addresses.
func drawAdvertisement(t *rapid.T) (a Advertisement, src, dst netip.Addr) {
	a.Version = rapid.SampledFrom([]uint8{2, 3}).Draw(t, "version")
	ipv6 := a.Version == 3 && rapid.Bool().Draw(t, "ipv6")
	a.VRID = rapid.Uint8Range(1, 255).Draw(t, "vrid")
	a.Priority = rapid.Uint8().Draw(t, "priority")
	if a.Version == 2 {
		a.Interval = time.Duration(rapid.IntRange(1, 255).Draw(t, "seconds")) * time.Second
	} else {
		a.Interval = time.Duration(rapid.IntRange(1, 4095).Draw(t, "centiseconds")) * 10 * time.Millisecond
	}
	size := 4
	src, dst = routerA, rapid.SampledFrom([]netip.Addr{GroupIPv4, routerB}).Draw(t, "dst")
	if ipv6 {
		size = 16
		src, dst = linkA, rapid.SampledFrom([]netip.Addr{GroupIPv6, linkB}).Draw(t, "dst")
	}
	for range rapid.IntRange(1, 255).Draw(t, "count") {
		addr, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "address"))
		a.Addresses = append(a.Addresses, addr)
	}
	return a, src, dst
}

func TestParse_reads_what_Append_wrote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, src, dst := drawAdvertisement(t)
		plain := rapid.Bool().Draw(t, "plain")
		b := a.Append(nil, src, dst, plain)
		got, reason := Parse(src, dst, 255, b)
		if reason != ReasonNone {
			t.Fatal(reason)
		}
		got.PlainCSum = false
		if !reflect.DeepEqual(got, a) {
			t.Fatalf("got %+v, want %+v", got, a)
		}
		var pseudo []byte
		if a.Version == 3 && !(plain && src.Is4()) {
			pseudo = slices.Concat(src.AsSlice(), dst.AsSlice(), []byte{0, 0, byte(len(b) >> 8), byte(len(b)), 0, 0, 0, 112})
		}
		if want := withSum(b, pseudo); !bytes.Equal(b, want) {
			t.Fatalf("checksum % x, want % x", b[6:8], want[6:8])
		}
	})
}

func TestAppend_leaves_out_addresses_that_the_count_cannot_tell(t *testing.T) {
	a := golden[1].adv
	a.Addresses = slices.Repeat([]netip.Addr{virtual}, 300)
	got, reason := Parse(routerA, GroupIPv4, 255, a.Append(nil, routerA, GroupIPv4, false))
	if reason != ReasonNone || len(got.Addresses) != 255 {
		t.Errorf("%v, %d addresses", reason, len(got.Addresses))
	}
}

func TestVirtualMAC_carries_family_and_VRID(t *testing.T) {
	if got := VirtualMAC(10, false); got != (packet.MAC{0, 0, 0x5e, 0, 1, 10}) {
		t.Error(got)
	}
	if got := VirtualMAC(255, true); got != (packet.MAC{0, 0, 0x5e, 0, 2, 255}) {
		t.Error(got)
	}
}

func TestCodec_allocates_only_the_address_list(t *testing.T) {
	g := golden[1]
	buf := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { g.adv.Append(buf, g.src, g.dst, false) }); n != 0 {
		t.Errorf("Append allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { Parse(g.src, g.dst, 255, g.bytes) }); n > 1 {
		t.Errorf("Parse allocates %v times", n)
	}
	bad := edit(g.bytes, 7, 0)
	if n := testing.AllocsPerRun(100, func() { Parse(g.src, g.dst, 255, bad) }); n != 0 {
		t.Errorf("Parse allocates %v times for a bad packet", n)
	}
}

// FuzzParse: nothing that arrives can panic; what is good encodes to what came.
func FuzzParse(f *testing.F) {
	for _, g := range golden {
		f.Add(g.src.AsSlice(), g.dst.AsSlice(), uint8(255), g.bytes)
	}
	f.Add([]byte{}, []byte{1}, uint8(0), []byte{0x31})
	f.Fuzz(func(t *testing.T, srcBytes, dstBytes []byte, ttl uint8, b []byte) {
		src, _ := netip.AddrFromSlice(srcBytes)
		dst, _ := netip.AddrFromSlice(dstBytes)
		a, reason := Parse(src, dst, ttl, b)
		if reason >= ReasonUnknown {
			t.Fatalf("Parse gave %v", reason)
		}
		if reason != ReasonNone {
			return
		}
		if ttl != 255 || a.VRID == 0 || a.Interval <= 0 || len(a.Addresses) == 0 {
			t.Fatalf("accepted %+v with TTL %d", a, ttl)
		}
		again, reason := Parse(src, dst, ttl, a.Append(nil, src, dst, a.PlainCSum))
		if reason != ReasonNone || !reflect.DeepEqual(again, a) {
			t.Fatalf("%v: %+v became %+v", reason, a, again)
		}
	})
}
