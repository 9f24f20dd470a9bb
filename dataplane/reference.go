package dataplane

import "vrouter/packet"

// headerMax is how much of a frame Forward may rewrite: Ethernet and the
// first bytes of IP.
const headerMax = packet.EthernetLen + packet.IPv6Len

// ForwardReference decides as Forward does, but leaves transit to another
// forwarder (engine = "netstack"): whatever the fast path would send, resolve,
// fragment or refuse with an ICMP error comes back unchanged as Punt of
// ClassTransit, its checksum complete. MAC gate, martian checks and the TTL
// check have been passed then; errors about routes that lead nowhere and about
// scope are ours too, since gVisor has neither. GSO frames are an Exception of
// FaultSegmentTransit: Except cuts them into packets of ClassTransit.
func (w *Forwarder) ForwardReference(in uint16, f *packet.Frame) Verdict {
	var header [headerMax]byte
	whole, n := f.Data, copy(header[:], f.Data)
	v := w.decide(in, f)
	switch {
	case v.Action == Drop:
		w.count(v.Reason)
		return v
	case v.Action == Punt && v.Class != ClassResolve,
		v.Action == Exception && ownFault(v.Fault):
		return v
	}
	f.Data = whole
	copy(f.Data, header[:n])
	if f.VNet.IsGSO() {
		return except(FaultSegmentTransit, 0)
	}
	CompleteChecksum(f)
	return punt(ClassTransit)
}

// ownFault reports whether a fault is dealt with here, whichever engine
// forwards.
func ownFault(f Fault) bool {
	switch f {
	case FaultTTL, FaultSegmentLocal, FaultUnreachable, FaultBeyondScope:
		return true
	}
	return false
}
