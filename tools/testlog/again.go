package main

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// stallLimit is how many tests the stall of a machine may spoil. More are a
// fault of the program.
const stallLimit = 8

// unforgivable is in the output of a test that no stall has spoilt.
var unforgivable = regexp.MustCompile(`WARNING: DATA RACE|(?m)^panic: |\[build failed\]|test timed out`)

// secondChance runs the failed tests of packages that a stall can spoil again,
// package by package, and forgets the failure of each that passes.
func (s *summary) secondChance(packages *regexp.Regexp, run func(pkg string, tests []string, out io.Writer) (*summary, error)) error {
	candidates := s.candidates(packages)
	count := 0
	for _, tests := range candidates {
		count += len(tests)
	}
	if count > stallLimit {
		fmt.Fprintf(s.out, "%d tests failed: too many for a stall of the machine, none is run again\n", count)
		return nil
	}
	for _, pkg := range slices.Sorted(maps.Keys(candidates)) {
		tests := candidates[pkg]
		fmt.Fprintf(s.out, "again, alone: %s %s\n", pkg, strings.Join(tests, " "))
		second, err := run(pkg, tests, s.out)
		if err != nil {
			return err
		}
		s.absent = append(s.absent, second.absent...)
		if len(second.failed) > 0 {
			continue
		}
		for k := range s.failed {
			if k.pkg == pkg {
				delete(s.failed, k)
			}
		}
		fmt.Fprintf(s.out, "unsteady: %s %s failed at first and passed alone\n", pkg, strings.Join(tests, " "))
	}
	return nil
}

// candidates returns the failed tests by package, of packages of which none has
// failed in a way that cannot be forgiven.
func (s *summary) candidates(packages *regexp.Regexp) map[string][]string {
	tests := make(map[string][]string)
	guilty := make(map[string]bool)
	for k, text := range s.failed {
		switch top, _, _ := strings.Cut(k.test, "/"); {
		case !packages.MatchString(k.pkg) || unforgivable.MatchString(text):
			guilty[k.pkg] = true
		case top != "" && !slices.Contains(tests[k.pkg], top):
			tests[k.pkg] = append(tests[k.pkg], top)
		}
	}
	for pkg := range guilty {
		delete(tests, pkg)
	}
	for _, list := range tests {
		slices.Sort(list)
	}
	return tests
}

// alone runs tests of a package, and nothing beside them.
func alone(pkg string, tests []string, out io.Writer) (*summary, error) {
	return run([]string{
		"go", "test", "-json", "-count=1", "-parallel=1",
		"-run", "^(" + strings.Join(tests, "|") + ")$", pkg,
	}, out)
}
