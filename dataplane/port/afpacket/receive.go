package afpacket

import (
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"vrouter/dataplane/port"
	"vrouter/packet"
)

// receiver is one receive queue. The port's goroutine opens a ring for it each
// time that the device appears; the worker, in Receive, changes over to it and
// closes the one before, which it may still have been reading.
type receiver struct {
	epoll  int                  // what FD returns; holds the current ring's socket
	wanted atomic.Pointer[ring] // by the port; nil: no device
	ring   *ring                // by the worker
	turn   uint                 // which lane is read first
	count  port.Counter

	mu sync.Mutex // held to change either, and to read the kernel's drop counter
}

func newReceiver() (*receiver, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &receiver{epoll: epoll}, nil
}

// attach makes g the ring that the worker reads from now on; nil: none.
func (r *receiver) attach(g *ring) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g != nil {
		for _, fd := range g.descriptors() {
			event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
			if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
				return fmt.Errorf("epoll: %w", err)
			}
		}
	}
	if old := r.wanted.Load(); old != nil {
		r.count.Drop(port.DropFull, old.drops())
		for _, fd := range old.descriptors() {
			unix.EpollCtl(r.epoll, unix.EPOLL_CTL_DEL, fd, nil)
		}
		if old != r.ring { // the worker has not seen it and never will
			old.close()
		}
	}
	r.wanted.Store(g)
	return nil
}

// change follows attach on the worker's side.
func (r *receiver) change() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ring != nil {
		r.ring.close()
	}
	r.ring = r.wanted.Load()
}

// Receive implements port.Receiver.
func (r *receiver) Receive(batch []packet.Frame) (int, error) {
	if r.wanted.Load() != r.ring {
		r.change()
	}
	if r.ring == nil {
		return 0, errGone
	}
	// The packet socket's share comes first, so that a flood on the lanes leaves
	// it one.
	lanes := r.ring.lanes
	first := batch
	if len(lanes) > 0 && len(batch) > packetShare {
		first = batch[:packetShare]
	}
	n, bytes := r.ring.receive(first, &r.count)
	for i := range lanes {
		m, b := lanes[(uint(i)+r.turn)%uint(len(lanes))].Receiver().Receive(batch[n:])
		n, bytes = n+m, bytes+b
	}
	r.turn++
	if n > 0 {
		r.count.Count(n, bytes)
	}
	return n, nil
}

// FD implements port.Receiver.
func (r *receiver) FD() int { return r.epoll }

// Stats implements port.Receiver.
func (r *receiver) Stats() port.Stats {
	r.mu.Lock()
	if g := r.wanted.Load(); g != nil {
		r.count.Drop(port.DropFull, g.drops())
	}
	r.mu.Unlock()
	return r.count.Stats()
}

// clearError is called when the device went down.
func (r *receiver) clearError() {
	if g := r.wanted.Load(); g != nil {
		clearError(g.fd)
	}
}

// close is called when no worker receives any more.
func (r *receiver) close() {
	r.attach(nil)
	r.change()
	unix.Close(r.epoll)
}

// packetShare is how many frames of a batch the packet socket gets where there are
// lanes beside it.
const packetShare = port.BatchMax / 4

// descriptors returns what polls readable when frames wait.
func (r *ring) descriptors() []int {
	fds := []int{r.fd}
	for _, q := range r.lanes {
		fds = append(fds, q.FD())
	}
	return fds
}

// drops returns how many frames were lost for want of room since the last call.
func (r *ring) drops() int {
	n := ringDrops(r.fd)
	var lost uint64
	for _, q := range r.lanes {
		lost += q.Lost()
	}
	n += int(lost - r.lost)
	r.lost = lost
	return n
}
