package dataplane

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"vrouter/packet"
)

// reassemble puts IPv4 fragments together, by RFC 791 3.2 without its timers:
// the payload, and whether the last piece ends the packet.
func reassemble(t *testing.T, pieces [][]byte) (payload []byte, first int, more bool) {
	t.Helper()
	first = -1
	for _, b := range pieces {
		p, ok := packet.ParseIPv4(b)
		if !ok || len(p) != len(b) || slowChecksum(b[:p.HeaderLen()]) != 0 {
			t.Fatalf("bad fragment %x", b)
		}
		if first < 0 {
			first = p.FragmentOffset()
		}
		if p.FragmentOffset() != first+len(payload) {
			t.Fatalf("offset %d after %d bytes from %d", p.FragmentOffset(), len(payload), first)
		}
		payload = append(payload, p.Payload()...)
		more = p.MoreFragments()
	}
	return payload, first, more
}

func frames(outs []Out) (bs [][]byte) {
	for _, o := range outs {
		bs = append(bs, o.Frame.Data[l3:])
	}
	return bs
}

func TestFragmentsReassembleToTheOriginal(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	w := NewForwarder()
	s := newWorld()
	w.Begin(s, 1)
	for range 2000 {
		mtu := 68 + r.IntN(1400)
		s.Ports[tiny].MTU = mtu
		payload := make([]byte, mtu+r.IntN(4000))
		for i := range payload {
			payload[i] = byte(r.Uint32())
		}
		p := ip4{dst: "10.5.0.10", id: uint16(r.Uint32()), tos: 0x2c, ttl: 9, payload: payload}
		if r.IntN(2) == 0 { // a fragment itself
			p.flags = uint16(r.IntN(1000)) | 0x2000*uint16(r.IntN(2))
		}
		if p.flags&0x2000 != 0 {
			p.payload = payload[:len(payload)&^7]
		}
		if r.IntN(2) == 0 {
			p.options = [][]byte{{7, 7, 4, 0, 0, 0, 0, 0}, {148, 4, 0, 0}, {1, 130, 3, 9, 7, 3, 4, 0}}[r.IntN(3)]
		}
		f := from4(p)
		whole := bytes.Clone(f.Data[l3:])
		if len(whole) <= mtu {
			continue
		}
		pieces := frames(forwardExcept(t, w, lan, f))
		got, first, more := reassemble(t, pieces)
		if !bytes.Equal(got, p.payload) || first != int(p.flags&0x1fff)*8 || more != (p.flags&0x2000 != 0) {
			t.Fatalf("MTU %d, packet %+v: not the same again", mtu, p)
		}
		for i, b := range pieces {
			if len(b) > mtu {
				t.Fatalf("fragment of %d bytes, MTU %d", len(b), mtu)
			}
			if i < len(pieces)-1 && len(b)+8 <= mtu {
				t.Fatalf("fragment of %d bytes wastes the MTU %d", len(b), mtu)
			}
			h := packet.IPv4(b)
			if h.ID() != p.id || h.TOS() != p.tos || h.TTL() != 8 || h.Protocol() != 17 || h.Src() != ip("192.0.2.10") {
				t.Fatalf("fragment header %x", b[:20])
			}
		}
	}
}

func TestRFC791OnlyOptionsWithTheCopiedFlagAreInLaterFragments(t *testing.T) {
	options := []byte{7, 7, 4, 0, 0, 0, 0, 1, 148, 4, 0, 0, 1, 130, 3, 9}
	f := from4(ip4{dst: "10.5.0.10", options: options, payload: make([]byte, 150)})
	outs := forwardExcept(t, start(), lan, f)
	equal(t, "number", len(outs), 3) // 64 bytes fit beside 36 of header
	if got := outs[0].Frame.Data[l3+20 : l3+36]; !bytes.Equal(got, options) {
		t.Errorf("first fragment's options %x", got)
	}
	for _, o := range outs[1:] {
		want := []byte{148, 4, 0, 0, 130, 3, 9, 0}
		if got := o.Frame.Data[l3+20 : l3+28]; !bytes.Equal(got, want) || o.Frame.Data[l3]&15 != 7 {
			t.Errorf("options %x, want %x", got, want)
		}
	}
}

func TestFragmentsLeaveLikeTheWholeFrame(t *testing.T) {
	w := start()
	for _, o := range forwardExcept(t, w, lan, from4(ip4{dst: "10.5.0.10", payload: make([]byte, 150)})) {
		equal(t, "verdict", o.Verdict, Verdict{Action: Transmit, Port: tiny})
		equal(t, "MACs", [12]byte(o.Frame.Data), [12]byte{2, 0, 0, 0, 3, 1, 2, 0, 0, 0, 0, 5})
		equal(t, "virtio-net header", o.Frame.VNet, packet.VNet{})
	}
	w.Flush()
	equal(t, "counted", w.Counters().Fragmented, 1)
}

func TestOwnPacketsAreFragmentedWithTheirTTL(t *testing.T) {
	w, f := start(), own(ip4{src: "10.5.0.2", dst: "10.5.0.10", ttl: 64, payload: make([]byte, 150)}.bytes())
	v := w.Output(f)
	equal(t, "fault", v.Fault, FaultFragment)
	outs := w.Except(0, f, v)
	equal(t, "number", len(outs), 2)
	for _, o := range outs {
		equal(t, "TTL", packet.IPv4(o.Frame.Data[l3:]).TTL(), 64)
		equal(t, "EtherType", packet.Ethernet(o.Frame.Data).Type(), packet.EtherTypeIPv4)
	}
}

func TestPartialChecksumsAreCompleteInFragments(t *testing.T) {
	f := from4(ip4{dst: "10.5.0.10", payload: udp(1, 2, make([]byte, 150))})
	want := partial(f)
	pieces := frames(forwardExcept(t, start(), lan, f))
	payload, _, _ := reassemble(t, pieces)
	equal(t, "checksum", binary.BigEndian.Uint16(payload[6:]), want)
}

// partial makes a UDP or TCP frame one with a partial checksum, as a local
// sender leaves it, and returns what the complete checksum is.
func partial(f *packet.Frame) (want uint16) {
	b := f.Data[l3:]
	src, dst, proto, l4 := b[12:16], b[16:20], b[9], int(b[0]&15)*4
	if b[0]>>4 == 6 {
		src, dst, proto, l4 = b[8:24], b[24:40], b[6], 40
	}
	field := 6
	if proto == packet.ProtoTCP {
		field = 16
	}
	n := len(b) - l4
	pseudo := []byte{0, 0, byte(n >> 8), byte(n), 0, 0, 0, proto}
	t := b[l4:]
	t[field], t[field+1] = 0, 0
	want = slowChecksum(src, dst, pseudo, t)
	if want == 0 {
		want = 0xffff
	}
	binary.BigEndian.PutUint16(t[field:], ^slowChecksum(src, dst, pseudo))
	f.VNet.Flags |= packet.VNetNeedsCsum
	f.VNet.CsumStart, f.VNet.CsumOffset = uint16(l3+l4), uint16(field)
	f.VNet.HdrLen = uint16(l3 + l4 + 8)
	return want
}
