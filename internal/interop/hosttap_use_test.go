package interop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vrouter/internal/netlab"
	"vrouter/packet"
)

// hostTAPs is a router with host TAPs on both devices, and a default route.
func hostTAPs(more string) string {
	text := strings.ReplaceAll(interfaces(numberFirst), "attach =", "host_tap = true\nattach =")
	return text + gateways(150, "200ms") + more
}

// own are the router's own addresses, of both sides.
var own = []string{"192.0.2.2", "2001:db8:1::2", "203.0.113.2", "2001:db8:2::2"}

// The host of a router is reached at the router's own addresses, from the link
// and from beyond, and reaches out.
func TestTheHostUsesTheRoutersAddresses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	v := r.vrouter("r1", hostTAPs(""))
	// As on most hosts: a network for management, with a default route.
	manage, err := r.lab.Switch("br-mgmt")
	must(t, err)
	_, err = manage.Connect(v.host, "mgmt")
	must(t, err)
	must(t, v.host.Address("mgmt", "198.18.0.2/24", "2001:db8:5::2/64"))
	must(t, v.host.Route("0.0.0.0/0", "198.18.0.1", "mgmt"))
	must(t, v.host.Route("::/0", "2001:db8:5::1", "mgmt"))
	must(t, v.host.Sysctl("net/ipv4/conf/all/rp_filter", "1")) // as distributions have it
	v.start()
	v.waitTAP("lan")
	v.waitTAP("wan")
	v.waitMaster()
	for _, address := range own {
		r.echo(v.host, address)
		for _, from := range []*netlab.Host{r.lan, r.up} {
			waitFor(t, patience, from.Name+" talks with the host at "+address, func() error { return talk(from, address) })
			if out, err := r.run(from, "ping", "-c", "2", "-i", "0.2", "-W", "2", "-s", "4000", address); err != nil {
				t.Errorf("ping from %s: %v\n%s", from.Name, err, out)
			}
		}
	}
	// From an address of its own the host goes by the TAP, whatever its default
	// route says.
	r.echo(r.up, target4)
	r.echo(r.up, target6)
	for source, target := range map[string]string{"192.0.2.2": target4, "203.0.113.2": target4, "2001:db8:1::2": target6, "2001:db8:2::2": target6} {
		must(t, talkFrom(v.host, source, target))
	}
	for _, address := range []string{lanHost4, wanHost4, lanHost6, wanHost6} {
		if out, err := r.run(v.host, "ping", "-c", "1", "-W", "5", address); err != nil {
			t.Errorf("the host pings: %v\n%s", err, out)
		}
	}
	t.Run("the router's own ping and checks work beside", func(t *testing.T) {
		for _, address := range []string{lanHost4, target6} {
			if out, err := r.run(v.host, r.binary, "ping", "-n", "2", "-i", "100ms", address, "-s", v.socket); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		}
	})
}

// Where the host has no default route of its own it goes out by the router's,
// and is told at once where there is no way.
func TestTheHostGoesOutByTheRouter(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	v := r.vrouter("r1", hostTAPs("[[check]]\nname = \"web\"\ntcp = \""+target4+":2222\"\ninterval = \"200ms\"\ntimeout = \"150ms\"\n"+
		"[[route]]\nto = \"10.0.0.0/8\"\ntype = \"unreachable\"\n"))
	v.start()
	v.waitTAP("wan")
	v.waitMaster()
	r.echo(r.up, target4)
	r.echo(r.up, target6)
	for _, target := range []string{target4, target6} {
		waitFor(t, patience, "the host reaches "+target, func() error { return talk(v.host, target) })
	}
	out, err := r.run(v.host, "ip", "-4", "route", "get", target4)
	must(t, err)
	if !strings.Contains(out, "dev vr-wan src 203.0.113.2") {
		t.Errorf("the way out is not that of the router's default route: %s", out)
	}
	waitFor(t, patience, "the TCP check is up", func() error {
		out, err := v.show("checks")
		if err == nil && !strings.Contains(string(out), `"up"`) {
			err = errors.New(string(out))
		}
		return err
	})
	for target, want := range map[string]syscall.Errno{
		"10.1.2.3":         syscall.EHOSTUNREACH, // the route says so
		"192.0.2.99":       syscall.EHOSTUNREACH, // nobody has it
		"2001:db8:1::99":   syscall.EHOSTUNREACH,
		"203.0.113.10":     syscall.ECONNREFUSED,
		"[2001:db8:2::10]": syscall.ECONNREFUSED,
	} {
		began := time.Now()
		err := talk(v.host, strings.Trim(target, "[]"))
		if !errors.Is(err, want) {
			t.Errorf("to %s: %v after %v, want %v", target, err, time.Since(began), want)
		}
	}
}

