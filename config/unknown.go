package config

import (
	"reflect"
	"slices"
	"strings"
)

// unknown notes a key that a table does not know, with the nearest one that
// it does.
func (c *checker) unknown(line int, key, path string, known []string) {
	what, where := "key", "in ["+path+"]"
	if path == "" {
		what, where = "table or key", "at the top of the file"
	}
	if near := nearest(key, known); near != "" {
		c.add(line, "unknown %s %q %s; did you mean %q?", what, key, where, near)
		return
	}
	if homes := tablesOf(reflect.TypeFor[rawConfig](), key, ""); len(homes) > 0 {
		c.add(line, "unknown %s %q %s; it belongs to %s", what, key, where, strings.Join(homes, ", "))
		return
	}
	c.add(line, "unknown %s %q %s; remove it (known here: %s)", what, key, where, strings.Join(known, ", "))
}

// nearest returns the name most like key, or "" where none is like it: at
// most a third of the letters, and always one, may differ.
func nearest(key string, names []string) string {
	best, bestDistance := "", max(len(key)/3, 1)+1
	for _, name := range names {
		if d := distance(strings.ToLower(key), name); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance counts the letters to insert, remove, replace or swap with their
// neighbour to turn a into b (optimal string alignment). Names longer than
// any key are far from all.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	// before, last and row are three rows of the table of distances between
	// the beginnings of a and b.
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}

// tablesOf returns the tables below a raw struct that know a key, as headers.
func tablesOf(raw reflect.Type, key, path string) []string {
	var homes []string
	for i := range raw.NumField() {
		f := raw.Field(i)
		name := f.Tag.Get("toml")
		header := "[" + join2(path, name) + "]"
		t := f.Type
		if t.Kind() == reflect.Slice {
			t, header = t.Elem(), "["+header+"]"
		}
		if name == "" || !reflect.PointerTo(t).Implements(reflect.TypeFor[placed]()) {
			continue
		}
		if slices.Contains(keysOf(t), key) {
			homes = append(homes, header)
		}
		homes = append(homes, tablesOf(t, key, join2(path, name))...)
	}
	return homes
}

// keysOf returns the keys of a raw struct.
func keysOf(raw reflect.Type) []string {
	var keys []string
	for i := range raw.NumField() {
		if key := raw.Field(i).Tag.Get("toml"); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}
