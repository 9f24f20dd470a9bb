package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"vrouter/vrrp"
)

// link is an interface of both families for tests; %s is more of it.
const link = `
[[interface]]
name      = "lan"
device    = "eth1"
addresses = ["192.0.2.2/24", "198.51.100.2/25", "2001:db8:1::2/64", "fe80::2/64"]
%s
[[vrrp]]
name      = "v"
interface = "lan"
vrid      = 10
`

func one(more string) string { return fmt.Sprintf(link, "") + more }

// accepted is what a test says of a value: it must parse.
const accepted = ""

// checkError parses a text and compares: want is a part of the only error.
func checkError(t *testing.T, text, want string) {
	t.Helper()
	_, err := Parse("f", []byte(text))
	switch {
	case want == accepted && err != nil:
		t.Errorf("unexpected error: %v", err)
	case want != accepted && err == nil:
		t.Errorf("no error, want %q", want)
	case want != accepted && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n")):
		t.Errorf("got %v\nwant just %q", err, want)
	}
}

func TestTheIntervalIsOneThatTheVersionCanSay(t *testing.T) {
	for _, tt := range []struct {
		version  int
		interval string
		want     string
	}{
		{2, "1s", accepted},
		{2, "255s", accepted},
		{2, "4m15s", accepted},
		{2, "256s", "cannot be said in version 2"},
		{2, "0s", "cannot be said in version 2"},
		{2, "999ms", "cannot be said in version 2"},
		{2, "1500ms", "cannot be said in version 2"},
		{3, "10ms", accepted},
		{3, "0.01s", accepted},
		{3, "40.95s", accepted},
		{3, "40.96s", "cannot be said in version 3"},
		{3, "9ms", "cannot be said in version 3"},
		{3, "0s", "cannot be said in version 3"},
		{3, "-1s", "cannot be said in version 3"},
		{3, "15ms", "cannot be said in version 3"},
		{3, "1", `like interval = "1s"`},
		{3, "1 s", `like interval = "1s"`},
		{3, "99999999h", `like interval = "1s"`},
	} {
		t.Run(fmt.Sprint(tt.version, " ", tt.interval), func(t *testing.T) {
			checkError(t, one(fmt.Sprintf("addresses = [\"192.0.2.1\"]\nversion = %d\ninterval = %q\n", tt.version, tt.interval)), tt.want)
		})
	}
}

func TestThePriorityIs255ExactlyWhereTheAddressesAreOwn(t *testing.T) {
	for _, tt := range []struct {
		addresses string
		priority  int
		want      string
	}{
		{`"192.0.2.2"`, 255, accepted},
		{`"192.0.2.2", "198.51.100.2"`, 255, accepted},
		{`"2001:db8:1::2"`, 255, accepted},            // the link-local one is made
		{`"fe80::1", "2001:db8:1::2"`, 255, accepted}, // or is no address of the interface
		{`"fe80::2", "2001:db8:1::2"`, 255, accepted},
		{`"fe80::2"`, 255, accepted},
		{`"fe80::1"`, 255, "priority 255 is the owner's, but fe80::1"},
		{`"192.0.2.1"`, 255, "priority 255 is the owner's, but 192.0.2.1"},
		{`"192.0.2.2", "192.0.2.1"`, 255, "priority 255 is the owner's, but 192.0.2.1"},
		{`"192.0.2.1"`, 254, accepted},
		{`"192.0.2.1"`, 1, accepted},
		{`"192.0.2.1"`, 0, "priority 0 says"},
		{`"192.0.2.1"`, -1, "priority -1 is out of range"},
		{`"192.0.2.2"`, 254, "priority is 254, but 192.0.2.2 is an address of interface"},
		{`"fe80::2", "2001:db8:1::1"`, 100, "virtual address fe80::2 is interface \"lan\"'s own"},
		{`"192.0.2.2", "192.0.2.1"`, 254, "write addresses that are all its own, or none"},
	} {
		t.Run(fmt.Sprint(tt.addresses, tt.priority), func(t *testing.T) {
			checkError(t, one(fmt.Sprintf("addresses = [%s]\npriority = %d\n", tt.addresses, tt.priority)), tt.want)
		})
	}
}

func TestTheFirstIPv6AddressIsLinkLocal(t *testing.T) {
	made := "fe80::200:5eff:fe00:20a" // of 00:00:5e:00:02:0a
	for _, tt := range []struct {
		written string
		want    []netip.Addr
	}{
		{`"2001:db8:1::1"`, addrs(made, "2001:db8:1::1")},
		{`"2001:db8:1::1", "2001:db8:1::9"`, addrs(made, "2001:db8:1::1", "2001:db8:1::9")},
		{`"fe80::1"`, addrs("fe80::1")},
		{`"fe80::1", "2001:db8:1::1"`, addrs("fe80::1", "2001:db8:1::1")},
		{`"2001:db8:1::1", "2001:db8:1::9", "fe80::1"`, addrs("fe80::1", "2001:db8:1::1", "2001:db8:1::9")},
		{`"2001:db8:1::1", "fe80::1", "fe80::9"`, addrs("fe80::1", "2001:db8:1::1", "fe80::9")},
		{`"192.0.2.9", "192.0.2.1"`, addrs("192.0.2.9", "192.0.2.1")}, // IPv4: as written
	} {
		cfg := mustParse(t, one("addresses = ["+tt.written+"]\n"))
		if got := cfg.VRRP[0].Addresses; !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %s, want %s", tt.written, got, tt.want)
		}
	}
}

