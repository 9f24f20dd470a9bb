package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vrouter/internal/netlab"
)

// opsInterval is the advertisement interval of these tests.
const opsInterval = 100 * time.Millisecond

// pair is two routers in one group, and traffic of 1 kHz in both families.
type pair struct {
	*rig
	r1, r2  *vrouter
	streams []*netlab.Stream
	marks   []uint64
	losses  []string // more than may be lost
	rest    func()   // ends what runs
}

// unhurried runs f on a pair of routers until nothing is lost that should not
// be, three times at most: a machine with other things to do may stand still
// for longer than any lease, but what a hand-over loses it loses each time.
func unhurried(t *testing.T, more, extra string, f func(p *pair)) {
	t.Helper()
	for try := 1; ; try++ {
		p := newPair(t, more, extra)
		f(p)
		p.rest()
		switch {
		case len(p.losses) == 0:
			return
		case try == 3:
			t.Errorf("attempt %d: %s", try, strings.Join(p.losses, "; "))
			return
		}
		t.Logf("attempt %d: %s", try, strings.Join(p.losses, "; "))
	}
}

// grouped puts all virtual routers of a configuration into one group, with
// more keys for each.
func grouped(config, more string) string {
	return strings.ReplaceAll(config, "[[vrrp]]\n", "[[vrrp]]\ngroup = \"gw\"\n"+more)
}

// newPair starts two routers, r1 as Master of everything. The tables of extra
// are r1's alone.
func newPair(t *testing.T, more, extra string) *pair {
	t.Helper()
	r := newRig(t)
	p := &pair{rig: r}
	p.r1 = r.vrouter("r1", interfaces(numberFirst)+grouped(gateways(150, opsInterval.String()), more)+extra)
	p.r2 = r.vrouter("r2", interfaces(numberB)+grouped(gateways(140, opsInterval.String()), ""))
	for _, v := range []*vrouter{p.r1, p.r2} {
		v.start()
	}
	p.master(p.r1, p.r2)
	for _, target := range []string{target4, target6} {
		s, err := netlab.StartStream(r.lan, r.up, netip.MustParseAddr(target), 7007, 1000)
		must(t, err)
		p.streams = append(p.streams, s)
	}
	p.rest = sync.OnceFunc(func() {
		for _, s := range p.streams {
			s.Close()
		}
		p.r1.process.Kill()
		p.r2.process.Kill()
	})
	t.Cleanup(p.rest)
	p.flows()
	p.mark()
	return p
}

// everything are the virtual routers of gateways.
var everything = []string{"lan4", "lan6", "wan4", "wan6"}

// master waits until one router is Master of everything, the other of nothing.
func (p *pair) master(is, not *vrouter) {
	p.t.Helper()
	for _, name := range everything {
		is.waitState(name, "Master")
		not.waitState(name, "Backup")
	}
}

// flows waits until nothing is lost for a tenth of a second.
func (p *pair) flows() {
	p.t.Helper()
	for _, s := range p.streams {
		waitFor(p.t, patience, "traffic flows", func() error { return flowing(s) })
	}
}

// mark begins what loss sums up.
func (p *pair) mark() {
	p.marks = nil
	for _, s := range p.streams {
		p.marks = append(p.marks, s.Next())
	}
}

// loss waits until traffic flows and logs what was lost since mark; at most
// so many packets of each family, and no duplicates.
func (p *pair) loss(what string, most uint64) {
	p.t.Helper()
	time.Sleep(time.Second) // for what comes late, and for what is lost late
	p.flows()
	for i, s := range p.streams {
		loss := s.Loss(p.marks[i])
		p.t.Logf("%s, %s: %d of %d packets lost, gap %v, %d duplicates", what, []string{"IPv4", "IPv6"}[i],
			loss.Lost, loss.Sent, loss.Gap.Round(time.Millisecond), loss.Duplicates)
		if loss.Lost > most || loss.Duplicates > 0 {
			p.losses = append(p.losses, fmt.Sprintf("%s: %+v, want at most %d lost and no duplicates", what, loss, most))
		}
	}
}

// command runs the program's command line against a router.
func (v *vrouter) command(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, v.binary, append(args, "-s", v.socket)...).CombinedOutput()
	return string(out), err
}

// edit changes a router's configuration file.
func (v *vrouter) edit(change func(string) string) {
	v.t.Helper()
	text, err := os.ReadFile(v.config)
	must(v.t, err)
	changed := change(string(text))
	if changed == string(text) {
		v.t.Fatal("the edit changes nothing")
	}
	must(v.t, os.WriteFile(v.config, []byte(changed), 0o600))
}

// said returns the reasons of a router's events of a kind.
func (v *vrouter) said(kind string) (reasons []string) {
	v.t.Helper()
	out, err := v.show("events")
	must(v.t, err)
	var events []struct{ Kind, Name, From, To, Reason string }
	must(v.t, json.Unmarshal(out, &events))
	for _, e := range events {
		if e.Kind == kind {
			reasons = append(reasons, fmt.Sprintf("%s: %s -> %s: %s", e.Name, e.From, e.To, e.Reason))
		}
	}
	return reasons
}

