package config

import (
	"net/netip"
	"time"
)

// Bounds of router advertisements (RFC 4861 6.2.1).
const (
	minRAInterval = 4 * time.Second
	maxRAInterval = 30 * time.Minute
	maxRALifetime = 9000 * time.Second
)

// ra checks [interface.ra].
func (c *checker) ra(r *rawRA, itf *iface) *RA {
	if !r.Set {
		return nil
	}
	ra := &RA{Lifetime: r.Lifetime.Value, Managed: r.Managed.Value, Other: r.Other.Value}
	ra.Interval = c.lasting(&r.Interval, minRAInterval, maxRAInterval)
	lifetime := &r.Lifetime
	if lifetime.given() && lifetime.Value != 0 && (lifetime.Value < ra.Interval || lifetime.Value > maxRALifetime) {
		c.add(lifetime.Line, `lifetime %s is out of range; write "0s" for no default router, or from the interval (%s) to "2h30m"`, short(lifetime.Value), short(ra.Interval))
	}
	for i := range r.Prefixes.Value {
		f := &r.Prefixes.Value[i]
		p, ok := c.prefix(f)
		switch {
		case !ok:
		case p.Addr().Is4():
			c.add(f.Line, "prefixes %q is IPv4; router advertisements are of IPv6 alone: remove it", p)
		case itf.certain && !connectedTo(itf, p):
			c.add(f.Line, "prefixes %q is not on interface %q (%s); write one of these", p, itf.Name, prefixes(itf.Addresses))
		default:
			ra.Prefixes = append(ra.Prefixes, p)
		}
	}
	for i := range r.RDNSS.Value {
		f := &r.RDNSS.Value[i]
		a, ok := c.address(f)
		switch {
		case !ok:
		case a.Is4():
			c.add(f.Line, "rdnss %s is IPv4; write the IPv6 address of a DNS server", a)
		default:
			ra.RDNSS = append(ra.RDNSS, a)
		}
	}
	return ra
}

// connectedTo reports whether a prefix is just one of the interface's.
func connectedTo(itf *iface, p netip.Prefix) bool {
	for _, own := range itf.Addresses {
		if own.Masked() == p {
			return true
		}
	}
	return false
}

// advertised checks that each [interface.ra] has somebody to speak for: an IPv6
// virtual router, or an IPv6 address that vrouter owns.
func (c *checker) advertised(raw []rawInterface, all *interfaces, virtual []VRRP) {
	if c.damaged {
		return
	}
	for i := range raw {
		itf, r := all.list[i], &raw[i].RA
		switch {
		case !r.Set || speaksIPv6(itf, virtual):
		case itf.HostAddrs:
			c.add(r.Line, `[interface.ra] has no IPv6 virtual router on %q to advertise, and the addresses are the host's; add a [[vrrp]] of IPv6, or let the host advertise itself (radvd)`, itf.Name)
		case itf.certain:
			c.add(r.Line, `[interface.ra] has no IPv6 address on %q to advertise; add one to its addresses, or a [[vrrp]] of IPv6`, itf.Name)
		}
	}
}

// speaksIPv6 reports whether an interface has an IPv6 router to advertise.
func speaksIPv6(itf *iface, virtual []VRRP) bool {
	for _, p := range itf.Addresses {
		if p.Addr().Is6() {
			return true
		}
	}
	for i := range virtual {
		if virtual[i].Interface == itf.Name && virtual[i].IPv6() {
			return true
		}
	}
	return false
}
