package hosttap

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vrouter/dataplane/port/kernel"
)

// setting is a sysctl of the device, as it is to be.
type setting struct {
	family, key, value string
	why                string // what may go wrong without it
}

// settings make the kernel a host on this device that keeps quiet.
var settings = []setting{
	{"ipv4", "forwarding", "0", "the kernel may forward what comes by the TAP"},
	// 2, and not 0: the stricter of this and the setting for all devices counts.
	{"ipv4", "rp_filter", "2", "the kernel may drop packets that come by another interface than the way back leads to"},
	{"ipv4", "accept_redirects", "0", ""},
	{"ipv4", "promote_secondaries", "1", ""},
	{"ipv4", "ignore_routes_with_linkdown", "1", ""}, // another TAP's take over
	{"ipv6", "ignore_routes_with_linkdown", "1", ""},
	{"ipv6", "disable_ipv6", "0", "the kernel has no IPv6 addresses on the TAP"},
	{"ipv6", "forwarding", "0", "the kernel may forward what comes by the TAP"},
	{"ipv6", "accept_ra", "0", ""},
	{"ipv6", "autoconf", "0", ""},
	{"ipv6", "accept_redirects", "0", ""},
	{"ipv6", "accept_dad", "0", ""},
	{"ipv6", "dad_transmits", "0", ""},
	{"ipv6", "router_solicitations", "0", ""},
	{"ipv6", "addr_gen_mode", "1", ""}, // IN6_ADDR_GEN_MODE_NONE
}

// setUp prepares the device before it is up.
func (t *TAP) setUp(index int) error {
	link := byIndex(index)
	if err := t.handle.LinkSetHardwareAddr(link, t.first.MAC[:]); err != nil {
		return fmt.Errorf("set MAC address %s: %w", t.first.MAC, err)
	}
	if err := t.handle.LinkSetARPOff(link); err != nil {
		return fmt.Errorf("switch ARP off: %w", err)
	}
	var refused []string
	for _, s := range settings {
		path := fmt.Sprintf("/proc/sys/net/%s/conf/%s/%s", s.family, t.first.Device, s.key)
		if err := write(path, s.value); err != nil && s.why != "" {
			refused = append(refused, fmt.Sprintf("net.%s.conf.%s.%s=%s (%v): %s", s.family, t.first.Device, s.key, s.value, err, s.why))
		}
	}
	if len(refused) > 0 {
		t.log.Warn("sysctls of the host TAP cannot be set; where /proc/sys is read-only, as in a container without privileges, set them for all devices of its namespace from outside",
			"sysctls", strings.Join(refused, "; "))
	}
	return nil
}

// write sets a sysctl that is not what it is to be; one that does not exist is
// not needed.
func write(path, value string) error {
	is, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && strings.TrimSpace(string(is)) == value {
		return nil
	}
	err = os.WriteFile(path, []byte(value), 0o644)
	var number unix.Errno
	if errors.As(err, &number) {
		return number
	}
	return err
}

// guardTransit keeps the kernel from forwarding what comes by the TAP: the
// setting of the device does not say it all for IPv6, and is overwritten when
// somebody switches forwarding on for all devices.
func (t *TAP) guardTransit() {
	var err error
	if t.guard, err = kernel.ForbidTransitFrom(t.first.Device); err == nil {
		return
	}
	t.guard = nil
	forwards := func(path string) bool {
		is, err := os.ReadFile(path)
		return err == nil && strings.TrimSpace(string(is)) != "0"
	}
	if forwards("/proc/sys/net/ipv4/ip_forward") || forwards("/proc/sys/net/ipv6/conf/all/forwarding") {
		t.log.Warn("the kernel forwards, and cannot be kept from doing so with what comes by the host TAP: load the kernel module nf_tables, or switch its forwarding off",
			"error", err)
	}
}

// addAddress adds an address, in use at once.
func (t *TAP) addAddress(link netlink.Link, p netip.Prefix) error {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	err := t.handle.AddrReplace(link, a)
	if p.Addr().Is6() && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EOPNOTSUPP)) {
		return fmt.Errorf("add address %s: the host's IPv6 is switched off (net.ipv6.conf.all.disable_ipv6, or ipv6.disable=1): switch it on", p)
	}
	if err != nil {
		return fmt.Errorf("add address %s: %w", p, err)
	}
	return nil
}

