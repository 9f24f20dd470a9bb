package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decode fills in a raw struct from a table of the file. It notes every key
// that is not known and every value of a wrong type; path is the table's
// dotted name, empty for the whole file.
func (c *checker) decode(v *value, raw placed, path string) {
	raw.place(at{Key: path, Line: v.line}, true)
	into := reflect.ValueOf(raw).Elem()
	known := make([]string, 0, into.NumField())
	for i := range into.NumField() {
		tag := into.Type().Field(i).Tag
		key := tag.Get("toml")
		if key == "" {
			continue // the embedded table
		}
		known = append(known, key)
		where := at{Key: key, Line: v.line}
		child := v.keys[key]
		if child != nil {
			where.Line = child.line
		}
		switch dst := into.Field(i).Addr().Interface().(type) {
		case loader:
			dst.load(c, where, child, tag.Get("default"))
		case placed:
			c.decodeTable(child, dst, where, join2(path, key))
		default:
			c.decodeTables(child, into.Field(i), join2(path, key))
		}
	}
	for key, child := range v.keys {
		if !slices.Contains(known, key) {
			c.unknown(child.line, key, path, known)
		}
	}
}

// join2 joins the parts of a dotted name.
func join2(path, key string) string { return strings.TrimPrefix(path+"."+key, ".") }

// placed is a raw struct, by its embedded table.
type placed interface {
	place(where at, set bool)
}

func (t *table) place(where at, set bool) { t.at, t.Set = where, set }

// loader is a field.
type loader interface {
	load(c *checker, where at, v *value, def string)
}

// decodeTable decodes a table that is there at most once. Absent, it is
// decoded as if it were empty, which gives its keys their defaults.
func (c *checker) decodeTable(v *value, raw placed, where at, path string) {
	switch {
	case v == nil:
		c.decode(&value{line: where.Line}, raw, path)
		raw.place(at{Key: path, Line: where.Line}, false)
	case v.keys != nil:
		c.decode(v, raw, path)
	case strings.Contains(path, "."):
		c.add(v.line, "%s is %s; write one table: %s = { ... }", where.Key, describe(v), where.Key)
	case v.items != nil:
		c.add(v.line, "[[%s]] is there only once; write [%s]", path, path)
	default:
		c.add(v.line, "%s is %s; write a table: [%s]", where.Key, describe(v), path)
	}
}

// decodeTables decodes a list of tables: [[headers]], or inline tables.
func (c *checker) decodeTables(v *value, into reflect.Value, path string) {
	switch {
	case v == nil:
		return
	case v.keys != nil:
		c.add(v.line, "[%s] can be there several times; write [[%s]]", path, path)
		// Its keys are worth a look all the same.
		v = &value{line: v.line, items: []*value{v}}
	case v.items == nil:
		c.add(v.line, "%s is %s; write tables: [[%s]]", path, describe(v), path)
		return
	}
	for _, item := range v.items {
		if item.keys == nil {
			c.add(item.line, "an element of %s is %s; write a table: { ... }", path, describe(item))
			continue
		}
		raw := reflect.New(into.Type().Elem())
		c.decode(item, raw.Interface().(placed), path)
		into.Set(reflect.Append(into, raw.Elem()))
	}
}

// load takes a key's value, or its default where v is nil. A default is
// written as in the file, without quotes; lists have none.
func (f *field[T]) load(c *checker, where at, v *value, def string) {
	f.at, f.Set = where, v != nil
	if def != "" {
		f.setDefault(def)
	}
	if v == nil {
		return
	}
	if want, ok := f.take(c, v); !ok {
		f.Bad = true
		c.add(where.Line, "%s is %s; write %s", where.Key, describe(v), want)
	}
}

func (f *field[T]) setDefault(def string) {
	var err error
	switch p := any(&f.Value).(type) {
	case *string:
		*p = def
	case *int64:
		*p, err = strconv.ParseInt(def, 10, 64)
	case *bool:
		*p, err = strconv.ParseBool(def)
	case *time.Duration:
		*p, err = time.ParseDuration(def)
	}
	if err != nil {
		panic("config: default of " + f.Key + ": " + err.Error()) // a tag of raw.go is wrong
	}
}

// take stores v in the field. Where its type is wrong it says what to write.
func (f *field[T]) take(c *checker, v *value) (want string, ok bool) {
	switch p := any(&f.Value).(type) {
	case *string:
		*p, ok = v.scalar.(string)
		want = fmt.Sprintf("text in quotes: %s = %q", f.Key, plain(v, "..."))
	case *int64:
		*p, ok = v.scalar.(int64)
		want = fmt.Sprintf("a whole number without quotes, like %s = %s", f.Key, plainNumber(v))
	case *bool:
		*p, ok = v.scalar.(bool)
		want = fmt.Sprintf("%s = true or %s = false, without quotes", f.Key, f.Key)
	case *time.Duration:
		s, isText := v.scalar.(string)
		d, err := time.ParseDuration(s)
		*p, ok = d, isText && err == nil
		want = fmt.Sprintf(`a duration with its unit, like %s = "1s" ("500ms", "2m", "1h30m")`, f.Key)
	case *[]text:
		*p, ok = f.takeList(c, v)
		want = fmt.Sprintf("a list: %s = [%q]", f.Key, plain(v, "..."))
	case *listOrWord:
		if s, isText := v.scalar.(string); isText {
			p.Word, ok = text{at: f.at, Value: s, Set: true}, true
		} else {
			p.List, ok = f.takeList(c, v)
		}
		want = fmt.Sprintf("a list: %s = [%q]", f.Key, plain(v, "..."))
	}
	return want, ok
}

// takeList reads a list of texts; elements of other types are noted and
// marked bad.
func (f *field[T]) takeList(c *checker, v *value) ([]text, bool) {
	if v.items == nil {
		return nil, false
	}
	elements := make([]text, len(v.items))
	for i, item := range v.items {
		s, ok := item.scalar.(string)
		elements[i] = text{at: at{f.Key, item.line}, Value: s, Set: true, Bad: !ok}
		if !ok {
			c.add(item.line, "an element of %s is %s; write text in quotes: %q", f.Key, describe(item), plain(item, "..."))
		}
	}
	return elements, true
}

// plain returns a scalar as text, to be quoted in a remedy.
func plain(v *value, otherwise string) string {
	switch v.scalar.(type) {
	case string, int64, float64, bool:
		return fmt.Sprint(v.scalar)
	}
	return otherwise
}

// plainNumber returns the whole number that a value might mean.
func plainNumber(v *value) string {
	if n, err := strconv.ParseInt(strings.TrimSpace(plain(v, "")), 10, 64); err == nil {
		return strconv.FormatInt(n, 10)
	}
	return "1"
}

// describe says what a value is, in words of the file.
func describe(v *value) string {
	switch s := v.scalar.(type) {
	case string:
		return fmt.Sprintf("the text %q", s)
	case int64:
		return fmt.Sprintf("the number %d", s)
	case float64:
		return fmt.Sprintf("the number %v with a fraction", s)
	case bool:
		return fmt.Sprintf("%v", s)
	case time.Time:
		return "a date"
	}
	if v.items != nil {
		return "a list"
	}
	return "a table"
}
