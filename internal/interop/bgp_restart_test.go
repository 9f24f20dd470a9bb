package interop

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/internal/netlab"
)

// bgpProcess returns the pid of a router's BGP process.
func (v *vrouter) bgpProcess() (int, error) {
	for _, pid := range v.process.Children() {
		title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.HasPrefix(string(title), "vrouter: bgp") {
			return pid, nil
		}
	}
	return 0, errors.New("there is no BGP process")
}

// transitions sums the changes of state of all virtual routers.
func (v *vrouter) transitions() (n int) {
	for _, name := range []string{"lan4", "lan6", "wan4", "wan6"} {
		one, err := v.virtual(name)
		must(v.t, err)
		n += one.Transitions
	}
	return n
}

const gracefulBIRD = "graceful restart on; graceful restart time 60;"

// The BGP process is lost in each way that there is: no packet is lost, VRRP does
// not move, both sides keep their routes from the first moment to the last, and
// another process has the session again.
func TestALostBGPProcessCostsNothing(t *testing.T) {
	for _, test := range []struct {
		how      string
		patience time.Duration // until there is another one
		lose     func(t *testing.T, pid int, b *bird)
	}{
		{"killed", patience, func(t *testing.T, pid int, _ *bird) { must(t, syscall.Kill(pid, syscall.SIGKILL)) }},
		// For who looks from outside this is what a panic is: stacks, and status 2.
		{"crashed", patience, func(t *testing.T, pid int, _ *bird) { must(t, syscall.Kill(pid, syscall.SIGABRT)) }},
		{"hung", 2 * patience, func(t *testing.T, pid int, _ *bird) { must(t, syscall.Kill(pid, syscall.SIGSTOP)) }},
		{"beyond its memory", patience, func(t *testing.T, pid int, b *bird) {
			limit := dataOf(t, pid)
			must(t, unix.Prlimit(pid, unix.RLIMIT_DATA, &unix.Rlimit{Cur: limit, Max: limit}, nil))
			b.announce(many)
		}},
	} {
		t.Run(test.how, func(t *testing.T) {
			t.Parallel()
			r, v, b := gracefulPair(t)
			was := v.transitions()
			s, err := netlab.StartStream(r.lan, r.up, netip.MustParseAddr(target4), 7007, 200)
			must(t, err)
			defer s.Close()
			waitFor(t, patience, "traffic flows", func() error { return flowing(s) })
			from := s.Next()
			pid, err := v.bgpProcess()
			must(t, err)
			test.lose(t, pid, b)
			waitFor(t, test.patience, "there is another BGP process", func() error {
				next, err := v.bgpProcess()
				if err == nil && next == pid {
					err = errors.New("still the old one")
				}
				return err
			})
			untilBack(t, v, b)
			time.Sleep(time.Second) // stale routes would go now
			v.waitRoute(farRoute4, "bgp", wanHost4)
			v.waitRoute(farRoute6, "bgp", wanHost6)
			if now := v.transitions(); now != was {
				t.Errorf("%d transitions of VRRP, want none", now-was)
			}
			if loss := s.Loss(from); loss.Lost > 0 {
				t.Errorf("%+v, want nothing lost", loss)
			}
		})
	}
}

// gracefulPair is a router that is Master and has a session with BIRD.
func gracefulPair(t *testing.T) (*rig, *vrouter, *bird) {
	t.Helper()
	r := newRig(t)
	b := r.bird(r.up, birdPeer(gracefulBIRD, "", ""))
	config := speakerConfig(takeDefaults) + virtualTable("lan4", "lan", vridLAN, 3, 150, "200ms", virtual4) +
		virtualTable("lan6", "lan", vridLAN, 3, 150, "200ms", virtualLL, virtual6) +
		virtualTable("wan6", "wan", vridWAN, 3, 150, "200ms", virtualLL, "2001:db8:2::1")
	v := r.vrouter("r1", config)
	must(t, v.host.Address("wan", "203.0.113.2/24", "2001:db8:2::2/64"))
	v.start()
	v.waitEstablished("isp")
	v.waitMaster()
	v.waitRoute(farRoute4, "bgp", wanHost4)
	v.waitRoute(farRoute6, "bgp", wanHost6)
	waitFor(t, patience, "packets pass", r.forwards)
	return r, v, b
}

// untilBack waits for the session with the new process. From the first moment to
// the last both sides have their routes.
func untilBack(t *testing.T, v *vrouter, b *bird) {
	t.Helper()
	end := time.Now().Add(2 * patience)
	for {
		route, err := v.route(farRoute4)
		must(t, err)
		if route == nil {
			t.Fatal("the route went with the process")
		}
		out, err := b.ask("show", "route", "192.0.2.0/24")
		must(t, err)
		if !strings.Contains(out, "203.0.113.2") {
			t.Fatalf("BIRD has withdrawn our network:\n%s", out)
		}
		one, err := v.session("isp")
		if err == nil && one.State == "Established" && one.EndOfRIB && one.Established == 1 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no session with the new process: %+v, %v", one, err)
		}
		time.Sleep(pollTime)
	}
}

// many prefixes need more than what a Go program has in reserve: some 20 MiB.
const many = 20_000

// dataOf returns what a process has of memory of its own in bytes (RLIMIT_DATA).
func dataOf(t *testing.T, pid int) uint64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	var kib uint64
	_, rest, _ := strings.Cut(string(status), "VmData:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatalf("VmData: %v", err)
	}
	return kib << 10
}

// announce has BIRD announce so many prefixes more.
func (b *bird) announce(n int) {
	b.t.Helper()
	var routes strings.Builder
	for i := range n {
		fmt.Fprintf(&routes, "\troute 2001:db8:%x:%x::/64 unreachable;\n", 0x100+i>>16, i&0xFFFF)
	}
	b.write("router id 203.0.113.10;\nprotocol device {}\n" + birdPeer(gracefulBIRD, "", "") +
		"protocol static more6 {\n\tipv6;\n" + routes.String() + "}\n")
	out, err := b.ask("configure")
	must(b.t, err)
	if !strings.Contains(out, "Reconfigur") {
		b.t.Fatalf("BIRD: %s", out)
	}
}
