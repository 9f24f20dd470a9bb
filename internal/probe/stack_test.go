package probe

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"
)

// fragments cuts an IPv4 packet as a host does.
func fragments(p ip4, size int) (out [][]byte) {
	for at := 0; at < len(p.payload); at += size {
		f := p
		f.payload = p.payload[at:min(at+size, len(p.payload))]
		f.fragment = at / 8
		if at+size < len(p.payload) {
			f.fragment |= 0x2000
		}
		out = append(out, f.bytes())
	}
	return out
}

// fragments6 cuts an IPv6 packet (RFC 8200 4.5).
func fragments6(p ip6, size int) (out [][]byte) {
	for at := 0; at < len(p.payload); at += size {
		f, field := p, at
		f.next = 44
		if at+size < len(p.payload) {
			field |= 1
		}
		f.payload = cat([]byte{byte(p.next), 0}, u16(field), []byte{0, 0, 9, byte(len(p.payload))}, p.payload[at:min(at+size, len(p.payload))])
		out = append(out, f.bytes())
	}
	return out
}

func TestLargePing(t *testing.T) {
	t.Parallel()
	r := forwarding(t)
	for _, size := range []int{0, 1, 1472, 1473, 3000, 20000, 65507} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			p := echo4(lanHost, "192.0.2.1", size)
			p.id = size
			var frames [][]byte
			for _, f := range fragments(p, 1480) {
				frames = append(frames, eth(virtual4, hostMAC, typeIPv4, f))
			}
			data, whole := make([]byte, len(p.payload)), 0
			for _, s := range r.probeFor(400*time.Millisecond, "lan", frames...) {
				ip := s.frame[14:]
				part := ip[int(ip[0]&15)*4 : binary.BigEndian.Uint16(ip[2:])]
				if len(ip) > 1500 || !headersOK(s.frame) {
					t.Fatalf("sent %v", s)
				}
				whole += copy(data[int(binary.BigEndian.Uint16(ip[6:])&0x1fff)*8:], part)
			}
			if whole != len(data) || data[0] != 0 || !bytes.Equal(data[4:], p.payload[4:]) || sum16(data) != 0 {
				t.Errorf("%d bytes came back of %d, or they differ", whole, len(data))
			}
		})
		t.Run(fmt.Sprintf("IPv6 %d", size), func(t *testing.T) {
			size = min(size, 65000)
			p := echo6(lanHost6, "2001:db8:1::1", size)
			frames := [][]byte{}
			if size <= 1400 {
				frames = append(frames, eth(virtual6, hostMAC, typeIPv6, p.bytes()))
			} else {
				for _, f := range fragments6(p, 1440) {
					frames = append(frames, eth(virtual6, hostMAC, typeIPv6, f))
				}
			}
			data, whole := make([]byte, len(p.payload)), 0
			for _, s := range r.probeFor(400*time.Millisecond, "lan", frames...) {
				part, at := s.frame[54:], 0
				if s.frame[20] == 44 {
					at, part = int(binary.BigEndian.Uint16(part[2:])&^7), part[8:]
				}
				if len(s.frame) > 1514 {
					t.Fatalf("sent %v", s)
				}
				whole += copy(data[at:], part)
			}
			if whole != len(data) || data[0] != 129 || !bytes.Equal(data[4:], p.payload[4:]) || sum16(pseudo("2001:db8:1::1", lanHost6, protoICMPv6, len(data)), data) != 0 {
				t.Errorf("%d bytes came back of %d, or they differ", whole, len(data))
			}
		})
	}
	t.Run("IPv6 fragments that overlap (RFC 5722)", func(t *testing.T) {
		p := echo6(lanHost6, lanOwn6, 2000)
		parts := fragments6(p, 1000)
		overlap := bytes.Clone(parts[1])
		binary.BigEndian.PutUint16(overlap[42:], binary.BigEndian.Uint16(overlap[42:])-8)
		wantNothing(t, r.probe("lan", eth(virtual6, hostMAC, typeIPv6, parts[0]), eth(virtual6, hostMAC, typeIPv6, overlap), eth(virtual6, hostMAC, typeIPv6, parts[2])))
	})
}

// TestMembership: the router joins the groups of its virtual routers and of
// its addresses (RFC 3376, RFC 3810; RFC 4291 2.8).
func TestMembership(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lan")
	r.write(forwardingInterfaceLan + forwardingVRRP)
	r.start()
	want := map[string]bool{"224.0.0.18": true, "ff02::12": true}
	for _, a := range []string{lanOwn6, "2001:db8:1::1", "fe80::1"} {
		group, _ := solicitedNode(a)
		want[group] = true
	}
	r.stations["lan"].wire.Receive(8*time.Second, func(f []byte) bool {
		for _, g := range reported(t, f) {
			delete(want, g)
		}
		return len(want) == 0
	})
	if len(want) > 0 {
		t.Errorf("never reported: %v", want)
	}
	query := eth(mac{1, 0, 0x5e, 0, 0, 1}, other, typeIPv4, ip4{src: "192.0.2.44", dst: "224.0.0.1", ttl: 1, proto: protoIGMP, options: []byte{148, 4, 0, 0}, payload: icmp4(0x11, 10, make([]byte, 8))}.bytes())
	payload := icmp6("fe80::44", "ff02::1", 130, 0, cat(u16(1000), make([]byte, 22)))
	query6 := eth(mac{0x33, 0x33, 0, 0, 0, 1}, other, typeIPv6, ip6{src: "fe80::44", dst: "ff02::1", hops: 1, next: 0, payload: cat([]byte{58, 0, 5, 2, 0, 0, 1, 0}, payload)}.bytes())
	time.Sleep(6 * time.Second)
	r.stations["lan"].wire.Drain()
	r.stations["lan"].wire.Send(query, query6)
	want = map[string]bool{"224.0.0.18": true, "ff02::12": true}
	r.stations["lan"].wire.Receive(3*time.Second, func(f []byte) bool {
		for _, g := range reported(t, f) {
			delete(want, g)
		}
		return len(want) == 0
	})
	if len(want) > 0 {
		t.Errorf("a query is not answered for %v", want)
	}
}

const forwardingInterfaceLan = vrrpInterface

// reported returns the groups that a membership report joins, and fails where
// it is not as the RFCs ask.
func reported(t *testing.T, f []byte) (groups []string) {
	t.Helper()
	switch etherType(f) {
	case typeIPv4:
		proto, m := upper(f)
		if proto != protoIGMP || m[0] != 0x22 {
			return nil
		}
		if f[14+8] != 1 || int(f[14]&15) != 6 || f[34] != 148 || sum16(m) != 0 {
			t.Errorf("IGMPv3 report %x: want TTL 1, router alert, good checksum (RFC 3376 4)", f)
		}
		for rest := m[8:]; len(rest) >= 8; rest = rest[8:] {
			groups = append(groups, text(rest[4:8]))
		}
	case typeIPv6:
		proto, m := upper(f)
		if proto != protoICMPv6 || m[0] != 143 {
			return nil
		}
		src, dst := addresses(f)
		if f[14+7] != 1 || f[20] != 0 || sum16(pseudo(src, dst, protoICMPv6, len(m)), m) != 0 || dst != "ff02::16" {
			t.Errorf("MLDv2 report %x: want hop limit 1, router alert, good checksum (RFC 3810 5)", f)
		}
		for rest := m[8:]; len(rest) >= 20; rest = rest[20:] {
			groups = append(groups, text(rest[4:20]))
		}
	}
	return groups
}
