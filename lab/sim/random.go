package sim

import (
	"math/rand/v2"
	"time"
)

// Outcome is what became of a random run.
type Outcome struct {
	Lab    *Lab
	Seed   uint64
	Faults map[string]int // and planned changes, by kind
	Probes int
	Due    int // of them: the network owed delivery
	Lost   int // by right: while a fault was going on
	steps  []step
}

// walk is a random run: a network and faults drawn from a seed.
type walk struct {
	*Lab
	seed   uint64
	draw   *rand.Rand    // apart from the network's own dice
	unit   time.Duration // the longest interval
	steps  []step
	faults map[string]int
}

// RunSeed draws a network and faults from a seed, runs them, mends everything,
// and lets the network settle. planted is given to the first router.
func RunSeed(seed uint64, record bool) *Outcome { return runSeed(seed, record, noBug) }

func runSeed(seed uint64, record bool, planted bug) *Outcome {
	w := newWalk(seed, record, planted)
	for i := range w.Routers {
		if i == 0 || w.draw.IntN(8) > 0 {
			w.do(action{kind: "start", router: i})
			w.pause()
		}
	}
	w.rest()
	for range 3 + w.draw.IntN(8) {
		w.something()
	}
	w.mend()
	w.rest()
	w.wait(w.checks.patience() + 5*w.unit)
	return w.outcome()
}

// newWalk draws the network of a seed and starts its checks.
func newWalk(seed uint64, record bool, planted bug) *walk {
	w := &walk{seed: seed, draw: rand.New(rand.NewPCG(seed, 0x77616c6b)), faults: map[string]int{}}
	w.build(seed)
	if record {
		w.Record()
	}
	w.Routers[0].planted = planted
	w.Begin()
	return w
}

// outcome sums the run up.
func (w *walk) outcome() *Outcome {
	o := &Outcome{Lab: w.Lab, Seed: w.seed, Faults: w.faults, steps: w.steps}
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

// do and wait carry a step out.
func (w *walk) do(a action)          { w.take(step{do: a}) }
func (w *walk) wait(d time.Duration) { w.take(step{wait: d}) }

// pause lets a moment pass: none, or some intervals.
func (w *walk) pause() {
	if w.draw.IntN(4) > 0 {
		w.wait(time.Duration(w.draw.Float64() * w.draw.Float64() * 8 * float64(w.unit)))
	}
}

// rest lets the network settle, and a little more.
func (w *walk) rest() {
	young := max(0, w.checks.faultAt.Sub(w.now))
	w.wait(young + w.checks.bound + w.checks.hold + 3*w.unit)
}

// pairs are what may happen to a router or a switch, and what undoes it.
// What stands twice happens twice as often.
var pairs = [][2]string{
	{"crash", "start"},
	{"off", "on"},
	{"kill", ""},
	{"hang", "thaw"},
	{"freeze", "thaw"},
	{"freeze", "thaw"},
	{"stop", "start"},
	{"stop", "start"},
	{"cut", "mend"},
	{"loss", "clear"},
	{"loss-to", "clear"},
	{"loss-from", "clear"},
	{"deaf", "clear"},
	{"mute", "clear"},
	{"partition", "heal"},
	{"switchover", ""},
	{"switchover", ""},
	{"forget", ""},
	{"step", ""},
	{"ail", "recover"},
	{"drain", "undrain"},
	{"reload", ""},
}

// something lets something happen, mostly with its end.
func (w *walk) something() {
	p := pairs[w.draw.IntN(len(pairs))]
	a := action{kind: p[0], router: w.draw.IntN(len(w.Routers)), sides: [][]int{{0}, {1}, {0, 1}}[w.draw.IntN(3)]}
	switch a.kind {
	case "loss", "loss-to", "loss-from":
		a.share = float64(1+w.draw.IntN(50)) / 100
	case "reload":
		a.changes = w.changes(w.checks.members[a.router].spec)
	case "step":
		a.by = time.Duration(w.draw.Int64N(int64(2*time.Hour))) - time.Hour
	case "partition": // of more than one, mostly
		for i := range w.Routers {
			if w.draw.IntN(3) == 0 {
				w.do(action{kind: a.kind, router: i, sides: a.sides})
			}
		}
	}
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
	for i, n := range w.Routers {
		for side, l := range n.Links {
			if !l.up {
				w.do(action{kind: "mend", router: i, sides: []int{side}})
			}
			if l.lossUp > 0 || l.lossDown > 0 {
				w.do(action{kind: "clear", router: i, sides: []int{side}})
			}
		}
		if n.ailing {
			w.do(action{kind: "recover", router: i})
		}
		if w.checks.members[i].drained {
			w.do(action{kind: "undrain", router: i})
		}
		if n.frozen {
			w.do(action{kind: "thaw", router: i})
		}
		if !n.alive && !n.mourns {
			w.do(action{kind: "start", router: i})
		}
	}
}