// The switch passes nothing from r1's WAN any more while its link stays up: no
// interface goes down, no process dies. Only asking the upstream tells.
func TestUpstreamDeadWithItsLinkUpIsNoticedByAPingCheck(t *testing.T) {
	unhurried(t, `track = [{ check = "upstream", weight = 50 }]`+"\n", `
[[check]]
name = "upstream"
ping = "`+wanHost4+`"
interval = "100ms"
timeout = "50ms"
fall = 3
rise = 2
`, func(p *pair) {
		waitFor(t, patience, "the check is up", func() error { return p.r1.checkIs("upstream", "up") })
		p.mark()
		must(t, p.r1.wan.Block(true))
		waitFor(t, patience, "r2 is Master of the LAN", func() error { return p.r2.is("lan4", "Master") })
		// A second is what the operator is promised, and a busy machine gets some more.
		p.loss("upstream dead with its link up", 1500)
		if said := strings.Join(p.r1.said("priority"), "\n"); !strings.Contains(said, "check upstream down 3 times: timeout after 50ms; effective 150 -> 100") {
			t.Errorf("r1 gives no evidence:\n%s", said)
		}
		p.mark()
		must(t, p.r1.wan.Block(false))
		p.master(p.r1, p.r2)
		p.loss("upstream is back", 20)
	})
}

func (v *vrouter) checkIs(name, state string) error {
	out, err := v.show("checks")
	if err != nil {
		return err
	}
	var checks []struct{ Name, State, Detail string }
	if err := json.Unmarshal(out, &checks); err != nil {
		return err
	}
	for _, c := range checks {
		if c.Name == name && c.State == state {
			return nil
		}
	}
	return fmt.Errorf("%s", out)
}

func (v *vrouter) is(name, state string) error {
	one, err := v.virtual(name)
	if err == nil && one.State != state {
		err = fmt.Errorf("%s is %s", name, one.State)
	}
	return err
}

func TestExecCheckMovesMastershipByItsWeightWithoutLoss(t *testing.T) {
	dir := t.TempDir()
	healthy := filepath.Join(dir, "healthy")
	must(t, os.WriteFile(healthy, nil, 0o600))
	unhurried(t, `track = [{ check = "service", weight = 20 }]`+"\n", fmt.Sprintf(`
[[check]]
name = "service"
exec = ["/bin/sh", "-c", "echo looking at the service; test -e %s"]
interval = "100ms"
timeout = "100ms"
`, healthy), func(p *pair) {
		waitFor(t, patience, "the check is up", func() error { return p.r1.checkIs("service", "up") })
		p.mark()
		must(t, os.Remove(healthy))
		p.master(p.r2, p.r1)
		p.loss("check down", 3)
		out, err := p.r1.command("show", "vrrp", "lan4")
		said := strings.Join(strings.Fields(out), " ") // it is broken into lines
		if err != nil || !strings.Contains(said, "check service is down, takes off 20: ") || !strings.Contains(said, "exit status 1: looking at the service") {
			t.Errorf("%v\n%s", err, out)
		}
		p.mark()
		must(t, os.WriteFile(healthy, nil, 0o600))
		p.master(p.r1, p.r2)
		p.loss("check up", 3)
	})
}

func TestHooksRunInOrderWithTheChangeInTheirEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "changes")
	script := `echo "$VROUTER_EVENT $VROUTER_NAME $VROUTER_FROM $VROUTER_TO $VROUTER_PRIORITY $VROUTER_VRID $VROUTER_ROUTER" >>` + file +
		`; ls /proc/$$/fd >` + file + `.fd; cut -d" " -f41 /proc/$$/stat >` + file + `.policy`
	p := newPair(t, "", fmt.Sprintf("\n[[notify]]\nexec = [\"/bin/sh\", \"-c\", %q]\n", script))
	if out, err := p.r1.command("switchover", "lan4"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p.master(p.r2, p.r1)
	p.r1.stop()
	text, err := os.ReadFile(file)
	must(t, err)
	for _, name := range everything {
		var got []string
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) == 7 && f[1] == name && f[0] == "vrrp" && f[6] == "r1" {
				got = append(got, strings.Join(f[2:5], " "))
			}
		}
		want := "Initialize Backup 150, Backup Master 150, Master Backup 150, Backup Initialize 150"
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: hooks were told %q", name, got)
		}
	}
	// Nothing of the router's is inherited: no packet socket, no real-time priority.
	fds, err := os.ReadFile(file + ".fd")
	must(t, err)
	if n := len(strings.Fields(string(fds))); n > 8 {
		t.Errorf("the hook has %d descriptors: %s", n, fds)
	}
	if policy, err := os.ReadFile(file + ".policy"); err != nil || strings.TrimSpace(string(policy)) != "0" {
		t.Errorf("the hook has the scheduling policy %s (%v)", policy, err)
	}
}

