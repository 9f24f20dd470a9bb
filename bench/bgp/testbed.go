package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"vrouter/bench/prefixes"
	"vrouter/bgp"
	"vrouter/control"
	"vrouter/internal/netlab"
)

const picture = `
LAN host -- [switch] -- router -- [switch] -- isp1 (BIRD) -- [switch] -- far host
   |          |            ` + "`" + `------ [switch] -- isp2 (BIRD) ----'
 stream    listener                                                   has any address
`

// testbed is a router between a LAN and two neighbours with the same routes.
type testbed struct {
	options
	lab       *netlab.Lab
	program   string
	four, six []netip.Prefix
	lan, far  *netlab.Host
	router    *netlab.Host
	lanLink   *netlab.Link    // the router's
	wan       [2]*netlab.Link // the router's
	isps      [2]*isp
	socket    string
	config    string
	process   *netlab.Process // of the router
	client    *control.Client
}

func newTestbed(o *options, program string) (b *testbed, err error) {
	b = &testbed{options: *o, program: program}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.lab, err = netlab.New(); err != nil {
		return b, err
	}
	b.four = slices.DeleteFunc(prefixes.IPv4(1, o.four), bgp.Martian) // which nobody would take
	b.six = slices.DeleteFunc(prefixes.IPv6(1, o.six), bgp.Martian)
	b.socket, b.config = filepath.Join(b.lab.Dir, "r.sock"), filepath.Join(b.lab.Dir, "r.toml")
	b.client = control.NewClient(b.socket)
	if err = b.wire(); err != nil {
		return b, err
	}
	return b, originate(b.lab.Dir, b.four, b.six)
}

