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
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(g.fd)}
		if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, g.fd, &event); err != nil {
			return fmt.Errorf("epoll: %w", err)
		}
	}
	if old := r.wanted.Load(); old != nil {
		r.count.Drop(port.DropFull, ringDrops(old.fd))
		unix.EpollCtl(r.epoll, unix.EPOLL_CTL_DEL, old.fd, nil)
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
	n, bytes := r.ring.receive(batch, &r.count)
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
		r.count.Drop(port.DropFull, ringDrops(g.fd))
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
