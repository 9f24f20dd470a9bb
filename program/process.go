package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
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

// kill ends all that the program has started, after it has been given up.
func (p *process) kill() { p.signal(p.cmd.Process.Pid) }

// sweep ends what a program that ended by itself has left in its group.
func (p *process) sweep() { _ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL) } // ESRCH: nobody is left

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

// scanGap is the least time between two looks at all processes of the machine:
// there may be many thousands.
const scanGap = 100 * time.Millisecond

// killAll kills, for good, all processes of a session and of its leader's
// group. Many programs put what they run into groups of their own (shells with
// job control, timeout(1)); of the session they stay. Only what has made itself
// a session of its own, as a daemon does, is no part of the program any more.
//
// Descendants of the leader are found as such; who has lost the parent is found
// only by looking at every process, which is done when it was not done just now.
func (l *Launcher) killAll(leader int) {
	family := descendants(leader)
	_ = unix.Kill(-leader, unix.SIGKILL) // ESRCH: nobody is left
	killMembers(family, leader)
	now := time.Now().UnixNano()
	if last := l.scanned.Load(); now-last < int64(scanGap) || !l.scanned.CompareAndSwap(last, now) {
		return
	}
	// Between looking and killing others may be forked, so it looks again.
	const rounds = 8
	for range rounds {
		if killMembers(processes(), leader) == 0 {
			return
		}
	}
}

// killMembers kills those of some processes that live in a session, but not its
// leader, whose group is killed anyway, and returns how many.
func killMembers(pids []int, leader int) (killed int) {
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && pid != leader && inSession(text, leader) {
			_ = unix.Kill(pid, unix.SIGKILL)
			killed++
		}
	}
	return killed
}

// descendants returns the processes that a process and its children have
// started (proc_tid_children(5)), as far as they have not lost their parents.
func descendants(leader int) []int {
	const most = 4096
	list := []int{leader}
	for i := 0; i < len(list) && len(list) < most; i++ {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", list[i]))
		for _, file := range tasks {
			text, _ := os.ReadFile(file) // it may have ended meanwhile
			for field := range strings.FieldsSeq(string(text)) {
				if pid, err := strconv.Atoi(field); err == nil {
					list = append(list, pid)
				}
			}
		}
	}
	return list[1:]
}

// processes returns all processes of the machine.
func processes() (pids []int) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil // then the group has to do
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what was read counts
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
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
