package dataplane

import (
	"encoding/binary"

	"vrouter/packet"
)

// segments describes a GSO frame: offsets from the start of the frame.
type segments struct {
	l4      int // the transport header
	payload int // what is cut
	offload packet.Offload
}

// parseSegments finds the parts of the GSO frame f, whose IP packet is b. It
// is false where the virtio-net header contradicts the packet, or the kind of
// GSO is none that we know.
func parseSegments(f *packet.Frame, b []byte) (s segments, ok bool) {
	v6 := b[0]>>4 == 6
	proto, fragment := uint8(0), false
	if v6 {
		proto, s.l4, fragment = upperLayer6(b)
	} else {
		ip := packet.IPv4(b)
		proto, s.l4 = ip.Protocol(), ip.HeaderLen()
		fragment = ip.MoreFragments() || ip.FragmentOffset() != 0
	}
	kind, want := f.VNet.GSOType&^packet.GSOECN, uint8(packet.ProtoTCP)
	switch {
	case kind == packet.GSOTCPv4 && !v6:
		s.offload = packet.OffloadTSO4
	case kind == packet.GSOTCPv6 && v6:
		s.offload = packet.OffloadTSO6
	case kind == packet.GSOUDPL4:
		s.offload, want = packet.OffloadUSO, packet.ProtoUDP
	default:
		return s, false
	}
	if proto != want || fragment || f.VNet.GSOSize == 0 {
		return s, false
	}
	header := 8
	if want == packet.ProtoTCP {
		if len(b) < s.l4+20 {
			return s, false
		}
		if header = int(b[s.l4+12]>>4) * 4; header < 20 {
			return s, false
		}
	}
	s.payload = packet.EthernetLen + s.l4 + header
	s.l4 += packet.EthernetLen
	partial := f.VNet.Flags&packet.VNetNeedsCsum != 0
	return s, s.payload <= packet.EthernetLen+len(b) && (!partial || int(f.VNet.CsumStart) == s.l4)
}

// segment cuts a GSO frame into packets with complete checksums, these into
// fragments where they exceed mtu, and appends all to w.outs with verdict v.
func (w *Forwarder) segment(f *packet.Frame, mtu int, v Verdict) {
	w.cut.reset()
	s, ok := parseSegments(f, f.Data[packet.EthernetLen:])
	for i, at := 0, s.payload; ok && (i == 0 || at < len(f.Data)); i++ {
		size := min(int(f.VNet.GSOSize), len(f.Data)-at)
		b := w.cut.get(s.payload + size)
		copy(b, f.Data[:s.payload])
		copy(b[s.payload:], f.Data[at:at+size])
		at += size
		finishSegment(b, &s, i, int(f.VNet.GSOSize), at == len(f.Data))
		if len(b)-packet.EthernetLen > mtu {
			ok = w.appendFragments(b, v.Port)
			continue
		}
		ok = len(w.outs) < maxOuts
		w.outs = append(w.outs, Out{Frame: packet.Frame{Data: b}, Verdict: v})
	}
	if !ok {
		w.outs = w.outs[:0]
		w.count(ReasonOffload)
		return
	}
	w.counts.Segmented++
}

// finishSegment turns b, a copy of the headers of a GSO frame with the i-th
// piece of its payload, into a packet of its own: lengths, identification,
// sequence number, flags and checksums.
func finishSegment(b []byte, s *segments, i, size int, last bool) {
	ip, l4 := b[packet.EthernetLen:], b[s.l4:]
	if s.offload == packet.OffloadUSO {
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
	} else {
		binary.BigEndian.PutUint32(l4[4:], binary.BigEndian.Uint32(l4[4:])+uint32(i*size))
		if !last {
			l4[13] &^= tcpFIN | tcpPSH
		}
		if i > 0 {
			l4[13] &^= tcpCWR // RFC 3168 6.1.2
		}
	}
	sum, field := uint64(len(l4)), 16
	if s.offload == packet.OffloadUSO {
		field = 6
		sum += packet.ProtoUDP
	} else {
		sum += packet.ProtoTCP
	}
	if ip[0]>>4 == 6 {
		binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-packet.IPv6Len))
		sum = packet.Sum(sum, ip[8:40])
	} else {
		binary.BigEndian.PutUint16(ip[4:], binary.BigEndian.Uint16(ip[4:])+uint16(i))
		finishHeader4(ip, s.l4-packet.EthernetLen)
		sum = packet.Sum(sum, ip[12:20])
	}
	l4[field], l4[field+1] = 0, 0
	putChecksum(l4[field:], packet.Checksum(packet.Sum(sum, l4)))
}

// putChecksum writes a transport checksum; 0 would mean none in UDP (RFC
// 768), and is the same number as 0xffff.
func putChecksum(b []byte, c uint16) {
	if c == 0 {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(b, c)
}

// CompleteChecksum finishes the partial transport checksum of a frame in
// place, and does nothing to a frame without one. A TCP GSO frame becomes one
// large packet: what a local stack takes, and no wire.
func CompleteChecksum(f *packet.Frame) {
	v := &f.VNet
	if v.Flags&packet.VNetNeedsCsum == 0 {
		return
	}
	start := int(v.CsumStart)
	field := start + int(v.CsumOffset)
	if field+2 <= len(f.Data) {
		putChecksum(f.Data[field:], packet.Checksum(packet.Sum(0, f.Data[start:])))
	}
	*v = packet.VNet{}
}
