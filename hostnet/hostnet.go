// Package hostnet follows what the host's kernel knows of devices, addresses
// and routes, by route netlink (rtnetlink(7)): it looks once at everything, is
// told of changes, and looks again where the kernel had more to tell than the
// socket holds, or says nothing: IPv4 routes that go with their device, address
// or next-hop object are removed in silence.
//
// A View is what is known, as a plain value that messages change; a Follower
// has the sockets. What has changed is handed out in batches, each route as it
// is now: a reader that is slower than the kernel sees fewer states, never a
// wrong last one.
package hostnet

import (
	"net/netip"

	"vrouter/packet"
)

// BatchMax is the most changes of routes that are handed out at once.
const BatchMax = 256

// Device is a network device of the namespace.
type Device struct {
	Index     int
	Name      string
	Kind      string     // as "ip -d link" calls it: veth, bridge, vlan, ...; empty: a plain one
	Ethernet  bool       // frames are Ethernet's
	MAC       packet.MAC // zero where it is no Ethernet device
	MTU       int        // in bytes, without the Ethernet header
	Admin     bool       // administratively up
	Master    int        // index of the bridge, bond, ... that it is part of; 0: none
	Forwards4 bool       // the kernel forwards IPv4 packets that come in here
	Forwards6 bool       // and IPv6 packets
	Addresses []Address  // in the kernel's order: primary ones before secondary ones
}

// Address is an address that the kernel has on a device.
type Address struct {
	// Prefix is the address with the length of its link's prefix, not masked. An
	// address with a peer, or whose prefix has no route (noprefixroute), has a
	// prefix of its own.
	Prefix netip.Prefix
	// Tentative addresses are not in use yet, or never (duplicate address
	// detection, RFC 4862 5.4).
	Tentative bool
}

// Type says what a route does with packets.
type Type uint8

// The types. Prohibit counts as unreachable.
const (
	Unicast Type = iota
	Blackhole
	Unreachable
)

// Route is a route of the kernel's table that is followed.
type Route struct {
	Prefix   netip.Prefix // masked
	Metric   uint32       // priority: lower wins within a prefix
	Protocol uint8        // who has put it there: RTPROT_* of <linux/rtnetlink.h>
	Type     Type
	Hops     []Hop // Unicast: at least one, in the kernel's order; never changed
}

// Hop is one next hop of a route.
type Hop struct {
	Via    netip.Addr // zero: the destination is on the link; may be of the other family (RFC 8950)
	Device int        // index
	// Encap says that packets would have to be encapsulated (MPLS, segment
	// routing, ...), which Via and Device do not tell.
	Encap bool
}

// Change is a route as it is now, or that it is Gone: then Prefix and Metric say
// which.
type Change struct {
	Route
	Gone bool
}
