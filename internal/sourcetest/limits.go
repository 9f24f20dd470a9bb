package sourcetest

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
)

// Limits of size, so that a file is read in one go and a function seen at once.
const (
	maxFileLines     = 500
	maxFunctionLines = 60
	maxNesting       = 4
)

// Size finds files that are too long, and in files that are no tests functions
// that are too long or nest too deep.
func Size(f *File) (list []Finding) {
	if f.Lines > maxFileLines {
		list = append(list, Finding(fmt.Sprintf("%s: %d lines, at most %d", f.Path, f.Lines, maxFileLines)))
	}
	if f.Test {
		return list
	}
	for _, d := range f.AST.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		lines := f.Set.Position(fn.End()).Line - f.Set.Position(fn.Pos()).Line + 1
		if lines > maxFunctionLines {
			list = append(list, f.at(fn.Pos(), "%s has %d lines, at most %d", fn.Name.Name, lines, maxFunctionLines))
		}
		if deep := nesting(fn.Body); deep > maxNesting {
			list = append(list, f.at(fn.Pos(), "%s nests %d deep, at most %d", fn.Name.Name, deep, maxNesting))
		}
	}
	return list
}

// nesting returns how many branches and loops are within each other in a
// statement; an else if is as deep as its if.
func nesting(n ast.Node) int {
	deepest := 0
	ast.Inspect(n, func(inner ast.Node) bool {
		if inner == nil || inner == n {
			return true
		}
		depth := 0
		switch s := inner.(type) {
		case *ast.IfStmt:
			depth = 1 + nesting(s.Body)
			if s.Else != nil {
				depth = max(depth, nestingOfElse(s.Else))
			}
		case *ast.ForStmt:
			depth = 1 + nesting(s.Body)
		case *ast.RangeStmt:
			depth = 1 + nesting(s.Body)
		case *ast.SwitchStmt:
			depth = 1 + nesting(s.Body)
		case *ast.TypeSwitchStmt:
			depth = 1 + nesting(s.Body)
		case *ast.SelectStmt:
			depth = 1 + nesting(s.Body)
		default:
			return true
		}
		deepest = max(deepest, depth)
		return false
	})
	return deepest
}

func nestingOfElse(s ast.Stmt) int {
	if chained, ok := s.(*ast.IfStmt); ok {
		depth := 1 + nesting(chained.Body)
		if chained.Else != nil {
			depth = max(depth, nestingOfElse(chained.Else))
		}
		return depth
	}
	return 1 + nesting(s)
}

// leftover is a note to do something that was not done.
var leftover = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)

// Leftovers finds comments that put something off.
func Leftovers(f *File) (list []Finding) {
	for _, group := range f.AST.Comments {
		for _, c := range group.List {
			if word := leftover.FindString(c.Text); word != "" {
				list = append(list, f.at(c.Pos(), "%s: do it, or say in docs what is missing", word))
			}
		}
	}
	return list
}

// Documented finds exported names without a comment, in files that are no
// tests. In a group of constants or variables one comment is for all.
func Documented(f *File) (list []Finding) {
	if f.Test || f.AST.Name.Name == "main" {
		return nil
	}
	missing := func(at token.Pos, name string) {
		list = append(list, f.at(at, "%s is exported and not documented", name))
	}
	for _, d := range f.AST.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
				missing(d.Pos(), d.Name.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				undocumented(d, s, missing)
			}
		}
	}
	return list
}

// undocumented calls missing for the exported names of a specification that
// neither it nor its group documents.
func undocumented(d *ast.GenDecl, s ast.Spec, missing func(token.Pos, string)) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && s.Comment == nil && (d.Doc == nil || d.Lparen.IsValid()) {
			missing(s.Pos(), s.Name.Name)
		}
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
				missing(s.Pos(), name.Name)
			}
		}
	}
}

// exportedReceiver reports whether a function has no receiver, or one of an
// exported type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

// PackageComments finds packages without a comment, and such with several.
func PackageComments(files []*File) (list []Finding) {
	count := make(map[string]int)
	for _, f := range files {
		if f.AST.Doc != nil && !f.Test {
			count[f.Dir]++
		}
	}
	for _, p := range packages(files) {
		if n := count[p]; n != 1 {
			list = append(list, Finding(fmt.Sprintf("package %s has %d package comments, want one", p, n)))
		}
	}
	return list
}
