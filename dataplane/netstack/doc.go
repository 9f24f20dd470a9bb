// Package netstack is the only one that imports gVisor's TCP/IP stack. It has
// two uses of it, each a stack of its own:
//
//   - Stack is the local stack: it answers what is addressed to the router
//     (echo, closed ports, reassembly), speaks IGMP and MLD for it, and sends
//     what the router itself begins (Ping, DialTCP, ListenTCP).
//   - Engine is the forwarder of engine = "netstack", and the reference that
//     the fast path is compared with, packet by packet (ForwardOne).
//
// Both take and give IP packets. Ethernet, neighbours, and the choice of who
// is answered (MAC gate, martian checks, TTL) stay with the router: gVisor
// resolves nothing, makes no addresses of its own, and what Neighbor Discovery
// it would still send is held back.
//
// # How gVisor's host model is bent to a router's
//
// gVisor takes a packet only on the interface that has its destination
// address. Deliver puts each packet in where its address is, so that the far
// side of the router answers too. The reply leaves by that interface as far as
// gVisor knows; the router routes it by its own table. Only link-local
// neighbours must be answered on their link: see detour.
//
// # How Engine differs from the fast path
//
// FuzzReference and its seeds send the same packets through both, and hold what
// differs against a list (deviations_test.go). In gVisor
// v0.0.0-20260905035102-160fafc42237:
//
//   - No multipath: the first next hop of a group takes all.
//   - A route of type unreachable discards in silence, as a blackhole does.
//   - A missing IPv4 route is "net unreachable" (code 0), never "host
//     unreachable" (code 1): it knows no neighbours that could be missing.
//   - ICMP errors come from the address of the port where the packet came in,
//     and leave there, whatever the route to their receiver says, a blackhole
//     included; where that port has no address of the family, no error is sent.
//     They are sent about later fragments, and about ICMPv6 errors behind
//     extension headers; not about fragments of ICMP queries. IPv4 errors quote up to 548 bytes in
//     all and carry TTL 64 and a random identification, not DF.
//   - An IPv4 packet with TTL 1 is forwarded by gVisor with TTL 0. Engine sets
//     its TTL to 0 before, so that it is answered; the quoted header shows 0.
//   - Transport checksums of forwarded packets would be computed anew, right
//     over what was corrupted before. Engine says that its links do that, so
//     that nobody does.
//   - A packet-too-big message of ICMPv6 has MTU 0 in gVisor. Engine fills it
//     in.
//   - IPv4 options record route and timestamp are filled in with the address
//     of the port where the packet came in, not where it leaves. Bad options
//     and unknown IPv6 hop-by-hop options are answered with parameter problem.
//   - Only header lengths, checksum and zero or multicast or loopback
//     addresses are looked at: the other martians are left to the caller.
//     Directed broadcasts, local and virtual addresses are discarded by their
//     routes in the snapshot.
//   - A fragment that is cut again gets wrong offsets in gVisor. Engine puts
//     them right. Options are copied into each fragment, whatever their copied
//     flag says.
//   - IPv6 does not leave by a link with an MTU below 1280: it is discarded
//     (gVisor would end the process), without an ICMP error. IPv4 treats an MTU
//     below 68 as 68.
//   - All errors of a link are "no buffer space", because gVisor's forwarder
//     ends the process on any other (handleForwardingError).
//   - A TTL that ends is looked at before a blackhole, a size before the
//     neighbour is known.
//   - Extension headers that are cut off are dropped, not passed. More than 1280
//     bytes of them would end the process: Engine drops such packets before.
//   - Routes are a linked list: RoutesMax of them at most; 8 us and 11 allocations a
//     packet with a few of them; one goroutine forwards.
package netstack
