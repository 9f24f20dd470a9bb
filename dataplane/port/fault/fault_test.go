package fault

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/dataplane/port"
	"vrouter/packet"
)

// fakePort has one queue, whose frames a test puts into in, and paths that
// keep what they are given in out.
type fakePort struct {
	port.Port
	in    []packet.Frame
	taken int // refuse frames once that many were taken; 0: none
	fd    int
	ready chan struct{}

	mu  sync.Mutex // guards out
	out []int
}

// sent returns the numbers of the frames that were transmitted so far.
func (f *fakePort) sent() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.out)
}

func newFake() *fakePort { return &fakePort{fd: -1, ready: make(chan struct{}, 1)} }

func (f *fakePort) Receivers() []port.Receiver                { return []port.Receiver{&fakeQueue{f, nil}} }
func (f *fakePort) NewTransmitter() (port.Transmitter, error) { return &fakePath{f}, nil }
func (f *fakePort) Close() error                              { return nil }

type fakeQueue struct {
	p    *fakePort
	last []packet.Frame
}

func (q *fakeQueue) Receive(batch []packet.Frame) (int, error) {
	for i := range q.last { // the frames of the batch before are no longer valid
		clear(q.last[i].Data)
	}
	n := copy(batch, q.p.in)
	q.last, q.p.in = q.p.in[:n:n], q.p.in[n:]
	return n, nil
}
func (q *fakeQueue) FD() int                { return q.p.fd }
func (q *fakeQueue) Stats() port.Stats      { return port.Stats{} }
func (q *fakeQueue) Ready() <-chan struct{} { return q.p.ready }

type fakePath struct{ p *fakePort }

func (f *fakePath) Transmit(frames []*packet.Frame) int {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	n := 0
	for _, frame := range frames {
		if f.p.taken == 0 || len(f.p.out) < f.p.taken {
			f.p.out = append(f.p.out, number(frame))
			n++
		}
	}
	return n
}
func (f *fakePath) Stats() port.Stats { return port.Stats{} }
func (f *fakePath) Close() error      { return nil }

// numbered makes a frame that carries a number.
func numbered(i int) packet.Frame {
	return packet.Frame{Data: binary.BigEndian.AppendUint32(make([]byte, 14), uint32(i)), VNet: packet.VNet{GSOSize: uint16(i)}}
}

func number(f *packet.Frame) int { return int(binary.BigEndian.Uint32(f.Data[14:])) }

func wrap(t testing.TB, p port.Port, cfg Config, clock func() time.Time) (*Port, port.Receiver, port.Transmitter) {
	t.Helper()
	f, err := Wrap(p, cfg, clock)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := f.NewTransmitter()
	if err != nil {
		t.Fatal(err)
	}
	return f, f.Receivers()[0], tx
}

// received empties the queue.
func received(t testing.TB, rx port.Receiver) (list []int) {
	t.Helper()
	batch := make([]packet.Frame, port.BatchMax)
	for {
		n, err := rx.Receive(batch)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return list
		}
		for i := range batch[:n] {
			if got := number(&batch[i]); int(batch[i].VNet.GSOSize) != got&0xffff {
				t.Fatalf("frame %d came with the header of another", got)
			}
			list = append(list, number(&batch[i]))
		}
	}
}

// both sends frames 0 to n-1 in each direction, and returns what arrives at
// once. The clock stands still.
func both(t testing.TB, cfg Config, n int) (in, out []int, rx0, tx0 Counts) {
	t.Helper()
	inner := newFake()
	now := time.Now()
	f, rx, tx := wrap(t, inner, cfg, func() time.Time { return now })
	defer f.Close()
	for i := range n {
		frame := numbered(i)
		inner.in = append(inner.in, frame)
		sent := numbered(i)
		if tx.Transmit([]*packet.Frame{&sent}) != 1 {
			t.Fatal("a frame that is lost on the cable was sent all the same")
		}
		clear(sent.Data) // the transmitter does not keep it
	}
	in = received(t, rx)
	rx0, tx0 = f.Counts()
	return in, inner.sent(), rx0, tx0
}

