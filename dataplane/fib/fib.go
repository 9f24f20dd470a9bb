// Package fib is what a worker needs to forward a packet, as one immutable
// value: the Snapshot. The control plane builds a new one for each change and
// publishes it by a pointer; workers only read.
package fib

import (
	"net/netip"

	"vrouter/packet"
)

// Snapshot is a consistent view of ownership, interfaces, neighbours and
// routes. Nothing reachable from it changes once it is published (Lease is
// the exception, made for it).
type Snapshot struct {
	Serial uint64 // grows with each publication
	Seed   uint64 // of the flow hash that chooses among equal next hops; any value
	Ports  []Port // by port number; numbers are never reused while a port lives
	Groups []Group
	// Routes maps a prefix of either family to an index in Groups. The
	// router's own (and, while Master with accept, virtual) addresses are host
	// routes to groups of kind Local. Route, Route4 and Route6 look it up.
	Routes *Routes
	// Own holds the addresses of the groups of kind Local, Virtual and
	// Broadcast: packets that claim to come from one of them are not forwarded.
	Own OwnSet
	// Lease bounds for how long virtual MACs are served without the control
	// loop; nil: for ever (tests).
	Lease *Lease
}

// GroupID is an index in Snapshot.Groups.
type GroupID uint32

// Kind says what is done with a packet whose longest match leads to a Group.
type Kind uint8

// The kinds.
const (
	Unreachable Kind = iota // ICMP host/net unreachable
	Blackhole               // silently dropped, counted
	Connected               // the destination is a neighbour on Group.Port
	Gateway                 // forwarded to one of Group.Hops
	Local                   // an own address: the local stack
	Virtual                 // a virtual address of a Master without accept: ND and ARP only, the rest is dropped
	Broadcast               // directed broadcast of a connected IPv4 prefix on Group.Port
	Foreign                 // the host's kernel owns the address (addresses = "host"): not ours to answer
	Unusable                // no next hop can be used now: as though the prefixes were not there
)

// Group is the destination of routes.
type Group struct {
	Kind Kind
	Port uint16    // Connected, Local, Broadcast
	Hops []NextHop // Gateway: the next hops
	// Buckets (Gateway with several hops) chooses a hop by flow hash: its
	// length is a power of two, its values index Hops. Nil with one hop.
	Buckets []uint8
}

// NextHop is one next hop of a Gateway group.
type NextHop struct {
	Port     uint16
	Via      netip.Addr // the neighbour to resolve where Resolved is false
	MAC      packet.MAC
	Resolved bool
}

// Port is an interface as the fast path sees it.
type Port struct {
	Name    string
	Up      bool // configured, present and carrying
	MAC     packet.MAC
	MTU     int // of IP packets, in bytes
	Offload packet.Offload
	// Owns is false with addresses = "host": frames to MAC are the kernel's and
	// are ignored here; only virtual MACs are ours.
	Owns bool
	// Transit is set, without Owns, where frames to MAC whose packets go beyond
	// the host are forwarded all the same: its kernel does not.
	Transit bool
	// Masters4 and Masters6 are the VRIDs of which this router is Master on
	// this port, as bit sets: bit v%64 of word v/64.
	Masters4, Masters6 [4]uint64
	// Watched4 and Watched6 are, likewise, the VRIDs of which this router is
	// Backup and wants to see the frames that a switch floods.
	Watched4, Watched6 [4]uint64
	// Addr4 and Addr6 are the source addresses of ICMP errors that leave here
	// (Addr6 is not link-local, if there is such a one); zero: none.
	Addr4, Addr6 netip.Addr
	// LinkLocals are the router's own (Local) and virtual (Local or Virtual)
	// IPv6 link-local addresses on the port. They are not in Routes: the same
	// address may be in use on several links.
	LinkLocals []LinkLocal
	// Neighbors are the resolved hosts on the link.
	Neighbors *Neighbors
}

// LinkLocal is an own or virtual IPv6 link-local address of a port.
type LinkLocal struct {
	Addr [16]byte
	Kind Kind // Local, Virtual or Foreign
}

// Route4 returns the group that a packet to an IPv4 address goes to: that of the
// longest prefix whose group is not Unusable; nil: there is none. Nothing is
// allocated.
func (s *Snapshot) Route4(a uint32) *Group {
	id, ok := s.Routes.Lookup4(a)
	if !ok {
		return nil
	}
	if g := &s.Groups[id]; g.Kind != Unusable {
		return g
	}
	return s.usable(addr4(a))
}

// Route6 is Route4 for an IPv6 address, given by its halves.
func (s *Snapshot) Route6(hi, lo uint64) *Group {
	id, ok := s.Routes.Lookup6(hi, lo)
	if !ok {
		return nil
	}
	if g := &s.Groups[id]; g.Kind != Unusable {
		return g
	}
	return s.usable(addr6(hi, lo))
}

// Route is Route4 for an address of either family.
func (s *Snapshot) Route(a netip.Addr) *Group {
	if a.Is4() {
		return s.Route4(uint32Of(a))
	}
	return s.Route6(halves(a))
}

// usable returns the group of the longest prefix that can be used.
func (s *Snapshot) usable(a netip.Addr) *Group {
	if id, ok := s.Routes.longest(a, s.Groups); ok {
		return &s.Groups[id]
	}
	return nil
}

// IsMaster reports whether mac is the virtual MAC of a virtual router of
// which this router is Master on the port.
func (p *Port) IsMaster(mac packet.MAC) bool {
	return virtualIn(mac, &p.Masters4, &p.Masters6)
}

// IsWatched reports whether mac is the virtual MAC of a virtual router whose
// flooded frames the Backup on this port wants to see.
func (p *Port) IsWatched(mac packet.MAC) bool {
	return virtualIn(mac, &p.Watched4, &p.Watched6)
}

// virtualIn reports whether mac is a virtual MAC (RFC 9568 7.3) whose VRID is
// in the bit set of its family.
func virtualIn(mac packet.MAC, set4, set6 *[4]uint64) bool {
	if mac[0] != 0 || mac[1] != 0 || mac[2] != 0x5e || mac[3] != 0 {
		return false
	}
	word, bit := mac[5]>>6, uint64(1)<<(mac[5]&63)
	switch mac[4] {
	case 1:
		return set4[word]&bit != 0
	case 2:
		return set6[word]&bit != 0
	}
	return false
}
