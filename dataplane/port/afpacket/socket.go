package afpacket

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"vrouter/dataplane/port/kernel"
	"vrouter/packet"
)

// allProtocols is ETH_P_ALL in network byte order.
const allProtocols = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8

// bufferBytes is asked for as the sockets' buffers: the send buffer, and the
// queue of frames that are larger than a slot of the ring.
const bufferBytes = 16 << 20

// shortVNetLen is the length of the virtio-net header on kernels without
// PACKET_VNET_HDR_SZ: all but NumBuffers.
const shortVNetLen = 10

// packetSocket opens a packet socket that receives nothing yet.
func packetSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, kernel.Permission("packet socket", err)
	}
	return fd, nil
}

// enableVNet switches the virtio-net header on and returns its length.
func enableVNet(fd int) (int, error) {
	if unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR_SZ, packet.VNetLen) == nil {
		return packet.VNetLen, nil
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		return 0, fmt.Errorf("PACKET_VNET_HDR: %w", err)
	}
	return shortVNetLen, nil
}

// setBuffer sets a socket's buffer beyond the system's limit where that is
// permitted, else up to the limit, and returns its size.
func setBuffer(fd, force, plain int) int {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, bufferBytes) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, bufferBytes)
	}
	size, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, plain) // cannot fail on an open socket
	return size
}

// bindDevice binds a socket to a device. A device that is down is no error:
// the socket starts to receive when it comes up.
func bindDevice(fd, index int, protocol uint16) error {
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: index, Protocol: protocol}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	clearError(fd)
	return nil
}

// clearError takes the pending error off a socket: with one (ENETDOWN, each
// time the device goes down) it would poll ready for ever.
func clearError(fd int) { unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR) }

// openTransmit opens a socket that sends on a device and receives nothing,
// and returns the length of its virtio-net header.
func openTransmit(index int, marked bool) (fd, vnetLen int, err error) {
	if fd, err = packetSocket(); err != nil {
		return -1, 0, err
	}
	if vnetLen, err = enableVNet(fd); err == nil {
		err = bindSender(fd, index, marked)
	}
	if err != nil {
		unix.Close(fd)
		return -1, 0, err
	}
	setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF)
	return fd, vnetLen, nil
}

// openLoan opens a socket that sends on a device, receives nothing, and takes
// frames as they are.
func openLoan(index int, marked bool) (fd int, err error) {
	if fd, err = packetSocket(); err != nil {
		return -1, err
	}
	if err := bindSender(fd, index, marked); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// bindSender makes a socket send on a device. Marked, its frames pass the
// filter that keeps the kernel's own ones off the device.
func bindSender(fd, index int, marked bool) error {
	if err := bindDevice(fd, index, 0); err != nil || !marked {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, kernel.Mark); err != nil {
		return fmt.Errorf("SO_MARK: %w", err)
	}
	return nil
}

// setDeaf gives a socket a filter that drops everything. A socket is bound
// before it can join a fanout group; without the filter, all sockets of the
// port would receive the same frames until then.
func setDeaf(fd int) error {
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	program := unix.SockFprog{Len: 1, Filter: &drop}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return fmt.Errorf("SO_ATTACH_FILTER: %w", err)
	}
	return nil
}

// joinFanout puts a bound socket into a fanout group that spreads flows over
// its sockets by hash. Group -1 makes a new one, whose number is returned.
func joinFanout(fd, group int) (int, error) {
	mode := unix.PACKET_FANOUT_HASH
	if group < 0 {
		mode |= unix.PACKET_FANOUT_FLAG_UNIQUEID
		group = 0
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, group|mode<<16); err != nil {
		return -1, fmt.Errorf("PACKET_FANOUT: %w", err)
	}
	value, err := unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
	if err != nil {
		return -1, fmt.Errorf("PACKET_FANOUT: %w", err)
	}
	return value & 0xffff, nil
}

// setRing gives a socket its receive ring (packet(7), PACKET_RX_RING).
func setRing(fd int, g geometry) error {
	req := unix.TpacketReq{
		Block_size: uint32(g.blockSize),
		Block_nr:   uint32(g.slots / g.perBlock),
		Frame_size: uint32(g.slotSize),
		Frame_nr:   uint32(g.slots),
	}
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_PACKET, unix.PACKET_RX_RING,
		uintptr(unsafe.Pointer(&req)), unsafe.Sizeof(req), 0)
	if errno != 0 {
		return fmt.Errorf("PACKET_RX_RING of %d KiB: %w", g.bytes()>>10, errno)
	}
	return nil
}

// ringDrops returns how many frames the kernel dropped at the socket since the
// last call.
func ringDrops(fd int) int {
	stats, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0 // only on a closed socket
	}
	return int(stats.Drops)
}
