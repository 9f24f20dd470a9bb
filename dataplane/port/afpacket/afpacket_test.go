package afpacket

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"vrouter/dataplane/port"
	"vrouter/packet"
)

func TestFramesOfAllSizesPass(t *testing.T) {
	router, host := pair(t)
	router.MTU(t, "lan", 9000)
	host.MTU(t, "peer", 9000)
	p, peer := open(t, router, Config{Device: "lan", MTU: 9000}), open(t, host, Config{Device: "peer"})
	tx, rx := newPath(t, peer), p.Receivers()[0]
	dst := p.Status().MAC
	for _, size := range []int{14, 15, 59, 60, 64, 1514, 1800, 1968, 1969, 1970, 1971, 2048, 4096, 9014} {
		want := frame(dst, size, byte(size))
		if n := tx.Transmit([]*packet.Frame{{Data: want}}); n != 1 {
			t.Fatalf("%d bytes: not sent: %+v", size, tx.Stats())
		}
		got := receive(t, rx, 1, time.Second, isTest)
		if len(got) != 1 || !bytes.Equal(got[0].Data, want) {
			t.Fatalf("%d bytes: not received, or damaged", size)
		}
	}
}

// tcp4 makes an Ethernet frame of a TCP segment whose checksum is left to the
// device, as a local sender hands it over.
func tcp4(dst packet.MAC, payload int) []byte {
	b := frame(dst, 14+20+20+payload, 7)
	b[12], b[13] = 0x08, 0x00
	ip := b[14:]
	ip[0], ip[1] = 0x45, 0
	binary.BigEndian.PutUint16(ip[2:], uint16(20+20+payload))
	copy(ip[4:], []byte{0, 1, 0x40, 0, 64, packet.ProtoTCP, 0, 0})
	copy(ip[12:], []byte{192, 0, 2, 1})
	copy(ip[16:], []byte{198, 51, 100, 1})
	binary.BigEndian.PutUint16(ip[10:], ^fold(sum(ip[:20])))
	tcp := ip[20:]
	copy(tcp, []byte{0x12, 0x34, 0x56, 0x78, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0})
	// The partial checksum: the pseudo header alone.
	binary.BigEndian.PutUint16(tcp[16:], fold(sum(ip[12:20])+packet.ProtoTCP+uint32(20+payload)))
	return b
}

