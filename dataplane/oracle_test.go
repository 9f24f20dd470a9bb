package dataplane

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// The oracle forwards unicast packets slowly and obviously: from lists,
// prefix by prefix, with the checksum computed anew. It knows the outcomes by
// name, and the next hops that a transmitted packet may go to.

type outcome struct {
	what string
	hops []fib.NextHop // of "transmit"
}

func (o outcome) String() string { return fmt.Sprint(o.what, o.hops) }

func inAny(a netip.Addr, prefixes ...string) bool {
	for _, s := range prefixes {
		if netip.MustParsePrefix(s).Contains(a) {
			return true
		}
	}
	return false
}

func longestMatch(routes []route, a netip.Addr) *route {
	var best *route
	for i := range routes {
		if r := &routes[i]; r.prefix.Contains(a) && (best == nil || r.prefix.Bits() > best.prefix.Bits()) {
			best = r
		}
	}
	return best
}

// oracle4 decides on an IPv4 packet that came in on the LAN to the port's MAC.
func oracle4(b []byte, routes []route, s *fib.Snapshot) outcome {
	if len(b) < 20 || b[0]>>4 != 4 || b[0]&15 < 5 {
		return outcome{what: "header"}
	}
	hlen, total := int(b[0]&15)*4, int(b[2])<<8|int(b[3])
	if total < hlen || total > len(b) {
		return outcome{what: "header"}
	}
	if slowChecksum(b[:hlen]) != 0 {
		return outcome{what: "checksum"}
	}
	src, dst := netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	never := []string{"0.0.0.0/8", "127.0.0.0/8", "240.0.0.0/4"}
	switch {
	case dst == broadcast4:
		return outcome{what: "broadcast"}
	case inAny(dst, never...):
		return outcome{what: "martian_destination"}
	case inAny(src, append(never, "224.0.0.0/4")...):
		return outcome{what: "martian_source"}
	}
	linkLocal := inAny(src, "169.254.0.0/16") || inAny(dst, "169.254.0.0/16")
	df := b[6]&0x40 != 0
	return oracleRoute(src, dst, b[8], total, linkLocal, df, routes, s)
}

func oracle6(b []byte, routes []route, s *fib.Snapshot) outcome {
	if len(b) < 40 || b[0]>>4 != 6 {
		return outcome{what: "header"}
	}
	total := 40 + int(b[4])<<8 + int(b[5])
	if total > len(b) {
		return outcome{what: "header"}
	}
	src, dst := netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	never := []string{"::/127", "::ffff:0:0/96"}
	switch {
	case inAny(src, "ff00::/8") || inAny(src, never...):
		return outcome{what: "martian_source"}
	case inAny(dst, never...):
		return outcome{what: "martian_destination"}
	}
	if r := longestMatch(routes, src); r != nil && (r.group.Kind == fib.Local || r.group.Kind == fib.Virtual) {
		return outcome{what: "spoofed"}
	}
	if inAny(dst, "fe80::/10") {
		return outcome{what: "scope"}
	}
	if inAny(src, "fe80::/10") {
		if r := longestMatch(routes, dst); r == nil || r.group.Kind == fib.Gateway || r.group.Kind == fib.Connected || r.group.Kind == fib.Unreachable {
			return outcome{what: "beyond scope"}
		}
	}
	return oracleRoute(src, dst, b[7], total, false, true, routes, s)
}

func oracleRoute(src, dst netip.Addr, ttl byte, size int, linkLocal, df bool, routes []route, s *fib.Snapshot) outcome {
	if r := longestMatch(routes, src); r != nil && (r.group.Kind == fib.Local || r.group.Kind == fib.Virtual) {
		return outcome{what: "spoofed"}
	} else if r != nil && r.group.Kind == fib.Broadcast {
		return outcome{what: "martian_source"}
	}
	r := longestMatch(routes, dst)
	if r != nil {
		switch r.group.Kind {
		case fib.Local:
			return outcome{what: "local"}
		case fib.Virtual:
			return outcome{what: "not_accepted"}
		case fib.Broadcast:
			return outcome{what: "directed_broadcast"}
		case fib.Foreign:
			return outcome{what: "host_address"}
		}
	}
	switch {
	case linkLocal:
		return outcome{what: "scope"}
	case r != nil && r.group.Kind == fib.Blackhole:
		return outcome{what: "blackhole"}
	case ttl <= 1:
		return outcome{what: "ttl"}
	case r == nil:
		return outcome{what: "no route"}
	case r.group.Kind == fib.Unreachable:
		return outcome{what: "unreachable"}
	}
	hops := r.group.Hops
	if r.group.Kind == fib.Connected {
		mac, ok := neighbors[r.group.Port][dst.String()]
		hops = []fib.NextHop{{Port: r.group.Port, MAC: mac, Resolved: ok}}
	}
	out := s.Ports[hops[0].Port]
	switch {
	case !out.Up:
		return outcome{what: "unreachable"}
	case !hops[0].Resolved:
		return outcome{what: "resolve"}
	case size > out.MTU && df:
		return outcome{what: "too big"}
	case size > out.MTU:
		return outcome{what: "fragment", hops: hops}
	}
	return outcome{what: "transmit", hops: hops}
}

