package xsk

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	sendRing    = 256 // frames of a Sender that the device holds: more than the largest batch
	sendersMax  = 8   // of a queue
	receiveRing = 2048
	// SendBuffers is what a queue that only sends may hold of a Memory.
	SendBuffers = sendersMax * sendRing / 2
	// ReceiveBuffers is what a queue that receives, too, may hold of it.
	ReceiveBuffers = receiveRing + 64 + SendBuffers
	// sendBuffer bounds what the device holds of a socket's frames, as the kernel
	// counts them.
	sendBuffer = 4 << 20
	// sendBudget is how many frames one system call sends (Linux 6.17; 32 before).
	sendBudget = 64
	// sockSendBudget is XDP_MAX_TX_SKB_BUDGET of if_xdp.h.
	sockSendBudget = 9
)

// Queue is a queue of a device, of which the kernel lets one Memory send and
// receive. Its Senders and its Receiver share that. Its methods may be called
// from any goroutine.
type Queue struct {
	index, number int
	memory        *Memory
	fd            int // the socket that has the queue
	done          ring
	receiver      *Receiver // nil: it only sends
	copied        bool      // the kernel copies each frame

	mu      sync.Mutex // guards what follows, and done's consumer
	senders int
	closed  bool
	scratch [2 * sendRing]uint64 // by complete
}

// OpenSendQueue opens a queue to send by, of a device given by the kernel's number
// of it, in the network namespace of the calling thread. EPERM says that
// CAP_NET_RAW is missing there, ENOBUFS that RLIMIT_MEMLOCK is too low, EBUSY that
// another program has the queue, EAFNOSUPPORT that the kernel has no AF_XDP.
func OpenSendQueue(m *Memory, index, number int) (*Queue, error) {
	q := &Queue{index: index, number: number, memory: m}
	if err := q.open(unix.XDP_COPY, SendBuffers); err != nil {
		return nil, err
	}
	return q, nil
}

// OpenQueue opens a queue to receive and to send by. native says that the
// device's driver runs the XDP program: then frames need no copying where it can
// do without. EINVAL says that the device has fewer queues.
func OpenQueue(m *Memory, index, number int, native bool) (*Queue, error) {
	q := &Queue{index: index, number: number, memory: m, receiver: &Receiver{memory: m}}
	flags := []uint16{unix.XDP_COPY | unix.XDP_USE_NEED_WAKEUP}
	if native {
		flags = []uint16{unix.XDP_ZEROCOPY | unix.XDP_USE_NEED_WAKEUP, flags[0]}
	}
	var err error
	for _, f := range flags {
		if err = q.open(f, ReceiveBuffers); err == nil {
			return q, nil
		}
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EPERM) {
			break
		}
	}
	return nil, err
}

// open makes the socket that has the queue.
func (q *Queue) open(flags uint16, buffers int) (err error) {
	share, err := q.memory.join(buffers)
	if err != nil {
		return err
	}
	q.fd, err = socket()
	if err == nil {
		if err = q.bind(share, flags); err != nil {
			q.closeRings()
			unix.Close(q.fd)
			q.fd = -1
		}
	}
	if err != nil {
		q.memory.joined(-1, buffers)
		return fmt.Errorf("AF_XDP queue %d: %w", q.number, err)
	}
	q.memory.joined(q.fd, buffers)
	q.copied = q.isCopied()
	if q.receiver != nil {
		q.receiver.begin()
	}
	return nil
}

func socket() (int, error) {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("AF_XDP socket: %w", err)
	}
	return fd, nil
}

