package probe

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vrouter/internal/netlab"
	"vrouter/internal/nstest"
)

// buildDir holds the program under test while the tests run.
var buildDir string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "vrouter-probe-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		buildDir = dir
		return nstest.Main(m)
	}())
}

// build makes the program under test, once.
var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildDir, "vrouter")
	out, err := exec.Command("go", "build", "-o", path, "vrouter/cmd/vrouter").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// rig is a router with the ports lan, wan and dmz, and a station on each.
type rig struct {
	t        *testing.T
	ns       *nstest.NS
	dir      string
	stations map[string]*station
	mac      map[string]mac // of the router's ports
	engine   string         // fast, unless set
	watchdog string         // empty: 2s, for a busy machine stands still now and then
	attach   string         // af_packet, unless set
	config   string         // path
	process  *exec.Cmd
	ended    chan error
}

// station is what is at the other end of a port's cable: it answers for its
// neighbours' addresses, and else says only what a test sends.
type station struct {
	wire      *nstest.Wire
	ns        *nstest.NS
	mu        sync.Mutex
	neighbors map[string]mac
}

func newRig(t *testing.T, ports ...string) *rig {
	t.Helper()
	return newRigBy(t, "af_packet", ports...)
}

func newRigBy(t *testing.T, attach string, ports ...string) *rig {
	t.Helper()
	r := &rig{t: t, attach: attach, ns: nstest.New(t), dir: t.TempDir(), stations: map[string]*station{}, mac: map[string]mac{}}
	for _, port := range ports {
		r.connect(port)
	}
	return r
}

// connect adds a port, with a station at the other end.
func (r *rig) connect(port string) {
	t := r.t
	t.Helper()
	s := &station{ns: nstest.New(t), neighbors: map[string]mac{}}
	s.ns.Sysctl(t, "net/ipv6/conf/default/disable_ipv6", "1")
	if r.attach == "tap" { // the router makes its devices itself, and puts them into the bridges
		r.ns.Bridge(t, "br-"+port)
		nstest.Veth(t, r.ns, port+"0", s.ns, "eth0")
		r.ns.Enslave(t, port+"0", "br-"+port)
	} else {
		nstest.Veth(t, r.ns, port, s.ns, "eth0")
		r.mac[port] = mac(r.ns.MAC(t, port))
	}
	s.wire = s.ns.Wire(t, "eth0")
	r.stations[port] = s
	own, done := s.ns.Wire(t, "eth0"), make(chan struct{})
	go func() {
		defer close(done)
		s.answer(own, t)
	}()
	t.Cleanup(func() { <-done })
}

// logged returns what the router has logged.
func (r *rig) logged() string {
	r.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, "log"))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

// neighbor adds an address that the station answers for.
func (s *station) neighbor(address string, m mac) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.neighbors[address] = m
}

// answer answers ARP requests and neighbour solicitations until the test ends.
func (s *station) answer(w *nstest.Wire, t *testing.T) {
	ctx := t.Context()
	for ctx.Err() == nil {
		f := w.Receive(50*time.Millisecond, func(f []byte) bool {
			return etherType(f) == typeARP && f[21] == 1 || etherType(f) == typeIPv6 && len(f) >= 78 && f[20] == protoICMPv6 && f[54] == 135
		})
		if f == nil || ctx.Err() != nil {
			continue
		}
		if etherType(f) == typeARP {
			who, asker := text(f[38:42]), text(f[28:32])
			if m, ok := s.lookup(who); ok {
				w.Send(eth(source(f), m, typeARP, arp(2, m, who, source(f), asker)))
			}
			continue
		}
		src, _ := addresses(f)
		who := text(f[62:78])
		if m, ok := s.lookup(who); ok && src != "::" {
			w.Send(eth(source(f), m, typeIPv6, neighborMessage(who, src, 136, 0x60, who, 2, m).bytes()))
		}
	}
}

func (s *station) lookup(address string) (mac, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.neighbors[address]
	return m, ok
}

// run starts the router with a configuration; [control] and [log] come first.
func (r *rig) run(config string) {
	r.t.Helper()
	r.write(config)
	r.start()
	defer r.findMACs()
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := r.command("show", "vrrp", "--json"); err == nil {
			return
		}
		select {
		case err := <-r.ended:
			r.t.Fatalf("the router ended: %v\n%s", err, r.logged())
		default:
		}
		if time.Now().After(end) {
			r.t.Fatalf("the router does not answer\n%s", r.logged())
		}
	}
}

