package mem

import (
	"errors"
	"sync"

	"vrouter/dataplane/port"
	"vrouter/packet"
)

// ring is a bounded queue of frames whose buffers are used again.
type ring struct {
	slots      []packet.Frame
	head, used int
}

func newRing(depth int) ring { return ring{slots: make([]packet.Frame, depth)} }

// put copies a frame in; false where there is no room.
func (r *ring) put(f *packet.Frame) bool {
	if r.used == len(r.slots) {
		return false
	}
	s := &r.slots[(r.head+r.used)%len(r.slots)]
	s.Data, s.VNet = append(s.Data[:0], f.Data...), f.VNet
	r.used++
	return true
}

// take returns the oldest frame, which is valid until the next put.
func (r *ring) take() *packet.Frame {
	s := &r.slots[r.head]
	r.head = (r.head + 1) % len(r.slots)
	r.used--
	return s
}

// queue is a receive queue.
type queue struct {
	port    *Port
	ready   chan struct{}
	counter port.Counter

	mu      sync.Mutex
	waiting ring
	out     [port.BatchMax][]byte // memory of the batch that is out
}

// put makes a frame arrive.
func (q *queue) put(f *packet.Frame) bool {
	if !q.port.carrying() {
		return false
	}
	q.mu.Lock()
	ok := q.waiting.put(f)
	q.mu.Unlock()
	if !ok {
		q.counter.Drop(port.DropFull, 1)
		return false
	}
	signal(q.ready)
	return true
}

var errGone = errors.New("mem: the device is gone")

// Receive implements port.Receiver.
func (q *queue) Receive(batch []packet.Frame) (int, error) {
	if !q.port.Status().Present {
		return 0, errGone
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	n, bytes := 0, 0
	for n < min(len(batch), len(q.out)) && q.waiting.used > 0 {
		f := q.waiting.take()
		q.out[n] = append(q.out[n][:0], f.Data...)
		batch[n] = packet.Frame{Data: q.out[n], VNet: f.VNet}
		bytes += len(f.Data)
		n++
	}
	q.counter.Count(n, bytes)
	return n, nil
}

// FD implements port.Receiver: there is none.
func (q *queue) FD() int { return -1 }

// Ready implements port.Waiter.
func (q *queue) Ready() <-chan struct{} { return q.ready }

// Stats implements port.Receiver.
func (q *queue) Stats() port.Stats { return q.counter.Stats() }

// transmitter is a transmit path.
type transmitter struct {
	port    *Port
	counter port.Counter
}

// Transmit implements port.Transmitter.
func (t *transmitter) Transmit(frames []*packet.Frame) int {
	sent, bytes := 0, 0
	for _, f := range frames {
		if t.send(f) {
			sent++
			bytes += len(f.Data)
		}
	}
	t.counter.Count(sent, bytes)
	return sent
}

// send passes one frame on, or counts why not.
func (t *transmitter) send(f *packet.Frame) bool {
	p := t.port
	p.mu.Lock()
	peer, status := p.peer, &p.status
	why := port.NumDrops
	switch {
	case !status.Present || !status.Up:
		why = int(port.DropDown)
	case !f.VNet.IsGSO() && len(f.Data) > status.MTU+packet.EthernetLen:
		why = int(port.DropSize)
	case peer == nil && !p.sent.put(f):
		why = int(port.DropBusy)
	}
	p.mu.Unlock() // the peer takes its own lock: two ports may send to each other
	if why < port.NumDrops {
		t.counter.Drop(port.Drop(why), 1)
		return false
	}
	if peer != nil {
		peer.queues[0].put(f) // what the other end has no room for, it counts
	}
	return true
}

// Stats implements port.Transmitter.
func (t *transmitter) Stats() port.Stats { return t.counter.Stats() }

// Close implements port.Transmitter.
func (t *transmitter) Close() error { return nil }
