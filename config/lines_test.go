package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// linesOf returns PATH=LINE for every key and element of a text.
func linesOf(p *position, path string) []string {
	var lines []string
	for key, child := range p.keys {
		name := path + "." + key
		lines = append(lines, fmt.Sprintf("%s=%d", strings.TrimPrefix(name, "."), child.line))
		lines = append(lines, linesOf(child, name)...)
	}
	for i, child := range p.items {
		name := path + "[" + strconv.Itoa(i) + "]"
		lines = append(lines, fmt.Sprintf("%s=%d", strings.TrimPrefix(name, "."), child.line))
		lines = append(lines, linesOf(child, name)...)
	}
	slices.Sort(lines)
	return lines
}

func TestEveryKeyAndElementHasItsLine(t *testing.T) {
	tests := []struct {
		name, text string
		want       string // PATH=LINE of each
	}{
		{"keys of the top and of a table", "a = 1\n\n[t]\n# comment\nb = 2 # c = 3\n", "a=1 t.b=5 t=3"},
		{"a dotted key", "x.y . z = 1\nx.w = 2\n", "x.w=2 x.y.z=1 x.y=1 x=1"},
		{"a dotted header", "[a.b]\nc = 1\n[a]\nd = 2\n", "a.b.c=2 a.b=1 a.d=4 a=3"},
		{"an array of tables", "[[t]]\na = 1\n[[t]]\na = 2\n", "t=1 t[0].a=2 t[0]=1 t[1].a=4 t[1]=3"},
		{
			"a table in an array of tables", "[[t]]\n[t.s]\na = 1\n[[t]]\n[t.s]\na = 2\n",
			"t=1 t[0].s.a=3 t[0].s=2 t[0]=1 t[1].s.a=6 t[1].s=5 t[1]=4",
		},
		{
			"an array in an array of tables", "[[t]]\n[[t.s]]\na = 1\n[[t.s]]\na = 2\n",
			"t=1 t[0].s=2 t[0].s[0].a=3 t[0].s[0]=2 t[0].s[1].a=5 t[0].s[1]=4 t[0]=1",
		},
		{
			"a list of several lines", "a = [ 1,\n 2, # ] three\n\n [\n 3 ],\n]\nb = 1\n",
			"a=1 a[0]=1 a[1]=2 a[2]=4 a[2][0]=5 b=7",
		},
		{
			"an inline table", "a = { b = 1, c.d = \"}\", e = [ {\nf = 1 } ] }\ng = 1\n",
			"a.b=1 a.c.d=1 a.c=1 a.e=1 a.e[0].f=2 a.e[0]=1 a=1 g=3",
		},
		{"quoted keys", "\"ab\" = 1\n'c\\d' = 2\n\"e\\u0041\\\"\\x42\" = 3\n\"\" = 4\n", "=4 ab=1 c\\d=2 eA\"B=3"},
		{"what looks like a key in a string", "a = \"b = 1 # [c]\"\nd = 'e = \"'\nf = 1\n", "a=1 d=2 f=3"},
		{"a multi-line string", "a = \"\"\"\nb = 1\n[c] \\\"\"\" \"\"\n\"\"\"\"\"\nd = 1\n", "a=1 d=5"},
		{"a multi-line literal", "a = '''\nb = 1\\'''\nd = 1\n", "a=1 d=3"},
		{"an empty multi-line string", "a = \"\"\"\"\"\"\nb = ''''''\nc = \"\"\n", "a=1 b=2 c=3"},
		{"a backslash at the end of a line", "a = \"\"\"x\\\n  y\\\\\"\"\"\nb = 1\n", "a=1 b=3"},
		{"dates, floats and signs", "a = 1979-05-27 07:32:00\nb = -1.5e+3\nc = +inf\n", "a=1 b=2 c=3"},
		{"carriage returns", "a = 1\r\n[t]\r\nb = [\r\n1,\r\n2]\r\n", "a=1 t.b=3 t.b[0]=4 t.b[1]=5 t=2"},
		{"no newline at the end", "[t]\na = 1", "t.a=2 t=1"},
		{"white space", " \t[ t . s ] # x\n\t a\t=\t1\n", "t.s.a=2 t.s=1 t=1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var data map[string]any
			if _, err := toml.Decode(tt.text, &data); err != nil {
				t.Fatalf("the decoder refuses the text: %v", err)
			}
			idx := scan(tt.text)
			got := linesOf(idx.root, "")
			want := strings.Split(tt.want, " ")
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			for _, st := range idx.statements {
				if !st.sound || !st.opens {
					t.Errorf("statement of line %d is taken for broken", st.first)
				}
			}
			if problem := unplaced(data, idx.root, "", strings.Count(tt.text, "\n")+1); problem != "" {
				t.Error(problem)
			}
		})
	}
}

