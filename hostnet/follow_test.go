package hostnet

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vrouter/internal/nstest"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

// patience is for what takes milliseconds on an idle machine.
const patience = 20 * time.Second

// replica is what somebody knows who is told by a Follower.
type replica struct {
	mu      sync.Mutex
	devices []Device
	routes  map[string]string // by prefix and metric: next hops
	status  Status
	slow    time.Duration // for each batch
	most    int           // changes at once
}

func (r *replica) Devices(list []Device) []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.devices = slices.Clone(list)
	return nil
}

func (r *replica) Routes(changes []Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.most = max(r.most, len(changes))
	for _, c := range changes {
		key := fmt.Sprint(c.Prefix, " ", c.Metric)
		if delete(r.routes, key); c.Gone {
			continue
		}
		var hops []string
		for _, h := range c.Hops {
			d := find(r.devices, h.Device)
			if d == nil {
				hops = append(hops, "by an unknown device")
				continue
			}
			hops = append(hops, strings.TrimPrefix(h.Via.String(), "invalid IP")+"@"+d.Name)
		}
		slices.Sort(hops)
		r.routes[key] = [...]string{"", "blackhole", "unreachable"}[c.Type] + strings.Join(hops, " ")
	}
	time.Sleep(r.slow)
}

func (r *replica) Status(s Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = s
}

func (r *replica) now() (routes map[string]string, s Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.routes), r.status
}

// follow runs a Follower of a namespace's main table.
func follow(t *testing.T, ns *nstest.NS, cfg Config) *replica {
	t.Helper()
	r := &replica{routes: map[string]string{}}
	cfg.Table = 254
	var f *Follower
	err := ns.Do(func() (err error) {
		f, err = New(cfg, r)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run()
	}()
	t.Cleanup(func() {
		f.Stop()
		<-done
		f.Close()
	})
	return r
}

// ip runs iproute2 in a namespace.
func ip(ns *nstest.NS, input string, words ...string) ([]byte, error) {
	cmd := exec.Command("ip", words...)
	cmd.Stdin = strings.NewReader(input)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := ns.Do(cmd.Run)
	if err != nil {
		err = fmt.Errorf("ip %s: %w: %s", strings.Join(words, " "), err, out.String())
	}
	return []byte(out.String()), err
}

// must runs commands of iproute2 that cannot fail, one a line.
func must(t *testing.T, ns *nstest.NS, lines string) {
	t.Helper()
	if _, err := ip(ns, lines, "-batch", "-"); err != nil {
		t.Fatal(err)
	}
}

// kernelRoutes is what iproute2 says that the kernel has.
func kernelRoutes(t *testing.T, ns *nstest.NS) map[string]string {
	t.Helper()
	routes := map[string]string{}
	for family, zero := range map[string]string{"-4": "0.0.0.0/0", "-6": "::/0"} {
		out, err := ip(ns, "", "-j", "-N", family, "route", "show", "table", "254")
		if err != nil {
			t.Fatal(err)
		}
		type hop struct {
			Gateway, Dev string
			Via          struct{ Host string }
		}
		var list []struct {
			hop
			Type, Dst string
			Metric    int
			Nexthops  []hop
		}
		if err := json.Unmarshal(out, &list); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		for _, r := range list {
			prefix := r.Dst
			switch {
			case prefix == "default":
				prefix = zero
			case !strings.Contains(prefix, "/"):
				a := netip.MustParseAddr(prefix)
				prefix = netip.PrefixFrom(a, a.BitLen()).String()
			}
			if strings.HasPrefix(prefix, "fe80:") {
				continue
			}
			if r.Nexthops == nil {
				r.Nexthops = []hop{r.hop}
			}
			var hops []string
			for _, h := range r.Nexthops {
				hops = append(hops, h.Gateway+h.Via.Host+"@"+h.Dev)
			}
			slices.Sort(hops)
			text := strings.Join(hops, " ")
			switch r.Type {
			case "6", "blackhole":
				text = "blackhole"
			case "7", "8", "unreachable", "prohibit":
				text = "unreachable"
			}
			key := fmt.Sprint(prefix, " ", r.Metric)
			if _, twice := routes[key]; !twice {
				routes[key] = text
			}
		}
	}
	return routes
}

// agree waits until the replica is what the kernel has.
func agree(t *testing.T, ns *nstest.NS, r *replica, after string) {
	t.Helper()
	var got, want map[string]string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		want = kernelRoutes(t, ns)
		got, _ = r.now()
		if _, s := r.now(); maps.Equal(got, want) && s.Synced && s.Problem == "" {
			return
		}
	}
	_, s := r.now()
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %q, the kernel has %q", k, got[k], v)
		}
	}
	for k, v := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("%s: %q, the kernel has none", k, v)
		}
	}
	t.Fatalf("after %s; %+v", after, s)
}

