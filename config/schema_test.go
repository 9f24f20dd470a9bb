package config

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// everyKey calls f for every key and table below a raw struct.
func everyKey(raw reflect.Type, path string, f func(path string, field reflect.StructField)) {
	for i := range raw.NumField() {
		field := raw.Field(i)
		key := field.Tag.Get("toml")
		if key == "" {
			continue
		}
		name := join2(path, key)
		f(name, field)
		t := field.Type
		if t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if reflect.PointerTo(t).Implements(reflect.TypeFor[placed]()) {
			everyKey(t, name, f)
		}
	}
}

func TestTheReferenceHasEveryKeyThatTheRawStructsHave(t *testing.T) {
	text, err := os.ReadFile("testdata/reference.toml")
	if err != nil {
		t.Fatal(err)
	}
	// The reference shows two keys of [[check]] as comments, and the key of
	// auth in a comment behind it.
	shown := strings.NewReplacer("\n# tcp", "\ntcp", "\n# exec", "\nexec",
		`{ type = "none" }`, `{ type = "ah", key = "..." }`).Replace(string(text))
	root := (&checker{}).read(shown)
	everyKey(reflect.TypeFor[rawConfig](), "", func(path string, _ reflect.StructField) {
		found := false
		root.each(strings.Split(path, "."), func(*value) { found = true })
		if !found {
			t.Errorf("%s is not in the reference", path)
		}
	})
}

// TestDefaultsAreThoseOfTheReference checks the keys whose example in the
// reference is the default too: those of the tables where it says nothing
// else.
func TestDefaultsAreThoseOfTheReference(t *testing.T) {
	text, err := os.ReadFile("testdata/reference.toml")
	if err != nil {
		t.Fatal(err)
	}
	root := (&checker{}).read(string(text))
	other := regexp.MustCompile(`^(vrrp\.priority|bgp\.|import\.kernel_table|interface\.(mtu|mac|device|bridge|name))`)
	everyKey(reflect.TypeFor[rawConfig](), "", func(path string, field reflect.StructField) {
		def, ok := field.Tag.Lookup("default")
		if !ok || other.MatchString(path) {
			return
		}
		first := true
		root.each(strings.Split(path, "."), func(v *value) {
			if first && strings.Trim(literal(v), `"`) != def && path != "vrrp.track.weight" && path != "route.type" {
				t.Errorf("%s: the reference has %s, the default is %s", path, literal(v), def)
			}
			first = false
		})
	})
}

// TestEveryKeyIsLookedAt finds fields of the raw structs that no check reads:
// keys that would be ignored.
func TestEveryKeyIsLookedAt(t *testing.T) {
	read := map[string]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if name == "raw.go" || name == "decode.go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				read[s.Sel.Name] = true
			}
			return true
		})
	}
	// Keys that are only refused: a truth value has nothing more to check.
	refused := map[string]bool{}
	for _, n := range notYet {
		refused[n.path] = true
	}
	everyKey(reflect.TypeFor[rawConfig](), "", func(path string, field reflect.StructField) {
		top, _, _ := strings.Cut(path, ".")
		if field.Type == reflect.TypeFor[boolean]() && (refused[path] || refused[top] || strings.HasPrefix(path, "interface.ra.")) {
			return
		}
		if !read[field.Name] {
			t.Errorf("%s: nothing reads %s", path, field.Name)
		}
	})
}

func TestEveryRefusedKeyExists(t *testing.T) {
	exists := map[string]bool{}
	everyKey(reflect.TypeFor[rawConfig](), "", func(path string, _ reflect.StructField) { exists[path] = true })
	for _, n := range notYet {
		if !exists[n.path] {
			t.Errorf("%s: no such key", n.path)
		}
	}
}

func TestNearestKnowsTheMistakesOfTyping(t *testing.T) {
	known := []string{"name", "interface", "vrid", "version", "addresses", "priority", "interval", "preempt", "preempt_delay"}
	for key, want := range map[string]string{
		"adresses":      "addresses",     // missing
		"addressses":    "addresses",     // doubled
		"priorty":       "priority",      // missing
		"vird":          "vrid",          // swapped
		"VRID":          "vrid",          // case
		"preempt-delay": "preempt_delay", // other
		"intervall":     "interval",
		"prempt":        "preempt",
		"nmae":          "name",
		"n":             "",
		"virtual":       "",
		"advert_int":    "",
		"":              "",
	} {
		if got := nearest(key, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", key, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "", 3},
		{"abc", "abc", 0},
		{"abc", "acb", 1},
		{"abc", "axc", 1},
		{"kitten", "sitting", 3},
		{"ca", "abc", 3},
		{strings.Repeat("x", 65), "x", 65},
	} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
