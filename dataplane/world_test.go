package dataplane

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// The ports of the test world.
const (
	lan    = 0 // own addresses; Master of VRID 10 in both families, watches 30 (IPv4) and 31 (IPv6)
	wan    = 1 // upstream, all offloads
	shared = 2 // addresses = "host"; Master of VRID 20
	narrow = 3 // MTU 1280, no offloads
	dead   = 4 // not up
	tiny   = 5 // MTU 100, no offloads
)

var (
	macLAN    = packet.MAC{2, 0, 0, 0, 0, 1}
	macWAN    = packet.MAC{2, 0, 0, 0, 0, 2}
	macShared = packet.MAC{2, 0, 0, 0, 0, 3}
	macNarrow = packet.MAC{2, 0, 0, 0, 0, 4}
	macTiny   = packet.MAC{2, 0, 0, 0, 0, 5}
	macHost   = packet.MAC{2, 0, 0, 0, 1, 10} // 192.0.2.10, 2001:db8:1::10, fe80::10 on lan
	macISP    = packet.MAC{2, 0, 0, 0, 2, 1}  // 203.0.113.1, 2001:db8:2::1 on wan
	macISP2   = packet.MAC{2, 0, 0, 0, 2, 3}  // 203.0.113.3, 2001:db8:2::3 on wan
	macFar    = packet.MAC{2, 0, 0, 0, 3, 1}  // 198.51.100.10, 2001:db8:3::10 on narrow
	virtual4  = packet.MAC{0, 0, 0x5e, 0, 1, 10}
	virtual6  = packet.MAC{0, 0, 0x5e, 0, 2, 10}
	virtual20 = packet.MAC{0, 0, 0x5e, 0, 1, 20}
	watched4  = packet.MAC{0, 0, 0x5e, 0, 1, 30}
	watched6  = packet.MAC{0, 0, 0x5e, 0, 2, 31}
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// bit returns the set with one VRID.
func bit(vrid uint8) (m [4]uint64) {
	m[vrid/64] = 1 << (vrid % 64)
	return m
}

const allOffloads = packet.OffloadCsum | packet.OffloadTSO4 | packet.OffloadTSO6 | packet.OffloadUSO

// route is a prefix and its group, for world and for the oracle.
type route struct {
	prefix netip.Prefix
	group  fib.Group
}

func connected(port uint16) fib.Group { return fib.Group{Kind: fib.Connected, Port: port} }

func gateway(hops ...fib.NextHop) fib.Group {
	return fib.Group{Kind: fib.Gateway, Hops: hops, Buckets: fib.Rebucket(nil, hops)}
}

func worldRoutes() []route {
	isp := fib.NextHop{Port: wan, Via: ip("203.0.113.1"), MAC: macISP, Resolved: true}
	isp2 := fib.NextHop{Port: wan, Via: ip("203.0.113.3"), MAC: macISP2, Resolved: true}
	isp6 := fib.NextHop{Port: wan, Via: ip("2001:db8:2::1"), MAC: macISP, Resolved: true}
	isp26 := fib.NextHop{Port: wan, Via: ip("2001:db8:2::3"), MAC: macISP2, Resolved: true}
	lost := fib.NextHop{Port: wan, Via: ip("203.0.113.66")}
	gone := fib.NextHop{Port: dead, Via: ip("10.9.9.1"), MAC: macISP, Resolved: true}
	r := func(s string, g fib.Group) route { return route{netip.MustParsePrefix(s), g} }
	return []route{
		r("192.0.2.2/32", fib.Group{Kind: fib.Local}),
		r("192.0.2.1/32", fib.Group{Kind: fib.Virtual}),
		r("192.0.2.3/32", fib.Group{Kind: fib.Local}), // virtual with accept
		r("192.0.2.0/24", connected(lan)),
		r("192.0.2.0/32", fib.Group{Kind: fib.Broadcast, Port: lan}),
		r("192.0.2.255/32", fib.Group{Kind: fib.Broadcast, Port: lan}),
		r("203.0.113.2/32", fib.Group{Kind: fib.Local, Port: wan}),
		r("203.0.113.0/24", connected(wan)),
		r("203.0.113.255/32", fib.Group{Kind: fib.Broadcast, Port: wan}),
		r("198.51.100.0/24", connected(narrow)),
		r("10.1.0.2/32", fib.Group{Kind: fib.Foreign, Port: shared}),
		r("10.1.0.0/24", connected(shared)),
		r("169.254.7.0/24", connected(wan)),
		r("169.254.7.1/32", fib.Group{Kind: fib.Local, Port: wan}),
		r("10.5.0.0/16", connected(tiny)),
		r("10.6.0.0/16", gateway(isp, isp2)),
		r("10.7.0.0/16", gateway(lost)),
		r("10.8.0.0/16", gateway(gone)),
		r("10.66.0.0/16", fib.Group{Kind: fib.Blackhole}),
		r("10.67.0.0/16", fib.Group{Kind: fib.Unreachable}),
		r("100.64.0.0/10", gateway(isp)),
		r("2001:db8:1::2/128", fib.Group{Kind: fib.Local}),
		r("2001:db8:1::1/128", fib.Group{Kind: fib.Virtual}),
		r("2001:db8:1::/64", connected(lan)),
		r("2001:db8:2::2/128", fib.Group{Kind: fib.Local, Port: wan}),
		r("2001:db8:2::/64", connected(wan)),
		r("2001:db8:3::/64", connected(narrow)),
		r("2001:db8:6::/48", gateway(isp6, isp26)),
		r("2001:db8:66::/48", fib.Group{Kind: fib.Blackhole}),
		r("2001:db8:67::/48", fib.Group{Kind: fib.Unreachable}),
		r("2001:db8:f000::/36", gateway(isp6)),
	}
}

// neighbors are the resolved hosts of the test world.
var neighbors = map[uint16]map[string]packet.MAC{
	lan:    {"192.0.2.10": macHost, "2001:db8:1::10": macHost, "fe80::10": macHost, "192.0.2.3": macHost},
	wan:    {"203.0.113.1": macISP, "203.0.113.3": macISP2, "2001:db8:2::1": macISP, "2001:db8:2::3": macISP2},
	narrow: {"198.51.100.10": macFar, "2001:db8:3::10": macFar},
	tiny:   {"10.5.0.10": macFar},
}

// newWorld returns the snapshot of the test world.
func newWorld() *fib.Snapshot {
	s := &fib.Snapshot{Ports: []fib.Port{
		lan: {
			Name: "lan", Up: true, MAC: macLAN, MTU: 1500, Offload: allOffloads, Owns: true,
			Masters4: bit(10), Masters6: bit(10), Watched4: bit(30), Watched6: bit(31), Addr4: ip("192.0.2.2"), Addr6: ip("2001:db8:1::2"),
			LinkLocals: []fib.LinkLocal{{Addr: ip("fe80::2").As16(), Kind: fib.Local}, {Addr: ip("fe80::1").As16(), Kind: fib.Virtual}},
		},
		wan: {
			Name: "wan", Up: true, MAC: macWAN, MTU: 1500, Offload: allOffloads, Owns: true,
			Addr4: ip("203.0.113.2"), Addr6: ip("2001:db8:2::2"),
			LinkLocals: []fib.LinkLocal{{Addr: ip("fe80::3").As16(), Kind: fib.Local}},
		},
		shared: {Name: "shared", Up: true, MAC: macShared, MTU: 1500, Masters4: bit(20), Addr4: ip("10.1.0.2")},
		narrow: {Name: "narrow", Up: true, MAC: macNarrow, MTU: 1280, Owns: true, Addr6: ip("2001:db8:3::2")},
		dead:   {Name: "dead", MAC: packet.MAC{2, 0, 0, 0, 0, 9}, MTU: 1500, Owns: true},
		tiny:   {Name: "tiny", Up: true, MAC: macTiny, MTU: 100, Owns: true, Addr4: ip("10.5.0.2")},
	}}
	for i, r := range worldRoutes() {
		s.Groups = append(s.Groups, r.group)
		s.Routes = s.Routes.With(fib.Change{Prefix: r.prefix, Group: fib.GroupID(i)})
		if r.group.Kind == fib.Local || r.group.Kind == fib.Virtual || r.group.Kind == fib.Broadcast {
			s.Own.Add(r.prefix.Addr())
		}
	}
	for port, hosts := range neighbors {
		for a, mac := range hosts {
			s.Ports[port].Neighbors = s.Ports[port].Neighbors.With(ip(a), mac)
		}
	}
	return s
}

// start returns a Forwarder in the test world.
func start() *Forwarder {
	w := NewForwarder()
	w.Begin(newWorld(), 1)
	return w
}

// dropsBy returns the drops that differ from 0, by name.
func dropsBy(w *Forwarder) map[string]uint64 {
	w.Flush()
	all := w.Counters().Drops
	m := map[string]uint64{}
	for i, n := range all {
		if n != 0 {
			m[Reason(i).String()] = n
		}
	}
	return m
}

// eth returns a frame with an Ethernet header.
func eth(dst, src packet.MAC, etherType uint16, payload []byte) *packet.Frame {
	b := make([]byte, packet.EthernetLen+len(payload))
	packet.PutEthernet(b, dst, src, etherType)
	copy(b[packet.EthernetLen:], payload)
	return &packet.Frame{Data: b}
}

// ip4 is an IPv4 packet to be made; zero values are filled in sensibly.
type ip4 struct {
	src, dst string
	ttl      uint8 // 0: 64
	proto    uint8 // 0: UDP
	tos      uint8
	id       uint16
	flags    uint16 // DF 0x4000, MF 0x2000, offset in units of 8
	options  []byte
	payload  []byte // nil: a UDP datagram from port 1000 to 2000 with 8 bytes
}

func (p ip4) bytes() []byte {
	if p.payload == nil {
		p.payload = udp(1000, 2000, []byte("payload!"))
	}
	if p.proto == 0 {
		p.proto = packet.ProtoUDP
	}
	if p.ttl == 0 {
		p.ttl = 64
	}
	h := packet.IPv4Header{TOS: p.tos, ID: p.id, TTL: p.ttl, Protocol: p.proto, Src: ip(p.src), Dst: ip(p.dst)}
	b := make([]byte, packet.IPv4Len+len(p.options)+len(p.payload))
	h.Put(b, len(p.options)+len(p.payload))
	b[0] = 0x40 | uint8(5+len(p.options)/4)
	binary.BigEndian.PutUint16(b[6:], p.flags)
	copy(b[packet.IPv4Len:], p.options)
	copy(b[packet.IPv4Len+len(p.options):], p.payload)
	fixChecksum4(b)
	return b
}

// fixChecksum4 writes the header checksum, by the book.
func fixChecksum4(b []byte) {
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], slowChecksum(b[:int(b[0]&15)*4]))
}

