package dataplane

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"vrouter/packet"
)

// tcp returns a TCP segment with 12 bytes of options.
func tcp(seq uint32, flags byte, data []byte) []byte {
	b := make([]byte, 32+len(data))
	binary.BigEndian.PutUint16(b, 40000)
	binary.BigEndian.PutUint16(b[2:], 80)
	binary.BigEndian.PutUint32(b[4:], seq)
	b[12], b[13] = 8<<4, flags
	copy(b[20:], []byte{1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8})
	copy(b[32:], data)
	return b
}

// gso makes a frame one that stands for packets of size bytes of payload.
func gso(f *packet.Frame, kind uint8, size int) *packet.Frame {
	partial(f)
	f.VNet.GSOType, f.VNet.GSOSize = kind, uint16(size)
	return f
}

func tso4(dst string, flags byte, data []byte, mss int) *packet.Frame {
	return gso(from4(ip4{dst: dst, id: 100, flags: 0x4000, proto: packet.ProtoTCP, payload: tcp(1<<32-1000, flags, data)}), packet.GSOTCPv4, mss)
}

func tso6(dst string, flags byte, data []byte, mss int) *packet.Frame {
	return gso(from6(ip6{dst: dst, next: packet.ProtoTCP, payload: tcp(1<<32-1000, flags, data)}), packet.GSOTCPv6, mss)
}

func uso(dst string, data []byte, size int) *packet.Frame {
	return gso(from4(ip4{dst: dst, id: 100, payload: udp(1, 2, data)}), packet.GSOUDPL4, size)
}

func random(n int) []byte {
	r, b := rand.New(rand.NewPCG(3, uint64(n))), make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestGSOFramesPassWhole(t *testing.T) {
	for name, f := range map[string]*packet.Frame{
		"TCP over IPv4": tso4("203.0.113.1", 0x18, random(40000), 1448),
		"TCP over IPv6": tso6("2001:db8:2::1", 0x18, random(40000), 1428),
		"UDP":           uso("203.0.113.1", random(40000), 1400),
		"no segments":   func() *packet.Frame { f := from4(ip4{dst: "203.0.113.1"}); partial(f); return f }(),
	} {
		n, vnet, body := len(f.Data), f.VNet, bytes.Clone(f.Data[len(f.Data)-8:])
		equal(t, name, start().Forward(lan, f), Verdict{Action: Transmit, Port: wan})
		equal(t, name+": length", len(f.Data), n)
		equal(t, name+": virtio-net header", f.VNet, vnet)
		equal(t, name+": payload unchanged", bytes.Equal(f.Data[n-8:], body), true)
	}
}

func TestPartialChecksumsAreCompletedWhereTheEgressCannot(t *testing.T) {
	for name, f := range map[string]*packet.Frame{
		"UDP":           from4(ip4{dst: "198.51.100.10", payload: udp(1, 2, random(101))}),
		"TCP":           from4(ip4{dst: "198.51.100.10", proto: packet.ProtoTCP, payload: tcp(1, 2, random(100))}),
		"TCP over IPv6": from6(ip6{dst: "2001:db8:3::10", next: packet.ProtoTCP, payload: tcp(1, 2, random(7))}),
		"to ourselves":  from4(ip4{dst: "192.0.2.2", payload: udp(1, 2, random(100))}),
		"padded":        with2(from4(ip4{dst: "198.51.100.10", payload: udp(1, 2, random(9))}), random(23)),
	} {
		padding := 0
		if name == "padded" {
			padding = 23
			f.Data = f.Data[:len(f.Data)-padding]
		}
		want := partial(f)
		f.Data = f.Data[:len(f.Data)+padding]
		at := int(f.VNet.CsumStart + f.VNet.CsumOffset)
		if v := start().Forward(lan, f); v.Action != Transmit && v.Class != ClassLocal {
			t.Fatalf("%s: %+v", name, v)
		}
		equal(t, name, binary.BigEndian.Uint16(f.Data[at:]), want)
		equal(t, name+": virtio-net header", f.VNet, packet.VNet{})
	}
}

// with2 appends padding.
func with2(f *packet.Frame, padding []byte) *packet.Frame {
	f.Data = append(f.Data, padding...)
	return f
}

// RFC 768: a UDP checksum that comes out as zero is sent as all ones.
func TestUDPChecksumsAreNeverZero(t *testing.T) {
	for i := range 1 << 16 {
		f := from4(ip4{dst: "198.51.100.10", payload: udp(uint16(i), 2, nil)})
		want := partial(f)
		start := f.VNet.CsumStart
		if want != 0xffff {
			continue
		}
		CompleteChecksum(f)
		equal(t, "checksum", binary.BigEndian.Uint16(f.Data[start+6:]), 0xffff)
		return
	}
	t.Fatal("no such datagram")
}

// slowSegments cuts a TCP or UDP GSO frame the obvious way.
func slowSegments(f *packet.Frame, size int) (all [][]byte) {
	b := f.Data[l3:]
	v6, l4 := b[0]>>4 == 6, 20
	if v6 {
		l4 = 40
	}
	isTCP := f.VNet.CsumOffset == 16
	header := l4 + 8
	if isTCP {
		header = l4 + 32
	}
	for at := header; at < len(b); at += size {
		s := bytes.Clone(b[:header])
		end := min(at+size, len(b))
		s = append(s, b[at:end]...)
		if v6 {
			binary.BigEndian.PutUint16(s[4:], uint16(len(s)-40))
		} else {
			binary.BigEndian.PutUint16(s[2:], uint16(len(s)))
			binary.BigEndian.PutUint16(s[4:], binary.BigEndian.Uint16(s[4:])+uint16(len(all)))
			fixChecksum4(s)
		}
		if isTCP {
			binary.BigEndian.PutUint32(s[l4+4:], binary.BigEndian.Uint32(s[l4+4:])+uint32(at-header))
			if end != len(b) {
				s[l4+13] &= 0xf6
			}
			if at != header {
				s[l4+13] &= 0x7f
			}
		} else {
			binary.BigEndian.PutUint16(s[l4+4:], uint16(len(s)-l4))
		}
		g := &packet.Frame{Data: append(make([]byte, l3), s...)}
		want := partial(g)
		binary.BigEndian.PutUint16(g.Data[g.VNet.CsumStart+g.VNet.CsumOffset:], want)
		all = append(all, g.Data[l3:])
	}
	return all
}

func TestSegmentsAreThoseOfTheSlowOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		data, size := random(1+r.IntN(20000)), 100+r.IntN(1100)
		flags := byte(r.Uint32())
		for name, f := range map[string]*packet.Frame{
			"TCP over IPv4": tso4("198.51.100.10", flags, data, size),
			"TCP over IPv6": tso6("2001:db8:3::10", flags, data, size),
			"UDP":           uso("198.51.100.10", data, size),
		} {
			w := start()
			outs := forwardExcept(t, w, lan, f)
			want := slowSegments(f, size) // of the frame as Forward left it
			if len(outs) != len(want) {
				t.Fatalf("%s: %d segments, want %d", name, len(outs), len(want))
			}
			for i, o := range outs {
				equal(t, "verdict", o.Verdict, Verdict{Action: Transmit, Port: narrow})
				equal(t, "virtio-net header", o.Frame.VNet, packet.VNet{})
				if !bytes.Equal(o.Frame.Data[l3:], want[i]) {
					t.Fatalf("%s, size %d: segment %d of %d:\n%x, want\n%x", name, size, i, len(want), o.Frame.Data[l3:], want[i])
				}
				if o.Frame.Data[l3+8] != 63 && o.Frame.Data[l3+7] != 63 {
					t.Fatal("TTL not decremented")
				}
			}
			w.Flush()
			equal(t, "counted", w.Counters().Segmented, 1)
		}
	}
}

