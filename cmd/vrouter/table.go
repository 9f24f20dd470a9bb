package main

import (
	"io"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// style is how a cell is emphasised on a terminal: the parameter of the SGR
// escape sequence.
type style string

// The styles.
const (
	plain style = ""
	bold  style = "1"
	faint style = "2"
	good  style = "32"
	bad   style = "1;31"
	warn  style = "33"
)

// cell is one field of a table.
type cell struct {
	text  string
	style style
}

func text(s string) cell { return cell{text: s} }

// screen collects what a command shows, so that it is written in one piece.
type screen struct {
	strings.Builder
	colour bool
}

// paint returns the text in a style, made safe for a terminal.
func (s *screen) paint(text string, st style) string {
	text = printable(text)
	if !s.colour || st == plain || text == "" {
		return text
	}
	return "\x1b[" + string(st) + "m" + text + "\x1b[0m"
}

// row is a line of a table with the notes that stand under it.
type row struct {
	cells []cell
	notes []cell
}

// table is a list with a header. Columns are as wide as their widest cell.
type table struct {
	header []string
	right  []int // columns that are flush right
	rows   []row
}

func (t *table) add(cells ...cell) *row {
	t.rows = append(t.rows, row{cells: cells})
	return &t.rows[len(t.rows)-1]
}

const columnGap = "  "

// render appends the table to the screen.
func (t *table) render(s *screen) {
	widths := make([]int, len(t.header))
	header := make([]cell, len(t.header))
	for i, h := range t.header {
		header[i] = cell{h, bold}
		widths[i] = utf8.RuneCountInString(h)
	}
	for _, r := range t.rows {
		for i, c := range r.cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	t.renderRow(s, header, widths)
	for _, r := range t.rows {
		t.renderRow(s, r.cells, widths)
		for _, n := range r.notes {
			s.WriteString("    " + s.paint(n.text, n.style) + "\n")
		}
	}
}

func (t *table) renderRow(s *screen, cells []cell, widths []int) {
	last := len(cells) - 1
	for last > 0 && cells[last].text == "" {
		last--
	}
	for i, c := range cells[:last+1] {
		if i > 0 {
			s.WriteString(columnGap)
		}
		fill := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text))
		painted := s.paint(c.text, c.style)
		switch {
		case slices.Contains(t.right, i):
			s.WriteString(fill + painted)
		case i == last:
			s.WriteString(painted)
		default:
			s.WriteString(painted + fill)
		}
	}
	s.WriteString("\n")
}

// printable replaces what could steer a terminal; texts of the router may hold
// names that come from elsewhere. The number of runes stays.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// newScreen returns the screen for the command's output.
func (a *app) newScreen() *screen { return &screen{colour: a.colour()} }

// colour reports whether the output is a terminal that shows colours and whose
// user wants them (no-color.org).
func (a *app) colour() bool {
	return a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb" && isTerminal(a.stdout)
}

// print writes the screen.
func (a *app) print(s *screen) error {
	_, err := io.WriteString(a.stdout, s.String())
	return err
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
