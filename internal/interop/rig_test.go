package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"vrouter/internal/netlab"
	"vrouter/packet"
	"vrouter/vrrp"
)

// The lab of every test: a LAN and a WAN, a Linux host on each, routers
// between them. Routers have the devices lan and wan.
const (
	lanHost4, lanHost6   = "192.0.2.10", "2001:db8:1::10"
	wanHost4, wanHost6   = "203.0.113.10", "2001:db8:2::10"
	target4, target6     = "198.51.100.1", "2001:db8:99::1" // beyond the WAN, on its host
	virtual4, virtual6   = "192.0.2.1", "2001:db8:1::1"
	virtualLL            = "fe80::1"
	vridLAN, vridWAN     = 10, 20
	patience             = 20 * time.Second // for what takes a second or two on an idle machine
	answerTime           = 250 * time.Millisecond
	stopPatience         = 10 * time.Second
	startPatience        = 15 * time.Second
	pollTime             = 30 * time.Millisecond
	commandTime          = 60 * time.Second
	numberFirst, numberB = 2, 3 // last part of the addresses of two routers
)

// buildDir holds the program under test while the tests run.
var buildDir string

// withBuildDir runs the tests with a directory that is gone afterwards.
type withBuildDir struct{ m *testing.M }

func (w withBuildDir) Run() int {
	dir, err := os.MkdirTemp("", "vrouter-interop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	buildDir = dir
	return w.m.Run()
}

func TestMain(m *testing.M) { os.Exit(netlab.Main(withBuildDir{m})) }

// build makes the program under test, once.
var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildDir, "vrouter")
	out, err := exec.Command("go", "build", "-o", path, "vrouter/cmd/vrouter").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// need skips the test where a program is missing, and returns its path.
func need(t *testing.T, program string) string {
	t.Helper()
	for _, candidate := range []string{program, "/usr/sbin/" + program, "/usr/lib/frr/" + program} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	t.Skipf("%s is not installed", program)
	return ""
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rig is the lab of one test.
type rig struct {
	t              *testing.T
	lab            *netlab.Lab
	lan, up        *netlab.Host
	lanNet, wanNet *netlab.Switch
	binary         string // vrouter
}

func newRig(t *testing.T) *rig {
	t.Helper()
	if err := netlab.Unavailable(); err != nil {
		t.Skip(err)
	}
	l, err := netlab.New()
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	r := &rig{t: t, lab: l}
	r.lanNet, err = l.Switch("br-lan")
	must(t, err)
	r.wanNet, err = l.Switch("br-wan")
	must(t, err)
	r.lan = r.host("lan-host", r.lanNet, lanHost4+"/24", lanHost6+"/64")
	r.up = r.host("upstream", r.wanNet, wanHost4+"/24", wanHost6+"/64")
	must(t, r.up.Address("lo", target4+"/32", target6+"/128"))
	// Linux answers a traceroute only a few times a second.
	must(t, r.up.Sysctl("net/ipv4/icmp_ratelimit", "0"))
	must(t, r.up.Sysctl("net/ipv6/icmp/ratelimit", "0"))
	must(t, r.lan.Route("0.0.0.0/0", virtual4, "eth0"))
	must(t, r.lan.Route("::/0", virtualLL, "eth0"))
	must(t, r.up.Route("192.0.2.0/24", "203.0.113.1", "eth0"))
	must(t, r.up.Route("2001:db8:1::/64", virtualLL, "eth0"))
	return r
}

// host adds a host with the device eth0.
func (r *rig) host(name string, sw *netlab.Switch, addresses ...string) *netlab.Host {
	r.t.Helper()
	h, err := r.lab.Host(name)
	must(r.t, err)
	_, err = sw.Connect(h, "eth0")
	must(r.t, err)
	must(r.t, h.Address("eth0", addresses...))
	return h
}

// routerHost adds a host with the devices lan and wan and no address.
func (r *rig) routerHost(name string) (h *netlab.Host, lan, wan *netlab.Link) {
	r.t.Helper()
	h, err := r.lab.Host(name)
	must(r.t, err)
	lan, err = r.lanNet.Connect(h, "lan")
	must(r.t, err)
	wan, err = r.wanNet.Connect(h, "wan")
	must(r.t, err)
	return h, lan, wan
}

// vrouter is the program under test on a host.
type vrouter struct {
	t        *testing.T
	host     *netlab.Host
	lan, wan *netlab.Link
	binary   string
	socket   string
	config   string
	process  *netlab.Process
}

// vrouter adds a router that is to run with a configuration; the table
// [control] is put before it.
func (r *rig) vrouter(name, config string) *vrouter {
	r.t.Helper()
	var err error
	r.binary, err = build()
	must(r.t, err)
	v := &vrouter{
		t: r.t, binary: r.binary,
		socket: filepath.Join(r.lab.Dir, name+".sock"),
		config: filepath.Join(r.lab.Dir, name+".toml"),
	}
	v.host, v.lan, v.wan = r.routerHost(name)
	// A machine with other things to do stands still for a default watchdog's
	// time now and then; what the watchdog does is tested in internal/probe.
	text := fmt.Sprintf("[router]\nname = %q\nwatchdog = \"2s\"\n[control]\nsocket = %q\n[log]\nlevel = \"debug\"\n%s", name, v.socket, config)
	must(r.t, os.WriteFile(v.config, []byte(text), 0o600))
	r.t.Cleanup(func() {
		if r.t.Failed() && v.process != nil {
			r.t.Logf("log of %s:\n%s", name, tail(v.process.Output()))
		}
	})
	return v
}

// engine chooses the forwarding path.
func (v *vrouter) engine(name string) {
	v.t.Helper()
	text, err := os.ReadFile(v.config)
	must(v.t, err)
	changed := strings.Replace(string(text), "[router]\n", fmt.Sprintf("[router]\nengine = %q\n", name), 1)
	must(v.t, os.WriteFile(v.config, []byte(changed), 0o600))
}

func tail(text string) string {
	const lines = 60
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// start runs the program and waits until it answers on its socket.
func (v *vrouter) start() {
	v.t.Helper()
	var err error
	v.process, err = v.host.Start(v.binary, "run", "-c", v.config)
	must(v.t, err)
	waitFor(v.t, startPatience, "the router answers", func() error {
		select {
		case <-v.process.Ended():
			v.t.Fatalf("the router ended: %v\n%s", v.process.Err(), v.process.Output())
		default:
		}
		_, err := v.show("vrrp")
		return err
	})
}

// stop ends the program in order.
func (v *vrouter) stop() {
	v.t.Helper()
	must(v.t, v.process.Stop(stopPatience))
}

// show returns the answer of "show TOPIC --json".
func (v *vrouter) show(topic string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, v.binary, "show", topic, "--json", "-s", v.socket).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("show %s: %w: %s", topic, err, exit.Stderr)
	}
	return out, err
}

