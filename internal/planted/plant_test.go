package planted

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// module is the root of the sources.
const module = "../.."

// selector is the environment variable that wakes a bug by its number.
const selector = "VROUTER_PLANTED_BUG"

// bug is a planted bug: in a function of a file, some lines are others.
type bug struct {
	number   int // from 1
	name     string
	file     string // within the module
	by       string // the package whose tests must find it
	old, new string
}

// readBugs reads a list: blocks between blank lines, of a name, a file (and "by"
// with the package whose tests find it, if that is not the file's own), and lines
// with - and +.
func readBugs(t *testing.T, name string) []bug {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var bugs []bug
	for _, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		if strings.HasPrefix(block, "#") {
			continue
		}
		lines := strings.Split(block, "\n")
		if len(lines) < 4 {
			t.Fatalf("%s: %q is not complete", name, block)
		}
		b := bug{number: len(bugs) + 1, name: lines[0]}
		file, by, given := strings.Cut(lines[1], " by ")
		b.file, b.by = file, path.Dir(file)
		if given {
			b.by = by
		}
		var old, changed []string
		for _, line := range lines[2:] {
			switch line[0] {
			case '-':
				old = append(old, line[1:])
			case '+':
				changed = append(changed, line[1:])
			default:
				t.Fatalf("%s: %s: line %q begins with neither - nor +", name, b.name, line)
			}
		}
		b.old, b.new = strings.Join(old, "\n"), strings.Join(changed, "\n")
		bugs = append(bugs, b)
	}
	return bugs
}

// plant writes the sources with all bugs in them, each asleep in a copy of its
// function, and returns the file that tells the go command to take them instead
// of the real ones.
func plant(t *testing.T, bugs []bug) string {
	t.Helper()
	directory := t.TempDir()
	root, err := filepath.Abs(module)
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	put := func(name string, content []byte) {
		at := filepath.Join(directory, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(at, content, 0o666); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, name)] = at
	}
	byFile := map[string][]bug{}
	for _, b := range bugs {
		byFile[b.file] = append(byFile[b.file], b)
	}
	for file, list := range byFile {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		put(file, plantInto(t, string(text), list))
		put(path.Dir(file)+"/planted_bug.go", []byte("package "+path.Base(path.Dir(file))+"\n\nimport \"os\"\n\n"+
			"var plantedBug = os.Getenv(\""+selector+"\")\n"))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(directory, "overlay.json")
	if err := os.WriteFile(name, overlay, 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

// plantInto returns a file's text with the bugs: a function with bugs begins
// with a call of the copy that has the one that is awake.
func plantInto(t *testing.T, text string, bugs []bug) []byte {
	t.Helper()
	var copies bytes.Buffer
	calls := map[int]string{} // by the place behind a function's opening brace
	for _, b := range bugs {
		if n := strings.Count(text, b.old); n != 1 {
			t.Fatalf("%s: %s has the lines %d times, and not once:\n%s", b.name, b.file, n, b.old)
		}
		fn := functionAt(t, b, text, strings.Index(text, b.old))
		from, name, end := int(fn.Pos())-1, int(fn.Name.Pos())-1, int(fn.End())-1
		renamed := fmt.Sprintf("%sWithBug%d", fn.Name.Name, b.number)
		rest := text[name+len(fn.Name.Name) : end]
		if !strings.Contains(rest, b.old) {
			t.Fatalf("%s: the lines begin before the name of %s", b.name, fn.Name.Name)
		}
		changed := text[from:name] + renamed + strings.Replace(rest, b.old, b.new, 1)
		copies.WriteString("\n" + changed + "\n")
		calls[int(fn.Body.Lbrace)] += callOf(text, fn, renamed, b.number)
	}
	var out bytes.Buffer
	for i := range len(text) {
		out.WriteByte(text[i])
		out.WriteString(calls[i+1])
	}
	out.Write(copies.Bytes())
	return out.Bytes()
}

// functionAt returns the function declaration around an offset.
func functionAt(t *testing.T, b bug, text string, offset int) *ast.FuncDecl {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), b.file, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if ok && int(fn.Pos())-1 <= offset && offset < int(fn.End())-1 {
			return fn
		}
	}
	t.Fatalf("%s: the lines are in no function of %s", b.name, b.file)
	return nil
}

// callOf returns the statement that calls a function's copy where its bug is
// awake.
func callOf(text string, fn *ast.FuncDecl, renamed string, number int) string {
	var args []string
	for _, field := range fn.Type.Params.List {
		kind := text[field.Type.Pos()-1 : field.Type.End()-1]
		if len(field.Names) == 0 {
			args = append(args, "*new("+kind+")")
		}
		for _, name := range field.Names {
			if name.Name == "_" {
				args = append(args, "*new("+kind+")")
			} else {
				args = append(args, name.Name)
			}
		}
	}
	call := renamed + "(" + strings.Join(args, ", ") + ")"
	if fn.Recv != nil {
		call = fn.Recv.List[0].Names[0].Name + "." + call
	}
	if fn.Type.Results != nil {
		return fmt.Sprintf("\nif plantedBug == \"%d\" { return %s }\n", number, call)
	}
	return fmt.Sprintf("\nif plantedBug == \"%d\" { %s; return }\n", number, call)
}
