package probe

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"
)

// The network of the forwarding tests.
const (
	lanHost, lanHost6   = "192.0.2.10", "2001:db8:1::10"
	wanHost, wanHost6   = "203.0.113.10", "2001:db8:2::10"
	dmzHost, dmzHost6   = "198.51.100.10", "2001:db8:3::10"
	lanOwn, lanOwn6     = "192.0.2.2", "2001:db8:1::2"
	beyond, beyond6     = "198.51.100.225", "2001:db8:99::1"
	lanLinkLocal        = "fe80::2"
	forwardingInterface = `
[[interface]]
name = "lan"
attach = "af_packet"
device = "lan"
addresses = ["192.0.2.2/24", "fe80::2/64", "2001:db8:1::2/64"]
[[interface]]
name = "wan"
attach = "af_packet"
device = "wan"
addresses = ["203.0.113.2/24", "2001:db8:2::2/64"]
[[interface]]
name = "dmz"
attach = "af_packet"
device = "dmz"
mtu = 1300
addresses = ["198.51.100.2/26", "2001:db8:3::2/64"]
`
	forwardingRoutes = `
[[route]]
to = "198.51.100.224/27"
via = ["203.0.113.10"]
[[route]]
to = "198.51.100.128/27"
type = "blackhole"
[[route]]
to = "198.51.100.160/27"
type = "unreachable"
[[route]]
to = "198.51.100.192/27"
via = ["203.0.113.11", "203.0.113.12"]
[[route]]
to = "2001:db8:99::/48"
via = ["2001:db8:2::10"]
[[route]]
to = "2001:db8:b::/48"
type = "blackhole"
[[route]]
to = "2001:db8:c::/48"
type = "unreachable"
[[route]]
to = "2001:db8:e::/48"
via = ["2001:db8:2::11", "2001:db8:2::12"]
`
	forwardingVRRP = `
[[vrrp]]
name = "lan4"
interface = "lan"
vrid = 10
priority = 200
interval = "100ms"
addresses = ["192.0.2.1"]
[[vrrp]]
name = "lan6"
interface = "lan"
vrid = 10
priority = 200
interval = "100ms"
addresses = ["fe80::1", "2001:db8:1::1"]
[[vrrp]]
name = "deaf4"
interface = "lan"
vrid = 11
priority = 200
interval = "100ms"
accept = false
addresses = ["192.0.2.3"]
[[vrrp]]
name = "deaf6"
interface = "lan"
vrid = 11
priority = 200
interval = "100ms"
accept = false
addresses = ["fe80::3", "2001:db8:1::3"]
`
)

var (
	hostMAC  = mac{2, 0, 0, 0, 0, 0x10}
	nextMAC  = mac{2, 0, 0, 0, 0, 0x20}
	dmzMAC   = mac{2, 0, 0, 0, 0, 0x30}
	ecmpA    = mac{2, 0, 0, 0, 0, 0x2a}
	ecmpB    = mac{2, 0, 0, 0, 0, 0x2b}
	virtual4 = mac{0, 0, 0x5e, 0, 1, 10}
	virtual6 = mac{0, 0, 0x5e, 0, 2, 10}
)

// forwarding is a router that is master of everything, and its neighbours.
func forwarding(t *testing.T) *rig {
	t.Helper()
	return forwardingBy(t, "fast", "af_packet")
}

func forwardingBy(t *testing.T, engine, attach string) *rig {
	t.Helper()
	if testing.Short() && (engine != "fast" || attach != "af_packet") {
		t.Skip("takes most of a minute")
	}
	r := newRigBy(t, attach, "lan", "wan", "dmz")
	r.engine = engine
	lan, wan, dmz := r.stations["lan"], r.stations["wan"], r.stations["dmz"]
	for _, a := range []string{lanHost, lanHost6, "fe80::10"} {
		lan.neighbor(a, hostMAC)
	}
	for a, m := range map[string]mac{wanHost: nextMAC, wanHost6: nextMAC, "203.0.113.11": ecmpA, "203.0.113.12": ecmpB, "2001:db8:2::11": ecmpA, "2001:db8:2::12": ecmpB} {
		wan.neighbor(a, m)
	}
	dmz.neighbor(dmzHost, dmzMAC)
	dmz.neighbor(dmzHost6, dmzMAC)
	r.run(forwardingInterface + forwardingRoutes + forwardingVRRP)
	for _, name := range []string{"lan4", "lan6", "deaf4", "deaf6"} {
		r.waitState(name, "Master", 10*time.Second)
	}
	for _, p := range []ip4{udp4(lanHost, beyond), udp4(lanHost, dmzHost)} {
		r.probe("lan", eth(virtual4, hostMAC, typeIPv4, p.bytes()))
	}
	for _, p := range []ip6{udp6(lanHost6, beyond6), udp6(lanHost6, dmzHost6)} {
		r.probe("lan", eth(virtual6, hostMAC, typeIPv6, p.bytes()))
	}
	// The router learns who is on its LAN, for its answers.
	r.probe("wan", eth(r.mac["wan"], nextMAC, typeIPv4, udp4(beyond, lanHost).bytes()),
		eth(r.mac["wan"], nextMAC, typeIPv6, udp6(beyond6, lanHost6).bytes()))
	return r
}

