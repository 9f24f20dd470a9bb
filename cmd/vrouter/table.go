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
	colour  bool
	columns int // of the terminal; 0: not known
}

// usualColumns is the width of the narrowest terminal that is cared for.
const usualColumns = 80

// width returns how many columns a line may have.
func (s *screen) width() int { return max(s.columns, usualColumns) }

// note writes a line under what it explains, folded where it is too long.
func (s *screen) note(c cell) {
	const indent = "    "
	for i, line := range wrap(c.text, s.width()-len(indent)-2) {
		if i > 0 {
			s.WriteString("  ") // so that it is not taken for another note
		}
		s.WriteString(indent + s.paint(line, c.style) + "\n")
	}
}

// wrap folds a text at its blanks into lines of at most so many runes. A word
// that is longer stays whole: half an address helps nobody.
func wrap(text string, columns int) (lines []string) {
	for {
		rest := []rune(text)
		if len(rest) <= columns {
			return append(lines, text)
		}
		cut := strings.LastIndexByte(string(rest[:columns+1]), ' ')
		if cut <= 0 {
			cut = strings.IndexByte(text, ' ')
		}
		if cut <= 0 {
			return append(lines, text)
		}
		lines = append(lines, strings.TrimRight(text[:cut], " "))
		text = strings.TrimLeft(text[cut:], " ")
	}
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

// table is a list with a header. Columns are as wide as their widest cell; the
// last one is folded where the screen ends.
type table struct {
	header   []string
	right    []int // columns that are flush right
	optional []int // columns to leave out, in this order, while the table is too wide
	without  []int // columns that have nothing to say
	rows     []row
}

func (t *table) add(cells ...cell) *row {
	t.rows = append(t.rows, row{cells: cells})
	return &t.rows[len(t.rows)-1]
}

const columnGap = "  "

// render appends the table to the screen.
func (t *table) render(s *screen) {
	widths := t.widths()
	for _, i := range t.without {
		widths[i] = absent
	}
	for _, i := range t.optional {
		if total(widths) <= s.width() {
			break
		}
		widths[i] = absent
	}
	header := make([]cell, len(t.header))
	for i, h := range t.header {
		header[i] = cell{h, bold}
	}
	t.renderRow(s, header, widths)
	for _, r := range t.rows {
		t.renderRow(s, r.cells, widths)
		for _, n := range r.notes {
			s.note(n)
		}
	}
}

// absent is the width of a column that is left out.
const absent = -1

func (t *table) widths() []int {
	widths := make([]int, len(t.header))
	for i, h := range t.header {
		widths[i] = utf8.RuneCountInString(h)
	}
	for _, r := range t.rows {
		for i, c := range r.cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	return widths
}

func total(widths []int) (sum int) {
	for _, w := range widths {
		if w != absent {
			sum += w + len(columnGap)
		}
	}
	return sum - len(columnGap)
}

func (t *table) renderRow(s *screen, cells []cell, widths []int) {
	last := len(cells) - 1
	for last > 0 && (cells[last].text == "" || widths[last] == absent) {
		last--
	}
	at := 0 // the column of the screen
	for i, c := range cells[:last+1] {
		if widths[i] == absent {
			continue
		}
		if at > 0 {
			s.WriteString(columnGap)
			at += len(columnGap)
		}
		fill := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text))
		switch {
		case slices.Contains(t.right, i):
			s.WriteString(fill + s.paint(c.text, c.style))
		case i == last:
			t.renderLast(s, c, at)
		default:
			s.WriteString(s.paint(c.text, c.style) + fill)
		}
		at += widths[i]
	}
	s.WriteString("\n")
}

// renderLast writes the last cell of a row, which begins at a column of the
// screen; what does not fit goes on under itself.
func (t *table) renderLast(s *screen, c cell, at int) {
	const least = 20 // narrower lines cannot be read
	for i, line := range wrap(c.text, max(s.width()-at, least)) {
		if i > 0 {
			s.WriteString("\n" + strings.Repeat(" ", at))
		}
		s.WriteString(s.paint(line, c.style))
	}
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
func (a *app) newScreen() *screen {
	return &screen{colour: a.colour(), columns: terminalColumns(a.stdout)}
}

// terminalColumns returns the width of a terminal; 0 for what is none, or does
// not tell.
func terminalColumns(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}

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
