package config

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// The TOML decoder does not tell where a key stands. This file finds out: it
// reads the same text for its shape alone (tables, keys, brackets, strings,
// comments) and builds a tree of line numbers beside the decoder's tree of
// values. It judges nothing: a text that is not TOML gives a smaller tree.

// position is where a value stands, with what is inside it.
type position struct {
	line   int // of the key, of the table's header, or of the array's element
	keys   map[string]*position
	items  []*position
	tables bool // items come from [[headers]]: a path leads into the last one
}

// statement is one header or one key with its value.
type statement struct {
	first, last int // lines, from 1
	start, end  int // byte offsets in the text: text[start:end]
	header      bool
	opens       bool // begins as a header or "key =": not the rest of a broken statement
	sound       bool // its brackets and strings are closed
}

// maxDepth is how deep arrays, tables and dotted keys may nest: beyond any
// configuration, and far below what would exhaust a stack.
const maxDepth = 32

// index is what scan finds in a text.
type index struct {
	root       *position
	statements []statement
	deep       int // line of a value or key nested deeper than maxDepth; 0: none
}

// scanner reads a text from front to back.
type scanner struct {
	text  string
	pos   int
	line  int
	deep  int
	table *position // that keys belong to now
}

// scan finds the statements of a text and the lines of all keys.
func scan(text string) index {
	root := &position{line: 1}
	s := scanner{text: text, line: 1, table: root}
	var found []statement
	for {
		s.skipBlank()
		if s.pos >= len(s.text) {
			return index{root, found, s.deep}
		}
		st := statement{first: s.line, start: s.pos, header: s.peek() == '['}
		if st.header {
			st.opens, st.sound = true, s.header(root)
		} else {
			st.opens, st.sound = s.pair(s.table, 1)
		}
		if !st.sound && s.line > st.first {
			// An unclosed bracket or string swallowed what follows it: go on
			// after its first line.
			s.pos, s.line = st.start, st.first
		}
		s.skipLine()
		st.last, st.end = s.line, s.pos
		found = append(found, st)
	}
}

// header reads [a.b] or [[a.b]] and makes that table the current one.
func (s *scanner) header(root *position) bool {
	line := s.line
	s.pos++
	list := s.peek() == '['
	if list {
		s.pos++
	}
	path, ok := s.path()
	if !ok || !s.accept(']') || list && !s.accept(']') {
		return false
	}
	parent := root
	for _, key := range path[:len(path)-1] {
		parent = parent.enter(key, line)
	}
	last := path[len(path)-1]
	if !list {
		s.table = parent.enter(last, line)
		s.table.line = line
		return true
	}
	array := parent.child(last, line)
	s.table = &position{line: line}
	array.tables = true
	array.items = append(array.items, s.table)
	return true
}

// pair reads a key (perhaps dotted) with its value, which belong to table: is
// it one, and is it whole?
func (s *scanner) pair(table *position, depth int) (opens, sound bool) {
	line := s.line
	path, ok := s.path()
	if !ok || !s.accept('=') {
		return false, false
	}
	for _, key := range path {
		table = table.child(key, line)
	}
	s.skipSpace()
	return true, s.value(table, depth+1)
}

// value reads a value; what it holds goes into p.
func (s *scanner) value(p *position, depth int) bool {
	if depth > maxDepth {
		s.tooDeep()
		return false
	}
	switch s.peek() {
	case '[':
		return s.array(p, depth)
	case '{':
		return s.inline(p, depth)
	case '"', '\'':
		_, ok := s.str(true)
		return ok
	}
	start := s.pos
	for s.pos < len(s.text) && !strings.ContainsRune(",]}#\r\n=\"'[{", rune(s.text[s.pos])) {
		s.pos++
	}
	return s.pos > start
}

// array reads [ value, ... ], which may take several lines.
func (s *scanner) array(p *position, depth int) bool {
	s.pos++
	for {
		s.skipBlank()
		if s.accept(']') {
			return true
		}
		item := &position{line: s.line}
		p.items = append(p.items, item)
		if !s.value(item, depth+1) {
			return false
		}
		s.skipBlank()
		if !s.accept(',') && s.peek() != ']' {
			return false
		}
	}
}

// inline reads { key = value, ... }, which TOML 1.1 allows to take several
// lines.
func (s *scanner) inline(p *position, depth int) bool {
	s.pos++
	for {
		s.skipBlank()
		if s.accept('}') {
			return true
		}
		if _, sound := s.pair(p, depth); !sound {
			return false
		}
		s.skipBlank()
		if !s.accept(',') && s.peek() != '}' {
			return false
		}
	}
}

