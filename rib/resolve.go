package rib

import (
	"net/netip"
	"slices"

	"vrouter/dataplane/fib"
)

// Next hops that are on no link of the router are reached by a route to them
// (RFC 4271 5.1.3, 9.1.2.1), where the Via is Recursive: its group has the next hops of that
// route, in the end neighbours. What holds:
//
//   - The route is the longest match for the Via, whatever its source, that leads
//     to neighbours; one that ends in a blackhole or at the host leads nowhere.
//   - The default route resolves nothing: a next hop that has lost its own route
//     is lost, and does not seem to be wherever the rest of the world is.
//   - A route is no way to itself, by whatever others: in a circle the next less
//     specific route is taken.
//
// So the next hops of a Via depend on nothing but the candidates, ports and
// addresses of the moment, never on the order in which they came.
const (
	// levelsMax bounds how many routes one Via is resolved by, one after another.
	levelsMax = 8
	// stepsMax bounds the routes that are looked at for one Via.
	stepsMax = 256
)

// search is the resolution of one Via.
type search struct {
	t      *Table
	passed []netip.Prefix // the routes on the way
	steps  int
	hops   []fib.NextHop
}

// hopsOf returns the neighbours that a Via leads to; none where it cannot be
// used. recursive says that a route was needed, or is missing.
func (t *Table) hopsOf(v Via) (hops []fib.NextHop, recursive bool) {
	if t.noVia[v.Addr] || t.silent[v.From] {
		return nil, false
	}
	if port, direct := t.portOf(v); direct {
		return []fib.NextHop{t.hop(port, v.Addr)}, false
	}
	if !v.Recursive || v.HasPort {
		return nil, false
	}
	s := search{t: t}
	s.resolve(v.Addr)
	return s.hops, true
}

// hop returns the next hop to a neighbour.
func (t *Table) hop(port uint16, addr netip.Addr) fib.NextHop {
	mac, resolved := t.link(port).macs[addr]
	return fib.NextHop{Port: port, Via: addr, MAC: mac, Resolved: resolved}
}

// resolve adds the neighbours by which an address is reached, and reports
// whether there are any.
func (s *search) resolve(a netip.Addr) bool {
	s.t.watch(a)
	if s.t.noVia[a] {
		return false
	}
	if port, ok := s.t.connected.Lookup(a); ok {
		s.add(s.t.hop(port, a))
		return true
	}
	if len(s.passed) == levelsMax {
		return false
	}
	for bits := a.BitLen(); bits > 0; bits-- {
		prefix := netip.PrefixFrom(a, bits).Masked()
		c := s.t.of(prefix)
		if c == nil || slices.Contains(s.passed, prefix) {
			continue
		}
		if s.steps++; s.steps > stepsMax {
			return false
		}
		s.passed = append(s.passed, prefix)
		found, end := s.choose(c, a)
		s.passed = s.passed[:len(s.passed)-1]
		if found || end {
			return found
		}
	}
	return false
}

// choose adds the neighbours of the first candidate that has some. end says that
// the candidate in use leads to none: packets to the address end there.
func (s *search) choose(c *choice, a netip.Addr) (found, end bool) {
	for i := range c.candidates {
		g := c.candidates[i].group
		switch g.key.kind {
		case fib.Connected:
			if s.t.up[g.key.port] {
				s.add(s.t.hop(g.key.port, a))
				return true, false
			}
		case fib.Gateway:
			for _, v := range g.vias {
				found = s.follow(v) || found
			}
			if found {
				return true, false
			}
		case fib.Broadcast:
			end = s.t.up[g.key.port]
		default:
			end = true
		}
		if end {
			return false, true
		}
	}
	return false, false
}

// follow adds the neighbours of a Via of a route on the way.
func (s *search) follow(v Via) bool {
	if s.t.noVia[v.Addr] || s.t.silent[v.From] {
		return false
	}
	if v.Recursive && !v.HasPort {
		return s.resolve(v.Addr)
	}
	port, ok := s.t.portOf(v)
	if ok {
		s.add(s.t.hop(port, v.Addr))
	}
	return ok
}

func (s *search) add(h fib.NextHop) {
	if len(s.hops) < fib.MaxHops && !slices.ContainsFunc(s.hops, func(o fib.NextHop) bool { return o.Port == h.Port && o.Via == h.Via }) {
		s.hops = append(s.hops, h)
	}
}

// watch notes that routes to an address matter.
func (t *Table) watch(a netip.Addr) {
	i, found := slices.BinarySearchFunc(t.watched, a, netip.Addr.Compare)
	if !found {
		t.watched = slices.Insert(t.watched, i, a)
	}
}

// disturb notes that a prefix has other candidates: where it holds an address
// that matters, next hops are to be resolved anew.
func (t *Table) disturb(prefix netip.Prefix) {
	if len(t.recursive) == 0 || t.loose || prefix.Bits() == 0 {
		return
	}
	i, _ := slices.BinarySearchFunc(t.watched, prefix.Addr(), netip.Addr.Compare)
	t.loose = i < len(t.watched) && prefix.Contains(t.watched[i])
}

// resolveAgain brings the groups up to date that other routes lead to.
func (t *Table) resolveAgain() {
	t.loose = false
	t.watched = t.watched[:0]
	for _, g := range byNumber(t.recursive) {
		if t.refresh(g) {
			for c := range g.choices {
				t.choose(c)
			}
		}
	}
}

// byNumber returns groups in the order in which they were made.
func byNumber(groups map[*group]bool) []*group {
	list := make([]*group, 0, len(groups))
	for g := range groups {
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b *group) int { return int(a.number) - int(b.number) })
	return list
}
