package probe

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

// errorChecks sends transit packets that must cause an ICMP error.
func errorChecks(t *testing.T, r *rig) {
	f4 := func(p ip4) []byte { return eth(virtual4, hostMAC, typeIPv4, p.bytes()) }
	f6 := func(p ip6) []byte { return eth(virtual6, hostMAC, typeIPv6, p.bytes()) }
	for _, size := range []int{8, 547, 548, 549, 1400} {
		p := ip4{src: lanHost, dst: beyond, ttl: 1, proto: protoUDP, payload: udp(lanHost, beyond, 1, 2, pattern(size))}
		wantError(t, r, r.probe("lan", f4(p)), 11, 0, p.bytes())
		p.ttl = -1
		wantError(t, r, r.probe("lan", f4(p)), 11, 0, p.bytes())
		q := ip6{src: lanHost6, dst: beyond6, hops: 1, next: protoUDP, payload: udp(lanHost6, beyond6, 1, 2, pattern(size))}
		wantError(t, r, r.probe("lan", f6(q)), 3, 0, q.bytes())
		q.hops = -1
		wantError(t, r, r.probe("lan", f6(q)), 3, 0, q.bytes())
	}
	check4 := func(name, dst string, code int) {
		t.Run(name, func(t *testing.T) {
			p := udp4(lanHost, dst)
			wantError(t, r, r.probe("lan", f4(p)), 3, code, p.bytes())
		})
	}
	check4("no route", "198.51.100.100", 0)
	check4("unreachable route", "198.51.100.161", 1)
	q := udp6(lanHost6, "2001:db8:ffff::1")
	wantError(t, r, r.probe("lan", f6(q)), 1, 0, q.bytes())
	q = udp6(lanHost6, "2001:db8:c::1")
	wantError(t, r, r.probe("lan", f6(q)), 1, 0, q.bytes())
	q = udp6("fe80::10", beyond6)
	wantError(t, r, r.probe("lan", f6(q)), 1, 2, q.bytes())
	t.Run("echo about TTL", func(t *testing.T) {
		p := echo4(lanHost, beyond, 8)
		p.ttl = 1
		wantError(t, r, r.probe("lan", f4(p)), 11, 0, p.bytes())
		q := echo6(lanHost6, beyond6, 8)
		q.hops = 1
		wantError(t, r, r.probe("lan", f6(q)), 3, 0, q.bytes())
	})
	t.Run("first fragment", func(t *testing.T) {
		p := udp4(lanHost, beyond)
		p.ttl, p.fragment = 1, 0x2000
		wantError(t, r, r.probe("lan", f4(p)), 11, 0, p.bytes())
	})
	t.Run("to own MAC", func(t *testing.T) {
		p := udp4(lanHost, beyond)
		p.ttl = 1
		wantError(t, r, r.probe("lan", eth(r.mac["lan"], hostMAC, typeIPv4, p.bytes())), 11, 0, p.bytes())
	})
	t.Run("too big", func(t *testing.T) {
		p := ip4{src: lanHost, dst: dmzHost, proto: 17, fragment: 0x4000, payload: pattern(1281)}
		m := wantError(t, r, r.probe("lan", f4(p)), 3, 4, p.bytes())
		if !bytes.Equal(m[4:8], []byte{0, 0, 1300 >> 8, 1300 & 255}) {
			t.Errorf("MTU field %x (RFC 1191 4)", m[4:8])
		}
		p.payload = p.payload[:1280]
		got := r.probe("lan", f4(p))
		p.ttl = 63
		wantFrame(t, got, "dmz", eth(dmzMAC, r.mac["dmz"], typeIPv4, p.bytes()))
		q := ip6{src: lanHost6, dst: dmzHost6, next: 17, payload: pattern(1261)}
		m = wantError(t, r, r.probe("lan", f6(q)), 2, 0, q.bytes())
		if binary.BigEndian.Uint32(m[4:]) != 1300 {
			t.Errorf("MTU field %x (RFC 4443 3.2)", m[4:8])
		}
		q.payload = q.payload[:1260]
		got = r.probe("lan", f6(q))
		q.hops = 63
		wantFrame(t, got, "dmz", eth(dmzMAC, r.mac["dmz"], typeIPv6, q.bytes()))
	})
	t.Run("too big, about link multicast or to it", func(t *testing.T) {
		q := ip6{src: lanHost6, dst: dmzHost6, next: 17, payload: pattern(1300)}
		wantNothing(t, r.probe("lan", eth(mac{0x33, 0x33, 0, 0, 0, 1}, hostMAC, typeIPv6, q.bytes())))
	})
	t.Run("no neighbor", func(t *testing.T) {
		if r.engine != "fast" {
			t.Skip("gVisor's forwarder gives packets without a neighbour away, and says nothing to their sender")
		}
		p, q := udp4(lanHost, "203.0.113.99"), udp6(lanHost6, "2001:db8:2::99")
		wantError(t, r, r.probeFor(3800*time.Millisecond, "lan", f4(p)), 3, 1, p.bytes())
		wantError(t, r, r.probeFor(3800*time.Millisecond, "lan", f6(q)), 1, 3, q.bytes())
	})
	t.Run("rate limit", func(t *testing.T) {
		p, q := udp4(lanHost, beyond), udp6(lanHost6, beyond6)
		p.ttl, q.hops = 1, 1
		var frames [][]byte
		for range 1000 {
			frames = append(frames, f4(p), f6(q))
		}
		n := len(r.probeFor(500*time.Millisecond, "lan", frames...))
		if n < 10 || n > 600 {
			t.Errorf("%d errors about 2000 packets (RFC 1812 4.3.2.8, RFC 4443 2.4 f)", n)
		}
		time.Sleep(time.Second)
		wantError(t, r, r.probe("lan", f4(p)), 11, 0, p.bytes())
	})
}