func (r *rig) write(config string) {
	r.t.Helper()
	r.config = filepath.Join(r.dir, "r.toml")
	if r.attach == "tap" {
		for port := range r.stations {
			config = strings.Replace(config, fmt.Sprintf("\"af_packet\"\ndevice = %q\n", port),
				fmt.Sprintf("\"tap\"\ndevice = \"t-%[1]s\"\nbridge = \"br-%[1]s\"\n", port), 1)
		}
	}
	text := fmt.Sprintf("[router]\nname = \"r1\"\nengine = %q\nwatchdog = %q\n[control]\nsocket = %q\n[log]\nlevel = \"debug\"\n%s",
		cmp.Or(r.engine, "fast"), cmp.Or(r.watchdog, "2s"), r.socket(), config)
	if err := os.WriteFile(r.config, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) socket() string { return filepath.Join(r.dir, "s") }

func (r *rig) start() {
	r.t.Helper()
	binary, err := build()
	if err != nil {
		r.t.Fatal(err)
	}
	path := filepath.Join(r.dir, "log")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	defer file.Close()
	r.process = exec.Command(binary, "run", "-c", r.config)
	r.process.Stdout, r.process.Stderr = file, file
	if err := r.ns.Do(r.process.Start); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan error, 1)
	r.ended = ended
	process := r.process
	go func() { ended <- process.Wait() }()
	r.t.Cleanup(func() {
		netlab.CutPower(process.Process.Pid)
		if r.t.Failed() {
			b := r.logged()
			r.t.Logf("the router's log:\n%s", b[max(0, len(b)-6000):])
		}
	})
}

// stop ends the router by a signal and returns how it ended; SIGKILL hits the
// guardian and the router process at once.
func (r *rig) stop(s syscall.Signal) error {
	r.t.Helper()
	if s == syscall.SIGKILL {
		netlab.CutPower(r.process.Process.Pid)
	} else if err := r.process.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
	select {
	case err := <-r.ended:
		return err
	case <-time.After(15 * time.Second):
		return errors.New("it did not end within 15 s")
	}
}

// inner returns the pid of the router process, the guardian's child.
func (r *rig) inner() int {
	r.t.Helper()
	children := netlab.Children(r.process.Process.Pid)
	if len(children) != 1 {
		r.t.Fatalf("the guardian has %d children, want the router process alone", len(children))
	}
	return children[0]
}

// signalBoth sends a signal to the guardian and then to the router process, as
// to one machine.
func (r *rig) signalBoth(s syscall.Signal) {
	r.t.Helper()
	router := r.inner()
	for _, pid := range []int{r.process.Process.Pid, router} {
		if err := syscall.Kill(pid, s); err != nil {
			r.t.Fatal(err)
		}
	}
}

// findMACs asks the router for the MACs of the devices that it has made.
func (r *rig) findMACs() {
	r.t.Helper()
	if r.attach != "tap" {
		return
	}
	out, err := r.command("show", "interfaces", "--json")
	var list []struct{ Name, MAC string }
	if err == nil {
		err = json.Unmarshal(out, &list)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	for _, i := range list {
		m, err := net.ParseMAC(i.MAC)
		if err != nil {
			r.t.Fatal(err)
		}
		r.mac[i.Name] = mac(m)
	}
}

// command runs a command of the program against the router.
func (r *rig) command(args ...string) ([]byte, error) {
	binary, err := build()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, append(args, "-s", r.socket())...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, stderr.String())
	}
	return out, err
}

// state returns the state of a virtual router.
func (r *rig) state(name string) string {
	r.t.Helper()
	out, err := r.command("show", "vrrp", "--json")
	if err != nil {
		r.t.Fatal(err)
	}
	var list []struct{ Name, State string }
	if err := json.Unmarshal(out, &list); err != nil {
		r.t.Fatal(err)
	}
	for _, v := range list {
		if v.Name == name {
			return v.State
		}
	}
	r.t.Fatalf("no virtual router %q in %s", name, out)
	return ""
}

// waitState waits until a virtual router is in a state.
func (r *rig) waitState(name, state string, limit time.Duration) {
	r.t.Helper()
	for end := time.Now().Add(limit); r.state(name) != state; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("%s is %s after %v, want %s", name, r.state(name), limit, state)
		}
	}
}

// seen is a frame that the router sent.
type seen struct {
	port  string
	frame []byte
}

func (s seen) String() string { return s.port + ":\n" + hex.Dump(s.frame) }

// probe sends frames into a port and returns all that the router then sends,
// without what routers send unasked.
func (r *rig) probe(port string, frames ...[]byte) []seen {
	r.t.Helper()
	return r.probeFor(150*time.Millisecond, port, frames...)
}

func (r *rig) probeFor(patience time.Duration, port string, frames ...[]byte) (out []seen) {
	r.t.Helper()
	for _, s := range r.stations {
		s.wire.Drain()
	}
	r.stations[port].wire.Send(frames...)
	time.Sleep(patience)
	for name, s := range r.stations {
		for {
			f := s.wire.Receive(time.Millisecond, nil)
			if f == nil {
				break
			}
			if !background(f) {
				out = append(out, seen{name, f})
			}
		}
	}
	return out
}
