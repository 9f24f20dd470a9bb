package guardian

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// soon is longer than anything takes here, on a machine that is busy.
const soon = 10 * time.Second

// rig is a guardian with a child of a kind.
type rig struct {
	t     *testing.T
	cmd   *exec.Cmd
	conn  *net.UnixConn
	ended chan error

	mu  sync.Mutex
	log bytes.Buffer
}

func (r *rig) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(b)
}

func (r *rig) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

func guarded(t *testing.T, what string) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "vg") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	r := &rig{t: t, cmd: exec.Command("/proc/self/exe"), ended: make(chan error, 1)}
	if r.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	r.cmd.Env = append(os.Environ(), kindVariable+"="+what, socketVariable+"="+socket)
	r.cmd.Stderr = r
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.ended <- r.cmd.Wait() }()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		r.conn.Close()
		if t.Failed() {
			t.Logf("log:\n%s", r.logged())
		}
	})
	return r
}

// hear returns what is said next, or empty after a time.
func (r *rig) hear(within time.Duration) string {
	b := make([]byte, 200)
	_ = r.conn.SetReadDeadline(time.Now().Add(within))
	n, err := r.conn.Read(b)
	if err != nil {
		return ""
	}
	return string(b[:n])
}

func (r *rig) want(text string) {
	r.t.Helper()
	if got := r.hear(soon); !strings.HasPrefix(got, text) {
		r.t.Fatalf("heard %q, want %q", got, text)
	}
}

// born waits for the start of a child and returns its pid.
func (r *rig) born() (pid int) {
	r.t.Helper()
	got := r.hear(soon)
	if _, err := fmt.Sscanf(got, "born %d", &pid); err != nil {
		r.t.Fatalf("heard %q, want a birth", got)
	}
	return pid
}

// wantEnd waits for the guardian's end.
func (r *rig) wantEnd(status int) {
	r.t.Helper()
	select {
	case err := <-r.ended:
		r.ended <- err
		var exit *exec.ExitError
		if got := r.cmd.ProcessState.ExitCode(); got != status || (err != nil && !errors.As(err, &exit)) {
			r.t.Errorf("the guardian ended with %d (%v), want %d", got, err, status)
		}
	case <-time.After(soon):
		r.t.Fatal("the guardian does not end")
	}
}

func (r *rig) signal(pid int, s unix.Signal) {
	r.t.Helper()
	if err := unix.Kill(pid, s); err != nil {
		r.t.Fatal(err)
	}
}

// ready waits until the guardian knows that its child is ready: SIGHUP is
// passed on only then.
func (r *rig) ready() {
	r.t.Helper()
	r.signal(r.cmd.Process.Pid, unix.SIGHUP)
	r.want("told hangup")
}

func TestStartThatFails(t *testing.T) {
	for _, tt := range []struct {
		what   string
		status int
	}{{"exits with 3", 3}, {"exits with 1", 1}, {"exits with 0", 1}} {
		r := guarded(t, tt.what)
		r.wantEnd(tt.status)
		if !strings.Contains(r.logged(), "why it cannot start") {
			t.Errorf("%s: the reason is not seen: %s", tt.what, r.logged())
		}
	}
}

func TestKilledRouterLeavesItsWill(t *testing.T) {
	r := guarded(t, "beats")
	pid := r.born()
	best, worst := soon, time.Duration(0)
	for range 3 {
		r.ready()
		begin := time.Now()
		r.signal(pid, unix.SIGKILL)
		r.want("will of a")
		took := time.Since(begin)
		best, worst = min(best, took), max(worst, took)
		next := r.born() // and no will of b, which was withdrawn
		if next == pid {
			t.Error("the same process")
		}
		pid = next
	}
	t.Logf("SIGKILL to will: %v at worst", worst)
	if best > 100*time.Millisecond || worst > time.Second { // a machine may be busy, but not each time
		t.Errorf("%v to %v from SIGKILL to will", best, worst)
	}
	if got := r.logged(); strings.Count(got, "killed by SIGKILL") != 3 || !strings.Contains(got, "process=guardian") {
		t.Errorf("log:\n%s", got)
	}
}

