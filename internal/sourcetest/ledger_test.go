package sourcetest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// ledger is a page of docs/conformance: a table of clauses, each with a place and a
// test of a package, or of those beside it.
type ledger struct {
	page    string
	own     string          // directory of the package whose names stand alone
	others  []string        // directories of those that stand with their package
	planted map[string]bool // bugs of internal/planted that each want a row
	least   int             // rows
}

// TestLedger checks docs/conformance: each row names a place and a test that
// exist, or says why there is none.
func TestLedger(t *testing.T) {
	for _, l := range []ledger{
		{
			page: "vrrp.md", own: "vrrp", least: 60, planted: plantedBugs(t),
			others: []string{"router", "ndp", "mcast", "arp", "rib", "config", "dataplane", "guardian", "internal/probe"},
		},
		{page: "bgp.md", own: "bgp/speaker", least: 35, others: []string{"router", "rib", "bgp/client", "internal/interop"}},
		{page: "bfd.md", own: "bfd", least: 30, others: []string{"router", "dataplane", "config", "daemon", "internal/interop"}},
	} {
		t.Run(l.page, l.check)
	}
}

func (l ledger) check(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs/conformance", l.page))
	if err != nil {
		t.Fatal(err)
	}
	functions := l.functions(t)
	rows := 0
	for number, line := range strings.Split(string(text), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || strings.Contains(line, "---") || strings.TrimSpace(cells[3]) == "where" {
			if strings.HasPrefix(line, "|") && len(cells) != 6 {
				t.Errorf("line %d has %d cells", number+1, len(cells)-2)
			}
			continue
		}
		rows++
		l.row(t, number+1, cells[3], cells[4], functions)
	}
	for _, bug := range slices.Sorted(maps.Keys(l.planted)) {
		if !l.planted[bug] {
			t.Errorf("no row names the planted bug %q", bug)
		}
	}
	if rows < l.least {
		t.Errorf("only %d rows found", rows)
	}
}

var inBackticks = regexp.MustCompile("`([^`]*)`")

// row checks the cells "where" and "test" of a line.
func (l ledger) row(t *testing.T, number int, where, test string, functions map[string]bool) {
	t.Helper()
	for _, m := range inQuotes.FindAllStringSubmatch(test, -1) {
		if _, planted := l.planted[m[1]]; !planted {
			t.Errorf("line %d: no planted bug %q", number, m[1])
			continue
		}
		l.planted[m[1]] = true
	}
	excused := strings.Contains(where, "**outside**") || strings.Contains(where, "**not yet**")
	tests := inBackticks.FindAllStringSubmatch(test, -1)
	if excused != (len(tests) == 0) {
		t.Errorf("line %d: wants either tests or the reason why not", number)
	}
	for _, m := range tests {
		if !isTest(m[1]) || !functions[m[1]] {
			t.Errorf("line %d: no test %s", number, m[1])
		}
	}
	if excused {
		return
	}
	places := inBackticks.FindAllStringSubmatch(where, -1)
	if len(places) == 0 {
		t.Errorf("line %d names no place", number)
	}
	for _, m := range places {
		if isTest(m[1]) || !functions[m[1]] {
			t.Errorf("line %d: no function %s", number, m[1])
		}
	}
}

var inQuotes = regexp.MustCompile(`"([^"]*)"`)

// plantedBugs returns the names of the bugs that internal/planted plants: the
// first line of each block of its list.
func plantedBugs(t *testing.T) map[string]bool {
	text, err := os.ReadFile(filepath.Join(root, "internal/planted/testdata/vrrp.txt"))
	if err != nil {
		t.Fatal(err)
	}
	bugs := map[string]bool{}
	for _, block := range strings.Split(string(text), "\n\n") {
		if name, _, _ := strings.Cut(block, "\n"); !strings.HasPrefix(name, "#") {
			bugs[name] = false
		}
	}
	return bugs
}

// isTest reports whether a name is a test's, with its package or without.
func isTest(name string) bool {
	return strings.HasPrefix(name[strings.LastIndexByte(name, '.')+1:], "Test")
}

// functions returns every function and method of the own package, tests included,
// and those of the others as "package.name".
func (l ledger) functions(t *testing.T) map[string]bool {
	names := map[string]bool{}
	for _, directory := range l.others {
		addFunctionNames(t, names, filepath.Join(root, directory), path.Base(directory)+".")
	}
	addFunctionNames(t, names, filepath.Join(root, l.own), "")
	return names
}

func addFunctionNames(t *testing.T, names map[string]bool, directory, prefix string) {
	files, err := filepath.Glob(filepath.Join(directory, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				names[prefix+fn.Name.Name] = true
			}
		}
	}
}
