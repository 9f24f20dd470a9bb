package program

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is for what must come on a busy machine.
const patience = 15 * time.Second

func launcher(t testing.TB) *Launcher {
	t.Helper()
	l := NewLauncher()
	t.Cleanup(l.Close)
	return l
}

// shell is a script with a time limit that a busy machine keeps.
func shell(script string) Command {
	return Command{Args: []string{"/bin/sh", "-c", script}, Timeout: patience}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestStatusAndLastLineAreReported(t *testing.T) {
	l := launcher(t)
	for _, test := range []struct{ script, err, output string }{
		{"true", "", ""},
		{"echo one; echo two", "", "two"},
		{"echo out; echo err >&2; exit 3", "exit status 3", "err"},
		{"printf 'no end of line'", "", "no end of line"},
		{"printf 'text\\n\\n \\n'", "", "text"},
		{"kill -SEGV $$", "ended by SIGSEGV", ""},
		{"echo dying; kill -KILL $$", "ended by SIGKILL", "dying"},
		{`printf 'a\tb\033[31mred\377'`, "", "a b?[31mred?"},
		{"readlink /proc/self/cwd", "", "/"},
		{"cat; echo $?", "", "0"}, // its input is empty
	} {
		r := l.Run(t.Context(), shell(test.script))
		if text(r.Err) != test.err || r.Output != test.output || r.Lingers != nil {
			t.Errorf("%s: %+v", test.script, r)
		}
	}
}

func TestProgramThatCannotBeStartedSaysWhy(t *testing.T) {
	l := launcher(t)
	dir := t.TempDir()
	plain, noInterpreter := filepath.Join(dir, "plain"), filepath.Join(dir, "script")
	if err := errors.Join(os.WriteFile(plain, nil, 0o644),
		os.WriteFile(noInterpreter, []byte("#!/nonexistent/sh\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ program, err string }{
		{"/nonexistent/check", "cannot run /nonexistent/check: no such file or directory"},
		{"no-such-program-anywhere", "cannot run no-such-program-anywhere: executable file not found in $PATH"},
		{plain, "permission denied"},
		{noInterpreter, "no such file or directory"},
		{"/tmp", "cannot run /tmp: is a directory"},
	} {
		r := l.Run(t.Context(), Command{Args: []string{test.program}, Timeout: patience})
		if !strings.Contains(text(r.Err), test.err) {
			t.Errorf("%s: %v", test.program, r.Err)
		}
	}
	if r := l.Run(t.Context(), Command{Timeout: patience}); r.Err == nil {
		t.Error("a command without a program is no error")
	}
}

// pidFile is where a script writes the process numbers that a test watches.
func pidFile(t *testing.T) string { return filepath.Join(t.TempDir(), "pids") }

// awaitPIDs waits for so many numbers in a file.
func awaitPIDs(t *testing.T, file string, n int) []int {
	t.Helper()
	var pids []int
	await(t, "the script's processes", func() bool {
		content, _ := os.ReadFile(file)
		pids = nil
		for field := range strings.FieldsSeq(string(content)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
		return len(pids) >= n
	})
	return pids
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// alive reports whether a process runs; a zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return rest != "" && rest[0] != 'Z' && rest[0] != 'X'
}

func TestTimeoutKillsEverythingThatTheProgramHasStarted(t *testing.T) {
	for _, test := range []struct {
		name, script string
		processes    int
	}{
		{"ignores SIGTERM", `trap '' TERM INT HUP; echo $$ >>F; while :; do sleep 60; done`, 1},
		{"grandchildren hold the pipe", `(echo $$ >>F; sleep 60 & echo $! >>F; sleep 60 & echo $! >>F; wait)`, 3},
		{"a process group of its own", `set -m; sleep 60 & echo $! >>F; echo $$ >>F; wait`, 2},
		{"an orphan in a group of its own", `set -m; (sh -c 'echo $$ >>F; exec sleep 60' &); sleep 60`, 1},
		{"timeout makes a group", `timeout 60 sh -c 'echo $$ >>F; sleep 60'; :`, 1},
		{"floods its output", `yes & echo $! >>F; echo $$ >>F; wait`, 2},
		{"stops itself", `echo $$ >>F; kill -STOP $$`, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := launcher(t)
			file := pidFile(t)
			c := shell(strings.ReplaceAll(test.script, "F", file))
			// Long enough for the script to come up on a busy machine.
			c.Timeout = 700 * time.Millisecond
			began := time.Now()
			r := l.Run(t.Context(), c)
			if took := time.Since(began); took < c.Timeout || took > patience {
				t.Errorf("took %v", took)
			}
			if text(r.Err) != "timeout after 700ms" || r.Lingers != nil {
				t.Errorf("%+v", r)
			}
			for _, pid := range awaitPIDs(t, file, test.processes) {
				await(t, "process "+strconv.Itoa(pid)+" is gone", func() bool { return !alive(pid) })
			}
		})
	}
}

func TestWhatACheckLeavesBehindIsEndedAndAHookMayLeaveSomething(t *testing.T) {
	l := launcher(t)
	for _, keep := range []bool{false, true} {
		file := pidFile(t)
		c := shell("sleep 60 & echo $! >" + file + "; echo done")
		c.KeepChildren = keep
		began := time.Now()
		r := l.Run(t.Context(), c)
		if r.Err != nil || r.Output != "done" {
			t.Errorf("keep %v: %+v", keep, r)
		}
		if took := time.Since(began); took > patience/2 {
			t.Errorf("keep %v: waited %v for whoever holds the pipe", keep, took)
		}
		pid := awaitPIDs(t, file, 1)[0]
		if keep {
			if !alive(pid) {
				t.Error("what a hook left running was killed")
			}
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		await(t, "the child is gone", func() bool { return !alive(pid) })
	}
}

func TestDaemonThatHoldsThePipeDoesNotHoldUpTheResult(t *testing.T) {
	l := launcher(t)
	file := pidFile(t)
	r := l.Run(t.Context(), shell("setsid sh -c 'echo $$ >"+file+"; exec sleep 60' & while ! test -s "+file+"; do sleep 0.01; done; echo ok"))
	pid := awaitPIDs(t, file, 1)[0]
	defer func() { _ = unix.Kill(pid, unix.SIGKILL) }()
	if r.Err != nil || r.Output != "ok" {
		t.Errorf("%+v", r)
	}
	if !alive(pid) {
		t.Error("a daemon with a session of its own is not the program's any more; it was killed")
	}
}

func TestFloodOfOutputEndsInItsLastLine(t *testing.T) {
	l := launcher(t)
	r := l.Run(t.Context(), shell("head -c 3000000 /dev/zero | tr '\\0' 'x'; echo; echo the end"))
	if r.Err != nil || r.Output != "the end" {
		t.Errorf("%+v", r)
	}
}

func TestLastLineIsShort(t *testing.T) {
	if got := lastLine(strings.Repeat("ä", 5000)); got != strings.Repeat("ä", lastRunes)+"..." {
		t.Errorf("%d runes", len([]rune(got)))
	}
	if got := lastLine(" \n\t\n"); got != "" {
		t.Errorf("%q", got)
	}
}

func TestEndOfTheContextEndsTheProgram(t *testing.T) {
	l := launcher(t)
	file := pidFile(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan Result)
	go func() { done <- l.Run(ctx, shell("echo $$ >"+file+"; exec sleep 60")) }()
	pid := awaitPIDs(t, file, 1)[0]
	cancel()
	if r := <-done; !errors.Is(r.Err, context.Canceled) {
		t.Errorf("%+v", r)
	}
	if alive(pid) {
		t.Error("the program still runs")
	}
	if r := l.Run(ctx, shell("true")); !errors.Is(r.Err, context.Canceled) {
		t.Errorf("after the end: %+v", r)
	}
}

func TestClosedLauncherStartsNothing(t *testing.T) {
	l := NewLauncher()
	l.Close()
	l.Close()
	if r := l.Run(t.Context(), shell("true")); !errors.Is(r.Err, ErrClosed) {
		t.Errorf("%+v", r)
	}
}

func TestProcessThatCannotBeEndedIsReportedAsSuch(t *testing.T) {
	l := launcher(t)
	l.signal = func(int) {} // the kernel holds it
	file := pidFile(t)
	c := shell("echo $$ >" + file + "; exec sleep 60")
	c.Timeout = 300 * time.Millisecond
	r := l.Run(t.Context(), c)
	pid := awaitPIDs(t, file, 1)[0]
	if r.Lingers == nil || text(r.Err) != "timeout after 300ms; killed, but the kernel holds it" {
		t.Fatalf("%+v", r)
	}
	select {
	case <-r.Lingers:
		t.Error("it is said to be gone")
	default:
	}
	l.killAll(pid)
	select {
	case <-r.Lingers:
	case <-time.After(patience):
		t.Error("it is gone, and nobody says so")
	}
}

func TestNoZombieIsLeft(t *testing.T) {
	l := launcher(t)
	for range 20 {
		l.Run(t.Context(), shell("exit 1"))
	}
	if err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); !errors.Is(err, unix.ECHILD) {
		t.Errorf("there is still a child (%v)", err)
	}
}

func TestManyAtOnceAllComeBack(t *testing.T) {
	l := launcher(t)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if r := l.Run(t.Context(), shell("echo ok")); r.Err != nil || r.Output != "ok" {
				t.Errorf("%+v", r)
			}
		})
	}
	wg.Wait()
}

