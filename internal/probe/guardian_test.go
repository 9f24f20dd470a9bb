package probe

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// virtualMAC33 is the virtual MAC of VRID 33 over IPv4.
var virtualMAC33 = mac{0, 0, 0x5e, 0, 1, 33}

// killInner sends the router process a signal and returns how long the last
// will took, which must be of VRID 33 and be there.
func (r *rig) killInner(s syscall.Signal) time.Duration {
	r.t.Helper()
	r.stations["lan"].wire.Drain()
	pid, begin := r.inner(), time.Now()
	if err := syscall.Kill(pid, s); err != nil {
		r.t.Fatal(err)
	}
	a := r.priorityZero(2 * time.Second)
	if a == nil {
		r.t.Fatalf("%v: no last will within 2 s", s)
	}
	if source(a.frame) != virtualMAC33 {
		r.t.Errorf("%v: the last will comes from %x", s, source(a.frame))
	}
	return a.at.Sub(begin)
}

// TestLastWill: however the router process ends, the others hear priority 0 at
// once; it comes back, and listens before it is Master again.
func TestLastWill(t *testing.T) {
	t.Parallel()
	for _, attach := range []string{"af_packet", "tap"} {
		t.Run(attach, func(t *testing.T) {
			r := newRigBy(t, attach, "lan")
			r.run(vrrpInterface + vrrpTable("v", 33, 3, 100, "200ms", "", "192.0.2.100"))
			var took []time.Duration
			for _, s := range []syscall.Signal{syscall.SIGKILL, syscall.SIGABRT, syscall.SIGKILL} {
				r.waitMaster()
				took = append(took, r.killInner(s))
				silent := time.Now()
				if f := r.stations["lan"].wire.Receive(550*time.Millisecond, func(f []byte) bool {
					return source(f) == virtualMAC33
				}); f != nil {
					t.Errorf("%v after %v it speaks again, without having listened for 3 x 200 ms: %x", time.Since(silent), s, f)
				}
			}
			slices.Sort(took)
			t.Logf("priority 0 after %v", took)
			if worst := took[len(took)-1]; worst > 150*time.Millisecond {
				t.Errorf("the last will took %v", worst)
			}
			if !strings.Contains(r.logged(), "SIGABRT") || !strings.Contains(r.logged(), "goroutine ") {
				t.Error("the stack is not in the log")
			}
			r.waitMaster()
			if err := r.stop(syscall.SIGTERM); err != nil {
				t.Errorf("ended: %v", err)
			}
		})
	}
}

// waitMaster waits for mastership across a start of the router process, while
// its socket may not answer.
func (r *rig) waitMaster() {
	r.t.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		out, err := r.command("show", "vrrp", "--json")
		if err == nil && bytes.Contains(out, []byte(`"Master"`)) {
			return
		}
	}
	r.t.Fatal("not Master within 15 s")
}

// TestFrozenRouterProcess: what is silent is taken for dead and ended for good:
// thawed, it says nothing any more.
func TestFrozenRouterProcess(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lan")
	r.watchdog = "300ms"
	r.run(vrrpInterface + vrrpTable("v", 33, 3, 100, "200ms", "", "192.0.2.100"))
	r.waitMaster()
	pid := r.inner()
	took := r.killInner(syscall.SIGSTOP)
	t.Logf("priority 0 after %v", took)
	if took < 200*time.Millisecond || took > time.Second {
		t.Errorf("priority 0 after %v, with a watchdog of 300 ms", took)
	}
	for end := time.Now().Add(5 * time.Second); syscall.Kill(pid, syscall.SIGCONT) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the frozen process still exists")
		}
	}
	r.waitMaster()
	if r.inner() == pid {
		t.Error("no other process")
	}
}

// TestFrozenGuardian: a guardian that was frozen does not take a healthy router
// process for dead.
func TestFrozenGuardian(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lan")
	r.run(vrrpInterface + vrrpTable("v", 33, 3, 100, "200ms", "", "192.0.2.100"))
	r.waitMaster()
	pid := r.inner()
	for _, d := range []time.Duration{200 * time.Millisecond, time.Second, 3 * time.Second} {
		r.stations["lan"].wire.Drain()
		_ = r.process.Process.Signal(syscall.SIGSTOP)
		time.Sleep(d)
		_ = r.process.Process.Signal(syscall.SIGCONT)
		if a := r.priorityZero(500 * time.Millisecond); a != nil {
			t.Fatalf("frozen for %v: priority 0 of a healthy router", d)
		}
		if r.inner() != pid {
			t.Fatalf("frozen for %v: another router process", d)
		}
	}
}

// TestGuardianKilled: without a guardian the router hands over in order, and
// ends; nothing answers any more.
func TestGuardianKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lan")
	r.run(vrrpInterface + vrrpTable("v", 33, 3, 100, "200ms", `drain = "300ms"`, "192.0.2.100"))
	r.waitMaster()
	pid := r.inner()
	r.stations["lan"].wire.Drain()
	_ = r.process.Process.Signal(syscall.SIGKILL)
	if a := r.priorityZero(time.Second); a == nil {
		t.Error("no priority 0 within a second")
	}
	for end := time.Now().Add(5 * time.Second); syscall.Kill(pid, 0) == nil; time.Sleep(10 * time.Millisecond) {
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(stat), ") Z ") {
			break // whoever inherits it has not waited for it yet
		}
		if time.Now().After(end) {
			t.Fatal("the router process does not end")
		}
	}
	if got := r.ask("lan", other, ask("192.0.2.100")...); len(got) != 0 {
		t.Errorf("somebody answers for the virtual address: %x", got)
	}
}

// TestBackupLeavesNoWill: who has been Master, and is Backup, must not say that
// he gives up.
func TestBackupLeavesNoWill(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lan")
	r.run(vrrpInterface + vrrpTable("v", 33, 3, 100, "200ms", "", "192.0.2.100"))
	r.waitMaster()
	stop := r.stations["lan"].every(50*time.Millisecond, peerAdvertisement(33, 200).frame())
	defer stop()
	r.waitState("v", "Backup", 5*time.Second)
	r.stations["lan"].wire.Drain()
	if err := syscall.Kill(r.inner(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if a := r.priorityZero(time.Second); a != nil {
		t.Errorf("a Backup's process was killed, and it says %x", a.frame)
	}
}

// TestTitles: who looks at the processes sees which is which.
func TestTitles(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lan")
	r.run(vrrpInterface + vrrpTable("v", 33, 3, 100, "200ms", "", "192.0.2.100"))
	for pid, want := range map[int]string{r.process.Process.Pid: "vrouter: guardian", r.inner(): "vrouter: router"} {
		dir := filepath.Join("/proc", fmt.Sprint(pid))
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		title, _, _ := strings.Cut(string(line), "\x00")
		if err != nil || title != want {
			t.Errorf("command line %q, want %q first", line, want)
		}
		comm, err := os.ReadFile(filepath.Join(dir, "comm"))
		if err != nil || strings.TrimSpace(string(comm)) != want[:15] && strings.TrimSpace(string(comm)) != want {
			t.Errorf("name %q", comm)
		}
	}
}
