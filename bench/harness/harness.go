// Package harness is what the measuring programs beside it have in common: their
// command line's end, the namespaces that they run in, the vrouter program that
// they measure.
package harness

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"vrouter/internal/netlab"
)

// Main is a program that measures in namespaces. parse reads the arguments and
// returns what to do there, or else what to do instead (again, not nil where an
// earlier run's figures are only printed). Exit status: 0 done, 1 failed, 2 wrong
// usage.
func Main(name string, parse func(args []string) (run func(context.Context) error, again func() error, err error)) {
	run, again, err := parse(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(2)
	case again != nil:
		err = again()
	default:
		err = netlab.Run(context.Background(), os.Stdout, os.Stderr, func(ctx context.Context) error {
			// A thread that comes back from the kernel needs a processor of Go's
			// scheduler: with as many as CPUs the threads that measure would wait
			// for each other.
			runtime.GOMAXPROCS(runtime.NumCPU() + spareProcessors)
			return run(ctx)
		})
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// spareProcessors is for how many threads more than CPUs there is room at a time.
const spareProcessors = 8

// Program returns the path of the vrouter program that is measured: binary, or,
// where that is empty, one that is built from the sources. done removes that.
func Program(binary string) (path string, done func(), err error) {
	if binary != "" {
		path, err = filepath.Abs(binary)
		return path, func() {}, err
	}
	dir, err := os.MkdirTemp("", "vrouter-bench-")
	if err != nil {
		return "", nil, err
	}
	path = filepath.Join(dir, "vrouter")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-X main.version="+version(), "-o", path, "vrouter/cmd/vrouter")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		os.RemoveAll(dir)
		return "", nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, func() { os.RemoveAll(dir) }, nil
}

// version names the sources, where git knows them.
func version() string {
	out, err := exec.Command("git", "describe", "--tags", "--always", "--dirty").Output()
	if text := strings.TrimSpace(string(out)); err == nil && text != "" {
		return text
	}
	return "development"
}

// Choose picks those of a list whose names are given, joined by commas, in the
// list's order; "all" is all of them.
func Choose[T any](names string, all []T, name func(T) string) (list []T, err error) {
	if names == "all" {
		return all, nil
	}
	wanted := strings.Split(names, ",")
	for _, t := range all {
		if slices.Contains(wanted, name(t)) {
			list = append(list, t)
		}
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(all, func(t T) bool { return name(t) == w }) {
			return nil, fmt.Errorf("there is no %q; known: %s", w, strings.Join(Names(all, name), ","))
		}
	}
	return list, nil
}

// Names returns the names of a list.
func Names[T any](all []T, name func(T) string) (list []string) {
	for _, t := range all {
		list = append(list, name(t))
	}
	return list
}
