// Package bgpwire makes BGP messages from the RFCs, byte by byte, right ones and
// wrong ones, and is a neighbour that sends them: for tests and measurements of
// how the program stands what it is sent. It shares no code with the program.
package bgpwire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"time"
)

// Types of messages (RFC 4271 4.1).
const (
	TypeOpen         = 1
	TypeUpdate       = 2
	TypeNotification = 3
	TypeKeepalive    = 4
)

// Flags of path attributes (RFC 4271 4.3).
const (
	Optional   = 0x80
	Transitive = 0x40
	Extended   = 0x10
)

// Types of path attributes.
const (
	Origin         = 1
	ASPath         = 2
	NextHop        = 3
	MED            = 4
	LocalPref      = 5
	AtomicAggr     = 6
	Aggregator     = 7
	Communities    = 8
	OriginatorID   = 9
	ClusterList    = 10
	MPReach        = 14
	MPUnreach      = 15
	ExtCommunities = 16
	AS4Path        = 17
	AS4Aggregator  = 18
	AIGP           = 26
	LargeComm      = 32
)

// HeaderLen is the length of a message's header: marker, length, type.
const HeaderLen = 19

// Message returns a message with a body.
func Message(typ byte, body []byte) []byte {
	b := slices.Repeat([]byte{0xff}, 16)
	b = binary.BigEndian.AppendUint16(b, uint16(HeaderLen+len(body)))
	return append(append(b, typ), body...)
}

// Keepalive returns a KEEPALIVE.
func Keepalive() []byte { return Message(TypeKeepalive, nil) }

// Capability returns a capability (RFC 5492 4).
func Capability(code byte, value ...byte) []byte {
	return append([]byte{code, byte(len(value))}, value...)
}

// Open returns an OPEN of a speaker with 4-byte AS numbers and both families
// (RFC 4271 4.2, RFC 6793, RFC 4760 8), and more capabilities.
func Open(asn uint32, id netip.Addr, hold uint16, more ...[]byte) []byte {
	short := uint16(23456)
	if asn < 1<<16 {
		short = uint16(asn)
	}
	caps := slices.Concat(Capability(1, 0, 1, 0, 1), Capability(1, 0, 2, 0, 1), Capability(65, binary.BigEndian.AppendUint32(nil, asn)...))
	caps = append(caps, slices.Concat(more...)...)
	b := binary.BigEndian.AppendUint16([]byte{4}, short)
	b = append(binary.BigEndian.AppendUint16(b, hold), id.AsSlice()...)
	return Message(TypeOpen, append(append(b, byte(len(caps)+2), 2, byte(len(caps))), caps...))
}

// Update returns an UPDATE (RFC 4271 4.3).
func Update(withdrawn, attributes, nlri []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(withdrawn)))
	b = append(b, withdrawn...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(attributes)))
	return Message(TypeUpdate, append(append(b, attributes...), nlri...))
}

// Attribute returns a path attribute; more than 255 bytes get the long form.
func Attribute(flags, typ byte, value ...byte) []byte {
	if len(value) > 255 {
		return append(binary.BigEndian.AppendUint16([]byte{flags | Extended, typ}, uint16(len(value))), value...)
	}
	return append([]byte{flags, typ, byte(len(value))}, value...)
}

// Segment returns a segment of an AS_PATH: 1 a set, 2 a sequence, with 4-byte
// numbers.
func Segment(typ byte, asns ...uint32) []byte {
	b := []byte{typ, byte(len(asns))}
	for _, a := range asns {
		b = binary.BigEndian.AppendUint32(b, a)
	}
	return b
}

// Prefixes returns prefixes as NLRI.
func Prefixes(list ...netip.Prefix) (b []byte) {
	for _, p := range list {
		b = append(append(b, byte(p.Bits())), p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
	}
	return b
}

// Reach returns MP_REACH_NLRI of IPv6 unicast (RFC 4760 3).
func Reach(hop netip.Addr, list ...netip.Prefix) []byte {
	value := append([]byte{0, 2, 1, 16}, hop.AsSlice()...)
	return Attribute(Optional, MPReach, append(append(value, 0), Prefixes(list...)...)...)
}

// EndOfRIB returns the markers of both families (RFC 4724 2).
func EndOfRIB() []byte {
	return append(Update(nil, nil, nil), Update(nil, Attribute(Optional, MPUnreach, 0, 2, 1), nil)...)
}

// Peer is a neighbour with a connection.
type Peer struct {
	net.Conn
	ASN uint32
}

// Notification is what a session was ended with.
type Notification struct{ Code, Subcode byte }

// Error implements error.
func (n Notification) Error() string {
	return fmt.Sprintf("NOTIFICATION %d/%d", n.Code, n.Subcode)
}

// ReadMessage reads a message; a NOTIFICATION is an error.
func (p *Peer) ReadMessage() (typ byte, body []byte, err error) {
	h := make([]byte, HeaderLen)
	if _, err := io.ReadFull(p, h); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint16(h[16:]))
	if n < HeaderLen {
		return 0, nil, errors.New("bgpwire: a message of no length")
	}
	body = make([]byte, n-HeaderLen)
	if _, err := io.ReadFull(p, body); err != nil {
		return 0, nil, err
	}
	if h[18] == TypeNotification && len(body) >= 2 {
		return h[18], body, Notification{body[0], body[1]}
	}
	return h[18], body, nil
}

// Establish exchanges OPEN and KEEPALIVE, within patience.
func (p *Peer) Establish(id netip.Addr, hold uint16, patience time.Duration, more ...[]byte) error {
	if err := p.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := p.Write(Open(p.ASN, id, hold, more...)); err != nil {
		return err
	}
	for _, want := range []byte{TypeOpen, TypeKeepalive} {
		typ, _, err := p.ReadMessage()
		if err != nil {
			return err
		}
		if typ != want {
			return fmt.Errorf("bgpwire: message of type %d, want %d", typ, want)
		}
		if want == TypeOpen {
			if _, err := p.Write(Keepalive()); err != nil {
				return err
			}
		}
	}
	return p.SetDeadline(time.Time{})
}
