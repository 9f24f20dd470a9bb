package xsk

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/internal/nstest"
	"vrouter/packet"
)

// lane is a device with AF_XDP, and the wire at its other end.
type lane struct {
	ns      *nstest.NS
	index   int
	wire    *nstest.Wire
	program *Program
	queue   *Queue
}

// express puts AF_XDP on a new device.
func express(t testing.TB, a *Arena, only bool) *lane {
	t.Helper()
	router, host := nstest.New(t), nstest.New(t)
	for _, ns := range []*nstest.NS{router, host} { // nobody sends by himself
		ns.Sysctl(t, "net/ipv6/conf/default/disable_ipv6", "1")
	}
	nstest.Veth(t, router, "lan", host, "peer")
	l := &lane{ns: router, index: router.Link(t, "lan").Attrs().Index, wire: host.Wire(t, "peer")}
	err := router.Do(func() (err error) {
		if l.program, err = Load(1, only); err != nil {
			return err
		}
		native, err := l.program.Attach(l.index)
		if err == nil && !native {
			t.Error("the veth's driver does not run the program")
		}
		if err == nil {
			l.queue, err = a.Open(l.index, 0, native)
		}
		if err == nil {
			err = l.program.Serve(l.queue)
		}
		return err
	})
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EAFNOSUPPORT) {
		t.Skipf("AF_XDP: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.program.Close()
		l.queue.Close()
	})
	return l
}

