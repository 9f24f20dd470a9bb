package demo

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

// inDir makes the demo put its files below a directory of the test, and
// returns a check that nothing of them is left.
func inDir(t *testing.T) (left func() []string) {
	t.Helper()
	if err := netlab.Unavailable(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	return func() []string {
		names, err := filepath.Glob(dir + "/*")
		if err != nil {
			t.Fatal(err)
		}
		return names
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

// The whole demo, with the program as it is.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute")
	}
	left := inDir(t)
	binary := filepath.Join(t.TempDir(), "vrouter")
	if out, err := exec.Command("go", "build", "-o", binary, "vrouter/cmd/vrouter").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var out bytes.Buffer
	start := time.Now()
	err := run(context.Background(), Options{Out: &out, Binary: binary})
	if err != nil || !strings.Contains(out.String(), "PASSED") {
		t.Errorf("%v\n%s", err, &out)
	}
	if took := time.Since(start); took > 60*time.Second {
		t.Errorf("the demo took %v", took)
	}
	if names := left(); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestDemoTellsHowARouterEnded(t *testing.T) {
	left := inDir(t)
	var out bytes.Buffer
	err := run(context.Background(), Options{Out: &out, Binary: program(t, "echo no such device >&2; exit 1")})
	if err == nil || !strings.Contains(err.Error(), "r1 ended by itself (exit status 1)") {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(out.String(), "no such device") || !strings.Contains(out.String(), "FAILED") {
		t.Errorf("the log is not shown:\n%s", &out)
	}
	if names := left(); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestInterruptedDemoLeavesNothing(t *testing.T) {
	left := inDir(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var out bytes.Buffer
	err := run(ctx, Options{Out: &out, Binary: program(t, "trap '' TERM; while :; do sleep 1; done")})
	if !errors.Is(err, errInterrupted) || strings.Contains(out.String(), "PASSED") {
		t.Errorf("ended with %v\n%s", err, &out)
	}
	if names := left(); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestKeptDemoTellsHowToLookAround(t *testing.T) {
	left := inDir(t)
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	var out bytes.Buffer
	binary := program(t, "exit 3") // it fails at once, and is kept all the same
	if err := run(ctx, Options{Out: &out, Binary: binary, Keep: true}); err == nil {
		t.Error("no error though the routers ended")
	}
	for _, want := range []string{
		binary + " show vrrp -s ",
		"nsenter -t ",
		"ping 198.51.100.1",
		binary + " run -c ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
	if ctx.Err() == nil {
		t.Error("it did not wait for the end of its context")
	}
	if names := left(); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}
