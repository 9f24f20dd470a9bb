package config

import (
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// neighborTable is a file with one BGP neighbour and some of its lines.
func neighborTable(lines string) string {
	return one("addresses = [\"192.0.2.1\"]\nversion = 2\n") +
		"[bgp]\nasn = 65001\n[[bgp.neighbor]]\nname = \"n\"\naddress = \"192.0.2.9\"\nasn = 64500\n" + lines
}

func TestBGPErrorsNamePlaceAndRemedy(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{neighborTable("families = []\n"), "families is empty"},
		{neighborTable("follow = \"w\"\n"), `follow "w" is not defined`},
		{neighborTable("hold_time = \"0s\"\n"), `write whole seconds from "3s" to "65535s"`},
		{neighborTable("ttl_security = true\nmultihop = 2\n"), "remove one of them"},
		{neighborTable("route_reflector_client = true\n"), "or write asn = 65001"},
		{neighborTable("import = { max_prefixes = 3 }\n"), "prefixes is missing; add what is accepted to import (RFC 8212)"},
		{neighborTable("export = { prepend = 1 }\n"), "or default_originate = true"},
		{neighborTable("export = { prefixes = [\"192.0.2.0/24\"], prepend_backup = 1 }\n"), `follow = "gw"`},
		{neighborTable("import = { prefixes = [\"10.0.0.0/8 le 7\"] }\n"), `"10.0.0.0/8 ge 8 le 32"`},
		{neighborTable("import = { prefixes = [\"10.0.0.0/8 ge 24 le 16\"] }\n"), "no element of a prefix list"},
		{neighborTable("import = { prefixes = [\"10.0.0.0/8 le\"] }\n"), "no element of a prefix list"},
		{neighborTable("import = { prefixes = [\"10.0.0.1/8 le 24\"] }\n"), `write "10.0.0.0/8"`},
		{neighborTable("import = { prefixes = [\"0.0.0.0/0\"], communities = [\"65536:1\"] }\n"), "is no community"},
		{neighborTable("export = { prefixes = [\"0.0.0.0/0\"], communities = [\"1:2:3:4\"] }\n"), "is no community"},
		{neighborTable("local_address = \"2001:db8::1\"\n"), "of two families"},
		{neighborTable("add_path = { send = 17 }\n"), "send 17 is out of range"},
		{neighborTable("password = \"\"\n"), "password has 0 bytes"},
		{one("addresses = [\"192.0.2.1\"]\nversion = 2\n") + "[bgp]\nasn = 4294967295\n", "write 1 to 4294967294"},
		{one("addresses = [\"192.0.2.1\"]\nversion = 2\n") + "[bgp]\nasn = 1\nmemory_limit = \"12\"\n", `"512MiB" or "2GiB"`},
		{one("addresses = [\"192.0.2.1\"]\nversion = 2\n") + "[bgp]\nasn = 1\napi = \"50051\"\n", "no path of a unix socket"},
	} {
		checkError(t, tt.text, tt.want)
	}
}

func TestNeighborDefaults(t *testing.T) {
	b := mustParse(t, neighborTable("")).BGP
	want := &BGP{ASN: 65001, RestartTime: 2 * time.Minute, Neighbors: []Neighbor{{
		Name: "n", Address: netip.MustParseAddr("192.0.2.9"), ASN: 64500, Multihop: 1, HoldTime: 90 * time.Second,
		GracefulRestart: true, NextHopSelf: true, IPv4: true, Import: Importing{LocalPreference: 100},
	}}}
	if !reflect.DeepEqual(b, want) {
		t.Errorf("got  %+v\nwant %+v", b, want)
	}
}

func TestPrefixLists(t *testing.T) {
	b := mustParse(t, neighborTable(`import = { prefixes = ["0.0.0.0/0", "10.0.0.0/8 le 24", "172.16.0.0/12 ge 16", "2001:db8::/32 ge 40 le 48"] }`)).BGP
	want := []PrefixRange{
		{netip.MustParsePrefix("0.0.0.0/0"), 0, 0},
		{netip.MustParsePrefix("10.0.0.0/8"), 8, 24},
		{netip.MustParsePrefix("172.16.0.0/12"), 16, 32},
		{netip.MustParsePrefix("2001:db8::/32"), 40, 48},
	}
	if got := b.Neighbors[0].Import.Prefixes; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestALinkLocalNeighborNamesItsInterface(t *testing.T) {
	text := one("addresses = [\"192.0.2.1\"]\nversion = 2\n") +
		"[bgp]\nasn = 65001\n[[bgp.neighbor]]\nname = \"n\"\nasn = 64500\naddress = "
	checkError(t, text+`"fe80::1"`, `"fe80::1%wan"`)
	checkError(t, text+`"fe80::1%nowhere"`, `"nowhere" is not defined`)
}
