package worker

import (
	"sync"
	"sync/atomic"

	"vrouter/dataplane"
	"vrouter/packet"
)

// Punted is a frame that the fast path handed to somebody else.
type Punted struct {
	In   uint16 // the port it came in on
	Data []byte // the frame, complete: no GSO, no partial checksum unless VNet says so
	VNet packet.VNet
}

// ClassLimit bounds one class of punted frames.
type ClassLimit struct {
	Frames     int // that may wait
	PerSecond  int // that are accepted on average
	BurstExtra int // above the average at once
}

// DefaultLimits are the bounds of each class. VRRP and BFD are few and urgent:
// 500 virtual routers at 10 ms intervals with two peers send 100,000
// advertisements a second. ARP and ND are where floods happen: what is beyond
// a busy LAN's needs is dropped before it costs the control plane anything. A
// switch that has forgotten where a Master is may flood its backups at line
// rate: what they keep of it is what may be lost while they ask, some
// milliseconds, and the rest costs them next to nothing.
var DefaultLimits = [dataplane.NumClasses]ClassLimit{
	dataplane.ClassVRRP:    {Frames: 2048, PerSecond: 120_000, BurstExtra: 2048},
	dataplane.ClassBFD:     {Frames: 512, PerSecond: 20_000, BurstExtra: 512},
	dataplane.ClassARP:     {Frames: 512, PerSecond: 5_000, BurstExtra: 512},
	dataplane.ClassND:      {Frames: 512, PerSecond: 5_000, BurstExtra: 512},
	dataplane.ClassFlooded: {Frames: 1024, PerSecond: 20_000, BurstExtra: 1024},
	dataplane.ClassResolve: {Frames: 512, PerSecond: 20_000, BurstExtra: 1024},
	dataplane.ClassBGP:     {Frames: 1024, PerSecond: 50_000, BurstExtra: 2048},
	dataplane.ClassLocal:   {Frames: 1024, PerSecond: 50_000, BurstExtra: 2048},
	dataplane.ClassTransit: {Frames: 4096, PerSecond: 1 << 30, BurstExtra: 4096},
}

// Queue is a bounded queue of punted frames of one class: many workers put,
// one consumer takes. Buffers are kept and used again.
type Queue struct {
	limit    ClassLimit
	wake     func()
	accepted atomic.Uint64
	dropped  atomic.Uint64

	mu         sync.Mutex
	slots      []Punted
	head, used int
	tokens     int64 // in units of 1/1e9 frame
	filled     int64 // time of the last refill, ns
}

// NewQueue returns an empty queue. wake is called after a put into an empty
// queue, from the putting worker; it must not block.
func NewQueue(limit ClassLimit, wake func()) *Queue {
	return &Queue{
		limit: limit, wake: wake, slots: make([]Punted, limit.Frames),
		tokens: int64(limit.BurstExtra) * 1e9,
	}
}

// Put copies the frame into the queue, or drops and counts it where the queue
// is full or the class is over its rate. now is in nanoseconds of any steady
// clock, the same for all callers.
func (q *Queue) Put(now int64, in uint16, f *packet.Frame) bool {
	q.mu.Lock()
	q.refill(now)
	if q.used == len(q.slots) || q.tokens < 1e9 {
		q.mu.Unlock()
		q.dropped.Add(1)
		return false
	}
	q.tokens -= 1e9
	s := &q.slots[(q.head+q.used)%len(q.slots)]
	s.In, s.VNet = in, f.VNet
	s.Data = append(s.Data[:0], f.Data...)
	q.used++
	first := q.used == 1
	q.mu.Unlock()
	q.accepted.Add(1)
	if first {
		q.wake()
	}
	return true
}

// refill adds the tokens of the time that has passed, up to the burst.
func (q *Queue) refill(now int64) {
	elapsed := now - q.filled
	if elapsed <= 0 {
		return
	}
	q.filled = now
	most := int64(q.limit.BurstExtra) * 1e9
	if elapsed > 1e9 {
		q.tokens = most
		return
	}
	q.tokens = min(most, q.tokens+elapsed*int64(q.limit.PerSecond))
}

// Drain calls f for at most n waiting frames, oldest first, and returns how
// many there were. The frame is valid during the call; only one consumer may
// drain a queue.
func (q *Queue) Drain(n int, f func(p *Punted)) int {
	for i := range n {
		q.mu.Lock()
		if q.used == 0 {
			q.mu.Unlock()
			return i
		}
		s := &q.slots[q.head]
		q.mu.Unlock()
		f(s)
		q.mu.Lock()
		q.head = (q.head + 1) % len(q.slots)
		q.used--
		q.mu.Unlock()
	}
	return n
}

// Len returns the number of frames that wait.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.used
}

// Counts returns how many frames were accepted and dropped so far.
func (q *Queue) Counts() (accepted, dropped uint64) {
	return q.accepted.Load(), q.dropped.Load()
}
