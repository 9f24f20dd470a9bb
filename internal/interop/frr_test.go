package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vrouter/internal/netlab"
)

func TestFRR(t *testing.T) {
	if testing.Short() {
		t.Skip("a minute; keepalived is the peer of the short run")
	}
	zebra, vrrpd := need(t, "zebra"), need(t, "vrrpd")
	if netlab.SingleUser() {
		t.Skip("FRR changes to a user of its own, which needs root outside")
	}
	for _, va := range variants {
		if va.version == 2 {
			continue // one peer is enough for version 2
		}
		t.Run(va.name, func(t *testing.T) {
			t.Parallel()
			testPeer(t, va, func(d *duel, priority int) peer { return newFRR(d, zebra, vrrpd, priority) })
		})
	}
}

// frr is zebra and vrrpd, all their files in a directory of the test. The
// virtual router lives on a macvlan device with the virtual MAC, that vrrpd
// switches by its protodown flag.
type frr struct {
	d            *duel
	dir          string
	programs     [2][]string
	running      []*netlab.Process // zebra, vrrpd
	lastVRRPLogs string
}

func newFRR(d *duel, zebra, vrrpd string, priority int) *frr {
	f := &frr{d: d, dir: filepath.Join(d.lab.Dir, "frr")}
	must(d.t, os.Mkdir(f.dir, 0o777))
	must(d.t, os.Chmod(f.dir, 0o777)) // for FRR's own user, too
	must(d.t, os.Chmod(d.lab.Dir, 0o755))
	var config strings.Builder
	fmt.Fprintf(&config, "log stdout debugging\ninterface lan\n vrrp %d version 3\n vrrp %d priority %d\n vrrp %d advertisement-interval 1000\n",
		vridLAN, vridLAN, priority, vridLAN)
	for _, a := range d.addresses {
		family := "ip"
		if strings.Contains(a, ":") {
			family = "ipv6"
		}
		fmt.Fprintf(&config, " vrrp %d %s %s\n", vridLAN, family, a)
	}
	file := func(name, text string) string {
		path := filepath.Join(f.dir, name)
		must(d.t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	common := []string{"-z", filepath.Join(f.dir, "zserv"), "--vty_socket", f.dir, "-P", "0"}
	f.programs[0] = append([]string{zebra, "-f", file("zebra.conf", "log stdout\n"), "-i", filepath.Join(f.dir, "zebra.pid")}, common...)
	f.programs[1] = append([]string{vrrpd, "-f", file("vrrpd.conf", config.String()), "-i", filepath.Join(f.dir, "vrrpd.pid")}, common...)
	return f
}

// device is the macvlan's name.
func (f *frr) device() string {
	if strings.Contains(f.d.asked(), ":") {
		return "vrrp6-lan"
	}
	return "vrrp4-lan"
}

// macvlan makes the device of the virtual router as FRR's manual says. Only
// the device that has an address may answer ARP for it.
func (f *frr) macvlan(t *testing.T) {
	t.Helper()
	d, mac := f.d, virtualMAC(f.d.asked())
	must(t, d.peerHost.Sysctl("net/ipv4/conf/all/arp_ignore", "1"))
	must(t, d.peerHost.Macvlan("lan", f.device(), mac[:]))
	for _, a := range d.addresses {
		length := 24
		if strings.Contains(a, ":") {
			length = 64
		}
		must(t, d.peerHost.Address(f.device(), fmt.Sprintf("%s/%d", a, length)))
	}
}

func (f *frr) start(t *testing.T) {
	t.Helper()
	f.macvlan(t)
	for i, args := range f.programs {
		p, err := f.d.peerHost.Start(args...)
		must(t, err)
		f.running = append(f.running, p)
		ready := filepath.Join(f.dir, []string{"zserv", "vrrpd.vty"}[i])
		waitFor(t, patience, args[0]+" is ready", func() error {
			select {
			case <-p.Ended():
				t.Fatalf("%s ended: %v\n%s", args[0], p.Err(), p.Output())
			default:
			}
			_, err := os.Stat(ready)
			return err
		})
	}
}

func (f *frr) stop(t *testing.T) {
	t.Helper()
	f.end(t, func(p *netlab.Process) {
		if err := p.Stop(stopPatience); err != nil {
			t.Error(err)
		}
	})
}

func (f *frr) crash(t *testing.T) {
	t.Helper()
	must(t, f.d.peerLink.Cut())
	f.end(t, func(p *netlab.Process) { p.Kill() })
}

// end ends vrrpd before zebra, and takes the device away, which the kernel
// would go on answering for.
func (f *frr) end(t *testing.T, how func(*netlab.Process)) {
	t.Helper()
	for i := len(f.running) - 1; i >= 0; i-- {
		how(f.running[i])
	}
	f.lastVRRPLogs = f.log()
	f.running = nil
	must(t, f.d.peerHost.Delete(f.device()))
	for _, name := range []string{"zserv", "vrrpd.vty"} {
		os.Remove(filepath.Join(f.dir, name)) // what start waits for
	}
}

func (f *frr) log() string {
	text := f.lastVRRPLogs
	for _, p := range f.running {
		text += p.Output()
	}
	return text
}

// startFRR runs zebra and another one of FRR's daemons on a host, and returns the
// directory of their sockets.
func startFRR(t *testing.T, r *rig, h *netlab.Host, zebra, daemon, config string) (dir string) {
	t.Helper()
	dir = filepath.Join(r.lab.Dir, "frr-"+h.Name)
	must(t, os.Mkdir(dir, 0o777))
	must(t, os.Chmod(dir, 0o777)) // for FRR's own user, too
	must(t, os.Chmod(r.lab.Dir, 0o755))
	common := []string{"-z", filepath.Join(dir, "zserv"), "--vty_socket", dir, "-P", "0"}
	for _, program := range []string{zebra, daemon} {
		name := filepath.Base(program)
		text := "log stdout\n"
		if program == daemon {
			text += config
		}
		file := filepath.Join(dir, name+".conf")
		must(t, os.WriteFile(file, []byte(text), 0o644))
		p, err := h.Start(append([]string{program, "-f", file, "-i", filepath.Join(dir, name+".pid")}, common...)...)
		must(t, err)
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("log of %s:\n%s", name, tail(p.Output()))
			}
		})
		ready := filepath.Join(dir, "zserv")
		if program == daemon {
			ready = filepath.Join(dir, name+".vty")
		}
		waitFor(t, patience, name+" runs", func() error {
			_, err := os.Stat(ready)
			return err
		})
	}
	return dir
}
