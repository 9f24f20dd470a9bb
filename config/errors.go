package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong in a configuration file.
type Error struct {
	File    string // as handed to Parse
	Line    int    // from 1
	Message string // what is wrong; what would be right
}

// Error returns FILE:LINE: what is wrong; what would be right.
func (e Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message) }

// Errors is everything that is wrong in a configuration file, sorted by line.
type Errors []Error

// Error returns one line for each error, without a newline at the end.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// checker gathers what is wrong in one file.
type checker struct {
	file string
	errs Errors
	// damaged is set where a syntax error took part of the file away. Then
	// only what is there is checked: not what is missing, nor how the tables
	// go together.
	damaged bool
}

// add notes an error on a line. The message is one line: what is wrong; what
// would be right.
func (c *checker) add(line int, format string, args ...any) {
	message := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", `\n`)
	c.errs = append(c.errs, Error{File: c.file, Line: max(line, 1), Message: message})
}

// missing notes that a key is absent, which is the table's fault only where
// the whole table could be read.
func (c *checker) missing(f at, example string) {
	if !c.damaged {
		c.add(f.Line, "%s is missing; add %s", f.Key, example)
	}
}

// hasError reports whether an error was noted on a line.
func (c *checker) hasError(line int) bool {
	return slices.ContainsFunc(c.errs, func(e Error) bool { return e.Line == line })
}

// quoted returns words as the file writes them, for messages.
func quoted(words []string) string {
	s := make([]string, len(words))
	for i, w := range words {
		s[i] = fmt.Sprintf("%q", w)
	}
	return strings.Join(s, ", ")
}

// result returns what was noted: by line, each error once.
func (c *checker) result() Errors {
	slices.SortStableFunc(c.errs, func(a, b Error) int { return cmp.Compare(a.Line, b.Line) })
	return slices.Compact(c.errs)
}
