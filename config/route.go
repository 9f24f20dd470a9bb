package config

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
)

// maxNextHops bounds the equal-cost next hops of one route.
const maxNextHops = 64

// routes checks every [[route]].
func (c *checker) routes(raw []rawRoute, all *interfaces, virtual []VRRP) []Route {
	type key struct {
		to     netip.Prefix
		metric int64
	}
	seen := map[key]int{}
	routes := make([]Route, 0, len(raw))
	for i := range raw {
		r := &raw[i]
		required(c, &r.To, `a prefix like to = "0.0.0.0/0"`)
		to, ok := c.destination(&r.To) // zero, where it is wrong
		route := Route{
			To:     to,
			Type:   RouteType(c.oneOf(&r.Type, string(RouteUnicast), string(RouteBlackhole), string(RouteUnreachable))),
			Metric: uint32(c.within(&r.Metric, 0, math.MaxUint32)),
		}
		c.hasVia(r)
		for j := range r.Via.Value {
			hop, good := c.nextHop(&r.Via.Value[j], to, all, virtual)
			if good && slices.Contains(route.Via, hop) {
				c.add(r.Via.Value[j].Line, "via %q is there twice; remove one", r.Via.Value[j].Value)
			} else if good {
				route.Via = append(route.Via, hop)
			}
		}
		if k := (key{to, r.Metric.Value}); ok {
			if line, twice := seen[k]; twice {
				c.add(r.To.Line, `route to %s with metric %d is on line %d too; for equal-cost paths write one route with via = ["...", "..."], else give each its metric`, to, k.metric, line)
			} else {
				seen[k] = r.To.Line
			}
		}
		routes = append(routes, route)
	}
	return routes
}

// destination checks a route's prefix: one that packets can be forwarded to.
func (c *checker) destination(f *text) (netip.Prefix, bool) {
	p, ok := c.prefix(f)
	if !ok {
		return netip.Prefix{}, false
	}
	a := p.Addr()
	wrong := ""
	switch {
	case p.Bits() == 0:
		return p, true
	case a.IsMulticast():
		wrong = "is multicast"
	case a.IsLoopback():
		wrong = "is a loopback prefix"
	case isLinkLocal6(a):
		wrong = "is link-local: it is on every link"
	default:
		return p, true
	}
	f.Bad = true
	c.add(f.Line, "%s %q %s, and never forwarded; remove the route", f.Key, f.Value, wrong)
	return netip.Prefix{}, false
}

// hasVia checks that a route has next hops exactly where its type wants them.
func (c *checker) hasVia(r *rawRoute) {
	n := len(r.Via.Value)
	switch {
	case r.Type.Bad || r.Via.Bad:
	case r.Type.Value == string(RouteUnicast) && !r.Via.Set:
		c.missing(at{"via", r.Line}, `via = ["203.0.113.1"], or type = "blackhole"`)
	case r.Type.Value == string(RouteUnicast) && n == 0:
		c.add(r.Via.Line, `via is empty; write via = ["203.0.113.1"], or type = "blackhole"`)
	case r.Type.Value != string(RouteUnicast) && n > 0:
		c.add(r.Via.Line, "via makes no sense with type = %q; remove one of them", r.Type.Value)
	case n > maxNextHops:
		c.add(r.Via.Line, "via has %d next hops; write at most %d", n, maxNextHops)
	}
}

// nextHop checks "address" or "address%interface" and finds the interface
// that leads there.
func (c *checker) nextHop(f *text, to netip.Prefix, all *interfaces, virtual []VRRP) (NextHop, bool) {
	if f.Bad {
		return NextHop{}, false
	}
	written, zone, zoned := strings.Cut(f.Value, "%")
	bare := text{at: f.at, Value: written, Set: true}
	a, ok := c.address(&bare)
	switch {
	case !ok || c.damaged:
		return NextHop{}, false
	case to.IsValid() && to.Addr().Is6() != a.Is6():
		c.add(f.Line, "via %s and to %q are of two families; write a next hop of the same family", a, to)
		return NextHop{}, false
	}
	if itf, _ := all.connected(a); itf == nil && !zoned && !isLinkLocal6(a) && all.elsewhere(a, to) {
		return NextHop{Address: a}, true
	}
	itf := c.egress(f, a, zone, zoned, all)
	if itf == nil || !c.foreign(f, a, itf, all, virtual) {
		return NextHop{}, false
	}
	return NextHop{Address: a, Interface: itf.Name}, true
}