func (q *Queue) bind(share int, flags uint16) error {
	address := unix.SockaddrXDP{Flags: flags, Ifindex: uint32(q.index), QueueID: uint32(q.number)}
	if share >= 0 {
		address.Flags, address.SharedUmemFD = unix.XDP_SHARED_UMEM, uint32(share)
	} else if err := q.memory.register(q.fd); err != nil {
		return err
	}
	fill := 1 // not used, but there must be one
	if q.receiver != nil {
		fill = receiveRing
	}
	fills, err := openRing(q.fd, fillRing, fill)
	if err != nil {
		return err
	}
	if q.receiver != nil {
		q.receiver.fd, q.receiver.fill = q.fd, fills
		if q.receiver.rx, err = openRing(q.fd, rxRing, receiveRing); err != nil {
			return err
		}
	} else {
		fills.close()
	}
	if q.done, err = openRing(q.fd, doneRing, 2*SendBuffers); err != nil {
		return err
	}
	if q.receiver == nil { // a socket that does not receive must send
		unused, err := openRing(q.fd, txRing, 1)
		if err != nil {
			return err
		}
		unused.close()
	}
	return unix.Bind(q.fd, &address)
}

// isCopied asks the kernel whether it copies frames (XDP_OPTIONS).
func (q *Queue) isCopied() bool {
	options, err := unix.GetsockoptInt(q.fd, unix.SOL_XDP, unix.XDP_OPTIONS)
	return err != nil || options&unix.XDP_OPTIONS_ZEROCOPY == 0
}

// FD returns the socket that has the queue, which the device's program redirects
// to, and which polls readable while frames wait.
func (q *Queue) FD() int { return q.fd }

// Copied reports whether the kernel copies each frame.
func (q *Queue) Copied() bool { return q.copied }

// Receiver returns the queue's receive path.
func (q *Queue) Receiver() *Receiver { return q.receiver }

// Closed reports whether the queue is given back.
func (q *Queue) Closed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// Sender opens a transmit path, in the network namespace of the calling thread.
func (q *Queue) Sender() (*Sender, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, errors.New("AF_XDP queue is given back")
	}
	if q.senders == sendersMax {
		return nil, fmt.Errorf("%d senders share the queue already", sendersMax)
	}
	fd, err := socket()
	if err != nil {
		return nil, err
	}
	s := &Sender{queue: q, fd: fd, free: make([]uint64, 0, sendRing)}
	if s.tx, err = openRing(fd, txRing, sendRing); err == nil {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer) // up to the system's limit
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_XDP, sockSendBudget, sendBudget) // where the kernel has it
		err = unix.Bind(fd, &unix.SockaddrXDP{
			Flags: unix.XDP_SHARED_UMEM, Ifindex: uint32(q.index), QueueID: uint32(q.number), SharedUmemFD: uint32(q.fd),
		})
	}
	if err != nil {
		s.tx.close()
		unix.Close(fd)
		return nil, fmt.Errorf("AF_XDP sender of queue %d: %w", q.number, err)
	}
	q.senders++
	return s, nil
}

// complete gives the buffers of frames that are sent back to the memory.
func (q *Queue) complete() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed {
		n := min(q.done.waiting(), len(q.scratch))
		if n == 0 {
			return
		}
		for i := range n {
			q.scratch[i] = *q.done.addr(*q.done.consumer + uint32(i)) &^ (FrameSize - 1)
		}
		q.done.consumed(n)
		q.memory.put(q.scratch[:n])
	}
}

// Close ends the queue: nothing is received any more, and its Receiver is not used
// any more. Senders that are still open are closed by those who use them, and the
// last one gives the buffers back.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		q.memory.retire()
		unix.Close(q.fd)
		q.finish()
	}
}

// finish gives back what nobody uses any more.
func (q *Queue) finish() {
	if q.closed && q.senders == 0 {
		q.closeRings()
		q.memory.leave()
	}
}

func (q *Queue) closeRings() {
	q.done.close()
	if q.receiver != nil {
		q.receiver.fill.close()
		q.receiver.rx.close()
	}
}

// Stats is struct xdp_statistics (if_xdp.h): frames that the queue did not take.
type Stats struct {
	Dropped, InvalidRX, InvalidTX, Full, NoBuffer, Empty uint64
}

// Lost returns how many frames the queue did not receive since it was opened.
func (q *Queue) Lost() uint64 {
	var s Stats
	length := uint32(unsafe.Sizeof(s))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(q.fd), unix.SOL_XDP, unix.XDP_STATISTICS,
		uintptr(unsafe.Pointer(&s)), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return 0
	}
	return s.Dropped + s.Full
}
