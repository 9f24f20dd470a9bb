package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// floodWorld draws a network whose backups are flooded: two to four routers
// with priorities apart, of which the first is the best, and probes each
// millisecond.
func floodWorld(t *testing.T, seed uint64) (l *Lab, interval time.Duration, draw *rand.Rand) {
	t.Helper()
	draw = rand.New(rand.NewPCG(seed, 0x666c6f6f64))
	interval = []time.Duration{10, 100, 1000}[draw.IntN(3)] * time.Millisecond
	families := [][2]bool{{true, false}, {false, true}, {true, true}}[draw.IntN(3)]
	l = NewLab(seed, families, time.Millisecond)
	for i := range 2 + draw.IntN(3) {
		s := DefaultSpec(fmt.Sprintf("r%d", i+1))
		s.Interval, s.Priority, s.FastDetect = interval, 250-60*i-draw.IntN(20), true
		s.Rate = 0.995 + draw.Float64()/100
		if _, err := l.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	l.Begin()
	for _, n := range l.Routers {
		n.Begin()
		l.Run(time.Duration(draw.Int64N(int64(interval))))
	}
	l.Run(5*interval + time.Second)
	if is := l.Routers[0].State(l.checks.virtual[0].name); is != "Master" {
		t.Fatalf("seed %d: the best router is %s", seed, is)
	}
	l.lost()
	return l, interval, draw
}

// lostOf returns how many probes each flow has lost since it was last asked, at
// most, and how many came twice in all.
func lostOf(t *testing.T, l *Lab) (most, twice int) {
	t.Helper()
	for _, line := range l.lost() {
		var n, all, again int
		_, counts, _ := strings.Cut(line, ": ")
		counts = strings.ReplaceAll(counts, ",", "")
		words := strings.Fields(counts)
		if _, err := fmt.Sscan(words[0]+" "+words[2]+" "+words[len(words)-2], &n, &all, &again); err != nil || all < 500 {
			t.Fatalf("%s: %v", line, err)
		}
		most, twice = max(most, n), twice+again
	}
	return most, twice
}

const floodSeeds = 60

// The master's host dies, both its cables with it: at every interval at most 15
// ms of packets are lost, and none comes twice.
func TestAFloodedBackupLosesNextToNothing(t *testing.T) {
	worst := 0
	for seed := range uint64(floodSeeds) {
		l, interval, draw := floodWorld(t, seed)
		l.Run(time.Duration(draw.Int64N(int64(interval))))
		l.act(action{kind: "cut", router: 0, sides: []int{0, 1}})
		l.Run(2 * time.Second)
		lost, twice := lostOf(t, l)
		if worst = max(worst, lost); lost > 15 || twice > 0 {
			t.Errorf("seed %d, interval %v: %d lost, %d twice", seed, interval, lost, twice)
		}
		for _, v := range l.checks.virtual {
			if is := l.Routers[1].State(v.name); is != "Master" {
				t.Errorf("seed %d: %s of the second best is %s", seed, v.name, is)
			}
		}
		for _, v := range l.Violations() {
			t.Errorf("seed %d: %s", seed, v)
		}
	}
	t.Logf("at most %d packets of 1 ms lost by a flow", worst)
}

// Switches forget again and again: nothing is lost, nothing comes twice, and
// nobody takes over.
func TestAForgetfulSwitchMisleadsNoBackup(t *testing.T) {
	for seed := range uint64(floodSeeds) {
		l, interval, draw := floodWorld(t, seed)
		for range 20 {
			l.act(action{kind: "forget", sides: [][]int{{0}, {1}, {0, 1}}[draw.IntN(3)]})
			l.Run(time.Duration(draw.Int64N(int64(60 * time.Millisecond))))
		}
		l.Run(time.Second)
		if lost, twice := lostOf(t, l); lost+twice > 0 {
			t.Errorf("seed %d, interval %v: %d lost, %d twice", seed, interval, lost, twice)
		}
		for _, v := range l.checks.virtual {
			if is := l.Routers[0].State(v.name); is != "Master" {
				t.Errorf("seed %d: %s of the best is %s", seed, v.name, is)
			}
		}
		for _, v := range l.Violations() {
			t.Errorf("seed %d: %s", seed, v)
		}
	}
}

// A backup that does not hear the answers to its questions is found.
func TestABackupThatHearsNoAnswersIsFound(t *testing.T) {
	l, _, _ := floodWorld(t, 3)
	l.Routers[1].planted = bugNoAnswers
	l.act(action{kind: "forget", sides: []int{0, 1}})
	l.Run(time.Second)
	if found := strings.Join(l.Violations(), "\n"); !strings.Contains(found, "too early") {
		t.Errorf("no violation says so:\n%s", found)
	}
}
