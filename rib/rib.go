// Package rib chooses among candidate routes the best of each prefix, and
// makes of them the prefixes, next-hop groups and neighbours of a
// fib.Snapshot. The package is pure: who calls it says what happened.
package rib

import (
	"net/netip"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// Source says where a route comes from. A lower Source wins (administrative
// distance), whatever the metric.
type Source uint8

// The sources, the most trusted first.
const (
	Local     Source = iota // an interface's own address, broadcast addresses included
	Virtual                 // an address of a virtual router in state Master
	Connected               // the prefix of an interface's address
	Static                  // configured
	BGP                     // learned by BGP
	Imported                // taken over from the host's kernel
)

// String returns the source's name as in "show routes".
func (s Source) String() string {
	return [...]string{"local", "virtual", "connected", "static", "bgp", "imported"}[s]
}

// Type says what a route does with packets.
type Type uint8

// The types. Routes that are added by Add are of the first three.
const (
	Unicast Type = iota
	Blackhole
	Unreachable
	LocalType     // to the router itself
	BroadcastType // directed broadcast
)

// String returns the type's name as in "show routes".
func (t Type) String() string {
	return [...]string{"unicast", "blackhole", "unreachable", "local", "broadcast"}[t]
}

// Via is a neighbouring router. Port matters where HasPort is set, as it has
// to be for link-local addresses; otherwise the connected prefix that holds
// Addr tells the port.
type Via struct {
	Addr    netip.Addr
	Port    uint16
	HasPort bool
}

// Route is a candidate route.
type Route struct {
	Prefix netip.Prefix // masked
	Source Source       // Static, BGP, Imported
	Type   Type         // Unicast, Blackhole, Unreachable
	Metric uint32       // lower wins within a Source
	Via    []Via        // Unicast: the next hops; several are equal-cost
}

// NextHop is a next hop of a best route. Via is the zero Addr for a connected
// route.
type NextHop struct {
	Port     uint16
	Via      netip.Addr
	Resolved bool
}

// Best is the route that is in use for a prefix.
type Best struct {
	Prefix   netip.Prefix
	Source   Source
	Type     Type
	Metric   uint32
	NextHops []NextHop
}

// Neighbor is a host on the link of a port.
type Neighbor struct {
	Port uint16
	Addr netip.Addr
}

// Table holds candidate routes, ports, addresses and neighbours.
type Table struct{}

// New returns an empty Table; its ports are down.
func New() *Table { return &Table{} }

// SetPort says whether a port forwards. While it is down, its connected routes
// and the next hops through it are withdrawn; its own addresses stay.
func (t *Table) SetPort(port uint16, up bool) {}

// AddAddress gives a port an own address with its prefix length: the address
// itself (a Local route, or Foreign where foreign says that the host's kernel
// owns it), the connected prefix, and for IPv4 its broadcast addresses.
func (t *Table) AddAddress(port uint16, addr netip.Prefix, foreign bool) {}

// RemoveAddress undoes AddAddress.
func (t *Table) RemoveAddress(port uint16, addr netip.Prefix) {}

// SetVirtual makes a virtual address answered (accept), or owned but without
// local services, on a port: while its virtual router is Master.
func (t *Table) SetVirtual(port uint16, addr netip.Addr, accept bool) {}

// RemoveVirtual undoes SetVirtual.
func (t *Table) RemoveVirtual(port uint16, addr netip.Addr) {}

// Add adds a candidate, in place of the one of the same prefix, source and
// metric.
func (t *Table) Add(r Route) {}

// Remove removes all candidates of a prefix from a source.
func (t *Table) Remove(source Source, prefix netip.Prefix) {}

// Replace makes routes the only candidates of a source; what is in the table
// already costs no change of the snapshot.
func (t *Table) Replace(source Source, routes []Route) {}

// SetNeighbor says that a neighbour is resolved to mac, or (ok false) is not.
// Multicast and unknown addresses are the caller's to keep out.
func (t *Table) SetNeighbor(port uint16, addr netip.Addr, mac packet.MAC, ok bool) {}

// Publish fills in the parts of a snapshot that the table knows: Routes,
// Groups, Own, and of the ports that are in s.Ports already, Neighbors and
// LinkLocals. What it hands out never changes; what did not change since the
// last Publish is handed out again.
func (t *Table) Publish(s *fib.Snapshot) {}

// Best returns the route in use for exactly this prefix.
func (t *Table) Best(prefix netip.Prefix) (Best, bool) { return Best{}, false }

// Lookup returns the route in use for a destination: the longest match. A
// link-local destination has none.
func (t *Table) Lookup(dst netip.Addr) (Best, bool) { return Best{}, false }

// All returns all routes in use, sorted by family, address and length.
func (t *Table) All() []Best { return nil }

// NextHops returns the neighbours that routes in use go through, and which
// therefore must be kept resolved, sorted by port and address.
func (t *Table) NextHops() []Neighbor { return nil }
