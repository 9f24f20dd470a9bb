// Package sourcetest tests the sources themselves: that the pure packages are
// pure, that packages import only what docs/ARCHITECTURE.md lets them import,
// that files and functions stay small and exported names are documented, and
// that what the documents say of the sources is so. The checks are functions
// over parsed files, so that a test can plant a violation and see it found.
package sourcetest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Module is the module's path, with which its own import paths begin.
const Module = "vrouter"

// File is a parsed Go file of the module.
type File struct {
	Path  string // from the module's root, with slashes
	Dir   string // of Path: the package's directory; "." is the root
	Test  bool   // a _test.go file
	Lines int
	Set   *token.FileSet
	AST   *ast.File
}

// Finding is a violation of a rule, for people: where, and what is wrong.
type Finding string

// at makes a finding about a place in the file.
func (f *File) at(p token.Pos, format string, args ...any) Finding {
	return Finding(fmt.Sprintf("%s:%d: %s", f.Path, f.Set.Position(p).Line, fmt.Sprintf(format, args...)))
}

// Parse parses the text of one file.
func Parse(name, text string) (*File, error) {
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, name, text, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	return &File{
		Path: name, Dir: path.Dir(name), Test: strings.HasSuffix(name, "_test.go"),
		Lines: strings.Count(text, "\n"), Set: set, AST: parsed,
	}, nil
}

// Load parses every Go file below root, but for other modules, test data, and
// directories that the go command ignores.
func Load(root string) ([]*File, error) {
	var files []*File
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return enter(root, name, d.Name())
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		f, err := Parse(filepath.ToSlash(relative), string(text))
		files = append(files, f)
		return err
	})
	return files, err
}

// enter returns fs.SkipDir for directories that are not looked into.
func enter(root, name, base string) error {
	if name == root {
		return nil
	}
	if base == "testdata" || base[0] == '.' || base[0] == '_' {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

// imports returns the file's imports by the name that the file uses.
func (f *File) imports() map[string]string {
	names := make(map[string]string)
	for _, spec := range f.AST.Imports {
		full := importPath(spec)
		name := packageName(full)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = full
	}
	return names
}

// packageName returns the last part of an import path that is no version.
func packageName(from string) string {
	if base := path.Base(from); base != "v2" {
		return base
	}
	return path.Base(path.Dir(from))
}

func importPath(spec *ast.ImportSpec) string {
	full, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value // the parser has refused such a file
	}
	return full
}

// selectors calls found for each name of an imported package that the file
// uses.
func (f *File) selectors(found func(at token.Pos, importPath, name string)) {
	imports := f.imports()
	ast.Inspect(f.AST, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		// An identifier with an object is a variable that hides the package.
		if x, ok := s.X.(*ast.Ident); ok && x.Obj == nil && imports[x.Name] != "" {
			found(s.Pos(), imports[x.Name], s.Sel.Name)
		}
		return true
	})
}

// packages returns the directories of the files that are no tests, sorted.
func packages(files []*File) []string {
	var list []string
	for _, f := range files {
		if !f.Test && !slices.Contains(list, f.Dir) {
			list = append(list, f.Dir)
		}
	}
	slices.Sort(list)
	return list
}