// named gives a verdict the oracle's name for it.
func named(v Verdict) string {
	switch v.Action {
	case Transmit:
		return "transmit"
	case Drop:
		return v.Reason.String()
	case Punt:
		return v.Class.String()
	}
	return map[Fault]string{
		FaultTTL: "ttl", FaultTooBig: "too big", FaultFragment: "fragment", FaultNoRoute: "no route",
		FaultUnreachable: "unreachable", FaultBeyondScope: "beyond scope",
	}[v.Fault]
}

// checkSent compares a frame that is ready to leave with the packet that came.
func checkSent(t *testing.T, got, before []byte, v Verdict, hops []fib.NextHop, s *fib.Snapshot) {
	t.Helper()
	want := bytes.Clone(before)
	if before[l3]>>4 == 4 {
		want = want[:l3+int(binary.BigEndian.Uint16(before[l3+2:]))]
		want[l3+8]--
		fixChecksum4(want[l3:])
	} else {
		want = want[:l3+40+int(binary.BigEndian.Uint16(before[l3+4:]))]
		want[l3+7]--
	}
	ok := false
	for _, h := range hops {
		copy(want, h.MAC[:])
		copy(want[6:], s.Ports[h.Port].MAC[:])
		ok = ok || h.Port == v.Port && bytes.Equal(got, want)
	}
	if !ok {
		t.Fatalf("sent on %d\n%x, want\n%x", v.Port, got, want)
	}
}

// interesting returns an address near one that means something.
func interesting(r *rand.Rand, routes []route, v6 bool) netip.Addr {
	special := []string{
		"0.0.0.0", "127.0.0.1", "255.255.255.255", "169.254.1.1", "169.254.7.9", "240.1.1.1", "192.0.2.10", "203.0.113.1",
		"198.51.100.10", "203.0.113.3", "10.5.0.10", "9.9.9.9", "192.0.2.77",
	}
	if v6 {
		special = []string{"::", "::1", "::2", "::ffff:1.2.3.4", "fe80::10", "fe80::99", "2001:db8:1::10", "2001:db8:2::1", "2001:db8:3::10", "2001:db8:2::3", "2001:dead::1"}
	}
	a := ip(special[r.IntN(len(special))])
	for r.IntN(3) > 0 {
		if p := routes[r.IntN(len(routes))].prefix; p.Addr().Is6() == v6 {
			a = p.Addr()
			break
		}
	}
	b := a.AsSlice()
	if r.IntN(3) == 0 {
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
	}
	if r.IntN(3) == 0 {
		b[len(b)-1] = byte(r.Uint32())
	}
	a, _ = netip.AddrFromSlice(b)
	return a
}

func TestForwardAgreesWithTheSlowOracle(t *testing.T) {
	routes, s := worldRoutes(), newWorld()
	w := NewForwarder()
	w.Begin(s, 1)
	r := rand.New(rand.NewPCG(20, 26))
	seen := map[string]int{}
	for i := range 200000 {
		v6 := i%2 == 1
		src, dst := interesting(r, routes, v6), interesting(r, routes, v6)
		if dst.IsMulticast() || dst == ip("fe80::1") || dst == ip("fe80::2") { // tested apart
			continue
		}
		size := []int{0, 8, 60, 100, 1240, 1460, 1480, 3000}[r.IntN(8)]
		payload := append([]byte{0xc0, byte(i >> 8), byte(i), 80}, make([]byte, size)...)
		ttl := uint8(r.IntN(4))
		var f *packet.Frame
		if v6 {
			f = from6(ip6{src: src.String(), dst: dst.String(), payload: payload})
			f.Data[l3+7] = ttl
		} else {
			f = from4(ip4{src: src.String(), dst: dst.String(), flags: uint16(r.IntN(2)) << 14, payload: payload})
			f.Data[l3+8] = ttl
			fixChecksum4(f.Data[l3:])
		}
		if r.IntN(10) == 0 {
			f.Data[l3+r.IntN(12)] ^= 1 << r.IntN(8)
		}
		f.Data = append(f.Data, make([]byte, r.IntN(3)*10)...)
		before := bytes.Clone(f.Data)
		want := oracle4(f.Data[l3:], routes, s)
		if v6 {
			want = oracle6(f.Data[l3:], routes, s)
		}
		v := w.Forward(lan, f)
		got := named(v)
		// Flipped bits may turn a packet into one with options, or for a
		// class of its own, which the oracle does not know.
		if got == "options" || got == "source_route" || got == "vrrp" || got == "bfd" || got == "nd" {
			continue
		}
		if got != want.what {
			t.Fatalf("packet %d, %s to %s: got %s, want %s\n%x", i, src, dst, got, want, before)
		}
		if got == "transmit" || got == "fragment" {
			checkSent(t, f.Data, before, v, want.hops, s)
		} else if got != "local" && !bytes.Equal(f.Data, before) {
			t.Fatalf("verdict %s, but the frame was changed", got)
		}
		seen[got]++
	}
	for _, name := range []string{
		"transmit", "fragment", "local", "resolve", "ttl", "no route", "unreachable", "beyond scope", "too big", "header",
		"checksum", "martian_source", "martian_destination", "broadcast", "directed_broadcast", "spoofed", "scope", "not_accepted", "host_address", "blackhole",
	} {
		if seen[name] < 20 {
			t.Errorf("only %d packets with outcome %s: %v", seen[name], name, seen)
		}
	}
}

