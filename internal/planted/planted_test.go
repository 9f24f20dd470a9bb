package planted

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// skipped are tests that say nothing about bugs, or take long.
const skipped = "Tshark|Ledger|Damping_of_several|Fuzz|Random"

// TestPlantedBugsOfVRRP: the tests of package vrrp, and those of what carries its
// advertisements and answers for its addresses, find each planted bug. One test
// binary has them all; the environment says which one is awake.
func TestPlantedBugsOfVRRP(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the tests anew")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command to build with")
	}
	bugs := readBugs(t, "testdata/vrrp.txt")
	if len(bugs) < 20 {
		t.Fatalf("%d bugs only", len(bugs))
	}
	binaries := build(t, bugs)
	for _, directory := range packagesOf(bugs) {
		if out, passed := run(binaries, directory, ""); !passed {
			t.Fatalf("%s: the tests fail without a bug:\n%s", directory, out)
		}
	}
	todo := make(chan bug)
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for b := range todo {
				out, passed := run(binaries, b.by, fmt.Sprint(b.number))
				if passed {
					t.Errorf("nothing finds that %s (%s)", b.name, b.file)
					continue
				}
				t.Logf("%s: found by %s", b.name, firstFailure(out))
			}
		}()
	}
	for _, b := range bugs {
		todo <- b
	}
	close(todo)
	workers.Wait()
}

// packagesOf returns the packages whose tests are needed.
func packagesOf(bugs []bug) []string {
	var list []string
	for _, b := range bugs {
		if !slices.Contains(list, b.by) {
			list = append(list, b.by)
		}
	}
	return list
}

// build builds the tests of each package with all bugs planted, and returns the
// binaries by package.
func build(t *testing.T, bugs []bug) map[string]string {
	t.Helper()
	overlay, directory := plant(t, bugs), t.TempDir()
	binaries := map[string]string{}
	for _, p := range packagesOf(bugs) {
		binary := filepath.Join(directory, strings.ReplaceAll(p, "/", "_")+".test")
		c := exec.Command("go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, "./"+p)
		c.Dir = module
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", p, err, out)
		}
		binaries[p] = binary
	}
	return binaries
}

// run runs the tests of a package with one bug awake (by its number; "": none),
// and reports whether they passed. Tests that hang do not pass.
func run(binaries map[string]string, directory, awake string) (string, bool) {
	args := []string{"-test.short", "-test.failfast", "-test.timeout=30s", "-test.skip=" + skipped}
	if usesRapid(directory) {
		args = append(args, "-rapid.checks=30", "-rapid.nofailfile", "-rapid.shrinktime=0s")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, binaries[directory], args...)
	c.Dir = filepath.Join(module, directory)
	c.Env = append(os.Environ(), selector+"="+awake)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.String(), err == nil
}

// usesRapid reports whether the tests of a package know rapid's flags.
func usesRapid(directory string) bool {
	files, _ := filepath.Glob(filepath.Join(module, directory, "*_test.go"))
	return slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		return err == nil && bytes.Contains(text, []byte(`"pgregory.net/rapid"`))
	})
}

var failure = regexp.MustCompile(`--- FAIL: (\S+)`)

// firstFailure names the test that found a bug.
func firstFailure(out string) string {
	if m := failure.FindStringSubmatch(out); m != nil {
		return m[1]
	}
	last := out[strings.LastIndexByte(strings.TrimSpace(out), '\n')+1:]
	return "the end of the process: " + strings.TrimSpace(last)
}
