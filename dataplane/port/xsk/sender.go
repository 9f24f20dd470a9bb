package xsk

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// FrameSize is the size of a buffer, and of the largest frame that is sent.
	FrameSize = 2048
	// laneFrames is how many buffers a Sender has, and the size of its ring: more
	// than the largest batch, so that a device that takes its time holds up
	// nothing at once.
	laneFrames = 256
	// lanesMax is how many Senders share a queue of a device.
	lanesMax = 8
	// sendBuffer bounds what the device holds of a socket's frames, as the kernel
	// counts them.
	sendBuffer = 4 << 20
)

// Pool is the transmit queue of a device: the kernel lets one AF_XDP memory have
// it, and Senders share that. Its methods may be called from any goroutine.
type Pool struct {
	index, queue int
	mem          []byte

	mu     sync.Mutex
	first  int  // the socket that the memory is registered with; -1: none
	done   ring // completions of all Senders
	lanes  [lanesMax]*Sender
	next   int // lane of the next Sender: none is used twice, its buffers may still be under way
	users  int
	closed bool
}

// NewPool makes memory for the Senders of a queue of a device, given by the
// kernel's number of it.
func NewPool(index, queue int) (p *Pool, err error) {
	p = &Pool{index: index, queue: queue, first: -1}
	p.mem, err = unix.Mmap(-1, 0, lanesMax*laneFrames*FrameSize, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("AF_XDP memory: %w", err)
	}
	return p, nil
}

// Sender is one transmit path of a Pool, of one thread at a time.
type Sender struct {
	pool *Pool
	lane int
	fd   int
	tx   ring
	free []uint64 // offsets of buffers that are the Sender's to fill

	mu       sync.Mutex // guards returned
	returned []uint64   // by whoever read the completions
}

// Open adds a Sender, in the network namespace of the calling thread. The first
// one takes the queue. EPERM says that CAP_NET_RAW is missing there, ENOBUFS that
// RLIMIT_MEMLOCK is too low, EBUSY that another program has the queue,
// EAFNOSUPPORT that the kernel has no AF_XDP. A Pool of which no Sender could be
// opened is given back by Discard.
func (p *Pool) Open() (*Sender, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errors.New("AF_XDP memory is given back")
	}
	if p.next == lanesMax {
		return nil, fmt.Errorf("%d senders have shared the queue already", lanesMax)
	}
	s, err := p.open(p.next)
	if err != nil {
		return nil, err
	}
	p.lanes[p.next] = s
	p.next++
	p.users++
	return s, nil
}

// Closed reports whether the memory is given back: another Pool must be made.
func (p *Pool) Closed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

func (p *Pool) open(lane int) (s *Sender, err error) {
	s = &Sender{pool: p, lane: lane, free: make([]uint64, 0, laneFrames), returned: make([]uint64, 0, laneFrames)}
	s.fd, err = unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("AF_XDP socket: %w", err)
	}
	address := unix.SockaddrXDP{Flags: unix.XDP_COPY, Ifindex: uint32(p.index), QueueID: uint32(p.queue)}
	var fill, done ring
	first := p.first < 0
	if first {
		if err = register(s.fd, p.mem); err == nil {
			fill, err = openRing(s.fd, fillRing, 1) // not used, but there must be one
		}
		if err == nil {
			done, err = openRing(s.fd, doneRing, lanesMax*laneFrames)
		}
	} else {
		address.Flags, address.SharedUmemFD = unix.XDP_SHARED_UMEM, uint32(p.first)
	}
	if err == nil {
		s.tx, err = openRing(s.fd, txRing, laneFrames)
	}
	if err == nil {
		if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
			_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer) // up to the system's limit
		}
		if err = unix.Bind(s.fd, &address); err != nil {
			err = fmt.Errorf("AF_XDP queue %d: %w", p.queue, err)
		}
	}
	fill.close()
	if err != nil {
		done.close()
		s.tx.close()
		unix.Close(s.fd)
		return nil, err
	}
	if first {
		p.first, p.done = s.fd, done
	}
	for i := range laneFrames {
		s.free = append(s.free, uint64((lane*laneFrames+i)*FrameSize))
	}
	return s, nil
}