// A link behind the router is smaller than the host's: TCP finds out.
func TestTheHostLearnsThePathMTU(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	text := strings.Replace(hostTAPs(""), "device = \"wan\"", "device = \"wan\"\nmtu = 1400", 1)
	if out, err := r.run(r.up, "ip", "link", "set", "eth0", "mtu", "1400"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	v := r.vrouter("r1", text)
	v.start()
	v.waitTAP("lan")
	v.waitMaster()
	for _, target := range []string{target4, target6} {
		r.echo(r.up, target)
		source := map[string]string{target4: "192.0.2.2", target6: "2001:db8:1::2"}[target]
		must(t, talkFrom(v.host, source, target))
		family := map[string]string{target4: "-4", target6: "-6"}[target]
		out, err := r.run(v.host, "ping", family, "-M", "do", "-c", "3", "-i", "0.2", "-W", "1", "-s", "1420", "-I", source, target)
		if err == nil || !strings.Contains(out, "1400") {
			t.Errorf("ping %s: %v\n%s", target, err, out)
		}
	}
}

// transferred by TCP with the offloads that Linux switches on by itself.
func TestTransfersWithTheHost(t *testing.T) {
	need(t, "iperf3")
	r := newRig(t)
	v := r.vrouter("r1", hostTAPs(""))
	v.start()
	v.waitTAP("lan")
	v.waitMaster()
	size := int64(50 << 20)
	if testing.Short() {
		size = 10 << 20
	}
	for _, address := range own[:2] {
		for _, c := range []struct {
			name     string
			from, to *netlab.Host
			listen   string
		}{
			{"to the host", r.lan, v.host, address},
			{"from the host", v.host, r.lan, map[string]string{own[0]: lanHost4, own[1]: lanHost6}[address]},
		} {
			start := time.Now()
			must(t, transfer(c.from, c.to, c.listen, size))
			t.Logf("%s %s: %d MB in %v", c.name, c.listen, size>>20, time.Since(start).Round(time.Millisecond))
		}
	}
}

// talk sends a line to an echo and waits for it.
func talk(h *netlab.Host, address string) error { return talkFrom(h, "", address) }

func talkFrom(h *netlab.Host, source, address string) error {
	d := net.Dialer{Timeout: 10 * time.Second}
	if source != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(source)}
	}
	var conn net.Conn
	err := h.Do(func() (err error) {
		conn, err = d.Dial("tcp", net.JoinHostPort(address, "2222"))
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	line := strings.Repeat("hello ", 5000) // several segments
	go io.WriteString(conn, line)
	got := make([]byte, len(line))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if string(got) != line {
		return errors.New("the echo is another one")
	}
	return nil
}

// What the kernel says of itself on its TAP stays there: the wire hears the
// router alone.
func TestNothingOfTheKernelIsHeardOnTheWire(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	onLAN, onWAN := r.capture(r.lan), r.capture(r.up)
	v := r.vrouter("r1", hostTAPs(""))
	v.start()
	v.waitTAP("lan")
	v.waitTAP("wan")
	v.waitMaster()
	// Provoke it: groups, an address that is looked for, questions for neighbours
	// by ARP, router solicitations, mDNS.
	must(t, v.host.Do(func() error {
		itf, err := net.InterfaceByName("vr-lan")
		if err != nil {
			return err
		}
		for _, group := range []string{"239.1.2.3", "ff05::1234"} {
			c, err := net.ListenMulticastUDP("udp", itf, &net.UDPAddr{IP: net.ParseIP(group), Port: 5353})
			if err != nil {
				return err
			}
			t.Cleanup(func() { c.Close() })
			_, _ = c.WriteToUDP([]byte("who is there"), &net.UDPAddr{IP: net.ParseIP(group), Port: 5353, Zone: "vr-lan"})
		}
		return nil
	}))
	for _, words := range [][]string{
		{"ip", "link", "set", "vr-lan", "arp", "on"},
		{"ip", "address", "add", "2001:db8:1::77/64", "dev", "vr-lan"},
		{"ip", "link", "set", "vr-wan", "down"},
		{"ip", "link", "set", "vr-wan", "up"},
	} {
		if out, err := r.run(v.host, words...); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	_, _ = r.run(v.host, "ping", "-c", "2", "-W", "1", "192.0.2.99")
	_, _ = r.run(v.host, "ping", "-c", "1", "-W", "1", "169.254.118.114")
	_, _ = r.run(v.host, "ping", "-c", "1", "-W", "1", "fe80::7672%vr-lan")
	_, _ = r.run(v.host, "ping", "-c", "2", "-W", "1", "2001:db8:1::99")
	// What was changed by hand is put right.
	waitFor(t, 2*patience, "the host's addresses are the router's again", func() error {
		out, err := r.run(v.host, "ip", "address", "show", "dev", "vr-lan")
		if err == nil && (strings.Contains(out, "::77") || !strings.Contains(out, "NOARP")) {
			err = errors.New(out)
		}
		return err
	})
	waitFor(t, patience, "the host is reached", func() error {
		_, err := r.run(r.up, "ping", "-c", "1", "-W", "1", "203.0.113.2")
		return err
	})
	v.stop()
	onLAN.stop()
	onWAN.stop()
	for _, c := range []*capture{onLAN, onWAN} {
		for _, f := range c.frames {
			if why := kernelChatter(f); why != "" {
				t.Errorf("%s: % x", why, f[:min(len(f), 90)])
			}
		}
	}
}

// kernelChatter says what in a frame comes from the kernel of the router's host
// and must not be on the wire; empty: nothing.
func kernelChatter(f []byte) string {
	if len(f) < packet.EthernetLen+packet.IPv4Len {
		return ""
	}
	b := f[packet.EthernetLen:]
	switch packet.Ethernet(f).Type() {
	case packet.EtherTypeIPv4:
		dst := netip.AddrFrom4([4]byte(b[16:20]))
		if dst.IsMulticast() && b[9] != packet.ProtoVRRP && b[9] != packet.ProtoIGMP {
			return "multicast to " + dst.String()
		}
		if b[9] == packet.ProtoIGMP && strings.Contains(string(b), "\xef\x01\x02\x03") {
			return "IGMP about 239.1.2.3"
		}
		if src := netip.AddrFrom4([4]byte(b[12:16])); src == netip.MustParseAddr("169.254.118.114") || dst == netip.MustParseAddr("169.254.118.114") {
			return "the gateway that nobody has"
		}
	case packet.EtherTypeIPv6:
		ip, ok := packet.ParseIPv6(b)
		if !ok {
			return ""
		}
		group := netip.MustParseAddr("ff05::1234").As16()
		switch {
		case ip.Dst() == netip.AddrFrom16(group):
			return "multicast to ff05::1234"
		case strings.Contains(string(b), string(group[:])):
			return "MLD about ff05::1234"
		case ip.NextHeader() == packet.ProtoICMPv6 && len(ip) > packet.IPv6Len && ip[packet.IPv6Len] == packet.ICMPv6RouterSolicit && ip.Src() != netip.IPv6Unspecified() && ip.Src().IsLinkLocalUnicast() && fromRouter(f):
			return "router solicitation"
		case strings.Contains(string(b), string(netip.MustParseAddr("2001:db8:1::77").AsSlice())):
			return "an address that is not the router's"
		}
	case packet.EtherTypeARP:
		if strings.Contains(string(b), "\xa9\xfe\x76\x72") {
			return "ARP for the gateway that nobody has"
		}
	}
	return ""
}

// fromRouter reports whether a frame's source is no host's of the lab.
func fromRouter(f []byte) bool {
	src := netip.AddrFrom16([16]byte(f[packet.EthernetLen+8:]))
	return src == netip.MustParseAddr("fe80::2")
}

// A host whose kernel forwards does not do so with what comes by its TAPs.
func TestTheKernelDoesNotForwardBetweenHostTAPs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	v := r.vrouter("r1", hostTAPs(""))
	must(t, v.host.Sysctl("net/ipv4/ip_forward", "1"))
	must(t, v.host.Sysctl("net/ipv6/conf/all/forwarding", "1"))
	v.start()
	v.waitTAP("lan")
	v.waitTAP("wan")
	v.waitMaster()
	// Once more, as an administrator does: this overwrites what devices had.
	must(t, v.host.Sysctl("net/ipv4/ip_forward", "0"))
	must(t, v.host.Sysctl("net/ipv4/ip_forward", "1"))
	must(t, v.host.Sysctl("net/ipv6/conf/all/forwarding", "0"))
	must(t, v.host.Sysctl("net/ipv6/conf/all/forwarding", "1"))
	waitFor(t, patience, "packets pass", r.forwards)
	for _, address := range own {
		r.echo(v.host, address)
		waitFor(t, patience, "the host is reached at "+address, func() error { return talk(r.lan, address) })
	}
	// The router hands over only what is to the TAP's addresses. Take one away:
	// what is still handed in is not for the host.
	if out, err := r.run(v.host, "ip", "address", "del", "203.0.113.2/24", "dev", "vr-wan"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	before := forwarded(r, v)
	for range 3 {
		_, _ = r.run(r.lan, "ping", "-c", "1", "-W", "1", "203.0.113.2")
	}
	if after := forwarded(r, v); after != before {
		t.Errorf("the kernel has forwarded %d packets", after-before)
	}
}

// forwarded returns how many IPv4 packets the kernel has forwarded.
func forwarded(r *rig, v *vrouter) int {
	out, err := r.run(v.host, "cat", "/proc/net/snmp")
	must(r.t, err)
	var fields []string
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "Ip: ") && !strings.Contains(line, "Forwarding") {
			fields = strings.Fields(line)
		}
	}
	if len(fields) < 7 {
		r.t.Fatalf("/proc/net/snmp: %s", out)
	}
	n, err := strconv.Atoi(fields[6]) // ForwDatagrams (RFC 4293 ipForwDatagrams)
	must(r.t, err)
	return n
}

// noTAP reports an error where a host has a device.
func noTAP(r *rig, h *netlab.Host, device string) error {
	if _, err := r.run(h, "ip", "link", "show", "dev", device); err == nil {
		return fmt.Errorf("%s is there", device)
	}
	return nil
}
