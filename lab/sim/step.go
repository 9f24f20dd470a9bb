package sim

import (
	"fmt"
	"strings"
	"time"
)

// step is a piece of a run: an action, or, where that has no kind, time that
// passes. A run is its network and its steps: the same network with the same
// steps is the same run, frame by frame.
type step struct {
	wait time.Duration
	do   action
}

// String is the command of scenarios that does the same.
func (s step) String() string {
	if s.do.kind == "" {
		return fmt.Sprintf("run %v", s.wait)
	}
	return s.do.String()
}

// replay runs the steps of an earlier run again, in the network of its seed.
func replay(seed uint64, steps []step, record bool, planted bug) *Outcome {
	w := newWalk(seed, record, planted)
	for _, s := range steps {
		w.take(s)
	}
	return w.outcome()
}

// take carries a step out and writes it down.
func (w *walk) take(s step) {
	w.steps = append(w.steps, s)
	if s.do.kind == "" {
		w.Lab.Run(s.wait)
		return
	}
	w.faults[s.do.kind]++
	w.act(s.do)
}

// shrink leaves out one action after the other as long as the run still ends in
// a violation, and returns what is left: a much shorter story of the same
// failure, mostly.
func shrink(seed uint64, steps []step, planted bug) []step {
	fails := func(try []step) bool {
		return len(replay(seed, try, false, planted).Lab.Violations()) > 0
	}
	for smaller := true; smaller; {
		smaller = false
		for i := len(steps) - 1; i >= 0; i-- {
			if i >= len(steps) || steps[i].do.kind == "" { // pauses that met have become one
				continue
			}
			if try := without(steps, i); fails(try) {
				steps, smaller = try, true
			}
		}
	}
	return steps
}

// without returns steps but for one; pauses that meet become one.
func without(steps []step, i int) []step {
	var left []step
	for k, s := range steps {
		last := len(left) - 1
		switch {
		case k == i:
		case s.do.kind == "" && last >= 0 && left[last].do.kind == "":
			left[last].wait += s.wait
		default:
			left = append(left, s)
		}
	}
	return left
}

// scenario is a run as a scenario file, which repeats it frame by frame.
func (o *Outcome) scenario(steps []step) string {
	var b strings.Builder
	l := o.Lab
	fmt.Fprintf(&b, "seed %d\nfamilies%s\nprobes %v %v\n", o.Seed, familyWords(l.families), l.period, l.dense)
	for i := range l.specs {
		fmt.Fprintln(&b, l.specs[i].command())
	}
	fmt.Fprintln(&b, "run 0s")
	for _, s := range steps {
		fmt.Fprintln(&b, s)
	}
	return b.String()
}

func familyWords(families [2]bool) string {
	words := ""
	for i, name := range familyNames {
		if families[i] {
			words += " " + name
		}
	}
	return words
}
