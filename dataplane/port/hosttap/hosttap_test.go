package hosttap

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vrouter/dataplane/port"
	"vrouter/internal/nstest"
	"vrouter/packet"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

var mac = packet.MAC{2, 0, 0, 0, 1, 1}

// wan is what the kernel gets of an interface.
func wan() Config {
	return Config{
		Device: "vr-wan", MAC: mac, MTU: 1500, Carrier: true,
		Addresses: []netip.Prefix{
			netip.MustParsePrefix("203.0.113.2/24"), netip.MustParsePrefix("2001:db8:2::2/64"),
			netip.PrefixFrom(mac.LinkLocal(), 64),
		},
	}
}

// open opens a TAP in a namespace.
func open(t *testing.T, ns *nstest.NS, cfg Config) *TAP {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("/dev/net/tun: %v", err)
	}
	unix.Close(fd)
	var tap *TAP
	err = ns.Do(func() (err error) {
		tap, err = Open(cfg, slog.New(slog.DiscardHandler))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	set(t, ns, tap, cfg)
	return tap
}

func set(t *testing.T, ns *nstest.NS, tap *TAP, cfg Config) {
	t.Helper()
	if err := ns.Do(func() error { return tap.Set(cfg) }); err != nil {
		t.Fatal(err)
	}
}

func closeTAP(t *testing.T, ns *nstest.NS, tap *TAP) {
	t.Helper()
	_ = ns.Do(func() error {
		tap.Close()
		return nil
	})
}

// ip runs ip(8), the oracle of what the kernel has.
func ip(t *testing.T, ns *nstest.NS, words ...string) string {
	t.Helper()
	out, err := output(ns, append([]string{"ip"}, words...)...)
	if err != nil {
		t.Fatalf("ip %v: %v\n%s", words, err, out)
	}
	return out
}

func output(ns *nstest.NS, words ...string) (string, error) {
	if _, err := exec.LookPath(words[0]); err != nil {
		return "", err
	}
	var out strings.Builder
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := ns.Do(cmd.Run)
	return out.String(), err
}

func need(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("ip is not installed")
	}
}

// wants reports which texts are missing in another.
func wants(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s: no %q in\n%s", what, p, text)
		}
	}
}

func lacks(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if strings.Contains(text, p) {
			t.Errorf("%s: %q in\n%s", what, p, text)
		}
	}
}

func TestTheKernelHasTheAddressesOnADeviceWithoutARP(t *testing.T) {
	need(t)
	ns := nstest.New(t)
	tap := open(t, ns, wan())
	defer closeTAP(t, ns, tap)
	out := ip(t, ns, "address", "show", "dev", "vr-wan")
	wants(t, "addresses", out, "203.0.113.2/24", "2001:db8:2::2/64", "fe80::ff:fe00:101/64", "NOARP", "mtu 1500", mac.String(), "LOWER_UP")
	lacks(t, "addresses", out, "tentative", "dadfailed")
	for _, s := range settings {
		out, err := output(ns, "cat", fmt.Sprintf("/proc/sys/net/%s/conf/vr-wan/%s", s.family, s.key))
		if err == nil && strings.TrimSpace(out) != s.value {
			t.Errorf("%s.%s is %s, want %s", s.family, s.key, strings.TrimSpace(out), s.value)
		}
	}
}