// unplaced returns a value of the decoder that the index does not have, or
// whose line is not in the text.
func unplaced(data any, p *position, path string, lines int) string {
	if p == nil || p.line < 1 || p.line > lines {
		return fmt.Sprintf("%q: position %+v in %d lines", path, p, lines)
	}
	item := func(i int, d any) string {
		if i >= len(p.items) {
			return fmt.Sprintf("%q has %d elements in the index, and more", path, len(p.items))
		}
		return unplaced(d, p.items[i], path+"["+strconv.Itoa(i)+"]", lines)
	}
	switch data := data.(type) {
	case map[string]any:
		for key, d := range data {
			if problem := unplaced(d, p.keys[key], path+"."+key, lines); problem != "" {
				return problem
			}
		}
	case []map[string]any:
		for i, d := range data {
			if problem := item(i, d); problem != "" {
				return problem
			}
		}
	case []any:
		for i, d := range data {
			if problem := item(i, d); problem != "" {
				return problem
			}
		}
	}
	return ""
}

func TestBrokenStatementsEndWhereTheNextOneBegins(t *testing.T) {
	tests := []struct {
		name, text string
		want       string // per statement: first line, H header, o opens, s sound
	}{
		{"sound", "a = 1\n[t]\n", "1os 2Hos"},
		{"an unclosed list", "a = [1,\n2\nb = 1\n", "1o 2 3os"},
		{"an unclosed string", "a = \"x\nb = 1\n", "1o 2os"},
		{"an unclosed multi-line string", "a = '''x\ny\nb = 1\n", "1o 2 3os"},
		{"an unclosed header", "[[t]\na = 1\n", "1Ho 2os"},
		{"an unclosed inline table", "a = { b = 1\nc = 1\n", "1o 2os"},
		{"no value", "a =\nb = 1\n", "1o 2os"},
		{"no key", "= 1\nb = 1\n", "1 2os"},
		{"words", "hello world\nb = 1\n", "1 2os"},
	}
	for _, tt := range tests {
		var got []string
		for _, st := range scan(tt.text).statements {
			s := strconv.Itoa(st.first)
			for _, flag := range []struct {
				set  bool
				name string
			}{{st.header, "H"}, {st.opens, "o"}, {st.sound, "s"}} {
				if flag.set {
					s += flag.name
				}
			}
			got = append(got, s)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got %v, want %s", tt.name, got, tt.want)
		}
	}
}

func TestDepthIsBoundedBeforeTheDecoderRuns(t *testing.T) {
	for _, text := range []string{
		"a = " + strings.Repeat("[", 1<<20),
		"a = " + strings.Repeat("{a=", 1<<20),
		strings.Repeat("a.", 1<<20) + "a = 1",
		"[" + strings.Repeat("a.", 1<<20) + "a]",
		"x = 1\na = " + strings.Repeat("[{b=", 100),
	} {
		_, err := Parse("f", []byte(text))
		if err == nil || !strings.Contains(err.Error(), "nested more than 32 deep") {
			t.Errorf("%.20s...: %.200v", text, err)
		}
	}
}

// seeds adds all files of testdata to a fuzz corpus.
func seeds(f *testing.F) {
	for _, pattern := range []string{"testdata/*.toml", "testdata/errors/*.toml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Add([]byte("a = \"\"\"\"\"x\"\"\"\"\"\nb = '''''x'''''\n\"\\u00e9\" = 1\n[a.b.\"c.d\"]\n[[e]]\n[[e.f]]\n[e.g]\n"))
	f.Add([]byte("a = [[1, [2]], {b = {c = [3]}}]\nd.e.f = 1979-05-27T07:32:00Z\n\xef\xbb\xbf"))
}

// FuzzLines compares the index with the decoder: what the decoder reads has a
// line.
func FuzzLines(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		s := withoutBOM(string(text))
		idx := scan(s)
		if idx.deep > 0 {
			return
		}
		var data map[string]any
		if _, err := toml.Decode(s, &data); err != nil {
			return
		}
		if problem := unplaced(data, idx.root, "", strings.Count(s, "\n")+1); problem != "" {
			t.Error(problem)
		}
		for _, st := range idx.statements {
			if !st.sound {
				t.Errorf("line %d is taken for broken", st.first)
			}
		}
	})
}