func TestSilentRouterIsEndedForGood(t *testing.T) {
	r := guarded(t, "beats")
	pid := r.born()
	r.ready()
	begin := time.Now()
	r.signal(pid, unix.SIGSTOP)
	r.want("will of a")
	if d := time.Since(begin); d < 150*time.Millisecond || d > 2*time.Second {
		t.Errorf("the will came after %v, with a watchdog of 200 ms", d)
	}
	if next := r.born(); next == pid {
		t.Error("the same process")
	}
	if err := unix.Kill(pid, 0); err != unix.ESRCH {
		t.Errorf("the process that was stopped is still there: %v", err)
	}
}

func TestPanicIsHeardBeforeItsStackIsWritten(t *testing.T) {
	r := guarded(t, "panics")
	r.born()
	r.want("will of a")
	begin := time.Now()
	r.born()
	if !strings.Contains(r.logged(), "on purpose") {
		t.Errorf("the panic is not seen:\n%s", r.logged())
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("started again after %v", d)
	}
}

func TestFrozenGuardianSparesAHealthyRouter(t *testing.T) {
	r := guarded(t, "beats")
	pid := r.born()
	r.ready()
	for _, d := range []time.Duration{250 * time.Millisecond, time.Second, 3 * time.Second} {
		r.signal(r.cmd.Process.Pid, unix.SIGSTOP)
		time.Sleep(d)
		r.signal(r.cmd.Process.Pid, unix.SIGCONT)
		if got := r.hear(400 * time.Millisecond); got != "" {
			t.Fatalf("frozen for %v, then: %q", d, got)
		}
	}
	// Both, and the guardian is back first.
	r.signal(r.cmd.Process.Pid, unix.SIGSTOP)
	r.signal(pid, unix.SIGSTOP)
	time.Sleep(time.Second)
	r.signal(r.cmd.Process.Pid, unix.SIGCONT)
	r.signal(pid, unix.SIGCONT)
	if got := r.hear(400 * time.Millisecond); got != "" {
		t.Fatalf("both frozen, then: %q", got)
	}
}

func TestGarbage(t *testing.T) {
	r := guarded(t, "sends garbage")
	pid := r.born()
	r.ready()
	if got := r.hear(500 * time.Millisecond); got != "" {
		t.Errorf("after garbage: %q", got)
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.cmd.Process.Pid))
	if err != nil || len(files) > 30 {
		t.Errorf("%d descriptors are open in the guardian, %v", len(files), err)
	}
	if n := strings.Count(r.logged(), "nonsense"); n == 0 || n > 20 {
		t.Errorf("%d lines about nonsense", n)
	}
	r.signal(pid, unix.SIGKILL)
	r.want("will of a") // it has not forgotten
}

func TestGuardianKilled(t *testing.T) {
	r := guarded(t, "beats")
	r.born()
	r.ready()
	r.signal(r.cmd.Process.Pid, unix.SIGKILL)
	r.want("guardian gone")
}

func TestOrderlyStop(t *testing.T) {
	for _, s := range []unix.Signal{unix.SIGTERM, unix.SIGINT} {
		r := guarded(t, "beats")
		r.born()
		r.ready()
		r.signal(r.cmd.Process.Pid, s)
		r.want("told terminated")
		r.wantEnd(0)
		if got := r.hear(10 * time.Millisecond); got != "" {
			t.Errorf("after an orderly stop: %q", got)
		}
	}
}

func TestStopOfTheRouterProcessAlone(t *testing.T) {
	r := guarded(t, "stops by itself")
	r.born()
	r.want("told terminated")
	r.wantEnd(0)
}

func TestSecondOrderDoesNotWait(t *testing.T) {
	r := guarded(t, "does not stop")
	r.born()
	r.ready()
	r.signal(r.cmd.Process.Pid, unix.SIGTERM)
	r.want("told terminated")
	r.signal(r.cmd.Process.Pid, unix.SIGTERM)
	r.want("will of a") // it is still Master
	r.wantEnd(1)
}

