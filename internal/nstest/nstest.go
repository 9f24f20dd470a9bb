// Package nstest lets tests use the real Linux network without root: the test
// binary runs in user and network namespaces of its own, and each test makes
// as many further network namespaces as it wants. Nothing of it is visible
// outside, and nothing is left when the test ends.
//
//	func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }
//
//	func TestSomething(t *testing.T) {
//		router, host := nstest.New(t), nstest.New(t)
//		nstest.Veth(t, router, "lan", host, "eth0")
//		host.Addr(t, "eth0", "192.0.2.10/24")
//		wire := host.Wire(t, "eth0") // sees and sends raw frames
//		...
//	}
package nstest

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"vrouter/internal/netlab"
)

// Main runs the package's tests inside new namespaces, for TestMain. Where the
// system forbids namespaces, New skips the test and says why.
func Main(m *testing.M) int { return netlab.Main(m) }

// NS is a network namespace with its loopback device up and nothing else.
// IPv6 addresses in it are usable at once (no duplicate address detection).
type NS struct {
	fd     netns.NsHandle
	handle *netlink.Handle
}

// New makes a network namespace that lives as long as the test.
func New(t testing.TB) *NS {
	t.Helper()
	if err := netlab.Unavailable(); err != nil {
		t.Skipf("network namespaces: %v", err)
	}
	ns := &NS{fd: netns.None()}
	err := thread(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if ns.fd, err = netns.Get(); err != nil {
			return err
		}
		for _, conf := range []string{"all", "default"} {
			path := "/proc/sys/net/ipv6/conf/" + conf + "/accept_dad"
			if err := os.WriteFile(path, []byte("0"), 0o644); err != nil && !os.IsNotExist(err) {
				return err
			}
		}
		return nil
	})
	if err == nil {
		ns.handle, err = netlink.NewHandleAt(ns.fd, unix.NETLINK_ROUTE)
	}
	if err != nil {
		t.Fatalf("new network namespace: %v", err)
	}
	t.Cleanup(func() {
		ns.handle.Close()
		ns.fd.Close()
	})
	ns.Up(t, "lo")
	return ns
}

// Do runs f on a thread that is in the namespace, and that ends with f: what f
// opens stays bound to the namespace.
func (ns *NS) Do(f func() error) error {
	return thread(func() error {
		if err := netns.Set(ns.fd); err != nil {
			return err
		}
		return f()
	})
}

// Path returns a path under /proc that names the namespace, for a process
// started by this one to enter.
func (ns *NS) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(ns.fd)) }

// Netlink returns the route netlink handle of the namespace.
func (ns *NS) Netlink() *netlink.Handle { return ns.handle }

// thread runs f on a thread of its own, which is thrown away: it is never
// unlocked, so it ends with the goroutine.
func thread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}
