package hostnet

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// groups are the kinds of change that the kernel is asked to tell of.
var groups = []int{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
}

// ErrOverrun says that the kernel had more to tell than the socket holds.
var ErrOverrun = errors.New("the kernel had more changes to tell than the socket holds")

// dial opens a socket of route netlink in the calling thread's namespace.
func dial() (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return -1, fmt.Errorf("route netlink: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("route netlink: %w", err)
	}
	return fd, nil
}

// dialNotices opens the socket on which the kernel tells of changes, with room
// for so many bytes of them.
func dialNotices(room int) (int, error) {
	fd, err := dial()
	if err != nil {
		return -1, err
	}
	// More than net.core.rmem_max needs CAP_NET_ADMIN in the first user
	// namespace; without it there is what is allowed.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, room) // never refused
	}
	for _, g := range groups {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g); err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("route netlink: notices of group %d: %w", g, err)
		}
	}
	// Next-hop objects came with Linux 5.3; where there are none nobody tells.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.RTNLGRP_NEXTHOP)
	return fd, nil
}

// request asks for a dump. The header that follows the message's is of length
// bytes, all zero but the family; table 0: of everything.
func request(fd int, kind uint16, serial uint32, family byte, length int, table uint32) error {
	b := make([]byte, 0, 64)
	b = append(b, 0, 0, 0, 0)
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b = binary.NativeEndian.AppendUint32(b, serial)
	b = append(b, 0, 0, 0, 0, family)
	b = append(b, make([]byte, length-1)...)
	if table != 0 {
		b = binary.NativeEndian.AppendUint16(b, 8)
		b = binary.NativeEndian.AppendUint16(b, unix.RTA_TABLE)
		b = binary.NativeEndian.AppendUint32(b, table)
	}
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	return unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// receive reads one datagram, of the kernel only; n is 0 where none waits.
func receive(fd int, b []byte) (n int, err error) {
	for {
		n, _, flags, from, err := unix.Recvmsg(fd, b, nil, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return 0, nil
		case errors.Is(err, unix.ENOBUFS):
			return 0, ErrOverrun
		case err != nil:
			return 0, fmt.Errorf("route netlink: %w", err)
		case flags&unix.MSG_TRUNC != 0:
			return 0, ErrOverrun // a part of what it told is lost
		}
		if sender, ok := from.(*unix.SockaddrNetlink); ok && sender.Pid == 0 {
			return n, nil
		}
	}
}

// awake waits until one of the descriptors is readable, or for ms milliseconds
// (negative: for ever), and reports whether the first one is.
func awake(ms int, fds ...int) (first bool) {
	list := make([]unix.PollFd, 0, 4)
	for _, fd := range fds {
		list = append(list, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	for {
		_, err := unix.Poll(list, ms)
		if !errors.Is(err, unix.EINTR) {
			return list[0].Revents != 0
		}
	}
}
