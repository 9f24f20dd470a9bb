package netstack

import (
	"fmt"
	"net/netip"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// RoutesMax is the most routes that the Engine takes: gVisor keeps them in a
// linked list, and looks up and inserts by walking it.
const RoutesMax = 16384

// The sink is a network interface that discards: gVisor has no routes that
// say "no".
const (
	sinkNIC tcpip.NICID = 1 << 20 // beyond those of ports
	sinkMTU             = 65535
)

// addSink creates the sink. It has loopback addresses, because gVisor does not
// route to an interface without an address; packets to them it drops itself.
func (e *Engine) addSink() error {
	l := newLink(0, sinkMTU, packet.MAC{}, &e.sink)
	if err := e.gv.CreateNIC(sinkNIC, l); err != nil {
		return failed(err, "create the sink")
	}
	for _, addr := range []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
		if err := e.gv.AddProtocolAddress(sinkNIC, tcpip.ProtocolAddress{
			Protocol:          protocolOf(addr),
			AddressWithPrefix: toAddress(addr).WithPrefix(),
		}, stack.AddressProperties{}); err != nil {
			return failed(err, "create the sink")
		}
	}
	return nil
}

// sink takes what is to be discarded, and counts.
type sink struct{ n atomic.Uint64 }

func (s *sink) send(uint16, *stack.PacketBuffer) bool {
	s.n.Add(1)
	return true
}

// plan is what gVisor's tables should be, made from a snapshot.
type plan struct {
	ports  map[uint16]planPort
	routes map[netip.Prefix]planRoute
}

// planPort is a port with the addresses that ICMP errors are sent from; the
// zero Addr: none of the family.
type planPort struct {
	name         string
	mtu          int
	mac          packet.MAC
	addr4, addr6 netip.Addr
}

// planRoute is where packets to a prefix go.
type planRoute struct {
	discard bool // then the rest is zero
	port    uint16
	via     netip.Addr // invalid: the destination is on the link
}

func (r planRoute) nic() tcpip.NICID {
	if r.discard {
		return sinkNIC
	}
	return nicID(r.port)
}

// newPlan reads a snapshot.
func newPlan(s *fib.Snapshot) (*plan, error) {
	p := &plan{ports: map[uint16]planPort{}, routes: map[netip.Prefix]planRoute{}}
	for i := range s.Ports {
		port := &s.Ports[i]
		if port.MTU == 0 {
			continue // a number that no interface has
		}
		p.ports[uint16(i)] = planPort{port.Name, port.MTU, port.MAC, port.Addr4, port.Addr6}
	}
	if s.Routes == nil {
		return p, nil
	}
	if n := s.Routes.Size(); n > RoutesMax {
		return nil, fmt.Errorf("%d routes; engine \"netstack\" takes %d, engine \"fast\" millions", n, RoutesMax)
	}
	for prefix, id := range s.Routes.All() {
		if g := &s.Groups[id]; g.Kind != fib.Unusable {
			p.routes[prefix] = p.route(prefix, g)
		}
	}
	return p, nil
}

// route translates a group. gVisor has no multipath: the first next hop takes
// all.
func (p *plan) route(prefix netip.Prefix, g *fib.Group) planRoute {
	var r planRoute
	switch {
	case g.Kind == fib.Connected:
		r = planRoute{port: g.Port}
	case g.Kind == fib.Gateway && len(g.Hops) > 0:
		r = planRoute{port: g.Hops[0].Port, via: g.Hops[0].Via.WithZone("")}
	default:
		return planRoute{discard: true}
	}
	// gVisor's forwarder ends the process where an IPv6 packet leaves by a
	// link whose MTU is below IPv6's minimum (RFC 8200 5).
	port, ok := p.ports[r.port]
	if !ok || prefix.Addr().Is6() && port.mtu < header.IPv6MinimumMTU {
		return planRoute{discard: true}
	}
	return r
}

// owns reports whether ICMPv6 errors are sent from an address.
func (p *plan) owns(a netip.Addr) bool {
	for _, port := range p.ports {
		if port.addr6 == a {
			return true
		}
	}
	return false
}

// mtu returns the MTU of the link by which a packet to dst leaves.
func (p *plan) mtu(dst netip.Addr) int {
	bits, mtu := -1, header.IPv6MinimumMTU
	for prefix, r := range p.routes {
		if prefix.Bits() > bits && prefix.Contains(dst) && !r.discard {
			bits, mtu = prefix.Bits(), p.ports[r.port].mtu
		}
	}
	return mtu
}

// apply makes gVisor's tables those of p. It runs on the goroutine that
// forwards, so no packet meets a half-changed table.
func (e *Engine) apply(p *plan) {
	links := map[uint16]*link{}
	for number, l := range *e.links.Load() {
		links[number] = l
	}
	old := e.applied
	for number := range old.ports {
		if _, ok := p.ports[number]; !ok {
			e.report(failed(e.gv.RemoveNIC(nicID(number)), "remove port %d", number))
			delete(links, number)
		}
	}
	for number, port := range p.ports {
		was, ok := old.ports[number]
		if !ok {
			links[number] = newLink(number, port.mtu, port.mac, e)
			// Else gVisor computes the transport checksums of what it forwards
			// anew, and a corrupted packet arrives as a sound one. It sends
			// nothing of its own here but ICMP, which is always summed.
			links[number].LinkEPCapabilities = stack.CapabilityTXChecksumOffload
			e.report(failed(e.gv.CreateNIC(nicID(number), links[number]), "add port %s", port.name))
		}
		links[number].SetMTU(uint32(max(port.mtu, minMTU)))
		e.setAddress(number, was.addr4, port.addr4)
		e.setAddress(number, was.addr6, port.addr6)
	}
	e.applyRoutes(old, p)
	e.links.Store(&links)
	e.applied = p
}

// setAddress replaces an address of a port. It is a host address for gVisor,
// so that there are no directed broadcasts to answer.
func (e *Engine) setAddress(number uint16, was, is netip.Addr) {
	if was == is {
		return
	}
	if was.IsValid() {
		e.report(failed(e.gv.RemoveAddress(nicID(number), toAddress(was)), "remove %s", was))
	}
	if is.IsValid() {
		e.report(failed(e.gv.AddProtocolAddress(nicID(number), tcpip.ProtocolAddress{
			Protocol:          protocolOf(is),
			AddressWithPrefix: toAddress(is).WithPrefix(),
		}, stack.AddressProperties{}), "add %s", is))
	}
}

// applyRoutes changes what differs: a route costs a walk through the list.
// Routes of removed ports are gone already.
func (e *Engine) applyRoutes(old, p *plan) {
	e.gv.RemoveRoutes(func(r tcpip.Route) bool {
		prefix := netip.PrefixFrom(fromAddress(r.Destination.ID()), r.Destination.Prefix())
		is, ok := p.routes[prefix]
		return !ok || is != old.routes[prefix]
	})
	for prefix, r := range p.routes {
		if was, ok := old.routes[prefix]; ok && was == r {
			continue
		}
		route := tcpip.Route{
			Destination: tcpip.AddressWithPrefix{Address: toAddress(prefix.Addr()), PrefixLen: prefix.Bits()}.Subnet(),
			NIC:         r.nic(),
		}
		if r.via.IsValid() {
			route.Gateway = toAddress(r.via)
		}
		e.gv.AddRoute(route)
	}
}

func (e *Engine) report(err error) {
	if err != nil {
		e.log.Error("netstack engine", "error", err)
	}
}