// register makes memory known to the kernel (XDP_UMEM_REG).
func register(fd int, mem []byte) error {
	reg := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))), Len: uint64(len(mem)), Size: FrameSize}
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_UMEM_REG,
		uintptr(unsafe.Pointer(&reg)), unsafe.Sizeof(reg), 0)
	if errno != 0 {
		return fmt.Errorf("XDP_UMEM_REG of %d KiB: %w", len(mem)>>10, errno)
	}
	return nil
}

// Add puts a frame of at most FrameSize bytes behind those that wait, and is
// false where no buffer is free. Kick sends them.
func (s *Sender) Add(frame []byte) bool {
	if len(s.free) == 0 && !s.reclaim() {
		return false
	}
	last := len(s.free) - 1
	at := s.free[last]
	s.free = s.free[:last]
	// As many descriptors as buffers: there is room.
	n := copy(s.pool.mem[at:at+FrameSize], frame)
	*s.tx.desc(*s.tx.producer) = unix.XDPDesc{Addr: at, Len: uint32(n)}
	s.tx.produced(1)
	return true
}

// Kick has the kernel send what waits, and returns how many frames it has not
// taken, with the reason: they stay and go first at the next Kick. Of ENETDOWN,
// ENXIO and ENODEV the Sender is at its end.
func (s *Sender) Kick() (left int, err error) {
	for tries := 0; ; tries++ {
		left = int(*s.tx.producer - atomic.LoadUint32(s.tx.consumer))
		if left == 0 {
			return 0, nil
		}
		// Raw: it does not block. The kernel takes some 32 frames at a time
		// (xsk.c, __xsk_generic_xmit), and says EAGAIN where there are more.
		_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
		now := int(*s.tx.producer - atomic.LoadUint32(s.tx.consumer))
		switch {
		case now == 0:
			return 0, nil
		case errno != 0 && errno != unix.EAGAIN && errno != unix.EINTR && errno != unix.EBUSY && errno != unix.ENOBUFS:
			return now, errno
		case now == left && tries >= kicksMax:
			return now, unix.EBUSY
		case now == left:
			s.reclaim() // a full completion ring holds up everything
		default:
			tries = 0
		}
	}
}

// kicksMax is how often Kick tries again where nothing goes.
const kicksMax = 3

// reclaim takes back the buffers of frames that are sent, and is false where
// there are none.
func (s *Sender) reclaim() bool {
	s.pool.complete()
	s.mu.Lock()
	s.free = append(s.free, s.returned...)
	s.returned = s.returned[:0]
	s.mu.Unlock()
	return len(s.free) > 0
}

// Discard gives back a Pool that has no Sender.
func (p *Pool) Discard() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users == 0 && !p.closed {
		p.closed = true
		unix.Munmap(p.mem)
	}
}

// complete reads the completions and returns the buffers to their Senders.
func (p *Pool) complete() {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.done.waiting()
	for i := range n {
		at := *p.done.addr(*p.done.consumer + uint32(i))
		if s := p.lanes[at/(laneFrames*FrameSize)%lanesMax]; s != nil {
			s.mu.Lock()
			s.returned = append(s.returned, at)
			s.mu.Unlock()
		}
	}
	if n > 0 {
		p.done.consumed(n)
	}
}

// Close ends the Sender; the last one gives the queue back, and the Pool's
// memory: another Pool must be made then.
func (s *Sender) Close() {
	p := s.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lanes[s.lane] = nil
	p.users--
	s.tx.close()
	if s.fd != p.first { // others refer to the first one's memory by its descriptor
		unix.Close(s.fd)
	}
	if p.users > 0 {
		return
	}
	p.closed = true
	unix.Close(p.first)
	p.done.close()
	unix.Munmap(p.mem)
}
