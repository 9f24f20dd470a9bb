package router

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"vrouter/config"
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
