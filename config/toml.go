package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
)

// value is a decoded TOML value and the line it stands on. One of keys, items
// and scalar is set.
type value struct {
	line   int
	keys   map[string]*value // a table
	items  []*value          // an array; not nil, perhaps empty
	scalar any               // string, int64, float64, bool or time.Time
}

// maxSyntaxErrors is how many syntax errors of a file are looked for.
const maxSyntaxErrors = 20

// read turns a text into its tree of values and notes the syntax errors. After
// one it takes the statement away that has it (with the whole table, where it
// is a header) and goes on with the rest.
func (c *checker) read(text string) *value {
	text = withoutBOM(text)
	for range maxSyntaxErrors {
		idx := scan(text)
		if idx.deep > 0 {
			c.damaged = true
			c.add(idx.deep, "arrays, tables or keys are nested more than %d deep; no key of vrouter needs that", maxDepth)
			break
		}
		var data map[string]any
		_, err := toml.Decode(text, &data)
		if err == nil {
			return join(data, idx.root, 1)
		}
		c.damaged = true
		line, what, remedy := syntaxError(err)
		lost := idx.culprit(line)
		if lost < 0 {
			c.add(line, "syntax: %s; %s", what, remedy)
			break
		}
		if begin := idx.statements[lost].first; begin < line {
			what += fmt.Sprintf(" (in what begins on line %d)", begin)
		}
		c.add(line, "syntax: %s; %s", what, remedy)
		text = idx.without(text, lost)
	}
	return &value{line: 1, keys: map[string]*value{}}
}

// withoutBOM removes the byte order marks that the decoder skips, so that
// both begin at the same byte.
func withoutBOM(text string) string {
	for {
		rest := text
		for _, mark := range []string{"\ufeff", "\xff\xfe", "\xfe\xff"} {
			rest = strings.TrimPrefix(rest, mark)
		}
		if rest == text {
			return text
		}
		text = rest
	}
}

// syntaxError returns the line of a decoder's error, what is wrong and what
// would be right.
func syntaxError(err error) (line int, what, remedy string) {
	var parse toml.ParseError
	if !errors.As(err, &parse) {
		return 1, err.Error(), "write TOML (https://toml.io)"
	}
	line, what = parse.Position.Line, strings.TrimSuffix(parse.Message, ".")
	if strings.Contains(what, `got '\n'`) && !strings.HasPrefix(what, "expected '.' or '='") {
		line-- // here the decoder has counted the newline that it complains of
	}
	for _, r := range syntaxRemedies {
		if strings.Contains(what, r.what) {
			return line, what, r.remedy
		}
	}
	return line, what, `write KEY = VALUE, [table] or [[table]], with text in "quotes"`
}

// syntaxRemedies says what to do about the decoder's messages.
var syntaxRemedies = []struct{ what, remedy string }{
	{"EOF", "close the string, list or table"},
	{"already been defined", "keep one of the two (a table that may be there several times is written [[name]])"},
	{"already created", "keep one of the two (a table that may be there several times is written [[name]])"},
	{"expected value but found", `write text in quotes: "text"; numbers, true and false without`},
	{"leading zeroes", `write the number without them, or text in quotes`},
	{"comma", `separate the elements by commas and close the list: ["a", "b"]`},
	{"strings cannot contain newlines", `close the string on its line with "`},
	{"end with a newline", `write one KEY = VALUE on each line, with text in "quotes"`},
	{"invalid escape", `write \\ for a backslash, or the text in 'single quotes'`},
	{"expected '.' or ']'", "close the table's name: [name] or [[name]]"},
	{"expected end of table array", "close the table's name: [[name]]"},
	{"expected '.' or '='", "write KEY = VALUE"},
	{"NULL", "save the file as UTF-8"},
	{"UTF-8", "save the file as UTF-8"},
}

// culprit returns the statement that a syntax error on a line is in, by
// index: where a bracket or string is left open before that line, the
// statement that opened it. It is -1 where there is none.
func (idx index) culprit(line int) int {
	last := -1
	for i, st := range idx.statements {
		if st.first <= line {
			last = i
		}
	}
	for i := last; i >= 0; i-- {
		if st := idx.statements[i]; st.opens && !st.sound {
			return i
		}
	}
	return last
}

// without returns the text with a statement blanked out, and the debris that
// follows a broken one. What follows a lost header goes too: it belongs to no
// table that is known.
func (idx index) without(text string, lost int) string {
	all := idx.statements
	last := lost
	for last+1 < len(all) && !all[last+1].opens {
		last++
	}
	for all[lost].header && last+1 < len(all) && !all[last+1].header {
		last++
	}
	start, end := all[lost].start, all[last].end
	return text[:start] + blank(text[start:end]) + text[end:]
}

// blank keeps the newlines of a text, so that the lines after it keep their
// numbers.
func blank(text string) string { return strings.Repeat("\n", strings.Count(text, "\n")) }

// join puts decoded data and its positions together. What has no position
// gets that of what it is in.
func join(data any, p *position, line int) *value {
	if p == nil {
		p = &position{line: line}
	}
	v := &value{line: p.line}
	item := func(i int) *position {
		if i < len(p.items) {
			return p.items[i]
		}
		return nil
	}
	switch data := data.(type) {
	case map[string]any:
		v.keys = make(map[string]*value, len(data))
		for key, d := range data {
			v.keys[key] = join(d, p.keys[key], v.line)
		}
	case []map[string]any:
		v.items = make([]*value, len(data))
		for i, d := range data {
			v.items[i] = join(d, item(i), v.line)
		}
	case []any:
		v.items = make([]*value, len(data))
		for i, d := range data {
			v.items[i] = join(d, item(i), v.line)
		}
	default:
		v.scalar = data
	}
	return v
}
