package netlab

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"vrouter/packet"
)

// Tap is a packet socket on the switch's end of a link. It reads what the
// host sends of the control protocols: ARP, neighbour discovery and VRRP,
// with the kernel's time of each frame.
type Tap struct {
	fd     int
	oob    [128]byte
	closed chan struct{}
}

// control passes ARP, IPv4 and IPv6 with protocol 112, and ICMPv6.
var control = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 12, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(packet.EtherTypeARP), SkipTrue: 7},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(packet.EtherTypeIPv6), SkipTrue: 3},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(packet.EtherTypeIPv4), SkipFalse: 6},
	bpf.LoadAbsolute{Off: 14 + 9, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(packet.ProtoVRRP), SkipTrue: 3, SkipFalse: 4},
	bpf.LoadAbsolute{Off: 14 + 6, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(packet.ProtoVRRP), SkipTrue: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(packet.ProtoICMPv6), SkipFalse: 1},
	bpf.RetConstant{Val: 2048},
	bpf.RetConstant{Val: 0},
}

// tapPatience is how long Read waits at most before it looks whether the tap
// was closed.
const tapPatience = 100 * time.Millisecond

// OpenTap opens a Tap.
func (l *Link) OpenTap() (*Tap, error) {
	port, err := l.sw.host.link(l.port)
	if err != nil {
		return nil, err
	}
	t := &Tap{fd: -1, closed: make(chan struct{})}
	err = l.sw.host.Do(func() error { return t.open(port.Attrs().Index) })
	if err != nil {
		return nil, fmt.Errorf("tap on %s: %w", l.port, err)
	}
	return t, nil
}

func (t *Tap) open(ifindex int) (err error) {
	// Protocol 0 hears nothing until bind: no frame gets past the filter.
	if t.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	raw, err := bpf.Assemble(control)
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	wait := unix.NsecToTimeval(int64(tapPatience))
	for _, step := range []func() error{
		func() error {
			return unix.SetsockoptSockFprog(t.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
				&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
		},
		func() error { return unix.SetsockoptInt(t.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1) },
		func() error { return unix.SetsockoptInt(t.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) },
		func() error { return unix.SetsockoptTimeval(t.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait) },
		func() error {
			return unix.Bind(t.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: ifindex})
		},
	} {
		if err := step(); err != nil {
			unix.Close(t.fd)
			return err
		}
	}
	return nil
}

// Close makes Read return, which then frees the socket.
func (t *Tap) Close() { close(t.closed) }

// Read reads one frame into b, and returns its length and when the kernel got
// it. It returns false once the tap is closed. Only one goroutine may read.
func (t *Tap) Read(b []byte) (n int, at time.Time, ok bool) {
	for {
		select {
		case <-t.closed:
			unix.Close(t.fd)
			return 0, at, false
		default:
		}
		n, oobn, _, _, err := unix.Recvmsg(t.fd, b, t.oob[:], 0)
		if err == nil {
			return n, ReceiveTime(t.oob[:oobn]), true
		}
		if err != unix.EAGAIN && err != unix.EINTR {
			time.Sleep(time.Millisecond) // the device is down for now
		}
	}
}

// ReceiveTime returns the kernel's receive time of a message (SO_TIMESTAMPNS)
// from its control messages, and the time of the call where there is none.
func ReceiveTime(oob []byte) time.Time {
	for len(oob) > 0 {
		header, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			break
		}
		if header.Level == unix.SOL_SOCKET && header.Type == unix.SO_TIMESTAMPNS && len(data) >= 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:])))
		}
		oob = rest
	}
	return time.Now()
}

// OpenSender opens a Wire that only writes: what comes in does not fill its
// memory.
func (h *Host) OpenSender(dev string) (*Wire, error) {
	link, err := h.link(dev)
	if err != nil {
		return nil, err
	}
	w := &Wire{MAC: link.Attrs().HardwareAddr}
	err = h.Do(func() error {
		w.file, err = openSender(link.Attrs().Index)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("host %s: packet socket on %s: %w", h.Name, dev, err)
	}
	return w, nil
}

// Question returns the frame that asks who has an address: an ARP request or
// a neighbour solicitation from a host with the MAC and the address source.
func Question(mac packet.MAC, source, addr netip.Addr) []byte {
	if addr.Is6() {
		return solicitation(mac, source, addr)
	}
	return arpRequest(mac, source, addr)
}

// ParseAnswer reports whether a frame is an answer to Question for an
// address, or an announcement of it, and the MAC that it tells.
func ParseAnswer(frame packet.Ethernet, addr netip.Addr) (packet.MAC, bool) {
	if addr.Is6() {
		return parseAdvertisement(frame, addr)
	}
	return parseARPReply(frame, addr)
}
