package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunRefusesAFileThatCheckRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.toml")
	if err := os.WriteFile(file, []byte("[router]\nnmae = 1\n\n[logs]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run, check := command(t, "", nil, "run", "-c", file), command(t, "", nil, "check", "-c", file)
	if run.status != exitFailed || run.stderr != check.stdout {
		t.Errorf("run says\n%s\ncheck says\n%s", run.stderr, check.stdout)
	}
	if !strings.Contains(run.stderr, file+":2: ") || !strings.Contains(run.stderr, file+":4: ") {
		t.Errorf("%s", run.stderr)
	}
}

func TestRunWithoutItsFileFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "none.toml")
	if r := command(t, "", nil, "run", "-c", file); r.status != exitFailed || !strings.Contains(r.stderr, file) {
		t.Errorf("%+v", r)
	}
	if r := command(t, "", nil, "run", file); r.status != exitUsage {
		t.Errorf("a file without -c: %+v", r)
	}
}
