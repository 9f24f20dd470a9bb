package daemon

import (
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"vrouter/hostnet"
	"vrouter/internal/nstest"
	"vrouter/packet"
)

// tool runs a program in a namespace and returns what it says.
func tool(t *testing.T, ns *nstest.NS, input string, words ...string) string {
	t.Helper()
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdin = strings.NewReader(input)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := ns.Do(cmd.Run); err != nil {
		t.Fatalf("%v: %v: %s", words, err, out.String())
	}
	return out.String()
}

// between makes a host on each side of a router whose kernel has the addresses.
func between(t *testing.T) (lan, r, wan *nstest.NS) {
	t.Helper()
	lan, r, wan = nstest.New(t), nstest.New(t), nstest.New(t)
	nstest.Veth(t, lan, "eth0", r, "lan")
	nstest.Veth(t, r, "wan", wan, "eth0")
	lan.Addr(t, "eth0", "192.0.2.10/24")
	r.Addr(t, "lan", "192.0.2.1/24")
	r.Addr(t, "wan", "203.0.113.1/24")
	wan.Addr(t, "eth0", "203.0.113.10/24")
	lan.Route(t, "0.0.0.0/0", "192.0.2.1")
	wan.Route(t, "0.0.0.0/0", "203.0.113.1")
	return lan, r, wan
}

// A socket that holds next to nothing overruns all the time: whatever the kernel
// changes, the router has it in the end, and no packet of others is lost.
func TestAnOverrunCostsNoPacketAndNoRoute(t *testing.T) {
	t.Setenv(roomVariable, "1")
	lan, r, _ := between(t)
	c := spawn(t, r, "[import]\nmirror = true\n")
	await(t, "the LAN host reaches the other side", func() bool {
		cmd := exec.Command("ping", "-c", "1", "-W", "1", "203.0.113.10")
		return lan.Do(cmd.Run) == nil
	})
	stream := make(chan string)
	go func() { stream <- tool(t, lan, "", "ping", "-q", "-i", "0.002", "-c", "1500", "203.0.113.10") }()
	for round := range 4 {
		var b strings.Builder
		for i := range 4000 {
			fmt.Fprintf(&b, "route replace 10.%d.%d.0/24 via 203.0.113.%d\n", i/256, i%256, 20+round)
		}
		tool(t, r, b.String(), "ip", "-batch", "-")
	}
	tool(t, r, "", "ip", "route", "flush", "root", "10.3.0.0/16")
	out := <-stream
	sent, received := 0, 0
	_, results, _ := strings.Cut(out, "statistics ---\n")
	if _, err := fmt.Sscanf(results, "%d packets transmitted, %d received", &sent, &received); err != nil || received < sent-sent/100 {
		t.Errorf("packets were lost: %s", out) // one in a hundred: a machine with other things to do
	}
	t.Logf("%d of %d pings were answered", received, sent)
	want := map[string]string{}
	for i := range 4000 {
		if i/256 != 3 {
			want[fmt.Sprintf("10.%d.%d.0/24", i/256, i%256)] = "203.0.113.23"
		}
	}
	var missing, wrong int
	await(t, "all routes are there", func() bool {
		routes, err := c.client.Routes(t.Context())
		if err != nil {
			return false
		}
		missing, wrong = len(want), 0
		for _, route := range routes {
			if route.Source != "imported" {
				continue
			}
			if via, ok := want[route.Prefix.String()]; ok && route.NextHops[0].Via.String() == via {
				missing--
			} else {
				wrong++
			}
		}
		return missing == 0 && wrong == 0
	})
	counters, err := c.client.Counters(t.Context())
	if err != nil || counters.Control["import_overruns"] == 0 || counters.Control["import_looks"] < 2 {
		t.Errorf("no overrun: %v, %v", counters.Control, err)
	}
	t.Logf("%d overruns, %d looks", counters.Control["import_overruns"], counters.Control["import_looks"])
}

// What is an interface, and what is not.
func TestMirroredDevices(t *testing.T) {
	mac := packet.MAC{2}
	for _, test := range []struct {
		device hostnet.Device
		want   bool
	}{
		{hostnet.Device{Name: "eth1", Ethernet: true, MAC: mac}, true},
		{hostnet.Device{Name: "br0", Kind: "bridge", Ethernet: true, MAC: mac}, true},
		{hostnet.Device{Name: "eth2", Ethernet: true, MAC: mac, Master: 5}, false},
		{hostnet.Device{Name: "red", Kind: "vrf", Ethernet: true, MAC: mac}, false},
		{hostnet.Device{Name: "wg0", Kind: "wireguard"}, false},
		{hostnet.Device{Name: "lo"}, false},
		{hostnet.Device{Name: "vr-wan", Kind: "tun", Ethernet: true, MAC: mac}, false},
	} {
		if got := mirrored(&test.device); got != test.want {
			t.Errorf("%+v: %v", test.device, got)
		}
	}
}

// An interface of the configuration keeps its name and its device; a virtual
// router runs on a device that only the kernel has configured.
func TestAMirrorBesideTheConfiguration(t *testing.T) {
	lan, r, _ := between(t)
	c := spawn(t, r, `
[import]
mirror = true
[[interface]]
name = "inside"
device = "lan"
addresses = ["192.0.2.2/24"]
[[vrrp]]
name = "gw"
interface = "wan"
vrid = 10
addresses = ["203.0.113.254"]
interval = "100ms"
`)
	await(t, "Master", func() bool { return c.state() == "Master" })
	list, err := c.client.Interfaces(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range list {
		names = append(names, i.Name+" "+i.Device+" "+fmt.Sprint(slices.ContainsFunc(i.Addresses, func(p netip.Prefix) bool {
			return p == netip.MustParsePrefix("203.0.113.1/24")
		})))
	}
	if got := strings.Join(names, ", "); got != "inside lan false, wan wan true" {
		t.Error(got)
	}
	if err := c.client.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	lan.Route(t, "203.0.113.0/24", "192.0.2.2") // the router's own address there
	await(t, "the LAN host reaches the other side", func() bool {
		cmd := exec.Command("ping", "-c", "1", "-W", "1", "203.0.113.10")
		return lan.Do(cmd.Run) == nil
	})
}
