package netlab

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Stream is a steady flow of UDP packets from one host to another, which
// sends each back, unless it is one way. Every packet has a number, so that each
// loss is seen.
type Stream struct {
	interval time.Duration
	oneWay   bool
	conn     *net.UDPConn // of the sender
	echo     *net.UDPConn // of the other host
	stop     chan struct{}
	done     sync.WaitGroup
	returned atomic.Uint64
	readEcho func(b []byte) (n int, peer net.Addr, hops int, err error)

	mu      sync.Mutex
	start   time.Time
	next    uint64 // number of the next packet
	packets [history]fate
	hops    map[int]uint64 // packets that arrived by the number of routers that they passed
}

// history is how many packets a Stream remembers: a minute at 1 kHz.
const history = 1 << 16

// fate is what became of one packet; times are since the stream's start.
type fate struct {
	sent    time.Duration
	arrived uint8 // copies that came to the other host
	back    uint8 // copies of the echo that came back; one way: that arrived
}

// grace is how long an echo may take before its packet is called lost.
const grace = 400 * time.Millisecond

// StartStream starts a stream of rate packets a second to an address of the
// other host.
func StartStream(from, to *Host, addr netip.Addr, port uint16, rate int) (*Stream, error) {
	return startStream(from, to, addr, port, rate, false)
}

// StartOneWay is StartStream without echo: a packet has come back, in the words
// of the methods, when it has arrived. Two of them, one each way, tell the losses
// of each way also while the other is dead.
func StartOneWay(from, to *Host, addr netip.Addr, port uint16, rate int) (*Stream, error) {
	return startStream(from, to, addr, port, rate, true)
}

func startStream(from, to *Host, addr netip.Addr, port uint16, rate int, oneWay bool) (*Stream, error) {
	s := &Stream{
		interval: time.Second / time.Duration(rate), oneWay: oneWay,
		stop: make(chan struct{}), start: time.Now(), hops: map[int]uint64{},
	}
	target := net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, port))
	err := to.Do(func() (err error) {
		if s.echo, err = net.ListenUDP("udp", target); err != nil {
			return err
		}
		s.readEcho, err = readHops(s.echo, addr)
		return err
	})
	if err != nil {
		if s.echo != nil {
			s.echo.Close()
		}
		return nil, fmt.Errorf("echo on host %s: %w", to.Name, err)
	}
	err = from.Do(func() (err error) {
		s.conn, err = net.DialUDP("udp", nil, target)
		return err
	})
	if err != nil {
		s.echo.Close()
		return nil, fmt.Errorf("stream from host %s: %w", from.Name, err)
	}
	s.done.Add(3)
	go s.send()
	go s.receive()
	go s.answer()
	return s, nil
}

// Close ends the stream.
func (s *Stream) Close() {
	close(s.stop)
	s.conn.Close()
	s.echo.Close()
	s.done.Wait()
}

func (s *Stream) send() {
	defer s.done.Done()
	var b [8]byte
	for due := time.Duration(0); ; due += s.interval {
		if wait := due - time.Since(s.start); wait > 0 {
			time.Sleep(wait)
		}
		select {
		case <-s.stop:
			return
		default:
		}
		s.mu.Lock()
		number := s.next
		s.packets[number%history] = fate{sent: time.Since(s.start)}
		s.next++
		s.mu.Unlock()
		binary.BigEndian.PutUint64(b[:], number)
		s.conn.Write(b[:]) // "no route" and the like are losses as others are
	}
}

func (s *Stream) receive() {
	defer s.done.Done()
	var b [64]byte
	for {
		n, err := s.conn.Read(b[:])
		if err == nil && n == 8 {
			s.count(binary.BigEndian.Uint64(b[:]), func(f *fate) { f.back++ })
			s.returned.Add(1)
		} else if s.closing() {
			return
		}
	}
}

func (s *Stream) answer() {
	defer s.done.Done()
	var b [64]byte
	for {
		n, peer, hops, err := s.readEcho(b[:])
		switch {
		case err == nil && n == 8 && s.oneWay:
			s.count(binary.BigEndian.Uint64(b[:]), func(f *fate) { f.back++; s.hops[hops]++ })
			s.returned.Add(1)
		case err == nil && n == 8:
			s.count(binary.BigEndian.Uint64(b[:]), func(f *fate) { f.arrived++; s.hops[hops]++ })
			s.echo.WriteTo(b[:8], peer)
		case s.closing():
			return
		}
	}
}

func (s *Stream) closing() bool {
	select {
	case <-s.stop:
		return true
	default:
		// An ICMP error about an earlier packet: not too fast a loop.
		time.Sleep(time.Millisecond)
		return false
	}
}

func (s *Stream) count(number uint64, f func(*fate)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number < s.next && s.next-number < history {
		f(&s.packets[number%history])
	}
}

// Returned returns how many packets have come back so far.
func (s *Stream) Returned() uint64 { return s.returned.Load() }

// Hops returns how many packets have arrived, by the number of routers that
// each had passed.
func (s *Stream) Hops() map[int]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.hops)
}

// Next returns the number of the packet that is sent next.
func (s *Stream) Next() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

// Loss sums up a part of a stream.
type Loss struct {
	Sent       uint64        // packets of the part
	Lost       uint64        // of those, the ones that did not come back
	LostOut    uint64        // of the lost, those that did not even arrive
	Duplicates uint64        // further copies, in either direction
	Gap        time.Duration // the longest time without service
	Late       time.Duration // how late a packet was sent at most: the machine stood still
}

// Loss sums up the packets from a number on, those left out that may still
// come back. It reaches back no further than history.
func (s *Stream) Loss(from uint64) Loss {
	s.mu.Lock()
	defer s.mu.Unlock()
	var loss Loss
	gapStart := time.Duration(-1)
	settled := time.Since(s.start) - grace
	if s.next-from > history {
		from = s.next - history
	}
	for number := from; number < s.next; number++ {
		f := s.packets[number%history]
		if f.sent > settled {
			break
		}
		loss.Sent++
		loss.Late = max(loss.Late, f.sent-time.Duration(number)*s.interval)
		loss.Duplicates += uint64(max(f.arrived, 1)-1) + uint64(max(f.back, 1)-1)
		if f.back > 0 {
			if gapStart >= 0 {
				loss.Gap = max(loss.Gap, f.sent-gapStart)
			}
			gapStart = -1
			continue
		}
		loss.Lost++
		if f.arrived == 0 {
			loss.LostOut++
		}
		if gapStart < 0 {
			gapStart = f.sent
		}
	}
	if gapStart >= 0 {
		loss.Gap = max(loss.Gap, settled-gapStart)
	}
	return loss
}

// Flowing reports whether, of the packets whose fate is known, the last n all
// came back.
func (s *Stream) Flowing(n uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	settled := time.Since(s.start) - grace
	last := s.next
	for last > 0 && s.packets[(last-1)%history].sent > settled {
		last--
	}
	if last < n {
		return false
	}
	for number := last - n; number < last; number++ {
		if s.packets[number%history].back == 0 {
			return false
		}
	}
	return true
}
