package guardian

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// shell is a companion that runs a script, which finds its text in
// $VROUTER_COMPANION and the file that it tells of its lives in $1.
func shell(t *testing.T, script string) (c *companion, lives func() []string) {
	file := filepath.Join(t.TempDir(), "lives")
	c = newCompanion(&Options{
		Path: "/bin/sh", Companion: []string{"sh", "-c", `echo "$VROUTER_COMPANION $$" >>"$1"; ` + script, "sh", file}, Env: os.Environ(),
	}, quiet())
	t.Cleanup(c.end)
	return c, func() []string {
		b, _ := os.ReadFile(file) // there is none before the first
		return strings.Fields(strings.ReplaceAll(string(b), "\n", " "))
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// eventually waits until something holds, for as long as a busy machine may need.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 2000 {
		if holds() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("not within 20 s: " + what)
}

func (c *companion) running() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pidfd >= 0
}

func TestACompanionThatIsKilledIsStartedAgain(t *testing.T) {
	t.Parallel()
	c, lives := shell(t, "exec sleep 60")
	c.keep("one", quiet())
	for n := range 3 {
		eventually(t, "a life more", func() bool { return len(lives()) == 2*(n+1) && c.running() })
		c.mu.Lock()
		c.signal(unix.SIGKILL)
		c.mu.Unlock()
	}
	for i, word := range lives() {
		if i%2 == 0 && word != "one" {
			t.Errorf("it was told %q", word)
		}
	}
}

func TestACompanionGivesWayToOneWithAnotherText(t *testing.T) {
	t.Parallel()
	c, lives := shell(t, "exec sleep 60")
	c.keep("one", quiet())
	eventually(t, "the first", func() bool { return len(lives()) == 2 && c.running() })
	c.keep("one", quiet())
	c.keep("two", quiet())
	eventually(t, "the second", func() bool { return len(lives()) == 4 && c.running() })
	if l := lives(); l[2] != "two" {
		t.Errorf("it was told %q", l[2])
	}
	c.keep("", quiet())
	eventually(t, "none any more", func() bool { return !c.running() })
	if n := len(lives()); n != 4 {
		t.Errorf("%d words of its lives: one was started that nobody asked for", n)
	}
}

// A companion that ends at once is not started all the time.
func TestACompanionThatEndsAtOnceIsStartedMoreAndMoreRarely(t *testing.T) {
	t.Parallel()
	c, lives := shell(t, "exit 1")
	began := time.Now()
	c.keep("one", quiet())
	eventually(t, "four lives", func() bool { return len(lives()) >= 8 })
	// Before the second life it has waited 50 ms, then 100, then 200.
	if took := time.Since(began); took < 350*time.Millisecond {
		t.Errorf("four lives in %v", took)
	}
}

// Who starts the program again at once finds the companion's TCP port free.
func TestACompanionThatDoesNotStopIsGoneAfterEnd(t *testing.T) {
	t.Parallel()
	c, lives := shell(t, "trap '' TERM; while :; do sleep 1; done")
	c.keep("one", quiet())
	eventually(t, "its life", func() bool { return len(lives()) == 2 && c.running() })
	time.Sleep(100 * time.Millisecond) // it has set its trap
	began := time.Now()
	c.end()
	if c.running() {
		t.Error("it is still there")
	}
	if took := time.Since(began); took < companionStop {
		t.Errorf("it was ended by force after %v", took)
	}
}

// One that is stopped (SIGSTOP) does not see that it is to stop.
func TestACompanionThatHangsGivesWayToOneWithAnotherText(t *testing.T) {
	t.Parallel()
	c, lives := shell(t, "exec sleep 60")
	c.keep("one", quiet())
	eventually(t, "the first", func() bool { return len(lives()) == 2 && c.running() })
	c.mu.Lock()
	c.signal(unix.SIGSTOP)
	c.mu.Unlock()
	c.keep("two", quiet())
	eventually(t, "the second", func() bool { return len(lives()) == 4 && c.running() })
	if l := lives(); l[2] != "two" {
		t.Errorf("it was told %q", l[2])
	}
}

func TestEndOfACompanionThatNeverWasDoesNotWait(t *testing.T) {
	c, _ := shell(t, "")
	c.end()
}
