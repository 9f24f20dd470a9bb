// Command testlog reads what "go test -json" writes and prints what "go test"
// would have printed, and beside it each test that was skipped, with the
// reason. It fails where a test has failed, and, with VROUTER_CI=1 in the
// environment, where one was skipped because a program is not installed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// event is a line of "go test -json" (go doc test2json).
type event struct {
	Action, Package, Test, Output string
}

// missing is a reason to skip that a machine made for tests must not have.
var missing = regexp.MustCompile(`not installed|not found|is missing|no such file`)

// key names a test; of a package as a whole the test is "".
type key struct{ pkg, test string }

// summary is what was read so far.
type summary struct {
	out    io.Writer
	output map[key][]string // of tests that still run
	failed bool
	absent []string // tests that skipped because a program is missing
}

func (s *summary) add(e event) {
	k := key{e.Package, e.Test}
	switch e.Action {
	case "output", "build-output":
		if e.Test == "" && e.Package != "" {
			s.line(e.Output)
			return
		}
		if e.Action == "build-output" {
			fmt.Fprint(s.out, e.Output)
			return
		}
		s.output[k] = append(s.output[k], e.Output)
	case "fail", "build-fail":
		s.failed = true
		fmt.Fprint(s.out, strings.Join(s.output[k], ""))
		delete(s.output, k)
	case "skip":
		if e.Test != "" {
			s.skipped(k)
		}
		delete(s.output, k)
	case "pass":
		delete(s.output, k)
	}
}

// line prints a line of a package, but for those that say the same twice.
func (s *summary) line(text string) {
	switch strings.TrimSpace(text) {
	case "PASS", "FAIL", "testing: warning: no tests to run":
		return
	}
	fmt.Fprint(s.out, text)
}

// skipped tells that a test was skipped, and why.
func (s *summary) skipped(k key) {
	var reason []string
	for _, line := range s.output[k] {
		text := strings.TrimSpace(line)
		if text != "" && !strings.HasPrefix(text, "=== ") && !strings.HasPrefix(text, "--- ") {
			reason = append(reason, text)
		}
	}
	line := fmt.Sprintf("skipped %s %s: %s", k.pkg, k.test, strings.Join(reason, " "))
	fmt.Fprintln(s.out, line)
	if missing.MatchString(line) {
		s.absent = append(s.absent, line)
	}
}

// status returns the exit status, and says why it is not 0.
func (s *summary) status(ci bool) int {
	if ci && len(s.absent) > 0 {
		fmt.Fprintf(s.out, "FAIL: %d tests were skipped because something is not installed:\n  %s\n",
			len(s.absent), strings.Join(s.absent, "\n  "))
		return 1
	}
	if s.failed {
		return 1
	}
	return 0
}

// read reads events to the end. Lines that are none (of make, of the compiler)
// are printed as they are.
func read(in io.Reader, out io.Writer) (*summary, error) {
	s := &summary{out: out, output: make(map[key][]string)}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) == nil && e.Action != "" {
				s.add(e)
			} else {
				fmt.Fprint(out, line)
			}
		}
		if err == io.EOF {
			return s, nil
		}
		if err != nil {
			return s, err
		}
	}
}

func main() {
	s, err := read(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testlog:", err)
		os.Exit(1)
	}
	os.Exit(s.status(os.Getenv("VROUTER_CI") != ""))
}