func TestGSOFramesAreMeasuredByTheirSegments(t *testing.T) {
	// narrow has an MTU of 1280; IP and TCP headers take 52 and 72 bytes.
	for _, tt := range []struct {
		name  string
		frame *packet.Frame
		fault Fault
	}{
		{"fits", tso4("198.51.100.10", 0x10, random(9000), 1228), FaultSegment},
		{"one byte more", tso4("198.51.100.10", 0x10, random(9000), 1229), FaultTooBig},
		{"IPv6 fits", tso6("2001:db8:3::10", 0x10, random(9000), 1208), FaultSegment},
		{"IPv6 one byte more", tso6("2001:db8:3::10", 0x10, random(9000), 1209), FaultTooBig},
		{"UDP without DF", uso("198.51.100.10", random(9000), 1400), FaultSegment},
	} {
		v := start().Forward(lan, tt.frame)
		if v.Action != Exception || v.Fault != tt.fault {
			t.Errorf("%s: %+v", tt.name, v)
		}
	}
	s := newWorld()
	s.Ports[narrow].Offload = allOffloads
	w := NewForwarder()
	w.Begin(s, 1)
	equal(t, "with offloads", w.Forward(lan, tso4("198.51.100.10", 0x10, random(9000), 1228)).Action, Transmit)
	s.Ports[narrow].Offload = packet.OffloadTSO4 // needs checksums as well
	equal(t, "TSO without checksums", w.Forward(lan, tso4("198.51.100.10", 0x10, random(9000), 1228)).Fault, FaultSegment)
}

func TestSegmentsThatExceedTheMTUAreFragmented(t *testing.T) {
	data := random(9000)
	f := uso("198.51.100.10", data, 1400)
	outs := forwardExcept(t, start(), lan, f)
	var got []byte
	for i := 0; i < len(outs); {
		n := i + 1
		for outs[n-1].Frame.Data[l3+6]&0x20 != 0 {
			n++
		}
		payload, _, _ := reassemble(t, frames(outs[i:n]))
		got, i = append(got, payload[8:]...), n
	}
	equal(t, "datagrams", bytes.Equal(got, data), true)
	equal(t, "frames", len(outs), 7+6) // the last datagram, of 600 bytes, is whole
}

