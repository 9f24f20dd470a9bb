package dataplane

import (
	"bytes"
	"encoding/binary"

	"vrouter/packet"
)

// maxJoined is the size of the largest frame that Coalesce makes: the kernel cuts
// larger ones itself (GSO_LEGACY_MAX_SIZE of <linux/netdevice.h>, less one), and
// the length of an IP packet has 16 bits.
const maxJoined = 1<<16 - 1

// TCP flags (RFC 9293 3.1).
const (
	tcpFIN = 0x01
	tcpPSH = 0x08
	tcpACK = 0x10
	tcpECE = 0x40
	tcpCWR = 0x80
)

// row is a row of TCP segments of one connection, each of which begins where the
// one before it ends and is as long as the first: what a sender with segmentation
// offload would have handed over as one frame.
type row struct {
	first, last int    // numbers of frames
	size, total int    // bytes: payload of each segment; the frame that they make
	segments    int    // how many
	next        uint32 // sequence number of what would follow
	ports       uint32 // of TCP: what differs most often between connections
}

// end lets nothing follow: what comes next of the connection must not overtake what
// stands between.
func (o *row) end() { o.segments = 0 }

// openRows is how many rows Coalesce has open at a time, of as many connections.
const openRows = 8

// rows is the scratch memory of Coalesce.
type rows struct {
	open  [openRows]row // segments: 0 where there is none
	turn  int           // the slot that the next row takes
	links []link        // by number of frame
	cut   arena
}

// link says where a frame stands in a row.
type link struct {
	next   int  // the segment that follows; 0: none
	joined bool // it follows another
}

// Coalesce joins TCP segments that leave by port out into GSO frames, where the
// port takes these, and returns what is to be transmitted, in the memory of frames.
// Segments are joined if cutting the result by its virtio-net header has the very
// same frames again, and their checksums are right (of IPv4's header Forward has
// made sure); the order within a connection stays. No frame waits for a later
// batch. Frames of a device with an XDP program come one by one, and so do those of
// one without GRO. (Linux: inet_gro_receive of net/ipv4/af_inet.c, tcp_gro_receive
// of net/ipv4/tcp_offload.c.)
func (w *Forwarder) Coalesce(out uint16, frames []*packet.Frame) []*packet.Frame {
	offload := w.snap.Ports[out].Offload
	if len(frames) < 2 || offload&packet.OffloadCsum == 0 || offload&(packet.OffloadTSO4|packet.OffloadTSO6) == 0 {
		return frames
	}
	r := &w.rows
	r.begin(len(frames))
	any := false
	for i := range frames {
		any = r.add(frames, i, offload) || any
	}
	if !any {
		return frames
	}
	kept := frames[:0]
	for i, f := range frames {
		if r.links[i].joined {
			continue
		}
		if r.links[i].next != 0 {
			r.join(frames, i)
			w.counts.Coalesced++
			w.touched = true
		}
		kept = append(kept, f)
	}
	return kept
}

// begin forgets the batch before, for one of n frames.
func (r *rows) begin(n int) {
	r.open, r.turn = [openRows]row{}, 0
	for len(r.links) < n {
		r.links = append(r.links, link{})
	}
	clear(r.links[:n])
	r.cut.reset()
}

// add takes note of a frame, and reports whether it goes on a row.
func (r *rows) add(frames []*packet.Frame, i int, offload packet.Offload) bool {
	f := frames[i]
	l4, header := tcpParts(f.Data)
	if l4 == 0 {
		return false
	}
	flags, payload, plain := f.Data[l4+13], len(f.Data)-header, !offloaded(&f.VNet)
	if open := r.find(frames, f.Data, l4); open != nil {
		if plain && open.goesOn(frames, f.Data, l4, header) {
			r.links[open.last].next, r.links[i].joined = i, true
			open.last, open.next = i, open.next+uint32(payload)
			open.total += payload
			if open.segments++; payload < open.size || flags&tcpPSH != 0 {
				open.end()
			}
			return true
		}
		open.end()
	}
	takes := packet.OffloadTSO4
	if l4 == packet.EthernetLen+packet.IPv6Len {
		takes = packet.OffloadTSO6
	}
	if plain && flags&^tcpECE == tcpACK && payload > 0 && offload&takes != 0 {
		r.open[r.turn] = row{
			first: i, last: i, size: payload, total: len(f.Data), segments: 1,
			next:  binary.BigEndian.Uint32(f.Data[l4+4:]) + uint32(payload),
			ports: binary.BigEndian.Uint32(f.Data[l4:]),
		}
		r.turn = (r.turn + 1) % openRows
	}
	return false
}

// find returns the open row of the connection that the frame b belongs to, nil
// where there is none.
func (r *rows) find(frames []*packet.Frame, b []byte, l4 int) *row {
	addresses, ports := l4-8, binary.BigEndian.Uint32(b[l4:])
	if l4 == packet.EthernetLen+packet.IPv6Len {
		addresses = l4 - 32
	}
	for i := range r.open {
		o := &r.open[i]
		if o.ports != ports || o.segments == 0 {
			continue
		}
		first := frames[o.first].Data
		if first[12] == b[12] && bytes.Equal(first[addresses:l4], b[addresses:l4]) { // EtherType, then addresses
			return o
		}
	}
	return nil
}

