package dataplane

import (
	"encoding/binary"
	"net/netip"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// noRoute decides on a transit packet that no route matches.
func noRoute(scoped bool, ttl uint8) Verdict {
	switch {
	case scoped:
		return drop(ReasonScope)
	case ttl <= 1:
		return except(FaultTTL, 0)
	}
	return except(FaultNoRoute, 0)
}

// deadEnd decides on a transit packet whose route is of kind Blackhole or
// Unreachable.
func deadEnd(g *fib.Group, scoped bool, ttl uint8) Verdict {
	switch {
	case scoped:
		return drop(ReasonScope)
	case g.Kind == fib.Blackhole:
		return drop(ReasonBlackhole)
	case ttl <= 1:
		return except(FaultTTL, 0)
	}
	return except(FaultUnreachable, 0)
}

// next returns the neighbour to which transit packet b goes by group g, of
// kind Connected or Gateway, and its port.
func (w *Forwarder) next(g *fib.Group, b []byte) (port uint16, mac packet.MAC, resolved bool) {
	if g.Kind == fib.Gateway {
		hop := &g.Hops[0]
		if g.Buckets != nil {
			hop = g.Pick(flow(w.snap.Seed, b))
		}
		return hop.Port, hop.MAC, hop.Resolved
	}
	hosts := w.snap.Ports[g.Port].Neighbors
	if b[0]>>4 == 4 {
		mac, resolved = hosts.Lookup4(binary.BigEndian.Uint32(b[16:20]))
	} else {
		mac, resolved = hosts.Lookup6(binary.BigEndian.Uint64(b[24:32]), binary.BigEndian.Uint64(b[32:40]))
	}
	return g.Port, mac, resolved
}

// leave decides how transit packet b of frame f leaves by a port: the verdict
// is Transmit where it does, with the Fault for send where it has to be cut.
func (w *Forwarder) leave(f *packet.Frame, b []byte, port uint16, resolved, mayFragment bool) Verdict {
	out := &w.snap.Ports[port]
	v := Verdict{Action: Transmit, Port: port}
	switch {
	case !out.Up:
		return except(FaultUnreachable, port)
	case !resolved:
		return resolve(port)
	case len(b) <= out.MTU && !offloaded(&f.VNet):
		return v
	}
	fault, reason := fit(f, b, out, mayFragment)
	switch {
	case reason != ReasonNone:
		return drop(reason)
	case fault == FaultTooBig:
		return except(FaultTooBig, port)
	}
	v.Fault = fault
	return v
}

// kind returns the kind of group that an address leads to; ok is false where
// no route matches.
func (w *Forwarder) kind(a netip.Addr) (k fib.Kind, ok bool) {
	g := w.snap.Route(a)
	if g == nil {
		return 0, false
	}
	return g.Kind, true
}

// impostor tells why no packet from elsewhere may have the source a: it is an
// address that this router answers for, or the broadcast address of a connected
// prefix (RFC 1812 5.3.7, RFC 1122 3.2.1.3).
func (w *Forwarder) impostor(a netip.Addr) Reason {
	switch k, ok := w.kind(a); {
	case ok && (k == fib.Local || k == fib.Virtual):
		return ReasonSpoofed
	case ok && k == fib.Broadcast:
		return ReasonMartianSource
	}
	return ReasonNone
}

// ours reports whether a is an address of this router or of its host.
func (w *Forwarder) ours(a netip.Addr) bool {
	k, ok := w.kind(a)
	return ok && (k == fib.Local || k == fib.Virtual || k == fib.Foreign)
}

// offloaded reports whether a frame needs something done before it is what a
// wire carries.
func offloaded(v *packet.VNet) bool {
	return v.GSOType != packet.GSONone || v.Flags&packet.VNetNeedsCsum != 0
}

// fit tells what it takes to send frame f, which carries the IP packet b, on
// port out: nothing (0), FaultTooBig, FaultFragment or FaultSegment. A GSO
// frame is measured by the packets that it stands for. The reason is
// ReasonOffload where the virtio-net header contradicts the packet.
func fit(f *packet.Frame, b []byte, out *fib.Port, mayFragment bool) (Fault, Reason) {
	size, gso, covered := len(b), f.VNet.IsGSO(), true
	if f.VNet.Flags&packet.VNetNeedsCsum != 0 {
		start, header := int(f.VNet.CsumStart)-packet.EthernetLen, packet.IPv6Len
		if b[0]>>4 == 4 {
			header = packet.IPv4(b).HeaderLen()
		}
		if start < header || start+int(f.VNet.CsumOffset)+2 > len(b) {
			return 0, ReasonOffload
		}
	}
	if gso {
		s, ok := parseSegments(f, b)
		if !ok {
			return 0, ReasonOffload
		}
		size = min(size, s.payload-packet.EthernetLen+int(f.VNet.GSOSize))
		need := s.offload | packet.OffloadCsum
		covered = out.Offload&need == need
	}
	switch {
	case size > out.MTU && !mayFragment:
		return FaultTooBig, ReasonNone
	case gso && (!covered || size > out.MTU):
		return FaultSegment, ReasonNone
	case size > out.MTU:
		return FaultFragment, ReasonNone
	}
	return 0, ReasonNone
}

// send rewrites the Ethernet header of a frame that carries an IP packet of
// total bytes and goes to mac by port v.Port. v is Transmit; where it has a
// Fault, Except has to cut the frame before.
func (w *Forwarder) send(f *packet.Frame, total int, mac packet.MAC, v Verdict) Verdict {
	out := &w.snap.Ports[v.Port]
	d := f.Data[:packet.EthernetLen+total]
	copy(d[0:6], mac[:])
	copy(d[6:12], out.MAC[:])
	f.Data = d
	if v.Fault != 0 {
		v.Action = Exception
	} else if f.VNet.Flags&packet.VNetNeedsCsum != 0 && out.Offload&packet.OffloadCsum == 0 {
		CompleteChecksum(f)
	}
	return v
}