func TestTooBigGSOFramesCauseAnErrorAboutTheirStart(t *testing.T) {
	f := tso4("198.51.100.10", 0x10, random(30000), 1448)
	got, port := one(t, forwardExcept(t, start(), lan, f))
	equal(t, "port", port, lan)
	equal(t, "type, code", [2]byte(got[l3+20:]), [2]byte{3, 4})
	equal(t, "MTU", binary.BigEndian.Uint16(got[l3+26:]), 1280)
	equal(t, "length", len(got), l3+576)
}

func TestLargeTCPForTheRouterItselfIsOnePacket(t *testing.T) {
	f := tso4("192.0.2.2", 0x18, random(30000), 1448)
	f2 := *f
	want := partial(&f2)
	equal(t, "verdict", start().Forward(lan, f), punt(ClassLocal))
	equal(t, "checksum", binary.BigEndian.Uint16(f.Data[l3+20+16:]), want)
	equal(t, "virtio-net header", f.VNet, packet.VNet{})
}

func TestGSODatagramsForTheRouterItselfComeOneByOne(t *testing.T) {
	for _, f := range []*packet.Frame{
		uso("192.0.2.2", random(3000), 1000),
		gso(from6(ip6{dst: "2001:db8:1::2", payload: udp(1, 2, random(3000))}), packet.GSOUDPL4, 1000),
	} {
		w := start()
		v := w.Forward(lan, f)
		equal(t, "fault", v.Fault, FaultSegmentLocal)
		outs := w.Except(lan, f, v)
		equal(t, "number", len(outs), 3)
		for _, o := range outs {
			equal(t, "verdict", o.Verdict, punt(ClassLocal))
		}
	}
}

func TestVirtioNetHeadersThatContradictThePacketAreRefused(t *testing.T) {
	for name, change := range map[string]func(f *packet.Frame){
		"checksum beyond the packet": func(f *packet.Frame) { f.VNet.CsumStart = uint16(len(f.Data) - 16) },
		"checksum before the packet": func(f *packet.Frame) { f.VNet.CsumStart = 2 },
		"checksum in the IP header":  func(f *packet.Frame) { f.VNet.CsumStart = l3; f.VNet.CsumOffset = 10 },
		"checksum elsewhere":         func(f *packet.Frame) { f.VNet.CsumStart += 2 },
		"size 0":                     func(f *packet.Frame) { f.VNet.GSOSize = 0 },
		"kind of the other family":   func(f *packet.Frame) { f.VNet.GSOType = packet.GSOTCPv6 },
		"kind of another protocol":   func(f *packet.Frame) { f.VNet.GSOType = packet.GSOUDPL4 },
		"obsolete kind":              func(f *packet.Frame) { f.VNet.GSOType = packet.GSOUDP },
		"unknown kind":               func(f *packet.Frame) { f.VNet.GSOType = 77 },
		"TCP header too short":       func(f *packet.Frame) { f.Data[l3+20+12] = 4 << 4 },
		"TCP header too long":        func(f *packet.Frame) { f.Data[l3+20+12] = 15 << 4; f.Data = f.Data[:l3+20+32]; shorten(f) },
		"no TCP header":              func(f *packet.Frame) { f.Data = f.Data[:l3+20+18]; shorten(f) },
		"a fragment":                 func(f *packet.Frame) { f.Data[l3+6] = 0x20; fixChecksum4(f.Data[l3:]) },
	} {
		f := tso4("203.0.113.1", 0x10, random(3000), 1000)
		change(f)
		w := start()
		if v := w.Forward(lan, f); v != drop(ReasonOffload) {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func shorten(f *packet.Frame) {
	binary.BigEndian.PutUint16(f.Data[l3+2:], uint16(len(f.Data)-l3))
	fixChecksum4(f.Data[l3:])
}

func TestSegmentsAreBounded(t *testing.T) {
	w := start()
	f := tso4("198.51.100.10", 0x10, random(60000), 1)
	equal(t, "frames", len(forwardExcept(t, w, lan, f)), 0)
	equal(t, "counted", dropsBy(w)["offload"], 1)
}

func TestSegmentationAllocatesNothingOnceItsBuffersAreThere(t *testing.T) {
	w, f := start(), tso4("198.51.100.10", 0x10, random(60000), 1228)
	v := Verdict{Action: Exception, Port: narrow, Cause: Cause{Fault: FaultSegment}}
	n := testing.AllocsPerRun(10, func() {
		if len(w.Except(lan, f, v)) != 49 {
			t.Fatal("segments")
		}
	})
	equal(t, "allocations", n, 0)
}

func BenchmarkSegment(b *testing.B) {
	w := start()
	original := tso4("198.51.100.10", 0x10, random(60000), 1228)
	b.SetBytes(int64(len(original.Data)))
	b.ReportAllocs()
	for b.Loop() {
		w.outs = w.outs[:0]
		w.segment(original, 1280, Verdict{Action: Transmit, Port: narrow})
	}
}
