package vrrp

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestLedger checks docs/conformance/vrrp.md: each row names a place and a
// test that exist, or says why there is none.
func TestLedger(t *testing.T) {
	text, err := os.ReadFile("../docs/conformance/vrrp.md")
	if err != nil {
		t.Fatal(err)
	}
	functions, bugs := functionNames(t), plantedBugs(t)
	quoted := regexp.MustCompile("`([^`]*)`")
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
		for _, m := range inQuotes.FindAllStringSubmatch(cells[4], -1) {
			if _, planted := bugs[m[1]]; !planted {
				t.Errorf("line %d: no planted bug %q", number+1, m[1])
			}
			bugs[m[1]] = true
		}
		excused := strings.Contains(cells[3], "**outside**") || strings.Contains(cells[3], "**not yet**")
		tests := quoted.FindAllStringSubmatch(cells[4], -1)
		if excused != (len(tests) == 0) {
			t.Errorf("line %d: wants either tests or the reason why not", number+1)
		}
		for _, m := range tests {
			if !isTest(m[1]) || !functions[m[1]] {
				t.Errorf("line %d: no test %s", number+1, m[1])
			}
		}
		if excused {
			continue
		}
		places := quoted.FindAllStringSubmatch(cells[3], -1)
		if len(places) == 0 {
			t.Errorf("line %d names no place", number+1)
		}
		for _, m := range places {
			if isTest(m[1]) || !functions[m[1]] {
				t.Errorf("line %d: no function %s", number+1, m[1])
			}
		}
	}
	for bug, named := range bugs {
		if !named {
			t.Errorf("no row names the planted bug %q", bug)
		}
	}
	if rows < 60 {
		t.Errorf("only %d rows found", rows)
	}
}

var inQuotes = regexp.MustCompile(`"([^"]*)"`)

// plantedBugs returns the names of the bugs that internal/planted plants: the
// first line of each block of its list.
func plantedBugs(t *testing.T) map[string]bool {
	text, err := os.ReadFile("../internal/planted/testdata/vrrp.txt")
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

// functionNames returns every function and method of this package, tests
// included, and those of packages beside it as "package.name".
func functionNames(t *testing.T) map[string]bool {
	names := map[string]bool{}
	for _, directory := range []string{
		"router", "ndp", "mcast", "arp", "rib", "config", "dataplane", "guardian", "internal/probe",
	} {
		addFunctionNames(t, names, "../"+directory, path.Base(directory)+".")
	}
	addFunctionNames(t, names, ".", "")
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
