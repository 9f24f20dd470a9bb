package harness

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	all := []string{"one", "two", "three"}
	self := func(s string) string { return s }
	for _, test := range []struct{ names, want string }{
		{"all", "one two three"},
		{"three,one", "one three"}, // in the list's order
		{"two", "two"},
		{"two,two", "two"},
	} {
		if got, err := Choose(test.names, all, self); err != nil || strings.Join(got, " ") != test.want {
			t.Errorf("%s: %v, %v; want %s", test.names, got, err, test.want)
		}
	}
	for _, names := range []string{"", "four", "one,", "one,four"} {
		if got, err := Choose(names, all, self); err == nil || !strings.Contains(err.Error(), "known: one,two,three") {
			t.Errorf("%q: %v, %v; want an error that says what there is", names, got, err)
		}
	}
	if !slices.Equal(Names(all, self), all) {
		t.Error(Names(all, self))
	}
}

func TestProgram(t *testing.T) {
	path, done, err := Program("some/where")
	if err != nil || !strings.HasSuffix(path, "/some/where") || path[0] != '/' {
		t.Errorf("%s, %v", path, err)
	}
	done()
	if testing.Short() {
		return
	}
	path, done, err = Program("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	done()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}
