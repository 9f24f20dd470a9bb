package wan

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vrouter/internal/netlab"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m)) }

// scenario runs it, and again where the machine stood still, up to three times.
func scenario(t *testing.T, o Options, providers string) {
	t.Helper()
	if testing.Short() {
		t.Skip("a minute")
	}
	if err := netlab.Unavailable(); err != nil {
		t.Skip(err)
	}
	o.Binary = filepath.Join(t.TempDir(), "vrouter")
	if out, err := exec.Command("go", "build", "-o", o.Binary, "vrouter/cmd/vrouter").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for range 3 {
		var b bytes.Buffer
		o.Out = &b
		report, err := tell(context.Background(), o)
		t.Logf("%s%s", &b, report)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), providers) {
			t.Errorf("want %q", providers)
		}
		if err := report.verdict(); err != nil {
			t.Error(err)
		}
		if report.unjudged() == "" || t.Failed() {
			return
		}
	}
	t.Skip("the machine stood still in each of three runs")
}

// TestTwoProviders is the scenario with BIRD and FRR.
func TestTwoProviders(t *testing.T) {
	for _, k := range []kind{bird, frr} {
		if _, missing := find(k.needs); missing {
			t.Skipf("%s is not installed", k.name)
		}
		if k.root && netlab.SingleUser() {
			t.Skipf("%s changes to a user of its own, which needs root outside", k.name)
		}
	}
	if !canBlock() {
		t.Skip("nft is not installed")
	}
	scenario(t, Options{}, "isp1 is BIRD, isp2 is FRR")
}

// TestWithoutOtherDaemons is the scenario on a machine where neither BIRD nor FRR
// is installed: what a newcomer sees.
func TestWithoutOtherDaemons(t *testing.T) {
	scenario(t, Options{Plain: true}, "isp1 is vrouter, isp2 is vrouter")
}