// receive waits for frames; nil: none came.
func (l *lane) receive(batch []packet.Frame, within time.Duration) []packet.Frame {
	for end := time.Now().Add(within); ; {
		if n, _ := l.queue.Receiver().Receive(batch); n > 0 {
			return batch[:n]
		}
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		unix.Poll([]unix.PollFd{{Fd: int32(l.queue.FD()), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
	}
}

func TestAReceiverHasAllFramesInOrder(t *testing.T) {
	l := express(t, NewArena(1), false)
	var batch [batchMax]packet.Frame
	const total, burst = 3 * ReceiveBuffers, 100 // each buffer several times
	for number := 0; number < total; number += burst {
		for i := range burst {
			l.wire.Send(frame(1, number+i, 60+(number+i)%1400))
		}
		for i := 0; i < burst; {
			got := l.receive(batch[:], 10*time.Second)
			if got == nil {
				t.Fatalf("frame %d is missing, %d lost", number+i, l.queue.Lost())
			}
			for _, f := range got {
				if want := frame(1, number+i, 60+(number+i)%1400); string(f.Data) != string(want) {
					t.Fatalf("frame %d: %x, want %x", number+i, f.Data, want)
				}
				i++
			}
		}
	}
}

// What comes by one device leaves by another where it lies, again and again.
func TestAFrameIsForwardedWithoutACopy(t *testing.T) {
	a := NewArena(2)
	in, out := express(t, a, false), express(t, a, false)
	if in.queue.memory != out.queue.memory {
		t.Fatal("the devices have memory of their own")
	}
	s := add(t, out.ns, out.queue)
	defer s.Close()
	var batch [batchMax]packet.Frame
	const total, burst = 3 * ReceiveBuffers, 50
	for number := 0; number < total; number += burst {
		for i := range burst {
			in.wire.Send(frame(1, number+i, 60+i))
		}
		for i := 0; i < burst; {
			got := in.receive(batch[:], 10*time.Second)
			if got == nil {
				t.Fatalf("frame %d is missing, %d lost", number+i, in.queue.Lost())
			}
			for k := range got {
				if !s.Add(got[k].Data) {
					t.Fatalf("frame %d finds no room", number+i)
				}
			}
			if len(s.free) > 0 {
				t.Fatal("frames were copied")
			}
			if left, err := s.Kick(); left != 0 {
				t.Fatal(left, err)
			}
			for range got {
				if f := next(t, out.wire); string(f) != string(frame(1, number+i, 60+i)) {
					t.Fatalf("frame %d: %x", number+i, f)
				}
				i++
			}
		}
	}
}

// A buffer is one's only: a frame that is sent twice is copied the second time.
func TestAFrameThatIsSentTwiceIsCopied(t *testing.T) {
	l := express(t, NewArena(1), false)
	s := add(t, l.ns, l.queue)
	defer s.Close()
	l.wire.Send(frame(1, 1, 60))
	var batch [batchMax]packet.Frame
	got := l.receive(batch[:], 10*time.Second)
	if len(got) != 1 {
		t.Fatal("the frame is missing")
	}
	s.Add(got[0].Data)
	s.Add(got[0].Data)
	if left, err := s.Kick(); left != 0 {
		t.Fatal(left, err)
	}
	for range 2 {
		if f := next(t, l.wire); string(f) != string(frame(1, 1, 60)) {
			t.Errorf("%x", f)
		}
	}
	l.queue.Receiver().Receive(batch[:])
	seen := map[uint64]bool{}
	for _, at := range append(append([]uint64(nil), l.queue.memory.free...), s.free...) {
		if seen[at] {
			t.Fatalf("buffer %d is free twice", at/FrameSize)
		}
		seen[at] = true
	}
}

// Frames for others than the addresses, and all that is not IP, are the kernel's.
func TestOnlyIPOfTheAddressesIsTaken(t *testing.T) {
	l := express(t, NewArena(1), true)
	ours, other := packet.MAC{0, 0, 0x5e, 0, 1, 10}, packet.MAC{2, 0, 0, 0, 0, 9}
	if err := l.program.SetMACs([]packet.MAC{ours}); err != nil {
		t.Fatal(err)
	}
	send := func(to packet.MAC, etherType uint16, number byte) {
		f := frame(1, 1, 60)
		copy(f, to[:])
		binary.BigEndian.PutUint16(f[12:], etherType)
		f[14] = number
		l.wire.Send(f)
	}
	var batch [batchMax]packet.Frame
	expect := func(number byte) {
		t.Helper()
		got := l.receive(batch[:], 10*time.Second)
		if len(got) != 1 || got[0].Data[14] != number {
			t.Fatalf("%d frames, want one with number %d", len(got), number)
		}
	}
	send(other, packet.EtherTypeIPv4, 1)
	send(ours, packet.EtherTypeARP, 2)
	send(packet.Broadcast, packet.EtherTypeIPv4, 3)
	send(ours, packet.EtherTypeIPv4, 4)
	expect(4)
	send(ours, packet.EtherTypeIPv6, 5)
	expect(5)
	if err := l.program.SetMACs([]packet.MAC{other}); err != nil {
		t.Fatal(err)
	}
	send(ours, packet.EtherTypeIPv4, 6)
	send(other, packet.EtherTypeIPv4, 7)
	expect(7)
}

func TestAFrameLargerThanABufferPasses(t *testing.T) {
	l := express(t, NewArena(1), false)
	l.wire.Send(frame(1, 1, 1514))
	var batch [batchMax]packet.Frame
	if got := l.receive(batch[:], 10*time.Second); len(got) != 1 || len(got[0].Data) != 1514 {
		t.Fatalf("%d frames", len(got))
	}
}

func TestTheProgramIsGoneWithItsDescriptors(t *testing.T) {
	l := express(t, NewArena(1), false)
	l.program.Close()
	if x := l.ns.Link(t, "lan").Attrs().Xdp; x != nil && x.Attached {
		t.Error("the program is on the device still")
	}
}

func TestASecondProgramIsRefused(t *testing.T) {
	l := express(t, NewArena(1), false)
	err := l.ns.Do(func() error {
		p, err := Load(1, false)
		if err != nil {
			return err
		}
		defer p.Close()
		_, err = p.Attach(l.index)
		return err
	})
	if !errors.Is(err, unix.EBUSY) {
		t.Errorf("%v, want EBUSY", err)
	}
}

// A queue that comes back has other memory: what the kernel held is lost.
func TestMemoryIsRetiredWithItsFirstQueue(t *testing.T) {
	a := NewArena(2)
	one, two := express(t, a, false), express(t, a, false)
	one.queue.Close()
	three := express(t, a, false)
	if three.queue.memory == two.queue.memory {
		t.Error("memory that has lost buffers is used again")
	}
	var batch [batchMax]packet.Frame
	two.wire.Send(frame(1, 1, 60))
	if got := two.receive(batch[:], 10*time.Second); len(got) != 1 {
		t.Error("the other queue has ended too")
	}
}
