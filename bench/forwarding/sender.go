package main

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"vrouter/internal/netlab"
)

// Sizes of the sender's memory, which user namespaces may lock: 4 MiB.
const (
	slotSize  = 2048
	slotCount = 2048 // and so long are its rings
	burstSize = 32   // what the kernel sends with one call
)

// sender sends frames by an AF_XDP socket in copy mode: the receiving end of
// the cable gets ordinary packets, as from a container or a virtual machine,
// for less than any other way that needs no more than a user namespace.
type sender struct {
	fd       int
	area     []byte // the frames
	maps     [][]byte
	tx, done ring
	next     uint32 // slot
	flow     int
	flows    int
	step     int
	to, from net.HardwareAddr
	inTheAir uint32
}

// ring is one of the rings that the kernel shares.
type ring struct {
	producer, consumer *uint32
	desc               unsafe.Pointer
}

// openSender opens a sender on a device of a host.
func openSender(h *netlab.Host, dev string) (s *sender, err error) {
	err = h.Do(func() error {
		link, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		s = &sender{fd: -1, from: link.HardwareAddr}
		if err := s.open(link.Index); err != nil {
			s.close()
			return fmt.Errorf("AF_XDP, by which packets are sent: %w", err)
		}
		return nil
	})
	return s, err
}

func (s *sender) open(index int) (err error) {
	if s.fd, err = unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	s.area, err = unix.Mmap(-1, 0, slotSize*slotCount, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return err
	}
	reg := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(&s.area[0]))), Len: slotSize * slotCount, Size: slotSize}
	if err := s.set(unix.XDP_UMEM_REG, unsafe.Pointer(&reg), unsafe.Sizeof(reg)); err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	size := uint32(slotCount)
	for _, option := range []int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_TX_RING} {
		if err := s.set(option, unsafe.Pointer(&size), unsafe.Sizeof(size)); err != nil {
			return fmt.Errorf("ring: %w", err)
		}
	}
	if err := s.mapRings(); err != nil {
		return err
	}
	// More memory for what is under way, where that is allowed.
	const memory = 8 << 20
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, memory) != nil {
		unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, memory)
	}
	return unix.Bind(s.fd, &unix.SockaddrXDP{Flags: unix.XDP_COPY, Ifindex: uint32(index)})
}

func (s *sender) set(option int, value unsafe.Pointer, size uintptr) error {
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(s.fd), unix.SOL_XDP, uintptr(option), uintptr(value), size, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func (s *sender) mapRings() error {
	var offsets unix.XDPMmapOffsets
	size := uint32(unsafe.Sizeof(offsets))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_XDP, unix.XDP_MMAP_OFFSETS,
		uintptr(unsafe.Pointer(&offsets)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return errno
	}
	const wide, narrow = int(unsafe.Sizeof(unix.XDPDesc{})), 8 // bytes of an entry
	var err error
	if s.tx, err = s.mapRing(unix.XDP_PGOFF_TX_RING, &offsets.Tx, wide); err != nil {
		return err
	}
	s.done, err = s.mapRing(unix.XDP_UMEM_PGOFF_COMPLETION_RING, &offsets.Cr, narrow)
	return err
}

func (s *sender) mapRing(page int64, o *unix.XDPRingOffset, entry int) (r ring, err error) {
	m, err := unix.Mmap(s.fd, page, int(o.Desc)+slotCount*entry, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return r, err
	}
	s.maps = append(s.maps, m)
	return ring{
		producer: (*uint32)(unsafe.Pointer(&m[o.Producer])),
		consumer: (*uint32)(unsafe.Pointer(&m[o.Consumer])),
		desc:     unsafe.Pointer(&m[o.Desc]),
	}, nil
}

func (s *sender) close() {
	if s.fd >= 0 {
		unix.Close(s.fd)
	}
	for _, m := range append(s.maps, s.area) {
		if m != nil {
			unix.Munmap(m)
		}
	}
}

// aim sets whom frames are for, and how many flows there are.
func (s *sender) aim(to net.HardwareAddr, flows int) {
	s.to, s.flows, s.step, s.flow = to, flows, stride(flows), 0
	for i := range slotCount {
		fillFrame(s.area[i*slotSize:][:frameSize], to, s.from, 0)
	}
}

// errStuck ends a run in which the kernel gives no slot back.
var errStuck = errors.New("the kernel does not send what the sender has given it")

// put adds n frames to the ring, n up to burstSize. Their slots are free again:
// no more are under way than there are slots.
func (s *sender) put(n uint32) {
	const mask = slotCount - 1
	at := *s.tx.producer // nobody else writes it
	for i := range n {
		slot := s.next & mask
		s.next++
		setFlow(s.area[slot*slotSize:][:frameSize], s.flow)
		if s.flow += s.step; s.flow >= s.flows {
			s.flow -= s.flows
		}
		desc := (*unix.XDPDesc)(unsafe.Add(s.tx.desc, uintptr((at+i)&mask)*unsafe.Sizeof(unix.XDPDesc{})))
		*desc = unix.XDPDesc{Addr: uint64(slot) * slotSize, Len: frameSize}
	}
	atomic.StoreUint32(s.tx.producer, at+n)
	s.inTheAir += n
}

// kick has the kernel send what is in the ring.
func (s *sender) kick() error {
	_, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0, unix.EAGAIN, unix.EBUSY, unix.ENOBUFS, unix.EINTR:
		return nil
	}
	return errno
}

