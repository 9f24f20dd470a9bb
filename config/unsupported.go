package config

import (
	"fmt"
	"strings"
)

// notYet lists the keys and tables that are known and checked, but whose
// function does not exist yet. A file that asks for one is refused. When a
// function arrives, its line goes.
var notYet = []struct {
	path   string              // tables and key, joined by dots
	works  func(v *value) bool // the values that are fine today
	remedy string
}{
	{"router.user", nothing, "remove it: the process stays the user that started it"},
}

func nothing(*value) bool { return false }

// refuse notes every key of the file whose function does not exist yet.
func (c *checker) refuse(root *value) {
	for _, n := range notYet {
		root.each(strings.Split(n.path, "."), func(v *value) {
			if n.works(v) || c.hasError(v.line) {
				return // fine, or decode has found its type wrong
			}
			name := n.path[strings.LastIndexByte(n.path, '.')+1:]
			switch {
			case v.keys != nil:
				name = "[" + n.path + "]"
			case v.items == nil:
				name = fmt.Sprintf("%s = %s", name, literal(v))
			case name == n.path:
				name = "[[" + n.path + "]]"
			}
			c.add(v.line, "%s is not yet supported; %s", name, n.remedy)
		})
	}
}

// each calls f for every value at a path, in all tables of a list.
func (v *value) each(path []string, f func(v *value)) {
	child := v.keys[path[0]]
	switch {
	case child == nil:
	case len(path) == 1:
		f(child)
	case child.items != nil:
		for _, item := range child.items {
			item.each(path[1:], f)
		}
	default:
		child.each(path[1:], f)
	}
}

// literal returns a scalar as it is written in the file.
func literal(v *value) string {
	if s, ok := v.scalar.(string); ok {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprint(v.scalar)
}
