package netlab

import (
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Wire is a packet socket on a host's device: it reads every frame that comes
// in, whomever it is for, and writes frames as they are.
type Wire struct {
	MAC  net.HardwareAddr // the device's own
	file *os.File
}

// OpenWire opens a Wire.
func (h *Host) OpenWire(dev string) (*Wire, error) {
	link, err := h.link(dev)
	if err != nil {
		return nil, err
	}
	w := &Wire{MAC: link.Attrs().HardwareAddr}
	err = h.Do(func() error {
		w.file, err = openPacketSocket(link.Attrs().Index)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("host %s: packet socket on %s: %w", h.Name, dev, err)
	}
	return w, nil
}

func openPacketSocket(ifindex int) (*os.File, error) {
	all := int(htons(unix.ETH_P_ALL))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, all)
	if err != nil {
		return nil, err
	}
	err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	if err == nil {
		err = unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
			&unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_PROMISC})
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: uint16(all), Ifindex: ifindex})
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "packet socket"), nil
}

// openSender opens a packet socket of protocol 0, which receives nothing.
func openSender(ifindex int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "packet socket"), nil
}

func htons(v uint16) uint16 { return v<<8 | v>>8 } // little-endian machines

// Read reads one frame into b and returns its length; after the deadline, or
// Close, it returns an error.
func (w *Wire) Read(b []byte, deadline time.Time) (int, error) {
	if err := w.file.SetReadDeadline(deadline); err != nil {
		// A packet socket always takes a deadline but when it is closed, and then
		// the error is not os.ErrClosed, on which readers end.
		return 0, fmt.Errorf("%w: %w", os.ErrClosed, err)
	}
	return w.file.Read(b)
}

// Write sends one frame.
func (w *Wire) Write(frame []byte) error {
	_, err := w.file.Write(frame)
	return err
}

// Close closes the socket; a Read that waits returns.
func (w *Wire) Close() error { return w.file.Close() }
