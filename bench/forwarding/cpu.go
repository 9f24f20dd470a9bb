package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/internal/netlab"
)

// usage is the CPU time that was spent until a moment.
type usage struct {
	at       time.Time
	router   time.Duration // all threads of all of its processes
	ksoftirq time.Duration // the kernel's softirq threads, of all CPUs
	softirq  time.Duration // the kernel's count of softirq time, whoever's time it was spent in
}

// family returns a process and all that it has started, to the last.
func family(pid int) []int {
	list := []int{pid}
	for _, child := range netlab.Children(pid) {
		list = append(list, family(child)...)
	}
	return list
}

// threads returns the scheduler's clock of all threads of some processes. A
// thread that has ended meanwhile counts nothing: routers keep theirs.
func threads(pids []int) (total time.Duration) {
	for _, pid := range pids {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, file := range files {
			if text, err := os.ReadFile(file); err == nil {
				total += runTime(text)
			}
		}
	}
	return total
}

// runTime parses a thread's schedstat, whose first number is its time on a CPU
// in nanoseconds.
func runTime(text []byte) time.Duration {
	first, _, _ := bytes.Cut(bytes.TrimSpace(text), []byte(" "))
	n, err := strconv.ParseInt(string(first), 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(n)
}

// ksoftirqds returns the pids of the kernel's softirq threads.
func ksoftirqds() (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil && strings.HasPrefix(string(text), "ksoftirqd/") {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// tick is the unit of /proc/stat, the same on every architecture (USER_HZ).
const tick = 10 * time.Millisecond

// softirqTime parses the first line of /proc/stat: cpu user nice system idle
// iowait irq softirq ...
func softirqTime(text []byte) time.Duration {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) < 8 || fields[0] != "cpu" {
		return 0
	}
	n, err := strconv.ParseInt(fields[7], 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(n) * tick
}

// use reads the clocks.
func (v *visit) use() usage {
	text, _ := os.ReadFile("/proc/stat") // without it there are no figures of softirqs
	return usage{
		at: time.Now(), router: threads(v.dut.processes()),
		ksoftirq: threads(v.ksoftirqd), softirq: softirqTime(text),
	}
}

// since returns the time that was spent from an earlier moment on; at is then
// of no use, and took is how long it was.
func (u usage) since(before usage) (d usage, took time.Duration) {
	d.router = u.router - before.router
	d.ksoftirq = u.ksoftirq - before.ksoftirq
	d.softirq = u.softirq - before.softirq
	return d, u.at.Sub(before.at)
}

// threadTime is the calling thread's time on a CPU.
func threadTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// pin keeps the calling thread, and what it starts, on one CPU.
func pin(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	return unix.SchedSetaffinity(0, &set)
}

// The sender has a CPU, the router's processes have another.
var senderCPU, routerCPU = 0, min(1, runtime.NumCPU()-1)

// pinFlag makes this program another's start: -pin CPU PROGRAM ARGUMENTS.
const pinFlag = "-pin"

// becomePinned executes the program that the command line names, on one CPU;
// it returns where the command line is not of that kind.
func becomePinned() {
	if len(os.Args) < 4 || os.Args[1] != pinFlag {
		return
	}
	runtime.LockOSThread()
	cpu, err := strconv.Atoi(os.Args[2])
	if err == nil {
		err = pin(cpu)
	}
	if err == nil {
		err = unix.Exec(os.Args[3], os.Args[3:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, "forwarding:", strings.Join(os.Args[1:], " ")+":", err)
	os.Exit(1)
}

// runDelay is how long the calling thread has waited for a CPU.
func runDelay() time.Duration {
	text, err := os.ReadFile("/proc/thread-self/schedstat")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	n, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(n)
}
