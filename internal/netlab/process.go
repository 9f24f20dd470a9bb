package netlab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a program that runs on a host, in a process group of its own,
// its output going to a log file.
type Process struct {
	Args []string
	Log  string // path of the file with stdout and stderr

	cmd   *exec.Cmd
	ended chan struct{}
	err   error // of Wait; valid once ended is closed
}

// Start starts a program on the host; the first argument is its name or path.
func (h *Host) Start(args ...string) (*Process, error) {
	name := h.Name + "-" + filepath.Base(args[0]) + "-*.log"
	log, err := os.CreateTemp(h.lab.Dir, name)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &Process{Args: args, Log: log.Name(), cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	h.lab.mu.Lock()
	defer h.lab.mu.Unlock()
	if h.lab.closed {
		return nil, errors.New("netlab: closed")
	}
	if err := h.inKeeper(p.cmd.Start); err != nil {
		return nil, fmt.Errorf("host %s: %w", h.Name, err)
	}
	h.lab.processes = append(h.lab.processes, p)
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// Children returns the processes that the process has started and that run.
func (p *Process) Children() []int { return Children(p.PID()) }

// Run runs a program on the host to its end and returns what it printed. It
// is killed when ctx is done. An error names the command and its last output.
func (h *Host) Run(ctx context.Context, args ...string) (string, error) {
	p, err := h.Start(args...)
	if err != nil {
		return "", err
	}
	select {
	case <-p.ended:
		err = p.err
	case <-ctx.Done():
		p.Kill()
		err = ctx.Err()
	}
	output := p.Output()
	if err != nil {
		err = fmt.Errorf("host %s: %s: %w\n%s", h.Name, strings.Join(args, " "), err, tail(output, 2000))
	}
	h.lab.forget(p)
	return output, err
}

// forget drops an ended process and its log.
func (l *Lab) forget(p *Process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.processes {
		if l.processes[i] == p {
			l.processes = append(l.processes[:i], l.processes[i+1:]...)
			break
		}
	}
	os.Remove(p.Log)
}

// PID returns the process's id, also that of its group.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Err returns how the process ended, as exec.Cmd.Wait does; it waits for it.
func (p *Process) Err() error {
	<-p.ended
	return p.err
}

// Signal sends a signal to the process alone.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Kill ends the process, all of its group, and all that they have started, by
// SIGKILL, and waits for it. None of them gets to act on the end of another: it
// is as if the power had gone.
func (p *Process) Kill() {
	orphans := CutPower(p.PID())
	// Also where the process itself has ended: others of its group may live
	// on. The group's id is not used again while any of them does; where none
	// does, it could only come back after all pids were used once.
	unix.Kill(-p.PID(), unix.SIGKILL)
	<-p.ended
	for _, pid := range orphans { // they have come to this process, which is their subreaper
		unix.Wait4(pid, nil, unix.WNOHANG, nil)
	}
}

// Stop asks the process to end by SIGTERM, waits for it, and returns how it
// ended. After patience it kills the process group, which is an error.
func (p *Process) Stop(patience time.Duration) error {
	if err := p.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.ended:
		return p.err
	case <-time.After(patience):
		p.Kill()
		return fmt.Errorf("%s: did not end within %v of SIGTERM", p.Args[0], patience)
	}
}

// LastLines returns the last n lines that the process has printed, indented.
func (p *Process) LastLines(n int) string {
	all := strings.Split(strings.TrimSpace(p.Output()), "\n")
	return "    " + strings.Join(all[max(0, len(all)-n):], "\n    ")
}

// Output returns what the process has printed so far.
func (p *Process) Output() string {
	b, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

// killOrphans ends what still runs on the hosts: processes that lost their
// parent and came to this one, which is their subreaper. Those that os/exec
// knows of have ended by now.
func killOrphans(hosts []*Host) {
	const rounds = 50 // a killed process may leave children of its own
	for range rounds {
		orphans := childrenOn(hosts)
		if len(orphans) == 0 {
			return
		}
		for _, pid := range orphans {
			unix.Kill(pid, unix.SIGKILL)
			unix.Wait4(pid, nil, 0, nil)
		}
	}
}

// childrenOn returns the children of this process whose network namespace is
// one of the hosts'.
func childrenOn(hosts []*Host) []int {
	namespaces := map[uint64]bool{}
	for _, h := range hosts {
		var stat unix.Stat_t
		if unix.Fstat(h.fd, &stat) == nil {
			namespaces[stat.Ino] = true
		}
	}
	var pids []int
	for _, pid := range Children(os.Getpid()) {
		var stat unix.Stat_t
		if unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &stat) == nil && namespaces[stat.Ino] {
			pids = append(pids, pid)
		}
	}
	return pids
}
