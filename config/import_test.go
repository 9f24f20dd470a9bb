package config

import (
	"strings"
	"testing"
)

func TestImport(t *testing.T) {
	const lan = "[[interface]]\nname = \"lan\"\ndevice = \"eth1\"\naddresses = [\"192.0.2.2/24\"]\n"
	for text, want := range map[string]*Import{
		lan:                                    nil,
		lan + "[import]\n":                     nil,
		lan + "[import]\nkernel_table = 100\n": {Table: 100},
		"[import]\nmirror = true\n":            {Table: 254, Mirror: true},
		"[import]\nmirror = true\nkernel_table = 4000000000": {Table: 4000000000, Mirror: true},
	} {
		got := mustParse(t, text).Import
		if (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	checkError(t, lan+"[import]\nkernel_table = 255\n", "kernel_table 255 is the kernel's table of its own addresses; write 254 for the table main")
	checkError(t, "[import]\nkernel_table = 254\n", "there is no [[interface]]")
}

// With mirror = true every device is an interface: other tables name it.
func TestAMirroredDeviceNeedsNoInterface(t *testing.T) {
	cfg := mustParse(t, `
[import]
mirror = true
[[interface]]
name = "wan"
device = "eth7"
addresses = "host"
[[vrrp]]
name = "lan4"
interface = "eth1"
vrid = 10
addresses = ["192.0.2.1"]
track = [ { interface = "eth2", weight = 10 } ]
[[route]]
to = "10.0.0.0/8"
via = ["203.0.113.9%eth1"]
`)
	var names []string
	for _, f := range cfg.Interfaces {
		if !f.HostAddrs || !f.Mirror || f.Attach != AttachPacket || f.Queues != 1 {
			t.Errorf("%+v", f)
		}
		names = append(names, f.Name+"="+f.Device)
	}
	if got := strings.Join(names, " "); got != "wan=eth7 eth1=eth1 eth2=eth2" {
		t.Error(got)
	}
	checkError(t, "[import]\nmirror = true\n[[vrrp]]\nname = \"a\"\nvrid = 1\naddresses = [\"192.0.2.1\"]\ninterface = \"a-device-with-a-long-name\"\n",
		"interface \"a-device-with-a-long-name\" has 25 characters; Linux device names have at most 15")
}

// A next hop that is on no link is fine where a route may lead to it.
func TestANextHopBehindAnotherRoute(t *testing.T) {
	const lan = "[[interface]]\nname = \"lan\"\ndevice = \"eth1\"\naddresses = [\"192.0.2.2/24\"]\n"
	const far = "[[route]]\nto = \"10.0.0.0/8\"\nvia = [\"172.16.0.1\"]\n"
	route := func(to string) string { return "[[route]]\nto = \"" + to + "\"\nvia = [\"192.0.2.9\"]\n" }
	for _, text := range []string{
		lan + far + route("172.16.0.0/24"),
		lan + route("172.16.0.0/24") + far,
		lan + far + "[import]\nkernel_table = 254\n",
		"[import]\nmirror = true\n" + far,
	} {
		cfg := mustParse(t, text)
		for _, r := range cfg.Routes {
			if want := r.To.String() == "10.0.0.0/8"; (r.Via[0].Interface == "") != want {
				t.Errorf("%q: %+v", text, r)
			}
		}
	}
	for _, other := range []string{"", route("0.0.0.0/0"), route("172.17.0.0/16")} {
		checkError(t, lan+far+other, "via 172.16.0.1 is in no prefix of an interface; write a router's address on a link of this one, or a [[route]] to it")
	}
	checkError(t, lan+"[[route]]\nto = \"10.0.0.0/8\"\nvia = [\"10.0.0.1\"]\n", "via 10.0.0.1 is in no prefix of an interface")
}
