package afpacket

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"vrouter/dataplane/port"
	"vrouter/dataplane/port/xsk"
	"vrouter/packet"
)

// txSocket is a socket that sends on the device as it is now.
type txSocket struct {
	fd      int
	vnetLen int
	fast    *xsk.Sender // nil: there is none
	least   int         // how many frames in a row go by it
}

func (s *txSocket) close() {
	unix.Close(s.fd)
	if s.fast != nil {
		s.fast.Close()
	}
}

// fastLeast is how many small frames in a row go by AF_XDP. Fewer cost about as
// much by sendmmsg, and there a packet sniffer on the device sees them.
const fastLeast = 4

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// transmitter sends small frames that need nothing done to them by AF_XDP, where
// the device has that, and the others by sendmmsg: each message is the frame's
// own virtio-net header and its data where they lie, so nothing is copied before
// the kernel does it. Both ways the device has them when the call returns, so
// their order is kept. As with the receiver, the port opens sockets and the
// worker changes over to them.
type transmitter struct {
	wanted atomic.Pointer[txSocket] // by the port; nil: no device
	socket *txSocket                // by the worker
	count  port.Counter
	closed func(*transmitter)
	slowed atomic.Bool // the worker has lost what AF_XDP it had

	largest atomic.Int32 // frame in bytes that goes by AF_XDP

	mu   sync.Mutex // held to change either socket
	msgs [port.BatchMax]mmsghdr
	iovs [port.BatchMax][2]unix.Iovec
}

func newTransmitter(closed func(*transmitter)) *transmitter {
	t := &transmitter{closed: closed}
	for i := range t.msgs {
		t.msgs[i].hdr.Iov = &t.iovs[i][0]
		t.msgs[i].hdr.Iovlen = 2
	}
	return t
}

// attach makes s the socket that the worker sends by from now on; nil: none.
func (t *transmitter) attach(s *txSocket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.wanted.Load(); old != nil && old != t.socket {
		old.close()
	}
	t.wanted.Store(s)
}

// change follows attach on the worker's side.
func (t *transmitter) change() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.socket != nil {
		t.socket.close()
	}
	t.socket = t.wanted.Load()
}

// Transmit implements port.Transmitter.
func (t *transmitter) Transmit(frames []*packet.Frame) int {
	if t.wanted.Load() != t.socket {
		t.change()
	}
	if t.socket == nil {
		t.count.Drop(port.DropDown, len(frames))
		return 0
	}
	sent, bytes := 0, 0
	for len(frames) > 0 {
		n, plain := t.stretch(frames[:min(len(frames), len(t.msgs))])
		send := t.batch
		if plain {
			send = t.quick
		}
		s, b := send(frames[:n])
		sent, bytes = sent+s, bytes+b
		frames = frames[n:]
	}
	t.count.Count(sent, bytes)
	return sent
}

// stretch returns how many of the first frames go the same way, and whether
// that is AF_XDP.
func (t *transmitter) stretch(frames []*packet.Frame) (n int, plain bool) {
	if t.socket.fast == nil {
		return len(frames), false
	}
	largest := int(t.largest.Load())
	for start := 0; start < len(frames); {
		run := 0
		for start+run < len(frames) && isPlain(frames[start+run], largest) {
			run++
		}
		switch {
		case run < t.socket.least:
			start += run + 1
		case start > 0:
			return start, false
		default:
			return run, true
		}
	}
	return len(frames), false
}

// isPlain reports whether a frame is as a wire carries it, and not larger than the
// given size.
func isPlain(f *packet.Frame, largest int) bool {
	return f.VNet.GSOType == packet.GSONone && f.VNet.Flags&packet.VNetNeedsCsum == 0 &&
		len(f.Data) <= largest && len(f.Data) > 0
}

// setMTU says how large frames may be that go by AF_XDP; the kernel judges others.
func (t *transmitter) setMTU(mtu int) {
	t.largest.Store(int32(min(mtu+packet.EthernetLen, xsk.FrameSize)))
}

// quick sends plain frames by AF_XDP, up to BatchMax, as batch does.
func (t *transmitter) quick(frames []*packet.Frame) (sent, bytes int) {
	fast := t.socket.fast
	for _, f := range frames {
		if !fast.Add(f.Data) {
			break
		}
		sent++
		bytes += len(f.Data)
	}
	t.count.Drop(port.DropBusy, len(frames)-sent)
	left, err := fast.Kick()
	if left == 0 {
		return sent, bytes
	}
	// What has not left must not do so later: it may be another router's by then.
	t.mu.Lock()
	t.socket.fast = nil
	fast.Close()
	t.mu.Unlock()
	t.slowed.Store(true)
	why := port.DropBusy
	if errno, ok := err.(unix.Errno); ok {
		_, why = verdict(errno, left)
	}
	t.count.Drop(why, left)
	for _, f := range frames[sent-left : sent] {
		bytes -= len(f.Data)
	}
	return sent - left, bytes
}

// batch sends up to BatchMax frames and returns how many the device took, and
// their bytes.
func (t *transmitter) batch(frames []*packet.Frame) (sent, bytes int) {
	n := 0
	for _, f := range frames {
		if len(f.Data) == 0 {
			t.count.Drop(port.DropElse, 1)
			continue
		}
		iov := &t.iovs[n]
		iov[0].Base = (*byte)(unsafe.Pointer(&f.VNet))
		iov[0].SetLen(t.socket.vnetLen)
		iov[1].Base = unsafe.SliceData(f.Data)
		iov[1].SetLen(len(f.Data))
		n++
	}
	for at := 0; at < n; {
		// Raw: it does not block, and the scheduler need not hear of it.
		done, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(t.socket.fd),
			uintptr(unsafe.Pointer(&t.msgs[at])), uintptr(n-at), unix.MSG_DONTWAIT, 0, 0)
		if errno == 0 {
			for i := at; i < at+int(done); i++ {
				bytes += int(t.iovs[i][1].Len)
			}
			at += int(done)
			sent += int(done)
			continue
		}
		lost, why := verdict(errno, n-at)
		t.count.Drop(why, lost)
		at += lost
	}
	return sent, bytes
}

// verdict says of how many of the frames left the kernel's error disposes, the
// first of which it refused, and how that is counted.
func verdict(errno unix.Errno, left int) (lost int, why port.Drop) {
	switch errno {
	case unix.EINTR:
		return 0, port.DropElse
	case unix.EAGAIN: // the socket's buffer is full: nothing more fits now
		return left, port.DropBusy
	case unix.ENETDOWN, unix.ENXIO, unix.ENODEV:
		return left, port.DropDown
	case unix.ENOBUFS: // this one found no room in the device's queue
		return 1, port.DropBusy
	case unix.EMSGSIZE:
		return 1, port.DropSize
	}
	return 1, port.DropElse
}

// Stats implements port.Transmitter.
func (t *transmitter) Stats() port.Stats { return t.count.Stats() }

// Close implements port.Transmitter.
func (t *transmitter) Close() error {
	t.closed(t)
	t.attach(nil)
	t.change()
	return nil
}
