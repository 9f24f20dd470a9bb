package worker

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"

	"vrouter/packet"
)

func numbered(n int) *packet.Frame {
	b := make([]byte, 60+n%40)
	binary.BigEndian.PutUint32(b, uint32(n))
	return &packet.Frame{Data: b, VNet: packet.VNet{CsumStart: uint16(n)}}
}

func TestQueueIsFirstInFirstOutAndBounded(t *testing.T) {
	wakes := 0
	q := NewQueue(ClassLimit{Frames: 3, PerSecond: 1 << 30, BurstExtra: 100}, func() { wakes++ })
	next := 0
	for round := range 10 { // around the ring several times
		for i := range 5 {
			if ok := q.Put(1, uint16(i), numbered(round*10+i)); ok != (i < 3) {
				t.Fatalf("put %d: %v", i, ok)
			}
		}
		if q.Len() != 3 {
			t.Fatalf("%d wait", q.Len())
		}
		n := q.Drain(10, func(p *Punted) {
			want := round*10 + next%3
			if got := int(binary.BigEndian.Uint32(p.Data)); got != want || int(p.In) != next%3 ||
				int(p.VNet.CsumStart) != want || len(p.Data) != 60+want%40 {
				t.Errorf("got %d from port %d, want %d", got, p.In, want)
			}
			next++
		})
		if n != 3 {
			t.Errorf("drained %d", n)
		}
	}
	if wakes != 10 {
		t.Errorf("%d wake-ups for 10 times something in an empty queue", wakes)
	}
	if accepted, dropped := q.Counts(); accepted != 30 || dropped != 20 {
		t.Errorf("accepted %d, dropped %d", accepted, dropped)
	}
}

func TestQueueCopies(t *testing.T) {
	q := NewQueue(limits, func() {})
	f := numbered(5)
	q.Put(1, 0, f)
	f.Data[3] = 99
	q.Drain(1, func(p *Punted) {
		if p.Data[3] != 5 {
			t.Error("the queue holds the batch's memory")
		}
	})
}

func TestDrainTakesAtMostWhatIsAskedFor(t *testing.T) {
	q := NewQueue(limits, func() {})
	for n := range 5 {
		q.Put(1, 0, numbered(n))
	}
	if n := q.Drain(2, func(*Punted) {}); n != 2 || q.Len() != 3 {
		t.Errorf("drained %d, %d left", n, q.Len())
	}
	// What the consumer puts meanwhile comes after what waited, and does not
	// make an endless loop.
	seen := 0
	q.Drain(5, func(*Punted) { seen++; q.Put(1, 0, numbered(9)) })
	if seen != 5 {
		t.Errorf("saw %d", seen)
	}
}

func TestRateLimit(t *testing.T) {
	const second = int64(1e9)
	q := NewQueue(ClassLimit{Frames: 10_000, PerSecond: 1000, BurstExtra: 50}, func() {})
	now := 1000 * second
	put := func(n int) (accepted int) {
		for i := range n {
			if q.Put(now, 0, numbered(i)) {
				accepted++
			}
		}
		return accepted
	}
	if n := put(100); n != 50 {
		t.Errorf("burst of %d, want 50", n)
	}
	now += second / 100
	if n := put(100); n != 10 {
		t.Errorf("%d in 10 ms, want 10", n)
	}
	now -= second / 2 // the clock of another worker, read earlier
	if n := put(10); n != 0 {
		t.Errorf("%d with time going back", n)
	}
	now += second // half a second after the last refill
	if n := put(1000); n != 50 {
		t.Errorf("%d after a pause, want the burst", n)
	}
	now += 3600 * second
	if n := put(1000); n != 50 {
		t.Errorf("%d after an hour, want the burst", n)
	}
	total := 0
	for range 1000 {
		now += second / 1000
		total += put(5)
	}
	if total != 1000 {
		t.Errorf("%d accepted in a second, want 1000", total)
	}
}

// TestQueueManyProducers: nothing that was accepted is lost or torn, and an
// idle consumer that only listens to wake-ups always gets everything.
func TestQueueManyProducers(t *testing.T) {
	const producers, each = 4, 20_000
	wake := make(chan struct{}, 1)
	q := NewQueue(ClassLimit{Frames: 64, PerSecond: 1 << 30, BurstExtra: 1 << 30}, func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	var group sync.WaitGroup
	var over atomic.Bool
	for p := range producers {
		group.Go(func() {
			for n := range each {
				q.Put(int64(n), uint16(p), numbered(n))
			}
		})
	}
	go func() { group.Wait(); over.Store(true); wake <- struct{}{} }()
	var got uint64
	var last [producers]int
	for !over.Load() || q.Len() > 0 {
		<-wake
		for q.Drain(16, func(p *Punted) {
			n := int(binary.BigEndian.Uint32(p.Data))
			if len(p.Data) != 60+n%40 || n < last[p.In] {
				t.Errorf("producer %d: %d after %d", p.In, n, last[p.In])
			}
			last[p.In] = n
			got++
		}) > 0 {
		}
	}
	if accepted, dropped := q.Counts(); got != accepted || accepted+dropped != producers*each {
		t.Errorf("got %d, accepted %d, dropped %d", got, accepted, dropped)
	}
}

func BenchmarkQueue(b *testing.B) {
	q := NewQueue(limits, func() {})
	f := numbered(1)
	b.ReportAllocs()
	for n := range b.N {
		q.Put(int64(n)*1000, 0, f)
		q.Drain(1, func(*Punted) {})
	}
}
