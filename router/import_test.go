package router

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vrouter/config"
	"vrouter/packet"
	"vrouter/rib"
)

// kernel takes a route of the kernel: kernel PREFIX via=ADDRESS%DEVICE,...
// metric= protocol= type=; gone=yes. A via without an address is the link.
func (s *script) kernel(w words) {
	k := KernelRoute{
		Prefix: netip.MustParsePrefix(w.plain[0]), Metric: uint32(w.number("metric", "0")),
		Protocol: uint8(w.number("protocol", "12")), Gone: w.value("gone", "") != "",
		Type: map[string]rib.Type{"": rib.Unicast, "blackhole": rib.Blackhole, "unreachable": rib.Unreachable}[w.value("type", "")],
	}
	for _, hop := range strings.Split(w.value("via", ""), ",") {
		address, device, _ := strings.Cut(hop, "%")
		h := KernelHop{Device: device}
		if address != "" {
			h.Via = netip.MustParseAddr(address)
		}
		if hop != "" {
			k.Hops = append(k.Hops, h)
		}
	}
	s.turn(s.router.KernelRoutes(s.now, []KernelRoute{k}))
}

// importer is a router with two interfaces that imports routes.
func importer(t *testing.T) (*Router, time.Time) {
	t.Helper()
	cfg, err := config.Parse("test", []byte(`
[[interface]]
name = "lan"
device = "eth1"
addresses = ["192.0.2.2/24"]
[[interface]]
name = "wan"
device = "eth2"
addresses = ["203.0.113.2/24"]
[import]
kernel_table = 254
`))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1e9, 0)
	r := New(cfg, 1)
	r.Start(now)
	for port := range uint16(2) {
		r.PortChanged(now, port, PortState{Present: true, Up: true, MTU: 1500, MAC: [6]byte{2, 0, 0, 0, 1, byte(port)}})
	}
	return r, now
}

// events returns the events among actions, each as "from to reason".
func importEvents(actions []Action) (list []string) {
	for _, a := range actions {
		if n, ok := a.(Notice); ok && n.Event.Kind == "import" {
			list = append(list, n.Event.From+" "+n.Event.To)
		}
	}
	return list
}

func TestHowTheKernelIsFollowedIsTold(t *testing.T) {
	r, now := importer(t)
	for _, step := range []struct {
		status ImportStatus
		want   string
	}{
		{ImportStatus{Synced: true, Routes: 3, Looks: 1}, "starting synced"},
		{ImportStatus{Synced: true, Routes: 9, Looks: 1}, ""},
		{ImportStatus{Routes: 9, Looks: 1, Overruns: 1}, "synced resyncing"},
		{ImportStatus{Synced: true, Routes: 8, Looks: 2, Overruns: 1}, "resyncing synced"},
		{ImportStatus{Synced: true, Looks: 2, Overruns: 1, Problem: "no buffer space available"}, "synced failed"},
	} {
		if got := strings.Join(importEvents(r.ImportStatus(now, step.status)), ", "); got != step.want {
			t.Errorf("%+v: %q, want %q", step.status, got, step.want)
		}
	}
	if m := r.ControlCounters(); m["import_overruns"] != 1 || m["import_looks"] != 2 {
		t.Errorf("%v", m)
	}
}

func TestAnImportedRouteSaysWhoMadeIt(t *testing.T) {
	r, now := importer(t)
	hops := []KernelHop{{netip.MustParseAddr("203.0.113.1"), "eth2"}}
	r.KernelRoutes(now, []KernelRoute{
		{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Protocol: 12, Hops: hops},
		{Prefix: netip.MustParsePrefix("10.1.0.0/16"), Protocol: 99, Hops: hops},
	})
	want := map[string]string{"10.0.0.0/8": "bird", "10.1.0.0/16": "99"}
	for _, route := range r.RoutesInUse() {
		if name, ok := want[route.Prefix.String()]; ok != (route.Source == "imported") || route.Protocol != name {
			t.Errorf("%+v", route)
		}
		if route.Source == "imported" && route.Distance != 110 || route.Source == "connected" && route.Distance != 0 {
			t.Errorf("%+v", route)
		}
	}
}

// A configuration with another [import] cannot be taken over while it runs.
func TestImportNeedsARestart(t *testing.T) {
	r, now := importer(t)
	cfg := *r.cfg
	cfg.Import = nil
	if _, err := r.Reconfigure(now, &cfg); err == nil || !strings.Contains(err.Error(), "[import]") {
		t.Fatal(err)
	}
}

