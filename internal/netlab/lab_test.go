package netlab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/packet"
)

// routed is a LAN host and an upstream host with a kernel router between them.
type routed struct {
	lan, router, up *Host
	lanLink         *Link
	lanSwitch       *Switch
}

func newRouted(t *testing.T, l *Lab) *routed {
	t.Helper()
	r := &routed{}
	var wan *Switch
	for _, step := range []func() error{
		func() (err error) { r.lanSwitch, err = l.Switch("br-lan"); return },
		func() (err error) { wan, err = l.Switch("br-wan"); return },
		func() (err error) { r.lan, err = l.Host("lan"); return },
		func() (err error) { r.router, err = l.Host("router"); return },
		func() (err error) { r.up, err = l.Host("up"); return },
		func() (err error) { _, err = r.lanSwitch.Connect(r.lan, "eth0"); return },
		func() (err error) { r.lanLink, err = r.lanSwitch.Connect(r.router, "lan"); return },
		func() (err error) { _, err = wan.Connect(r.router, "wan"); return },
		func() (err error) { _, err = wan.Connect(r.up, "eth0"); return },
		func() error { return r.lan.Address("eth0", "192.0.2.10/24", "2001:db8:1::10/64") },
		func() error { return r.router.Address("lan", "192.0.2.1/24", "2001:db8:1::1/64") },
		func() error { return r.router.Address("wan", "203.0.113.1/24", "2001:db8:2::1/64") },
		func() error { return r.up.Address("eth0", "203.0.113.10/24", "2001:db8:2::10/64") },
		func() error { return r.lan.Route("0.0.0.0/0", "192.0.2.1", "") },
		func() error { return r.lan.Route("::/0", "2001:db8:1::1", "") },
		func() error { return r.up.Route("192.0.2.0/24", "203.0.113.1", "") },
		func() error { return r.up.Route("2001:db8:1::/64", "2001:db8:2::1", "eth0") },
		func() error { return r.router.Sysctl("net/ipv4/ip_forward", "1") },
		func() error { return r.router.Sysctl("net/ipv6/conf/all/forwarding", "1") },
	} {
		must(t, step())
	}
	return r
}

func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 15 s: %s", what)
		}
	}
}

func TestStreamCountsWhatACutCableLoses(t *testing.T) {
	r := newRouted(t, newLab(t))
	for port, addr := range []string{"203.0.113.10", "2001:db8:2::10"} {
		s, err := StartStream(r.lan, r.up, netip.MustParseAddr(addr), uint16(9000+port), 1000)
		must(t, err)
		defer s.Close()
		waitFor(t, "stream flows to "+addr, func() bool { return s.Flowing(300) })
		quiet := s.Next()
		waitFor(t, "a stretch without loss", func() bool { return s.Next() > quiet+800 })
		if loss := s.Loss(quiet); loss.Lost != 0 || loss.Gap != 0 || loss.Duplicates != 0 || loss.Sent < 100 {
			t.Errorf("%s: undisturbed stream: %+v", addr, loss)
		}
		if hops := s.Hops(); len(hops) != 1 || hops[1] == 0 {
			t.Errorf("%s: routers passed: packets: %v, want one router", addr, hops)
		}

		before := s.Next()
		must(t, r.lanLink.Cut())
		time.Sleep(300 * time.Millisecond)
		must(t, r.lanLink.Plug())
		waitFor(t, "stream flows again to "+addr, func() bool { return s.Next() > before+900 && s.Flowing(300) })
		loss := s.Loss(before)
		// The kernel may queue the first packets while it resolves again.
		if loss.Gap < 250*time.Millisecond || loss.Gap > 5*time.Second || loss.Lost < 200 {
			t.Errorf("%s: cable cut for 300 ms: %+v", addr, loss)
		}
		if loss.LostOut == 0 || loss.LostOut > loss.Lost {
			t.Errorf("%s: of %d lost packets %d were lost on the way out", addr, loss.Lost, loss.LostOut)
		}
	}
}

// A stream that is one way tells of its way alone, whatever becomes of the other.
func TestOneWayStreamsTellTheDirection(t *testing.T) {
	r := newRouted(t, newLab(t))
	out, err := StartOneWay(r.lan, r.up, netip.MustParseAddr("203.0.113.10"), 9010, 1000)
	must(t, err)
	defer out.Close()
	back, err := StartOneWay(r.up, r.lan, netip.MustParseAddr("192.0.2.10"), 9010, 1000)
	must(t, err)
	defer back.Close()
	waitFor(t, "both flow", func() bool { return out.Flowing(300) && back.Flowing(300) })
	if hops := out.Hops(); hops[1] == 0 || out.Returned() == 0 {
		t.Errorf("%d packets have arrived, by routers passed: %v", out.Returned(), hops)
	}
	fromOut, fromBack := out.Next(), back.Next()
	must(t, r.up.Blackhole("192.0.2.0/24"))
	waitFor(t, "time goes by", func() bool { return out.Next() > fromOut+900 })
	if loss := out.Loss(fromOut); loss.Lost != 0 || loss.Duplicates != 0 || loss.Sent < 100 {
		t.Errorf("the way that is well: %+v", loss)
	}
	if loss := back.Loss(fromBack); loss.LostOut != loss.Lost || loss.Lost+10 < loss.Sent || loss.Sent < 100 {
		t.Errorf("the way that is blocked: %+v", loss)
	}
}

