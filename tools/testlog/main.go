// Command testlog runs a command that writes what "go test -json" does (or
// reads that from standard input, where none is named), and prints what "go
// test" would have printed, and beside it each test that was skipped, with the
// reason. It fails where a test has failed, and, with VROUTER_CI=1 in the
// environment, where one was skipped because a program is not installed.
//
//	testlog [-again PACKAGES] [COMMAND ARGUMENT...]
//
// Tests of real programs in real time fail now and then for a stall of a
// machine that is shared. With -again, a regular expression of packages, such
// tests are run a second time when all is done, alone; who passes then is
// listed as unsteady, and does not fail the run. A data race, a panic, a test
// that was not built or more failures than a stall explains are never forgiven.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
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
	failed map[key]string   // with what they printed; of packages too
	absent []string         // tests that skipped because a program is missing
}

func (s *summary) add(e event) {
	k := key{e.Package, e.Test}
	switch e.Action {
	case "output", "build-output":
		if e.Test == "" && e.Package != "" {
			s.line(e.Output)
			s.output[k] = append(s.output[k], e.Output)
			return
		}
		if e.Action == "build-output" {
			fmt.Fprint(s.out, e.Output)
			return
		}
		s.output[k] = append(s.output[k], e.Output)
	case "fail", "build-fail":
		text := strings.Join(s.output[k], "")
		s.failed[k] = text
		if e.Test != "" { // else it was printed already
			fmt.Fprint(s.out, text)
		}
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
	if len(s.failed) > 0 {
		return 1
	}
	return 0
}

// read reads events to the end. Lines that are none (of make, of the compiler)
// are printed as they are.
func read(in io.Reader, out io.Writer) (*summary, error) {
	s := &summary{out: out, output: make(map[key][]string), failed: make(map[key]string)}
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

// run reads what a command writes.
func run(command []string, out io.Writer) (*summary, error) {
	c := exec.Command(command[0], command[1:]...)
	c.Stderr = os.Stderr
	pipe, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	s, err := read(pipe, out)
	if ended := c.Wait(); err == nil && ended != nil && len(s.failed) == 0 {
		err = fmt.Errorf("%s: %w", strings.Join(command, " "), ended)
	}
	return s, err
}

func main() {
	again := flag.String("again", "", "regular `expression` of packages whose failed tests are run again, alone")
	flag.Parse()
	os.Exit(logged(*again, flag.Args(), os.Stdout))
}

// logged returns the exit status of it all.
func logged(again string, command []string, out io.Writer) int {
	var s *summary
	var err error
	if len(command) > 0 {
		s, err = run(command, out)
	} else {
		s, err = read(os.Stdin, out)
	}
	if err == nil && again != "" {
		var steady *regexp.Regexp
		if steady, err = regexp.Compile(again); err == nil {
			err = s.secondChance(steady, alone)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testlog:", err)
		return 1
	}
	return s.status(os.Getenv("VROUTER_CI") != "")
}
