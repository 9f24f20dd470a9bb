package sim

import (
	"flag"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	oneSeed   = flag.Uint64("seed", 0, "run only this seed, and show its trace with -v")
	seedCount = flag.Uint64("seeds", 3000, "how many seeds to run")
)

func TestSeeds(t *testing.T) {
	if *oneSeed != 0 {
		o := RunSeed(*oneSeed, false)
		t.Logf("seed %d:\n%s", *oneSeed, strings.Join(o.Lab.Trace, "\n"))
		for _, v := range o.Lab.Violations() {
			t.Error(v)
		}
		return
	}
	count := *seedCount
	switch {
	case underRace:
		count /= 50
	case testing.Short():
		count /= 10
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // many short lives
	var next, ran, failed, faults, probes, due, lost, frames atomic.Uint64
	var virtual atomic.Int64
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for seed := next.Add(1); seed <= count && failed.Load() < 10; seed = next.Add(1) {
				o := RunSeed(seed, false)
				ran.Add(1)
				virtual.Add(int64(o.Lab.Elapsed()))
				faults.Add(uint64(o.Faults))
				probes.Add(uint64(o.Probes))
				due.Add(uint64(o.Due))
				lost.Add(uint64(o.Lost))
				frames.Add(o.Lab.Frames)
				if found := o.Lab.Violations(); len(found) > 0 {
					failed.Add(1)
					t.Errorf("seed %d: %d violations, the first: %s\nrepeat: go test ./lab/sim -run TestSeeds -seed=%d -v",
						seed, len(found), found[0], seed)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d seeds, %.1f simulated hours, %d faults and changes, %d frames on wires, %d probes, %d of them owed delivery, %d others lost",
		ran.Load(), time.Duration(virtual.Load()).Hours(), faults.Load(), frames.Load(), probes.Load(), due.Load(), lost.Load())
}
