// Package program runs the programs that an operator names in the
// configuration: health checks and hooks. Whatever such a program does, it
// holds up nobody: its output is bounded, its time is, and when that is over
// it is killed with everything that it has started.
package program

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command is a program to run.
type Command struct {
	Args    []string      // the program and its arguments; without a slash it is looked for in PATH
	Env     []string      // "NAME=value", beside the environment of this process (see environment)
	Timeout time.Duration // from its start; more than 0

	// KeepChildren leaves alone what a program that ended in time has left
	// running. Without it that is killed, so that a program which is run every
	// second leaves no heap of processes behind.
	KeepChildren bool
}

// Result is what became of a program.
type Result struct {
	Err    error  // nil: it ended with status 0 in time; else for people: "exit status 2", "timeout after 500ms"
	Output string // the last line of its output, made short and printable; may be empty

	// Lingers is not nil where the process could not be ended, because the
	// kernel holds it in a system call: it is closed when the process is gone.
	Lingers <-chan struct{}
}

// killGrace is how long a killed process may take to be gone, and its output
// to be read.
const killGrace = 500 * time.Millisecond

// ErrClosed says that the Launcher is closed.
var ErrClosed = errors.New("program not started: the router is stopping")

// Run runs a program to its end, its time-out or the end of ctx, and returns
// little later than the first of these. It may be called from any goroutine;
// to be started programs wait for each other (see Launcher), which is not part
// of the time-out.
func (l *Launcher) Run(ctx context.Context, c Command) Result {
	r, w, err := os.Pipe()
	if err != nil {
		return Result{Err: err}
	}
	defer r.Close()
	cmd, err := command(c, w)
	if err == nil {
		err = l.start(ctx, cmd)
	}
	w.Close() // the program has its own
	if err != nil {
		return Result{Err: explain(err)}
	}
	p := l.watch(cmd)
	out := follow(r)
	failed := p.await(ctx, c.Timeout)
	switch {
	case failed != nil:
		p.kill()
	case !c.KeepChildren:
		p.sweep()
	}
	lingers := p.end()
	result := Result{Err: failed, Output: out.last(r)}
	switch {
	case lingers != nil:
		result.Lingers = lingers
		result.Err = fmt.Errorf("%w; killed, but the kernel holds it", failed)
	case failed == nil:
		result.Err = status(cmd.ProcessState)
	}
	return result
}

// command prepares what os/exec needs. A session of its own makes the program
// the leader of its process group as well, and cuts it from any terminal.
func command(c Command, output *os.File) (*exec.Cmd, error) {
	if len(c.Args) == 0 {
		return nil, errors.New("no program is named")
	}
	path, err := find(c.Args[0])
	if err != nil {
		return nil, err
	}
	return &exec.Cmd{
		Path: path, Args: c.Args, Dir: "/",
		Env:    append(environment(os.Environ()), c.Env...),
		Stdout: output, Stderr: output,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	}, nil
}

// defaultPath is where programs are looked for when PATH is not set.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func find(name string) (string, error) {
	if os.Getenv("PATH") != "" || strings.Contains(name, "/") {
		return exec.LookPath(name)
	}
	for dir := range strings.SplitSeq(defaultPath, ":") {
		if path, err := exec.LookPath(dir + "/" + name); err == nil {
			return path, nil
		}
	}
	return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
}

// environment returns what of this process' environment is for programs: all
// but what a service manager or another process of vrouter has said to this
// one alone (sd_notify(3), sd_listen_fds(3)). There is always a PATH.
func environment(own []string) []string {
	var list []string
	path := false
	for _, e := range own {
		name, value, _ := strings.Cut(e, "=")
		switch {
		case name == "PATH" && value == "":
		case name == "NOTIFY_SOCKET", name == "INVOCATION_ID", name == "JOURNAL_STREAM",
			strings.HasPrefix(name, "WATCHDOG_"), strings.HasPrefix(name, "LISTEN_"), strings.HasPrefix(name, "VROUTER_"):
		default:
			path = path || name == "PATH"
			list = append(list, e)
		}
	}
	if !path {
		list = append(list, "PATH="+defaultPath)
	}
	return list
}

// explain makes an error of a start short: "/opt/check: permission denied".
func explain(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("cannot run %s: %w", path.Path, path.Err)
	}
	var lookup *exec.Error
	if errors.As(err, &lookup) {
		return fmt.Errorf("cannot run %s: %w", lookup.Name, lookup.Err)
	}
	return err
}

// status says how a program ended by itself; nil for status 0.
func status(s *os.ProcessState) error {
	if s.Success() {
		return nil
	}
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return fmt.Errorf("ended by %s", unix.SignalName(w.Signal()))
	}
	return errors.New(s.String())
}
