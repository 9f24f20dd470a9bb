package rib

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// SetPort says whether a port forwards. While it is down, its connected routes
// and the next hops through it are withdrawn; its own addresses stay.
func (t *Table) SetPort(port uint16, up bool) {
	if t.up[port] == up {
		return
	}
	t.up[port] = up
	t.stale = true
}

// AddAddress gives a port an own address with its prefix length: the address
// itself (a Local route, of kind Foreign where foreign says that the host's
// kernel owns it), the connected prefix, and for IPv4 its broadcast addresses
// (RFC 1812 4.2.2.11, 5.3.5.2).
func (t *Table) AddAddress(port uint16, addr netip.Prefix, foreign bool) {
	a := address{port, addr}
	was, ok := t.addresses[a]
	if !addr.IsValid() || ok && was == foreign {
		return
	}
	if ok {
		t.RemoveAddress(port, addr)
	}
	t.addresses[a] = foreign
	t.eachCandidate(a, foreign, t.gain)
	t.stale = true
}

// RemoveAddress undoes AddAddress.
func (t *Table) RemoveAddress(port uint16, addr netip.Prefix) {
	a := address{port, addr}
	foreign, ok := t.addresses[a]
	if !ok {
		return
	}
	delete(t.addresses, a)
	t.eachCandidate(a, foreign, t.lose)
	t.stale = true
}

// SetVirtual makes a virtual address answered (accept), or owned but without
// local services, on a port: while its virtual router is Master.
func (t *Table) SetVirtual(port uint16, addr netip.Addr, accept bool) {
	n := Neighbor{port, addr.WithZone("")}
	was, ok := t.virtuals[n]
	if !addr.IsValid() || ok && was == accept {
		return
	}
	if ok {
		t.RemoveVirtual(port, addr)
	}
	t.virtuals[n] = accept
	if !isLinkLocal6(n.Addr) {
		t.gain(hostPrefix(n.Addr), Virtual, LocalType, groupKey{kind: virtualKind(accept), port: port})
	}
	t.stale = true
}

// RemoveVirtual undoes SetVirtual.
func (t *Table) RemoveVirtual(port uint16, addr netip.Addr) {
	n := Neighbor{port, addr.WithZone("")}
	accept, ok := t.virtuals[n]
	if !ok {
		return
	}
	delete(t.virtuals, n)
	if !isLinkLocal6(n.Addr) {
		t.lose(hostPrefix(n.Addr), Virtual, LocalType, groupKey{kind: virtualKind(accept), port: port})
	}
	t.stale = true
}

func virtualKind(accept bool) fib.Kind {
	if accept {
		return fib.Local
	}
	return fib.Virtual
}

// SetNeighbor says that a neighbour is resolved to mac, or (ok false) is not.
// Which addresses can be neighbours on the port is for the caller to check.
func (t *Table) SetNeighbor(port uint16, addr netip.Addr, mac packet.MAC, ok bool) {
	t.settle()
	l, addr := t.link(port), addr.WithZone("")
	if was, had := l.macs[addr]; had == ok && (!ok || was == mac) {
		return
	}
	if ok {
		l.macs[addr] = mac
		l.neighbors = l.neighbors.With(addr, mac)
	} else {
		delete(l.macs, addr)
		l.neighbors = l.neighbors.Without(addr)
	}
	for g := range t.byNeighbor[Neighbor{port, addr}] {
		hops := slices.Clone(g.content.Hops)
		for i := range hops {
			if hops[i].Port == port && hops[i].Via == addr {
				hops[i].MAC, hops[i].Resolved = mac, ok
			}
			if !hops[i].Resolved {
				hops[i].MAC = packet.MAC{}
			}
		}
		t.setHops(g, hops)
	}
}

// eachCandidate calls do for each route that an address brings about.
func (t *Table) eachCandidate(a address, foreign bool, do func(netip.Prefix, Source, Type, groupKey)) {
	own, length := a.prefix.Addr(), a.prefix.Bits()
	if isLinkLocal6(own) {
		return
	}
	kind := fib.Local
	if foreign {
		kind = fib.Foreign
	}
	do(hostPrefix(own), Local, LocalType, groupKey{kind: kind, port: a.port})
	if length == own.BitLen() {
		return
	}
	do(a.prefix.Masked(), Connected, Unicast, groupKey{kind: fib.Connected, port: a.port})
	if own.Is4() && length <= 30 {
		first, last := bounds4(a.prefix)
		do(hostPrefix(first), Local, BroadcastType, groupKey{kind: fib.Broadcast, port: a.port})
		do(hostPrefix(last), Local, BroadcastType, groupKey{kind: fib.Broadcast, port: a.port})
	}
}

