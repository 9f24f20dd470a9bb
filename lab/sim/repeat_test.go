package sim

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A run can be repeated from its seed, byte for byte: every frame on every
// wire, at the same nanosecond, and the trace.
func TestRunsRepeat(t *testing.T) {
	digests := map[uint64]uint64{}
	for seed := uint64(1); seed <= 20; seed++ {
		a, b := RunSeed(seed, true).Lab, RunSeed(seed, true).Lab
		if !slices.Equal(a.Trace, b.Trace) {
			t.Errorf("seed %d: the traces differ", seed)
		}
		if a.Digest() != b.Digest() || a.Frames != b.Frames {
			t.Errorf("seed %d: the frames on the wires differ", seed)
		}
		if other, same := digests[a.Digest()]; same {
			t.Errorf("seeds %d and %d give the same run", seed, other)
		}
		digests[a.Digest()] = seed
	}
}

// A run written down as a scenario is the same run, frame by frame.
func TestARunAsAScenarioIsTheSameRun(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		o := RunSeed(seed, true)
		s := newScript()
		s.recorded = true
		if _, err := s.play(o.scenario(o.steps)); err != nil {
			t.Errorf("seed %d: %v", seed, err)
			continue
		}
		if s.lab.Digest() != o.Lab.Digest() || !slices.Equal(s.lab.Trace, o.Lab.Trace) {
			t.Errorf("seed %d: the scenario runs otherwise", seed)
		}
	}
}

// What shrinking leaves still fails, and nothing in it can be left out.
func TestShrinkingLeavesWhatMatters(t *testing.T) {
	seed := uint64(1)
	o := runSeed(seed, false, bugNoZero)
	for ; len(o.Lab.Violations()) == 0; o = runSeed(seed, false, bugNoZero) {
		if seed++; seed > 100 {
			t.Fatal("no seed fails")
		}
	}
	fails := func(steps []step) bool { return len(replay(o.Seed, steps, false, bugNoZero).Lab.Violations()) > 0 }
	left := shrink(o.Seed, o.steps, bugNoZero)
	if !fails(left) || len(left) >= len(o.steps) {
		t.Errorf("%d steps of %d are left; they fail: %v", len(left), len(o.steps), fails(left))
	}
	for i, s := range left {
		if s.do.kind != "" && fails(without(left, i)) {
			t.Errorf("%q could be left out of\n%s", s, o.scenario(left))
		}
	}
}

// The checkers see frames and tables; what they read them with is their own.
func TestCheckersShareNoCodeWithTheRouter(t *testing.T) {
	files, _ := filepath.Glob("check*.go")
	for _, name := range append(files, "parse.go") {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if strings.HasPrefix(i.Path.Value, `"vrouter/`) {
				t.Errorf("%s imports %s", name, i.Path.Value)
			}
		}
	}
	if len(files) < 4 {
		t.Errorf("only %v", files)
	}
}