// wantNothing fails where the router sent anything.
func wantNothing(t *testing.T, got []seen) {
	t.Helper()
	for _, s := range got {
		t.Errorf("sent on %v", s)
	}
}

// wantFrame fails where the router did not send exactly this.
func wantFrame(t *testing.T, got []seen, port string, frame []byte) {
	t.Helper()
	if len(got) != 1 || got[0].port != port || !bytes.Equal(got[0].frame, frame) {
		t.Errorf("sent %v\nwant %v", got, seen{port, frame})
	}
}

// wantError fails where the router did not send exactly one ICMP error about
// an IPv4 packet: with these type and code, from the address of the port that
// the packet came in on, quoting it (RFC 1812 4.3.2). It returns the message.
func wantError(t *testing.T, r *rig, got []seen, kind, code int, about []byte) []byte {
	t.Helper()
	if len(got) != 1 || got[0].port != "lan" {
		t.Fatalf("sent %v\nwant one ICMP error on lan", got)
	}
	f := got[0].frame
	src, dst := addresses(f)
	proto, m := upper(f)
	if destination(f) != hostMAC || source(f) != r.mac["lan"] || !headersOK(f) {
		t.Errorf("wrong MACs or checksums:\n%v", got[0])
	}
	switch {
	case etherType(f) == typeIPv4:
		if src != lanOwn || dst != lanHost || proto != protoICMP || f[14+8] < 2 || f[14+1]>>5 < 6 && r.engine == "fast" {
			t.Errorf("from %s to %s proto %d TTL %d TOS %#x", src, dst, proto, f[14+8], f[14+1])
		}
		if len(f)-14 > 576 || len(f)-14 < min(576, 20+8+len(about)) {
			t.Errorf("%d bytes about %d: want as much as fits in 576 (RFC 1812 4.3.2.3)", len(f)-14, len(about))
		}
	default:
		if src != lanOwn6 && src != lanLinkLocal || proto != protoICMPv6 {
			t.Errorf("from %s to %s proto %d", src, dst, proto)
		}
		if len(f)-14 != min(1280, 40+8+len(about)) {
			t.Errorf("%d bytes about %d: want as much as fits in 1280 (RFC 4443 2.4 c)", len(f)-14, len(about))
		}
	}
	if int(m[0]) != kind || int(m[1]) != code {
		t.Errorf("type %d code %d, want %d %d", m[0], m[1], kind, code)
	}
	if quote := m[8:]; !bytes.Equal(quote, about[:len(quote)]) {
		t.Errorf("the quote differs from what was sent")
	}
	return m
}

func TestForwarding(t *testing.T) {
	t.Parallel()
	forwardingChecks(t, forwarding(t))
}

func TestForwardingReference(t *testing.T) {
	t.Parallel()
	forwardingChecks(t, forwardingBy(t, "netstack", "af_packet"))
}

func TestForwardingTAP(t *testing.T) {
	t.Parallel()
	forwardingChecks(t, forwardingBy(t, "fast", "tap"))
}

func forwardingChecks(t *testing.T, r *rig) {
	for _, virtual := range []bool{true, false} {
		t.Run(fmt.Sprintf("virtual=%v", virtual), func(t *testing.T) {
			gw4, gw6 := virtual4, virtual6
			if !virtual {
				gw4, gw6 = r.mac["lan"], r.mac["lan"]
			}
			for _, ttl := range []int{2, 64, 255} {
				p := udp4(lanHost, beyond)
				p.ttl = ttl
				got := r.probe("lan", eth(gw4, hostMAC, typeIPv4, p.bytes()))
				p.ttl--
				wantFrame(t, got, "wan", eth(nextMAC, r.mac["wan"], typeIPv4, p.bytes()))
				q := udp6(lanHost6, beyond6)
				q.hops = ttl
				got = r.probe("lan", eth(gw6, hostMAC, typeIPv6, q.bytes()))
				q.hops--
				wantFrame(t, got, "wan", eth(nextMAC, r.mac["wan"], typeIPv6, q.bytes()))
			}
		})
	}
	t.Run("checks", func(t *testing.T) { forwardChecks(t, r) })
	t.Run("dropped", func(t *testing.T) { droppedChecks(t, r) })
	t.Run("errors", func(t *testing.T) { errorChecks(t, r) })
	t.Run("local", func(t *testing.T) { localChecks(t, r) })
}

