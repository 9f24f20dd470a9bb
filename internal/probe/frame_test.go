package probe

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
)

// What the frames are built of. Nothing here comes from the program under
// test.
const (
	typeIPv4, typeARP, typeIPv6, typeVLAN = 0x0800, 0x0806, 0x86dd, 0x8100

	protoICMP, protoIGMP, protoTCP, protoUDP, protoICMPv6, protoVRRP = 1, 2, 6, 17, 58, 112
)

type mac [6]byte

var everyone = mac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func addr(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

// text is the inverse of addr.
func text(b []byte) string { a, _ := netip.AddrFromSlice(b); return a.String() }

func u16(v int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }

func cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

// sum16 is the Internet checksum (RFC 1071): zero over what carries its own.
func sum16(parts ...[]byte) uint16 {
	b := cat(parts...)
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	s := uint32(0)
	for i := 0; i < len(b); i += 2 {
		s += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

func eth(dst, src mac, etherType int, payload []byte) []byte {
	return cat(dst[:], src[:], u16(etherType), payload)
}

// ip4 is an IPv4 packet; zero fields are the usual ones.
type ip4 struct {
	src, dst string
	ttl      int // 0: 64; -1: 0
	proto    int
	tos, id  int
	fragment int // flags and offset, as in the header
	options  []byte
	payload  []byte
}

func (p ip4) bytes() []byte {
	switch p.ttl {
	case 0:
		p.ttl = 64
	case -1:
		p.ttl = 0
	}
	hlen := 20 + len(p.options)
	h := cat([]byte{0x40 | byte(hlen/4), byte(p.tos)}, u16(hlen+len(p.payload)), u16(p.id), u16(p.fragment),
		[]byte{byte(p.ttl), byte(p.proto), 0, 0}, addr(p.src), addr(p.dst), p.options)
	binary.BigEndian.PutUint16(h[10:], sum16(h))
	return append(h, p.payload...)
}

// ip6 is an IPv6 packet.
type ip6 struct {
	src, dst string
	hops     int // 0: 64; -1: 0
	next     int
	payload  []byte
}

func (p ip6) bytes() []byte {
	switch p.hops {
	case 0:
		p.hops = 64
	case -1:
		p.hops = 0
	}
	return cat([]byte{0x60, 0, 0, 0}, u16(len(p.payload)), []byte{byte(p.next), byte(p.hops)}, addr(p.src), addr(p.dst), p.payload)
}

// pseudo is the pseudo-header of a checksum (RFC 768, RFC 8200 8.1).
func pseudo(src, dst string, proto, length int) []byte {
	return cat(addr(src), addr(dst), []byte{0, byte(proto)}, u16(length))
}

func udp(src, dst string, from, to int, data []byte) []byte {
	b := cat(u16(from), u16(to), u16(8+len(data)), u16(0), data)
	s := sum16(pseudo(src, dst, protoUDP, len(b)), b)
	if s == 0 {
		s = 0xffff
	}
	binary.BigEndian.PutUint16(b[6:], s)
	return b
}

// udp4 is a datagram to a port that nobody listens on.
func udp4(src, dst string) ip4 {
	return ip4{src: src, dst: dst, proto: protoUDP, payload: udp(src, dst, 4000, 33434, []byte("probe me"))}
}

func udp6(src, dst string) ip6 {
	return ip6{src: src, dst: dst, next: protoUDP, payload: udp(src, dst, 4000, 33434, []byte("probe me"))}
}

func icmp4(kind, code int, rest []byte) []byte {
	b := cat([]byte{byte(kind), byte(code), 0, 0}, rest)
	binary.BigEndian.PutUint16(b[2:], sum16(b))
	return b
}

func icmp6(src, dst string, kind, code int, rest []byte) []byte {
	b := cat([]byte{byte(kind), byte(code), 0, 0}, rest)
	binary.BigEndian.PutUint16(b[2:], sum16(pseudo(src, dst, protoICMPv6, len(b)), b))
	return b
}

func echo4(src, dst string, size int) ip4 {
	return ip4{src: src, dst: dst, proto: protoICMP, payload: icmp4(8, 0, cat(u16(7), u16(1), pattern(size)))}
}

func echo6(src, dst string, size int) ip6 {
	return ip6{src: src, dst: dst, next: protoICMPv6, payload: icmp6(src, dst, 128, 0, cat(u16(7), u16(1), pattern(size)))}
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// arp is an ARP packet (RFC 826).
func arp(op int, sha mac, spa string, tha mac, tpa string) []byte {
	return cat(u16(1), u16(typeIPv4), []byte{6, 4}, u16(op), sha[:], addr(spa), tha[:], addr(tpa))
}

// neighborMessage is a neighbour solicitation (135) or advertisement (136)
// with one link-layer address option; option 0 leaves it out (RFC 4861 4.3, 4.4).
func neighborMessage(src, dst string, kind int, flags byte, target string, option byte, m mac) ip6 {
	rest := cat([]byte{flags, 0, 0, 0}, addr(target))
	if option != 0 {
		rest = cat(rest, []byte{option, 1}, m[:])
	}
	return ip6{src: src, dst: dst, hops: 255, next: protoICMPv6, payload: icmp6(src, dst, kind, 0, rest)}
}

// solicitedNode is the group of an address, and its MAC (RFC 4291 2.7.1, RFC 2464 7).
func solicitedNode(a string) (group string, m mac) {
	b := addr(a)
	g := cat(addr("ff02::1:ff00:0")[:13], b[13:])
	ip, _ := netip.AddrFromSlice(g)
	return ip.String(), mac{0x33, 0x33, 0xff, b[13], b[14], b[15]}
}

func destination(frame []byte) mac { return mac(frame[0:6]) }

func source(frame []byte) mac { return mac(frame[6:12]) }

func etherType(frame []byte) int { return int(binary.BigEndian.Uint16(frame[12:14])) }

// addresses returns the source and destination of the IP packet in a frame.
func addresses(frame []byte) (src, dst string) {
	ip := frame[14:]
	if etherType(frame) == typeIPv4 {
		return text(ip[12:16]), text(ip[16:20])
	}
	return text(ip[8:24]), text(ip[24:40])
}

// upper returns the protocol and payload of the IP packet in a frame, without
// extension headers.
func upper(frame []byte) (proto int, payload []byte) {
	ip := frame[14:]
	if etherType(frame) == typeIPv4 {
		return int(ip[9]), ip[int(ip[0]&15)*4 : binary.BigEndian.Uint16(ip[2:])]
	}
	next, rest := int(ip[6]), ip[40:40+int(binary.BigEndian.Uint16(ip[4:]))]
	for next == 0 && len(rest) >= 8 {
		next, rest = int(rest[0]), rest[8+int(rest[1])*8:]
	}
	return next, rest
}

// background reports whether a frame is of the kind that routers send unasked.
func background(frame []byte) bool {
	switch etherType(frame) {
	case typeARP:
		return true
	case typeIPv4:
		proto, _ := upper(frame)
		return proto == protoVRRP || proto == protoIGMP
	case typeIPv6:
		proto, p := upper(frame)
		return proto == protoVRRP || proto == protoICMPv6 && len(p) > 0 && (p[0] >= 130 && p[0] <= 137 || p[0] == 143)
	}
	return false
}

// headersOK verifies every checksum of the frame's IP packet, if it is whole.
func headersOK(frame []byte) bool {
	ip := frame[14:]
	proto, p := upper(frame)
	src, dst := addresses(frame)
	if etherType(frame) == typeIPv4 {
		if sum16(ip[:int(ip[0]&15)*4]) != 0 {
			return false
		}
		if binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 {
			return true
		}
		if proto == protoICMP {
			return sum16(p) == 0
		}
	}
	switch proto {
	case protoUDP:
		return etherType(frame) == typeIPv4 && bytes.Equal(p[6:8], []byte{0, 0}) || sum16(pseudo(src, dst, proto, len(p)), p) == 0
	case protoTCP, protoICMPv6:
		return sum16(pseudo(src, dst, proto, len(p)), p) == 0
	}
	return true
}
