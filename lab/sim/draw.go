package sim

import (
	"fmt"
	"time"
)

// build draws the network: two to seven routers, alike in some things and not
// in others.
func (w *walk) build(seed uint64) {
	intervals := []time.Duration{10, 20, 50, 100, 100, 200, 500, 1000}
	interval := intervals[w.draw.IntN(len(intervals))] * time.Millisecond
	version, mixed := 3, w.draw.IntN(6) == 0
	families := [][2]bool{{true, false}, {false, true}, {true, true}}[w.draw.IntN(3)]
	if w.draw.IntN(8) == 0 { // version 2 has IPv4 and whole seconds only
		version, mixed, interval = 2, false, time.Second
		families[0] = true
	}
	auth := ""
	if version == 2 {
		auth = []string{"", "password", "ah"}[w.draw.IntN(3)]
	}
	longest := interval
	if mixed {
		longest = time.Second
	}
	w.Lab = NewLab(seed, families, longest/2)
	w.dense = max(longest/25, time.Millisecond)
	preempt := w.draw.IntN(5) // 0: nobody, 1: some, else all
	group := []string{"all", "family", "", "", ""}[w.draw.IntN(5)]
	priorities := w.priorities(group == "" || !mixed)
	track := []int{0, 10 + w.draw.IntN(90), -1, -1}[w.draw.IntN(4)]
	check := []int{0, 10 + w.draw.IntN(90), -1, -1}[w.draw.IntN(4)]
	route, fast := w.draw.IntN(4) == 0, w.draw.IntN(3) == 0
	for i := range w.count() {
		s := DefaultSpec(fmt.Sprintf("r%d", i+1))
		s.Version, s.Interval, s.Priority = version, interval, priorities[i]
		s.Auth = auth
		s.Preempt = preempt > 1 || preempt == 1 && w.draw.IntN(2) == 0
		s.Group, s.Track, s.Check, s.Route, s.FastDetect = group, track, check, route, fast
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

// count draws how many routers there are: mostly few, for few make the closer
// checks and the faster runs.
func (w *walk) count() int {
	if w.draw.IntN(4) > 0 {
		return 2 + w.draw.IntN(3)
	}
	return 2 + w.draw.IntN(maxRouters-1)
}

// priorities draws them, mostly well apart, in any order. A Master of a long
// interval may assert itself only so often against groups of short ones that
// are tied with it, and they go round meanwhile: no ties there.
func (w *walk) priorities(ties bool) []int {
	list := []int{230, 200, 170, 140, 110, 80, 50}
	switch kind := w.draw.IntN(6); {
	case !ties:
	case kind == 0:
		for i := range list {
			list[i] = 100
		}
	case kind == 1:
		for i := range list {
			list[i] = 1 + w.draw.IntN(254)
		}
	}
	w.draw.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// changes draws what a reload changes of a router: often nothing.
func (w *walk) changes(s Spec) []string {
	switch w.draw.IntN(5) {
	case 0:
		return []string{"priority", fmt.Sprint(1 + w.draw.IntN(254))}
	case 1:
		return []string{"preempt", fmt.Sprint(!s.Preempt)}
	case 2:
		if interval := s.Interval / 2; s.Version == 3 && interval%(10*time.Millisecond) == 0 && interval > 0 {
			return []string{"interval", interval.String()}
		}
	}
	return nil
}
