package netstack

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"vrouter/packet"
)

// generator makes packets that a router may be sent: mostly sound ones, to and
// from addresses that matter, and now and then anything.
type generator struct{ *rand.Rand }

func pick[T any](g generator, list ...T) T { return list[g.IntN(len(list))] }

// chance is true once in n times.
func (g generator) chance(n int) bool { return g.IntN(n) == 0 }

func (g generator) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

// ttl is any, and often one that matters.
func (g generator) ttl() uint8 {
	if g.chance(4) {
		return uint8(g.IntN(4))
	}
	return uint8(2 + g.IntN(254))
}

// size is one of a payload, often near an MTU.
func (g generator) size() int {
	if g.chance(4) {
		return max(0, pick(g, 1500, 1400, 1280, 600)-packet.IPv4Len-g.IntN(40)+g.IntN(40))
	}
	return g.IntN(300)
}

// packet returns the next one.
func (g generator) packet() []byte {
	b := g.packet4()
	if g.chance(2) {
		b = g.packet6()
	}
	if g.chance(12) {
		for range 1 + g.IntN(3) {
			b[g.IntN(min(len(b), 48))] ^= 1 << g.IntN(8)
		}
		if g.chance(2) {
			b = repair(b)
		}
	}
	if g.chance(40) {
		b = b[:1+g.IntN(len(b))]
	}
	if g.chance(20) {
		b = append(b, g.bytes(g.IntN(20))...) // padding
	}
	return b
}

var sources4 = []string{
	"192.0.2.77", "192.0.2.77", "192.0.2.77", "203.0.113.77", "198.51.100.9", "198.51.100.200", "192.0.2.1", "198.51.100.193", "198.51.100.130",
	"192.0.2.255", "10.9.9.9", "0.0.0.0", "127.0.0.1", "224.0.0.5", "240.0.0.9", "255.255.255.255", "169.254.7.7",
}

var destinations4 = []string{
	"203.0.113.77", "192.0.2.9", "198.51.100.9", "198.51.100.130", "198.51.100.193", "198.51.100.200",
	"198.51.100.201", "198.51.100.33", "192.0.2.1", "203.0.113.1", "192.0.2.255", "10.9.9.9", "224.0.1.9",
	"255.255.255.255", "127.0.0.1", "0.0.0.0", "240.0.0.9", "169.254.7.7",
}

var sources6 = []string{
	"2001:db8:1::77", "2001:db8:1::77", "2001:db8:1::77", "2001:db8:2::77", "2001:db8:3::9", "2001:db8:8200::9",
	"2001:db8:1::1", "fe80::77", "::", "::1", "ff02::1", "::ffff:192.0.2.7", "2001:db8:f000::9",
	"2001:db8:8100::9", "2001:db8:8000::9",
}

var destinations6 = []string{
	"2001:db8:2::77", "2001:db8:1::9", "2001:db8:3::9", "2001:db8:8000::1", "2001:db8:8100::1", "2001:db8:8200::1",
	"2001:db8:8300::1", "2001:db8:3::33", "2001:db8:1::1", "2001:db8:2::1", "2001:db8:f000::1", "ff0e::9",
	"fe80::9", "::", "::1", "::ffff:192.0.2.7",
}

func (g generator) packet4() []byte {
	src, dst := pick(g, sources4...), pick(g, destinations4...)
	if g.chance(2) {
		src = sources4[0]
	}
	var b []byte
	switch g.IntN(5) {
	case 0, 1:
		b = datagram(src, dst, g.ttl(), g.bytes(g.size()))
	case 2:
		b = syn(src, dst, uint16(g.IntN(1<<16)))
		b[8] = g.ttl()
	case 3:
		b = echo(src, dst, g.ttl(), uint16(g.Uint32()), g.size())
	default:
		message := append([]byte{pick[byte](g, 3, 4, 5, 11, 12), 0, 0, 0, 0, 0, 0, 0}, datagram(dst, src, 1, nil)...)
		if g.chance(4) {
			message = message[:g.IntN(len(message))] // cut off
		}
		if len(message) > 3 {
			put(message[2:], packet.Checksum(packet.Sum(0, message)))
		}
		b = ip(src, dst, g.ttl(), packet.ProtoICMP, message)
	}
	b[1] = byte(g.Uint32()) // TOS
	if g.chance(3) {
		b[6] |= 0x40 // DF
	}
	if g.chance(6) {
		put(b[6:], binary.BigEndian.Uint16(b[6:])&0x4000|pick[uint16](g, 0x2000, 0x2000|uint16(g.IntN(4000)), uint16(g.IntN(8000))))
	}
	if g.chance(8) {
		b = g.options(b)
	}
	return repair(b)
}

