package daemon

import (
	"golang.org/x/sys/unix"

	"vrouter/bfd"
	"vrouter/config"
)

// bfdPort keeps the kernel from answering BFD packets to its own addresses with
// "port unreachable" where an interface has addresses = "host": the router takes
// them from the device, the kernel sees them, too. Its sockets hear nothing.
type bfdPort struct{ fds []int }

// hold opens the sockets where a session is configured. Where they cannot be had
// another program has the port, which comes to the same.
func (b *bfdPort) hold(cfg *config.Config) {
	wanted := len(cfg.BFD) > 0
	if cfg.BGP != nil {
		for i := range cfg.BGP.Neighbors {
			wanted = wanted || cfg.BGP.Neighbors[i].BFD != nil
		}
	}
	if !wanted || len(b.fds) > 0 {
		return
	}
	for _, a := range []unix.Sockaddr{&unix.SockaddrInet4{Port: bfd.Port}, &unix.SockaddrInet6{Port: bfd.Port}} {
		if fd, err := deafUDP(a); err == nil {
			b.fds = append(b.fds, fd)
		}
	}
}

func (b *bfdPort) close() {
	for _, fd := range b.fds {
		unix.Close(fd)
	}
	b.fds = nil
}

// deafUDP opens a UDP socket that drops what it is sent.
func deafUDP(a unix.Sockaddr) (fd int, err error) {
	family := unix.AF_INET
	if _, six := a.(*unix.SockaddrInet6); six {
		family = unix.AF_INET6
	}
	if fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, err
	}
	if family == unix.AF_INET6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	if err == nil {
		err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop})
	}
	if err == nil {
		err = unix.Bind(fd, a)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
