package packet

import "encoding/binary"

// CompleteTransport puts the transport checksum of a frame right that a sender on this
// machine has left to its device, as the two ends of a veth do: a packet socket
// tells of it, but an XDP program sees only the bytes. Such a frame has the sum of the pseudo
// header where its checksum belongs (skbuff.h, CHECKSUM_PARTIAL). Of the frames of
// a wire one in 65536 looks like that by chance; it is left alone where its
// checksum is right.
func CompleteTransport(frame []byte) {
	if len(frame) < EthernetLen {
		return
	}
	ip := frame[EthernetLen:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case EtherTypeIPv4:
		if len(ip) < 20 {
			return
		}
		header, total := int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
		fragment := binary.BigEndian.Uint16(ip[6:])&0x3fff != 0
		if header < 20 || total < header || total > len(ip) || fragment {
			return
		}
		completeTransport(ip[9], ip[12:20], ip[header:total])
	case EtherTypeIPv6:
		if len(ip) < 40 {
			return
		}
		total := 40 + int(binary.BigEndian.Uint16(ip[4:]))
		if total > len(ip) {
			return
		}
		completeTransport(ip[6], ip[8:40], ip[40:total])
	}
}

// completeTransport does so for the payload of an IP packet with these addresses.
func completeTransport(protocol byte, addresses, payload []byte) {
	var at int
	switch protocol {
	case ProtoTCP:
		at = 16
	case ProtoUDP:
		at = 6
	default:
		return
	}
	if len(payload) < at+2 {
		return
	}
	pseudo := Sum(uint64(protocol)+uint64(len(payload)), addresses)
	field := payload[at : at+2]
	if binary.BigEndian.Uint16(field) != Fold(pseudo) {
		return
	}
	if Fold(Sum(pseudo, payload)) == 0xffff {
		return // right as it is
	}
	sum := Checksum(Sum(0, payload))
	if sum == 0 && protocol == ProtoUDP {
		sum = 0xffff // RFC 768: 0 is no checksum
	}
	binary.BigEndian.PutUint16(field, sum)
}