// path reads a key: bare, quoted, or several joined by dots.
func (s *scanner) path() ([]string, bool) {
	var path []string
	for {
		s.skipSpace()
		key, ok := s.key()
		if !ok {
			return nil, false
		}
		path = append(path, key)
		if len(path) > maxDepth {
			s.tooDeep()
			return nil, false
		}
		s.skipSpace()
		if !s.accept('.') {
			return path, true
		}
	}
}

func (s *scanner) tooDeep() {
	if s.deep == 0 {
		s.deep = s.line
	}
}

// key reads one part of a key.
func (s *scanner) key() (string, bool) {
	if c := s.peek(); c == '"' || c == '\'' {
		return s.str(false)
	}
	start := s.pos
	for isBare(s.peek()) {
		s.pos++
	}
	return s.text[start:s.pos], s.pos > start
}

func isBare(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

// str reads a string of either quote and returns what it says; that of a
// multi-line string (which no key can be) is not made.
func (s *scanner) str(multiline bool) (string, bool) {
	quote := s.text[s.pos : s.pos+1]
	if multiline && strings.HasPrefix(s.text[s.pos:], quote+quote+quote) {
		return "", s.longStr(quote)
	}
	var b strings.Builder
	for s.pos++; s.pos < len(s.text); {
		switch c := s.text[s.pos]; {
		case c == quote[0]:
			s.pos++
			return b.String(), true
		case c == '\n':
			return "", false
		case c == '\\' && quote == `"`:
			s.escape(&b)
		default:
			b.WriteByte(c)
			s.pos++
		}
	}
	return "", false
}

// longStr reads a string in three quotes, which may end in one or two quotes
// of its own.
func (s *scanner) longStr(quote string) bool {
	for s.pos += 3; s.pos < len(s.text); s.pos++ {
		switch c := s.text[s.pos]; {
		case c == '\n':
			s.line++
		case c == '\\' && quote == `"`:
			if s.pos+1 < len(s.text) && s.text[s.pos+1] != '\n' {
				s.pos++
			}
		case strings.HasPrefix(s.text[s.pos:], quote+quote+quote):
			for s.pos += 3; strings.HasPrefix(s.text[s.pos:], quote); {
				s.pos++
			}
			return true
		}
	}
	return false
}

// escape reads one escape sequence of a quoted key into b. A wrong one is
// left for the decoder to find.
func (s *scanner) escape(b *strings.Builder) {
	s.pos++
	c := s.peek()
	if digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]; digits > 0 {
		end := min(s.pos+1+digits, len(s.text))
		n, err := strconv.ParseUint(s.text[s.pos+1:end], 16, 32)
		if err == nil && utf8.ValidRune(rune(n)) {
			b.WriteRune(rune(n))
			s.pos = end
			return
		}
	}
	plain := map[byte]byte{'b': '\b', 't': '\t', 'n': '\n', 'f': '\f', 'r': '\r', 'e': 0x1b, '"': '"', '\\': '\\'}
	if to, ok := plain[c]; ok {
		b.WriteByte(to)
		s.pos++
	}
}

// peek returns the next byte; 0 at the end.
func (s *scanner) peek() byte {
	if s.pos >= len(s.text) {
		return 0
	}
	return s.text[s.pos]
}

func (s *scanner) accept(c byte) bool {
	if s.pos < len(s.text) && s.text[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

func (s *scanner) skipSpace() {
	for s.peek() == ' ' || s.peek() == '\t' {
		s.pos++
	}
}

// skipBlank skips white space, newlines and comments.
func (s *scanner) skipBlank() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case '\n':
			s.line++
			s.pos++
		case ' ', '\t', '\r':
			s.pos++
		case '#':
			s.skipLine()
		default:
			return
		}
	}
}

// skipLine goes to the end of the line.
func (s *scanner) skipLine() {
	if n := strings.IndexByte(s.text[s.pos:], '\n'); n >= 0 {
		s.pos += n
	} else {
		s.pos = len(s.text)
	}
}

// child returns the position of a key in p, made on the line where it is new.
func (p *position) child(key string, line int) *position {
	if p.keys == nil {
		p.keys = map[string]*position{}
	}
	if p.keys[key] == nil {
		p.keys[key] = &position{line: line}
	}
	return p.keys[key]
}

// enter returns the table under a key: of [[headers]] the last.
func (p *position) enter(key string, line int) *position {
	child := p.child(key, line)
	if child.tables {
		return child.items[len(child.items)-1]
	}
	return child
}
