package sim

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Outcome is what became of a random run.
type Outcome struct {
	Lab    *Lab
	Seed   uint64
	Faults int // and planned changes
	Probes int
	Due    int // of them: the network owed delivery
	Lost   int // by right: while a fault was going on
}

// walk is a random run: a network and faults drawn from a seed.
type walk struct {
	*Lab
	draw   *rand.Rand // apart from the network's own dice
	faults int
	unit   time.Duration // the longest interval
}

// RunSeed draws a network and faults from a seed, runs them, mends everything,
// and lets the network settle. planted is given to the first router.
func RunSeed(seed uint64, record bool) *Outcome { return runSeed(seed, record, noBug) }

func runSeed(seed uint64, record bool, planted bug) *Outcome {
	w := &walk{draw: rand.New(rand.NewPCG(seed, 0x77616c6b))}
	w.build(seed)
	if record {
		w.Record()
	}
	w.Routers[0].planted = planted
	w.Begin()
	for i, n := range w.Routers {
		if i == 0 || w.draw.IntN(8) > 0 {
			n.Begin()
			w.pause()
		}
	}
	w.rest()
	for range 3 + w.draw.IntN(8) {
		w.something()
	}
	w.mend()
	w.rest()
	w.Run(5 * w.unit)
	o := &Outcome{Lab: w.Lab, Seed: seed, Faults: w.faults}
	for _, f := range w.flows {
		o.Probes += len(f.probes)
		for i := range f.probes {
			if f.probes[i].due {
				o.Due++
			}
			if f.probes[i].copies == 0 {
				o.Lost++
			}
		}
	}
	return o
}

// build draws the network: two to four routers.
func (w *walk) build(seed uint64) {
	intervals := []time.Duration{10, 20, 50, 100, 100, 200, 500, 1000}
	interval := intervals[w.draw.IntN(len(intervals))] * time.Millisecond
	version, mixed := 3, w.draw.IntN(6) == 0
	families := [][2]bool{{true, false}, {false, true}, {true, true}}[w.draw.IntN(3)]
	if w.draw.IntN(8) == 0 {
		version, mixed, interval, families = 2, false, time.Second, [2]bool{true, false}
	}
	longest := interval
	if mixed {
		longest = time.Second
	}
	w.Lab = NewLab(seed, families, longest/2)
	w.dense = max(longest/25, time.Millisecond)
	preempt := w.draw.IntN(5) > 0
	priorities := w.priorities()
	for i := range 2 + w.draw.IntN(maxRouters-1) {
		s := DefaultSpec(fmt.Sprintf("r%d", i+1))
		s.Version, s.Interval, s.Priority, s.Preempt = version, interval, priorities[i], preempt
		if mixed {
			s.Interval = intervals[w.draw.IntN(len(intervals))] * time.Millisecond
		}
		s.Drain = max(2*interval, 50*time.Millisecond)
		if mixed || w.draw.IntN(4) == 0 {
			s.Drain = time.Second
		}
		s.Rate = 0.995 + w.draw.Float64()/100
		if w.draw.IntN(3) == 0 {
			s.Late = s.Interval / 50
		}
		if w.draw.IntN(10) == 0 {
			s.PreemptDelay = 5 * s.Interval
		}
		w.unit = max(w.unit, s.Interval)
		if _, err := w.Add(s); err != nil {
			panic("sim: a drawn network is not valid: " + err.Error())
		}
	}
}

// priorities draws them, mostly well apart, in any order.
func (w *walk) priorities() []int {
	list := []int{200, 150, 100, 50}
	switch w.draw.IntN(6) {
	case 0:
		list = []int{100, 100, 100, 100}
	case 1:
		for i := range list {
			list[i] = 1 + w.draw.IntN(254)
		}
	}
	w.draw.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// pause lets a moment pass: none, or some intervals.
func (w *walk) pause() {
	if w.draw.IntN(4) > 0 {
		w.Run(time.Duration(w.draw.Float64() * w.draw.Float64() * 8 * float64(w.unit)))
	}
}

// rest lets the network settle, and a little more.
func (w *walk) rest() {
	young := max(0, w.checks.faultAt.Sub(w.now))
	w.Run(young + w.checks.bound + w.checks.hold + 3*w.unit)
}

// do carries an action out.
func (w *walk) do(a action) {
	w.faults++
	w.act(a)
	w.watch(w.unit)
}

// something lets something happen to a router or a switch, mostly with its end.
func (w *walk) something() {
	a := action{router: w.draw.IntN(len(w.Routers)), sides: [][]int{{0}, {1}, {0, 1}}[w.draw.IntN(3)]}
	pairs := [][2]string{
		{"crash", "start"},
		{"crash", "start"},
		{"freeze", "thaw"},
		{"freeze", "thaw"},
		{"stop", "start"},
		{"stop", "start"},
		{"cut", "mend"},
		{"loss", "clear"},
		{"deaf", "clear"},
		{"mute", "clear"},
		{"partition", "heal"},
		{"switchover", ""},
		{"switchover", ""},
		{"forget", ""},
	}
	p := pairs[w.draw.IntN(len(pairs))]
	a.share = 0.2 * w.draw.Float64()
	a.kind = p[0]
	w.do(a)
	if w.draw.IntN(2) == 0 {
		w.rest()
	} else {
		w.pause()
	}
	if p[1] != "" && w.draw.IntN(3) > 0 {
		a.kind = p[1]
		w.do(a)
		if w.draw.IntN(2) == 0 {
			w.rest()
		}
	}
}

// mend undoes all that is still broken.
func (w *walk) mend() {
	w.do(action{kind: "heal", sides: []int{0, 1}})
	for i := range w.Routers {
		for _, kind := range []string{"mend", "clear", "thaw", "start"} {
			w.act(action{kind: kind, router: i, sides: []int{0, 1}})
		}
	}
}
