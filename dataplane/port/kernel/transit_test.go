package kernel

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"vrouter/internal/nstest"
)

// run runs a program in a namespace.
func run(ns *nstest.NS, words ...string) (string, error) {
	var out strings.Builder
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := ns.Do(cmd.Run)
	return out.String(), err
}

// A kernel that forwards ceases to, answers for itself all the same, and goes on
// when the table has gone.
func TestTheKernelIsKeptFromForwarding(t *testing.T) {
	a, r, b := nstest.New(t), nstest.New(t), nstest.New(t)
	nstest.Veth(t, a, "eth0", r, "lan")
	nstest.Veth(t, r, "wan", b, "eth0")
	a.Addr(t, "eth0", "192.0.2.10/24", "2001:db8:1::10/64")
	r.Addr(t, "lan", "192.0.2.1/24", "2001:db8:1::1/64", "fe80::1/64")
	r.Addr(t, "wan", "203.0.113.1/24", "2001:db8:2::1/64")
	r.Addr(t, "lo", "10.255.0.1/32")
	b.Addr(t, "eth0", "203.0.113.10/24", "2001:db8:2::10/64")
	for prefix, via := range map[string]string{"0.0.0.0/0": "192.0.2.1", "::/0": "2001:db8:1::1"} {
		a.Route(t, prefix, via)
	}
	for prefix, via := range map[string]string{"0.0.0.0/0": "203.0.113.1", "::/0": "2001:db8:2::1"} {
		b.Route(t, prefix, via)
	}
	r.Sysctl(t, "net/ipv4/ip_forward", "1")
	r.Sysctl(t, "net/ipv6/conf/all/forwarding", "1")
	reaches := func(target string) bool {
		_, err := run(a, "ping", "-c", "1", "-W", "1", target)
		return err == nil
	}
	beyond, own := []string{"203.0.113.10", "2001:db8:2::10"}, []string{"192.0.2.1", "203.0.113.1", "10.255.0.1", "2001:db8:1::1", "2001:db8:2::1", "fe80::1%eth0"}
	wait := func(targets []string, want bool, when string) {
		t.Helper()
		for _, target := range targets {
			for end := time.Now().Add(15 * time.Second); reaches(target) != want; {
				if time.Now().After(end) {
					t.Fatalf("%s: %s reached: %v", when, target, !want)
				}
			}
		}
	}
	wait(append(beyond, own...), true, "at first")
	var alone *NoTransit
	err := r.Do(func() (err error) {
		alone, err = ForbidTransit()
		return err
	})
	if err != nil {
		t.Skip("no nf_tables with fib: ", err)
	}
	wait(beyond, false, "forbidden")
	wait(own, true, "forbidden")
	if out, err := run(a, "ping", "-c", "1", "-W", "1", "-t", "1", "203.0.113.10"); err == nil || strings.Contains(out, "exceeded") {
		t.Errorf("the kernel answers for the TTL of what it does not forward: %s", out)
	}
	err = r.Do(func() error {
		second, err := ForbidTransit()
		if err == nil {
			second.Close()
		}
		return err
	})
	if err == nil {
		t.Error("a second one takes the first one's table")
	}
	forbidden := func() (is bool) {
		_ = r.Do(func() error {
			is = transitForbidden(transitTable)
			return nil
		})
		return is
	}
	if !forbidden() {
		t.Error("the table is not found")
	}
	_ = r.Do(func() error {
		alone.Close()
		return nil
	})
	if forbidden() {
		t.Error("the table is there when Close has returned")
	}
	wait(beyond, true, "allowed again")
}
