package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the .want files of testdata/errors anew")

// TestErrors compares all messages of testdata/errors/NAME.toml with those in
// NAME.want.
func TestErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			_, err := parseFile(t, "errors/"+name)
			if err == nil {
				t.Fatal("no error")
			}
			got := strings.ReplaceAll(err.Error(), "errors/", "") + "\n"
			golden := strings.TrimSuffix(file, ".toml") + ".want"
			if *rewrite {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs; got:\n%s", golden, got)
			}
		})
	}
}

func TestEveryMessageSaysWhatWouldBeRight(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		_, err := parseFile(t, "errors/"+filepath.Base(file))
		var errs Errors
		if !errors.As(err, &errs) {
			t.Fatalf("%s: error is %T, want Errors", file, err)
		}
		if !sort.SliceIsSorted(errs, func(i, j int) bool { return errs[i].Line < errs[j].Line }) {
			t.Errorf("%s: not sorted by line", file)
		}
		for _, e := range errs {
			if !strings.Contains(e.Message, "; ") || strings.Contains(e.Message, "\n") || strings.Contains(e.Message, "%!") {
				t.Errorf("%s: want one line with \"; \" before the remedy", e)
			}
		}
	}
}
