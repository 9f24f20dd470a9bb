package afpacket

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"vrouter/dataplane/port"
	"vrouter/dataplane/port/xsk"
	"vrouter/packet"
)

// ring is a packet socket with a receive ring of version 2: the kernel writes
// each frame into the next slot, with its header, and hands the slot over at
// once. One goroutine uses it, but stats.
type ring struct {
	fd      int
	vnetLen int
	g       geometry
	mem     []byte

	next     int // offset of the slot that the kernel fills next
	inBlock  int // its number within its block
	held     int // offset of the oldest slot handed out, given back at release
	heldIn   int
	heldSize int // how many were handed out

	large     []byte // room for frames that did not fit a slot, BatchMax of them
	largeUsed int
	lanes     []*xsk.Queue // AF_XDP queues that are read beside it, and closed with it
	lost      uint64       // what those have lost, as counted already
	msg       unix.Msghdr
	iov       [2]unix.Iovec
}

// largeMax is the size of the largest frame: a GSO frame with the largest IP
// packet, and a VLAN tag; rounded up.
const largeMax = 66 << 10

// openRing opens a receiving socket on a device. It receives nothing before
// listen.
func openRing(index, mtu int) (*ring, error) {
	fd, err := packetSocket()
	if err != nil {
		return nil, err
	}
	r := &ring{fd: fd, g: chooseGeometry(mtu, setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF))}
	err = r.prepare()
	if err == nil {
		err = setDeaf(fd)
	}
	if err == nil {
		err = bindDevice(fd, index, allProtocols)
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// listen lets the socket receive.
func (r *ring) listen() error {
	if err := unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); err != nil {
		return fmt.Errorf("SO_DETACH_FILTER: %w", err)
	}
	return nil
}

func (r *ring) prepare() (err error) {
	if err = unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V2); err != nil {
		return fmt.Errorf("TPACKET_V2: %w", err)
	}
	if r.vnetLen, err = enableVNet(r.fd); err != nil {
		return err
	}
	if err = unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return fmt.Errorf("PACKET_IGNORE_OUTGOING (Linux 4.20): %w", err)
	}
	// A frame that does not fit its slot is queued whole beside the ring.
	if err = unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_COPY_THRESH, 1); err != nil {
		return fmt.Errorf("PACKET_COPY_THRESH: %w", err)
	}
	if err = setRing(r.fd, r.g); err != nil {
		return err
	}
	r.mem, err = unix.Mmap(r.fd, 0, r.g.bytes(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map receive ring: %w", err)
	}
	r.large, err = unix.Mmap(-1, 0, port.BatchMax*largeMax, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("buffers for large frames: %w", err)
	}
	r.msg.Iov = &r.iov[0]
	r.msg.Iovlen = 2
	return nil
}

func (r *ring) close() {
	for _, q := range r.lanes {
		q.Close()
	}
	unix.Close(r.fd)
	if r.mem != nil {
		unix.Munmap(r.mem)
	}
	if r.large != nil {
		unix.Munmap(r.large)
	}
	r.mem, r.large = nil, nil
}

func (r *ring) slot(offset int) *unix.Tpacket2Hdr {
	return (*unix.Tpacket2Hdr)(unsafe.Pointer(&r.mem[offset]))
}

// after returns the slot that follows, by offset and number in its block.
func (r *ring) after(offset, inBlock int) (int, int) {
	offset += r.g.slotSize
	if inBlock++; inBlock == r.g.perBlock {
		inBlock = 0
		offset += r.g.blockSize - r.g.perBlock*r.g.slotSize
		if offset == len(r.mem) {
			offset = 0
		}
	}
	return offset, inBlock
}

// release gives the slots that were handed out back to the kernel.
func (r *ring) release() {
	for ; r.heldSize > 0; r.heldSize-- {
		atomic.StoreUint32(&r.slot(r.held).Status, unix.TP_STATUS_KERNEL)
		r.held, r.heldIn = r.after(r.held, r.heldIn)
	}
	r.largeUsed = 0
}

