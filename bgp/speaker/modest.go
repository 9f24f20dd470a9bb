package speaker

import (
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// niceness makes forwarding and VRRP go before a million routes; see nice(1). At 5
// advertisements were up to 10 ms late while BGP had both CPUs, at 10 one: a thread
// of the router process that is to stop for its garbage collector stood behind BGP's.
// At 15 sessions did not come up in time where others kept the CPUs busy.
const niceness = 10

// slice is how long a thread of this process keeps a CPU before one that has
// become ready and has the better claim may take it: the kernel's default is
// milliseconds, for which advertisements were late now and then. It is the
// least there is. Before Linux 6.12 it has no effect; see sched_setattr(2).
const slice = 100 * time.Microsecond

// modest makes this process the one that the kernel ends first where memory is
// short, and one that others go before.
func modest(log *slog.Logger) {
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0); err != nil {
		log.Debug("oom_score_adj stays as it is", "error", err)
	}
	attr := unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL, Nice: niceness, Runtime: uint64(slice.Nanoseconds()),
	}
	// Threads that come later are as those that begin them.
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		id, err := strconv.Atoi(task.Name())
		if err != nil {
			continue
		}
		_ = unix.Setpriority(unix.PRIO_PROCESS, id, niceness) // more is always permitted
		if err := unix.SchedSetAttr(id, &attr, 0); err != nil {
			log.Debug("slices stay as they are", "error", err)
		}
	}
}

// limitMemory sets how much memory the process may have, in bytes: beyond it
// the garbage collector works harder, and a quarter beyond it the process ends.
// 0 is half of the machine's.
func limitMemory(limit int64) {
	if limit == 0 {
		var info unix.Sysinfo_t
		if unix.Sysinfo(&info) != nil {
			return
		}
		limit = int64(info.Totalram) * int64(info.Unit) / 2
	}
	debug.SetMemoryLimit(limit)
	hard := uint64(limit + limit/4)
	var was unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_DATA, &was) == nil {
		_ = unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: min(hard, was.Max), Max: was.Max}) // lower is always permitted
	}
}

// loadingPercent is how much garbage there may be beside what is in use, while
// routes come in by the hundred thousand: the collector, which goes through all
// of them each time, takes a third of the CPU time then at the usual 100. The
// memory limit goes before it.
const loadingPercent = 200

// hurry is how many changes of routes in tickTime are many.
const hurry = 5000

// collector is what the garbage collector is set to. One goroutine owns it.
type collector struct {
	usual   int // GOGC
	loading bool
}

func newCollector() collector {
	c := collector{usual: debug.SetGCPercent(loadingPercent)}
	debug.SetGCPercent(c.usual)
	return c
}

// pace gives memory for time while routes are loading, and takes it back after.
func (c *collector) pace(loading bool) {
	if loading == c.loading || c.usual < 0 || c.usual >= loadingPercent {
		return // the operator's GOGC
	}
	if c.loading = loading; loading {
		debug.SetGCPercent(loadingPercent)
	} else {
		debug.SetGCPercent(c.usual) // what is beyond it is collected at once
	}
}
