package dataplane

import (
	"encoding/binary"
	"net/netip"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// ipPacket is an IP packet of either family as Output and ICMP errors need it.
type ipPacket struct {
	data        []byte // cut to its length
	src, dst    netip.Addr
	mayFragment bool // IPv4 without DF
	v6          bool
}

// parseIP parses what follows the first 14 bytes of a frame, by the version
// that it says it is of.
func parseIP(frame []byte) (p ipPacket, ok bool) {
	if len(frame) <= packet.EthernetLen {
		return p, false
	}
	b := frame[packet.EthernetLen:]
	if b[0]>>4 == 6 {
		ip, ok := packet.ParseIPv6(b)
		if !ok {
			return p, false
		}
		return ipPacket{data: ip, src: ip.Src(), dst: ip.Dst(), v6: true}, true
	}
	ip, ok := packet.ParseIPv4(b)
	if !ok {
		return p, false
	}
	return ipPacket{data: ip, src: ip.Src(), dst: ip.Dst(), mayFragment: !ip.DontFragment()}, true
}

// etherType returns the EtherType of the packet's family.
func (p *ipPacket) etherType() uint16 {
	if p.v6 {
		return packet.EtherTypeIPv6
	}
	return packet.EtherTypeIPv4
}

// Output routes a packet of our own by its destination: f.Data has 14 bytes of
// room for the Ethernet header, then IP. Transmit: the header is filled in.
// Punt: always ClassResolve; call Output again once the neighbour is known.
// Exception: FaultFragment or FaultSegment; pass it to Except. Multicast and
// link-local destinations are dropped here: see OutputOn.
func (w *Forwarder) Output(f *packet.Frame) Verdict {
	v := w.output(f)
	if v.Action == Drop {
		w.count(v.Reason)
	}
	return v
}

func (w *Forwarder) output(f *packet.Frame) Verdict {
	p, ok := parseIP(f.Data)
	if !ok {
		return drop(ReasonHeader)
	}
	if p.dst.IsMulticast() || p.dst == broadcast4 || p.v6 && p.dst.IsLinkLocalUnicast() {
		return drop(ReasonScope)
	}
	g := w.snap.Route(p.dst)
	if g == nil {
		return drop(ReasonNoRoute)
	}
	switch g.Kind {
	case fib.Connected:
		return w.outputTo(f, &p, g.Port)
	case fib.Broadcast:
		return w.emit(f, &p, g.Port, packet.Broadcast)
	case fib.Gateway:
		hop := gatewayHop(w.snap, g, &p)
		switch {
		case !w.snap.Ports[hop.Port].Up:
			return drop(ReasonUnreachable)
		case !hop.Resolved:
			return resolve(hop.Port)
		}
		return w.emit(f, &p, hop.Port, hop.MAC)
	case fib.Blackhole:
		return drop(ReasonBlackhole)
	case fib.Virtual:
		return drop(ReasonNotAccepted)
	case fib.Foreign:
		return drop(ReasonHostAddress)
	}
	return drop(ReasonUnreachable) // Unreachable, and Local: the local stack keeps such packets itself
}

// OutputOn is Output for a packet that leaves on a known port towards a
// neighbour on its link, or a multicast group, or the limited broadcast
// address. With Punt of ClassResolve the neighbour is the packet's destination
// on Verdict.Port; call OutputOn again.
func (w *Forwarder) OutputOn(port uint16, f *packet.Frame) Verdict {
	v := w.outputOn(port, f)
	if v.Action == Drop {
		w.count(v.Reason)
	}
	return v
}

func (w *Forwarder) outputOn(port uint16, f *packet.Frame) Verdict {
	p, ok := parseIP(f.Data)
	if !ok {
		return drop(ReasonHeader)
	}
	if int(port) >= len(w.snap.Ports) {
		return drop(ReasonPort)
	}
	switch {
	case p.dst.IsMulticast():
		return w.emit(f, &p, port, packet.MulticastMAC(p.dst))
	case p.dst == broadcast4:
		return w.emit(f, &p, port, packet.Broadcast)
	}
	return w.outputTo(f, &p, port)
}

var broadcast4 = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// outputTo sends a packet to its destination, a neighbour on port.
func (w *Forwarder) outputTo(f *packet.Frame, p *ipPacket, port uint16) Verdict {
	out := &w.snap.Ports[port]
	if !out.Up {
		return drop(ReasonUnreachable)
	}
	mac, ok := out.Neighbors.Lookup(p.dst)
	if !ok {
		return resolve(port)
	}
	return w.emit(f, p, port, mac)
}

// emit sends a packet on port to mac, in pieces where it has to be.
func (w *Forwarder) emit(f *packet.Frame, p *ipPacket, port uint16, mac packet.MAC) Verdict {
	out := &w.snap.Ports[port]
	if !out.Up {
		return drop(ReasonUnreachable)
	}
	fault, reason := fit(f, p.data, out, p.mayFragment)
	switch {
	case reason != ReasonNone:
		return drop(reason)
	case fault == FaultTooBig:
		return Verdict{Action: Drop, Port: port, Cause: Cause{Reason: ReasonTooBig}}
	}
	binary.BigEndian.PutUint16(f.Data[12:14], p.etherType())
	return w.send(f, len(p.data), mac, Verdict{Action: Transmit, Port: port, Cause: Cause{Fault: fault}})
}

// gatewayHop returns the next hop of a packet in a group of kind Gateway.
func gatewayHop(s *fib.Snapshot, g *fib.Group, p *ipPacket) *fib.NextHop {
	if g.Buckets != nil {
		return g.Pick(flow(s.Seed, p.data))
	}
	return &g.Hops[0]
}

// Resolve returns the neighbour that an IP packet (14 bytes of Ethernet header
// or room, then IP) waits for: a frame with verdict Punt of ClassResolve of
// Forward or Output. It is false where the packet goes to no neighbour by
// snapshot s, as with a link-local destination: then the neighbour is the
// destination on Verdict.Port.
func Resolve(s *fib.Snapshot, frame []byte) (port uint16, via netip.Addr, ok bool) {
	p, ok := parseIP(frame)
	if !ok {
		return 0, netip.Addr{}, false
	}
	g := s.Route(p.dst)
	if g == nil {
		return 0, netip.Addr{}, false
	}
	switch g.Kind {
	case fib.Connected:
		return g.Port, p.dst, true
	case fib.Gateway:
		hop := gatewayHop(s, g, &p)
		return hop.Port, hop.Via, true
	}
	return 0, netip.Addr{}, false
}
