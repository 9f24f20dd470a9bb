package xsk

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/internal/nstest"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

// testEtherType is one for experiments (RFC 5342 4).
const testEtherType = 0x88b5

// frame is one that says from whom it is, and the how manieth.
func frame(sender, number, size int) []byte {
	b := make([]byte, size)
	copy(b, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1})
	binary.BigEndian.PutUint16(b[12:], testEtherType)
	b[14] = byte(sender)
	binary.BigEndian.PutUint32(b[15:], uint32(number))
	for i := 19; i < size; i++ {
		b[i] = byte(i + number)
	}
	return b
}

// cable makes a device "lan", and returns the wire at its other end.
func cable(t *testing.T) (router *nstest.NS, index int, wire *nstest.Wire) {
	t.Helper()
	router, host := nstest.New(t), nstest.New(t)
	nstest.Veth(t, router, "lan", host, "peer")
	return router, router.Link(t, "lan").Attrs().Index, host.Wire(t, "peer")
}

// add opens a Sender of a Pool in a namespace.
func add(t *testing.T, ns *nstest.NS, q *Queue) *Sender {
	t.Helper()
	s, err := try(ns, q)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		t.Skip("the kernel has no AF_XDP")
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func try(ns *nstest.NS, q *Queue) (s *Sender, err error) {
	err = ns.Do(func() (err error) {
		s, err = q.Sender()
		return err
	})
	return s, err
}

// tryQueue opens a queue to send by, with memory of its own.
func tryQueue(ns *nstest.NS, index int) (q *Queue, err error) {
	m, err := NewMemory(SendBuffers)
	if err != nil {
		return nil, err
	}
	err = ns.Do(func() (err error) {
		q, err = OpenSendQueue(m, index, 0)
		return err
	})
	if err != nil {
		m.Discard()
	}
	return q, err
}

func sending(t *testing.T, ns *nstest.NS, index int) *Queue {
	t.Helper()
	q, err := tryQueue(ns, index)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		t.Skip("the kernel has no AF_XDP")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return q
}

// next returns the next of our frames on a wire.
func next(t *testing.T, w *nstest.Wire) []byte {
	t.Helper()
	got := w.Receive(10*time.Second, func(f []byte) bool {
		return len(f) > 19 && binary.BigEndian.Uint16(f[12:]) == testEtherType
	})
	if got == nil {
		t.Fatal("a frame is missing")
	}
	return got
}

func TestFramesArriveWholeAndInOrderHoweverMany(t *testing.T) {
	router, index, wire := cable(t)
	s := add(t, router, sending(t, router, index))
	defer s.Close()
	const total, batch = 20 * sendRing, 64 // each buffer many times
	for number := 0; number < total; number += batch {
		for i := range batch {
			if !s.Add(frame(1, number+i, 60+(number+i)%1400)) {
				t.Fatalf("no buffer for frame %d", number+i)
			}
		}
		if left, err := s.Kick(); left != 0 {
			t.Fatalf("%d not taken: %v", left, err)
		}
		for i := range batch {
			if got, want := next(t, wire), frame(1, number+i, 60+(number+i)%1400); string(got) != string(want) {
				t.Fatalf("frame %d: %x, want %x", number+i, got, want)
			}
		}
	}
}

func TestTheLargestFrame(t *testing.T) {
	router, index, wire := cable(t)
	s := add(t, router, sending(t, router, index))
	defer s.Close()
	s.Add(frame(1, 7, 1514))
	if left, err := s.Kick(); left != 0 {
		t.Fatal(left, err)
	}
	if got := next(t, wire); string(got) != string(frame(1, 7, 1514)) {
		t.Errorf("%d bytes", len(got))
	}
}

func TestAddIsFalseWhereAllBuffersWait(t *testing.T) {
	router, index, wire := cable(t)
	s := add(t, router, sending(t, router, index))
	defer s.Close()
	for i := range sendRing {
		if !s.Add(frame(1, i, 60)) {
			t.Fatalf("no buffer for frame %d of %d", i, sendRing)
		}
	}
	if s.Add(frame(1, 0, 60)) {
		t.Error("more frames than buffers")
	}
	if left, err := s.Kick(); left != 0 {
		t.Fatal(left, err)
	}
	for i := range sendRing {
		if got := next(t, wire); binary.BigEndian.Uint32(got[15:]) != uint32(i) {
			t.Fatalf("frame %d: %x", i, got)
		}
	}
	if !s.Add(frame(1, 0, 60)) {
		t.Error("no buffer came back")
	}
}

// Several threads send by one queue; each one's frames keep their order.
func TestSendersShareAQueue(t *testing.T) {
	router, index, wire := cable(t)
	q := sending(t, router, index)
	const senders, each = 4, 2000
	var all sync.WaitGroup
	paced := make(chan struct{}, 128) // the wire's queue is not endless
	for number := range senders {
		s := add(t, router, q)
		all.Go(func() {
			defer s.Close()
			for i := 0; i < each; {
				n := 0
				for ; n < 16 && i < each; n++ {
					paced <- struct{}{}
					if !s.Add(frame(number, i, 60)) {
						t.Error("no buffer")
						return
					}
					i++
				}
				if left, err := s.Kick(); left != 0 {
					t.Errorf("%d not taken: %v", left, err)
					return
				}
			}
		})
	}
	var seen [senders]uint32
	for range senders * each {
		got := next(t, wire)
		<-paced
		if who, number := got[14], binary.BigEndian.Uint32(got[15:]); number != seen[who] {
			t.Fatalf("frame %d of sender %d, want %d", number, who, seen[who])
		}
		seen[got[14]]++
	}
	all.Wait()
	q.Close()
	if !q.memory.Retired() || q.memory.mem != nil {
		t.Error("the last Sender has left the memory behind")
	}
	if _, err := try(router, q); err == nil {
		t.Error("a queue that is given back was opened")
	}
}

// Whoever sends still when the queue is closed gives the memory back.
func TestTheLastSenderEndsAClosedQueue(t *testing.T) {
	router, index, _ := cable(t)
	q := sending(t, router, index)
	s := add(t, router, q)
	q.Close()
	if q.memory.mem == nil {
		t.Fatal("the memory was taken from a Sender")
	}
	s.Add(frame(1, 1, 60))
	s.Kick()
	s.Close()
	if q.memory.mem != nil {
		t.Error("memory is left")
	}
}

func TestAQueueIsOnePrograms(t *testing.T) {
	router, index, _ := cable(t)
	q := sending(t, router, index)
	if _, err := tryQueue(router, index); !errors.Is(err, unix.EBUSY) {
		t.Errorf("%v, want EBUSY", err)
	}
	q.Close()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		again, err := tryQueue(router, index)
		if err == nil {
			again.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the queue is not given back: %v", err)
		}
	}
}

