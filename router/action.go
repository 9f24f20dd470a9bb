package router

import (
	"net/netip"

	"vrouter/dataplane/fib"
	"vrouter/neigh"
	"vrouter/packet"
)

// Action is something that the driver carries out, in order.
type Action interface{ action() }

// Publish makes a snapshot the one that workers use, at once.
type Publish struct{ Snapshot *fib.Snapshot }

// Transmit sends a whole Ethernet frame out of a port.
type Transmit struct {
	Port  uint16
	Frame []byte
}

// Forward hands a packet that waited for a neighbour back to the fast path,
// which finds it now.
type Forward struct{ Packet neigh.Waiting }

// Unreachable answers a packet whose next hop does not resolve with an ICMP
// error (host or address unreachable). One of our own (Packet.Local) may be the
// host's kernel's.
type Unreachable struct{ Packet neigh.Waiting }

// Membership tells a port which unicast MACs beside its own, and which
// multicast MACs, it must receive.
type Membership struct {
	Port   uint16
	MACs   []packet.MAC
	Groups []packet.MAC
}

// LocalStack tells the local stack its ports, addresses and multicast groups.
type LocalStack struct {
	Ports     []LocalPort
	Addresses []LocalAddress
	Groups    map[uint16][]netip.Addr
	Host      []HostTAP // the addresses that the host's kernel answers for instead
}

// LocalPort is a port as the local stack sees it.
type LocalPort struct {
	Port uint16
	Name string
	MTU  int
	MAC  packet.MAC
	Up   bool
}

// LocalAddress is an address that the local stack answers for.
type LocalAddress struct {
	Port   uint16
	Prefix netip.Prefix // not masked
}

// Deliver hands a frame that came in by a port, and that nobody here wants, to the
// host's kernel, which has the address that it is to: to one of its daemons it
// may mean something. The frame is valid until the action is carried out.
type Deliver struct {
	Port  uint16
	Frame []byte
}

// Notice is an event for the log and for "show events".
type Notice struct{ Event Event }

func (Publish) action()     {}
func (Transmit) action()    {}
func (Forward) action()     {}
func (Unreachable) action() {}
func (Membership) action()  {}
func (LocalStack) action()  {}
func (Deliver) action()     {}
func (Notice) action()      {}
