package netstack

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"vrouter/packet"
)

// patience is how long a test waits for what must come; nothing is asserted
// about how fast it comes.
const patience = 10 * time.Second

// recorder keeps what a stack emits.
type recorder struct {
	mu   sync.Mutex
	sent []Packet // Data without headroom
}

func (r *recorder) emit(port uint16, frame []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, Packet{Port: port, Data: slices.Clone(frame[Headroom:])})
}

// all returns what was emitted so far.
func (r *recorder) all() []Packet {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent)
}

// find waits for a packet that fits.
func (r *recorder) find(t *testing.T, what string, fits func(Packet) bool) Packet {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		all := r.all()
		if i := slices.IndexFunc(all, fits); i >= 0 {
			return all[i]
		}
	}
	t.Fatalf("no %s among %d packets", what, len(r.all()))
	return Packet{}
}

func newStack(t *testing.T, cfg Config, emit Emit) *Stack {
	t.Helper()
	s, err := New(cfg, emit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func addresses(port uint16, prefixes ...string) []Address {
	var all []Address
	for _, p := range prefixes {
		all = append(all, Address{port, netip.MustParsePrefix(p)})
	}
	return all
}

// ip builds an IP packet of src's family.
func ip(src, dst string, ttl, proto uint8, payload []byte) []byte {
	s, d := addr(src), addr(dst)
	if s.Is4() {
		b := make([]byte, packet.IPv4Len+len(payload))
		h := packet.IPv4Header{ID: 0x1234, TTL: ttl, Protocol: proto, Src: s, Dst: d}
		h.Put(b, len(payload))
		copy(b[packet.IPv4Len:], payload)
		return b
	}
	b := make([]byte, packet.IPv6Len+len(payload))
	h := packet.IPv6Header{NextHeader: proto, HopLimit: ttl, Src: s, Dst: d}
	h.Put(b, len(payload))
	copy(b[packet.IPv6Len:], payload)
	return b
}

// echo builds an echo request.
func echo(src, dst string, ttl uint8, ident uint16, size int) []byte {
	msg := make([]byte, echoLen+size)
	msg[0] = packet.ICMPEcho
	binary.BigEndian.PutUint16(msg[4:], ident)
	if addr(src).Is4() {
		binary.BigEndian.PutUint16(msg[2:], packet.Checksum(packet.Sum(0, msg)))
		return ip(src, dst, ttl, packet.ProtoICMP, msg)
	}
	msg[0] = packet.ICMPv6Echo
	return ip(src, dst, ttl, packet.ProtoICMPv6, sum6(src, dst, packet.ProtoICMPv6, 2, msg))
}

// datagram builds a UDP datagram to port 33434.
func datagram(src, dst string, ttl uint8, payload []byte) []byte {
	b := make([]byte, 8, 8+len(payload))
	binary.BigEndian.PutUint16(b[0:], 40000)
	binary.BigEndian.PutUint16(b[2:], 33434)
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(payload)))
	return ip(src, dst, ttl, packet.ProtoUDP, sum6(src, dst, packet.ProtoUDP, 6, append(b, payload...)))
}

// syn builds a TCP SYN to a port.
func syn(src, dst string, port uint16) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b[0:], 40000)
	binary.BigEndian.PutUint16(b[2:], port)
	binary.BigEndian.PutUint32(b[4:], 1000)
	b[12], b[13] = 5<<4, 0x02
	binary.BigEndian.PutUint16(b[14:], 65535)
	return ip(src, dst, 64, packet.ProtoTCP, sum6(src, dst, packet.ProtoTCP, 16, b))
}

// sum6 puts in the checksum over pseudo header and msg, at an offset.
func sum6(src, dst string, proto uint8, at int, msg []byte) []byte {
	sum := packet.Sum(packet.PseudoHeader(addr(src), addr(dst), proto, len(msg)), msg)
	binary.BigEndian.PutUint16(msg[at:], packet.Checksum(sum))
	return msg
}

// view of a packet of either family, with its checksums verified.
type parsed struct {
	src, dst netip.Addr
	ttl      uint8
	proto    uint8
	payload  []byte
	fragment bool
}

func parse(t *testing.T, b []byte) parsed {
	t.Helper()
	if ip4, ok := packet.ParseIPv4(b); ok {
		if len(ip4) != len(b) || !ip4.HeaderOK() {
			t.Fatalf("IPv4 header: length %d of %d, checksum right: %v", len(ip4), len(b), ip4.HeaderOK())
		}
		return parsed{ip4.Src(), ip4.Dst(), ip4.TTL(), ip4.Protocol(), ip4.Payload(), ip4.MoreFragments() || ip4.FragmentOffset() > 0}
	}
	ip6, ok := packet.ParseIPv6(b)
	if !ok || len(ip6) != len(b) {
		t.Fatalf("not an IP packet: %x", b)
	}
	return parsed{ip6.Src(), ip6.Dst(), ip6.HopLimit(), ip6.NextHeader(), ip6.Payload(), ip6.NextHeader() == packet.ProtoFragment}
}

// icmpOf returns the ICMP or ICMPv6 message of a packet, with its checksum
// verified; nil where it is none.
func icmpOf(t *testing.T, b []byte) []byte {
	t.Helper()
	p := parse(t, b)
	var sum uint64
	switch {
	case p.fragment:
		return nil
	case p.src.Is4() && p.proto == packet.ProtoICMP:
	case p.src.Is6() && p.proto == packet.ProtoICMPv6:
		sum = packet.PseudoHeader(p.src, p.dst, p.proto, len(p.payload))
	default:
		return nil
	}
	if packet.Checksum(packet.Sum(sum, p.payload)) != 0 {
		t.Fatalf("ICMP checksum wrong in %x", b)
	}
	return p.payload
}

// packetBuffer makes a packet for gVisor.
func packetBuffer(b []byte) *stack.PacketBuffer {
	return stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
}

// settle waits until all that the stack had to do on port 0 is done and seen:
// its queues are in order.
func settle(t *testing.T, s *Stack, out *recorder) {
	t.Helper()
	n := len(out.all())
	s.Deliver(0, echo("192.0.2.99", "192.0.2.2", 64, uint16(n), 0))
	out.find(t, "echo reply", func(p Packet) bool {
		m := icmpOf(t, p.Data)
		return m != nil && parse(t, p.Data).dst == addr("192.0.2.99") && binary.BigEndian.Uint16(m[4:]) == uint16(n)
	})
}
