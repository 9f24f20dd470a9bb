package guardian

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// inboxStatus says what a receive has found.
type inboxStatus int

const (
	inboxMessage inboxStatus = iota
	inboxEmpty
	inboxClosed
)

// descriptorsMax is how many descriptors one message can bring without being
// cut; one is used.
const descriptorsMax = 8

// inbox receives messages without allocating.
type inbox struct {
	data    []byte
	control []byte
	iov     unix.Iovec
	msg     unix.Msghdr
}

func (i *inbox) init() {
	i.data = make([]byte, messageMax+1) // one more: a message that is too long is seen
	i.control = make([]byte, unix.CmsgSpace(descriptorsMax*4))
}

// receive takes the next message, valid until the next call, and the descriptor
// that came with it, or -1.
func (i *inbox) receive(socket int) (b []byte, fd int, status inboxStatus) {
	i.iov.Base = unsafe.SliceData(i.data)
	i.iov.SetLen(len(i.data))
	for {
		i.msg = unix.Msghdr{Iov: &i.iov, Iovlen: 1, Control: unsafe.SliceData(i.control)}
		i.msg.SetControllen(len(i.control))
		n, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(socket), uintptr(unsafe.Pointer(&i.msg)),
			unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return nil, -1, inboxEmpty
		case errno != 0, n == 0 && hungUp(socket):
			return nil, -1, inboxClosed
		}
		return i.data[:n], i.descriptor(), inboxMessage
	}
}

// hungUp tells the end of a socket from a message without a byte.
func hungUp(socket int) bool {
	fds := []unix.PollFd{{Fd: int32(socket), Events: unix.POLLIN}}
	poll(fds, 0)
	return fds[0].Revents&unix.POLLHUP != 0
}

// descriptor returns the one descriptor that came with the message. Of several
// none is kept.
func (i *inbox) descriptor() int {
	if i.msg.Controllen == 0 {
		return -1
	}
	list, err := unix.ParseSocketControlMessage(i.control[:i.msg.Controllen])
	if err != nil {
		return -1
	}
	var all []int
	for k := range list {
		if fds, err := unix.ParseUnixRights(&list[k]); err == nil {
			all = append(all, fds...)
		}
	}
	if len(all) == 1 {
		return all[0]
	}
	for _, fd := range all {
		unix.Close(fd)
	}
	return -1
}
