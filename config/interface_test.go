package config

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// itf returns an interface with more keys.
func itf(name, address, more string) string {
	return fmt.Sprintf("[[interface]]\nname = %q\naddresses = [%q]\n%s\n", name, address, more)
}

func TestBoundsOfRouterAndInterface(t *testing.T) {
	lan := itf("lan", "192.0.2.2/24", "")
	with := func(keys string) string { return itf("lan", "192.0.2.2/24", keys) }
	six := func(keys string) string { return itf("lan", "2001:db8::2/64", keys) }
	for _, tt := range []struct{ text, want string }{
		{"[router]\nworkers = 256\n" + lan, accepted},
		{"[router]\nworkers = 257\n" + lan, "write 0 to 256"},
		{"[router]\nname = \"" + strings.Repeat("r", 63) + "\"\n" + lan, accepted},
		{"[router]\nname = \"" + strings.Repeat("r", 64) + "\"\n" + lan, "write at most 63"},
		{"[router]\nname = \"gw1.example.org\"\n" + lan, accepted},
		{"[router]\nname = \".hidden\"\n" + lan, "first a letter or digit"},
		{"[router]\nrouter_id = \"0.0.0.0\"\n" + lan, "is no router identifier"},
		{"router = 3\n" + lan, "router is the number 3; write a table: [router]"},
		{"[control]\nsocket = \"/" + strings.Repeat("s", 106) + "\"\n" + lan, accepted},
		{"[control]\nsocket = \"/" + strings.Repeat("s", 107) + "\"\n" + lan, "has 108 bytes"},
		{"[control]\nsocket = \"\"\n" + lan, "socket is empty"},
		{"[control]\nsocket = \"/run/\\u0000\"\n" + lan, "zero byte"},
		{"[control]\nsocket = \"r1.sock\"\n" + lan, accepted},

		{with("mtu = 68"), accepted},
		{with("mtu = 67"), "write 68 to 65535"},
		{with("mtu = 65535"), accepted},
		{with("mtu = 0"), "write 68 to 65535"},
		{six("mtu = 1280"), accepted},
		{six("mtu = 1279"), "too small for IPv6"},
		{with("queues = 64"), accepted},
		{with("queues = 0"), "write 1 to 64"},
		{with("device = \"abcdefghijklmno\""), accepted},
		{with("device = \"abcdefghijklmnop\""), "at most 15"},
		{with("device = \"eth0.100\""), accepted},
		{with("device = \"..\""), "is no device"},
		{with("device = \"a b\""), "cannot be the name of a Linux device"},
		{with("mac = \"02-00-5E-10-00-02\""), accepted},
		{with("mac = \"00:00:5e:00:01:01\""), "virtual MAC"},
		{with("mac = \"00:00:5e:00:02:ff\""), "virtual MAC"},
		{with("mac = \"00:00:5e:00:03:01\""), accepted},
		{with("mac = \"00:00:5e:00:52:13:00:01\""), "is no MAC address"},
		{with("mac = \"03:00:00:00:00:01\""), "group address"},
		{with("attach = \"tap\"\nbridge = \"br0\""), accepted},
		{with("bridge = \"br0\""), "needs attach"},

		{itf("lan", "192.0.2.0/31", ""), accepted},
		{itf("lan", "192.0.2.0/32", ""), accepted},
		{itf("lan", "192.0.2.0/30", ""), "network address"},
		{itf("lan", "192.0.2.3/30", ""), "broadcast address of 192.0.2.0/30"},
		{itf("lan", "10.255.255.255/8", ""), "broadcast address of 10.0.0.0/8"},
		{itf("lan", "10.0.255.255/8", ""), accepted},
		{itf("lan", "2001:db8::/127", ""), accepted},
		{itf("lan", "2001:db8::/126", ""), "subnet-router anycast"},
		{itf("lan", "239.255.255.255/32", ""), "multicast"},
		{itf("lan", "240.0.0.0/32", ""), "reserved"},
		{itf("lan", "192.0.2.2/33", ""), "is no address with prefix length"},
	} {
		t.Run(tt.text, func(t *testing.T) { checkError(t, tt.text, tt.want) })
	}
}

func TestPrefixesOfTwoInterfacesDoNotOverlap(t *testing.T) {
	for _, tt := range []struct{ a, b, want string }{
		{"192.0.2.2/24", "198.51.100.2/24", accepted},
		{"192.0.2.2/25", "192.0.2.130/25", accepted},
		{"192.0.2.2/24", "192.0.2.130/25", "f:7: address 192.0.2.130/25 overlaps 192.0.2.2/24"},
		{"192.0.2.130/25", "192.0.2.2/24", "f:7: address 192.0.2.2/24 overlaps 192.0.2.130/25"},
		{"192.0.2.2/24", "192.0.2.2/24", "overlaps"},
		{"2001:db8::2/64", "2001:db8::1:2/112", "overlaps"},
		{"fe80::1/64", "fe80::1/64", accepted},
	} {
		checkError(t, itf("a", tt.a, "")+itf("b", tt.b, ""), tt.want)
	}
}