func sequence(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

func TestAGoodCableChangesNothing(t *testing.T) {
	in, out, rx, tx := both(t, Config{Seed: 1}, 1000)
	if !slices.Equal(in, sequence(1000)) || !slices.Equal(out, sequence(1000)) {
		t.Errorf("received %v, transmitted %v", in, out)
	}
	if (rx != Counts{}) || (tx != Counts{}) {
		t.Errorf("counted %+v, %+v", rx, tx)
	}
}

func TestTheSameSeedGivesTheSameFaults(t *testing.T) {
	cfg := Config{Seed: 7, Loss: 0.1, Duplicate: 0.1, Reorder: 0.1}
	in, out, _, _ := both(t, cfg, 2000)
	again, outAgain, _, _ := both(t, cfg, 2000)
	if !slices.Equal(in, again) || !slices.Equal(out, outAgain) {
		t.Error("the same seed gave other faults")
	}
	if slices.Equal(in, out) {
		t.Error("both directions have the same faults")
	}
	cfg.Seed = 8
	if other, _, _, _ := both(t, cfg, 2000); slices.Equal(in, other) {
		t.Error("another seed gave the same faults")
	}
}

func TestFaultsAreAsFrequentAsAsked(t *testing.T) {
	const n = 20000
	near := func(what string, got uint64, want float64) {
		t.Helper()
		if math.Abs(float64(got)-want) > 5*math.Sqrt(want) {
			t.Errorf("%s: %d, want about %.0f", what, got, want)
		}
	}
	in, out, rx, tx := both(t, Config{Seed: 3, Loss: 0.25}, n)
	for i, got := range [][]int{in, out} {
		count := []Counts{rx, tx}[i]
		near("lost", count.Lost, n/4)
		if len(got)+int(count.Lost) != n || !slices.IsSorted(got) {
			t.Errorf("%d arrived, %d lost, sorted %v", len(got), count.Lost, slices.IsSorted(got))
		}
	}
	in, _, rx, _ = both(t, Config{Seed: 3, Duplicate: 0.1}, n)
	near("duplicated", rx.Duplicated, n/10)
	if len(in) != n+int(rx.Duplicated) || !slices.Equal(slices.Compact(in), sequence(n)) {
		t.Error("duplicates are not frames that come twice")
	}
	if in, out, _, _ = both(t, Config{Loss: 1}, 100); len(in) != 0 || len(out) != 0 {
		t.Errorf("%d and %d frames over a cut cable", len(in), len(out))
	}
}

func TestReorderChangesNeighboursOnly(t *testing.T) {
	const n = 5000
	in, out, rx, tx := both(t, Config{Seed: 5, Reorder: 0.2}, n)
	for i, got := range [][]int{in, out} {
		swaps := 0
		for at := 0; at < len(got); at++ {
			if got[at] == at {
				continue
			}
			if at+1 == len(got) || got[at] != at+1 || got[at+1] != at {
				t.Fatalf("direction %d: at %d came %v", i, at, got[at:min(at+3, len(got))])
			}
			swaps++
			at++
		}
		if want := []Counts{rx, tx}[i].Reordered; len(got) >= n-1 && uint64(swaps) > want || uint64(swaps)+1 < want {
			t.Errorf("direction %d: %d pairs changed places, %d counted", i, swaps, want)
		}
		if len(got) < n-1 { // the last one may still wait for a next one
			t.Errorf("direction %d: %d of %d frames", i, len(got), n)
		}
	}
}

func TestALateFrameComesByItselfInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := newFake()
		f, rx, tx := wrap(t, inner, Config{Delay: 30 * time.Millisecond}, time.Now)
		defer f.Close()
		defer tx.Close()
		ready := rx.(port.Waiter).Ready()
		began := time.Now()
		in, sent := numbered(1), numbered(2)
		inner.in = []packet.Frame{in}
		inner.ready <- struct{}{}
		tx.Transmit([]*packet.Frame{&sent})
		<-ready
		if got := received(t, rx); len(got) != 0 || len(inner.sent()) != 0 {
			t.Fatalf("early: %v, %v", got, inner.sent())
		}
		<-ready
		if late := time.Since(began); late != 30*time.Millisecond {
			t.Errorf("received after %v", late)
		}
		if got := received(t, rx); !slices.Equal(got, []int{1}) {
			t.Errorf("received %v", got)
		}
		synctest.Wait()
		if !slices.Equal(inner.sent(), []int{2}) {
			t.Errorf("transmitted %v", inner.sent())
		}
	})
}

func TestAReorderedFrameThatNobodyFollowsComesAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := newFake()
		f, _, tx := wrap(t, inner, Config{Reorder: 1}, time.Now)
		defer f.Close()
		defer tx.Close()
		one, two, three := numbered(1), numbered(2), numbered(3)
		tx.Transmit([]*packet.Frame{&one})
		time.Sleep(ReorderWait - 1)
		synctest.Wait()
		if len(inner.sent()) != 0 {
			t.Fatalf("early: %v", inner.sent())
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		tx.Transmit([]*packet.Frame{&two, &three})
		if !slices.Equal(inner.sent(), []int{1, 3, 2}) {
			t.Errorf("transmitted %v", inner.sent())
		}
	})
}