func TestReloadWithAChangedVirtualRouterLosesNothing(t *testing.T) {
	unhurried(t, "", "", func(p *pair) {
		reload := func(v *vrouter) {
			if out, err := v.command("reload"); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		// An address more, by SIGHUP.
		p.r1.edit(func(s string) string { return strings.Replace(s, `["192.0.2.1"]`, `["192.0.2.1", "192.0.2.100"]`, 1) })
		must(t, p.r1.process.Signal(syscall.SIGHUP))
		p.waitServed(patience, "192.0.2.100", "r1.lan")
		p.loss("another address", 0)

		// Another interval, on the Master.
		p.mark()
		p.r1.edit(func(s string) string { return strings.ReplaceAll(s, `interval = "100ms"`, `interval = "200ms"`) })
		reload(p.r1)
		time.Sleep(time.Second)
		p.loss("another interval", 0)
		p.r1.edit(func(s string) string { return strings.ReplaceAll(s, `interval = "200ms"`, `interval = "100ms"`) })
		reload(p.r1)
		time.Sleep(time.Second)
		p.master(p.r1, p.r2)

		// A lower priority, so that the other takes over, and back.
		p.mark()
		p.r1.edit(func(s string) string { return strings.ReplaceAll(s, "priority = 150", "priority = 50") })
		reload(p.r1)
		p.master(p.r2, p.r1)
		p.loss("a lower priority", 0)
		p.mark()
		p.r1.edit(func(s string) string { return strings.ReplaceAll(s, "priority = 50", "priority = 150") })
		reload(p.r1)
		p.master(p.r1, p.r2)
		p.loss("the priority before", 0)
	})
}

func TestDrainLosesNothingAndTheDrainedRouterStaysAway(t *testing.T) {
	unhurried(t, "", "", func(p *pair) {
		out, err := p.r1.command("drain")
		if err != nil || !strings.Contains(out, "Master of nothing") {
			t.Fatalf("%v: %s", err, out)
		}
		p.master(p.r2, p.r1)
		p.loss("drain", 0)
		p.mark()
		time.Sleep(10 * opsInterval) // it has the better priority, and would be back by now
		p.master(p.r2, p.r1)
		out, err = p.r1.command("drain", "--end")
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		p.master(p.r1, p.r2)
		p.loss("end of the drain", 0)
		p.mark()
		// A drained router is still the one that serves where no other is left.
		if out, err = p.r2.command("drain"); err != nil {
			t.Fatalf("a Backup: %v: %s", err, out)
		}
		p.r1.stop()
		for _, name := range everything {
			p.r2.waitState(name, "Master")
		}
		p.loss("stop beside a drained router", 0)
	})
}

func TestBadReloadChangesNothing(t *testing.T) {
	unhurried(t, "", "", func(p *pair) {
		before := p.r1.allVirtual()
		p.r1.edit(func(s string) string {
			return strings.Replace(s, "priority = 150", "priority = 10", 1) + "\n[[vrrp]]\nname = \"x\"\nvrid = 300\n"
		})
		out, err := p.r1.command("reload")
		if err == nil || !strings.Contains(out, "r1.toml:") || !strings.Contains(out, "vrid 300 is out of range") {
			t.Errorf("%v: %s", err, out)
		}
		must(t, p.r1.process.Signal(syscall.SIGHUP))
		waitFor(t, patience, "the log tells why", func() error {
			if !strings.Contains(p.r1.process.Output(), "reload refused") {
				return fmt.Errorf("it does not")
			}
			return nil
		})
		p.loss("a bad reload", 0)
		for i, after := range p.r1.allVirtual() {
			if after != before[i] {
				t.Errorf("from %+v to %+v: want no change", before[i], after)
			}
		}
	})
}

// The guardian is the process that a service manager knows, and listens to.
func TestServiceManagerHearsOfAReload(t *testing.T) {
	dir, err := os.MkdirTemp("", "vr") // a socket's path must be short
	must(t, err)
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "n")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	must(t, err)
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	hear := func(want string) {
		t.Helper()
		buffer := make([]byte, 1024)
		must(t, c.SetReadDeadline(time.Now().Add(patience)))
		n, err := c.Read(buffer)
		if err != nil || !strings.HasPrefix(string(buffer[:n]), want) {
			t.Fatalf("the manager was told %q (%v), want %q", buffer[:n], err, want)
		}
	}
	r := newRig(t)
	v := r.vrouter("r1", interfaces(numberFirst)+gateways(150, opsInterval.String()))
	v.start()
	hear("READY=1")
	must(t, v.process.Signal(syscall.SIGHUP))
	hear("RELOADING=1\nMONOTONIC_USEC=")
	hear("READY=1")
	must(t, v.process.Signal(syscall.SIGTERM))
	hear("STOPPING=1")
}
