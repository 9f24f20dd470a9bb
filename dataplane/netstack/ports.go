package netstack

import (
	"errors"
	"net/netip"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"vrouter/packet"
)

// Port is a port of the router as its stack sees it.
type Port struct {
	Number uint16
	Name   string // zones of link-local addresses name ports by it
	MTU    int    // of IP packets, in bytes
	MAC    packet.MAC
	// Down: the link carries nothing now. When it comes up again, memberships
	// are reported anew, since a switch may have forgotten them.
	Down bool
}

// Address is an address that the router answers for: one of its own, or a
// virtual one while it is Master and accepts. The prefix's length is that of
// the link's subnet, as far as it is known.
type Address struct {
	Port   uint16
	Prefix netip.Prefix
}

// nic is the state of a port in gVisor.
type nic struct {
	port   Port
	link   *link
	addrs  map[netip.Addr]netip.Prefix
	groups map[netip.Addr]bool
}

// SetPorts replaces the set of ports: adds what is new, removes what is gone
// (with its addresses and groups), and follows changes of the others.
// Addresses and groups that were set for a port stay wanted while it is away.
func (s *Stack) SetPorts(ports []Port) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := map[uint16]Port{}
	for _, p := range ports {
		want[p.Number] = p
	}
	var errs []error
	for number := range s.nics {
		if _, ok := want[number]; !ok {
			errs = append(errs, s.removePort(number))
		}
	}
	for _, p := range ports {
		if n, ok := s.nics[p.Number]; ok {
			errs = append(errs, s.changePort(n, p))
		} else {
			errs = append(errs, s.addPort(p))
		}
	}
	errs = append(errs, s.applyAddresses(), s.applyGroups())
	s.publish()
	return errors.Join(errs...)
}

func (s *Stack) addPort(p Port) error {
	n := &nic{
		port:   p,
		link:   newLink(p.Number, p.MTU, p.MAC, s),
		addrs:  map[netip.Addr]netip.Prefix{},
		groups: map[netip.Addr]bool{},
	}
	id := nicID(p.Number)
	if err := s.gv.CreateNIC(id, n.link); err != nil {
		return failed(err, "port %s", p.Name)
	}
	if p.Down {
		if err := s.gv.DisableNIC(id); err != nil {
			return failed(err, "port %s", p.Name)
		}
	}
	// Where a packet really leaves is the router's business: each port leads
	// everywhere.
	s.gv.AddRoute(tcpip.Route{Destination: header.IPv4EmptySubnet, NIC: id})
	s.gv.AddRoute(tcpip.Route{Destination: header.IPv6EmptySubnet, NIC: id})
	s.nics[p.Number] = n
	return nil
}

func (s *Stack) removePort(number uint16) error {
	delete(s.nics, number)
	return failed(s.gv.RemoveNIC(nicID(number)), "port %d", number)
}

func (s *Stack) changePort(n *nic, p Port) error {
	if n.port.MTU != p.MTU {
		n.link.SetMTU(uint32(max(p.MTU, minMTU)))
	}
	if n.port.MAC != p.MAC {
		n.link.SetLinkAddress(tcpip.LinkAddress(p.MAC[:]))
	}
	id, was := nicID(p.Number), n.port
	n.port = p
	switch {
	case p.Down && !was.Down:
		return failed(s.gv.DisableNIC(id), "port %s down", p.Name)
	case !p.Down && was.Down:
		return failed(s.gv.EnableNIC(id), "port %s up", p.Name)
	}
	return nil
}

// SetAddresses replaces the set of addresses. The order is the order of
// preference as source addresses of what the router itself begins, so own
// addresses stand before virtual ones. IPv6 ports need their link-local
// address too: MLD reports are sent from it (RFC 3810 5.2.13).
func (s *Stack) SetAddresses(addrs []Address) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addrs = slices.Clone(addrs)
	err := s.applyAddresses()
	s.publish()
	return err
}