func TestSendersAreLimited(t *testing.T) {
	router, index, _ := cable(t)
	q := sending(t, router, index)
	for range sendersMax {
		defer add(t, router, q).Close()
	}
	if _, err := try(router, q); err == nil {
		t.Error("one too many")
	}
}

func TestADeviceThatIsDownSaysSo(t *testing.T) {
	router, index, _ := cable(t)
	s := add(t, router, sending(t, router, index))
	defer s.Close()
	router.Down(t, "lan")
	for range 3 {
		s.Add(frame(1, 0, 60))
	}
	if left, err := s.Kick(); left != 3 || !errors.Is(err, unix.ENETDOWN) {
		t.Errorf("%d left, %v; want 3, ENETDOWN", left, err)
	}
}

func TestADeviceThatIsGoneSaysSo(t *testing.T) {
	router, index, _ := cable(t)
	s := add(t, router, sending(t, router, index))
	defer s.Close()
	router.Delete(t, "lan")
	s.Add(frame(1, 0, 60))
	if left, err := s.Kick(); left != 1 || err == nil {
		t.Errorf("%d left, %v", left, err)
	}
}

func BenchmarkSend(b *testing.B) {
	for _, batch := range []int{1, 4, 64} {
		b.Run(map[int]string{1: "one", 4: "four", 64: "batch"}[batch], func(b *testing.B) {
			router, host := nstest.New(b), nstest.New(b)
			nstest.Veth(b, router, "lan", host, "peer")
			q, err := tryQueue(router, router.Link(b, "lan").Attrs().Index)
			if err != nil {
				b.Skip(err)
			}
			defer q.Close()
			s, err := try(router, q)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			f := frame(1, 1, 60)
			b.ReportAllocs()
			for b.Loop() {
				for range batch {
					s.Add(f)
				}
				if left, err := s.Kick(); left != 0 {
					b.Fatal(left, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/frame")
		})
	}
}
