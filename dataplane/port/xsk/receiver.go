package xsk

import (
	"golang.org/x/sys/unix"

	"vrouter/packet"
)

// batchMax is the most frames that a Receiver hands out.
const batchMax = 64

// Receiver is the receive path of a Queue, of one thread at a time.
type Receiver struct {
	memory   *Memory
	fd       int
	rx, fill ring
	held     [batchMax]uint64 // buffers of the frames handed out
	heldSize int
	missing  int // buffers that the fill ring lacks
}

// begin gives the kernel buffers to fill.
func (r *Receiver) begin() {
	r.missing = receiveRing
	r.refill()
}

// refill gives the kernel free buffers for those that have left by a Sender.
func (r *Receiver) refill() {
	var some [batchMax]uint64
	for r.missing > 0 {
		n := r.memory.get(some[:min(r.missing, len(some))])
		if n == 0 {
			return // they are under way: later
		}
		for i, at := range some[:n] {
			*r.fill.addr(*r.fill.producer + uint32(i)) = at
		}
		r.fill.produced(n)
		r.missing -= n
	}
}

// release gives back what was handed out: to the kernel, but for what has been
// lent to a Sender.
func (r *Receiver) release() {
	n := uint32(0)
	for _, at := range r.held[:r.heldSize] {
		if r.memory.lent(at) {
			r.missing++
			continue
		}
		*r.fill.addr(*r.fill.producer + n) = at
		n++
	}
	r.heldSize = 0
	if n > 0 {
		r.fill.produced(int(n))
	}
	r.refill()
	if r.fill.asleep() {
		r.wake()
	}
}

// wake tells a driver that has run out of buffers that there are some again.
func (r *Receiver) wake() {
	unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(r.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
}

// Receive releases the frames that it returned before, fills batch, and returns
// how many frames it holds and their bytes. A frame may be rewritten in place; its
// checksums are in place (see packet.CompleteTransport).
func (r *Receiver) Receive(batch []packet.Frame) (n, bytes int) {
	if r.heldSize > 0 || r.missing > 0 {
		r.release()
	}
	n = min(r.rx.waiting(), len(batch), batchMax)
	for i := range n {
		d := r.rx.desc(*r.rx.consumer + uint32(i))
		base := d.Addr &^ (FrameSize - 1)
		r.held[i] = base
		data := r.memory.mem[d.Addr : d.Addr+uint64(d.Len) : base+FrameSize]
		packet.CompleteTransport(data)
		batch[i] = packet.Frame{Data: data}
		bytes += len(data)
	}
	if n > 0 {
		r.heldSize = n
		r.rx.consumed(n)
	}
	return n, bytes
}