// gain adds a candidate of a port; several addresses may call for the same.
func (t *Table) gain(prefix netip.Prefix, source Source, typ Type, key groupKey) {
	g, was := t.group(key, nil), t.of(prefix)
	var list []candidate
	if was != nil {
		list = slices.Clone(was.candidates)
	}
	for i := range list {
		if c := &list[i]; c.source == source && c.group == g {
			c.count++
			t.give(prefix, was, list)
			return
		}
	}
	t.give(prefix, was, insert(list, candidate{source: source, typ: typ, group: g, count: 1}))
}

// lose undoes gain.
func (t *Table) lose(prefix netip.Prefix, source Source, _ Type, key groupKey) {
	g, was := t.groups[key], t.of(prefix)
	if was == nil {
		return
	}
	list := slices.Clone(was.candidates)
	i := slices.IndexFunc(list, func(c candidate) bool { return c.source == source && c.group == g })
	if i < 0 {
		return
	}
	if list[i].count--; list[i].count == 0 {
		list = slices.Delete(list, i, i+1)
	}
	t.give(prefix, was, list)
}

// settle brings up to date what depends on ports and addresses, where these
// have changed. It looks at all of them, so changes that come together, as
// when hundreds of virtual routers become Master at once, are settled once:
// by the next call that depends on it.
func (t *Table) settle() {
	if !t.stale {
		if t.loose {
			t.resolveAgain()
		}
		return
	}
	t.stale, t.loose = false, false
	t.watched = t.watched[:0]
	t.connected = bart.Table[uint16]{}
	t.noVia = map[netip.Addr]bool{}
	t.own = fib.OwnSet{}
	for _, l := range t.links {
		l.linkLocals = nil
	}
	for a, foreign := range t.addresses {
		kind := fib.Local
		if foreign {
			kind = fib.Foreign
		}
		t.noteOwn(a.port, a.prefix.Addr(), kind)
		if masked := a.prefix.Masked(); t.up[a.port] && !isLinkLocal6(masked.Addr()) && !a.prefix.IsSingleIP() {
			if port, ok := t.connected.Get(masked); !ok || a.port < port {
				t.connected.Insert(masked, a.port)
			}
			if masked.Addr().Is4() && masked.Bits() <= 30 {
				first, last := bounds4(masked)
				t.noVia[first], t.noVia[last] = true, true
				t.own.Add(first) // a broadcast address is no source (RFC 1122 3.2.1.3)
				t.own.Add(last)
			}
		}
	}
	for n, accept := range t.virtuals {
		t.noteOwn(n.Port, n.Addr, virtualKind(accept))
	}
	for _, l := range t.links {
		slices.SortFunc(l.linkLocals, func(a, b fib.LinkLocal) int { return slices.Compare(a.Addr[:], b.Addr[:]) })
	}
	t.refreshAll()
}

// noteOwn enters an own or virtual address into the sets that Publish hands
// out beside the routes.
func (t *Table) noteOwn(port uint16, addr netip.Addr, kind fib.Kind) {
	if !isLinkLocal6(addr) {
		t.noVia[addr] = true
		if kind != fib.Foreign {
			t.own.Add(addr)
		}
		return
	}
	l := t.link(port)
	for i := range l.linkLocals {
		if own := &l.linkLocals[i]; own.Addr == addr.As16() {
			if kind == fib.Local {
				own.Kind = kind
			}
			return
		}
	}
	l.linkLocals = append(l.linkLocals, fib.LinkLocal{Addr: addr.As16(), Kind: kind})
}

// link returns the link of a port, a new one if need be.
func (t *Table) link(port uint16) *link {
	l := t.links[port]
	if l == nil {
		l = &link{macs: map[netip.Addr]packet.MAC{}}
		t.links[port] = l
	}
	return l
}

// hostPrefix returns the prefix that holds a alone.
func hostPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func isLinkLocal6(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

// bounds4 returns the first and the last address of an IPv4 prefix.
func bounds4(p netip.Prefix) (first, last netip.Addr) {
	first = p.Masked().Addr()
	b := first.As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return first, netip.AddrFrom4(b)
}