const twoLinks = `
link add eth1 address 02:00:00:00:00:01 type veth peer name far1
link set far1 up
link add eth2 address 02:00:00:00:00:02 type veth peer name far2
link set far2 up
link set eth1 up
link set eth2 up
addr add 192.0.2.2/24 dev eth1
addr add 2001:db8:1::2/64 dev eth1 nodad
addr add 203.0.113.2/24 dev eth2
addr add 2001:db8:2::2/64 dev eth2 nodad
`

func TestTheKernelIsFollowed(t *testing.T) {
	t.Parallel()
	ns := nstest.New(t)
	must(t, ns, twoLinks+`
route add default via 192.0.2.1
route add 198.51.100.0/24 via 203.0.113.1 metric 20
`)
	r := follow(t, ns, Config{})
	for _, step := range []struct{ name, commands string }{
		{"the start", ""},
		{"a change of what was there", "route replace default via 203.0.113.1\n"},
		{"multipath", "route add 10.1.0.0/16 nexthop via 192.0.2.1 nexthop via 203.0.113.1\n"},
		{"multipath of IPv6", "route add 2001:db8:a::/48 nexthop via 2001:db8:1::1 nexthop via 2001:db8:2::1\n"},
		{"a next hop that leaves IPv6's multipath", "route del 2001:db8:a::/48 via 2001:db8:1::1\n"},
		{"one that comes to it", "route append 2001:db8:a::/48 via 2001:db8:1::9\n"},
		{"dead ends", "route add blackhole 10.2.0.0/16\nroute add unreachable 2001:db8:b::/48\nroute add prohibit 10.3.0.0/16\n"},
		{"a link route", "route add 10.4.0.0/16 dev eth1\n"},
		{"an IPv4 route by an IPv6 next hop", "route add 10.5.0.0/16 via inet6 2001:db8:1::7 dev eth1\n"},
		{"an address with a peer", "addr add 10.6.0.1 peer 10.6.0.2/32 dev eth1\n"},
		{"several of one key", "route append 10.1.0.0/16 via 192.0.2.77\nroute prepend 10.2.0.0/16 via 192.0.2.78\n"},
		{"the first of them gone", "route del 10.1.0.0/16 nexthop via 192.0.2.1 nexthop via 203.0.113.1\n"},
		{"a device that goes down", "link set eth2 down\n"},
		{"and comes up", "link set eth2 up\nroute add 10.7.0.0/16 via 203.0.113.1\n"},
		{"an address that goes", "addr del 203.0.113.2/24 dev eth2\n"},
		{"a device that goes", "link del eth1\n"},
	} {
		must(t, ns, step.commands)
		agree(t, ns, r, step.name)
	}
}

// The kernel removes IPv4 routes by a device that is set down, and says nothing;
// without IPv6 no address tells of it either.
func TestRoutesThatGoInSilence(t *testing.T) {
	t.Parallel()
	ns := nstest.New(t)
	ns.Sysctl(t, "net/ipv6/conf/default/disable_ipv6", "1")
	ns.Sysctl(t, "net/ipv6/conf/all/disable_ipv6", "1")
	must(t, ns, `
link add eth1 type veth peer name far1
link set far1 up
link set eth1 up
addr add 192.0.2.2/24 dev eth1
route add 198.51.100.0/24 via 192.0.2.1
`)
	r := follow(t, ns, Config{})
	agree(t, ns, r, "the start")
	must(t, ns, "link set eth1 down\n")
	agree(t, ns, r, "the device down")
	must(t, ns, "link set eth1 up\n")
	agree(t, ns, r, "the device up")
}

// Next-hop objects (ip-nexthop(8)), as FRR uses them: an object that changes or
// goes takes its routes with it.
func TestRoutesByNextHopObjects(t *testing.T) {
	t.Parallel()
	ns := nstest.New(t)
	must(t, ns, twoLinks)
	if _, err := ip(ns, "", "nexthop", "add", "id", "1", "via", "192.0.2.1", "dev", "eth1"); err != nil {
		t.Skip("no next-hop objects: ", err)
	}
	r := follow(t, ns, Config{})
	for _, step := range []struct{ name, commands string }{
		{"a group", "nexthop add id 2 via 203.0.113.1 dev eth2\nnexthop add id 9 group 1/2\nroute add 10.1.0.0/16 nhid 9\nroute add 10.2.0.0/16 nhid 1\n"},
		{"another gateway", "nexthop replace id 1 via 192.0.2.99 dev eth1\n"},
		{"a member gone", "nexthop del id 2\n"},
		{"all gone", "nexthop del id 1\n"},
	} {
		must(t, ns, step.commands)
		agree(t, ns, r, step.name)
	}
}

