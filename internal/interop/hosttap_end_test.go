package interop

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// withoutBFD takes BFD out of a configuration, vrouter's or BIRD's.
func withoutBFD(text string) string {
	var kept []string
	for _, line := range strings.Split(text, "\n") {
		if !strings.Contains(line, "bfd") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// index returns the kernel's line about a device, which begins with its number.
func (r *rig) index(v *vrouter, device string) (string, error) {
	out, err := r.run(v.host, "ip", "-o", "link", "show", "dev", device)
	return strings.SplitN(out, ":", 2)[0], err
}

// When the router process is killed its host TAPs end with it, and come back
// with the next one; sessions of BGP go on where nobody has given them up, and
// come back where BFD has.
func TestHostTAPsComeBackWithTheRouterProcess(t *testing.T) {
	for _, c := range []struct {
		name string
		bfd  bool
	}{{"sessions go on", false}, {"with BFD they come back", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			testTAPsComeBack(t, c.bfd)
		})
	}
}

// sessionsEnd is when the BGP process ends all sessions for want of a router, with
// a margin.
const sessionsEnd = 1500 * time.Millisecond

func testTAPsComeBack(t *testing.T, bfd bool) {
	r := newRig(t)
	neighbors, there := twoNeighbors, birdTwo()
	if !bfd {
		neighbors, there = withoutBFD(neighbors), withoutBFD(there)
	}
	r.bird(r.up, there)
	v := r.vrouter("r1", ownedSpeaker(neighbors))
	v.start()
	before := v.waitEstablished("isp4").Established + v.waitEstablished("isp6").Established
	index, err := r.index(v, "vr-wan")
	must(t, err)
	killed := time.Now()
	must(t, v.killRouter())
	waitFor(t, patience, "there is another TAP", func() error {
		now, err := r.index(v, "vr-wan")
		if err == nil && now == index {
			err = errors.New("it is the old one still")
		}
		return err
	})
	waitFor(t, patience, "the host is reached", func() error {
		_, err := r.run(r.up, "ping", "-c", "1", "-W", "1", "203.0.113.2")
		return err
	})
	back := time.Now()
	t.Logf("the host is reached again %v after the kill", back.Sub(killed).Round(time.Millisecond))
	if bfd {
		time.Sleep(2 * time.Second) // the neighbour's has noticed by now
	}
	for _, name := range []string{"isp4", "isp6"} {
		v.waitEstablished(name)
	}
	t.Logf("sessions are there %v after the TAP", time.Since(back).Round(time.Millisecond))
	v.waitRoute(farRoute4, "bgp", wanHost4)
	v.waitRoute(farRoute6, "bgp", wanHost6)
	if bfd {
		return
	}
	if away := back.Sub(killed); away > sessionsEnd {
		t.Log("by then sessions are ended, so it does not matter that they are others")
		return
	}
	time.Sleep(5 * time.Second) // what is left of the connections would break by now
	if after := v.waitEstablished("isp4").Established + v.waitEstablished("isp6").Established; after != before {
		t.Errorf("sessions were established %d times, and %d times before", after, before)
	}
}

// killAll kills all processes of a router, the guardian first, so that nothing
// ends in order.
func (v *vrouter) killAll() {
	v.t.Helper()
	children := v.process.Children()
	must(v.t, v.process.Signal(syscall.SIGSTOP))
	for _, pid := range children {
		must(v.t, syscall.Kill(pid, syscall.SIGKILL))
	}
	v.process.Kill()
}

// reconfigure replaces a part of the configuration and has it read again.
func (v *vrouter) reconfigure(part, by string) {
	v.t.Helper()
	text, err := os.ReadFile(v.config)
	must(v.t, err)
	must(v.t, os.WriteFile(v.config, []byte(strings.Replace(string(text), part, by, 1)), 0o600))
	if out, err := v.command("reload"); err != nil {
		v.t.Fatalf("%v\n%s", err, out)
	}
}

// Killed as a whole the router leaves no device, address or route; and the next
// one removes the rules that are left.
func TestAKilledRouterLeavesNoHostTAP(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	v := r.vrouter("r1", hostTAPs(""))
	v.start()
	v.waitTAP("lan")
	v.waitTAP("wan")
	rules := func() string {
		var all string
		for _, family := range []string{"-4", "-6"} {
			out, err := r.run(v.host, "ip", family, "rule", "show")
			must(t, err)
			all += out
		}
		return all
	}
	was := rules()
	if n := strings.Count(was, "30001:"); n != len(own) {
		t.Errorf("%d rules, want %d:\n%s", n, len(own), was)
	}
	for range 2 {
		v.killAll()
		waitFor(t, patience, "the TAPs have gone", func() error {
			return errors.Join(noTAP(r, v.host, "vr-lan"), noTAP(r, v.host, "vr-wan"))
		})
		for _, family := range []string{"-4", "-6"} {
			if out, err := r.run(v.host, "ip", family, "route", "show", "table", "all"); err != nil || strings.Contains(out, "vr-") {
				t.Errorf("routes are left: %v\n%s", err, out)
			}
		}
		v.start()
		v.waitTAP("lan")
		v.waitTAP("wan")
		if now := rules(); strings.Count(now, "\n") != strings.Count(was, "\n") {
			t.Errorf("rules were\n%s\nand are\n%s", was, now)
		}
	}
	v.stop()
	if out := rules(); strings.Contains(out, "3000") {
		t.Errorf("rules are left after an orderly stop:\n%s", out)
	}
	must(t, errors.Join(noTAP(r, v.host, "vr-lan"), noTAP(r, v.host, "vr-wan")))
}

// A device of the same name is left alone, the router works without its TAP, and
// takes the name when it is free.
func TestAForeignDeviceHasTheNameOfAHostTAP(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	v := r.vrouter("r1", hostTAPs(""))
	if out, err := r.run(v.host, "ip", "link", "add", "vr-lan", "type", "veth", "peer", "name", "other"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	v.start()
	v.waitTAP("wan")
	waitFor(t, patience, "the router says what is wrong", func() error {
		tap, err := v.tap("lan")
		if err == nil && (tap.Up || !strings.Contains(tap.Problem, "ip link del vr-lan")) {
			err = fmt.Errorf("%+v", tap)
		}
		return err
	})
	if log := v.process.Output(); strings.Count(log, "a device of this name exists") > 4 {
		t.Errorf("it says so again and again:\n%s", log)
	}
	v.waitMaster()
	waitFor(t, patience, "packets pass", r.forwards)
	if out, err := r.run(r.lan, "ping", "-c", "1", "-W", "5", "192.0.2.2"); err != nil {
		t.Errorf("the router itself does not answer: %v\n%s", err, out)
	}
	if out, err := r.run(v.host, "ip", "link", "del", "vr-lan"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	v.waitTAP("lan")
	r.echo(v.host, "192.0.2.2")
	waitFor(t, patience, "the host is reached", func() error { return talk(r.lan, "192.0.2.2") })
}

// A reload brings the TAP that a new neighbour needs, and one that is asked for
// no more goes.
func TestAReloadBringsAndEndsHostTAPs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.bird(r.up, withoutBFD(birdTwo()))
	with := ownedSpeaker(withoutBFD(twoNeighbors))
	v := r.vrouter("r1", ownedSpeaker(""))
	v.start()
	if tap, err := v.tap("wan"); err == nil {
		t.Errorf("a host TAP that nobody needs: %+v", tap)
	}
	v.reconfigure(ownedSpeaker(""), with)
	v.waitEstablished("isp4")
	v.waitEstablished("isp6")
	v.reconfigure(with, ownedSpeaker(""))
	waitFor(t, patience, "the TAP has gone", func() error { return noTAP(r, v.host, "vr-wan") })
	if out, err := r.run(r.up, "ping", "-c", "1", "-W", "5", "203.0.113.2"); err != nil {
		t.Errorf("the router itself does not answer: %v\n%s", err, out)
	}
}
