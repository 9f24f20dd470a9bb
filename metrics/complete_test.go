package metrics

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// unmetered are fields of status that have no metric, with the reason.
var unmetered = map[string]string{
	"VirtualRouters.Accept":            "configuration",
	"VirtualRouters.WouldWin":          "explanation for people",
	"VirtualRouters.Contested":         "that it is contested is a metric, and the details are for people",
	"VirtualRouters.Holding":           "that it holds back is a metric",
	"VirtualRouters.DampedUntil":       "that it is damped is a metric",
	"Checks.Since":                     "the state's beginning is seen in the series",
	"Checks.Last":                      "changes with each interval",
	"Checks.Fall":                      "configuration",
	"Checks.Rise":                      "configuration",
	"Checks.IntervalMS":                "configuration",
	"Checks.TimeoutMS":                 "configuration",
	"BFD.Since":                        "the state's beginning is seen in the series",
	"BFD.Mine":                         "a random number",
	"BFD.Yours":                        "a random number",
	"Counters.Workers.Worker":          "a label",
	"Counters.Workers.BatchSizes.UpTo": "bounds of buckets",
}

// TestEveryNumberOfTheStatusHasAMetric changes each number, truth, time and map
// of counters of the status, one at a time: the metrics must change, too. So a
// counter that is added to "show" cannot be forgotten here.
func TestEveryNumberOfTheStatusHasAMetric(t *testing.T) {
	before := exposition(t, example())
	changes, excused := 0, map[string]bool{}
	// Each step makes the status anew, changes the leaf of that number and looks.
	for n := 0; ; n++ {
		s := example()
		w := &walker{target: n}
		w.walk(reflect.ValueOf(s).Elem(), "")
		if w.found == "" {
			break
		}
		if why := excuse(w.found); why != "" {
			excused[why] = true
			continue
		}
		changes++
		if exposition(t, s) == before {
			t.Errorf("%s has changed, and no metric has: add one to the table, or say in unmetered why not", w.found)
		}
	}
	if changes < 80 {
		t.Errorf("only %d fields were changed: does the walk find the status types?", changes)
	}
	for path := range unmetered {
		if !excused[path] {
			t.Errorf("%s is excused and does not exist", path)
		}
	}
}

func excuse(path string) string {
	for known := range unmetered {
		if path == known || strings.HasPrefix(path, known+".") {
			return known
		}
	}
	return ""
}

// walker changes one leaf of a value: the target-th.
type walker struct {
	target int
	seen   int
	found  string // its path
}

// leaf reports whether this one is to be changed.
func (w *walker) leaf(path string) bool {
	w.seen++
	if w.seen-1 != w.target {
		return false
	}
	w.found = path
	return true
}

func (w *walker) walk(v reflect.Value, path string) {
	if w.found != "" {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		w.walkStruct(v, path)
	case reflect.Pointer:
		if w.leaf(path + "?") { // whether it is there
			v.Set(map[bool]reflect.Value{true: reflect.New(v.Type().Elem()), false: reflect.Zero(v.Type())}[v.IsNil()])
		} else if !v.IsNil() {
			w.walk(v.Elem(), path)
		}
	case reflect.Slice:
		if v.Len() > 0 { // the first stands for all
			w.walk(v.Index(0), path)
		}
	case reflect.Map:
		w.walkMap(v, path)
	case reflect.Bool:
		if w.leaf(path) {
			v.SetBool(!v.Bool())
		}
	case reflect.Int, reflect.Int64:
		if w.leaf(path) {
			v.SetInt(v.Int() + 1)
		}
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		if w.leaf(path) {
			v.SetUint((v.Uint() + 1) % 3) // a state, too
		}
	case reflect.Float64:
		if w.leaf(path) {
			v.SetFloat(v.Float() + 1)
		}
	}
}

func (w *walker) walkStruct(v reflect.Value, path string) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		if w.leaf(path) {
			v.Set(reflect.ValueOf(time.Unix(77, 0)))
		}
		return
	}
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() {
			w.walk(v.Field(i), strings.TrimPrefix(path+"."+f.Name, "."))
		}
	}
}

// walkMap adds a key, and changes the fields of a value where it is a struct.
func (w *walker) walkMap(v reflect.Value, path string) {
	if v.IsNil() {
		return
	}
	value := reflect.New(v.Type().Elem()).Elem()
	if w.leaf(path + "[]") {
		if value.Kind() == reflect.Uint64 {
			value.SetUint(1)
		}
		v.SetMapIndex(reflect.ValueOf("a_new_one"), value)
		return
	}
	if value.Kind() != reflect.Struct {
		return
	}
	for _, key := range v.MapKeys() {
		value.Set(v.MapIndex(key))
		w.walk(value, fmt.Sprintf("%s[%v]", path, key))
		v.SetMapIndex(key, value)
	}
}
