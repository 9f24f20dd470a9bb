package bgp

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"reflect"
	"slices"
	"testing"
)

func route(prefix string, external bool, hops ...string) Route {
	r := Route{Prefix: netip.MustParsePrefix(prefix), External: external}
	for _, h := range hops {
		r.Hops = append(r.Hops, netip.MustParseAddr(h))
	}
	return r
}

var samples = []Route{
	route("0.0.0.0/0", true, "203.0.113.1"),
	route("198.51.100.0/23", false, "203.0.113.1", "203.0.113.5"),
	route("192.0.2.129/32", true),
	route("::/0", true, "2001:db8::1"),
	route("2001:db8:8000::/33", true, "fe80::1%wan", "2001:db8::2"),
	route("10.0.0.0/7", true, "2001:db8::1"),
	told(route("198.51.100.0/24", true, "203.0.113.1", "203.0.113.5"), 7, 0xffffffff),
	spared(route("198.51.100.0/25", true, "203.0.113.1"), false, "2001:db8::7"),
	spared(route("2001:db8:7::/48", false), true, "fe80::1%wan", "203.0.113.9"),
	spared(told(route("192.0.2.0/24", false, "203.0.113.1"), 9), true, "203.0.113.2"),
}

// told has the hops come from neighbours.
func told(r Route, from ...uint32) Route {
	r.From = from
	return r
}

// spared adds a spare route, from neighbour 5.
func spared(r Route, external bool, hops ...string) Route {
	r.Spare = Spare{External: external, From: slices.Repeat([]uint32{5}, len(hops))}
	for _, h := range hops {
		r.Spare.Hops = append(r.Spare.Hops, netip.MustParseAddr(h))
	}
	return r
}

func TestSpareRoutesByteByByte(t *testing.T) {
	want := "" +
		"0000001b" + "01" +
		"0e" + "18" + "01" + // external IPv4, who it is from, a spare; /24, one hop
		"c00002" +
		"00" + "cb007101" + "00000009" + // 203.0.113.1 from 9
		"04" + "01" + // the spare: internal, who it is from, one hop
		"00" + "cb007102" + "00000005"
	got := AppendRoutes(nil, []Route{spared(told(route("192.0.2.0/24", true, "203.0.113.1"), 9), false, "203.0.113.2")})
	if hex.EncodeToString(got) != want {
		t.Errorf("got  %x\nwant %s", got, want)
	}
}

// The number of a neighbour is the same in every process and for ever: FNV-1a.
func TestNumbersOfNeighbors(t *testing.T) {
	for name, want := range map[string]uint32{"": 0x811c9dc5, "a": 0xe40c292c, "foobar": 0xbf9cf968} {
		if got := NeighborID(name); got != want {
			t.Errorf("%q: %#x, want %#x", name, got, want)
		}
	}
}

func TestRoutesByteByByte(t *testing.T) {
	want := "" +
		"0000002a" + "01" + // length of what follows, KindRoutes
		"02" + "00" + "01" + // external IPv4, length 0, one hop
		"00" + "cb007101" + // 203.0.113.1
		"01" + "21" + "01" + // IPv6, length 33, one hop
		"20010db880" + // five bytes are enough
		"03" + "fe800000000000000000000000000001" + // link-local with a zone
		"03" + "77616e" + // wan
		"02" + "08" + "00" + "0a" // 10.0.0.0/8 is no more
	got := AppendRoutes(nil, []Route{samples[0], route("2001:db8:8000::/33", false, "fe80::1%wan"), route("10.0.0.0/8", true)})
	if hex.EncodeToString(got) != want {
		t.Errorf("got  %x\nwant %s", got, want)
	}
}

func TestRoutesComeBackAsTheyWere(t *testing.T) {
	b := AppendRoutes([]byte("before"), samples)[len("before"):]
	k, n, err := ParseHeader([HeaderLen]byte(b[:HeaderLen]))
	if err != nil || k != KindRoutes || n != len(b)-HeaderLen {
		t.Fatalf("header: kind %d, %d bytes, %v; want %d bytes", k, n, err, len(b)-HeaderLen)
	}
	got, err := ParseRoutes(b[HeaderLen:], nil)
	if err != nil || !reflect.DeepEqual(got, samples) {
		t.Errorf("got %v, %v\nwant %v", got, err, samples)
	}
}

func TestMalformedRoutesAreRefused(t *testing.T) {
	for what, text := range map[string]string{
		"half a route":        "0208",
		"unknown flag":        "10000000",
		"from, of no hop":     "06080000" + "0a",
		"half a from":         "060801" + "0a" + "00cb007101" + "0000",
		"spare missing":       "0a0800" + "0a",
		"spare without a hop": "0a0800" + "0a" + "0200",
		"spare's flag":        "0a0800" + "0a" + "0801" + "00cb007101",
		"spare's hops":        "0a0800" + "0a" + "0221",
		"length beyond IPv4":  "022100c0000200",
		"length beyond IPv6":  "038100",
		"host bits in a byte": "020700" + "0b",
		"hops missing":        "020801" + "0a",
		"half a hop":          "020801" + "0a" + "00cb00",
		"flag of a hop":       "020801" + "0a" + "04cb007101",
		"zone of IPv4":        "020801" + "0a" + "02cb007101" + "0177",
		"empty zone":          "020801" + "0a" + "03fe800000000000000000000000000001" + "00",
		"zone cut off":        "020801" + "0a" + "03fe800000000000000000000000000001" + "0577",
		"mapped hop":          "020801" + "0a" + "0100000000000000000000ffffcb007101",
		"mapped prefix":       "036000" + "00000000000000000000ffff",
		"33 hops":             "020821" + "0a",
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseRoutes(b, nil); err == nil {
			t.Errorf("%s: taken as %v", what, got)
		}
	}
	if _, err := ParseRoutes(bytes.Repeat([]byte{2, 0, 0}, RoutesMax+1), nil); err == nil {
		t.Errorf("%d routes in one message are taken", RoutesMax+1)
	}
}

func TestHeadersOfNoMessageAreRefused(t *testing.T) {
	for _, h := range [][HeaderLen]byte{
		{0, 0, 0, 0, 1},             // not even a kind
		{0xff, 0xff, 0xff, 0xff, 1}, // more than anybody keeps
		{0, 0, 0, 1, 0},             // kinds that there are not
		{0, 0, 0, 1, byte(KindEnd) + 1},
	} {
		if _, _, err := ParseHeader(h); err == nil {
			t.Errorf("%v is taken", h)
		}
	}
}

func TestNumberedMessages(t *testing.T) {
	b := AppendNumbered(nil, KindQuery, 7, []byte("{}"))
	number, rest, err := ParseNumbered(b[HeaderLen:])
	if err != nil || number != 7 || string(rest) != "{}" {
		t.Errorf("got %d, %s, %v", number, rest, err)
	}
	if _, _, err := ParseNumbered([]byte{1, 2, 3}); err == nil {
		t.Error("half a number is taken")
	}
}

// FuzzParseRoutes: whatever is taken is what AppendRoutes makes of it again.
func FuzzParseRoutes(f *testing.F) {
	f.Add(AppendRoutes(nil, samples)[HeaderLen:])
	f.Fuzz(func(t *testing.T, body []byte) {
		routes, err := ParseRoutes(body, nil)
		if err != nil {
			return
		}
		if again := AppendRoutes(nil, routes)[HeaderLen:]; !bytes.Equal(again, body) {
			t.Errorf("%x\nbecomes %x", body, again)
		}
	})
}
