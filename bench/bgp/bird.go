package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vrouter/internal/netlab"
)

// isp is BIRD as a neighbour that announces a table of the Internet's size.
type isp struct {
	name    string
	asn     uint32
	number  int // last part of its addresses and of those of its link's network
	host    *netlab.Host
	dir     string
	process *netlab.Process
}

// addresses of the link between the router and the i-th neighbour; the host part
// is 1 for the neighbour and 2 for the router.
func link4(i, host int) string { return fmt.Sprintf("203.0.113.%d", 16*i+host) }
func link6(i, host int) string { return fmt.Sprintf("2001:db8:%x::%d", 0x100+i, host) }

const (
	ourAS   = 65001
	bits4   = 28
	bits6   = 64
	farAddr = "198.51.100.10"
)

// originate writes the routes of both families for BIRD. Prefixes of a block
// have the same origin, as prefixes of a network have: so that updates hold a
// few prefixes each, as on the Internet, and not a thousand.
func originate(dir string, four, six []netip.Prefix) error {
	for name, list := range map[string][]netip.Prefix{"routes4.conf": four, "routes6.conf": six} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		w := bufio.NewWriter(f)
		for _, p := range list {
			origin, transit := origins(p)
			fmt.Fprintf(w, "route %s blackhole { bgp_path.prepend(%d); bgp_path.prepend(%d); };\n", p, origin, transit)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// networks is how many origins there are, as on the Internet of 2024.
const networks = 75_000

// origins returns the autonomous systems that a prefix comes from and through.
func origins(p netip.Prefix) (origin, transit uint32) {
	b := p.Addr().As16()
	block := uint64(b[12])<<8 | uint64(b[13]) // of an IPv4 address in 16 bytes
	if p.Addr().Is6() {
		block = uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
	}
	// Several networks share a block.
	r := rand.New(rand.NewPCG(block, uint64(b[14])>>5|uint64(b[4])<<8))
	origin = 131072 + r.Uint32N(networks)
	return origin, 3000 + r.Uint32N(200)
}

// start runs BIRD with its session off.
func (i *isp) start(dir string) (err error) {
	i.dir = filepath.Join(dir, i.name)
	if err := os.Mkdir(i.dir, 0o755); err != nil {
		return err
	}
	config := fmt.Sprintf(`log stderr all;
router id %[1]s;
protocol device {}
protocol static far4 {
	ipv4;
include "%[6]s/routes4.conf";
}
protocol static far6 {
	ipv6;
include "%[6]s/routes6.conf";
}
protocol bfd { interface "*" { interval 300 ms; multiplier 5; }; }
protocol bgp peer {
	disabled;
	local %[1]s as %[3]d;
	neighbor %[2]s as %[4]d;
	passive;
	bfd on;
	error wait time 1, 2;
	connect delay time 1;
	connect retry time 1;
	hold time 90;
	ipv4 { import none; export where source = RTS_STATIC; next hop address %[1]s; };
	ipv6 { import none; export where source = RTS_STATIC; next hop address %[5]s; };
}
`, link4(i.number, 1), link4(i.number, 2), i.asn, ourAS, link6(i.number, 1), dir)
	if err := os.WriteFile(i.file("conf"), []byte(config), 0o644); err != nil {
		return err
	}
	i.process, err = i.host.Start("bird", "-f", "-c", i.file("conf"), "-s", i.file("ctl"), "-P", i.file("pid"))
	return err
}

func (i *isp) file(name string) string { return filepath.Join(i.dir, name) }

// ask runs a command of BIRD's.
func (i *isp) ask(ctx context.Context, words ...string) (string, error) {
	return i.host.Run(ctx, append([]string{"birdc", "-s", i.file("ctl")}, words...)...)
}

// loaded waits until BIRD answers: it has read its routes then.
func (i *isp) loaded(ctx context.Context) error {
	return await(ctx, 3*time.Minute, i.name+" has read its routes", func() (bool, error) {
		if ended(i.process) {
			return false, fmt.Errorf("%s has ended", i.name)
		}
		if _, err := os.Stat(i.file("ctl")); err != nil {
			return false, nil
		}
		out, err := i.ask(ctx, "show", "status")
		return err == nil && strings.Contains(out, "up and running"), nil
	})
}

// enable lets the session come up; disable ends it.
func (i *isp) enable(ctx context.Context) error {
	_, err := i.ask(ctx, "enable", "peer")
	return err
}

func (i *isp) disable(ctx context.Context) error {
	_, err := i.ask(ctx, "disable", "peer")
	return err
}

// pollEvery is how often is looked whether something has come about: seldom enough
// to cost those that are measured nothing.
const pollEvery = 100 * time.Millisecond

// await polls until done says so.
func await(ctx context.Context, patience time.Duration, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %s", patience, what)
		}
	}
}