// slowChecksum is RFC 1071 word by word.
func slowChecksum(pieces ...[]byte) uint16 {
	sum := 0
	for _, b := range pieces {
		for i := range b {
			sum += int(b[i]) << (8 * (1 - i%2))
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// ip6 is an IPv6 packet to be made.
type ip6 struct {
	src, dst string
	hops     uint8 // 0: 64
	next     uint8 // 0: UDP, unless hopByHop
	payload  []byte
}

func (p ip6) bytes() []byte {
	if p.payload == nil {
		p.payload = udp(1000, 2000, []byte("payload!"))
	}
	if p.next == 0 {
		p.next = packet.ProtoUDP
	}
	if p.hops == 0 {
		p.hops = 64
	}
	h := packet.IPv6Header{NextHeader: p.next, HopLimit: p.hops, Src: ip(p.src), Dst: ip(p.dst)}
	b := make([]byte, packet.IPv6Len+len(p.payload))
	h.Put(b, len(p.payload))
	copy(b[packet.IPv6Len:], p.payload)
	return b
}

func udp(sport, dport uint16, data []byte) []byte {
	b := make([]byte, 8+len(data))
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	copy(b[8:], data)
	return b
}

// from4 is a frame from the host on the LAN to the router.
func from4(p ip4) *packet.Frame {
	if p.src == "" {
		p.src = "192.0.2.10"
	}
	return eth(macLAN, macHost, packet.EtherTypeIPv4, p.bytes())
}

func from6(p ip6) *packet.Frame {
	if p.src == "" {
		p.src = "2001:db8:1::10"
	}
	return eth(macLAN, macHost, packet.EtherTypeIPv6, p.bytes())
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
