// Package dataplane decides what happens to a frame: Forward is the fast
// path, and beside it stand the exceptions of transit (ICMP errors,
// fragments, segments). The package is pure: no I/O, no clock; workers hand
// in frames, snapshots and the time.
package dataplane

// Action is what a worker does with a frame.
type Action uint8

// The actions.
const (
	Drop      Action = iota // forget and count by Reason
	Transmit                // send on Port, rewritten in place
	Punt                    // hand to the control plane, or the local stack, by Class
	Exception               // transit that the fast path cannot do: see Exception kinds
)

// Verdict is Forward's answer for one frame. (A struct of more than four fields
// would be kept in memory by the compiler, and each return of one cost as much as
// the checks of a header.)
type Verdict struct {
	Action Action
	Port   uint16 // the egress port: of Transmit, ClassResolve, and of Exception and ReasonTooBig where known
	Cause
}

// Cause says more about an Action.
type Cause struct {
	Reason Reason // of Drop
	Class  Class  // of Punt
	Fault  Fault  // of Exception
}

// Class sorts punted frames into queues of their own, in order of priority:
// a flood of one class never starves another.
type Class uint8

// The classes, most urgent first.
const (
	ClassVRRP    Class = iota // advertisements
	ClassBFD                  // UDP 3784 to an own address
	ClassARP                  // ARP
	ClassND                   // Neighbor Discovery
	ClassFlooded              // for the virtual MAC of a watching Backup; the frame is unchanged
	ClassResolve              // unicast without a resolved next hop; the frame is unchanged
	ClassBGP                  // TCP 179 to an own address: a flood of other local traffic must not end sessions
	ClassLocal                // for the local stack, or the host's kernel where that has the address
	ClassTransit              // engine = "netstack": transit for gVisor's forwarder
	NumClasses   = iota
)

// String returns the class's name in counters.
func (c Class) String() string {
	return [...]string{"vrrp", "bfd", "arp", "nd", "flooded", "resolve", "bgp", "local", "transit"}[c]
}

// Fault is why a packet needs the exception path.
type Fault uint8

// The faults. The first ones are answered by an ICMP error; the packet is
// unchanged. With the last ones the packet goes on in pieces: FaultFragment
// and FaultSegment leave it rewritten as for Transmit.
const (
	FaultTTL            Fault = iota + 1 // time exceeded in transit
	FaultTooBig                          // fragmentation needed / packet too big
	FaultNoRoute                         // net unreachable / no route
	FaultUnreachable                     // the route says unreachable, or its port is down: host unreachable / no route
	FaultBeyondScope                     // IPv6 link-local source leaves its link
	FaultFragment                        // IPv4 without DF, larger than the MTU: fragment it
	FaultSegment                         // GSO that the egress port cannot take: segment it in software
	FaultSegmentTransit                  // GSO for engine = "netstack", which takes packets one by one
	FaultSegmentLocal                    // GSO datagrams for the local stack, which takes them one by one
)
