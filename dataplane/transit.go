package dataplane

import (
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

// kind returns the kind of group that an address leads to; ok is false where
// no route matches.
func (w *Forwarder) kind(a netip.Addr) (k fib.Kind, ok bool) {
	id, ok := w.snap.Routes.Lookup(a)
	if !ok {
		return 0, false
	}
	return w.snap.Groups[id].Kind, true
}

// isOwn reports whether a is an address that this router answers for, and so
// no source of packets from elsewhere.
func (w *Forwarder) isOwn(a netip.Addr) bool {
	k, ok := w.kind(a)
	return ok && (k == fib.Local || k == fib.Virtual)
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
		end := int(f.VNet.CsumStart) + int(f.VNet.CsumOffset) + 2
		if f.VNet.CsumStart < packet.EthernetLen || end > packet.EthernetLen+len(b) {
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
// total bytes and goes to mac by port out; fault is 0, or what has still to be
// done in Except.
func send(f *packet.Frame, total int, out *fib.Port, port uint16, mac packet.MAC, fault Fault) Verdict {
	d := f.Data[:packet.EthernetLen+total]
	copy(d[0:6], mac[:])
	copy(d[6:12], out.MAC[:])
	f.Data = d
	if fault != 0 {
		return except(fault, port)
	}
	if f.VNet.Flags&packet.VNetNeedsCsum != 0 && out.Offload&packet.OffloadCsum == 0 {
		CompleteChecksum(f)
	}
	return Verdict{Action: Transmit, Port: port}
}