// Rules and routes: what the addresses send, the last of all default routes,
// neighbours beyond the link.
func TestTheHostSendsByTheTAP(t *testing.T) {
	need(t)
	ns := nstest.New(t)
	cfg := wan()
	cfg.Default4, cfg.Default6 = true, true
	cfg.Routes = []Route{{To: netip.MustParseAddr("198.51.100.9"), From: netip.MustParseAddr("203.0.113.2")}, {To: netip.MustParseAddr("2001:db8:9::9")}}
	tap := open(t, ns, cfg)
	nstest.Veth(t, ns, "mgmt", nstest.New(t), "eth0")
	ns.Addr(t, "mgmt", "198.18.0.2/24")
	get := func(words ...string) string { return ip(t, ns, append([]string{"route", "get"}, words...)...) }
	wants(t, "without another default route", get("192.0.2.99"), "via 169.254.118.114 dev vr-wan", "src 203.0.113.2")
	wants(t, "IPv6", get("2001:db8:7::1"), "via fe80::7672 dev vr-wan")
	wants(t, "on the link", get("203.0.113.7"), "203.0.113.7 dev vr-wan")
	ns.Route(t, "0.0.0.0/0", "198.18.0.1")
	wants(t, "the host's own default route", get("192.0.2.99"), "via 198.18.0.1 dev mgmt")
	wants(t, "from the address", get("192.0.2.99", "from", "203.0.113.2"), "via 169.254.118.114 dev vr-wan")
	wants(t, "from the address to a network of the host's", get("198.18.0.7", "from", "203.0.113.2"), "dev mgmt")
	wants(t, "a neighbour beyond the link", get("198.51.100.9"), "dev vr-wan src 203.0.113.2")
	wants(t, "an IPv6 one", get("2001:db8:9::9"), "dev vr-wan")

	// Less is wanted.
	cfg.Default4, cfg.Routes = false, nil
	cfg.Addresses = cfg.Addresses[:1]
	set(t, ns, tap, cfg)
	all := ip(t, ns, "route", "show", "table", "all") + ip(t, ns, "-6", "route", "show", "table", "all")
	lacks(t, "routes", all, "198.51.100.9", "2001:db8:9::9", "2001:db8:2::", "metric 4278190")
	lacks(t, "rules", ip(t, ns, "-6", "rule"), "2001:db8:2::2")
	wants(t, "rules", ip(t, ns, "rule"), "30000:\tfrom 203.0.113.2", "30001:\tfrom 203.0.113.2")

	closeTAP(t, ns, tap)
	lacks(t, "rules after the end", ip(t, ns, "rule")+ip(t, ns, "-6", "rule"), "3000")
	lacks(t, "devices after the end", ip(t, ns, "link"), "vr-wan")
}

// What others change is put right; what a process before has left is removed.
func TestSetPutsRightWhatOthersHaveChanged(t *testing.T) {
	need(t)
	ns := nstest.New(t)
	ip(t, ns, "rule", "add", "from", "203.0.113.2", "lookup", "12345", "priority", "30001", "protocol", "118")
	ip(t, ns, "rule", "add", "from", "198.51.100.77", "lookup", "main", "suppress_prefixlength", "0", "priority", "30000", "protocol", "118")
	ip(t, ns, "rule", "add", "from", "192.0.2.77", "lookup", "99", "priority", "30001")
	tap := open(t, ns, wan())
	defer closeTAP(t, ns, tap)
	rules := ip(t, ns, "rule")
	lacks(t, "rules of a process before", rules, "12345", "198.51.100.77")
	wants(t, "rules of others", rules, "192.0.2.77")
	for _, words := range [][]string{
		{"address", "flush", "dev", "vr-wan"},
		{"address", "add", "203.0.113.77/24", "dev", "vr-wan"},
		{"link", "set", "vr-wan", "mtu", "1300", "arp", "on", "address", "02:00:00:00:00:99"},
		{"route", "flush", "table", fmt.Sprint(tap.table())},
		{"rule", "del", "priority", "30001", "from", "203.0.113.2"},
		{"link", "set", "vr-wan", "down"},
	} {
		ip(t, ns, words...)
	}
	set(t, ns, tap, wan())
	out := ip(t, ns, "address", "show", "dev", "vr-wan")
	wants(t, "addresses", out, "203.0.113.2/24", "2001:db8:2::2/64", "fe80::ff:fe00:101/64", "NOARP", "mtu 1500", mac.String(), "LOWER_UP")
	lacks(t, "addresses", out, "203.0.113.77")
	wants(t, "the way out", ip(t, ns, "route", "get", "192.0.2.99", "from", "203.0.113.2"), "dev vr-wan")
}

