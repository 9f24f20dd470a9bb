package dataplane

import (
	"encoding/binary"

	"vrouter/packet"
)

// fragment cuts a frame that carries an IPv4 packet, itself perhaps a
// fragment, into fragments for the MTU of port, and appends them to w.outs
// (RFC 791 3.2).
func (w *Forwarder) fragment(frame []byte, port uint16) {
	w.cut.reset()
	if !w.appendFragments(frame, port) {
		w.outs = w.outs[:0]
		w.count(ReasonTooBig)
		return
	}
	w.counts.Fragmented++
}

// appendFragments is fragment without counting; it is false where the MTU has
// no room for a fragment.
func (w *Forwarder) appendFragments(frame []byte, port uint16) bool {
	ip := packet.IPv4(frame[packet.EthernetLen:])
	hlen, body, mtu := ip.HeaderLen(), ip.Payload(), w.snap.Ports[port].MTU
	if mtu < hlen+8 {
		return false
	}
	flags, offset := ip[6]&0xe0, ip.FragmentOffset()
	header := hlen
	for done, size := 0, 0; done < len(body); done += size {
		if len(w.outs) == maxOuts {
			return false
		}
		if done > 0 {
			header = packet.IPv4Len + copiedOptions(ip[packet.IPv4Len:hlen], nil)
		}
		piece, more := body[done:], flags
		if size = len(piece); size > mtu-header {
			size = (mtu - header) &^ 7
			piece, more = piece[:size], flags|0x20
		}
		b := w.cut.get(packet.EthernetLen + header + len(piece))
		copy(b, frame[:packet.EthernetLen+packet.IPv4Len])
		h := packet.IPv4(b[packet.EthernetLen:])
		if done == 0 {
			copy(h[packet.IPv4Len:], ip[packet.IPv4Len:hlen])
		} else {
			copiedOptions(ip[packet.IPv4Len:hlen], h[packet.IPv4Len:header])
		}
		h[0] = 0x40 | uint8(header/4)
		copy(h[header:], piece)
		binary.BigEndian.PutUint16(h[6:], uint16(more)<<8|uint16((offset+done)/8))
		finishHeader4(h, header)
		w.outs = append(w.outs, Out{Frame: packet.Frame{Data: b}, Verdict: Verdict{Action: Transmit, Port: port}})
	}
	return true
}

// finishHeader4 writes total length and checksum of a packet whose other
// fields are in place.
func finishHeader4(b []byte, hlen int) {
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], packet.Checksum(packet.Sum(0, b[:hlen])))
}

// copiedOptions writes to dst, unless it is nil, those of the options o that
// every fragment has (the copied flag of RFC 791 3.1), padded to whole words,
// and returns their length. The options are well formed.
func copiedOptions(o, dst []byte) int {
	n := 0
	for len(o) > 0 && o[0] != 0 {
		length := 1
		if o[0] != 1 {
			length = int(o[1])
		}
		if o[0]&0x80 != 0 {
			if dst != nil {
				copy(dst[n:], o[:length])
			}
			n += length
		}
		o = o[length:]
	}
	padded := (n + 3) &^ 3
	if dst != nil {
		clear(dst[n:padded])
	}
	return padded
}