func TestEnvironmentIsTheRoutersButForWhatIsMeantForItAlone(t *testing.T) {
	got := environment([]string{
		"HOME=/root", "NOTIFY_SOCKET=/run/n", "WATCHDOG_USEC=1", "LISTEN_FDS=1", "VROUTER_X=1",
		"LANG=C", "JOURNAL_STREAM=8:1", "INVOCATION_ID=0",
	})
	if want := "HOME=/root LANG=C PATH=" + defaultPath; strings.Join(got, " ") != want {
		t.Errorf("%q", got)
	}
	if got := environment([]string{"PATH=/bin"}); strings.Join(got, " ") != "PATH=/bin" {
		t.Errorf("%q", got)
	}
	if got := environment([]string{"PATH="}); strings.Join(got, " ") != "PATH="+defaultPath {
		t.Errorf("%q", got)
	}
	c := shell(`echo "$VROUTER_NAME/$PATH"`)
	c.Env = []string{"VROUTER_NAME=lan4"}
	t.Setenv("PATH", "")
	if r := launcher(t).Run(t.Context(), c); r.Output != "lan4/"+defaultPath {
		t.Errorf("%+v", r)
	}
	c.Args = []string{"sh", "-c", "echo found"}
	if r := launcher(t).Run(t.Context(), c); r.Output != "found" {
		t.Errorf("without PATH: %+v", r)
	}
}

