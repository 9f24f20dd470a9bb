package fault

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/dataplane/port"
	"vrouter/packet"
)

// receiver is a receive queue behind a bad cable. Where the queue has a
// descriptor, its own is an epoll of that and of an eventfd for frames that
// have become due; else it is a port.Waiter.
type receiver struct {
	port.Receiver
	line  *line
	clock func() time.Time
	in    []packet.Frame // what comes from the queue
	out   [][]byte       // data of the frames handed out, given back by the next Receive

	epoll, event int // or -1
	ready        chan struct{}
	done         chan struct{}
	signalled    atomic.Bool // the eventfd is readable

	mu     sync.Mutex // guards what follows
	timer  *time.Timer
	closed bool
}

func newReceiver(q port.Receiver, l *line, clock func() time.Time) (*receiver, error) {
	r := &receiver{
		Receiver: q, line: l, clock: clock, in: make([]packet.Frame, port.BatchMax),
		epoll: -1, event: -1, ready: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if q.FD() < 0 {
		if w, ok := q.(port.Waiter); ok {
			go r.bridge(w)
		}
		return r, nil
	}
	var err error
	if r.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if r.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		r.close()
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	for _, fd := range []int{q.FD(), r.event} {
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
		if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
			r.close()
			return nil, fmt.Errorf("epoll: %w", err)
		}
	}
	return r, nil
}

// bridge passes the queue's signals on.
func (r *receiver) bridge(w port.Waiter) {
	for {
		select {
		case <-r.done:
			return
		case <-w.Ready():
			r.signal()
		}
	}
}

// signal wakes whoever waits for the receiver.
func (r *receiver) signal() {
	select {
	case r.ready <- struct{}{}:
	default:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.event >= 0 && !r.closed {
		r.signalled.Store(true)
		_, _ = unix.Write(r.event, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // readable anyway where it fails
	}
}

// FD implements port.Receiver.
func (r *receiver) FD() int { return r.epoll }

// Ready implements port.Waiter, where there is no descriptor.
func (r *receiver) Ready() <-chan struct{} { return r.ready }

// Receive implements port.Receiver.
func (r *receiver) Receive(batch []packet.Frame) (int, error) {
	for _, data := range r.out {
		r.line.give(data)
	}
	r.out = r.out[:0]
	if r.signalled.Swap(false) {
		var count [8]byte
		_, _ = unix.Read(r.event, count[:]) // the count does not matter
	}
	n, err := r.Receiver.Receive(r.in)
	now := r.clock()
	for i := range r.in[:n] {
		r.line.put(now, &r.in[i])
	}
	n = 0
	for n < len(batch) {
		f, ok := r.line.take(now)
		if !ok {
			break
		}
		batch[n] = f
		r.out = append(r.out, f.Data)
		n++
	}
	if due, ok := r.line.deadline(); ok {
		r.wake(due.Sub(now))
	}
	if n > 0 {
		err = nil // it comes again
	}
	return n, err
}

// wake signals after a time.
func (r *receiver) wake(after time.Duration) {
	if after <= 0 {
		r.signal()
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
	case r.timer == nil:
		r.timer = time.AfterFunc(after, r.signal)
	default:
		r.timer.Reset(after)
	}
}

// close is called when no worker receives any more.
func (r *receiver) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.closed = true
	close(r.done)
	if r.timer != nil {
		r.timer.Stop()
	}
	for _, fd := range []int{r.epoll, r.event} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}
