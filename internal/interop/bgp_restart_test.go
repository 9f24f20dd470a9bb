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

func TestAKilledBGPProcessCostsNothing(t *testing.T) {
	t.Parallel()
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
	was := v.transitions()
	s, err := netlab.StartStream(r.lan, r.up, netip.MustParseAddr(target4), 7007, 200)
	must(t, err)
	defer s.Close()
	waitFor(t, patience, "traffic flows", func() error { return flowing(s) })
	from := s.Next()

	pid, err := v.bgpProcess()
	must(t, err)
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	waitFor(t, patience, "there is another BGP process", func() error {
		next, err := v.bgpProcess()
		if err == nil && next == pid {
			err = errors.New("still the old one")
		}
		return err
	})
	end := time.Now().Add(2 * patience)
	for {
		// From the first moment to the last both have their routes.
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
			break
		}
		if time.Now().After(end) {
			t.Fatalf("no session with the new process: %+v, %v", one, err)
		}
		time.Sleep(pollTime)
	}
	time.Sleep(time.Second) // stale routes would go now
	v.waitRoute(farRoute4, "bgp", wanHost4)
	v.waitRoute(farRoute6, "bgp", wanHost6)
	if now := v.transitions(); now != was {
		t.Errorf("%d transitions of VRRP, want none", now-was)
	}
	if loss := s.Loss(from); loss.Lost > 0 {
		t.Errorf("%+v, want nothing lost", loss)
	}
}
