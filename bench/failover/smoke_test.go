package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"vrouter/bench/harness"

	"vrouter/internal/netlab"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m)) }

// TestMeasuresAPlannedStop is the whole measurement with one event and one
// repetition: it shows that the meter works, not how good the router is.
func TestMeasuresAPlannedStop(t *testing.T) {
	if err := netlab.Unavailable(); err != nil {
		t.Skip(err)
	}
	if testing.Short() {
		t.Skip("ten seconds")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	o, err := parseOptions([]string{
		"-daemons", "vrouter", "-events", "stop", "-intervals", "100ms", "-repeat", "1",
		"-o", filepath.Join(dir, "figures"), "-page", filepath.Join(dir, "page.md"), "-v",
	})
	if err != nil {
		t.Fatal(err)
	}
	var done func()
	if program, done, err = harness.Program(o.binary); err != nil {
		t.Fatal(err)
	}
	defer done()
	rep := newReport(o)
	jobs := o.jobs(rep)
	// A busy machine may disturb the meter: then there is nothing to judge.
	o.measure(ctx, jobs, rep)
	w := rep.rows[0]
	if len(w.Results) == 0 {
		t.Skipf("the machine is too busy to measure: %v", w.Failures)
	}
	r := w.Results[0]
	if !r.Settled || r.Figures.Sent < 1000 || r.Figures.Gap <= 0 || r.Owners.Asked < 10 || r.Taken <= 0 {
		t.Errorf("implausible: %+v", r)
	}
	if r.Owners.Who[0] == 0 || r.Owners.Who[1] == 0 {
		t.Errorf("both routers were the owner, one after the other: %+v", r.Owners)
	}
	if err := rep.write(o); err != nil {
		t.Error(err)
	}
}
