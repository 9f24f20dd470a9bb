package dataplane

import (
	"encoding/binary"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// destination says to whom a frame is addressed on its link.
type destination uint8

const (
	toPort    destination = iota // the port's own MAC
	toVirtual                    // a virtual MAC of a Master
	toGroup                      // broadcast or multicast
	toHost                       // the device's MAC, where its frames are the kernel's
	toWatched                    // a virtual MAC of a Backup that watches for flooded frames
)

// gate tells whether the router takes a frame at all, by tag and destination
// MAC.
func (w *Forwarder) gate(p *fib.Port, d []byte) (destination, Reason) {
	switch binary.BigEndian.Uint16(d[12:14]) {
	case packet.EtherTypeVLAN, packet.EtherTypeQinQ:
		return 0, ReasonVLAN
	}
	dst := packet.MAC(d[0:6])
	switch {
	case dst == p.MAC && p.Owns:
		return toPort, ReasonNone
	case dst == p.MAC:
		return toHost, ReasonNone
	case dst.IsMulticast():
		return toGroup, ReasonNone
	case p.IsMaster(dst) && w.leased:
		return toVirtual, ReasonNone
	case p.IsMaster(dst):
		return 0, ReasonLeaseExpired
	case dst[0] != 0 || dst[1] != 0 || dst[2] != 0x5e || dst[3] != 0 || dst[4] != 1 && dst[4] != 2:
		return 0, ReasonForeignMAC
	case !p.IsWatched(dst):
		return 0, ReasonNotMaster
	case w.leased:
		return toWatched, ReasonNone
	}
	return 0, ReasonLeaseExpired
}

// host decides on a frame to the device's MAC on a port whose addresses the
// host's kernel keeps. The kernel has it as well; we need only what answers
// our own questions, advertisements of unicast peers, and BFD; and, on a port with
// Transit, what goes beyond the host, on which decide goes on.
func (w *Forwarder) host(in uint16, f *packet.Frame, etherType uint16) Verdict {
	switch etherType {
	case packet.EtherTypeARP:
		return punt(ClassARP)
	case packet.EtherTypeIPv4:
		ip, ok := packet.ParseIPv4(f.Data[packet.EthernetLen:])
		if !ok || !ip.HeaderOK() || !w.ours(ip.Dst()) {
			break
		}
		switch {
		case isVRRP4(ip):
			return w.take(f, len(ip), ClassVRRP)
		case ip.Protocol() == packet.ProtoUDP && !ip.MoreFragments() && ip.FragmentOffset() == 0 && isBFD(ip.Payload()):
			return w.take(f, len(ip), ClassBFD)
		}
	case packet.EtherTypeIPv6:
		ip, ok := packet.ParseIPv6(f.Data[packet.EthernetLen:])
		if !ok {
			break
		}
		proto, off, fragment := upperLayer6(ip)
		switch {
		case isND(ip, proto, off, fragment):
			return w.take(f, len(ip), ClassND)
		case !w.ours(ip.Dst()) && w.linkLocal(in, ip) < 0:
		case proto == packet.ProtoVRRP:
			return w.take(f, len(ip), ClassVRRP)
		case proto == packet.ProtoUDP && !fragment && isBFD(ip[off:]):
			return w.take(f, len(ip), ClassBFD)
		}
	}
	return drop(ReasonNotOurs)
}

// flooded decides on a frame to the virtual MAC of a Backup: a switch that does
// not know where its Master is has sent it to everybody. The control plane
// finds out whether the Master is still there, and keeps the packet until then,
// so it is handed over as it came. Everything else is dropped, as RFC 9568
// 6.4.2 says: advertisements never go to a virtual MAC; and who asks by ARP or
// ND for a neighbour that it knows asks again, and is answered by the next
// Master.
func (w *Forwarder) flooded(f *packet.Frame, etherType uint16) Verdict {
	switch etherType {
	case packet.EtherTypeIPv4:
		ip, ok := packet.ParseIPv4(f.Data[packet.EthernetLen:])
		if ok && ip.HeaderOK() && !isVRRP4(ip) && !ip.Dst().IsMulticast() {
			return punt(ClassFlooded)
		}
	case packet.EtherTypeIPv6:
		ip, ok := packet.ParseIPv6(f.Data[packet.EthernetLen:])
		if !ok || ip.Dst().IsMulticast() {
			break
		}
		proto, off, fragment := upperLayer6(ip)
		if proto != packet.ProtoVRRP && !isND(ip, proto, off, fragment) {
			return punt(ClassFlooded)
		}
	}
	return drop(ReasonNotMaster)
}

// take punts an IP packet of total bytes: cut to its length, its transport
// checksum complete.
func (w *Forwarder) take(f *packet.Frame, total int, c Class) Verdict {
	f.Data = f.Data[:packet.EthernetLen+total]
	CompleteChecksum(f)
	return punt(c)
}
