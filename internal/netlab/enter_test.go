package netlab

import (
	"bytes"
	"context"
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

// fileVariable names a file that the helper removes when it cleans up.
const fileVariable = "NETLAB_FILE"

func helperProgram(mode string) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if mode == "cancelled" && !Inside() {
		time.AfterFunc(300*time.Millisecond, cancel)
	}
	err := Run(ctx, os.Stdout, os.Stderr, func(ctx context.Context) error {
		fmt.Println("inside", Inside())
		switch mode {
		case "fails":
			return errors.New("it failed for a reason")
		case "forbidden":
			return forbidden(errors.New("refused"))
		case "waits", "cancelled":
			<-ctx.Done()
			time.Sleep(100 * time.Millisecond) // the time to clean up
			os.Remove(os.Getenv(fileVariable))
			fmt.Println("clean")
		}
		return nil
	})
	fmt.Println("outside", !Inside(), errors.Is(err, ErrForbidden), err)
	return 0
}

func helper(t *testing.T, mode string) (cmd *exec.Cmd, output *bytes.Buffer, file string) {
	t.Helper()
	if err := Unavailable(); err != nil {
		t.Skip(err)
	}
	cmd = exec.Command("/proc/self/exe")
	file = filepath.Join(t.TempDir(), "left")
	must(t, os.WriteFile(file, nil, 0o600))
	cmd.Env = append(os.Environ(), helperVariable+"="+mode, fileVariable+"="+file)
	output = &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = output, output
	return cmd, output, file
}

func TestRunHandsOutHowMainEnded(t *testing.T) {
	for mode, want := range map[string]string{
		"succeeds":  "inside true\noutside true false <nil>\n",
		"fails":     "inside true\noutside true false it failed for a reason\n",
		"forbidden": "inside true\noutside true true " + forbidden(errors.New("refused")).Error() + "\n",
		"cancelled": "inside true\nclean\noutside true false <nil>\n",
	} {
		cmd, output, _ := helper(t, mode)
		if err := cmd.Run(); err != nil || output.String() != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", mode, err, output, want)
		}
	}
}

func TestSignalsEndMainsContextHoweverOftenTheyCome(t *testing.T) {
	for _, s := range []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP} {
		cmd, output, _ := helper(t, "waits")
		must(t, cmd.Start())
		insidePID(t, cmd.Process.Pid)
		for range 3 {
			must(t, cmd.Process.Signal(s))
			time.Sleep(20 * time.Millisecond)
		}
		must(t, cmd.Wait())
		if want := "inside true\nclean\noutside true false <nil>\n"; output.String() != want {
			t.Errorf("%v: got\n%s\nwant\n%s", s, output, want)
		}
	}
}

func TestProcessInsideCleansUpWhenTheOneOutsideIsKilled(t *testing.T) {
	cmd, _, file := helper(t, "waits")
	must(t, cmd.Start())
	pid := insidePID(t, cmd.Process.Pid)
	must(t, cmd.Process.Kill())
	waitFor(t, "the process inside has cleaned up", func() bool {
		_, err := os.Stat(file)
		return os.IsNotExist(err)
	})
	waitFor(t, "the process inside has ended", func() bool {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(state), ") Z ")
	})
	cmd.Wait() // it was killed: an error
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
