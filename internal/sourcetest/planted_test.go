package sourcetest

import (
	"strings"
	"testing"
)

// parse parses a planted file.
func parse(t *testing.T, name, text string) *File {
	t.Helper()
	f, err := Parse(name, text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// expect wants exactly one finding with the given text, or none where the text
// is empty.
func expect(t *testing.T, list []Finding, text string) {
	t.Helper()
	switch {
	case text == "" && len(list) > 0:
		t.Errorf("findings in a good file: %q", list)
	case text != "" && len(list) != 1:
		t.Errorf("%d findings, want one with %q: %q", len(list), text, list)
	case text != "" && !strings.Contains(string(list[0]), text):
		t.Errorf("finding %q, want one with %q", list[0], text)
	}
}

func TestPureFindsWhatIsPlanted(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"good", "import \"time\"\n\ntype T struct{ at time.Time }\n\nfunc (t T) Late(now time.Time) bool { return now.Sub(t.at) > time.Second }", ""},
		{"goroutine", "func f() { go f() }", "x/x.go:3: a pure package starts no goroutine"},
		{"channel", "type t struct{ c chan int }", "no channel"},
		{"send", "func f(c t) { c <- 1 }", "no channel"},
		{"select", "func f() { select {} }", "no channel"},
		{"clock", "import \"time\"\n\nvar now = time.Now()", "time.Now in a pure package"},
		{"clock as a value", "import \"time\"\n\nvar clock = time.Now", "time.Now in a pure package"},
		{"clock renamed", "import t \"time\"\n\nfunc f() { t.Sleep(1) }", "time.Sleep in a pure package"},
		{"since", "import \"time\"\n\nfunc f(a time.Time) { time.Since(a) }", "time.Since in a pure package"},
		{"timer", "import \"time\"\n\nfunc f() { time.NewTimer(1) }", "time.NewTimer in a pure package"},
		{"dot import", "import . \"time\"\n\nfunc f() { Sleep(1) }", "no dot import"},
		{"lock", "import \"sync\"\n\nvar mu sync.Mutex", "does not import sync"},
		{"atomic", "import \"sync/atomic\"\n\nvar n atomic.Int64", "sync/atomic is for"},
		{"files", "import \"os\"\n\nfunc f() { os.Exit(1) }", "does not import os"},
		{"log", "import \"log/slog\"\n\nfunc f() { slog.Info(\"\") }", "does not import log/slog"},
		{"system calls", "import \"unsafe\"\n\nvar p unsafe.Pointer", "does not import unsafe"},
		{"blank import", "import _ \"net/http/pprof\"", "does not import net/http/pprof"},
		{"sockets", "import \"net\"\n\nfunc f() { net.Dial(\"\", \"\") }", "net.Dial in a pure package"},
		{"standard output", "import \"fmt\"\n\nfunc f() { fmt.Println() }", "fmt.Println in a pure package"},
		{"print", "func f() { println() }", "writes nothing"},
		{"global randomness", "import \"math/rand/v2\"\n\nfunc f() int { return rand.IntN(2) }", "rand.IntN in a pure package"},
		{"a variable called time", "type t struct{ Now int }\n\nfunc f(time t) int { return time.Now }", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			expect(t, Pure(parse(t, "x/x.go", "package x\n\n"+test.text+"\n")), test.want)
		})
	}
}

func TestPureLeavesTestsAndTheLeaseAlone(t *testing.T) {
	expect(t, Pure(parse(t, "x/x_test.go", "package x\n\nimport \"os\"\n\nvar a = os.Args\n")), "")
	expect(t, Pure(parse(t, "dataplane/fib/lease.go", "package fib\n\nimport \"sync/atomic\"\n\nvar n atomic.Int64\n")), "")
}

// planted is a package table in the form of the document.
const planted = "text before\n\n" + tableHead + `
|---|---|---|---|---|
| ` + "`a`" + ` | the first | yes | – | – |
| ` + "`b/c`" + ` | the second, with | | ` + "`a`" + ` | ` + "`example.org/lib`" + ` |

text behind
`

func TestTableIsRead(t *testing.T) {
	rows, err := Table(planted)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 || !rows[0].Pure || rows[1].Pure || rows[1].Package != "b/c" ||
		len(rows[0].Own)+len(rows[0].Foreign) != 0 || rows[1].Own[0] != "a" || rows[1].Foreign[0] != "example.org/lib" {
		t.Errorf("rows %+v", rows)
	}
	for _, bad := range []string{"", tableHead + "\n|---|\n", tableHead + "\n|---|\n| `a` | yes |\n", tableHead + "\n|---|\n| a | | | | |\n"} {
		if _, err := Table(bad); err == nil {
			t.Errorf("no error for the table %q", bad)
		}
	}
}