// many returns n addresses as elements of a list.
func many(n int, format string) string {
	s := make([]string, n)
	for i := range s {
		s[i] = fmt.Sprintf(format, i+1)
	}
	return `"` + strings.Join(s, `", "`) + `"`
}

func TestAnAdvertisementHoldsAllAddresses(t *testing.T) {
	wide := "[[interface]]\nname = \"lan\"\naddresses = [\"10.0.0.254/16\", \"2001:db8:1::ffff/64\"]\nmtu = %d\n" +
		"[[vrrp]]\nname = \"v\"\ninterface = \"lan\"\nvrid = 1\naddresses = [%s]\n"
	for _, tt := range []struct {
		name      string
		mtu       int
		addresses string
		want      string
	}{
		{"255 of IPv4", 1500, many(255, "10.0.1.%d"), accepted},
		{"256 of IPv4", 1500, many(255, "10.0.1.%d") + `, "10.0.2.1"`, "256 elements"},
		{"254 of IPv6 and the link-local one", 4128, many(254, "2001:db8:1::%x"), accepted},
		{"255 of IPv6 and the link-local one", 9000, many(255, "2001:db8:1::%x"), "256 elements"},
		{"a byte short", 4127, many(254, "2001:db8:1::%x"), "takes 4128 bytes"},
		{"what fits in Ethernet", 1500, many(89, "2001:db8:1::%x"), accepted},
		{"more than fits in Ethernet", 1500, many(91, "2001:db8:1::%x"), "takes 1520 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checkError(t, fmt.Sprintf(wide, tt.mtu, tt.addresses), tt.want)
		})
	}
	// Without mtu, Ethernet's is taken for granted.
	checkError(t, one("addresses = ["+many(91, "2001:db8:1::1:%x")+"]\n"), "takes 1520 bytes")
}

func TestVRIDsAreUniqueOnAnInterfaceAndFamily(t *testing.T) {
	second := func(itf string, vrid int, address string) string {
		return one("addresses = [\"192.0.2.1\"]\n") + fmt.Sprintf(
			"[[interface]]\nname = \"wan\"\naddresses = [\"203.0.113.2/24\"]\n"+
				"[[vrrp]]\nname = \"w\"\ninterface = %q\nvrid = %d\naddresses = [%q]\n", itf, vrid, address)
	}
	checkError(t, second("lan", 10, "192.0.2.9"), `vrid 10 is used for IPv4 on interface "lan" on line 10 too`)
	checkError(t, second("lan", 11, "192.0.2.9"), accepted)
	checkError(t, second("lan", 10, "2001:db8:1::1"), accepted)
	checkError(t, second("wan", 10, "203.0.113.1"), accepted)
	checkError(t, second("lan", 11, "192.0.2.1"), "virtual address 192.0.2.1 belongs to the virtual router with line 11 too")
}

func TestChecksumPlainIsForVersion3OverIPv4(t *testing.T) {
	for _, tt := range []struct{ keys, want string }{
		{"addresses = [\"192.0.2.1\"]\n", accepted},
		{"addresses = [\"192.0.2.1\"]\nversion = 2\n", "for version 3 over IPv4 alone"},
		{"addresses = [\"2001:db8:1::1\"]\n", "for version 3 over IPv4 alone"},
	} {
		checkError(t, one(tt.keys+"checksum = \"plain\"\n"), tt.want)
	}
}

func TestEmptyListsArriveAsNone(t *testing.T) {
	cfg := mustParse(t, fmt.Sprintf(link, "host_tap = false\n")+"addresses = [\"192.0.2.1\"]\ntrack = []\npeers = []\n")
	if cfg.VRRP[0].Peers != nil || cfg.VRRP[0].Track != nil || cfg.Interfaces[0].HostTAP {
		t.Errorf("got %+v, %+v", cfg.VRRP[0], cfg.Interfaces[0])
	}
}

func TestDurationsArriveExactly(t *testing.T) {
	cfg := mustParse(t, one("addresses = [\"192.0.2.1\"]\ninterval = \"40.95s\"\npreempt_delay = \"1m30s\"\ngarp_refresh = \"24h\"\ndrain = \"0s\"\n"))
	want := vrrp.Config{Interval: 40950 * time.Millisecond, PreemptDelay: 90 * time.Second, GARPRefresh: 24 * time.Hour}
	got := cfg.VRRP[0].Config
	if got.Interval != want.Interval || got.PreemptDelay != want.PreemptDelay || got.GARPRefresh != want.GARPRefresh || got.Drain != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestAuthenticationArrives(t *testing.T) {
	for text, want := range map[string]vrrp.Auth{
		"":                         {},
		`auth = { type = "none" }`: {},
		`auth = { type = "password", key = "12345678" }`:                         {Type: vrrp.AuthPassword, Key: "12345678"},
		`auth = { type = "ah", key = "sixteen bytes or more are a key for AH" }`: {Type: vrrp.AuthAH, Key: "sixteen bytes or more are a key for AH"},
	} {
		cfg := mustParse(t, one("addresses = [\"192.0.2.1\"]\nversion = 2\n"+text+"\n"))
		if got := cfg.VRRP[0].Auth; got != want {
			t.Errorf("%s: got %+v", text, got)
		}
	}
}
