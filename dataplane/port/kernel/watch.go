package kernel

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Watcher tells that some device has changed. It does not say which or how:
// whoever waits looks at the device again, so that no change is missed when
// the kernel's queue of notices overflows.
type Watcher struct {
	fd   int // route netlink socket in the links group
	stop int // eventfd
	buf  [16384]byte
}

// Watch returns a watcher of the calling thread's namespace.
func Watch() (*Watcher, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("watch devices: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("watch devices: %w", err)
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("watch devices: %w", err)
	}
	return &Watcher{fd: fd, stop: stop}, nil
}

// Wait blocks until a device has changed, the timeout has passed (negative:
// none), or Stop was called; it returns false after Stop.
func (w *Watcher) Wait(timeout time.Duration) bool {
	ms := -1
	if timeout >= 0 {
		ms = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	fds := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}, {Fd: int32(w.stop), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, ms)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		break
	}
	if fds[1].Revents != 0 {
		return false
	}
	for { // an overflow (ENOBUFS) is reported once, and is a change too
		_, _, err := unix.Recvfrom(w.fd, w.buf[:], 0)
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return true
		}
	}
}

// Stop makes Wait return false, now and for ever. Unlike the other methods it
// may be called from any goroutine.
func (w *Watcher) Stop() { unix.Write(w.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// Close releases the watcher, which nobody waits on any more.
func (w *Watcher) Close() {
	unix.Close(w.fd)
	unix.Close(w.stop)
}