func sum(b []byte) (s uint32) {
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 != 0 {
		s += uint32(b[len(b)-1]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

func isTCP(f *packet.Frame) bool {
	return len(f.Data) > 34 && packet.Ethernet(f.Data).Type() == packet.EtherTypeIPv4 && f.Data[23] == packet.ProtoTCP
}

func TestAVirtioNetHeaderTravelsFromPortToPort(t *testing.T) {
	a, b := pair(t)
	sender, receiver := open(t, a, Config{Device: "lan"}), open(t, b, Config{Device: "peer"})
	partial := packet.VNet{Flags: packet.VNetNeedsCsum, CsumStart: 34, CsumOffset: 16}
	gso := packet.VNet{Flags: packet.VNetNeedsCsum, GSOType: packet.GSOTCPv4, HdrLen: 54, GSOSize: 1448, CsumStart: 34, CsumOffset: 16}
	for _, test := range []struct {
		name    string
		payload int
		vnet    packet.VNet
	}{
		{"partial checksum in a slot", 100, partial},
		{"partial checksum of a full packet", 1460, partial},
		{"GSO frame of two segments", 2800, gso},
		{"GSO frame of 40 segments", 57920, gso},
		{"the largest GSO frame that a veth takes whole", 65535 - 54, gso},
	} {
		want := tcp4(receiver.Status().MAC, test.payload)
		tx := newPath(t, sender)
		if tx.Transmit([]*packet.Frame{{Data: want, VNet: test.vnet}}) != 1 {
			t.Fatalf("%s: not sent: %+v", test.name, tx.Stats())
		}
		tx.Close()
		got := receive(t, receiver.Receivers()[0], 1, time.Second, isTCP)
		if len(got) != 1 || !bytes.Equal(got[0].Data, want) {
			t.Fatalf("%s: not received, or damaged", test.name)
		}
		v := got[0].VNet
		if v.Flags&packet.VNetNeedsCsum == 0 || v.CsumStart != 34 || v.CsumOffset != 16 ||
			v.GSOType != test.vnet.GSOType || v.GSOSize != test.vnet.GSOSize {
			t.Errorf("%s: header %+v, want %+v", test.name, v, test.vnet)
		}
	}
}

func TestTheKernelFinishesWhatTheDeviceCannot(t *testing.T) {
	a, b := pair(t)
	a.Offload(t, "lan", false)
	p := open(t, a, Config{Device: "lan"})
	wire := b.Wire(t, "peer")
	data := tcp4(b.MAC(t, "peer"), 4*1448)
	gso := packet.VNet{Flags: packet.VNetNeedsCsum, GSOType: packet.GSOTCPv4, HdrLen: 54, GSOSize: 1448, CsumStart: 34, CsumOffset: 16}
	if newPath(t, p).Transmit([]*packet.Frame{{Data: data, VNet: gso}}) != 1 {
		t.Fatal("not sent")
	}
	for i := range 4 {
		f := wire.Receive(time.Second, func(f []byte) bool { return isTCP(&packet.Frame{Data: f}) })
		if len(f) != 54+1448 {
			t.Fatalf("segment %d has %d bytes", i, len(f))
		}
		pseudo := sum(f[26:34]) + packet.ProtoTCP + uint32(len(f)-34)
		if fold(pseudo+sum(f[34:])) != 0xffff {
			t.Fatalf("segment %d: wrong TCP checksum", i)
		}
	}
}

func TestOrderIsKeptAcrossSmallAndLargeFrames(t *testing.T) {
	a, b := pair(t)
	sender, receiver := open(t, a, Config{Device: "lan"}), open(t, b, Config{Device: "peer"})
	dst := receiver.Status().MAC
	gso := packet.VNet{Flags: packet.VNetNeedsCsum, GSOType: packet.GSOTCPv4, HdrLen: 54, GSOSize: 1448, CsumStart: 34, CsumOffset: 16}
	var frames []*packet.Frame
	for i := range 40 {
		f := &packet.Frame{Data: frame(dst, 60+i, byte(i))}
		if i%3 == 1 {
			f = &packet.Frame{Data: tcp4(dst, 20000+i), VNet: gso}
		}
		frames = append(frames, f)
	}
	if newPath(t, sender).Transmit(frames) != len(frames) {
		t.Fatal("not all sent")
	}
	got := receive(t, receiver.Receivers()[0], len(frames), time.Second, func(f *packet.Frame) bool { return isTest(f) || isTCP(f) })
	if len(got) != len(frames) {
		t.Fatalf("%d frames received, want %d", len(got), len(frames))
	}
	for i := range got {
		if !bytes.Equal(got[i].Data, frames[i].Data) {
			t.Fatalf("frame %d is another one, or damaged", i)
		}
	}
}

func TestAVLANTagIsSeen(t *testing.T) {
	router, host := pair(t)
	p := open(t, router, Config{Device: "lan"})
	want := frame(p.Status().MAC, 80, 3)
	copy(want[12:], []byte{0x81, 0x00, 0x60, 0x2a, 0x88, 0xb5})
	host.Wire(t, "peer").Send(want)
	got := receive(t, p.Receivers()[0], 1, time.Second, func(f *packet.Frame) bool {
		return packet.Ethernet(f.Data).Type() == packet.EtherTypeVLAN
	})
	if len(got) != 1 || !bytes.Equal(got[0].Data, want) {
		t.Fatalf("got %x, want %x", got, want)
	}
}

func TestOwnFramesAreNotReceived(t *testing.T) {
	router, host := pair(t)
	p := open(t, router, Config{Device: "lan"})
	other := newPath(t, open(t, router, Config{Device: "lan"}))
	wire := host.Wire(t, "peer")
	other.Transmit([]*packet.Frame{{Data: frame(packet.Broadcast, 60, 1)}})
	if wire.Receive(time.Second, func(f []byte) bool { return f[12] == 0x88 }) == nil {
		t.Fatal("not sent")
	}
	if got := receive(t, p.Receivers()[0], 1, 20*time.Millisecond, isTest); len(got) != 0 {
		t.Fatal("a frame sent on the device was received from it")
	}
}

func TestAFrameThatFailsDoesNotStopTheOthers(t *testing.T) {
	router, host := pair(t)
	p := open(t, router, Config{Device: "lan"})
	tx, wire := newPath(t, p), host.Wire(t, "peer")
	dst := host.MAC(t, "peer")
	bad := packet.VNet{Flags: packet.VNetNeedsCsum, CsumStart: 4000, CsumOffset: 16}
	n := tx.Transmit([]*packet.Frame{
		{Data: frame(dst, 60, 1)},
		{Data: frame(dst, 1600, 2)}, // larger than the MTU
		{Data: frame(dst, 60, 3)},
		{Data: frame(dst, 60, 4), VNet: bad},
		{Data: nil},
		{Data: frame(dst, 60, 5)},
	})
	s := tx.Stats()
	if n != 3 || s.Frames != 3 || s.Bytes != 180 || s.Drops[port.DropSize] != 1 || s.Drops[port.DropElse] != 2 {
		t.Fatalf("sent %d, %+v", n, s)
	}
	for _, seed := range []byte{1, 3, 5} {
		want := frame(dst, 60, seed)
		if f := wire.Receive(time.Second, func(f []byte) bool { return f[12] == 0x88 }); !bytes.Equal(f, want) {
			t.Fatalf("got %x, want %x", f, want)
		}
	}
}

func TestAFullRingCountsWhatItLoses(t *testing.T) {
	router, host := pair(t)
	p, peer := open(t, router, Config{Device: "lan"}), open(t, host, Config{Device: "peer"})
	tx, rx := newPath(t, peer), p.Receivers()[0]
	const sent = 5000
	f := &packet.Frame{Data: frame(p.Status().MAC, 60, 1)}
	for range sent {
		tx.Transmit([]*packet.Frame{f})
	}
	got := len(receive(t, rx, sent, 50*time.Millisecond, isTest))
	lost := int(rx.Stats().Drops[port.DropFull])
	if got == sent || lost == 0 || got+lost < sent {
		t.Fatalf("sent %d, received %d, counted as lost %d", sent, got, lost)
	}
	// All slots are back: the next frames pass.
	tx.Transmit([]*packet.Frame{f})
	if len(receive(t, rx, 1, time.Second, isTest)) != 1 {
		t.Fatal("nothing is received after an overflow")
	}
}

func TestNothingIsAllocatedForABatch(t *testing.T) {
	router, host := pair(t)
	p, peer := open(t, router, Config{Device: "lan"}), open(t, host, Config{Device: "peer"})
	tx, rx := newPath(t, peer), p.Receivers()[0]
	frames := make([]*packet.Frame, port.BatchMax)
	for i := range frames {
		frames[i] = &packet.Frame{Data: frame(p.Status().MAC, 60, byte(i))}
	}
	batch := make([]packet.Frame, port.BatchMax)
	received := 0
	allocs := testing.AllocsPerRun(100, func() {
		tx.Transmit(frames)
		for n := 1; n > 0; received += n {
			n, _ = rx.Receive(batch)
		}
	})
	if allocs != 0 || received < 100*port.BatchMax {
		t.Fatalf("%v allocations a batch, %d frames received", allocs, received)
	}
}
