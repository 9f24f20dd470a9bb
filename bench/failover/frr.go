package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vrouter/internal/netlab"
	"vrouter/vrrp"
)

// frr is zebra and vrrpd of FRR. Each virtual router lives on a macvlan device
// with the virtual MAC, which must be there first.
type frr struct {
	place    *place
	dir      string
	interval time.Duration
	programs [2][]string
	process  [2]*netlab.Process // zebra, vrrpd
}

func newFRR(p *place, interval time.Duration) (daemon, error) {
	f := &frr{place: p, interval: interval, dir: filepath.Join(p.dir, p.name+"-frr")}
	// For FRR's own user, too.
	err := errors.Join(os.Mkdir(f.dir, 0o777), os.Chmod(f.dir, 0o777), os.Chmod(p.dir, 0o755), kernelRouter(p))
	if err != nil {
		return nil, err
	}
	for i, program := range []string{"zebra", "vrrpd"} {
		path, err := find(program)
		if err != nil {
			return nil, err
		}
		f.programs[i] = []string{
			path, "-f", f.file(program + ".conf"), "-i", f.file(program + ".pid"),
			"-z", f.file("zserv"), "--vty_socket", f.dir, "-P", "0",
		}
	}
	if err := os.WriteFile(f.file("zebra.conf"), []byte("log stdout\n"), 0o644); err != nil {
		return nil, err
	}
	return f, errors.Join(f.write(), f.devices())
}

func (f *frr) file(name string) string { return filepath.Join(f.dir, name) }

func (f *frr) write() error {
	var text strings.Builder
	text.WriteString("log stdout\n")
	for side, name := range sideNames {
		vrid := []int{vridLAN, vridWAN}[side]
		fmt.Fprintf(&text, "interface %s\n vrrp %d version 3\n vrrp %[2]d priority %[3]d\n vrrp %[2]d advertisement-interval %[4]d\n",
			name, vrid, f.place.priority, f.interval.Milliseconds())
		for _, v := range virtuals {
			family := map[int]string{4: "ip", 6: "ipv6"}[v.Family]
			for _, a := range v.List {
				if v.Side == name {
					fmt.Fprintf(&text, " vrrp %d %s %s\n", vrid, family, a)
				}
			}
		}
	}
	return os.WriteFile(f.file("vrrpd.conf"), []byte(text.String()), 0o644)
}

// devices makes the devices of the virtual routers as FRR's manual says.
func (f *frr) devices() error {
	for _, v := range virtuals {
		mac := vrrp.VirtualMAC(uint8(v.VRID), v.Family == 6)
		name := fmt.Sprintf("vrrp%d-%s", v.Family, v.Side)
		if err := f.place.host.Macvlan(v.Side, name, mac[:]); err != nil {
			return err
		}
		if err := f.place.host.Address(name, v.Prefixes()...); err != nil {
			return err
		}
	}
	return nil
}

// ready are the files that tell that a program runs.
var ready = [2]string{"zserv", "vrrpd.vty"}

func (f *frr) start() (err error) {
	for _, name := range ready {
		os.Remove(f.file(name))
	}
	for i, args := range f.programs {
		if f.process[i], err = f.place.host.Start(args...); err != nil {
			return err
		}
		if err := f.waitReady(i); err != nil {
			return err
		}
	}
	return nil
}

func (f *frr) waitReady(program int) error {
	for end := time.Now().Add(stopPatience); time.Now().Before(end); time.Sleep(pollTime) {
		if _, err := os.Stat(f.file(ready[program])); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s is not ready after %v:\n%s", f.programs[program][0], stopPatience, f.log())
}

func (f *frr) running() bool { return running(f.process[0]) && running(f.process[1]) }

// stop ends vrrpd before zebra.
func (f *frr) stop() error {
	return errors.Join(f.process[1].Stop(stopPatience), f.process[0].Stop(stopPatience))
}

func (f *frr) killed() {
	for _, p := range f.process {
		p.Kill()
	}
}

func (f *frr) vrrp() (int, error) { return f.process[1].PID(), nil }

func (f *frr) processes() ([]int, error) {
	return []int{f.process[1].PID(), f.process[0].PID()}, nil
}

func (f *frr) setPriority(int) error {
	return errors.New("vrrpd does not read its file again")
}

func (f *frr) log() (text string) {
	for _, p := range f.process {
		if p != nil {
			text += p.Output()
		}
	}
	return text
}
