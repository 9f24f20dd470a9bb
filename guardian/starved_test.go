package guardian

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// task is a thread as /proc shows it.
func task(t *testing.T, state byte, used time.Duration) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"stat":      fmt.Sprintf("4711 (vrouter: r) S) %c 1 4711 4711 0 -1", state),
		"schedstat": fmt.Sprintf("%d 123456 789\n", used),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOnlyAThreadThatWantsToRunIsStarved(t *testing.T) {
	const silent = 100 * ms
	for state, want := range map[byte]bool{'R': true, 'S': false, 'D': false, 'T': false, 't': false, 'Z': false} {
		var h hunger
		if got := h.starved(task(t, state, time.Second), silent); got != want {
			t.Errorf("state %c: starved %v, want %v", state, got, want)
		}
	}
}

func TestAThreadThatSpinsIsNotStarved(t *testing.T) {
	const silent = 100 * ms
	var h hunger
	if !h.starved(task(t, 'R', time.Second), silent) {
		t.Error("it cannot be known to spin at the first look")
	}
	if h.starved(task(t, 'R', time.Second+60*ms), silent) {
		t.Error("it has run for most of the time")
	}
	if !h.starved(task(t, 'R', time.Second+80*ms), silent) {
		t.Error("it has hardly run since")
	}
}

func TestAThreadThatIsGoneIsNotStarved(t *testing.T) {
	var h hunger
	if h.starved(filepath.Join(t.TempDir(), "none"), 100*ms) {
		t.Error("starved, though it does not exist")
	}
}

func TestReadTaskOfThisThread(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	state, used, err := readTask(fmt.Sprintf("/proc/self/task/%d", unix.Gettid()))
	if err != nil || state != 'R' || used <= 0 {
		t.Errorf("state %c, %v used, %v", state, used, err)
	}
}

func TestExcusesEnd(t *testing.T) {
	p := patience{watchdog: 100 * ms, silent: 100 * ms}
	for i := range allowances {
		if !p.excuse() || p.dead() {
			t.Fatalf("excuse %d is refused", i)
		}
		p.silent = p.watchdog
	}
	if p.excuse() || !p.dead() {
		t.Error("it is excused for ever")
	}
	p.heard(0)
	if !p.excuse() {
		t.Error("a sign of life does not count")
	}
}