// reap takes back the slots of frames that have been sent.
func (s *sender) reap() {
	at := atomic.LoadUint32(s.done.producer)
	n := at - *s.done.consumer
	atomic.StoreUint32(s.done.consumer, at)
	s.inTheAir -= n
}

// pending is how many frames the kernel has not taken yet.
func (s *sender) pending() uint32 { return *s.tx.producer - atomic.LoadUint32(s.tx.consumer) }

// sent tells of a run.
type sent struct {
	packets uint64
	took    time.Duration
	thread  time.Duration // CPU time of the sending thread
	calls   time.Duration // of that: in the kernel, sending
	waited  time.Duration // time that the thread was kept from a CPU
}

// run sends for a time: rate packets a second, as even as it goes, or with rate
// 0 as many as it can. The thread spins between packets.
func (s *sender) run(length time.Duration, rate float64) (r sent, err error) {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its CPU mask
		if err := pin(senderCPU); err != nil {
			result <- err
			return
		}
		r, err = s.loop(length, rate)
		result <- err
	}()
	err = <-result
	return r, err
}

func (s *sender) loop(length time.Duration, rate float64) (r sent, err error) {
	burst := uint64(burstSize)
	if rate > 0 {
		// A tenth of a millisecond's packets at once, at most.
		burst = max(1, min(burst, uint64(rate/10_000)))
	}
	waited := runDelay()
	start, cpu := time.Now(), threadTime()
	for time.Since(start) < length {
		if rate > 0 && float64(r.packets+burst) > rate*time.Since(start).Seconds() {
			continue
		}
		if err := s.room(start.Add(length + time.Second)); err != nil {
			return r, err
		}
		s.put(uint32(burst))
		r.packets += burst
		var before time.Duration
		if rate > 0 {
			before = threadTime()
		}
		if err := s.kick(); err != nil {
			return r, err
		}
		if rate > 0 {
			r.calls += threadTime() - before
		}
		s.reap()
	}
	for end := time.Now().Add(time.Second); s.pending() > 0; {
		if err := s.kick(); err != nil || time.Now().After(end) {
			return r, errors.Join(err, errStuck)
		}
		s.reap()
	}
	r.took, r.thread, r.waited = time.Since(start), threadTime()-cpu, runDelay()-waited
	if rate == 0 {
		r.calls = r.thread
	}
	return r, nil
}

// room waits until there are slots for a burst.
func (s *sender) room(until time.Time) error {
	for s.inTheAir+burstSize > slotCount {
		if err := s.kick(); err != nil {
			return err
		}
		s.reap()
		if time.Now().After(until) {
			return errStuck
		}
	}
	return nil
}