func TestImportsFindsWhatIsPlanted(t *testing.T) {
	rows, err := Table(planted)
	if err != nil {
		t.Fatal(err)
	}
	good := "package c\n\nimport (\n\t_ \"fmt\"\n\t_ \"vrouter/a\"\n\t_ \"example.org/lib/v2/part\"\n)\n"
	tests := []struct{ name, a, c, want string }{
		{"good", "package a\n", good, ""},
		{"upwards", "package a\n\nimport _ \"vrouter/b/c\"\n", good, "a may not import b/c"},
		{"foreign", "package a\n\nimport _ \"example.org/lib\"\n", good, "a may not import example.org/lib"},
		{"longer name", "package a\n", "package c\n\nimport _ \"example.org/library\"\n", "b/c may not import example.org/library"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			files := []*File{parse(t, "a/a.go", test.a), parse(t, "b/c/c.go", test.c)}
			expect(t, Imports(files, rows), test.want)
		})
	}
	a := parse(t, "a/a.go", "package a\n")
	expect(t, Imports([]*File{a}, rows), "names b/c, which does not exist")
	all := []*File{a, parse(t, "b/c/c.go", good), parse(t, "d/d.go", "package d\n")}
	expect(t, Imports(all, rows), "package d is not in the package table")
	all[2] = parse(t, "a/a_test.go", "package a\n\nimport _ \"vrouter/b/c\"\n")
	expect(t, Imports(all, rows), "")
}

func TestSizeFindsWhatIsPlanted(t *testing.T) {
	deep := func(n int) string {
		return "func f() {\n" + strings.Repeat("for {\n", n) + strings.Repeat("}\n", n) + "}\n"
	}
	chain := "func f(a int) {\n" + strings.Repeat("if a > 0 {\n} else ", 8) + "{\n}\n}\n"
	tests := []struct{ name, file, text, want string }{
		{"small", "x/x.go", deep(4), ""},
		{"a chain of else if", "x/x.go", chain, ""},
		{"deep", "x/x.go", deep(5), "f nests 5 deep"},
		{"deep behind else", "x/x.go", "func f(a int) {\nif a > 0 {\n} else {\nfor {\nfor {\nfor {\nfor {\n}\n}\n}\n}\n}\n}\n", "f nests 5 deep"},
		{"long function", "x/x.go", "func f() {\n" + strings.Repeat("f()\n", 59) + "}\n", "f has 61 lines"},
		{"long function of a test", "x/x_test.go", "func f() {\n" + strings.Repeat("f()\n", 99) + "}\n", ""},
		{"long file", "x/x_test.go", strings.Repeat("\n", 500), "502 lines"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			expect(t, Size(parse(t, test.file, "package x\n\n"+test.text)), test.want)
		})
	}
}

func TestDocumentedFindsWhatIsPlanted(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"good", "// A is.\ntype A int\n\n// B does.\nfunc (A) B() {}\n\n// The numbers.\nconst (\n\tC = 1\n\tD = 2\n)", ""},
		{"not exported", "type a int\n\nfunc (a) B() {}\n\nfunc c() {}", ""},
		{"type", "type A int", "A is exported"},
		{"type in a group", "// Types.\ntype (\n\tA int\n)", "A is exported"},
		{"function", "func F() {}", "F is exported"},
		{"method", "// A is.\ntype A[T any] int\n\nfunc (*A[T]) B() {}", "B is exported"},
		{"constant", "const (\n\tA = 1\n\tB = 2 // has a comment\n)", "A is exported"},
		{"variable", "var a, B int", "B is exported"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			expect(t, Documented(parse(t, "x/x.go", "package x\n\n"+test.text+"\n")), test.want)
		})
	}
}

func TestLeftoversAndPackageCommentsAreFound(t *testing.T) {
	expect(t, Leftovers(parse(t, "x/x.go", "package x\n\n// "+"TO"+"DO: more\n")), "x/x.go:3: TO"+"DO")
	expect(t, Leftovers(parse(t, "x/x.go", "package x\n\n// all done, mastodont\n")), "")
	with, without := parse(t, "x/x.go", "// Package x is.\npackage x\n"), parse(t, "x/y.go", "package x\n")
	expect(t, PackageComments([]*File{with, without}), "")
	expect(t, PackageComments([]*File{without}), "package x has 0 package comments")
	expect(t, PackageComments([]*File{with, with}), "package x has 2 package comments")
}
