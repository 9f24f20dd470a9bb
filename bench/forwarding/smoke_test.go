package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vrouter/bench/harness"

	"vrouter/internal/netlab"
)

func TestMain(m *testing.M) {
	becomePinned()
	os.Exit(netlab.Main(m))
}

// TestMeasuresTheKernelAndVrouter is the whole measurement in one short round:
// it shows that packets are counted, not how fast anybody is.
func TestMeasuresTheKernelAndVrouter(t *testing.T) {
	if err := netlab.Unavailable(); err != nil {
		t.Skip(err)
	}
	if testing.Short() {
		t.Skip("half a minute")
	}
	dir := t.TempDir()
	o, err := parseOptions([]string{
		"-routers", packetPort, "-tests", "pps,cost,latency,idle", "-rounds", "1", "-time", "300ms",
		"-o", filepath.Join(dir, "figures"), "-page", filepath.Join(dir, "page.md"), "-picture", filepath.Join(dir, "picture.svg"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var done func()
	if program, done, err = harness.Program(o.binary); err != nil {
		t.Fatal(err)
	}
	defer done()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	rep := newReport(o)
	o.measure(ctx, rep)
	if why := strings.Join(rep.Errors, "\n"); strings.Contains(why, "AF_XDP, by which packets are sent") {
		t.Skip(why)
	} else if why != "" {
		t.Fatal(why)
	}
	for _, name := range []string{kernelKind, packetPort} {
		for id, least := range map[string]float64{"pps1": 1000, "pps10k": 1000, "p50": 0.1, "cost": 1, "slow": 1} {
			if got := rep.Figures[name][id][0]; got < least {
				t.Errorf("%s, %s: %v", name, id, got)
			}
		}
	}
	if _, found := rep.Figures[packetPort]["idle"][0]; !found {
		t.Error("no CPU time of the idle router")
	}
	if err := rep.write(o); err != nil {
		t.Error(err)
	}
}

func TestTheCommandLine(t *testing.T) {
	o, err := parseOptions([]string{"-routers", tapPort + "," + packetPort, "-tests", "tcp,pps"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.routers, []string{kernelKind, packetPort, tapPort}) {
		t.Errorf("the kernel is always there, the others in their order: %v", o.routers)
	}
	if !o.wants("tcp") || !o.wants("pps") || o.wants("ndr") {
		t.Errorf("tests %v", o.tests)
	}
	for _, bad := range [][]string{
		{"-routers", "cisco"}, {"-tests", "speed"}, {"-rounds", "0"}, {"-time", "1ms"}, {"-time", "2h"}, {"more"},
	} {
		if _, err := parseOptions(bad); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}