// forwardChecks sends what has to come out of the other side.
func forwardChecks(t *testing.T, r *rig) {
	pass4 := func(name string, p ip4, pad int) {
		t.Run(name, func(t *testing.T) {
			got := r.probe("lan", append(eth(virtual4, hostMAC, typeIPv4, p.bytes()), make([]byte, pad)...))
			if p.ttl == 0 {
				p.ttl = 64
			}
			p.ttl--
			wantFrame(t, got, "wan", eth(nextMAC, r.mac["wan"], typeIPv4, p.bytes()))
		})
	}
	pass6 := func(name string, p ip6) {
		t.Run(name, func(t *testing.T) {
			got := r.probe("lan", append(eth(virtual6, hostMAC, typeIPv6, p.bytes()), 0, 0, 0))
			p.hops = 63
			wantFrame(t, got, "wan", eth(nextMAC, r.mac["wan"], typeIPv6, p.bytes()))
		})
	}
	p := udp4(lanHost, beyond)
	p.payload[6], p.payload[7] = 0, 0
	pass4("UDP without checksum", p, 0)
	p = udp4(lanHost, beyond)
	pass4("padding is not forwarded", p, 10)
	p.options = []byte{1, 1, 1, 0}
	pass4("no-operation options", p, 0)
	p.options = cat([]byte{7, 7, 4, 0, 0, 0, 0, 0})
	if r.engine == "fast" { // gVisor records its address, as RFC 791 3.1 has it
		pass4("record route", p, 0)
	}
	p.options = []byte{148, 4, 0, 0}
	pass4("router alert", p, 0)
	p = udp4(lanHost, beyond)
	p.tos, p.id, p.fragment = 0xb9, 0xffff, 0x4000
	pass4("DSCP, ECN, DF kept", p, 0)
	p.fragment, p.payload = 0x2000, pattern(64)
	pass4("first fragment", p, 0)
	p.fragment = 0x1234
	pass4("later fragment", p, 0)
	for i := range 8 { // the checksum's corner values: 0x0000, 0xffff
		p = udp4(lanHost, beyond)
		p.id = 0
		p.id = int(sum16(p.bytes()[:10], p.bytes()[12:20])) - i + 4
		if p.id < 0 {
			p.id += 0xffff
		}
		pass4(fmt.Sprintf("checksum %d", i), p, 0)
	}
	for _, src := range []string{"198.18.0.1", "10.0.0.1", "100.64.0.1", "192.168.1.1", "8.8.8.8"} {
		pass4("source "+src, udp4(src, beyond), 0)
	}
	q := udp6(lanHost6, beyond6)
	pass6("plain", q)
	pass6("hop-by-hop", ip6{src: lanHost6, dst: beyond6, next: 0, payload: cat([]byte{17, 0, 5, 2, 0, 0, 1, 0}, q.payload)})
	pass6("destination options", ip6{src: lanHost6, dst: beyond6, next: 60, payload: cat([]byte{17, 0, 1, 4, 0, 0, 0, 0}, q.payload)})
	pass6("fragment", ip6{src: lanHost6, dst: beyond6, next: 44, payload: cat([]byte{17, 0, 0, 9, 1, 2, 3, 4}, pattern(100))})
	pass6("no next header", ip6{src: lanHost6, dst: beyond6, next: 59})
	pass6("empty payload", ip6{src: lanHost6, dst: beyond6, next: 17})
	pass6("routing header type 0 is not ours", ip6{src: lanHost6, dst: beyond6, next: 43, payload: cat([]byte{17, 2, 0, 1, 0, 0, 0, 0}, addr(wanHost6), q.payload)})
	pass6("unique local source", udp6("fd00::1", beyond6))
	t.Run("largest", func(t *testing.T) {
		p := ip4{src: lanHost, dst: beyond, ttl: 9, proto: 17, fragment: 0x4000, payload: pattern(1480)}
		got := r.probe("lan", eth(virtual4, hostMAC, typeIPv4, p.bytes()))
		p.ttl--
		wantFrame(t, got, "wan", eth(nextMAC, r.mac["wan"], typeIPv4, p.bytes()))
	})
	t.Run("back", func(t *testing.T) {
		p := udp4(beyond, lanHost)
		p.ttl = 3
		got := r.probe("wan", eth(r.mac["wan"], nextMAC, typeIPv4, p.bytes()))
		p.ttl--
		if len(got) != 1 || source(got[0].frame) != r.mac["lan"] && source(got[0].frame) != virtual4 {
			t.Fatalf("sent %v", got)
		}
		wantFrame(t, got, "lan", eth(hostMAC, source(got[0].frame), typeIPv4, p.bytes()))
	})
	t.Run("no redirect", func(t *testing.T) {
		p := udp4(wanHost, beyond)
		p.ttl = 3
		got := r.probe("wan", eth(r.mac["wan"], mac{2, 0, 0, 0, 0, 0x21}, typeIPv4, p.bytes()))
		p.ttl--
		wantFrame(t, got, "wan", eth(nextMAC, r.mac["wan"], typeIPv4, p.bytes()))
	})
	t.Run("fragments", func(t *testing.T) { fragmentChecks(t, r) })
	t.Run("ECMP", func(t *testing.T) { ecmpChecks(t, r) })
}