// applyAddresses makes gVisor's addresses those of s.addrs.
func (s *Stack) applyAddresses() error {
	want := map[uint16]map[netip.Addr]netip.Prefix{}
	for _, a := range s.addrs {
		if want[a.Port] == nil {
			want[a.Port] = map[netip.Addr]netip.Prefix{}
		}
		want[a.Port][a.Prefix.Addr()] = a.Prefix
	}
	var errs []error
	for number, n := range s.nics {
		for addr, prefix := range n.addrs {
			if want[number][addr] != prefix {
				delete(n.addrs, addr)
				errs = append(errs, failed(s.gv.RemoveAddress(nicID(number), toAddress(addr)), "remove %s", addr))
			}
		}
	}
	// Link-local addresses first: then the reports for the groups that come
	// with the others have a source address.
	for _, linkLocal := range []bool{true, false} {
		for _, a := range s.addrs {
			if n := s.nics[a.Port]; n != nil && a.Prefix.Addr().IsLinkLocalUnicast() == linkLocal {
				errs = append(errs, s.addAddress(n, a))
			}
		}
	}
	return errors.Join(errs...)
}

func (s *Stack) addAddress(n *nic, a Address) error {
	addr := a.Prefix.Addr()
	if _, ok := n.addrs[addr]; ok {
		return nil
	}
	err := s.gv.AddProtocolAddress(nicID(a.Port), tcpip.ProtocolAddress{
		Protocol: protocolOf(addr),
		AddressWithPrefix: tcpip.AddressWithPrefix{
			Address:   toAddress(addr),
			PrefixLen: a.Prefix.Bits(),
		},
	}, stack.AddressProperties{})
	if err != nil {
		return failed(err, "address %s on port %s", a.Prefix, n.port.Name)
	}
	n.addrs[addr] = a.Prefix
	return nil
}

// SetGroups replaces the multicast groups of which the router is a member, by
// port. gVisor reports them (IGMPv3 and MLDv2, older versions where the
// querier speaks them), again after queries, and reports their end.
func (s *Stack) SetGroups(groups map[uint16][]netip.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.group = map[uint16][]netip.Addr{}
	for port, g := range groups {
		s.group[port] = slices.Clone(g)
	}
	return s.applyGroups()
}

// applyGroups makes gVisor's memberships those of s.group.
func (s *Stack) applyGroups() error {
	var errs []error
	for number, n := range s.nics {
		for g := range n.groups {
			if !slices.Contains(s.group[number], g) {
				delete(n.groups, g)
				errs = append(errs, failed(s.gv.LeaveGroup(protocolOf(g), nicID(number), toAddress(g)), "leave %s", g))
			}
		}
		for _, g := range s.group[number] {
			if n.groups[g] {
				continue
			}
			err := failed(s.gv.JoinGroup(protocolOf(g), nicID(number), toAddress(g)), "join %s", g)
			errs = append(errs, err)
			n.groups[g] = err == nil
		}
	}
	return errors.Join(errs...)
}

// view is the immutable state that Deliver and source selection read.
type view struct {
	links map[uint16]*link
	names map[string]uint16
	addrs []Address // of ports that are there, in order of preference
	owner map[netip.Addr]uint16
	local map[Address]bool // with prefixes of full length
}

// publish rebuilds the view; s.mu is held.
func (s *Stack) publish() {
	v := &view{
		links: map[uint16]*link{},
		names: map[string]uint16{},
		owner: map[netip.Addr]uint16{},
		local: map[Address]bool{},
	}
	for number, n := range s.nics {
		v.links[number], v.names[n.port.Name] = n.link, number
	}
	for _, a := range s.addrs {
		if v.links[a.Port] == nil {
			continue
		}
		addr := a.Prefix.Addr()
		v.addrs = append(v.addrs, a)
		v.local[hostAddress(a.Port, addr)] = true
		if _, ok := v.owner[addr]; !ok && !addr.IsLinkLocalUnicast() {
			v.owner[addr] = a.Port
		}
	}
	s.view.Store(v)
}

func hostAddress(port uint16, addr netip.Addr) Address {
	return Address{port, netip.PrefixFrom(addr, addr.BitLen())}
}

// deliverOn returns the link that takes a packet to dst that came in by port:
// the port's own where it has the address or none has (multicast, broadcast),
// else that of the port that has it. Nil: the port is not there.
func (v *view) deliverOn(port uint16, dst netip.Addr) *link {
	if owner, ok := v.owner[dst]; ok && !v.local[hostAddress(port, dst)] {
		return v.links[owner]
	}
	return v.links[port]
}
