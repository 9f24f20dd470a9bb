package tap

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"vrouter/dataplane/port"
	"vrouter/packet"
)

// frameMax is the room for one frame: an IP packet of 64 KiB, its Ethernet
// header and a VLAN tag; and more, since the kernel does not tell when it cuts
// a frame to the room that there is.
const frameMax = 66 << 10

// errGone says that the device is not there.
var errGone = errors.New("tap: the device is gone")

// none is a file that is not open.
var none = &file{fd: -1}

// file is a descriptor of the device with an identity of its own: numbers are
// used again.
type file struct{ fd int }

// receiver is one receive queue. The port opens a descriptor for it each time
// that it creates the device; the worker, in Receive, changes over to it and
// closes the one before, which it may still have been reading.
type receiver struct {
	epoll   int                  // what FD returns; holds the current descriptor
	wanted  atomic.Pointer[file] // by the port
	file    *file                // by the worker
	count   port.Counter
	lost    func() int // frames that found no room since the last call; nil: counted by another queue
	buffers []byte     // BatchMax times frameMax
	iov     [2]unix.Iovec

	mu sync.Mutex // held to change either file
}

func newReceiver() (*receiver, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	// Memory is only used where frames have been.
	buffers, err := unix.Mmap(-1, 0, port.BatchMax*frameMax, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		unix.Close(epoll)
		return nil, fmt.Errorf("buffers: %w", err)
	}
	r := &receiver{epoll: epoll, file: none, buffers: buffers}
	r.wanted.Store(none)
	return r, nil
}

// attach makes fd what the worker reads from now on; -1: nothing.
func (r *receiver) attach(fd int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := none
	if fd >= 0 {
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
		if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
			return fmt.Errorf("epoll: %w", err)
		}
		next = &file{fd}
	}
	if old := r.wanted.Load(); old != none {
		r.silence(old)
		if old != r.file { // the worker has not seen it and never will
			unix.Close(old.fd)
		}
	}
	r.wanted.Store(next)
	return nil
}

// silence takes a file out of the set that is waited for; it may be out.
func (r *receiver) silence(f *file) { _ = unix.EpollCtl(r.epoll, unix.EPOLL_CTL_DEL, f.fd, nil) }

// change follows attach on the worker's side.
func (r *receiver) change() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file != none {
		unix.Close(r.file.fd)
	}
	r.file = r.wanted.Load()
}

// Receive implements port.Receiver.
func (r *receiver) Receive(batch []packet.Frame) (int, error) {
	if r.wanted.Load() != r.file {
		r.change()
	}
	if r.file == none {
		return 0, errGone
	}
	n, bytes := 0, 0
	for reads := 0; n < len(batch) && reads < port.BatchMax; reads++ {
		f := &batch[n]
		room := r.buffers[n*frameMax : (n+1)*frameMax]
		size, errno := r.read(f, room)
		if errno == unix.EAGAIN {
			break
		}
		if errno == unix.EIO || errno == unix.EBADFD { // the device was deleted; the port will notice
			r.silence(r.file)
			return n, errGone
		}
		size -= packet.VNetLen
		if why, bad := damaged(size, errno); bad {
			r.count.Drop(why, 1)
			continue
		}
		f.Data = room[:size:size]
		f.VNet.NumBuffers = 0
		bytes += size
		n++
	}
	if n > 0 {
		r.count.Count(n, bytes)
	}
	return n, nil
}

// damaged reports whether a frame of so many bytes, which a read returned along
// with errno, is of no use, and how that is counted.
func damaged(size int, errno unix.Errno) (why port.Drop, bad bool) {
	switch {
	case errno != 0, size < packet.EthernetLen: // EINVAL: it has no virtio-net header that fits
		return port.DropMalformed, true
	case size >= frameMax:
		return port.DropTruncated, true
	}
	return 0, false
}

