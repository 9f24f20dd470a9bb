package web

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// browse runs Chromium on a page, with a profile of its own, and returns what it
// prints and what it complains of.
func browse(t *testing.T, url string, flags ...string) (out, complaints string) {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Skip("chromium is not installed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	profile, err := os.MkdirTemp("", "vrouter-browser-") // it writes on for a moment after its end
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(profile) })
	args := append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
		"--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--user-data-dir=" + profile, "--enable-logging=stderr", "--v=0",
	}, flags...)
	cmd := exec.CommandContext(ctx, program, append(args, "http://"+url)...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, stderr.String())
	}
	for line := range strings.Lines(stderr.String()) {
		if strings.Contains(line, "CONSOLE") {
			complaints += line
		}
	}
	return stdout.String(), complaints
}

// TestABrowserShowsTheDashboard: the page in a real browser, which applies the
// style and runs the script although the policy forbids all others.
func TestABrowserShowsTheDashboard(t *testing.T) {
	f := newFake()
	_, at := serve(t, f)
	out, complaints := browse(t, at+"/", "--virtual-time-budget=5000", "--dump-dom")
	if complaints != "" {
		t.Errorf("it complains:\n%s", complaints)
	}
	for _, want := range []string{
		`data-live="yes"`, `data-looks="`, "<title>r1: 2 Master, 1 Backup, 1 Initialize</title>", `id="virtual-router-lan4"`,
		`<span class="pill good">Master</span>`, "Not ready",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
	screenshots(t, at)
}

// screenshots writes what the dashboard looks like where that is asked for:
// SCREENSHOTS=DIR go test ./web -run Browser.
func screenshots(t *testing.T, at string) {
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	for _, c := range []struct{ name, size, mode string }{
		{"wide-light", "1400,1900", "--blink-settings=preferredColorScheme=1"},
		{"narrow-dark", "400,3400", "--blink-settings=preferredColorScheme=0"},
	} {
		_, complaints := browse(t, at+"/", "--screenshot="+filepath.Join(dir, c.name+".png"), "--window-size="+c.size, "--hide-scrollbars", c.mode)
		if complaints != "" {
			t.Errorf("%s: %s", c.name, complaints)
		}
	}
}
