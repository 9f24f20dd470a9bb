package sourcetest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the module's root, seen from this package.
const root = "../.."

func load(t *testing.T) []*File {
	t.Helper()
	files, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 100 {
		t.Fatalf("%d files: the module has more", len(files))
	}
	return files
}

func table(t *testing.T) []Row {
	t.Helper()
	rows, err := Table(read(t, "docs/ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func report(t *testing.T, list []Finding) {
	t.Helper()
	for _, f := range list {
		t.Error(f)
	}
}

// pureLine are the packages that must stay pure, whatever the table says.
var pureLine = []string{
	"packet", "vrrp", "arp", "ndp", "neigh", "rib", "config", "router", "dataplane", "dataplane/fib",
}

// withoutRace are packages beside the pure ones in which the race detector has
// nothing to look for.
var withoutRace = []string{"lab/sim"}

// What goes without the race detector has no goroutines that it could look at.
func TestPackagesWithoutTheRaceDetectorArePure(t *testing.T) {
	_, rest, found := strings.Cut(read(t, "Makefile"), "\nPURE := ")
	line, _, _ := strings.Cut(rest, "\n")
	if !found {
		t.Fatal("the Makefile has no PURE")
	}
	var got, want []string
	for _, p := range strings.Fields(line) {
		got = append(got, strings.TrimPrefix(p, "./"))
	}
	for _, r := range table(t) {
		if r.Pure {
			want = append(want, r.Package)
		}
	}
	want = append(want, withoutRace...)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("PURE in the Makefile is\n%s, the package table says\n%s", got, want)
	}
}

func TestPurePackagesArePure(t *testing.T) {
	pure := make(map[string]bool)
	for _, r := range table(t) {
		pure[r.Package] = r.Pure
	}
	for _, p := range pureLine {
		if !pure[p] {
			t.Errorf("%s is not marked as pure in the package table", p)
		}
	}
	for _, f := range load(t) {
		if pure[f.Dir] {
			report(t, Pure(f))
		}
	}
}

func TestPurePackagesImportOnlyPureOnes(t *testing.T) {
	rows := make(map[string]Row)
	for _, r := range table(t) {
		rows[r.Package] = r
	}
	for _, r := range rows {
		if !r.Pure {
			continue
		}
		for _, p := range r.Own {
			if !rows[p].Pure {
				t.Errorf("%s is pure and may import %s, which is not", r.Package, p)
			}
		}
	}
}

func TestPackagesImportWhatTheTableAllows(t *testing.T) { report(t, Imports(load(t), table(t))) }

func TestFilesAndFunctionsAreSmall(t *testing.T) {
	for _, f := range load(t) {
		report(t, Size(f))
	}
}

func TestNothingIsLeftToDo(t *testing.T) {
	for _, f := range load(t) {
		report(t, Leftovers(f))
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	for _, f := range load(t) {
		report(t, Documented(f))
	}
}

func TestEveryPackageHasOneComment(t *testing.T) { report(t, PackageComments(load(t))) }