// A socket of two thousand bytes, and a reader that takes its time: the kernel
// has more to tell than there is room for.
func TestAnOverrunIsFollowedByAnotherLook(t *testing.T) {
	t.Parallel()
	ns := nstest.New(t)
	must(t, ns, twoLinks)
	r := follow(t, ns, Config{Room: 1})
	agree(t, ns, r, "the start")
	r.mu.Lock()
	r.slow = 5 * time.Millisecond
	r.mu.Unlock()
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 5 {
		var b strings.Builder
		for range 2000 {
			fmt.Fprintf(&b, "route replace 10.%d.%d.0/24 via 192.0.2.%d\n", random.IntN(4), random.IntN(256), 10+random.IntN(5))
		}
		must(t, ns, b.String())
		agree(t, ns, r, fmt.Sprint("round ", round))
	}
	must(t, ns, "route flush 10.1.0.0/16 scope global\nroute flush root 10.2.0.0/16\n")
	agree(t, ns, r, "a flush")
	_, s := r.now()
	if s.Overruns == 0 || s.Looks < 2 {
		t.Fatalf("%+v: there was no overrun", s)
	}
	if r.most > BatchMax {
		t.Fatalf("%d changes at once", r.most)
	}
	t.Logf("%+v", s)
}

func TestDevicesAreFollowed(t *testing.T) {
	t.Parallel()
	ns := nstest.New(t)
	must(t, ns, twoLinks)
	r := follow(t, ns, Config{})
	wait := func(what string, holds func(d map[string]Device) bool) {
		t.Helper()
		var have map[string]Device
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			have = map[string]Device{}
			r.mu.Lock()
			for _, d := range r.devices {
				have[d.Name] = d
			}
			r.mu.Unlock()
			if holds(have) {
				return
			}
		}
		t.Fatalf("%s: %+v", what, have)
	}
	has := func(d Device, prefix string) bool {
		return slices.Contains(d.Addresses, Address{Prefix: pfx(prefix)})
	}
	wait("the start", func(d map[string]Device) bool {
		e, lo := d["eth1"], d["lo"]
		return e.Ethernet && e.Kind == "veth" && e.Admin && e.MTU == 1500 && has(e, "192.0.2.2/24") && !lo.Ethernet && has(lo, "127.0.0.1/8")
	})
	must(t, ns, "link set eth1 mtu 1400\naddr add 192.0.2.3/24 dev eth1\naddr add 10.9.9.9/32 dev lo\n")
	wait("MTU and addresses", func(d map[string]Device) bool {
		return d["eth1"].MTU == 1400 && has(d["eth1"], "192.0.2.3/24") && has(d["lo"], "10.9.9.9/32")
	})
	must(t, ns, "link add br0 type bridge\nlink set eth1 master br0\n")
	wait("a bridge and its port", func(d map[string]Device) bool {
		return d["eth1"].Master == d["br0"].Index && d["br0"].Kind == "bridge"
	})
	ns.Sysctl(t, "net/ipv4/conf/eth2/forwarding", "1")
	wait("forwarding of IPv4 by one device", func(d map[string]Device) bool {
		return d["eth2"].Forwards4 && !d["eth1"].Forwards4 && !d["eth2"].Forwards6
	})
	ns.Sysctl(t, "net/ipv6/conf/all/forwarding", "1")
	wait("forwarding of IPv6 by all", func(d map[string]Device) bool { return d["eth1"].Forwards6 && d["eth2"].Forwards6 })
	ns.Sysctl(t, "net/ipv6/conf/all/forwarding", "0")
	ns.Sysctl(t, "net/ipv4/conf/eth2/forwarding", "0")
	wait("no forwarding", func(d map[string]Device) bool { return !d["eth1"].Forwards6 && !d["eth2"].Forwards4 })
	must(t, ns, "link set eth1 nomaster\nlink set eth1 down\nlink set eth1 name lan\n")
	wait("another name", func(d map[string]Device) bool {
		_, old := d["eth1"]
		return !old && d["lan"].Master == 0 && !d["lan"].Admin
	})
	must(t, ns, "link del lan\n")
	wait("gone", func(d map[string]Device) bool {
		_, is := d["lan"]
		return !is
	})
}
