package daemon

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/packet"
)

// onDevice makes sockets that use one device, whatever the kernel's routes say:
// where it has no route by that device, the destination is taken to be on its
// link (socket(7), SO_BINDTODEVICE).
func onDevice(device string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = unix.BindToDevice(int(fd), device) })
		return errors.Join(err, failed)
	}
}

// kernelConnect opens a TCP connection of the kernel's and resets it. from is its
// source; zero: the kernel chooses.
func kernelConnect(ctx context.Context, device string, from netip.Addr, to netip.AddrPort) (time.Duration, error) {
	began := time.Now()
	d := net.Dialer{Control: onDevice(device)}
	if from.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: from.AsSlice()}
	}
	c, err := d.DialContext(ctx, "tcp", withDevice(to.Addr(), device, to.Port()))
	took := time.Since(began)
	if err != nil {
		return 0, shortError(ctx, err)
	}
	_ = c.(*net.TCPConn).SetLinger(0) // else it closes in the ordinary way
	_ = c.Close()
	return took, nil
}

// kernelPing sends one echo request by the kernel and waits for the reply.
func kernelPing(ctx context.Context, device string, to netip.Addr, sequence uint16) (time.Duration, error) {
	network, any := "ip4:icmp", "0.0.0.0"
	if to.Is6() {
		network, any = "ip6:ipv6-icmp", "::"
	}
	config := net.ListenConfig{Control: onDevice(device)}
	c, err := config.ListenPacket(ctx, network, any)
	if err != nil {
		return 0, shortError(ctx, err)
	}
	defer c.Close()
	undo := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // ends the wait
	defer undo()
	request := echoRequest(to.Is6(), uint16(time.Now().UnixNano()>>10), sequence)
	began := time.Now()
	target := &net.IPAddr{IP: to.AsSlice()}
	if to.Is6() && to.IsLinkLocalUnicast() {
		target.Zone = device
	}
	if _, err := c.WriteTo(request, target); err != nil {
		return 0, shortError(ctx, err)
	}
	buffer := make([]byte, 2048)
	for {
		n, from, err := c.ReadFrom(buffer)
		if err != nil {
			return 0, shortError(ctx, err)
		}
		if sender, ok := from.(*net.IPAddr); ok && sender.IP.Equal(target.IP) && echoAnswers(to.Is6(), buffer[:n], request) {
			return time.Since(began), nil
		}
	}
}

// echoHeader is the length of an echo's header, of both families (RFC 792,
// RFC 4443 4.1).
const echoHeader = 8

// echoRequest builds an ICMP message. The kernel fills in ICMPv6's checksum
// (RFC 3542 3.1).
func echoRequest(ipv6 bool, identifier, sequence uint16) []byte {
	b := make([]byte, echoHeader+checkSize)
	b[0] = packet.ICMPEcho
	if ipv6 {
		b[0] = packet.ICMPv6Echo
	}
	binary.BigEndian.PutUint16(b[4:], identifier)
	binary.BigEndian.PutUint16(b[6:], sequence)
	if !ipv6 {
		binary.BigEndian.PutUint16(b[2:], packet.Checksum(packet.Sum(0, b)))
	}
	return b
}

// echoAnswers reports whether an ICMP message is the reply to a request: a
// socket hears those of all others, too.
func echoAnswers(ipv6 bool, b, request []byte) bool {
	reply := byte(packet.ICMPEchoReply)
	if ipv6 {
		reply = packet.ICMPv6EchoReply
	}
	return len(b) == len(request) && b[0] == reply && [4]byte(b[4:8]) == [4]byte(request[4:8])
}

// withDevice writes an address with a port as package net reads it.
func withDevice(a netip.Addr, device string, port uint16) string {
	if a.Is6() && a.IsLinkLocalUnicast() {
		a = a.WithZone(device)
	}
	return netip.AddrPortFrom(a, port).String()
}

// shortError returns the context's error where that has ended the call, else
// what the kernel said: "connection refused".
func shortError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		return number
	}
	return err
}
