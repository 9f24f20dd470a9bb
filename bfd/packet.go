package bfd

import (
	"encoding/binary"
	"net/netip"
	"time"

	"vrouter/packet"
)

// Port is the UDP port of single-hop control packets (RFC 5881 4).
const Port = 3784

// TTL is that of every single-hop packet: less says that it comes from beyond the
// link (RFC 5881 5).
const TTL = 255

// Len is the length of a control packet without authentication (RFC 5880 4.1).
const Len = 24

const udpLen = 8

// version of the protocol (RFC 5880 4.1).
const version = 1

// Flags of the second byte (RFC 5880 4.1), beside the state.
const (
	flagPoll       = 0x20
	flagFinal      = 0x10
	flagAuth       = 0x04
	flagDemand     = 0x02
	flagMultipoint = 0x01
)

// Packet is a control packet.
type Packet struct {
	Diagnostic   Diagnostic
	State        State
	Poll, Final  bool
	Demand       bool
	Multiplier   uint8
	Mine, Yours  uint32        // discriminators, as the sender sees them
	DesiredTX    time.Duration // whole microseconds
	RequiredRX   time.Duration
	RequiredEcho time.Duration // what the sender can take of echoes; we send none
}

// Reason says why a packet was discarded.
type Reason uint8

// Reasons, in the order in which they are looked for (RFC 5880 6.8.6, RFC 5881 5).
const (
	OK            Reason = iota
	Short                // shorter than its headers, or than it says
	BadChecksum          // of UDP
	BadTTL               // not from the link
	BadVersion           // not 1
	BadMultiplier        // zero
	Multipoint           // the bit is set
	BadMine              // the sender has no discriminator
	BadYours             // none, and the sender says that it knows ours
	Authenticated        // and we have no key
	Unknown              // nobody is configured to be spoken to
	NumReasons
)

// String returns the reason's name as counters have it.
func (r Reason) String() string {
	return [...]string{
		"ok", "short", "checksum", "ttl", "version", "multiplier", "multipoint", "my_discriminator",
		"your_discriminator", "authenticated", "unknown_session",
	}[r]
}

// Parse reads a control packet from a UDP datagram, whose IP header has told
// addresses and TTL.
func Parse(src, dst netip.Addr, ttl uint8, udp []byte) (p Packet, reason Reason) {
	if len(udp) < udpLen+Len {
		return p, Short
	}
	length := int(binary.BigEndian.Uint16(udp[4:]))
	if length < udpLen+Len || length > len(udp) {
		return p, Short
	}
	udp = udp[:length]
	if binary.BigEndian.Uint16(udp[6:]) != 0 || src.Is6() { // RFC 768: 0 is no checksum; RFC 8200 8.1: must be there
		if packet.Fold(packet.Sum(packet.PseudoHeader(src, dst, packet.ProtoUDP, length), udp)) != 0xffff {
			return p, BadChecksum
		}
	}
	if ttl != TTL {
		return p, BadTTL
	}
	return parse(udp[udpLen:])
}

// parse reads the packet itself and checks what does not depend on a session.
func parse(b []byte) (p Packet, reason Reason) {
	flags := b[1]
	p = Packet{
		Diagnostic: Diagnostic(b[0] & 0x1f), State: State(flags >> 6),
		Poll: flags&flagPoll != 0, Final: flags&flagFinal != 0, Demand: flags&flagDemand != 0,
		Multiplier: b[2],
		Mine:       binary.BigEndian.Uint32(b[4:]), Yours: binary.BigEndian.Uint32(b[8:]),
		DesiredTX: microseconds(b[12:]), RequiredRX: microseconds(b[16:]), RequiredEcho: microseconds(b[20:]),
	}
	switch {
	case b[0]>>5 != version:
		return p, BadVersion
	case flags&flagAuth == 0 && b[3] < Len, int(b[3]) > len(b):
		return p, Short
	case p.Multiplier == 0:
		return p, BadMultiplier
	case flags&flagMultipoint != 0:
		return p, Multipoint
	case p.Mine == 0:
		return p, BadMine
	case p.Yours == 0 && p.State != Down && p.State != AdminDown:
		return p, BadYours
	case flags&flagAuth != 0:
		return p, Authenticated
	}
	return p, OK
}

func microseconds(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Microsecond
}

// AppendUDP appends the packet as a UDP datagram from a port, with its checksum.
func (p *Packet) AppendUDP(b []byte, src, dst netip.Addr, port uint16) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint16(b, port)
	b = binary.BigEndian.AppendUint16(b, Port)
	b = binary.BigEndian.AppendUint16(b, udpLen+Len)
	b = append(b, 0, 0)
	b = p.append(b)
	sum := packet.Checksum(packet.Sum(packet.PseudoHeader(src, dst, packet.ProtoUDP, udpLen+Len), b[start:]))
	if sum == 0 {
		sum = 0xffff // RFC 768
	}
	binary.BigEndian.PutUint16(b[start+6:], sum)
	return b
}

func (p *Packet) append(b []byte) []byte {
	flags := byte(p.State) << 6
	if p.Poll {
		flags |= flagPoll
	}
	if p.Final {
		flags |= flagFinal
	}
	if p.Demand {
		flags |= flagDemand
	}
	b = append(b, version<<5|byte(p.Diagnostic)&0x1f, flags, p.Multiplier, Len)
	b = binary.BigEndian.AppendUint32(b, p.Mine)
	b = binary.BigEndian.AppendUint32(b, p.Yours)
	for _, d := range []time.Duration{p.DesiredTX, p.RequiredRX, p.RequiredEcho} {
		b = binary.BigEndian.AppendUint32(b, uint32(d/time.Microsecond))
	}
	return b
}