func TestJitterIsWithinItsBoundAndReorders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := newFake()
		f, _, tx := wrap(t, inner, Config{Seed: 1, Delay: 10 * time.Millisecond, Jitter: 20 * time.Millisecond}, time.Now)
		defer f.Close()
		defer tx.Close()
		for i := range 100 {
			frame := numbered(i)
			tx.Transmit([]*packet.Frame{&frame})
		}
		time.Sleep(10*time.Millisecond - 1)
		synctest.Wait()
		if len(inner.sent()) != 0 {
			t.Errorf("%d frames before the delay", len(inner.sent()))
		}
		time.Sleep(20*time.Millisecond + 1)
		synctest.Wait()
		if len(inner.sent()) != 100 || slices.IsSorted(inner.sent()) {
			t.Errorf("%d frames, sorted %v", len(inner.sent()), slices.IsSorted(inner.sent()))
		}
	})
}

func TestADescriptorPollsReadableWhileFramesWait(t *testing.T) {
	source, err := unix.Eventfd(0, unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(source)
	inner := newFake()
	inner.fd = source
	f, rx, _ := wrap(t, inner, Config{Delay: 200 * time.Millisecond}, time.Now)
	readable := func(timeout time.Duration) bool {
		fds := []unix.PollFd{{Fd: int32(rx.FD()), Events: unix.POLLIN}}
		n, _ := unix.Poll(fds, int(timeout.Milliseconds()))
		return n == 1
	}
	if readable(0) {
		t.Fatal("readable without a frame")
	}
	for i := range port.BatchMax {
		inner.in = append(inner.in, numbered(i))
	}
	unix.Write(source, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	if !readable(time.Second) {
		t.Fatal("not readable though the queue is")
	}
	unix.Read(source, make([]byte, 8))
	batch := make([]packet.Frame, port.BatchMax)
	if n, _ := rx.Receive(batch); n != 0 || readable(0) {
		t.Fatalf("%d frames at once, or readable before they are due", n)
	}
	if !readable(5 * time.Second) {
		t.Fatal("frames that are due do not wake the reader")
	}
	if n, _ := rx.Receive(batch[:1]); n != 1 || !readable(0) {
		t.Fatal("not readable though more frames are due")
	}
	if got := received(t, rx); len(got) != port.BatchMax-1 || readable(0) {
		t.Fatalf("%d frames left, readable: %v", len(got), readable(0))
	}
	for range 2 {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTooManyLateFramesAreLost(t *testing.T) {
	inner := newFake()
	now := time.Now()
	f, rx, _ := wrap(t, inner, Config{Delay: time.Hour}, func() time.Time { return now })
	defer f.Close()
	for i := range HeldMax + 100 {
		inner.in = append(inner.in, numbered(i))
	}
	for len(inner.in) > 0 {
		received(t, rx)
	}
	now = now.Add(time.Hour)
	if got := received(t, rx); !slices.Equal(got, sequence(HeldMax)) {
		t.Errorf("%d frames", len(got))
	}
	if c, _ := f.Counts(); c.Overflowed != 100 {
		t.Errorf("%+v", c)
	}
}

func TestTransmitCountsWhatTheDeviceRefuses(t *testing.T) {
	inner := newFake()
	inner.taken = 2
	f, _, tx := wrap(t, inner, Config{}, time.Now)
	defer f.Close()
	var frames []*packet.Frame
	for i := range 5 {
		frame := numbered(i)
		frames = append(frames, &frame)
	}
	if n := tx.Transmit(frames); n != 2 {
		t.Errorf("%d frames taken, want 2", n)
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	for _, cfg := range []Config{
		{Loss: -0.1}, {Loss: 1.1}, {Duplicate: 2}, {Reorder: math.NaN()}, {Delay: -1}, {Jitter: -1},
	} {
		if _, err := Wrap(newFake(), cfg, time.Now); err == nil {
			t.Errorf("%s accepted", fmt.Sprintf("%+v", cfg))
		}
	}
}

func TestFramesAreCopiedAndRoomIsUsedAgain(t *testing.T) {
	inner := newFake()
	now := time.Now()
	f, rx, tx := wrap(t, inner, Config{}, func() time.Time { return now })
	defer f.Close()
	frame := numbered(1)
	frames := []*packet.Frame{&frame}
	batch := make([]packet.Frame, port.BatchMax)
	in, other := []packet.Frame{numbered(9)}, []packet.Frame{numbered(9)}
	want := bytes.Clone(in[0].Data)
	pass := func() {
		inner.out = inner.out[:0]
		tx.Transmit(frames)
		in, other = other, in // the queue clears the batch before
		copy(in[0].Data, want)
		inner.in = in
		if n, _ := rx.Receive(batch); n != 1 || !bytes.Equal(batch[0].Data, want) {
			t.Fatal("frame lost or damaged")
		}
	}
	pass()
	if n := testing.AllocsPerRun(1000, pass); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}
