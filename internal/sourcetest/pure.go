package sourcetest

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// pureStandard are the packages of the standard library that a pure package
// may import. Where names are listed, only these may be used: the others open
// something, read the clock, or draw on randomness that cannot be repeated.
var pureStandard = map[string][]string{
	"bytes":           nil,
	"cmp":             nil,
	"container/heap":  nil,
	"crypto/hmac":     nil,
	"crypto/md5":      nil,
	"crypto/subtle":   nil,
	"encoding/binary": nil,
	"errors":          nil,
	"fmt":             {"Sprintf", "Sprint", "Sprintln", "Errorf", "Stringer", "Append", "Appendf"},
	"iter":            nil,
	"maps":            nil,
	"math":            nil,
	"math/bits":       nil,
	"math/rand/v2":    {"New", "NewPCG", "PCG", "Rand", "Source"},
	"net":             {"ParseMAC", "HardwareAddr"},
	"net/netip":       nil,
	"reflect":         nil,
	"slices":          nil,
	"strconv":         nil,
	"strings":         nil,
	"sync/atomic":     nil, // see atomicFiles
	"time": {
		"Duration", "Time", "Month", "Weekday", "Location", "Nanosecond", "Microsecond", "Millisecond",
		"Second", "Minute", "Hour", "ParseDuration", "Unix", "UnixMilli", "UTC", "Date", "RFC3339", "RFC3339Nano",
	},
	"unicode":      nil,
	"unicode/utf8": nil,
}

// atomicFiles may use sync/atomic: the forwarding lease, which the control
// loop renews while workers read it, and counters that others may read.
var atomicFiles = []string{"dataplane/fib/lease.go", "dataplane/counters.go"}

// Pure finds what a file of a pure package must not do: start a goroutine, use
// a channel or a lock, read a clock, open something, log. It does not look at
// tests.
func Pure(f *File) []Finding {
	if f.Test {
		return nil
	}
	list := pureImports(f)
	f.selectors(func(at token.Pos, from, name string) {
		if allowed := pureStandard[from]; allowed != nil && !slices.Contains(allowed, name) {
			list = append(list, f.at(at, "%s.%s in a pure package", packageName(from), name))
		}
	})
	ast.Inspect(f.AST, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			list = append(list, f.at(n.Pos(), "a pure package starts no goroutine"))
		case *ast.ChanType, *ast.SelectStmt, *ast.SendStmt:
			list = append(list, f.at(n.Pos(), "a pure package has no channel"))
		case *ast.CallExpr:
			if name, ok := n.Fun.(*ast.Ident); ok && (name.Name == "print" || name.Name == "println") && name.Obj == nil {
				list = append(list, f.at(n.Pos(), "a pure package writes nothing"))
			}
		}
		return true
	})
	return list
}

// pureImports finds imports of the standard library that a pure package must
// not have; imports of other modules are the import table's business.
func pureImports(f *File) (list []Finding) {
	for _, spec := range f.AST.Imports {
		from := importPath(spec)
		if !isStandard(from) {
			continue
		}
		_, allowed := pureStandard[from]
		switch {
		case !allowed:
			list = append(list, f.at(spec.Pos(), "a pure package does not import %s", from))
		case from == "sync/atomic" && !slices.Contains(atomicFiles, f.Path):
			list = append(list, f.at(spec.Pos(), "sync/atomic is for %s only", strings.Join(atomicFiles, ", ")))
		case spec.Name != nil && spec.Name.Name == ".":
			list = append(list, f.at(spec.Pos(), "a pure package has no dot import"))
		}
	}
	return list
}

// isStandard reports whether an import path is of the standard library.
func isStandard(from string) bool {
	first, _, _ := strings.Cut(from, "/")
	return !strings.Contains(first, ".") && first != Module
}