// fragmentChecks sends a packet to a port with a smaller MTU (RFC 791 3.2).
func fragmentChecks(t *testing.T, r *rig) {
	for _, offset := range []int{0, 0x2000, 0x0064, 0x2064} { // whole, first, last, middle
		p := ip4{
			src: lanHost, dst: dmzHost, ttl: 9, proto: 17, id: 77, fragment: offset,
			options: []byte{148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0}, payload: pattern(1400),
		}
		if offset&0x2000 == 0 {
			p.payload = pattern(1397)
		}
		got := r.probe("lan", eth(virtual4, hostMAC, typeIPv4, p.bytes()))
		if len(got) != 2 {
			t.Fatalf("%#x: sent %v\nwant two fragments", offset, got)
		}
		data := []byte{}
		for i, s := range got {
			ip := s.frame[14:]
			hlen := int(ip[0]&15) * 4
			field := int(binary.BigEndian.Uint16(ip[6:]))
			wantField := offset&0x1fff + len(data)/8 | 0x2000
			if i == 1 {
				wantField = wantField&^0x2000 | offset&0x2000
			}
			if s.port != "dmz" || !headersOK(s.frame) || field != wantField || len(ip) > 1300 || int(binary.BigEndian.Uint16(ip[2:])) != len(ip) ||
				ip[8] != 8 || binary.BigEndian.Uint16(ip[4:]) != 77 || destination(s.frame) != dmzMAC {
				t.Errorf("%#x: fragment %d: field %#x, want %#x\n%v", offset, i, field, wantField, s)
			}
			options := ip[20:hlen]
			if r.engine == "fast" && (i == 0 && !bytes.Equal(options, p.options) || i == 1 && !bytes.Equal(options, p.options[:4])) {
				t.Errorf("%#x: fragment %d has options %x: only those with the copied flag go on (RFC 791 3.1)", offset, i, options)
			}
			data = append(data, ip[hlen:]...)
		}
		if !bytes.Equal(data, p.payload) {
			t.Errorf("%#x: the fragments' data differ", offset)
		}
	}
}

func ecmpChecks(t *testing.T, r *rig) {
	r.probe("lan", eth(virtual4, hostMAC, typeIPv4, udp4(lanHost, "198.51.100.193").bytes()), eth(virtual6, hostMAC, typeIPv6, udp6(lanHost6, "2001:db8:e::1").bytes()))
	r.probe("lan", eth(virtual4, hostMAC, typeIPv4, udp4("192.0.2.11", "198.51.100.194").bytes()), eth(virtual6, hostMAC, typeIPv6, udp6("2001:db8:1::11", "2001:db8:e::2").bytes()))
	var frames [][]byte
	for port := range 100 {
		p := udp4(lanHost, "198.51.100.193")
		p.payload = udp(lanHost, "198.51.100.193", 5000+port, 80, nil)
		q := udp6(lanHost6, "2001:db8:e::1")
		q.payload = udp(lanHost6, "2001:db8:e::1", 5000+port, 80, nil)
		f, g := eth(virtual4, hostMAC, typeIPv4, p.bytes()), eth(virtual6, hostMAC, typeIPv6, q.bytes())
		frames = append(frames, f, f, g, g)
	}
	var got []seen
	for batch := range slices.Chunk(frames, 100) { // as many as a socket's buffer holds
		got = append(got, r.probe("lan", batch...)...)
	}
	way, count := map[string]mac{}, map[mac]int{}
	for _, s := range got {
		_, datagram := upper(s.frame)
		flow := string(s.frame[12:14]) + string(datagram[:2])
		if m, ok := way[flow]; ok && m != destination(s.frame) {
			t.Errorf("one flow takes two ways")
		}
		way[flow] = destination(s.frame)
		count[destination(s.frame)]++
	}
	if len(got) != 400 || count[ecmpA] < 120 || count[ecmpB] < 120 {
		t.Errorf("%d frames, by next hop %v", len(got), count)
	}
}
