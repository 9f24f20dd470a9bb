package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const goodConfig = `
[[interface]]
name      = "lan"
attach    = "af_packet"
device    = "eth1"
addresses = ["192.0.2.2/24"]

[[interface]]
name      = "wan"
attach    = "af_packet"
device    = "eth2"
addresses = ["203.0.113.2/24"]

[[vrrp]]
name      = "lan4"
interface = "lan"
vrid      = 10
addresses = ["192.0.2.1"]

[[route]]
to  = "0.0.0.0/0"
via = ["203.0.113.1"]
`

func TestCheckCountsWhatAGoodFileHas(t *testing.T) {
	file := filepath.Join(t.TempDir(), "good.toml")
	if err := os.WriteFile(file, []byte(goodConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	const counts = ": ok: 2 interfaces, 1 virtual router, 1 route\n"
	if r := command(t, "", nil, "check", "-c", file); r != (result{file + counts, "", exitDone}) {
		t.Errorf("%+v", r)
	}
	if r := command(t, goodConfig, nil, "check", "-c", "-"); r != (result{"stdin" + counts, "", exitDone}) {
		t.Errorf("standard input: %+v", r)
	}
}

func TestCheckNamesTheLineOfEveryError(t *testing.T) {
	broken := strings.Replace(goodConfig, "vrid      = 10", "vrid      = 999\ncolour    = 1", 1)
	broken = strings.Replace(broken, `"203.0.113.1"`, `"gateway"`, 1)
	r := command(t, broken, nil, "check", "-c", "-")
	if r.status != exitFailed || r.stderr != "" {
		t.Errorf("status %d, stderr %q", r.status, r.stderr)
	}
	lines := strings.Split(strings.TrimSuffix(r.stdout, "\n"), "\n")
	if len(lines) != 3 {
		t.Fatalf("three mistakes, and\n%s", r.stdout)
	}
	for i, number := range []string{"17", "18", "23"} {
		if !regexp.MustCompile(`^stdin:` + number + `: .+; .+$`).MatchString(lines[i]) {
			t.Errorf("line %s: %q", number, lines[i])
		}
	}
}

func TestCheckOfADirectoryFails(t *testing.T) {
	if r := command(t, "", nil, "check", "-c", t.TempDir()); r.status != exitFailed || !strings.Contains(r.stderr, "is a directory") {
		t.Errorf("%+v", r)
	}
}
