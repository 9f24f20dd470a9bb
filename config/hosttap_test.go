package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// tapRouter is a router with three interfaces of its own and a neighbour with
// keys to be filled in.
const tapRouter = `
[[interface]]
name = "lan"
addresses = ["192.0.2.2/24"]

[[interface]]
name = "wan"
addresses = ["203.0.113.2/24", "2001:db8:2::2/64"]

[[interface]]
name = "up"
addresses = ["198.51.100.2/24"]

[[route]]
to = "10.0.0.0/8"
via = ["203.0.113.9"]

[[route]]
to = "10.1.0.0/16"
via = ["198.51.100.9", "203.0.113.9"]

[bgp]
asn = 65001
  [[bgp.neighbor]]
  name = "n"
  asn = 64500
  %s
`

// taps returns the interfaces with a host TAP.
func taps(cfg *Config) string {
	var list []string
	for i := range cfg.Interfaces {
		if cfg.Interfaces[i].HostTAP {
			list = append(list, cfg.Interfaces[i].Name)
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func TestAnInterfaceThatANeighbourIsReachedThroughHasAHostTAP(t *testing.T) {
	for _, tt := range []struct{ keys, want string }{
		{`address = "203.0.113.1"`, "wan"},
		{`address = "2001:db8:2::1"`, "wan"},
		{`address = "fe80::1%up"`, "up"},
		// Beyond the link: from where it is told, else by the most specific route.
		{"address = \"10.1.0.1\"\nmultihop = 2\nlocal_address = \"192.0.2.2\"", "lan"},
		{"address = \"10.0.0.1\"\nmultihop = 2", "wan"},
		{"address = \"10.1.0.1\"\nmultihop = 2", "up wan"},
		// Only BGP may know the way: all that have an address of the family.
		{"address = \"172.16.0.1\"\nmultihop = 2", "lan up wan"},
		{"address = \"2001:db8:9::1\"\nmultihop = 2", "wan"},
	} {
		if got := taps(mustParse(t, fmt.Sprintf(tapRouter, tt.keys))); got != tt.want {
			t.Errorf("%s: host TAPs %q, want %q", tt.keys, got, tt.want)
		}
	}
}

func TestAHostTAPIsAskedFor(t *testing.T) {
	if got := taps(mustParse(t, strings.Replace(minimal, "name", "host_tap = true\nname", 1))); got != "lan" {
		t.Errorf("host TAPs %q", got)
	}
	if got := taps(mustParse(t, minimal)); got != "" {
		t.Errorf("unasked: %q", got)
	}
}

func TestWhereTheKernelKeepsTheAddressesThereIsNoHostTAP(t *testing.T) {
	text := strings.Replace(fmt.Sprintf(tapRouter, `address = "203.0.113.1"`),
		`addresses = ["203.0.113.2/24", "2001:db8:2::2/64"]`, `addresses = "host"`, 1)
	if got := taps(mustParse(t, text)); strings.Contains(got, "wan") {
		t.Errorf("host TAPs %q", got)
	}
}

func TestTheNameOfAHostTAPFitsItsDevice(t *testing.T) {
	long := strings.ReplaceAll(fmt.Sprintf(tapRouter, `address = "203.0.113.1"`), `"wan"`, `"wan-to-isp-one"`)
	checkError(t, long, `the neighbour is reached through interface "wan-to-isp-one", whose addresses the host's kernel gets on a TAP for BGP; its name "vr-wan-to-isp-one" has 17 characters`)
	checkError(t, strings.ReplaceAll(long, "wan-to-isp-one", "wan-to-isp-1"), accepted)
	taken := strings.Replace(fmt.Sprintf(tapRouter, `address = "203.0.113.1"`), `name = "up"`, "name = \"up\"\ndevice = \"vr-wan\"", 1)
	checkError(t, taken, `device "vr-wan" is the name of the host TAP of interface "wan"; choose another`)
}
