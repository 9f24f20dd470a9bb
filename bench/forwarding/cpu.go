package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"vrouter/internal/netlab"
)

// cpuTime is the CPU time by thread, as the scheduler counts it.
type cpuTime map[string]time.Duration

// cpuOf returns the CPU time of a process, of all that it has started, and of the
// kernel's softirq threads: what a router costs beside what it costs the sender.
func cpuOf(p *netlab.Process) cpuTime {
	c := cpuTime{}
	if p != nil {
		for _, pid := range family(p.PID()) {
			c.add(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		}
	}
	for _, pid := range softirqThreads() {
		c.add(fmt.Sprintf("/proc/%d/schedstat", pid))
	}
	return c
}

// family returns a process and its descendants.
func family(pid int) []int {
	all := []int{pid}
	for _, child := range netlab.Children(pid) {
		all = append(all, family(child)...)
	}
	return all
}

// softirqThreads returns the kernel's ksoftirqd threads.
func softirqThreads() (list []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/comm") // a wrong pattern alone is an error
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(text), "ksoftirqd/") {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
				list = append(list, pid)
			}
		}
	}
	return list
}

func (c cpuTime) add(pattern string) {
	names, _ := filepath.Glob(pattern)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		if t, ok := parseSchedstat(string(text)); ok {
			c[name] = t
		}
	}
}

// parseSchedstat reads the first number of /proc/PID/schedstat: time on the CPU in
// ns (Documentation/scheduler/sched-stats.rst).
func parseSchedstat(text string) (time.Duration, bool) {
	first, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	n, err := strconv.ParseInt(first, 10, 64)
	return time.Duration(n), err == nil
}

// since returns the time that was used between an earlier look and this one, also
// by threads that are new.
func (c cpuTime) since(earlier cpuTime) (sum time.Duration) {
	for name, t := range c {
		sum += t - earlier[name]
	}
	return sum
}