// mirrorOf is a router that runs and has no interface but what SetInterface
// gives it.
func mirrorOf(t *testing.T) (*Router, time.Time) {
	t.Helper()
	cfg, err := config.Parse("test", []byte("[import]\nmirror = true\n"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1e9, 0)
	r := New(cfg, 1)
	r.Start(now)
	return r, now
}

func deviceOf(name string) *config.Interface {
	return &config.Interface{Name: name, Device: name, Attach: config.AttachPacket, Queues: 1, HostAddrs: true, Mirror: true}
}

func upWith(last byte, addresses ...string) PortState {
	s := PortState{Present: true, Up: true, MTU: 1500, MAC: packet.MAC{2, 0, 0, 0, 1, last}}
	for _, a := range addresses {
		s.KernelAddresses = append(s.KernelAddresses, netip.MustParsePrefix(a))
	}
	return s
}

// used writes the routes in use that are not broadcasts: prefix, what, where.
func used(r *Router) (list []string) {
	for _, route := range r.RoutesInUse() {
		text := route.Prefix.String() + " " + route.Source + " " + route.Type
		for _, h := range route.NextHops {
			text += " " + strings.TrimPrefix(h.Via.String(), "invalid IP") + "@" + h.Interface
		}
		if route.Type != "broadcast" {
			list = append(list, text)
		}
	}
	return list
}

func wantRoutes(t *testing.T, r *Router, want ...string) {
	t.Helper()
	if got := used(r); strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("routes:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestInterfacesComeAndGoWithTheirDevices(t *testing.T) {
	r, now := mirrorOf(t)
	r.SetInterface(now, 0, deviceOf("eth1"))
	r.PortChanged(now, 0, upWith(1, "192.0.2.1/24"))
	r.SetInterface(now, 1, deviceOf("eth2"))
	r.PortChanged(now, 1, upWith(2, "203.0.113.1/24", "10.6.0.1/32"))
	route := KernelRoute{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Hops: []KernelHop{{netip.MustParseAddr("203.0.113.9"), "eth2"}}}
	r.KernelRoutes(now, []KernelRoute{route})
	wantRoutes(t, r,
		"10.0.0.0/8 imported unicast 203.0.113.9@eth2", "10.6.0.1/32 local local @eth2",
		"192.0.2.0/24 connected unicast @eth1", "192.0.2.1/32 local local @eth1",
		"203.0.113.0/24 connected unicast @eth2", "203.0.113.1/32 local local @eth2")

	r.SetInterface(now, 1, &config.Interface{HostAddrs: true, Mirror: true}) // the device has gone
	wantRoutes(t, r, "192.0.2.0/24 connected unicast @eth1", "192.0.2.1/32 local local @eth1")
	if p := r.Snapshot().Ports[1]; p.Up {
		t.Errorf("%+v", p)
	}
	r.KernelRoutes(now, []KernelRoute{route}) // still in the kernel for a moment, by no device
	wantRoutes(t, r, "10.0.0.0/8 imported unreachable",
		"192.0.2.0/24 connected unicast @eth1", "192.0.2.1/32 local local @eth1")

	r.SetInterface(now, 1, deviceOf("eth9")) // another one with its number
	r.PortChanged(now, 1, upWith(9, "198.51.100.1/24"))
	route.Hops = []KernelHop{{netip.MustParseAddr("198.51.100.7"), "eth9"}}
	r.KernelRoutes(now, []KernelRoute{route})
	wantRoutes(t, r, "10.0.0.0/8 imported unicast 198.51.100.7@eth9",
		"192.0.2.0/24 connected unicast @eth1", "192.0.2.1/32 local local @eth1",
		"198.51.100.0/24 connected unicast @eth9", "198.51.100.1/32 local local @eth9")
}

func TestAddressesOfTheHostThatAreOnNoInterface(t *testing.T) {
	r, now := mirrorOf(t)
	r.SetInterface(now, 0, deviceOf("eth1"))
	r.PortChanged(now, 0, upWith(1, "192.0.2.1/24"))
	list := func(addresses ...string) (all []netip.Addr) {
		for _, a := range addresses {
			all = append(all, netip.MustParseAddr(a))
		}
		return all
	}
	r.HostAddresses(now, list("127.0.0.1", "10.255.0.1", "fe80::1", "192.0.2.1"))
	wantRoutes(t, r, "10.255.0.1/32 local local", "192.0.2.0/24 connected unicast @eth1", "192.0.2.1/32 local local @eth1")
	r.HostAddresses(now, list("10.255.0.2"))
	wantRoutes(t, r, "10.255.0.2/32 local local", "192.0.2.0/24 connected unicast @eth1", "192.0.2.1/32 local local @eth1")
	r.HostAddresses(now, nil)
	wantRoutes(t, r, "192.0.2.0/24 connected unicast @eth1", "192.0.2.1/32 local local @eth1")
}

// A kernel that forwards itself, and cannot be kept from it, is left alone; the
// router takes it back.
func TestTheRouterStandsBackForAKernelThatForwards(t *testing.T) {
	r, now := mirrorOf(t)
	r.SetInterface(now, 0, deviceOf("eth1"))
	transit := func() bool { return r.Snapshot().Ports[0].Transit }
	if !transit() {
		t.Fatal("a mirrored interface does not forward")
	}
	if got := importEvents(r.KernelForwards(now, "it cannot be kept from it")); len(got) != 1 || got[0] != "vrouter kernel" || transit() {
		t.Errorf("%v, %v", got, transit())
	}
	if got := importEvents(r.KernelForwards(now, "")); len(got) != 1 || got[0] != "kernel vrouter" || !transit() {
		t.Errorf("%v, %v", got, transit())
	}
}

// Whatever devices, addresses and routes come and go in whatever order, no route
// leads to an interface that is not there, and all is gone in the end.
func TestAMirrorThroughRandomChanges(t *testing.T) {
	for seed := range uint64(150) {
		random := rand.New(rand.NewPCG(seed, 5))
		r, now := mirrorOf(t)
		names := []string{"", "", "", ""} // by port
		prefix := func() netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(random.IntN(4)), byte(random.IntN(2)), 0}), []int{8, 16, 24}[random.IntN(3)]).Masked()
		}
		host := func() netip.Addr {
			return netip.AddrFrom4([4]byte{10, byte(random.IntN(4)), byte(random.IntN(2)), byte(1 + random.IntN(5))})
		}
		known := map[string]KernelRoute{}
		for range 120 {
			now = now.Add(time.Duration(random.IntN(100)) * time.Millisecond)
			port := random.IntN(min(len(names), len(r.ifaces)+1))
			switch random.IntN(7) {
			case 0:
				name := []string{"", "eth1", "eth2", "eth3", "eth4"}[random.IntN(5)]
				if name == "" || !slices.Contains(names, name) {
					names[port] = name
					r.SetInterface(now, uint16(port), deviceOf(name))
				}
			case 1, 2:
				if port < len(r.ifaces) && names[port] != "" {
					s := upWith(byte(port), netip.PrefixFrom(host(), 24).String())
					s.Up = random.IntN(4) > 0
					r.PortChanged(now, uint16(port), s)
				}
			case 3, 4:
				k := KernelRoute{Prefix: prefix(), Metric: uint32(random.IntN(2)), Type: []rib.Type{rib.Unicast, rib.Unicast, rib.Blackhole}[random.IntN(3)]}
				for range random.IntN(3) {
					k.Hops = append(k.Hops, KernelHop{host(), names[random.IntN(len(names))]})
				}
				k.Gone = random.IntN(4) == 0
				r.KernelRoutes(now, []KernelRoute{k})
				if known[fmt.Sprint(k.Prefix, k.Metric)] = k; k.Gone {
					delete(known, fmt.Sprint(k.Prefix, k.Metric))
				}
			case 5:
				r.HostAddresses(now, []netip.Addr{host(), host()})
			case 6:
				r.Advance(now)
			}
			checkMirror(t, seed, r, names)
		}
		for _, k := range known {
			k.Gone = true
			r.KernelRoutes(now, []KernelRoute{k})
		}
		r.HostAddresses(now, nil)
		for port := range r.ifaces {
			r.SetInterface(now, uint16(port), &config.Interface{HostAddrs: true})
		}
		if left := r.RoutesInUse(); len(left) > 0 || len(r.kept) > 0 {
			t.Fatalf("seed %d: %+v, %v are left", seed, left, r.kept)
		}
	}
}

// checkMirror tests what a snapshot must be, whatever came before.
func checkMirror(t *testing.T, seed uint64, r *Router, names []string) {
	t.Helper()
	up := map[string]bool{}
	for _, f := range r.ifaces {
		up[f.cfg.Name] = f.state.Up
	}
	for _, route := range r.RoutesInUse() {
		for _, h := range route.NextHops {
			if h.Interface == "" || !slices.Contains(names, h.Interface) || route.Source != "local" && !up[h.Interface] {
				t.Fatalf("seed %d: %+v leads nowhere", seed, route)
			}
		}
	}
	s := r.Snapshot()
	if len(s.Ports) != len(r.ifaces) {
		t.Fatalf("seed %d: %d ports of %d", seed, len(s.Ports), len(r.ifaces))
	}
	for i := range s.Ports {
		if up := s.Ports[i].Up; up && names[i] == "" {
			t.Fatalf("seed %d: port %d is up without a device", seed, i)
		}
	}
}
