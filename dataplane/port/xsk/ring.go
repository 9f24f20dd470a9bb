package xsk

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is one of the four rings of a socket, mapped (struct xdp_ring_offset in
// if_xdp.h). One side produces, the other consumes; the indices run freely, and
// an entry is at index & mask.
type ring struct {
	mem      []byte // the mapping
	producer *uint32
	consumer *uint32
	flags    *uint32
	entries  unsafe.Pointer // XDPDesc or uint64
	size     uint32
	mask     uint32
}

// kinds of rings: the socket option that makes one, where it is mapped, and the
// size of an entry.
type kind struct {
	option int
	offset int64
	entry  uintptr
}

var (
	rxRing   = kind{unix.XDP_RX_RING, unix.XDP_PGOFF_RX_RING, unsafe.Sizeof(unix.XDPDesc{})}
	txRing   = kind{unix.XDP_TX_RING, unix.XDP_PGOFF_TX_RING, unsafe.Sizeof(unix.XDPDesc{})}
	fillRing = kind{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_PGOFF_FILL_RING, 8}
	doneRing = kind{unix.XDP_UMEM_COMPLETION_RING, unix.XDP_UMEM_PGOFF_COMPLETION_RING, 8}
)

// openRing gives a socket a ring of size entries, a power of two.
func openRing(fd int, k kind, size int) (ring, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_XDP, k.option, size); err != nil {
		return ring{}, fmt.Errorf("AF_XDP ring of %d: %w", size, err)
	}
	var all unix.XDPMmapOffsets
	length := uint32(unsafe.Sizeof(all))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_MMAP_OFFSETS,
		uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return ring{}, fmt.Errorf("XDP_MMAP_OFFSETS: %w", errno)
	}
	at := map[kind]unix.XDPRingOffset{rxRing: all.Rx, txRing: all.Tx, fillRing: all.Fr, doneRing: all.Cr}[k]
	mem, err := unix.Mmap(fd, k.offset, int(at.Desc)+size*int(k.entry),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return ring{}, fmt.Errorf("map an AF_XDP ring: %w", err)
	}
	word := func(offset uint64) *uint32 { return (*uint32)(unsafe.Pointer(&mem[offset])) }
	return ring{
		mem: mem, producer: word(at.Producer), consumer: word(at.Consumer), flags: word(at.Flags),
		entries: unsafe.Pointer(&mem[at.Desc]), size: uint32(size), mask: uint32(size - 1),
	}, nil
}

func (r *ring) close() {
	if r.mem != nil {
		unix.Munmap(r.mem)
		r.mem = nil
	}
}

// desc returns the entry of an rx or tx ring at an index.
func (r *ring) desc(index uint32) *unix.XDPDesc {
	return (*unix.XDPDesc)(unsafe.Add(r.entries, uintptr(index&r.mask)*unsafe.Sizeof(unix.XDPDesc{})))
}

// addr returns the entry of a fill or completion ring at an index.
func (r *ring) addr(index uint32) *uint64 {
	return (*uint64)(unsafe.Add(r.entries, uintptr(index&r.mask)*8))
}

// waiting returns how many entries this side may consume.
func (r *ring) waiting() int { return int(atomic.LoadUint32(r.producer) - *r.consumer) }

// produced hands n entries over to the kernel.
func (r *ring) produced(n int) { atomic.StoreUint32(r.producer, *r.producer+uint32(n)) }

// consumed gives n entries back to the kernel.
func (r *ring) consumed(n int) { atomic.StoreUint32(r.consumer, *r.consumer+uint32(n)) }

// asleep reports whether the kernel wants to be told of new entries
// (XDP_USE_NEED_WAKEUP).
func (r *ring) asleep() bool { return atomic.LoadUint32(r.flags)&unix.XDP_RING_NEED_WAKEUP != 0 }