// options puts options into an IPv4 header.
func (g generator) options(b []byte) []byte {
	o := pick(g,
		[]byte{1, 1, 1, 0},
		[]byte{7, 7, 4, 0, 0, 0, 0, 0},           // record route
		[]byte{68, 8, 5, 0, 0, 0, 0, 0},          // timestamp
		[]byte{148, 4, 0, byte(g.IntN(2))},       // router alert
		[]byte{131, 7, 4, 192, 0, 2, 9, 0},       // loose source route
		[]byte{137, 7, 4, 203, 0, 113, 9, 0},     // strict source route
		[]byte{0x88, 4, 1, 2, 0x99, 4, 9, 9},     // stream identifier, an unknown one
		[]byte{7, 1, 4, 0}, []byte{30, 40, 0, 0}, // malformed
	)
	b = append(append(append([]byte{}, b[:20]...), o...), b[20:]...)
	b[0] = 0x45 + byte(len(o)/4)
	put(b[2:], uint16(len(b)))
	return b
}

func (g generator) packet6() []byte {
	src, dst := pick(g, sources6...), pick(g, destinations6...)
	if g.chance(2) {
		src = sources6[0]
	}
	var b []byte
	switch g.IntN(5) {
	case 0, 1:
		b = datagram(src, dst, g.ttl(), g.bytes(g.size()))
	case 2:
		b = syn(src, dst, uint16(g.IntN(1<<16)))
		b[7] = g.ttl()
	case 3:
		b = echo(src, dst, g.ttl(), uint16(g.Uint32()), g.size())
	default:
		message := append([]byte{pick[byte](g, 1, 2, 3, 4, 137), 0, 0, 0, 0, 0, 0, 0}, datagram(dst, src, 1, nil)...)
		if g.chance(4) {
			message = message[:4+g.IntN(len(message)-4)] // cut off
		}
		b = ip(src, dst, g.ttl(), packet.ProtoICMPv6, sum6(src, dst, packet.ProtoICMPv6, 2, message))
	}
	put(b[0:], 0x6000|uint16(g.Uint32())&0xfff) // traffic class, flow label
	put(b[2:], uint16(g.Uint32()))
	if g.chance(6) {
		b = g.extension(b)
	}
	return b
}

// extension puts an extension header into an IPv6 packet.
func (g generator) extension(b []byte) []byte {
	next := b[6]
	kind, header := packet.ProtoHopByHop, []byte{next, 0, 1, 4, 0, 0, 0, 0}
	switch g.IntN(6) {
	case 0:
		header = []byte{next, 0, 5, 2, 0, 0, 1, 0} // router alert
	case 1:
		header = []byte{next, 0, pick[byte](g, 0x1e, 0x5e, 0x9e, 0xde), 4, 1, 2, 3, 4} // unknown, for each way to treat it
	case 2:
		kind, header = packet.ProtoRouting, []byte{next, 0, 4, byte(g.IntN(2)), 0, 0, 0, 0}
	case 3:
		kind, header = packet.ProtoFragment, []byte{next, 0, byte(g.IntN(4)), byte(g.IntN(2)), 1, 2, 3, 4}
	case 4:
		kind = packet.ProtoDestOpts
	}
	if g.chance(8) {
		header[0] = 59 // no next header
	}
	b = append(append(append([]byte{}, b[:40]...), header...), b[40:]...)
	b[6] = byte(kind)
	if g.chance(8) {
		b = b[:40+g.IntN(10)] // cut off
	}
	put(b[4:], uint16(len(b)-40))
	return b
}

func TestTheFastPathForwardsAsGVisorDoes(t *testing.T) {
	c := newContest(t)
	const packets = 4000
	seeds := 60
	if underRace {
		seeds = 5
	}
	for seed := range uint64(seeds) {
		g := generator{rand.New(rand.NewPCG(seed, 1))}
		for range packets {
			c.compare(t, pick[uint16](g, 0, 0, 1, 3), g.packet())
		}
	}
	for _, d := range deviations {
		if c.met[d.name] == 0 && !underRace { // there are few packets then
			t.Errorf("never met: %s", d.name)
		}
	}
	t.Logf("%d packets: %v", seeds*packets, c.met)
}

// FuzzReference looks for a packet that the fast path treats in another way
// than gVisor's forwarder does.
func FuzzReference(f *testing.F) {
	for _, b := range seeds() {
		f.Add(uint8(0), b)
	}
	g := generator{rand.New(rand.NewPCG(1, 2))}
	for range 50 {
		f.Add(uint8(g.IntN(2)), g.packet())
	}
	c := newContest(f)
	f.Fuzz(func(t *testing.T, in uint8, b []byte) {
		if len(b) > 0 {
			c.compare(t, uint16(in%2), repair(b))
		}
	})
}
