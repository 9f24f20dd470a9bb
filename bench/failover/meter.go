package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/internal/netlab"
)

const (
	rate    = 1000 // packets a second, in each stream
	period  = time.Second / rate
	history = 1 << 17 // packets that a stream remembers: two minutes
	port    = 7007
	grace   = 300 * time.Millisecond // how long a packet may be under way before it is called lost
	// How often arrivals are read: the kernel has stamped them, and a wake-up
	// for each packet would cost the routers half a CPU.
	readPeriod = 4 * time.Millisecond
	// Of the meter's threads, where it is allowed: above the routers', which
	// take up to 50 of SCHED_FIFO: what they do must not keep it from its time.
	meterPriority = 60
)

// stream is a steady flow of numbered UDP packets one way.
type stream struct {
	name     string
	from, to int // sockets
	target   unix.Sockaddr

	buffer [64]byte // of the receiver
	oob    [128]byte

	overflow atomic.Uint32 // packets that the receiver's socket had no memory for

	mu      sync.Mutex
	next    uint64 // number of the next packet
	packets [history]fate
}

// meter sends the streams of a network and notes what becomes of each packet.
type meter struct {
	streams  []*stream
	realtime bool // its threads run at SCHED_FIFO
	stop     atomic.Bool
	done     sync.WaitGroup
	late     atomic.Int64 // the longest delay of the sender, in ns, since it was last asked
}

// endpoint is one host of the meter with its addresses.
type endpoint struct {
	host *netlab.Host
	addr [2]netip.Addr // IPv4, IPv6
}

var familyNames = [2]string{"IPv4", "IPv6"}

// startMeter starts streams in both directions and both families.
func startMeter(lan, wan endpoint) (*meter, error) {
	m := &meter{}
	for _, way := range []struct {
		name     string
		from, to endpoint
	}{{"LAN to WAN", lan, wan}, {"WAN to LAN", wan, lan}} {
		for family, name := range familyNames {
			s, err := newStream(way.name+", "+name, way.from, way.to, family)
			if err != nil {
				m.close()
				return nil, fmt.Errorf("stream %s, %s: %w", way.name, name, err)
			}
			m.streams = append(m.streams, s)
		}
	}
	m.done.Add(2)
	go m.send()
	go m.receive()
	return m, nil
}

func newStream(name string, from, to endpoint, family int) (*stream, error) {
	s := &stream{name: name, from: -1, to: -1, target: sockaddr(to.addr[family], port)}
	err := from.host.Do(func() (err error) {
		// Not connected: else an ICMP error makes the next send fail.
		s.from, err = udpSocket(from.addr[family], 0)
		return err
	})
	if err == nil {
		err = to.host.Do(func() (err error) {
			s.to, err = udpSocket(to.addr[family], port)
			return err
		})
	}
	if err != nil {
		s.close()
	}
	return s, err
}

func (s *stream) close() {
	for _, fd := range []int{s.from, s.to} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

func sockaddr(a netip.Addr, port int) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4(), Port: port}
	}
	return &unix.SockaddrInet6{Addr: a.As16(), Port: port}
}

// udpSocket opens a socket bound to an address; port 0 is one of the kernel's
// choice.
func udpSocket(a netip.Addr, port int) (fd int, err error) {
	family := unix.AF_INET
	if a.Is6() {
		family = unix.AF_INET6
	}
	if fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, err
	}
	const memory = 4 << 20
	errs := []error{
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1),
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, memory) != nil {
		errs = append(errs, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, memory))
	}
	return fd, errors.Join(append(errs, unix.Bind(fd, sockaddr(a, port)))...)
}

// close ends the streams.
func (m *meter) close() {
	m.stop.Store(true)
	m.done.Wait()
	for _, s := range m.streams {
		s.close()
	}
}

// realtimeThread locks the goroutine to its thread and raises that above
// ordinary work, where it is allowed.
func realtimeThread() bool {
	runtime.LockOSThread()
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: meterPriority}
	return unix.SchedSetAttr(0, &attr, 0) == nil
}

func now() int64 { return time.Now().UnixNano() }

