// Package rib chooses among candidate routes the best of each prefix, and
// makes of them the prefixes, next-hop groups and neighbours of a
// fib.Snapshot. The package is pure: who calls it says what happened.
//
// A prefix leads to a group by number, so a next hop that dies or moves
// changes one group, however many prefixes use it; and all that Publish hands
// out is shared with the snapshots before it, but for what has changed.
package rib

import "net/netip"

// Source says where a route comes from. A lower Source wins (administrative
// distance), whatever the metric.
type Source uint8

// The sources, the most trusted first.
const (
	Local       Source = iota // an interface's own address, broadcast addresses included
	Virtual                   // an address of a virtual router in state Master
	Connected                 // the prefix of an interface's address
	Static                    // configured
	BGP                       // learned by BGP
	Imported                  // taken over from the host's kernel
	InternalBGP               // learned by BGP within the own autonomous system

	NumSources // how many there are
)

// String returns the source's name as in "show routes".
func (s Source) String() string {
	return [...]string{"local", "virtual", "connected", "static", "bgp", "imported", "ibgp"}[s]
}

// Distance returns the administrative distance in the numbers that the field is
// used to: sources are in this order, and a lower one wins.
func (s Source) Distance() uint8 { return [...]uint8{0, 0, 0, 1, 20, 110, 200}[s] }

// Type says what a route does with packets.
type Type uint8

// The types. Routes that are added by Add are of the first three, or LocalType
// for an address of the host's kernel that is on no port.
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
// Addr tells the port, and without such a prefix, where Recursive is set, the
// route to Addr tells the next hops. Without Addr destinations themselves are on the link of
// Port: such a Via stands alone.
type Via struct {
	Addr    netip.Addr
	Port    uint16
	HasPort bool
	// Recursive allows Addr to be on no link: of neighbours that are reached by
	// routers between.
	Recursive bool
	// From is who has told of it, by a number that the caller gives (0: nobody in
	// particular): see SetSilent.
	From uint32
}

// Route is a candidate route.
type Route struct {
	Prefix netip.Prefix // masked
	Source Source       // Static, BGP, Imported; Local for LocalType
	Type   Type         // Unicast, Blackhole, Unreachable, LocalType
	Metric uint32       // lower wins within a Source
	Origin uint8        // Imported: who has put it into the kernel (RTPROT_*); carried along
	Via    []Via        // Unicast: the next hops, at most fib.MaxHops; several are equal-cost
}

// NextHop is a next hop of a best route. Via is the zero Addr for a connected
// or local route.
type NextHop struct {
	Port     uint16
	Via      netip.Addr
	Resolved bool
}

// Best is the route that is in use for a prefix. Next hops that cannot be used
// now (no connected prefix, port down) are not listed.
type Best struct {
	Prefix   netip.Prefix
	Source   Source
	Type     Type
	Metric   uint32
	Origin   uint8
	NextHops []NextHop
}

// Neighbor is a host on the link of a port.
type Neighbor struct {
	Port uint16
	Addr netip.Addr
}
