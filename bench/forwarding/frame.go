package main

import (
	"encoding/binary"
	"net"
)

// Frames that are sent, and where they go: each flow has addresses or a source
// port of its own, all from the prefixes for documentation.
const (
	frameSize   = 60 // 64 bytes on a wire, where a checksum of 4 follows
	headers     = 14 + 20 + 8
	discardPort = 9
	lowestPort  = 1024
	timeToLive  = 64

	destinations = 256 // 203.0.113.0/24
	sources      = 208 // 192.0.2.16 and up
)

// Parts of a frame, by offset.
const (
	offTTL      = 14 + 8
	offProtocol = 14 + 9
	offSum      = 14 + 10
	offSource   = 14 + 12
	offDest     = 14 + 16
	offPort     = 14 + 20
	offPayload  = headers
)

// magic is what the payload of each frame begins with.
var magic = [4]byte{'f', 'w', 'd', '?'}

// fillFrame writes the frame of a flow into b, whose length is the frame's.
func fillFrame(b []byte, to, from net.HardwareAddr, flow int) {
	clear(b)
	copy(b, to)
	copy(b[6:], from)
	binary.BigEndian.PutUint16(b[12:], 0x0800)
	ip := b[14:]
	ip[0] = 0x45
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	ip[8], ip[9] = timeToLive, 17
	copy(b[offSource:], []byte{192, 0, 2, 0})
	copy(b[offDest:], []byte{203, 0, 113, 0})
	udp := ip[20:]
	binary.BigEndian.PutUint16(udp[2:], discardPort)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	copy(b[offPayload:], magic[:])
	setFlow(b, flow)
}

// setFlow makes a frame that fillFrame has written one of another flow.
func setFlow(b []byte, flow int) {
	pair := flow / destinations
	b[offDest+3] = byte(flow)
	b[offSource+3] = byte(16 + pair%sources)
	binary.BigEndian.PutUint16(b[offPort:], uint16(lowestPort+pair/sources))
	b[offSum], b[offSum+1] = 0, 0
	var sum uint32
	for i := 14; i < offPort; i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	sum = sum>>16 + sum&0xffff
	sum += sum >> 16
	binary.BigEndian.PutUint16(b[offSum:], ^uint16(sum))
}

// forwarded reports whether a frame that has arrived is one of ours, and has
// passed a router that lowers the TTL as it must.
func forwarded(b []byte) (ours, lowered bool) {
	if len(b) < headers+len(magic) || b[12] != 8 || b[13] != 0 || b[offProtocol] != 17 ||
		[4]byte(b[offPayload:]) != magic {
		return false, false
	}
	return true, b[offTTL] == timeToLive-1
}

// stride returns a number by which to step through n flows so that each comes
// once, neighbours in time being far apart.
func stride(n int) int {
	step := max(1, n*618/1000)
	for gcd(step, n) != 1 {
		step++
	}
	return step
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