func TestNextHopsLeadToAnInterface(t *testing.T) {
	base := itf("lan", "192.0.2.2/24", "") + itf("wan", "fe80::2/64", "") +
		"[[interface]]\nname = \"up\"\naddresses = \"host\"\n" +
		"[[vrrp]]\nname = \"v\"\ninterface = \"wan\"\nvrid = 1\naddresses = [\"fe80::9\"]\n"
	route := func(to, via string) string {
		return base + fmt.Sprintf("[[route]]\nto = %q\nvia = [%s]\n", to, via)
	}
	for _, tt := range []struct{ to, via, itf, want string }{
		{"0.0.0.0/0", `"192.0.2.1"`, "lan", accepted},
		{"0.0.0.0/0", `"192.0.2.1%lan"`, "lan", accepted},
		{"0.0.0.0/0", `"203.0.113.1%up"`, "up", accepted},
		{"::/0", `"fe80::1%wan"`, "wan", accepted},
		{"::/0", `"fe80::2%up"`, "up", accepted}, // an own address, but of another link
		{"::/0", `"fe80::9%up"`, "up", accepted}, // virtual, but on another link
		{"::/0", `"fe80::1%lan"`, "lan", accepted},
		{"0.0.0.0/0", `"203.0.113.1"`, "", `name the interface: "203.0.113.1%up"`},
		{"0.0.0.0/0", `"192.0.2.1%wan"`, "", "is outside the prefixes"},
		{"0.0.0.0/0", `"192.0.2.2%up"`, "", "an address of interface \"lan\""},
		{"::/0", `"fe80::9%wan"`, "", "virtual address of \"v\""},
		{"::/0", `"fe80::1"`, "", "name the interface"},
		{"::/0", `"fe80::2%wan"`, "", "an address of interface \"wan\""},
		{"0.0.0.0/0", `"192.0.2.1%"`, "", `interface "" is not defined`},
		{"0.0.0.0/0", many(65, "203.0.113.%d%%up"), "", "at most 64"},
		{"0.0.0.0/0", many(64, "203.0.113.%d%%up"), "up", accepted},
	} {
		checkError(t, route(tt.to, tt.via), tt.want)
		if tt.want == accepted {
			cfg := mustParse(t, route(tt.to, tt.via))
			if hop := cfg.Routes[0].Via[0]; hop.Interface != tt.itf || hop.Address.Zone() != "" {
				t.Errorf("via %s: %+v, want interface %s", tt.via, hop, tt.itf)
			}
		}
	}
}

func TestBroadcast(t *testing.T) {
	for prefix, want := range map[string]string{
		"192.0.2.7/24": "192.0.2.255",
		"10.1.2.3/8":   "10.255.255.255",
		"192.0.2.7/30": "192.0.2.7",
		"192.0.2.7/32": "192.0.2.7",
		"0.0.0.0/0":    "255.255.255.255",
	} {
		if got := broadcast(netip.MustParsePrefix(prefix)); got.String() != want {
			t.Errorf("broadcast(%s) = %s, want %s", prefix, got, want)
		}
	}
}

func TestRouterAdvertisementsNeedARouterToAdvertise(t *testing.T) {
	const text = "[[interface]]\nname = \"lan\"\ndevice = \"eth1\"\naddresses = %s\n[interface.ra]\n"
	const virtual = "[[vrrp]]\nname = \"v\"\ninterface = \"lan\"\nvrid = 1\naddresses = [\"%s\"]\n"
	for _, tt := range []struct{ addresses, virtual, want string }{
		{`"host"`, "", "the addresses are the host's"},
		{`"host"`, "192.0.2.1", "the addresses are the host's"},
		{`"host"`, "fe80::1", accepted},
		{`["192.0.2.2/24"]`, "192.0.2.1", "has no IPv6 address"},
		{`["192.0.2.2/24", "fe80::2/64"]`, "fe80::1", accepted},
		{`["2001:db8:1::2/64"]`, "", accepted},
	} {
		file := fmt.Sprintf(text, tt.addresses)
		if tt.virtual != "" {
			file += fmt.Sprintf(virtual, tt.virtual)
		}
		checkError(t, file, tt.want)
	}
}

func TestAuthenticationIsChecked(t *testing.T) {
	v2 := one("addresses = [\"192.0.2.1\"]\nversion = 2\n")
	for _, tt := range []struct{ text, want string }{
		{v2 + "auth = { type = \"none\", key = \"k\" }\n", "auth has a key and type"},
		{v2 + "auth = { type = \"password\" }\n", "key is missing"},
		{v2 + "auth = { type = \"ah\", key = \"\" }\n", "key is empty"},
		{v2 + "auth = { type = \"md5\", key = \"k\" }\n", `type "md5" is not known`},
		{v2 + "auth = { type = \"password\", key = \"ninebytes\" }\n", "at most 8"},
		{one("addresses = [\"192.0.2.1\"]\nauth = { type = \"ah\", key = \"k\" }\n"), "of version 2 alone"},
	} {
		checkError(t, tt.text, tt.want)
	}
}

func TestBFD(t *testing.T) {
	v2 := one("addresses = [\"192.0.2.1\"]\nversion = 2\n")
	session := func(name, peer string) string {
		return fmt.Sprintf("[[bfd]]\nname = %q\npeer = %q\n", name, peer)
	}
	for _, tt := range []struct{ text, want string }{
		{session("b", "203.0.113.1"), "is in no prefix of an interface"},
		{session("b", "fe80::9"), "write the interface that it is on"},
		{session("b", "fe80::9%wan"), "is not defined"},
		{session("b", "192.0.2.9") + session("c", "192.0.2.9"), "one neighbour has one session"},
		{session("b", "192.0.2.9") + session("b", "192.0.2.10"), "give each its own"},
	} {
		checkError(t, v2+tt.text, tt.want)
	}
	cfg, err := Parse("f", []byte(v2+session("b", "192.0.2.9")))
	if err != nil {
		t.Fatal(err)
	}
	want := BFD{"b", netip.MustParseAddr("192.0.2.9"), BFDTimers{50 * time.Millisecond, 3}}
	if len(cfg.BFD) != 1 || cfg.BFD[0] != want {
		t.Errorf("%+v, want %+v", cfg.BFD, want)
	}
}
