package guardian

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// lifeline is a page of memory that both processes share, with a robust futex
// in it: the kernel marks it, and wakes who waits for it, as one of the first
// things when the thread that owns it dies (set_robust_list(2)). Everything
// else by which one process could notice the end of another comes after its
// memory is unmapped and its descriptors are closed, which takes as long as
// there is much of them. The heartbeats are in the page too: a message for each
// would wake the guardian tens of times a second for nothing.
type lifeline struct {
	memory []byte
}

// Layout of the page, and of the kernel's struct robust_list_head, whose
// addresses are those of the process that owns the futex.
const (
	wordAt  = 128 // the futex: 0, or the owner's thread id and flags
	entryAt = 64  // struct robust_list: the address of the next entry
	headAt  = 256
	headLen = 24
	beatAt  = 512 // boot time of the last heartbeat
	pageLen = 4096

	futexWaiters   = 0x80000000
	futexOwnerDied = 0x40000000
	futexWait      = 0
	futexWake      = 1
)

// newLifeline returns a page, and a descriptor by which the other process finds
// it.
func newLifeline() (l *lifeline, fd int, err error) {
	if fd, err = unix.MemfdCreate("lifeline", unix.MFD_CLOEXEC); err != nil {
		return nil, -1, fmt.Errorf("memfd: %w", err)
	}
	if err = unix.Ftruncate(fd, pageLen); err == nil {
		l, err = openLifeline(fd)
	}
	if err != nil {
		unix.Close(fd)
		return nil, -1, err
	}
	return l, fd, nil
}

func openLifeline(fd int) (*lifeline, error) {
	memory, err := unix.Mmap(fd, 0, pageLen, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mmap: %w", err)
	}
	return &lifeline{memory}, nil
}

func (l *lifeline) word() *uint32 { return (*uint32)(unsafe.Pointer(&l.memory[wordAt])) }

// beat leaves a heartbeat: nobody is woken by it.
func (l *lifeline) beat(now int64) { atomic.StoreInt64(l.pulse(), now) }

// last returns the boot time of the last heartbeat; 0: there was none.
func (l *lifeline) last() int64 { return atomic.LoadInt64(l.pulse()) }

func (l *lifeline) pulse() *int64 { return (*int64)(unsafe.Pointer(&l.memory[beatAt])) }

// hold makes the calling thread, which is locked, the owner.
func (l *lifeline) hold() {
	put := func(at int, value uintptr) { *(*uintptr)(unsafe.Pointer(&l.memory[at])) = value }
	address := func(at int) uintptr { return uintptr(unsafe.Pointer(&l.memory[at])) }
	put(entryAt, address(headAt)) // the last entry leads back
	put(headAt, address(entryAt)) // list
	put(headAt+8, wordAt-entryAt) // futex_offset
	put(headAt+16, 0)             // list_op_pending
	atomic.StoreUint32(l.word(), uint32(unix.Gettid())|futexWaiters)
	if _, _, errno := unix.RawSyscall(unix.SYS_SET_ROBUST_LIST, address(headAt), headLen, 0); errno != 0 {
		l.release() // the guardian hears of the end all the same, later
	}
}

// release ends the ownership: the thread may end without a meaning.
func (l *lifeline) release() { atomic.StoreUint32(l.word(), 0) }

// wait returns when the owner has died (true), or after cut (false). There must
// be an owner.
func (l *lifeline) wait() (died bool) {
	for {
		word := atomic.LoadUint32(l.word())
		switch {
		case word == cutWord:
			return false
		case word&futexOwnerDied != 0:
			return true
		}
		_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(l.word())), futexWait, uintptr(word), 0, 0, 0)
	}
}

// cutWord ends wait; no owner has it.
const cutWord = futexOwnerDied | futexWaiters | 1

// cut makes wait return.
func (l *lifeline) cut() {
	atomic.StoreUint32(l.word(), cutWord)
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(l.word())), futexWake, 1, 0, 0, 0)
}

func (l *lifeline) close() { _ = unix.Munmap(l.memory) }
