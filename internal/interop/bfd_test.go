package interop

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/internal/netlab"
)

// birdBFD is BIRD with BFD toward the router's addresses on the WAN.
const birdBFD = `
protocol bfd fast {
	interface "*" { interval 50 ms; idle tx interval 1 s; multiplier 3; };
	neighbor 203.0.113.2 local 203.0.113.10;
	neighbor 2001:db8:2::2 local 2001:db8:2::10;
}
`

const bfdTables = `
[[route]]
to = "198.51.100.0/24"
via = ["203.0.113.10%wan"]

[[bfd]]
name = "up4"
peer = "203.0.113.10"

[[bfd]]
name = "up6"
peer = "2001:db8:2::10"
`

// bfdSession is what "show bfd" says of a session.
type bfdSession struct {
	Names       []string
	State       string
	RemoteState string  `json:"remote_state"`
	LastReason  string  `json:"last_reason"`
	DetectionMS float64 `json:"detection_time_ms"`
	TransmitMS  float64 `json:"transmit_interval_ms"`
	Failed      bool
	Sent        uint64 `json:"packets_sent"`
	Received    uint64 `json:"packets_received"`
	Transitions uint64
}

func (v *vrouter) bfdSession(name string) (s bfdSession, err error) {
	out, err := v.show("bfd")
	if err != nil {
		return s, err
	}
	var list []bfdSession
	if err := json.Unmarshal(out, &list); err != nil {
		return s, err
	}
	for _, s := range list {
		if s.Names[0] == name {
			return s, nil
		}
	}
	return s, fmt.Errorf("no BFD session %q: %s", name, out)
}

// waitBFD waits until a session is in a state, failed or not.
func (v *vrouter) waitBFD(name, state string, failed bool) (s bfdSession) {
	v.t.Helper()
	waitFor(v.t, patience, fmt.Sprintf("%s is %s, failed %v", name, state, failed), func() (err error) {
		if s, err = v.bfdSession(name); err == nil && (s.State != state || s.Failed != failed) {
			err = fmt.Errorf("%+v", s)
		}
		return err
	})
	return s
}

