package guardian

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// hunger tells a control loop that waits for a CPU from one that hangs. To end
// a process because the machine is busy would only make it busier, and the
// forwarding lease keeps a starved Master from being a second one.
type hunger struct {
	asked time.Duration // of CPU time that the thread had used at the last look
	known bool
}

// owner returns the thread that the lifeline stands for; 0: none.
func (l *lifeline) owner() int {
	const threads = 1<<30 - 1
	if word := atomic.LoadUint32(l.word()); word&futexOwnerDied == 0 {
		return int(word & threads)
	}
	return 0
}

// starved reports whether a thread that was silent for a time wants to run and
// does not get to: it is runnable (proc_pid_stat(5)), which a stopped or blocked
// one is not, and has used less than half of that time, which one in an endless
// loop would not. Of the latter it can tell only from the second look on.
func (h *hunger) starved(task string, silent time.Duration) bool {
	state, used, err := readTask(task)
	if err != nil || state != 'R' {
		return false
	}
	spins := h.known && used-h.asked > silent/2
	h.asked, h.known = used, true
	return !spins
}

// readTask returns the state of a thread, given its folder in /proc, and the CPU
// time that it has used (proc_pid_stat(5); sched-stats.rst in the kernel).
func readTask(task string) (state byte, used time.Duration, err error) {
	stat, err := os.ReadFile(task + "/stat")
	if err != nil {
		return 0, 0, err
	}
	// The name in parentheses may have anything in it.
	behind := bytes.LastIndexByte(stat, ')')
	if behind < 0 || behind+2 >= len(stat) {
		return 0, 0, fmt.Errorf("%s/stat: no state", task)
	}
	schedstat, err := os.ReadFile(task + "/schedstat")
	if err != nil {
		return 0, 0, err
	}
	first, _, _ := bytes.Cut(schedstat, []byte(" "))
	ns, err := strconv.ParseInt(string(first), 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("%s/schedstat: %w", task, err)
	}
	return stat[behind+2], time.Duration(ns), nil
}

// starved reports whether the control loop is silent only because it does not
// get a CPU; a silence is excused for that as often as for a late guardian.
func (r *process) starved() bool {
	thread := r.lifeline.owner()
	if thread == 0 || !r.hunger.starved(fmt.Sprintf("/proc/%d/task/%d", r.pid, thread), r.patience.silent) {
		return false
	}
	silent := r.patience.silent
	if !r.patience.excuse() {
		return false
	}
	r.log.Warn("the control loop waits for a CPU: the machine is too busy", "silent", silent.Round(time.Millisecond),
		"remedy", "grant CAP_SYS_NICE, or set a longer router.watchdog")
	return true
}
