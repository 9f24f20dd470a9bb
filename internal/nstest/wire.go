package nstest

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Wire is a packet socket on a device: what a machine with a plain network
// card would send and see there. It sees neither its own frames nor those of
// other programs on the same device, only what comes in.
type Wire struct {
	t  testing.TB
	fd int
}

// Wire opens a packet socket on a device, in promiscuous mode.
func (ns *NS) Wire(t testing.TB, dev string) *Wire {
	t.Helper()
	w := &Wire{t: t, fd: -1}
	err := ns.Do(func() error { return w.open(dev) })
	if err != nil {
		t.Fatalf("packet socket on %s: %v", dev, err)
	}
	t.Cleanup(func() { unix.Close(w.fd) })
	return w
}

func (w *Wire) open(dev string) error {
	nic, err := net.InterfaceByName(dev)
	if err != nil {
		return err
	}
	w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.SetsockoptInt(w.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return err
	}
	// Tests send hundreds of frames before they read; in a user namespace the
	// system's limit has to do.
	_ = unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
	promiscuous := unix.PacketMreq{Ifindex: int32(nic.Index), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(w.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &promiscuous); err != nil {
		return err
	}
	const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8 // in network order
	return unix.Bind(w.fd, &unix.SockaddrLinklayer{Ifindex: nic.Index, Protocol: all})
}

// Send sends frames as they are.
func (w *Wire) Send(frames ...[]byte) {
	w.t.Helper()
	for _, f := range frames {
		_, err := unix.Write(w.fd, f)
		if errors.Is(err, unix.ENETDOWN) { // perhaps only the notice that the device was down
			_, err = unix.Write(w.fd, f)
		}
		if err != nil {
			w.t.Fatalf("send %d bytes: %v", len(f), err)
		}
	}
}

// Receive returns the next frame that came in and that match (nil: any)
// accepts, or nil after the timeout.
func (w *Wire) Receive(timeout time.Duration, match func(frame []byte) bool) []byte {
	w.t.Helper()
	buf := make([]byte, 1<<16+64)
	for end := time.Now().Add(timeout); ; {
		left := time.Until(end)
		if left < 0 {
			return nil
		}
		poll := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(poll, int(left.Milliseconds())+1); n <= 0 && (err == nil || errors.Is(err, unix.EINTR)) {
			continue
		}
		n, _, err := unix.Recvfrom(w.fd, buf, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENETDOWN): // down now: the next read waits
		case err != nil:
			w.t.Fatalf("receive: %v", err)
		case match == nil || match(buf[:n]):
			return append([]byte(nil), buf[:n]...)
		}
	}
}

// Drain throws away what has come in so far.
func (w *Wire) Drain() {
	buf := make([]byte, 1)
	for {
		if _, _, err := unix.Recvfrom(w.fd, buf, unix.MSG_DONTWAIT); err != nil {
			return
		}
	}
}
