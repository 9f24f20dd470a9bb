package metrics

import (
	"bytes"
	"flag"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"vrouter/bgp"
	"vrouter/control/controltest"
	"vrouter/router"
	"vrouter/vrrp"
)

var rewrite = flag.Bool("rewrite", false, "write testdata and docs anew")

// example is the status of a gateway in use, with something of everything.
func example() *Status {
	f := controltest.New()
	s := &Status{
		Build: Build{Version: "v1.2.3", Revision: "0123456789ab", GoVersion: "go1.26"}, Router: "r1", Restarts: 2,
		VirtualRouters: f.VirtualRouters, Interfaces: f.InterfaceList, Counters: f.CounterValues,
		Checks: f.CheckList, BFD: f.BFDList, BGP: sessions(),
		Neighbors: []router.NeighborCount{{Interface: "lan", State: "reachable", Neighbors: 7}, {Interface: "wan", State: "stale", Neighbors: 1}},
		Routes:    []router.RouteCount{{Family: "ipv4", Source: "connected", Routes: 2}, {Family: "ipv6", Source: "bgp", Routes: 200000}},
	}
	lan := &s.VirtualRouters[0]
	lan.Contested = &router.ContestedStatus{Kind: vrrp.ContestLesser, Address: netip.MustParseAddr("192.0.2.3")}
	lan.Holding = s.VirtualRouters[2].Holding
	lan.DampedUntil = &lan.Since
	lan.Counters["discarded_ttl"], lan.Counters["flood_received"] = 4, 9
	s.Interfaces[0].RA = &router.RAStatus{Sent: 11}
	s.Interfaces[1].HostTAP = &router.HostTAPStatus{
		Device: "vr-wan", Up: true, ToHost: router.TrafficStatus{Packets: 5, Bytes: 600}, FromHost: router.TrafficStatus{Packets: 4, Bytes: 500, Dropped: 1},
	}
	for key, n := range map[string]uint64{
		"vrrp_ttl": 1, "arp_length": 2, "nd_checksum": 3, "bfd_ttl": 4, "malformed": 5, "spoofed_address": 6, "interface_down": 7,
		"neighbor_moved": 8, "import_changes": 9, "bgp_refused_martian": 10, "bgp_routes": 11, "bgp_routes_spare": 12,
		"hooks_run": 13, "host_tap_refused": 14, "events_not_logged": 15, "flood_questions": 16, "flood_received": 17,
	} {
		s.Counters.Control[key] = n
	}
	h := s.Counters.Timers["vrrp_lateness"]
	h.SumUS = 61_000
	s.Counters.Timers["vrrp_lateness"] = h
	return s
}

func sessions() []bgp.Session {
	return []bgp.Session{
		{
			Name: "isp1", Address: netip.MustParseAddr("203.0.113.1"), ASN: 64500, State: bgp.StateEstablished,
			Since: controltest.Now.Add(-time.Hour), EndOfRIB: true, RouterID: netip.MustParseAddr("203.0.113.1"),
			HoldTimeMS: 90_000, Established: 3, Announces: "master", Interface: "wan",
			Families: []bgp.Family{{Name: "ipv4", Received: 100, Accepted: 90, Rejected: 10, Advertised: 2}, {Name: "ipv6", Received: 7, Accepted: 7}},
		},
		{Name: "isp2", Address: netip.MustParseAddr("203.0.113.9"), ASN: 64501, State: bgp.StateActive, LastError: "connection refused", Stale: true},
	}
}

// exposition returns a status' metrics as Prometheus reads them.
func exposition(t *testing.T, s *Status) string {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(NewCollector(s)); err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusOK {
		t.Fatalf("%d: %s", answer.Code, answer.Body)
	}
	return answer.Body.String()
}

func TestMetricsAreNamedAsPrometheusWants(t *testing.T) {
	for _, s := range []*Status{example(), {}} {
		problems, err := testutil.CollectAndLint(NewCollector(s))
		if err != nil {
			t.Fatal(err)
		}
		report(t, problems)
	}
	problems, err := testutil.GatherAndLint(Gather(NewProcessRegistry(), example()))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "vrouter_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func report(t *testing.T, problems []promlint.Problem) {
	t.Helper()
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestExpositionIsTheGoldenOne(t *testing.T) {
	golden(t, "testdata/exposition.txt", exposition(t, example()))
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, []byte(got)) {
		t.Errorf("%s differs; go test ./metrics -rewrite writes it anew. Now it is:\n%s", file, got)
	}
}

// TestEveryMetricHasASeries: a family of the table that no status fills would be
// a promise without anything behind it.
func TestEveryMetricHasASeries(t *testing.T) {
	s := example()
	s.Counters.Control["new_counter"] = 1
	s.VirtualRouters[0].Counters["new_counter"] = 1
	out := exposition(t, s)
	seen := map[string]bool{}
	for _, m := range All() {
		if seen[m.Name] {
			t.Errorf("%s is twice in the table", m.Name)
		}
		seen[m.Name] = true
		if !strings.Contains(out, "# TYPE "+m.Name+" "+m.Type+"\n") {
			t.Errorf("%s has no series, or is no %s", m.Name, m.Type)
		}
		if !strings.HasSuffix(m.Help, ".") {
			t.Errorf("the help of %s is no sentence", m.Name)
		}
	}
}

func TestGatherIsOfOneMoment(t *testing.T) {
	s := example()
	g := Gather(NewProcessRegistry(), s)
	first, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	s.Restarts = 77 // which nobody does: a status does not change
	second, err := g.Gather()
	if err != nil || len(first) != len(second) || first[0] != second[0] {
		t.Errorf("gathered anew: %v", err)
	}
	names := map[string]bool{}
	for _, f := range first {
		names[f.GetName()] = true
	}
	for _, want := range []string{"vrouter_vrrp_state", "go_goroutines", "process_cpu_seconds_total"} {
		if !names[want] {
			t.Errorf("no %s", want)
		}
	}
}

func TestHistogramsAreCumulative(t *testing.T) {
	d := distribution([]int64{50, 100}, []uint64{3, 2, 1}, 0.5, 1e6)
	if d.count != 6 || d.value != 0.5 || d.buckets[50e-6] != 3 || d.buckets[100e-6] != 5 || len(d.buckets) != 2 {
		t.Errorf("%+v", d)
	}
}

func TestCountersOfTheControlPlaneHaveTheirMetric(t *testing.T) {
	for name, want := range map[string]string{
		"vrrp_unknown_virtual_router":   discardedFrames + " vrrp unknown_virtual_router",
		"nd_length":                     discardedFrames + " nd length",
		"neighbor_moved":                "vrouter_neighbor_events_total moved",
		"bgp_refused_no_room":           "vrouter_bgp_refused_routes_total no_room",
		"bgp_routes":                    "vrouter_bgp_routes",
		"bgp_routes_spare":              "vrouter_bgp_spare_routes",
		"flood_questions":               "vrouter_vrrp_flood_questions_total",
		"flood_received":                "",
		"something_else":                otherCounters + " something_else",
		"malformed":                     discardedFrames + " any malformed",
		"malformed_otherwise_than_that": otherCounters + " malformed_otherwise_than_that",
	} {
		metric, labels := rule(name)
		if got := strings.TrimSpace(metric + " " + strings.Join(labels, " ")); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
