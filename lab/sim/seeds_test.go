package sim

import (
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	oneSeed   = flag.Uint64("seed", 0, "run only this seed, and show its trace with -v")
	seedCount = flag.Uint64("seeds", 3000, "how many seeds to run")
	seedFirst = flag.Uint64("first", 1, "the first of them")
)

// What a failure prints: the command that repeats it, and the shortest story
// that still fails, as a scenario file.
func failure(o *Outcome, planted bug) string {
	found := o.Lab.Violations()
	return fmt.Sprintf("seed %d: %d violations, the first: %s\nrepeat: go test ./lab/sim -run TestSeeds -seed=%d -v\nit fails with no more than this, too:\n%s",
		o.Seed, len(found), found[0], o.Seed, o.scenario(shrink(o.Seed, o.steps, planted)))
}

func TestSeeds(t *testing.T) {
	if *oneSeed != 0 {
		o := RunSeed(*oneSeed, false)
		t.Logf("seed %d:\n%s\n%s", *oneSeed, o.scenario(o.steps), strings.Join(o.Lab.Trace, "\n"))
		for _, v := range o.Lab.Violations() {
			t.Error(v)
		}
		if t.Failed() {
			t.Log(failure(o, noBug))
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
	var next atomic.Uint64
	var sum tally
	var all sync.WaitGroup
	begun := time.Now()
	next.Store(*seedFirst - 1)
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for seed := next.Add(1); seed < *seedFirst+count && sum.failures() < 10; seed = next.Add(1) {
				o := RunSeed(seed, false)
				sum.add(o)
				if len(o.Lab.Violations()) > 0 {
					t.Error(failure(o, noBug))
				}
			}
		})
	}
	all.Wait()
	t.Logf("%s\nin %v", &sum, time.Since(begun).Round(time.Second))
}

// tally sums runs up.
type tally struct {
	lock                          sync.Mutex
	seeds, failed                 int
	frames                        uint64
	probes, due, lost, stepsTaken int
	virtual                       time.Duration
	routers                       [maxRouters + 1]int
	faults                        map[string]int
}

func (s *tally) add(o *Outcome) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.faults == nil {
		s.faults = map[string]int{}
	}
	s.seeds++
	if len(o.Lab.Violations()) > 0 {
		s.failed++
	}
	s.frames += o.Lab.Frames
	s.probes, s.due, s.lost = s.probes+o.Probes, s.due+o.Due, s.lost+o.Lost
	s.virtual += o.Lab.Elapsed()
	s.routers[len(o.Lab.Routers)]++
	for kind, n := range o.Faults {
		s.faults[kind] += n
		s.stepsTaken += n
	}
}

func (s *tally) failures() int {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.failed
}

func (s *tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d seeds, %.1f simulated hours, %d frames on wires, %d probes, %d of them owed delivery, %d others lost\n",
		s.seeds, s.virtual.Hours(), s.frames, s.probes, s.due, s.lost)
	fmt.Fprintf(&b, "networks of")
	for n, count := range s.routers {
		if count > 0 {
			fmt.Fprintf(&b, " %d routers: %d;", n, count)
		}
	}
	fmt.Fprintf(&b, "\n%d faults and changes:", s.stepsTaken)
	var kinds []string
	for kind := range s.faults {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		fmt.Fprintf(&b, " %s %d", kind, s.faults[kind])
	}
	return b.String()
}