// egress returns the interface that a next hop is on: the one that is named,
// or the one that has a prefix with the address.
func (c *checker) egress(f *text, a netip.Addr, zone string, zoned bool, all *interfaces) *iface {
	itf, prefix := all.connected(a)
	switch {
	case zoned:
		named := text{at: at{fmt.Sprintf("via %q: interface", f.Value), f.Line}, Value: zone, Set: true}
		itf = all.known(c, &named)
		if itf == nil {
			return nil
		}
		p, inside := itf.prefixOf(a)
		if !inside && itf.certain && !isLinkLocal6(a) {
			c.add(f.Line, "via %s is outside the prefixes of interface %q (%s); write an address of that link", a, itf.Name, prefixes(itf.Addresses))
			return nil
		}
		prefix = p
	case isLinkLocal6(a):
		c.add(f.Line, "via %s is link-local, which is on every link; name the interface: \"%s%%%s\"", a, a, all.example())
		return nil
	case itf == nil:
		c.unreachable(f, a, all)
		return nil
	}
	if prefix.IsValid() && !isLinkLocal6(a) && !c.hostIn(f.at, a, prefix) {
		return nil
	}
	return itf
}

// elsewhere returns a function that says whether other routes than that to a
// prefix may lead to an address: those of the file, but for the default route, which resolves no next hop, or
// others that come while the router runs.
func elsewhere(raw *rawConfig) func(a netip.Addr, to netip.Prefix) bool {
	learned := raw.BGP.Set || raw.Import.KernelTable.Set || raw.Import.Mirror.Value
	return func(a netip.Addr, to netip.Prefix) bool {
		return learned || slices.ContainsFunc(raw.Route, func(r rawRoute) bool {
			p, err := netip.ParsePrefix(r.To.Value)
			return err == nil && p.Bits() > 0 && p != to && p.Contains(a)
		})
	}
}

// unreachable notes a next hop that no interface leads to.
func (c *checker) unreachable(f *text, a netip.Addr, all *interfaces) {
	if !all.uncertain {
		c.add(f.Line, "via %s is in no prefix of an interface; write a router's address on a link of this one, or a [[route]] to it", a)
		return
	}
	for _, itf := range all.list {
		if itf.HostAddrs {
			c.add(f.Line, "via %s is in no prefix that is known here; where the host keeps the addresses, name the interface: \"%s%%%s\"", a, a, itf.Name)
			return
		}
	}
	// Some addresses are wrong, and noted: nothing can be said of this one.
}

// foreign checks that a next hop is another router.
func (c *checker) foreign(f *text, a netip.Addr, itf *iface, all *interfaces, virtual []VRRP) bool {
	own := all.owner(a)
	if isLinkLocal6(a) {
		own = nil
		if itf.owns(a) {
			own = itf
		}
	}
	if own != nil {
		c.add(f.Line, "via %s is an address of interface %q, of this router itself; write another router's", a, own.Name)
		return false
	}
	for i := range virtual {
		if slices.Contains(virtual[i].Addresses, a) && (virtual[i].Interface == itf.Name || !isLinkLocal6(a)) {
			c.add(f.Line, "via %s is a virtual address of %q, of this router itself while it is master; write another router's own address", a, virtual[i].Name)
			return false
		}
	}
	return true
}

// example returns an interface's name for a remedy.
func (all *interfaces) example() string {
	if len(all.list) > 0 && all.list[0].Name != "" {
		return all.list[0].Name
	}
	return "wan"
}

// prefixes returns what is on a link, for messages.
func prefixes(addresses []netip.Prefix) string {
	s := make([]string, len(addresses))
	for i, p := range addresses {
		s[i] = p.Masked().String()
	}
	return strings.Join(s, ", ")
}