// localChecks sends what the router itself has to answer, or must not.
func localChecks(t *testing.T, r *rig) {
	f4 := func(m mac, p ip4) []byte { return eth(m, hostMAC, typeIPv4, p.bytes()) }
	f6 := func(m mac, p ip6) []byte { return eth(m, hostMAC, typeIPv6, p.bytes()) }
	for _, dst := range []string{lanOwn, "192.0.2.1", "203.0.113.2", "198.51.100.2"} {
		t.Run("ping "+dst, func(t *testing.T) {
			p := echo4(lanHost, dst, 56)
			got := r.probe("lan", f4(virtual4, p))
			if len(got) != 1 || got[0].port != "lan" {
				t.Fatalf("sent %v", got)
			}
			src, to := addresses(got[0].frame)
			_, m := upper(got[0].frame)
			if src != dst || to != lanHost || m[0] != 0 || !bytes.Equal(m[4:], p.payload[4:]) || !headersOK(got[0].frame) || destination(got[0].frame) != hostMAC {
				t.Errorf("answer %v", got[0])
			}
		})
	}
	for _, dst := range []string{lanOwn6, "2001:db8:1::1", "fe80::1", "fe80::2", "2001:db8:2::2"} {
		t.Run("ping "+dst, func(t *testing.T) {
			src := lanHost6
			if dst[:4] == "fe80" {
				src = "fe80::10"
			}
			p := echo6(src, dst, 56)
			got := r.probe("lan", f6(virtual6, p))
			if len(got) != 1 || got[0].port != "lan" {
				t.Fatalf("sent %v", got)
			}
			from, to := addresses(got[0].frame)
			_, m := upper(got[0].frame)
			if from != dst || to != src || m[0] != 129 || !bytes.Equal(m[4:], p.payload[4:]) || !headersOK(got[0].frame) || destination(got[0].frame) != hostMAC {
				t.Errorf("answer %v", got[0])
			}
		})
	}
	t.Run("accept false: nothing but ARP and ND", func(t *testing.T) {
		wantNothing(t, r.probe("lan", f4(mac{0, 0, 0x5e, 0, 1, 11}, echo4(lanHost, "192.0.2.3", 8)), f4(mac{0, 0, 0x5e, 0, 1, 11}, udp4(lanHost, "192.0.2.3"))))
		wantNothing(t, r.probe("lan", f6(mac{0, 0, 0x5e, 0, 2, 11}, echo6(lanHost6, "2001:db8:1::3", 8)), f6(mac{0, 0, 0x5e, 0, 2, 11}, echo6("fe80::10", "fe80::3", 8)),
			f6(mac{0, 0, 0x5e, 0, 2, 11}, udp6(lanHost6, "2001:db8:1::3"))))
	})
	t.Run("link-local of another link", func(t *testing.T) {
		wantNothing(t, r.probe("wan", eth(r.mac["wan"], nextMAC, typeIPv6, echo6("fe80::20", "fe80::2", 8).bytes())))
	})
	t.Run("UDP port unreachable", func(t *testing.T) {
		p := udp4(lanHost, lanOwn)
		got := r.probe("lan", f4(r.mac["lan"], p))
		if len(got) != 1 {
			t.Fatalf("sent %v", got)
		}
		_, m := upper(got[0].frame)
		if m[0] != 3 || m[1] != 3 || !bytes.Equal(m[8:], p.bytes()) || !headersOK(got[0].frame) {
			t.Errorf("answer %v", got[0])
		}
		q := udp6(lanHost6, lanOwn6)
		got = r.probe("lan", f6(r.mac["lan"], q))
		if len(got) != 1 {
			t.Fatalf("sent %v", got)
		}
		_, m = upper(got[0].frame)
		if m[0] != 1 || m[1] != 4 || !bytes.Equal(m[8:], q.bytes()) || !headersOK(got[0].frame) {
			t.Errorf("answer %v", got[0])
		}
	})
	t.Run("TCP reset", func(t *testing.T) {
		syn := func(src, dst string) []byte {
			b := cat(u16(4000), u16(179), []byte{0, 0, 0, 9, 0, 0, 0, 0, 0x50, 2}, u16(1000), u16(0), u16(0))
			binary.BigEndian.PutUint16(b[16:], sum16(pseudo(src, dst, protoTCP, len(b)), b))
			return b
		}
		for _, f := range [][]byte{
			f4(r.mac["lan"], ip4{src: lanHost, dst: lanOwn, proto: protoTCP, payload: syn(lanHost, lanOwn)}),
			f6(virtual6, ip6{src: lanHost6, dst: "2001:db8:1::1", next: protoTCP, payload: syn(lanHost6, "2001:db8:1::1")}),
		} {
			got := r.probe("lan", f)
			if len(got) != 1 {
				t.Fatalf("sent %v", got)
			}
			_, m := upper(got[0].frame)
			if m[13] != 0x14 || !bytes.Equal(m[8:12], []byte{0, 0, 0, 10}) || !headersOK(got[0].frame) {
				t.Errorf("answer %v: want RST and ACK 10 (RFC 9293 3.5.2)", got[0])
			}
		}
	})
	t.Run("bad transport checksum", func(t *testing.T) {
		p, q := echo4(lanHost, lanOwn, 8), echo6(lanHost6, lanOwn6, 8)
		p.payload[2] ^= 1
		q.payload[2] ^= 1
		u := udp4(lanHost, lanOwn)
		u.payload[6] ^= 1
		wantNothing(t, r.probe("lan", f4(virtual4, p), f6(virtual6, q), f4(virtual4, u)))
	})
}