func TestProgramInheritsNeitherDescriptorsNorCaughtSignals(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	open, err := os.Create(secret)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	r := launcher(t).Run(t.Context(), shell("ls -l /proc/$$/fd | grep -c secret"))
	if r.Output != "0" {
		t.Errorf("descriptors: %+v", r)
	}
	// What the router catches is at its default again in the program.
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGPIPE)
	defer signal.Stop(c)
	r = launcher(t).Run(t.Context(), shell("grep SigIgn /proc/$$/status"))
	if mask, err := strconv.ParseUint(strings.TrimSpace(strings.TrimPrefix(r.Output, "SigIgn:")), 16, 64); err != nil || mask>>(uint(syscall.SIGPIPE)-1)&1 != 0 {
		t.Errorf("signals: %+v", r)
	}
}

// Whoever starts vrouter may have told the kernel to forget children at once.
func TestStatusIsKnownAlsoWhereSIGCHLDWasIgnoredAtTheStart(t *testing.T) {
	if os.Getenv("WITHOUT_SIGCHLD") != "" {
		r := launcher(t).Run(t.Context(), shell("echo said; exit 7"))
		if text(r.Err) != "exit status 7" || r.Output != "said" {
			t.Errorf("%+v", r)
		}
		return
	}
	cmd := exec.Command("/bin/sh", "-c", `trap '' CHLD; exec "$0" -test.run "^$1\$"`, os.Args[0], t.Name())
	cmd.Env = append(os.Environ(), "WITHOUT_SIGCHLD=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestProgramsDieWithTheThreadThatHasStartedThem(t *testing.T) {
	l := NewLauncher()
	file := pidFile(t)
	done := make(chan Result)
	go func() { done <- l.Run(context.Background(), shell("echo $$ >"+file+"; exec sleep 60")) }()
	pid := awaitPIDs(t, file, 1)[0]
	l.Close()
	if r := <-done; text(r.Err) != "ended by SIGKILL" {
		t.Errorf("%+v", r)
	}
	if alive(pid) {
		t.Error("it lives on")
	}
}

func TestSessionIsReadBehindTheName(t *testing.T) {
	for stat, want := range map[string]bool{
		"12 (sh) S 1 12 77 0":         true,
		"12 (a) b) S 1 12 77 0":       true,
		"12 (x 77 77 77) S 1 1 1 0":   false,
		"12 (sh) Z 1 12 77 0":         false,
		"12 (sh) S 77 77 1 0":         false,
		"12 (sh":                      false,
		"":                            false,
		"12 (sh) S 1":                 false,
		"12 (77) S 1 12 177 34816 77": false,
	} {
		if got := inSession([]byte(stat), 77); got != want {
			t.Errorf("%q: %v", stat, got)
		}
	}
}