// waitUsable waits until a route's next hop can be used, or cannot.
func (v *vrouter) waitUsable(prefix string, usable bool) {
	v.t.Helper()
	waitFor(v.t, patience, fmt.Sprintf("%s is usable: %v", prefix, usable), func() error {
		r, err := v.route(prefix)
		if err != nil || r == nil {
			return fmt.Errorf("%v, %w", r, err)
		}
		if r.NextHops[0].Resolved != usable {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
}

// TestBFDWithBIRD: sessions in both families come up, agree on their timers, fall
// when BIRD stands still, take the route with them, and come up again: with
// addresses of our own, and beside the host's kernel.
func TestBFDWithBIRD(t *testing.T) {
	for name, host := range map[string]bool{"own addresses": false, "the host's addresses": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			b := r.bird(r.up, birdBFD)
			addresses := `["203.0.113.2/24", "2001:db8:2::2/64"]`
			if host {
				addresses = `"host"`
			}
			v := r.vrouter("r1", fmt.Sprintf(`
[[interface]]
name = "wan"
attach = "af_packet"
device = "wan"
addresses = %s
%s`, addresses, bfdTables))
			if host {
				must(t, v.host.Address("wan", "203.0.113.2/24", "2001:db8:2::2/64"))
			}
			v.start()
			for _, name := range []string{"up4", "up6"} {
				v.waitBFD(name, "Up", false)
				waitFor(t, patience, name+" agrees on its timers", func() error {
					if s, err := v.bfdSession(name); err != nil || s.DetectionMS != 150 || s.TransmitMS != 50 {
						return fmt.Errorf("%+v, %w", s, err)
					}
					return nil
				})
			}
			out, err := b.ask("show", "bfd", "sessions")
			if err != nil || strings.Count(out, "Up") != 2 {
				t.Errorf("BIRD says: %v\n%s", err, out)
			}
			v.waitUsable("198.51.100.0/24", true)
			b.freezes(t, v)
		})
	}
}

// freezes has BIRD stand still, and go on.
func (b *bird) freezes(t *testing.T, v *vrouter) {
	t.Helper()
	waitFor(t, patience, "up4 stays Up for a while", func() error { // the machine may be busy
		s, err := v.bfdSession("up4")
		time.Sleep(500 * time.Millisecond)
		if again, _ := v.bfdSession("up4"); err == nil && (s.State != "Up" || again.Transitions != s.Transitions) {
			err = fmt.Errorf("%+v", s)
		}
		return err
	})
	must(t, b.process.Signal(unix.SIGSTOP))
	began := time.Now()
	s := v.waitBFD("up4", "Down", true)
	if !strings.Contains(s.LastReason, "no packet for 150ms") {
		t.Errorf("%+v", s)
	}
	t.Logf("down after %v at most", time.Since(began).Round(time.Millisecond))
	v.waitUsable("198.51.100.0/24", false)
	must(t, b.process.Signal(unix.SIGCONT))
	v.waitBFD("up4", "Up", false)
	v.waitUsable("198.51.100.0/24", true)
}

// TestBGPEndsWithBFD: a neighbour that stands still is given up by BFD long before
// its hold time, and its routes with it.
func TestBGPEndsWithBFD(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.bird(r.up, birdBFD+birdPeer("bfd on; hold time 240;", "", ""))
	v := r.speaker("r1", "bfd = { interval = \"50ms\", multiplier = 3 }\ngraceful_restart = false\n"+takeDefaults)
	v.start()
	v.waitEstablished("isp")
	v.waitRoute(farRoute4, "bgp", wanHost4)
	v.waitBFD("isp", "Up", false)
	must(t, b.process.Signal(unix.SIGSTOP))
	v.waitRoute(farRoute4, "bgp")
	if s, err := v.session("isp"); err != nil || s.State == "Established" {
		t.Errorf("%+v, %v", s, err)
	}
	must(t, b.process.Signal(unix.SIGCONT))
	v.waitEstablished("isp")
	v.waitRoute(farRoute4, "bgp", wanHost4)
}

// TestBFDWithFRR: a session with FRR's bfdd comes up in both families; switched
// off at the other end it says nothing of the path.
func TestBFDWithFRR(t *testing.T) {
	t.Parallel()
	zebra, bfdd, vtysh := need(t, "zebra"), need(t, "bfdd"), need(t, "vtysh")
	if netlab.SingleUser() {
		t.Skip("FRR changes to a user of its own, which needs root outside")
	}
	r := newRig(t)
	peer := func(ours, theirs string) string {
		return fmt.Sprintf(" peer %s local-address %s interface eth0\n  receive-interval 50\n  transmit-interval 50\n  detect-multiplier 3\n  no shutdown\n !\n", ours, theirs)
	}
	dir := startFRR(t, r, r.up, zebra, bfdd, "bfd\n"+peer("203.0.113.2", wanHost4)+peer("2001:db8:2::2", wanHost6))
	v := r.vrouter("r1", `
[[interface]]
name = "wan"
attach = "af_packet"
device = "wan"
addresses = ["203.0.113.2/24", "2001:db8:2::2/64"]
`+bfdTables)
	v.start()
	v.waitBFD("up4", "Up", false)
	v.waitBFD("up6", "Up", false)
	shut := func(word string) {
		t.Helper()
		out, err := r.run(r.up, vtysh, "--vty_socket", dir, "-d", "bfdd", "-c", "configure terminal", "-c", "bfd",
			"-c", "peer 203.0.113.2 local-address "+wanHost4+" interface eth0", "-c", word)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	shut("shutdown")
	if s := v.waitBFD("up4", "Down", false); s.RemoteState != "AdminDown" {
		t.Errorf("%+v", s)
	}
	v.waitUsable("198.51.100.0/24", true)
	shut("no shutdown")
	v.waitBFD("up4", "Up", false)
}