// prefixOf returns an address of the kernel's with its prefix length.
func prefixOf(a *netlink.Addr) netip.Prefix {
	ip, _ := netip.AddrFromSlice(a.IP)
	ones, _ := a.Mask.Size()
	return netip.PrefixFrom(ip.Unmap(), ones)
}

// ipNet is a prefix as package netlink wants it, not masked.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// hostNet is a single address so.
func hostNet(a netip.Addr) *net.IPNet { return ipNet(netip.PrefixFrom(a, a.BitLen())) }

func byIndex(index int) netlink.Link {
	return &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

// families are the two, with the gateway that stands for the router: an address
// that nobody has and, without ARP on the device, nobody is asked for. Through a
// gateway the kernel keeps one neighbour, and not one for each destination.
var families = []struct {
	number  int
	gateway netip.Addr
	all     netip.Prefix
}{
	{netlink.FAMILY_V4, Gateway4, netip.MustParsePrefix("0.0.0.0/0")},
	{netlink.FAMILY_V6, Gateway6, netip.MustParsePrefix("::/0")},
}

// The addresses that the router has to the host: link-local ones (RFC 3927, RFC
// 4291 2.5.6) that end in the letters "vr".
var (
	Gateway4 = netip.AddrFrom4([4]byte{169, 254, 'v', 'r'})
	Gateway6 = netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 14: 'v', 15: 'r'})
)

// Protocol is the origin of this package's routes and rules in the kernel
// (rtm_protocol): whoever takes over the kernel's routes leaves these out.
const Protocol = 118

// Metrics of routes. The default route's is behind every other, and says to
// FRR's zebra, which reads a kernel route's administrative distance from the
// highest byte, that it is never to be preferred.
const (
	metricNeighbor = 118
	metricDefault  = 0xff000000
)

// tableBase and the number of the device are the table of what the device's own
// addresses send.
const tableBase = 0x76720000

func (t *TAP) table() int { return tableBase | t.index&0xffff }

// setRoutes makes the routes that lead to the TAP beside those to its prefixes,
// which come with the addresses.
func (t *TAP) setRoutes(cfg *Config) error {
	want := t.wantRoutes(cfg)
	var errs []error
	for i := range t.routes {
		if r := &t.routes[i]; !slices.ContainsFunc(want, r.Equal) {
			if err := t.handle.RouteDel(r); err != nil && !errors.Is(err, unix.ESRCH) {
				errs = append(errs, fmt.Errorf("remove route %s: %w", r.Dst, err))
			}
		}
	}
	for i := range want {
		// Not replaced: who follows the kernel's routes would hear of it each time.
		if err := t.handle.RouteAdd(&want[i]); err != nil && !errors.Is(err, unix.EEXIST) {
			errs = append(errs, fmt.Errorf("route to %s: %w", want[i].Dst, err))
		}
	}
	t.routes = want
	return errors.Join(errs...)
}

// wantRoutes lists them.
func (t *TAP) wantRoutes(cfg *Config) (list []netlink.Route) {
	for _, f := range families {
		if !cfg.has(f.all) {
			continue
		}
		via := netlink.Route{
			LinkIndex: t.index, Gw: f.gateway.AsSlice(), Flags: int(netlink.FLAG_ONLINK), Protocol: Protocol, Family: f.number,
		}
		own := via
		own.Dst, own.Table = ipNet(f.all), t.table()
		list = append(list, own)
		if f.number == netlink.FAMILY_V4 && cfg.Default4 || f.number == netlink.FAMILY_V6 && cfg.Default6 {
			rest := via
			rest.Dst, rest.Table, rest.Priority = ipNet(f.all), unix.RT_TABLE_MAIN, metricDefault|t.index&0xffff
			list = append(list, rest)
		}
		for _, r := range cfg.Routes {
			if r.To.Is4() != f.gateway.Is4() {
				continue
			}
			one := via
			one.Dst, one.Table, one.Priority = hostNet(r.To), unix.RT_TABLE_MAIN, metricNeighbor
			if r.From.IsValid() {
				one.Src = r.From.AsSlice()
			}
			list = append(list, one)
		}
	}
	return list
}

// has reports whether there is an address of a family that others than the link
// know.
func (c *Config) has(family netip.Prefix) bool {
	return slices.ContainsFunc(c.Addresses, func(p netip.Prefix) bool {
		return p.Addr().Is4() == family.Addr().Is4() && !p.Addr().IsLinkLocalUnicast()
	})
}