func TestWhoFindsTheOneRouterThatAnswers(t *testing.T) {
	r := newRouted(t, newLab(t))
	mac, err := r.router.MAC("lan")
	must(t, err)
	want := Answer{MAC: packet.MAC(mac), Ethernet: packet.MAC(mac)}
	for _, c := range []struct{ source, addr string }{
		{"192.0.2.10", "192.0.2.1"},
		{"2001:db8:1::10", "2001:db8:1::1"},
	} {
		answers, err := r.lan.Who("eth0", netip.MustParseAddr(c.source), netip.MustParseAddr(c.addr), 300*time.Millisecond)
		must(t, err)
		if len(answers) != 1 || answers[0] != want {
			t.Errorf("who has %s: %v, want one answer %v", c.addr, answers, want)
		}
		nobody := netip.MustParseAddr(c.addr).Next().Next()
		answers, err = r.lan.Who("eth0", netip.MustParseAddr(c.source), nobody, 100*time.Millisecond)
		if err != nil || len(answers) != 0 {
			t.Errorf("who has %s: %v, %v; want no answer", nobody, answers, err)
		}
	}
	if port, err := r.lanSwitch.Behind(mac); err != nil || port != "router.lan" {
		t.Errorf("switch has the router behind %q, %v", port, err)
	}
}

func TestKernelNeighborIsReadAndFlushed(t *testing.T) {
	r := newRouted(t, newLab(t))
	want, err := r.router.MAC("lan")
	must(t, err)
	for _, router := range []string{"192.0.2.1", "2001:db8:1::1"} {
		addr := netip.MustParseAddr(router)
		if mac, err := r.lan.Neighbor("eth0", addr); mac != nil || err != nil {
			t.Errorf("fresh host knows %s: %v, %v", addr, mac, err)
		}
		s, err := StartStream(r.lan, r.router, addr, 9000, 100)
		must(t, err)
		waitFor(t, "stream flows", func() bool { return s.Returned() > 0 })
		s.Close()
		if mac, err := r.lan.Neighbor("eth0", addr); mac.String() != want.String() || err != nil {
			t.Errorf("%s is at %v, %v; want %v", addr, mac, err, want)
		}
		must(t, r.lan.FlushNeighbors("eth0"))
		if mac, _ := r.lan.Neighbor("eth0", addr); mac != nil {
			t.Errorf("%s still at %v after flush", addr, mac)
		}
	}
}

func TestRunReturnsOutputAndFailure(t *testing.T) {
	l := newLab(t)
	h, err := l.Host("h")
	must(t, err)
	out, err := h.Run(context.Background(), "sh", "-c", "cat /proc/net/dev; echo on stderr >&2")
	if err != nil || strings.Count(out, ":") != 1 || !strings.Contains(out, "lo:") || !strings.Contains(out, "on stderr") {
		t.Errorf("a fresh host has more than lo, or output is missing: %v\n%s", err, out)
	}
	_, err = h.Run(context.Background(), "sh", "-c", "echo why; exit 3")
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "why") {
		t.Errorf("failing command: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err = h.Run(ctx, "sleep", "60"); err == nil {
		t.Error("a command that outlived its context returned no error")
	}
	if _, err := h.Run(context.Background(), "no-such-program"); err == nil {
		t.Error("a program that does not exist ran")
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	l := newLab(t)
	h, err := l.Host("h")
	must(t, err)
	// A process that leaves its group and loses its parent, and one that
	// ignores being asked.
	_, err = h.Start("sh", "-c", "setsid sleep 300 & echo $!; sleep 300")
	must(t, err)
	stubborn, err := h.Start("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 300; done")
	must(t, err)
	waitFor(t, "script is ready", func() bool { return strings.Contains(stubborn.Output(), "ready") })
	waitFor(t, "a process has left its group", func() bool { return len(sessionLeaders(t, h)) == 1 })
	if err := stubborn.Stop(100 * time.Millisecond); err == nil {
		t.Error("Stop of a process that ignores SIGTERM returned no error")
	}
	leaders := sessionLeaders(t, h)
	must(t, l.Close())
	for _, pid := range leaders {
		if err := unix.Kill(pid, 0); err != unix.ESRCH {
			t.Errorf("process %d lives on: %v", pid, err)
		}
	}
	if _, err := os.Stat(l.Dir); !os.IsNotExist(err) {
		t.Errorf("directory %s: %v", l.Dir, err)
	}
	if _, err := h.Start("true"); err == nil {
		t.Error("a closed lab started a process")
	}
}

// sessionLeaders returns the processes on the host that lead a session.
func sessionLeaders(t *testing.T, h *Host) (pids []int) {
	t.Helper()
	var want, have unix.Stat_t
	must(t, unix.Fstat(h.fd, &want))
	entries, err := os.ReadDir("/proc")
	must(t, err)
	for _, e := range entries {
		var pid int
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil {
			continue
		}
		if unix.Stat("/proc/"+e.Name()+"/ns/net", &have) != nil || have.Ino != want.Ino {
			continue
		}
		if sid, err := unix.Getsid(pid); err == nil && sid == pid {
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestTwoLabsDoNotDisturbEachOther(t *testing.T) {
	a, b := newLab(t), newLab(t)
	for _, l := range []*Lab{a, b} {
		_, err := l.Switch("br-lan")
		must(t, err)
	}
	h, err := b.Host("h")
	must(t, err)
	p, err := h.Start("sleep", "300")
	must(t, err)
	must(t, a.Close())
	select {
	case <-p.Ended():
		t.Errorf("closing one lab ended a process of the other: %v", p.Err())
	case <-time.After(100 * time.Millisecond):
	}
}
