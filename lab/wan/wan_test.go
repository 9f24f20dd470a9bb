package wan

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vrouter/internal/netlab"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m)) }

// inDir makes the scenario put its files below a directory of the test, and
// returns what is left of them.
func inDir(t *testing.T) (left func() []string) {
	t.Helper()
	if err := netlab.Unavailable(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	// FRR's programs give root up and must find the way to their files.
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	return func() []string {
		names, err := filepath.Glob(dir + "/*")
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
}

// scenario runs it up to three times, until each step was well once: a machine
// that others use stands still now and then, also without showing it, and BFD
// fails then.
func scenario(t *testing.T, o Options, providers string) {
	t.Helper()
	if testing.Short() {
		t.Skip("a minute")
	}
	left := inDir(t)
	o.Binary = filepath.Join(t.TempDir(), "vrouter")
	if out, err := exec.Command("go", "build", "-o", o.Binary, "vrouter/cmd/vrouter").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	unwell := map[string]string{} // what is still missing of a step, by its title
	for run := range 3 {
		var b bytes.Buffer
		o.Out = &b
		report, err := tell(context.Background(), o)
		t.Logf("%s%s", &b, report)
		if err != nil {
			t.Fatal(err)
		}
		if names := left(); len(names) > 0 {
			t.Fatalf("left behind: %v", names)
		}
		if !strings.Contains(b.String(), providers) {
			t.Fatalf("want %q", providers)
		}
		if add(unwell, report, run == 0); len(unwell) == 0 {
			return
		}
	}
	for title, why := range unwell {
		if why != "" {
			t.Errorf("%s: %s", title, why)
		}
	}
	if !t.Failed() {
		t.Skip("the machine stood still in each of three runs")
	}
}

// add takes note of a run: of steps that were well, and of why others were not;
// "" where nothing can be said.
func add(unwell map[string]string, r *report, first bool) {
	for i := range r.results {
		e := &r.results[i]
		_, before := unwell[e.title]
		switch verdict := e.verdict(); {
		case verdict == "ok":
			delete(unwell, e.title)
		case !first && !before: // it was well already
		case verdict == "MISSED":
			unwell[e.title] = e.missed()
		case !before:
			unwell[e.title] = ""
		}
	}
}

// A step is not well where it was missed each time, as far as can be said.
func TestRunsAreTakenTogether(t *testing.T) {
	well := result{step: step{title: "cut", bound: 400 * ms}}
	missed, stalled := well, well
	missed.loss[out4] = lost(900, 900*ms, 0)
	stalled.loss[out4] = lost(900, 900*ms, stall)
	const none = "none"
	for _, test := range []struct {
		runs []result
		want string
	}{
		{[]result{well}, none},
		{[]result{missed, well}, none},
		{[]result{well, missed}, none},
		{[]result{stalled, well}, none},
		{[]result{stalled, stalled}, ""},
		{[]result{stalled, missed}, missed.missed()},
		{[]result{missed, stalled}, missed.missed()},
	} {
		unwell := map[string]string{}
		for i, one := range test.runs {
			add(unwell, &report{results: []result{one}}, i == 0)
		}
		why, is := unwell["cut"]
		if !is {
			why = none
		}
		if why != test.want {
			t.Errorf("%v: %q, want %q", test.runs, why, test.want)
		}
	}
}

// program writes a shell script in place of vrouter.
func program(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vrouter")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAProviderThatEndsAtOnceIsNamed(t *testing.T) {
	left := inDir(t)
	var out bytes.Buffer
	err := run(context.Background(), Options{Out: &out, Plain: true, Binary: program(t, "echo no such device >&2; exit 1")})
	if err == nil || !strings.Contains(err.Error(), "of net ended: exit status 1") || !strings.Contains(err.Error(), "no such device") {
		t.Errorf("error %v", err)
	}
	if names := left(); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestAnInterruptedScenarioLeavesNothing(t *testing.T) {
	left := inDir(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	// A provider that is ready at once, and nothing ever established.
	script := `conf=$3; trap '' TERM; touch "$(sed -n 's/^socket = "\(.*\)"/\1/p' "$conf")"; while :; do sleep 1; done`
	var out bytes.Buffer
	err := run(ctx, Options{Out: &out, Plain: true, Binary: program(t, script)})
	if !errors.Is(err, errInterrupted) {
		t.Errorf("ended with %v\n%s", err, &out)
	}
	if names := left(); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

// TestTwoProviders is the scenario with BIRD and FRR.
func TestTwoProviders(t *testing.T) {
	for _, k := range []kind{bird, frr} {
		if _, missing := find(k.needs); missing {
			t.Skipf("%s is not installed", k.name)
		}
		if k.root && netlab.SingleUser() {
			t.Skipf("%s changes to a user of its own, which needs root outside", k.name)
		}
	}
	if !canBlock() {
		t.Skip("nft is not installed")
	}
	scenario(t, Options{}, "isp1 is BIRD, isp2 is FRR")
}

// TestWithoutOtherDaemons is the scenario on a machine where neither BIRD nor FRR
// is installed: what a newcomer sees.
func TestWithoutOtherDaemons(t *testing.T) {
	scenario(t, Options{Plain: true}, "isp1 is vrouter, isp2 is vrouter")
}