// virtual is what "show vrrp" says of one virtual router.
type virtual struct {
	Name, State, Family string
	Version             int
	VRID                int
	Master              struct {
		Address  string
		Priority int
	}
	Transitions int
	VirtualMAC  string `json:"virtual_mac"`
}

func (v *vrouter) virtual(name string) (virtual, error) {
	out, err := v.show("vrrp")
	if err != nil {
		return virtual{}, err
	}
	var list []virtual
	if err := json.Unmarshal(out, &list); err != nil {
		return virtual{}, err
	}
	for _, one := range list {
		if one.Name == name {
			return one, nil
		}
	}
	return virtual{}, fmt.Errorf("no virtual router %q", name)
}

// waitState waits until a virtual router is in a state.
func (v *vrouter) waitState(name, state string) {
	v.t.Helper()
	waitFor(v.t, patience, name+" is "+state, func() error {
		one, err := v.virtual(name)
		if err == nil && one.State != state {
			err = fmt.Errorf("it is %s", one.State)
		}
		return err
	})
}

// waitFor polls until a condition holds.
func waitFor(t *testing.T, limit time.Duration, what string, condition func() error) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(pollTime) {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s: %v", limit, what, err)
		}
	}
}

// served returns on which port of the LAN's switch the one router is that
// answers for an address, as "HOST.DEVICE"; none or several are an error.
func (r *rig) served(address string) (port string, mac packet.MAC, err error) {
	addr, source := netip.MustParseAddr(address), netip.MustParseAddr(lanHost4)
	if addr.Is6() {
		source = netip.MustParseAddr(lanHost6)
	}
	answers, err := r.lan.Who("eth0", source, addr, answerTime)
	if err != nil {
		return "", mac, err
	}
	if len(answers) != 1 {
		return "", mac, fmt.Errorf("%d answers for %s, want one: %v", len(answers), address, answers)
	}
	mac = answers[0].MAC
	port, err = r.lanNet.Behind(mac[:])
	return port, mac, err
}

// waitServed waits until the router on a port is the one that answers for an
// address.
func (r *rig) waitServed(limit time.Duration, address, port string) {
	r.t.Helper()
	waitFor(r.t, limit, fmt.Sprintf("%s is served by %s", address, port), func() error {
		at, _, err := r.served(address)
		if err == nil && at != port {
			err = fmt.Errorf("it is served by %s", at)
		}
		return err
	})
}

// run runs a command on a host.
func (r *rig) run(h *netlab.Host, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	return h.Run(ctx, args...)
}

// interfaces is a configuration's tables of a router with owned addresses.
func interfaces(number int) string {
	return fmt.Sprintf(`
[[interface]]
name = "lan"
attach = "af_packet"
device = "lan"
addresses = ["192.0.2.%[1]d/24", "fe80::%[1]d/64", "2001:db8:1::%[1]d/64"]

[[interface]]
name = "wan"
attach = "af_packet"
device = "wan"
addresses = ["203.0.113.%[1]d/24", "fe80::%[1]d/64", "2001:db8:2::%[1]d/64"]
`, number) + routes
}

const routes = `
[[route]]
to = "0.0.0.0/0"
via = ["203.0.113.10"]

[[route]]
to = "::/0"
via = ["2001:db8:2::10"]
`

// virtualTable is one table [[vrrp]].
func virtualTable(name, iface string, vrid, version, priority int, interval string, addresses ...string) string {
	return fmt.Sprintf(`
[[vrrp]]
name = %q
interface = %q
vrid = %d
version = %d
priority = %d
interval = %q
addresses = ["%s"]
`, name, iface, vrid, version, priority, interval, strings.Join(addresses, `", "`))
}

// gateways are the virtual routers of both sides and families.
func gateways(priority int, interval string) string {
	return virtualTable("lan4", "lan", vridLAN, 3, priority, interval, virtual4) +
		virtualTable("lan6", "lan", vridLAN, 3, priority, interval, virtualLL, virtual6) +
		virtualTable("wan4", "wan", vridWAN, 3, priority, interval, "203.0.113.1") +
		virtualTable("wan6", "wan", vridWAN, 3, priority, interval, virtualLL, "2001:db8:2::1")
}

// waitMaster waits until the router is master in all four places.
func (v *vrouter) waitMaster() {
	v.t.Helper()
	for _, name := range []string{"lan4", "lan6", "wan4", "wan6"} {
		v.waitState(name, "Master")
	}
}

// virtualMAC returns the LAN's virtual MAC of the family of an address.
func virtualMAC(address string) packet.MAC {
	return vrrp.VirtualMAC(vridLAN, netip.MustParseAddr(address).Is6())
}
