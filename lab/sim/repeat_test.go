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