// read reads one frame: the header into f, the rest into room.
func (r *receiver) read(f *packet.Frame, room []byte) (int, unix.Errno) {
	r.iov[0].Base = (*byte)(unsafe.Pointer(&f.VNet))
	r.iov[0].SetLen(packet.VNetLen)
	r.iov[1].Base = unsafe.SliceData(room)
	r.iov[1].SetLen(len(room))
	// Raw: it does not block, and the scheduler need not hear of it.
	n, _, errno := unix.RawSyscall(unix.SYS_READV, uintptr(r.file.fd), uintptr(unsafe.Pointer(&r.iov[0])), 2)
	return int(n), errno
}

// FD implements port.Receiver.
func (r *receiver) FD() int { return r.epoll }

// Stats implements port.Receiver. The kernel counts what found no room for all
// queues together; it is in the counts of the first.
func (r *receiver) Stats() port.Stats {
	if r.lost != nil {
		r.count.Drop(port.DropFull, r.lost())
	}
	return r.count.Stats()
}

// close is called when no worker receives any more.
func (r *receiver) close() {
	_ = r.attach(-1) // detaching does not fail
	r.change()
	unix.Close(r.epoll)
	_ = unix.Munmap(r.buffers) // a whole mapping of our own
}

// transmitter writes frames, one call each: a TAP takes no batches. It has a
// descriptor of its own, which changes as the receiver's does.
type transmitter struct {
	wanted atomic.Pointer[file] // by the port; nil: none yet
	file   *file                // by the worker
	count  port.Counter
	forget func(*transmitter)
	iov    [2]unix.Iovec

	mu sync.Mutex // held to change either file
}

// attachDup makes a duplicate of fd the descriptor to write to.
func (t *transmitter) attachDup(fd int) error {
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("duplicate descriptor: %w", err)
	}
	t.attach(own)
	return nil
}

// attach makes fd the descriptor to write to, and owns it; -1: none.
func (t *transmitter) attach(fd int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.wanted.Load(); old != nil && old != t.file {
		unix.Close(old.fd)
	}
	if fd < 0 {
		t.wanted.Store(nil)
		return
	}
	t.wanted.Store(&file{fd})
}

// change follows attach on the worker's side.
func (t *transmitter) change() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file != nil {
		unix.Close(t.file.fd)
	}
	t.file = t.wanted.Load()
}

// Transmit implements port.Transmitter.
func (t *transmitter) Transmit(frames []*packet.Frame) int {
	if t.wanted.Load() != t.file {
		t.change()
	}
	if t.file == nil {
		t.count.Drop(port.DropDown, len(frames))
		return 0
	}
	sent, bytes := 0, 0
	for _, f := range frames {
		if errno := t.write(f); errno != 0 {
			t.count.Drop(dropOf(errno), 1)
			continue
		}
		sent++
		bytes += len(f.Data)
	}
	t.count.Count(sent, bytes)
	return sent
}

func (t *transmitter) write(f *packet.Frame) unix.Errno {
	t.iov[0].Base = (*byte)(unsafe.Pointer(&f.VNet))
	t.iov[0].SetLen(packet.VNetLen)
	t.iov[1].Base = unsafe.SliceData(f.Data)
	t.iov[1].SetLen(len(f.Data))
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_WRITEV, uintptr(t.file.fd), uintptr(unsafe.Pointer(&t.iov[0])), 2)
		if errno != unix.EINTR {
			return errno
		}
	}
}

// dropOf says how a write that the device refused is counted.
func dropOf(errno unix.Errno) port.Drop {
	switch errno {
	case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
		return port.DropBusy
	case unix.EIO, unix.EBADFD, unix.ENODEV: // not up, or deleted
		return port.DropDown
	case unix.EMSGSIZE:
		return port.DropSize
	}
	return port.DropElse
}

// Stats implements port.Transmitter.
func (t *transmitter) Stats() port.Stats { return t.count.Stats() }

// Close implements port.Transmitter.
func (t *transmitter) Close() error {
	t.forget(t)
	t.attach(-1)
	t.change()
	return nil
}
