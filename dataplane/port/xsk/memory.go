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
	// headroom is what the kernel leaves free before a frame that it writes
	// (XDP_PACKET_HEADROOM).
	headroom = 256
	// ReceiveMax is the size of the largest frame that is received.
	ReceiveMax = FrameSize - headroom
)

// Memory is UMEM: buffers of FrameSize bytes that sockets of several devices
// share, so that a frame received on one leaves by another where it lies. Its
// methods may be called from any goroutine.
//
// A buffer is held by the kernel (in a ring), by the free list, or by the one who
// received or fills it. Where a queue ends, what the kernel held for it is lost:
// the Memory is retired then, its other queues go on, each with as many buffers
// as it can ever hold, and whoever opens a queue again takes another Memory.
type Memory struct {
	mem []byte

	// taken says of a buffer that it was handed to a Sender where it lies. The
	// Sender sets it; the Receiver that lent it takes it back when it sees it.
	taken []atomic.Uint32

	mu      sync.Mutex
	free    []uint64 // offsets
	room    int      // buffers that no queue has been promised
	fd      int      // a bound socket, by which others share; -1: none yet
	users   int      // open queues
	retired bool
}

// NewMemory makes memory of a number of buffers.
func NewMemory(buffers int) (*Memory, error) {
	mem, err := unix.Mmap(-1, 0, buffers*FrameSize, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("AF_XDP memory: %w", err)
	}
	m := &Memory{mem: mem, taken: make([]atomic.Uint32, buffers), free: make([]uint64, buffers), room: buffers, fd: -1}
	for i := range m.free {
		m.free[i] = uint64(i * FrameSize)
	}
	return m, nil
}

// errRetired says that a queue of the memory has ended.
var errRetired = errors.New("AF_XDP memory is retired")

// errNoRoom says that the memory has no buffers for another queue.
var errNoRoom = errors.New("AF_XDP memory has no room for another queue")

// join promises a queue its buffers. share is the socket by which it refers to
// the memory; -1: it is the first, and registers it. The memory is locked until
// leave or joined.
func (m *Memory) join(buffers int) (share int, err error) {
	m.mu.Lock()
	switch {
	case m.retired:
		err = errRetired
	case m.room < buffers:
		err = errNoRoom
	}
	if err != nil {
		m.mu.Unlock()
		return 0, err
	}
	return m.fd, nil
}

// joined ends join: fd is the queue's socket, bound; -1: it could not be had.
func (m *Memory) joined(fd, buffers int) {
	defer m.mu.Unlock()
	if fd < 0 {
		return
	}
	if m.fd < 0 {
		m.fd = fd
	}
	m.room -= buffers
	m.users++
}

// retire is called when a queue ends: its socket may be the one to share by.
func (m *Memory) retire() {
	m.mu.Lock()
	m.retired = true
	m.mu.Unlock()
}

// leave is called when nobody uses the queue any more.
func (m *Memory) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.users--
	m.release()
}

// Discard gives back the memory where no queue has it.
func (m *Memory) Discard() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.release()
}

func (m *Memory) release() {
	if m.users == 0 && m.mem != nil {
		m.retired = true
		unix.Munmap(m.mem)
		m.mem = nil
	}
}

// Retired reports whether another Memory must be made for another queue.
func (m *Memory) Retired() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.retired
}

// register makes memory known to the kernel (XDP_UMEM_REG).
func (m *Memory) register(fd int) error {
	reg := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(m.mem)))), Len: uint64(len(m.mem)), Size: FrameSize}
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_UMEM_REG,
		uintptr(unsafe.Pointer(&reg)), unsafe.Sizeof(reg), 0)
	if errno != 0 {
		return fmt.Errorf("XDP_UMEM_REG of %d KiB: %w", len(m.mem)>>10, errno)
	}
	return nil
}

// get takes up to len(into) free buffers and returns their number.
func (m *Memory) get(into []uint64) int {
	m.mu.Lock()
	n := min(len(into), len(m.free))
	left := len(m.free) - n
	copy(into, m.free[left:])
	m.free = m.free[:left]
	m.mu.Unlock()
	return n
}

// put gives buffers back.
func (m *Memory) put(buffers []uint64) {
	m.mu.Lock()
	m.free = append(m.free, buffers...) // there is room for all
	m.mu.Unlock()
}

// lend takes over the buffer that a frame lies in, and returns the frame's
// offset. It is false where the frame lies elsewhere, or was lent before.
func (m *Memory) lend(frame []byte) (offset uint64, ok bool) {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(frame))) - uintptr(unsafe.Pointer(unsafe.SliceData(m.mem)))
	if at >= uintptr(len(m.mem)) || at%FrameSize+uintptr(len(frame)) > FrameSize {
		return 0, false
	}
	mark := &m.taken[at/FrameSize]
	if mark.Load() != 0 {
		return 0, false
	}
	mark.Store(1)
	return uint64(at), true
}

// lent reports whether the buffer at an offset was lent, and forgets it.
func (m *Memory) lent(offset uint64) bool {
	mark := &m.taken[offset/FrameSize]
	if mark.Load() == 0 {
		return false
	}
	mark.Store(0)
	return true
}
