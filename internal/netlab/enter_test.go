package netlab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// helperVariable tells the test binary to be the program that the tests below
// start: one that runs itself inside by Run.
const helperVariable = "NETLAB_HELPER"

func helperProgram(mode string) int {
	err := Run(os.Stdout, os.Stderr, func() error {
		fmt.Println("inside", Inside())
		switch mode {
		case "fails":
			return errors.New("it failed for a reason")
		case "forbidden":
			return forbidden(errors.New("refused"))
		case "waits":
			time.Sleep(time.Minute)
		}
		return nil
	})
	fmt.Println("outside", !Inside(), errors.Is(err, ErrForbidden), err)
	return 0
}

func helper(t *testing.T, mode string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	if err := Unavailable(); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperVariable+"="+mode)
	output := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = output, output
	return cmd, output
}

func TestRunHandsOutHowMainEnded(t *testing.T) {
	for mode, want := range map[string]string{
		"succeeds":  "inside true\noutside true false <nil>\n",
		"fails":     "inside true\noutside true false it failed for a reason\n",
		"forbidden": "inside true\noutside true true " + forbidden(errors.New("refused")).Error() + "\n",
	} {
		cmd, output := helper(t, mode)
		if err := cmd.Run(); err != nil || output.String() != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", mode, err, output, want)
		}
	}
}

func TestSignalReachesTheProcessInside(t *testing.T) {
	for _, s := range []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP} {
		cmd, output := helper(t, "waits")
		must(t, cmd.Start())
		pid := insidePID(t, cmd.Process.Pid)
		must(t, cmd.Process.Signal(s))
		must(t, cmd.Wait())
		if err := unix.Kill(pid, 0); err != unix.ESRCH || !strings.Contains(output.String(), s.String()) {
			t.Errorf("after %v the process inside: %v\n%s", s, err, output)
		}
	}
}

func TestProcessInsideEndsWithTheOneOutside(t *testing.T) {
	cmd, _ := helper(t, "waits")
	must(t, cmd.Start())
	pid := insidePID(t, cmd.Process.Pid)
	must(t, cmd.Process.Kill())
	waitFor(t, "the process inside has ended", func() bool {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(state), ") Z ")
	})
	cmd.Wait() // it was killed: an error, and its output is of no interest
}

// insidePID waits until a process has a child that runs, and returns its id.
func insidePID(t *testing.T, parent int) (pid int) {
	t.Helper()
	waitFor(t, "the helper is inside", func() bool {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
		for _, path := range tasks {
			b, _ := os.ReadFile(path)
			if _, err := fmt.Sscan(string(b), &pid); err == nil {
				out, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
				return strings.Contains(string(out), marker)
			}
		}
		return false
	})
	time.Sleep(200 * time.Millisecond) // until the Go runtime of the child is up
	return pid
}