// goesOn reports whether the frame b, of the same connection, is the next segment
// of the row.
func (o *row) goesOn(frames []*packet.Frame, b []byte, l4, header int) bool {
	first := frames[o.first].Data
	payload := len(b) - header
	return payload > 0 && payload <= o.size && o.total+payload <= maxJoined &&
		binary.BigEndian.Uint32(b[l4+4:]) == o.next && first[l4+13] == b[l4+13]&^tcpPSH &&
		sameIP(first, b, o.segments) &&
		bytes.Equal(first[l4+8:l4+13], b[l4+8:l4+13]) && // acknowledgement, length of the header
		bytes.Equal(first[l4+14:l4+16], b[l4+14:l4+16]) && // window
		bytes.Equal(first[l4+18:header], b[l4+18:header]) && // urgent pointer, options
		(o.segments > 1 || tcpRight(first, l4)) && tcpRight(b, l4)
}

// sameIP reports whether the Ethernet and IP headers of b are those of the n-th
// packet after the one in first.
func sameIP(first, b []byte, n int) bool {
	const ip = packet.EthernetLen
	if !bytes.Equal(first[:ip], b[:ip]) {
		return false
	}
	if b[ip]>>4 == 6 {
		// All but the length and the addresses, which are the connection's.
		return bytes.Equal(first[ip:ip+4], b[ip:ip+4]) && bytes.Equal(first[ip+6:ip+8], b[ip+6:ip+8])
	}
	id := binary.BigEndian.Uint16(first[ip+4:]) + uint16(n)
	return binary.BigEndian.Uint16(b[ip+4:]) == id &&
		first[ip+1] == b[ip+1] && bytes.Equal(first[ip+6:ip+10], b[ip+6:ip+10])
}

// tcpParts returns where the TCP header of a frame begins and its payload, 0 where
// it has none, or IP options, extension headers, or is a fragment.
func tcpParts(b []byte) (l4, header int) {
	const ip = packet.EthernetLen
	if len(b) < ip+packet.IPv4Len+20 {
		return 0, 0
	}
	switch binary.BigEndian.Uint16(b[12:]) {
	case packet.EtherTypeIPv4:
		if b[ip] != 0x45 || b[ip+9] != packet.ProtoTCP || b[ip+6]&0x3f != 0 || b[ip+7] != 0 ||
			int(binary.BigEndian.Uint16(b[ip+2:])) != len(b)-ip {
			return 0, 0
		}
		l4 = ip + packet.IPv4Len
	case packet.EtherTypeIPv6:
		l4 = ip + packet.IPv6Len
		if b[ip]>>4 != 6 || b[ip+6] != packet.ProtoTCP || len(b) < l4+20 ||
			int(binary.BigEndian.Uint16(b[ip+4:])) != len(b)-l4 {
			return 0, 0
		}
	default:
		return 0, 0
	}
	header = l4 + int(b[l4+12]>>4)*4
	if header < l4+20 || header > len(b) {
		return 0, 0
	}
	return l4, header
}

// tcpRight reports whether the checksum of a TCP segment is right.
func tcpRight(b []byte, l4 int) bool {
	return packet.Fold(packet.Sum(tcpPseudo(b, l4), b[l4:])) == 0xffff
}

// tcpPseudo returns the sum of the pseudo header of the segment in b.
func tcpPseudo(b []byte, l4 int) uint64 {
	addresses := b[packet.EthernetLen+12 : packet.EthernetLen+20]
	if b[packet.EthernetLen]>>4 == 6 {
		addresses = b[packet.EthernetLen+8 : packet.EthernetLen+40]
	}
	return packet.Sum(uint64(packet.ProtoTCP)+uint64(len(b)-l4), addresses)
}

// join makes the first frame of a row the GSO frame of all of it.
func (r *rows) join(frames []*packet.Frame, first int) {
	f := frames[first]
	l4, header := tcpParts(f.Data)
	total := len(f.Data)
	for i := r.links[first].next; i != 0; i = r.links[i].next {
		total += len(frames[i].Data) - header
	}
	b := r.cut.get(total)
	at := copy(b, f.Data)
	for i := r.links[first].next; i != 0; i = r.links[i].next {
		at += copy(b[at:], frames[i].Data[header:])
		b[l4+13] |= frames[i].Data[l4+13] & tcpPSH
	}
	kind := uint8(packet.GSOTCPv4)
	if ip := b[packet.EthernetLen:]; ip[0]>>4 == 6 {
		kind = packet.GSOTCPv6
		binary.BigEndian.PutUint16(ip[4:], uint16(total-l4))
	} else {
		finishHeader4(ip, packet.IPv4Len)
	}
	binary.BigEndian.PutUint16(b[l4+16:], packet.Fold(tcpPseudo(b, l4)))
	f.VNet = packet.VNet{
		Flags: packet.VNetNeedsCsum, GSOType: kind, HdrLen: uint16(header), GSOSize: uint16(len(f.Data) - header),
		CsumStart: uint16(l4), CsumOffset: 16,
	}
	f.Data = b
}