// receive releases what it returned before, fills batch and returns how many
// frames it holds and their bytes.
func (r *ring) receive(batch []packet.Frame, count *port.Counter) (n, bytes int) {
	r.release()
	// Frames that are dropped hold their slots too, so that all go back in order.
	for n < len(batch) && r.heldSize < port.BatchMax {
		h := r.slot(r.next)
		status := atomic.LoadUint32(&h.Status)
		if status&unix.TP_STATUS_USER == 0 {
			break
		}
		if r.take(h, status, &batch[n], count) {
			bytes += len(batch[n].Data)
			n++
		}
		r.heldSize++
		r.next, r.inBlock = r.after(r.next, r.inBlock)
	}
	return n, bytes
}

// take makes a frame of the slot at r.next. It reports false where that cannot
// be had, and counts why.
func (r *ring) take(h *unix.Tpacket2Hdr, status uint32, f *packet.Frame, count *port.Counter) bool {
	at := r.next + int(h.Mac)
	switch {
	case h.Snaplen == h.Len:
		// Whatever size was asked for, the kernel puts the short header directly
		// before the frame (tpacket_rcv); only queued frames have the full one.
		copy(vnetBytes(&f.VNet)[:shortVNetLen], r.mem[at-shortVNetLen:at])
		f.Data = r.mem[at : at+int(h.Snaplen) : at+int(h.Snaplen)]
	case status&unix.TP_STATUS_COPY == 0:
		count.Drop(port.DropTruncated, 1)
		return false
	default:
		if !r.takeLarge(f, int(h.Len)) {
			count.Drop(port.DropTruncated, 1)
			return false
		}
	}
	if len(f.Data) < packet.EthernetLen {
		count.Drop(port.DropMalformed, 1)
		return false
	}
	f.VNet.NumBuffers = 0
	if status&unix.TP_STATUS_VLAN_VALID != 0 {
		r.restoreTag(h, status, f)
	}
	return true
}

// takeLarge reads the frame that did not fit into its slot from the socket's
// queue, which has these frames in the slots' order.
func (r *ring) takeLarge(f *packet.Frame, size int) bool {
	room := r.large[r.largeUsed*largeMax : (r.largeUsed+1)*largeMax]
	data := room[vlanLen:]
	r.iov[0].Base = (*byte)(unsafe.Pointer(&f.VNet))
	r.iov[0].SetLen(r.vnetLen)
	r.iov[1].Base = &data[0]
	r.iov[1].SetLen(len(data))
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(r.fd), uintptr(unsafe.Pointer(&r.msg)), unix.MSG_DONTWAIT)
	if errno != 0 || r.msg.Flags&unix.MSG_TRUNC != 0 || int(n) != r.vnetLen+size {
		return false
	}
	r.largeUsed++
	f.Data = data[:size:size]
	return true
}

// vlanLen is the length of an IEEE 802.1Q tag.
const vlanLen = 4

// restoreTag puts the VLAN tag, which the kernel takes out of received frames,
// back, so that the frame is seen as what it was on the wire. There is room
// before the frame: the virtio-net header, or the margin of a large buffer.
func (r *ring) restoreTag(h *unix.Tpacket2Hdr, status uint32, f *packet.Frame) {
	start := unsafe.Add(unsafe.Pointer(unsafe.SliceData(f.Data)), -vlanLen)
	size := len(f.Data) + vlanLen
	f.Data = unsafe.Slice((*byte)(start), size)
	copy(f.Data[:12], f.Data[vlanLen:])
	tpid := uint16(packet.EtherTypeVLAN)
	if status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		tpid = h.Vlan_tpid
	}
	tag := f.Data[12:16]
	tag[0], tag[1] = byte(tpid>>8), byte(tpid)
	tag[2], tag[3] = byte(h.Vlan_tci>>8), byte(h.Vlan_tci)
	if f.VNet.Flags&packet.VNetNeedsCsum != 0 {
		f.VNet.CsumStart += vlanLen
	}
	if f.VNet.HdrLen != 0 {
		f.VNet.HdrLen += vlanLen
	}
}

func vnetBytes(v *packet.VNet) *[packet.VNetLen]byte {
	return (*[packet.VNetLen]byte)(unsafe.Pointer(v))
}

// errGone is what Receive returns while there is no device.
var errGone = errors.New("device is gone")