// Where everything is as it is to be nothing is said to those who follow the
// kernel.
func TestAReviewIsSilent(t *testing.T) {
	need(t)
	ns := nstest.New(t)
	cfg := wan()
	cfg.Default4, cfg.Default6 = true, true
	cfg.Routes = []Route{{To: netip.MustParseAddr("198.51.100.9")}}
	tap := open(t, ns, cfg)
	defer closeTAP(t, ns, tap)
	time.Sleep(100 * time.Millisecond) // what the kernel says of the device is said
	var fd int
	err := ns.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR |
			unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE | 1<<(unix.RTNLGRP_IPV4_RULE-1) | 1<<(unix.RTNLGRP_IPV6_RULE-1)})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for range 3 {
		set(t, ns, tap, cfg)
	}
	heard := make([]byte, 1<<16)
	if n, _, err := unix.Recvfrom(fd, heard, 0); err == nil {
		t.Errorf("the kernel tells of a change: % x", heard[:n])
	}
}

// A container whose /proc/sys is read-only has its TAP all the same, and is told
// what to set.
func TestSysctlsThatCannotBeSetAreTold(t *testing.T) {
	need(t)
	ns := nstest.New(t)
	var log strings.Builder
	var tap *TAP
	err := ns.Do(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil { // of this thread, which ends with the function
			return err
		}
		if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		if err := unix.Mount("/proc/sys", "/proc/sys", "", unix.MS_BIND, ""); err != nil {
			return err
		}
		if err := unix.Mount("", "/proc/sys", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return err
		}
		var err error
		if tap, err = Open(wan(), slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			return err
		}
		return tap.Set(wan())
	})
	if tap == nil {
		t.Skip(err)
	}
	defer closeTAP(t, ns, tap)
	if err != nil {
		t.Fatal(err)
	}
	wants(t, "log", log.String(), "net.ipv4.conf.vr-wan.rp_filter=2 (read-only file system)", "from outside")
	wants(t, "addresses", ip(t, ns, "address", "show", "dev", "vr-wan"), "203.0.113.2/24", "2001:db8:2::2/64")
}

// A device that somebody deletes is made again, and has another number.
func TestADeletedTAPComesBack(t *testing.T) {
	need(t)
	ns := nstest.New(t)
	tap := open(t, ns, wan())
	defer closeTAP(t, ns, tap)
	first := tap.Index()
	for len(tap.Changed()) > 0 {
		<-tap.Changed()
	}
	ip(t, ns, "link", "del", "vr-wan")
	for end := time.Now().Add(10 * time.Second); tap.Index() == first || tap.Index() == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("there is no other device")
		}
	}
	set(t, ns, tap, wan())
	wants(t, "addresses", ip(t, ns, "address", "show", "dev", "vr-wan"), "203.0.113.2/24", "2001:db8:2::2/64")
}

func TestTheKernelSeesThatTheLinkIsDown(t *testing.T) {
	need(t)
	ns := nstest.New(t)
	cfg := wan()
	cfg.Carrier = false
	tap := open(t, ns, cfg)
	defer closeTAP(t, ns, tap)
	wants(t, "without a link", ip(t, ns, "link", "show", "vr-wan"), "NO-CARRIER")
	set(t, ns, tap, wan())
	lacks(t, "with a link", ip(t, ns, "link", "show", "vr-wan"), "NO-CARRIER")
}

func TestAnAddressOfAnotherDeviceIsAnError(t *testing.T) {
	need(t)
	ns := nstest.New(t)
	nstest.Veth(t, ns, "eth7", nstest.New(t), "eth0")
	ns.Addr(t, "eth7", "203.0.113.2/24")
	ns.Addr(t, "lo", "2001:db8:2::2/128") // it leads nobody astray
	tap := open(t, ns, Config{Device: "vr-wan", MAC: mac, MTU: 1500, Carrier: true})
	defer closeTAP(t, ns, tap)
	err := ns.Do(func() error { return tap.Set(wan()) })
	if err == nil || !strings.Contains(err.Error(), "ip address del 203.0.113.2/24 dev eth7") {
		t.Errorf("error %v", err)
	}
	ip(t, ns, "address", "del", "203.0.113.2/24", "dev", "eth7")
	set(t, ns, tap, wan())
}