// FuzzForward feeds any bytes, with any virtio-net header. Whatever leaves is
// a valid packet with a hop less.
func FuzzForward(f *testing.F) {
	vnet := func(v packet.VNet) []byte {
		return []byte{v.Flags, v.GSOType, byte(v.GSOSize >> 8), byte(v.GSOSize), byte(v.CsumStart >> 8), byte(v.CsumStart), byte(v.CsumOffset)}
	}
	for _, frame := range benchFrames() {
		f.Add(frame.Data, vnet(frame.VNet))
	}
	for _, frame := range []*packet.Frame{
		tso4("198.51.100.10", 0x18, random(3000), 1000), tso6("2001:db8:3::10", 0x18, random(3000), 1000), uso("198.51.100.10", random(3000), 1400),
		from4(ip4{dst: "10.5.0.10", options: []byte{7, 7, 4, 0, 0, 0, 0, 0}, payload: random(200)}), from4(ip4{dst: "192.0.2.2"}),
		from6(ip6{src: "fe80::10", dst: "2001:db8:2::1"}), from4(ip4{dst: "203.0.113.1", ttl: 1}), from6(ip6{dst: "2001:db8:2::1", next: 44}),
	} {
		f.Add(frame.Data, vnet(frame.VNet))
	}
	s := newWorld()
	f.Fuzz(func(t *testing.T, data, header []byte) {
		w := NewForwarder()
		w.Begin(s, 1)
		frame := &packet.Frame{Data: bytes.Clone(data)}
		if len(header) >= 7 {
			frame.VNet = packet.VNet{
				Flags: header[0], GSOType: header[1], GSOSize: binary.BigEndian.Uint16(header[2:]),
				CsumStart: binary.BigEndian.Uint16(header[4:]), CsumOffset: uint16(header[6]),
			}
		}
		for _, in := range []uint16{lan, shared} {
			g := *frame
			g.Data = bytes.Clone(frame.Data)
			v := w.Forward(in, &g)
			switch v.Action {
			case Transmit:
				checkLeaving(t, &g, s, v)
				if now, before := hopsLeft(g.Data), hopsLeft(frame.Data); now != before-1 {
					t.Fatalf("TTL %d became %d", before, now)
				}
			case Exception:
				for _, o := range w.Except(in, &g, v) {
					if o.Verdict.Action == Transmit {
						checkLeaving(t, &o.Frame, s, o.Verdict)
					}
				}
			case Punt:
				Resolve(s, g.Data)
				w.Unreachable(in, &g)
			}
			h := packet.Frame{Data: bytes.Clone(frame.Data), VNet: frame.VNet}
			if p, ok := parseIP(h.Data); !ok || !p.v6 && !packet.IPv4(p.data).HeaderOK() {
				continue // Output believes the local stack
			}
			if v := w.Output(&h); v.Action == Transmit {
				checkLeaving(t, &h, s, v)
			}
		}
	})
}

func hopsLeft(frame []byte) uint8 {
	if frame[l3]>>4 == 4 {
		return frame[l3+8]
	}
	return frame[l3+7]
}

// checkLeaving verifies a frame that is about to be sent.
func checkLeaving(t *testing.T, f *packet.Frame, s *fib.Snapshot, v Verdict) {
	t.Helper()
	out := &s.Ports[v.Port]
	e, ok := packet.ParseEthernet(f.Data)
	if !ok || e.Src() != out.MAC || !out.Up {
		t.Fatalf("sent on %s: %x", out.Name, f.Data)
	}
	n := 0
	if f.Data[l3]>>4 == 4 {
		p, ok := packet.ParseIPv4(e.Payload())
		if !ok || slowChecksum(p[:p.HeaderLen()]) != 0 {
			t.Fatalf("sent a bad header: %x", f.Data)
		}
		n = len(p)
	} else {
		p, ok := packet.ParseIPv6(e.Payload())
		if !ok {
			t.Fatalf("sent a bad header: %x", f.Data)
		}
		n = len(p)
	}
	if n != len(f.Data)-l3 {
		t.Fatalf("sent %d bytes with a packet of %d", len(f.Data)-l3, n)
	}
	if !f.VNet.IsGSO() && n > out.MTU {
		t.Fatalf("sent %d bytes, MTU %d", n, out.MTU)
	}
	if offloaded(&f.VNet) && out.Offload == 0 {
		t.Fatalf("sent %+v to a port without offloads", f.VNet)
	}
}