// wire makes the network.
func (b *testbed) wire() (err error) {
	for _, h := range []struct {
		name string
		host **netlab.Host
	}{{"lan", &b.lan}, {"far", &b.far}, {"router", &b.router}} {
		if *h.host, err = b.lab.Host(h.name); err != nil {
			return err
		}
	}
	lan, err := b.lab.Switch("br-lan")
	if err != nil {
		return err
	}
	far, err := b.lab.Switch("br-far")
	if err != nil {
		return err
	}
	if b.lanLink, err = lan.Connect(b.router, "lan"); err != nil {
		return err
	}
	_, err1 := lan.Connect(b.lan, "eth0")
	_, err2 := far.Connect(b.far, "eth0")
	if err := errors.Join(err1, err2,
		b.lan.Address("eth0", "192.0.2.10/24", "2001:db8:1::10/64"),
		b.lan.Route("0.0.0.0/0", "192.0.2.1", ""),
		b.far.Address("eth0", farAddr+"/24"),
	); err != nil {
		return err
	}
	for i := range b.isps {
		if err := b.wireISP(i, far); err != nil {
			return err
		}
	}
	// Whatever address a packet is for, it has come where it should.
	_, err = b.far.Run(context.Background(), "ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "main")
	return errors.Join(err, b.far.Route("192.0.2.0/24", "198.51.100.1", ""), b.far.Sysctl("net/ipv4/conf/all/rp_filter", "0"),
		b.far.Sysctl("net/ipv4/conf/eth0/rp_filter", "0"))
}

func (b *testbed) wireISP(i int, far *netlab.Switch) (err error) {
	n := &isp{name: fmt.Sprintf("isp%d", i+1), asn: uint32(64500 + i), number: i}
	b.isps[i] = n
	if n.host, err = b.lab.Host(n.name); err != nil {
		return err
	}
	s, err := b.lab.Switch(fmt.Sprintf("br-wan%d", i+1))
	if err != nil {
		return err
	}
	device := fmt.Sprintf("wan%d", i+1)
	if b.wan[i], err = s.Connect(b.router, device); err != nil {
		return err
	}
	if _, err = s.Connect(n.host, "eth0"); err != nil {
		return err
	}
	if _, err = far.Connect(n.host, "eth1"); err != nil {
		return err
	}
	return errors.Join(
		b.router.Address(device, fmt.Sprintf("%s/%d", link4(i, 2), bits4), fmt.Sprintf("%s/%d", link6(i, 2), bits6)),
		n.host.Address("eth0", fmt.Sprintf("%s/%d", link4(i, 1), bits4), fmt.Sprintf("%s/%d", link6(i, 1), bits6)),
		n.host.Address("eth1", fmt.Sprintf("198.51.100.%d/24", i+1)),
		n.host.Sysctl("net/ipv4/ip_forward", "1"),
		n.host.Sysctl("net/ipv4/conf/all/rp_filter", "0"),
		n.host.Route("192.0.2.0/24", link4(i, 2), ""),
		n.host.Route("0.0.0.0/0", farAddr, ""),
	)
}

// write writes the router's configuration; limit is of prefixes of a family from
// the first neighbour, 0: none.
func (b *testbed) write(limit int) error {
	var t strings.Builder
	fmt.Fprintf(&t, `[router]
name = "r"
watchdog = "2s" # what is late is measured, not ended
[control]
socket = "%s"
[log]
level = "info"
[[interface]]
name = "lan"
attach = "af_packet"
device = "lan"
addresses = ["192.0.2.2/24", "2001:db8:1::2/64"]
[[vrrp]]
name = "gw"
interface = "lan"
vrid = 10
addresses = ["192.0.2.1"]
priority = 200
interval = "100ms"
`, b.socket)
	for i := range b.isps {
		fmt.Fprintf(&t, "[[interface]]\nname = \"wan%[1]d\"\nattach = \"af_packet\"\ndevice = \"wan%[1]d\"\naddresses = \"host\"\n", i+1)
	}
	fmt.Fprintf(&t, "[bgp]\nasn = %d\nmemory_limit = \"8GiB\"\n", ourAS)
	for i, n := range b.isps {
		limits := ""
		if limit > 0 && i == 0 {
			limits = fmt.Sprintf(", max_prefixes = %d", limit)
		}
		fmt.Fprintf(&t, `[[bgp.neighbor]]
name = "%s"
address = "%s"
asn = %d
families = ["ipv4", "ipv6"]
bfd = { interval = "300ms", multiplier = 5 }
import = { prefixes = ["0.0.0.0/0 le 32", "::/0 le 128"], local_preference = %d%s }
`, n.name, link4(i, 1), n.asn, 200-i*100, limits)
	}
	return os.WriteFile(b.config, []byte(t.String()), 0o600)
}

// startRouter starts vrouter and waits until it is Master.
func (b *testbed) startRouter(ctx context.Context) (err error) {
	if b.process, err = b.router.Start(b.program, "run", "-c", b.config); err != nil {
		return err
	}
	return await(ctx, 30*time.Second, "vrouter is Master", func() (bool, error) {
		select {
		case <-b.process.Ended():
			return false, fmt.Errorf("vrouter has ended: %w", b.process.Err())
		default:
		}
		list, err := b.client.VRRP(ctx, "")
		return err == nil && len(list) == 1 && list[0].State == "Master", nil
	})
}

func (b *testbed) stopRouter() error {
	p := b.process
	b.process = nil
	return p.Stop(20 * time.Second)
}

// processes returns the ids of the router process and the BGP process.
func (b *testbed) processes() (router, bgp int) {
	for _, pid := range b.process.Children() {
		title, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it may have ended
		switch {
		case strings.Contains(string(title), "bgp"):
			bgp = pid
		case strings.Contains(string(title), "router"):
			router = pid
		}
	}
	return router, bgp
}

// memory is what a process has of memory in KiB: now, and at most so far.
type memory struct{ now, most int }

func (m memory) String() string { return fmt.Sprintf("%d MiB", m.most>>10) }

// memoryOf returns a process' memory; 0: there is no such process.
func memoryOf(pid int) (m memory) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return m
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch n, _ := strconv.Atoi(fields[1]); fields[0] {
		case "VmRSS:":
			m.now = n
		case "VmHWM:":
			m.most = n
		}
	}
	return m
}

// cpuOf returns the CPU time of a process so far.
func cpuOf(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 on Linux
}

// total is how many prefixes a neighbour announces.
func (b *testbed) total() int { return len(b.four) + len(b.six) }

// logs are the ends of the logs, for errors.
func (b *testbed) logs() string {
	text := ""
	for _, p := range []*netlab.Process{b.process, b.isps[0].process, b.isps[1].process} {
		if p == nil {
			continue
		}
		out := strings.Split(p.Output(), "\n")
		text += p.Args[0] + ":\n" + strings.Join(out[max(0, len(out)-20):], "\n") + "\n"
	}
	return text
}

func (b *testbed) close() {
	if b.lab != nil {
		_ = b.lab.Close() // its processes are gone then
	}
}

// targets are addresses in n of the IPv4 prefixes.
func (b *testbed) targets(n int) []netip.Addr {
	return slices.Clip(prefixes.Addresses(1, b.four, n))
}