// IPv6 is switched off, and cannot be switched on: IPv4 works all the same.
func TestWithoutIPv6TheRestIsThere(t *testing.T) {
	need(t)
	ns := nstest.New(t)
	tap := open(t, ns, wan())
	defer closeTAP(t, ns, tap)
	ns.Sysctl(t, "net/ipv6/conf/vr-wan/disable_ipv6", "1")
	err := ns.Do(func() error { return tap.Set(wan()) })
	if err == nil || !strings.Contains(err.Error(), "disable_ipv6") {
		t.Errorf("error %v", err)
	}
	for a, want := range map[string]bool{"203.0.113.2": true, "2001:db8:2::2": false} {
		if got := tap.Has(netip.MustParseAddr(a)); got != want {
			t.Errorf("has %s: %v", a, got)
		}
	}
	wants(t, "the way out", ip(t, ns, "route", "get", "192.0.2.99", "from", "203.0.113.2"), "dev vr-wan")
	ns.Sysctl(t, "net/ipv6/conf/vr-wan/disable_ipv6", "0")
	set(t, ns, tap, wan())
	if !tap.Has(netip.MustParseAddr("2001:db8:2::2")) {
		t.Error("the IPv6 address is not there")
	}
}

func TestADeviceOfAnotherKindIsAnError(t *testing.T) {
	need(t)
	ns := nstest.New(t)
	nstest.Veth(t, ns, "vr-wan", nstest.New(t), "eth0")
	err := ns.Do(func() error {
		_, err := Open(wan(), slog.New(slog.DiscardHandler))
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "ip link del vr-wan") {
		t.Errorf("error %v", err)
	}
}

// The kernel's own packets come at once, whoever they are to; nothing is asked
// for, and what is handed in reaches a socket.
func TestPacketsGoBothWays(t *testing.T) {
	ns := nstest.New(t)
	cfg := wan()
	cfg.Default4 = true
	tap := open(t, ns, cfg)
	defer closeTAP(t, ns, tap)
	var conn *net.UDPConn
	err := ns.Do(func() (err error) {
		if conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(203, 0, 113, 2), Port: 4000}); err != nil {
			return err
		}
		_, err = conn.WriteToUDP([]byte("hello"), &net.UDPAddr{IP: net.IPv4(192, 0, 2, 99), Port: 5000})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	f := receive(t, tap, func(b packet.IPv4) bool { return b.Protocol() == packet.ProtoUDP })
	ip, _ := packet.ParseIPv4(f[packet.EthernetLen:])
	if packet.Ethernet(f).Type() != packet.EtherTypeIPv4 || ip.Dst() != netip.MustParseAddr("192.0.2.99") || ip.Src() != netip.MustParseAddr("203.0.113.2") {
		t.Fatalf("got % x", f)
	}
	// The answer, from somewhere that the kernel has no route to but the last.
	answer := make([]byte, packet.EthernetLen+packet.IPv4Len+8+3)
	packet.PutEthernet(answer, mac, packet.MAC{2, 0, 0, 0, 0, 9}, packet.EtherTypeIPv4)
	h := packet.IPv4Header{TTL: 64, Protocol: packet.ProtoUDP, Src: ip.Dst(), Dst: ip.Src()}
	h.Put(answer[packet.EthernetLen:], 11)
	copy(answer[packet.EthernetLen+packet.IPv4Len:], []byte{5000 >> 8, 5000 & 255, 4000 >> 8, 4000 & 255, 0, 11, 0, 0, 'y', 'e', 's'})
	if tap.Transmitter().Transmit([]*packet.Frame{{Data: answer}}) != 1 {
		t.Fatal("the TAP does not take a packet")
	}
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	got := make([]byte, 100)
	n, from, err := conn.ReadFromUDP(got)
	if err != nil || string(got[:n]) != "yes" || from.Port != 5000 {
		t.Errorf("got %q from %v: %v", got[:n], from, err)
	}
}

// receive returns the first IPv4 frame of the kernel's that fits. Anything but
// IP and what IPv6 says of itself when it starts is an error.
func receive(t *testing.T, tap *TAP, fits func(packet.IPv4) bool) []byte {
	t.Helper()
	batch := make([]packet.Frame, port.BatchMax)
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		n, err := tap.Receiver().Receive(batch)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range batch[:n] {
			if kind := packet.Ethernet(f.Data).Type(); kind != packet.EtherTypeIPv4 && kind != packet.EtherTypeIPv6 {
				t.Errorf("EtherType %#x: % x", kind, f.Data)
			}
			if ip, ok := packet.ParseIPv4(f.Data[packet.EthernetLen:]); ok && fits(ip) {
				return append([]byte(nil), f.Data...)
			}
		}
	}
	t.Fatal("the kernel has sent no such packet")
	return nil
}

