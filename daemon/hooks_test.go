package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vrouter/config"
	"vrouter/router"
	"vrouter/vrrp"
)

// hookRig is a router whose hook writes a line for each change into a file.
func hookRig(t *testing.T, script string) (r *rig, lines func() []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "changes")
	script = strings.ReplaceAll(script, "FILE", file)
	r = newRig(t, onLAN+fmt.Sprintf("[[notify]]\nexec = [\"/bin/sh\", \"-c\", %q]\ntimeout = \"15s\"\n", script))
	return r, func() []string {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil
		}
		return strings.Split(strings.TrimSpace(string(text)), "\n")
	}
}

func TestHooksAreToldEveryChangeInOrderAndTheLastOneBeforeTheEnd(t *testing.T) {
	r, lines := hookRig(t, `sleep 0.05; echo "$VROUTER_EVENT $VROUTER_NAME $VROUTER_FROM $VROUTER_TO $VROUTER_INTERFACE $VROUTER_VRID $VROUTER_FAMILY" >>FILE`)
	r.start()
	await(t, "Master", func() bool { return r.state() == "Master" })
	r.stop()
	want := []string{
		"vrrp gw Initialize Backup lan 10 ipv4",
		"vrrp gw Backup Master lan 10 ipv4",
		"vrrp gw Master Initialize lan 10 ipv4",
	}
	if got := lines(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("hooks were told\n%s", strings.Join(got, "\n"))
	}
}

func TestHookThatNeverEndsHoldsUpNothingButTheEndForItsTime(t *testing.T) {
	r, _ := hookRig(t, `sleep 60`)
	r.process.cfg.Notify[0].Timeout = 300 * time.Millisecond
	r.start()
	began := time.Now()
	await(t, "Master", func() bool { return r.state() == "Master" })
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("Master after %v", took)
	}
	if took := r.stop(); took > 10*time.Second {
		t.Errorf("the end took %v", took)
	}
	if !strings.Contains(r.log.String(), "timeout after 300ms") {
		t.Errorf("the log does not tell of the time-out:\n%s", r.log)
	}
}

func TestOnlyChangesOfStateHaveHooks(t *testing.T) {
	cfg := map[string]*config.VRRP{"lan6": {
		Config: vrrp.Config{Name: "lan6", VRID: 7, Priority: 200, Addresses: addresses("fe80::1")}, Interface: "lan", Group: "gw",
	}}
	for _, e := range []router.Event{
		{Kind: "interface", Name: "lan", From: "up", To: "down"},
		{Kind: "vrrp", Name: "lan6", From: "draining", To: "Backup"},
		{Kind: "freeze", Name: "router", From: "serving", To: "listening"},
		{Kind: "vrrp", Name: "lan6", Reason: "contested"},
		{Kind: "vrrp", Name: "lan6", From: "Initialize", To: "Initialize", Reason: "another fault"},
	} {
		if c, ok := hookChange(cfg, &e); ok {
			t.Errorf("%+v has a hook: %+v", e, c)
		}
	}
	now := time.Now()
	c, ok := hookChange(cfg, &router.Event{Sequence: 9, Time: now, Kind: "vrrp", Name: "lan6", From: "Backup", To: "Master", Reason: "because", Priority: 150})
	if !ok || c.Interface != "lan" || c.VRID != 7 || c.Group != "gw" || c.Family != "ipv6" || c.Priority != 150 ||
		c.Sequence != 9 || c.Reason != "because" || !c.Time.Equal(now) {
		t.Errorf("%+v", c)
	}
}