func TestStopBeforeReady(t *testing.T) {
	r := guarded(t, "is never ready")
	r.born()
	r.signal(r.cmd.Process.Pid, unix.SIGTERM)
	time.Sleep(200 * time.Millisecond) // two that wait are one
	r.signal(r.cmd.Process.Pid, unix.SIGTERM)
	r.want("will of a")
	r.wantEnd(1)
}

func TestBackOff(t *testing.T) {
	r := guarded(t, "dies soon")
	var starts []time.Time
	for len(starts) < 4 {
		r.born()
		starts = append(starts, time.Now())
		r.want("will of a")
	}
	for i, least := range []time.Duration{100, 200, 400} {
		if d := starts[i+1].Sub(starts[i]); d < least*time.Millisecond || d > least*time.Millisecond+2*time.Second {
			t.Errorf("pause %d: %v, want %d ms and what a start takes", i, d, least)
		}
	}
	r.signal(r.cmd.Process.Pid, unix.SIGTERM) // in a pause
	r.wantEnd(0)
}

func TestLogLooksAsTheRouters(t *testing.T) {
	r := guarded(t, "logs json")
	pid := r.born()
	r.ready()
	r.signal(pid, unix.SIGKILL)
	r.want("will of a")
	r.born()
	if got := r.logged(); !strings.Contains(got, `"process":"guardian"`) || !strings.Contains(got, `"reason":"killed by SIGKILL"`) {
		t.Errorf("log:\n%s", got)
	}
}

// The manager is told about the process that it has started, whatever happens
// behind it.
func TestServiceManager(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "n")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Skip(err) // the path may be too long
	}
	defer conn.Close()
	t.Setenv(notifySocket, path)
	r := guarded(t, "beats")
	want := func(text string) {
		t.Helper()
		b := make([]byte, 200)
		_ = conn.SetReadDeadline(time.Now().Add(soon))
		if n, err := conn.Read(b); err != nil || !strings.HasPrefix(string(b[:n]), text) {
			t.Fatalf("told %q, %v; want %q", b[:n], err, text)
		}
	}
	pid := r.born()
	want("READY=1")
	r.signal(pid, unix.SIGKILL)
	want("STATUS=The router process has ended (killed by SIGKILL)")
	want("READY=1")
	r.signal(r.cmd.Process.Pid, unix.SIGTERM)
	want("STOPPING=1")
}

func TestTakeRole(t *testing.T) {
	for value, want := range map[string]Role{
		"": RoleNone, "guardian:1": RoleNone, "router:0": RoleNone, "nonsense": RoleNone,
		fmt.Sprint(guardianMark, os.Getpid()): RoleGuardian,
	} {
		t.Setenv(marker, value)
		if got := TakeRole(); got != want {
			t.Errorf("%q: role %d, want %d", value, got, want)
		}
		if os.Getenv(marker) != "" {
			t.Errorf("%q stays in the environment", value)
		}
	}
}

func TestClientWithoutGuardian(t *testing.T) {
	var c *Client
	c.Hello(Hello{Watchdog: time.Second})
	c.Ready()
	c.Beat(1)
	c.Will(will("a"))
	c.Dying()
	fd, _ := device(t)
	c.Lend(Loan{FD: fd})
	if unix.Close(fd) == nil {
		t.Error("a descriptor that nobody takes stays open")
	}
	if c.Next() != 0 || c.Gone() != nil {
		t.Error("it wants something")
	}
}

// TestTheRouterProcessKnowsHowOftenItWasStarted: from its environment, in which
// its own programs do not find it.
func TestTheRouterProcessKnowsHowOftenItWasStarted(t *testing.T) {
	defer func() { restarts = 0 }()
	for count, want := range map[string]uint64{"": 0, "3": 3, "nonsense": 0} {
		restarts = 0
		// It is not a router process of this one: its parent is another.
		t.Setenv(marker, fmt.Sprint(routerMark, os.Getpid()))
		t.Setenv(restartsVariable, count)
		if TakeRole() != RoleNone || Restarts() != 0 || os.Getenv(restartsVariable) != "" {
			t.Errorf("%q: %d restarts of what is no router process", count, Restarts())
		}
		if got := restartCount(count); got != want {
			t.Errorf("%q: %d, want %d", count, got, want)
		}
	}
}