// send sends one packet of each stream each millisecond.
func (m *meter) send() {
	defer m.done.Done()
	m.realtime = realtimeThread()
	var due unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &due)
	for !m.stop.Load() {
		due = unix.NsecToTimespec(due.Nano() + int64(period))
		for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &due, nil) == unix.EINTR {
		}
		var woke unix.Timespec
		unix.ClockGettime(unix.CLOCK_MONOTONIC, &woke)
		if late := woke.Nano() - due.Nano(); late > m.late.Load() {
			m.late.Store(late)
		}
		for _, s := range m.streams {
			s.sendOne()
		}
	}
}

// stalled is how long sending a packet takes at most; else the thread was put
// aside between reading the clock and sending.
const stalled = int64(500 * time.Microsecond)

func (s *stream) sendOne() {
	var b [8]byte
	s.mu.Lock()
	number := s.next
	s.next++
	p := &s.packets[number%history]
	*p = fate{sent: now()}
	before := p.sent
	s.mu.Unlock()
	binary.BigEndian.PutUint64(b[:], number)
	unix.Sendto(s.from, b[:], unix.MSG_DONTWAIT, s.target) // an error is a loss as others are
	if after := now(); after-before > stalled {
		s.mu.Lock()
		if p.sent = after; p.copies > 0 {
			p.sent = min(after, p.arrived)
		}
		s.mu.Unlock()
	}
}

// receive reads what has arrived on all streams, again and again.
func (m *meter) receive() {
	defer m.done.Done()
	realtimeThread()
	pause := unix.NsecToTimespec(int64(readPeriod))
	for !m.stop.Load() {
		unix.Nanosleep(&pause, nil)
		for _, s := range m.streams {
			for s.receiveOne() {
			}
		}
	}
}

// receiveOne reads one packet, and reports whether there may be more.
func (s *stream) receiveOne() bool {
	n, oobn, _, _, err := unix.Recvmsg(s.to, s.buffer[:], s.oob[:], unix.MSG_DONTWAIT)
	if err != nil {
		return err == unix.EINTR
	}
	if n == 8 { // else from a stranger
		s.noteOverflow(s.oob[:oobn])
		s.arrived(binary.BigEndian.Uint64(s.buffer[:]), netlab.ReceiveTime(s.oob[:oobn]).UnixNano())
	}
	return true
}

// noteOverflow reads how many packets the socket has dropped (SO_RXQ_OVFL).
func (s *stream) noteOverflow(oob []byte) {
	for len(oob) > 0 {
		header, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return
		}
		if header.Level == unix.SOL_SOCKET && header.Type == unix.SO_RXQ_OVFL && len(data) >= 4 {
			s.overflow.Store(binary.NativeEndian.Uint32(data))
		}
		oob = rest
	}
}

// overflows returns how many packets the meter itself has lost so far.
func (m *meter) overflows() (n uint32) {
	for _, s := range m.streams {
		n += s.overflow.Load()
	}
	return n
}

func (s *stream) arrived(number uint64, at int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number >= s.next || s.next-number >= history {
		return
	}
	p := &s.packets[number%history]
	if p.copies == 0 {
		p.arrived = at
	}
	if p.copies < 255 {
		p.copies++
	}
}

// between sums up the packets of all streams that were sent in a part of a
// run. It must end grace ago, so that no packet is under way.
func (m *meter) between(from, to int64) (total figures, each []figures) {
	for _, s := range m.streams {
		f := evaluate(s.between(from, to))
		each = append(each, f)
		total = total.add(f)
	}
	return total, each
}

// between returns a copy of the packets that were sent from a time on and
// before another.
func (s *stream) between(from, to int64) (packets []fate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, oldest := s.next, s.next-min(s.next, history)
	for first > oldest && s.packets[(first-1)%history].sent >= from {
		first--
	}
	for ; first < s.next && s.packets[first%history].sent < to; first++ {
		packets = append(packets, s.packets[first%history])
	}
	return packets
}

// flowing reports whether of the packets of the last duration, those left out
// that may be under way, every one has arrived.
func (m *meter) flowing(duration time.Duration) bool {
	end := now() - int64(grace)
	total, _ := m.between(end-int64(duration), end)
	return total.Sent >= int(duration/period)*len(m.streams)/2 && total.Lost == 0
}

// lateness returns the longest delay of the sender since the last call.
func (m *meter) lateness() time.Duration { return time.Duration(m.late.Swap(0)) }
