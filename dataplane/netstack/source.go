package netstack

import (
	"fmt"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// origin is what a packet of the router's own starts with.
type origin struct {
	addr netip.Addr
	nic  tcpip.NICID // 0: that of addr
}

// source chooses the source address for what the router itself sends to dst.
// A given source must be an address of the router; a link-local dst names its
// port as zone, unless only one port could be meant.
func (s *Stack) source(given, dst netip.Addr) (origin, error) {
	v := s.view.Load()
	if dst.IsLinkLocalUnicast() && dst.Is6() || dst.IsMulticast() {
		return v.linkSource(given, dst)
	}
	if _, own := v.owner[dst]; own && !given.IsValid() {
		return origin{addr: dst}, nil
	}
	if given.IsValid() {
		if _, own := v.owner[given]; !own || given.Is4() != dst.Is4() {
			return origin{}, fmt.Errorf("source %s is not an address of this router that reaches %s", given, dst)
		}
		return origin{addr: given}, nil
	}
	if s.cfg.Egress != nil {
		port, ok := s.cfg.Egress(dst)
		if !ok {
			return origin{}, fmt.Errorf("no route to %s", dst)
		}
		if a, ok := v.best(dst, func(a Address) bool { return a.Port == port }); ok {
			return origin{addr: a}, nil
		}
	}
	if a, ok := v.best(dst, func(Address) bool { return true }); ok {
		return origin{addr: a}, nil
	}
	return origin{}, fmt.Errorf("no source address to reach %s", dst)
}

// linkSource chooses for a destination that has a meaning on one link only.
func (v *view) linkSource(given, dst netip.Addr) (origin, error) {
	port, ok := v.names[dst.Zone()]
	if dst.Zone() == "" && len(v.links) == 1 {
		for port = range v.links {
			ok = true
		}
	}
	if !ok {
		return origin{}, fmt.Errorf("%s: the port is unknown; name it as in fe80::1%%lan", dst)
	}
	if given.IsValid() {
		if !v.local[hostAddress(port, given.WithZone(""))] {
			return origin{}, fmt.Errorf("source %s is not an address of port %s", given, dst.Zone())
		}
		return origin{given.WithZone(""), nicID(port)}, nil
	}
	for _, a := range v.addrs {
		addr := a.Prefix.Addr()
		if a.Port == port && addr.Is4() == dst.Is4() && (addr.Is4() || addr.IsLinkLocalUnicast()) {
			return origin{addr, nicID(port)}, nil
		}
	}
	return origin{}, fmt.Errorf("no source address to reach %s", dst)
}

// best returns the address of dst's family with the longest prefix that
// contains dst, or else the first, among those that fit.
func (v *view) best(dst netip.Addr, fits func(Address) bool) (netip.Addr, bool) {
	var found netip.Addr
	bits := -1
	for _, a := range v.addrs {
		addr := a.Prefix.Addr()
		if addr.Is4() != dst.Is4() || addr.Is6() && addr.IsLinkLocalUnicast() || !fits(a) {
			continue
		}
		if !found.IsValid() {
			found = addr
		}
		if a.Prefix.Bits() > bits && a.Prefix.Masked().Contains(dst) {
			found, bits = addr, a.Prefix.Bits()
		}
	}
	return found, found.IsValid()
}
