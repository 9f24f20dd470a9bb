package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// process is a program that runs. It is not reaped before end: until then its
// number, and that of its group and session, belong to nobody else, so that
// kill cannot hit a stranger.
type process struct {
	cmd    *exec.Cmd
	signal func(leader int)
	exited chan struct{} // closed once it has ended; it is a zombie then
	reap   chan struct{} // closed by end
	gone   chan struct{} // closed once it is reaped
}

func (l *Launcher) watch(cmd *exec.Cmd) *process {
	p := &process{
		cmd: cmd, signal: l.signal,
		exited: make(chan struct{}), reap: make(chan struct{}), gone: make(chan struct{}),
	}
	go func() {
		awaitExit(cmd.Process.Pid)
		close(p.exited)
		<-p.reap
		_ = cmd.Wait() // the status is in cmd.ProcessState
		close(p.gone)
	}()
	return p
}

// awaitExit returns when a child has ended, and leaves it a zombie.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return // it has ended, or is no child (any more)
		}
	}
}

// await returns nil when the program has ended by itself, else why it has to
// be killed.
func (p *process) await(ctx context.Context, timeout time.Duration) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-p.exited:
		return nil
	case <-timer.C:
		return fmt.Errorf("timeout after %v", timeout)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *process) kill() { p.signal(p.cmd.Process.Pid) }

// end reaps the process. Where that is not possible soon after a kill it
// returns a channel that is closed once it was.
func (p *process) end() (lingers <-chan struct{}) {
	close(p.reap)
	timer := time.NewTimer(killGrace)
	defer timer.Stop()
	select {
	case <-p.gone:
		return nil
	case <-timer.C:
		return p.gone
	}
}

// killAll kills, for good, all processes of a session and of its leader's
// group. Many programs put what they run into groups of their own (shells with
// job control, timeout(1)); of the session they stay. Only what has made itself
// a session of its own, as a daemon does, is no part of the program any more.
// Between looking and killing others may be forked, so it looks again.
func killAll(leader int) {
	const rounds = 8
	_ = unix.Kill(-leader, unix.SIGKILL) // ESRCH: nobody is left
	for range rounds {
		members := session(leader)
		for _, pid := range members {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		if len(members) == 0 {
			return
		}
	}
}

// session returns the living processes of a session, its leader apart.
func session(leader int) (pids []int) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil // then the group has to do
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what was read counts
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == leader {
			continue
		}
		text, err := os.ReadFile("/proc/" + name + "/stat")
		if err == nil && inSession(text, leader) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// inSession reads /proc/PID/stat (proc_pid_stat(5)): behind the name in
// parentheses come state, parent, group, session.
func inSession(stat []byte, leader int) bool {
	end := bytes.LastIndexByte(stat, ')')
	fields := bytes.Fields(stat[end+1:])
	if len(fields) < 4 || bytes.ContainsAny(fields[0], "ZX") {
		return false // a zombie is dead already
	}
	return string(fields[3]) == strconv.Itoa(leader)
}