// A kernel that forwards does not do so with what comes by the TAP, also after
// somebody has switched forwarding on for all devices.
func TestTheKernelForwardsNothingOfTheTAP(t *testing.T) {
	ns, far := nstest.New(t), nstest.New(t)
	nstest.Veth(t, ns, "eth0", far, "eth0")
	ns.Addr(t, "eth0", "192.0.2.1/24", "2001:db8:1::1/64")
	far.Addr(t, "eth0", "192.0.2.99/24", "2001:db8:1::99/64")
	tap := open(t, ns, wan())
	defer closeTAP(t, ns, tap)
	if tap.guard == nil {
		t.Skip("no nf_tables")
	}
	ns.Sysctl(t, "net/ipv4/ip_forward", "1")
	ns.Sysctl(t, "net/ipv6/conf/all/forwarding", "1")
	link := func() (n uint64) {
		err := ns.Do(func() error {
			l, err := netlink.LinkByName("eth0")
			if err == nil {
				n = l.Attrs().Statistics.TxBytes
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	// The far host is known, so that a packet would leave at once.
	for _, target := range []string{"192.0.2.99", "2001:db8:1::99"} {
		if out, err := output(ns, "ping", "-c", "1", "-W", "5", target); err != nil {
			t.Skipf("ping: %v\n%s", err, out)
		}
	}
	const size = 1000
	four := make([]byte, packet.EthernetLen+packet.IPv4Len+size)
	packet.PutEthernet(four, mac, packet.MAC{2, 0, 0, 0, 0, 9}, packet.EtherTypeIPv4)
	h4 := packet.IPv4Header{TTL: 64, Protocol: packet.ProtoUDP, Src: netip.MustParseAddr("203.0.113.9"), Dst: netip.MustParseAddr("192.0.2.99")}
	h4.Put(four[packet.EthernetLen:], size)
	six := make([]byte, packet.EthernetLen+packet.IPv6Len+size)
	packet.PutEthernet(six, mac, packet.MAC{2, 0, 0, 0, 0, 9}, packet.EtherTypeIPv6)
	h6 := packet.IPv6Header{HopLimit: 64, NextHeader: packet.ProtoUDP, Src: netip.MustParseAddr("2001:db8:2::9"), Dst: netip.MustParseAddr("2001:db8:1::99")}
	h6.Put(six[packet.EthernetLen:], size)
	before := link()
	const packets = 50
	for range packets {
		tap.Transmitter().Transmit([]*packet.Frame{{Data: four}, {Data: six}})
	}
	time.Sleep(200 * time.Millisecond)
	if sent := link() - before; sent > packets*size/2 {
		t.Errorf("the kernel has sent %d bytes", sent)
	}
}
