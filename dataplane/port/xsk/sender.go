package xsk

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Sender is one transmit path of a Queue, of one thread at a time.
type Sender struct {
	queue *Queue
	fd    int
	tx    ring
	free  []uint64 // buffers that are the Sender's to fill
}

// Add puts a frame of at most FrameSize bytes behind those that wait, and is
// false where the ring is full or no buffer is free. A frame that lies in the
// queue's Memory stays where it is and belongs to the Sender from now on; any
// other is copied. Kick sends them.
func (s *Sender) Add(frame []byte) bool {
	if *s.tx.producer-atomic.LoadUint32(s.tx.consumer) == s.tx.size {
		return false
	}
	m := s.queue.memory
	at, ok := m.lend(frame)
	if !ok {
		if len(s.free) == 0 && !s.reclaim() {
			return false
		}
		last := len(s.free) - 1
		at = s.free[last]
		s.free = s.free[:last]
		copy(m.mem[at:at+FrameSize], frame)
	}
	*s.tx.desc(*s.tx.producer) = unix.XDPDesc{Addr: at, Len: uint32(len(frame))}
	s.tx.produced(1)
	return true
}

// Kick has the kernel send what waits, and returns how many frames it has not
// taken, with the reason: they stay and go first at the next Kick. Of ENETDOWN,
// ENXIO and ENODEV the Sender is at its end.
func (s *Sender) Kick() (left int, err error) {
	for tries := 0; ; tries++ {
		left = s.waiting()
		if left == 0 {
			break
		}
		if !s.queue.copied {
			return 0, s.wake()
		}
		// Raw: it does not block. The kernel takes some 32 frames at a time
		// (xsk.c, __xsk_generic_xmit), and says EAGAIN where there are more.
		_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
		now := s.waiting()
		switch {
		case now == 0:
		case !passing(errno):
			return now, errno
		case now == left && tries >= kicksMax:
			return now, unix.EBUSY
		case now == left:
			s.queue.complete() // a full completion ring holds up everything
		default:
			tries = 0
		}
	}
	// Buffers that were lent by a Receiver come back only so.
	s.queue.complete()
	return 0, nil
}

// kicksMax is how often Kick tries again where nothing goes.
const kicksMax = 3

// passing reports whether an error of sendto says no more than "not all of it".
func passing(errno unix.Errno) bool {
	switch errno {
	case 0, unix.EAGAIN, unix.EINTR, unix.EBUSY, unix.ENOBUFS:
		return true
	}
	return false
}

// wake tells the driver that frames wait, where it wants to be told. It sends
// them by itself, from the ring.
func (s *Sender) wake() error {
	s.queue.complete()
	if !s.tx.asleep() {
		return nil
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	if passing(errno) {
		return nil
	}
	return errno
}

// waiting returns how many frames the kernel has not taken.
func (s *Sender) waiting() int { return int(*s.tx.producer - atomic.LoadUint32(s.tx.consumer)) }

// reclaim takes free buffers, and is false where there are none.
func (s *Sender) reclaim() bool {
	n := s.queue.memory.get(s.free[:cap(s.free)/4])
	if n == 0 {
		s.queue.complete()
		n = s.queue.memory.get(s.free[:cap(s.free)/4])
	}
	s.free = s.free[:n]
	return n > 0
}

// Close ends the Sender. What it has not sent is not sent any more.
func (s *Sender) Close() {
	unix.Close(s.fd)
	q := s.queue
	for i := range s.waiting() {
		s.free = append(s.free, s.tx.desc(*s.tx.producer-1-uint32(i)).Addr&^(FrameSize-1))
	}
	s.tx.close()
	q.memory.put(s.free)
	q.mu.Lock()
	q.senders--
	q.finish()
	q.mu.Unlock()
}
