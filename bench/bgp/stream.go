package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"vrouter/internal/netlab"
)

// stream is a steady flow of numbered UDP packets from one host to another, by
// many destinations in turn.
type stream struct {
	interval time.Duration
	targets  []netip.Addr
	from, to *net.UDPConn
	quit     chan struct{}
	done     sync.WaitGroup

	mu      sync.Mutex
	sent    []time.Time // by number
	arrived []time.Time // by number; zero: not yet
}

const streamPort = 9

// startStream starts a stream; to must take packets for any of the targets.
func startStream(from, to *netlab.Host, targets []netip.Addr, rate int) (s *stream, err error) {
	s = &stream{interval: time.Second / time.Duration(rate), targets: targets, quit: make(chan struct{})}
	listen := func(port int, conn **net.UDPConn) func() error {
		return func() (err error) {
			*conn, err = net.ListenUDP("udp4", &net.UDPAddr{Port: port})
			return err
		}
	}
	if err := to.Do(listen(streamPort, &s.to)); err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	if err := from.Do(listen(0, &s.from)); err != nil {
		s.to.Close()
		return nil, fmt.Errorf("stream: %w", err)
	}
	s.done.Add(2)
	go s.send()
	go s.receive()
	return s, nil
}

func (s *stream) close() {
	close(s.quit)
	s.from.Close()
	s.to.Close()
	s.done.Wait()
}

func (s *stream) send() {
	defer s.done.Done()
	var b [8]byte
	for due := time.Now(); ; due = due.Add(s.interval) {
		time.Sleep(time.Until(due))
		select {
		case <-s.quit:
			return
		default:
		}
		s.mu.Lock()
		number := len(s.sent)
		s.sent, s.arrived = append(s.sent, time.Now()), append(s.arrived, time.Time{})
		s.mu.Unlock()
		binary.BigEndian.PutUint64(b[:], uint64(number))
		target := netip.AddrPortFrom(s.targets[number%len(s.targets)], streamPort)
		_, _ = s.from.WriteToUDPAddrPort(b[:], target) // what is refused is lost like the others
	}
}

func (s *stream) receive() {
	defer s.done.Done()
	var b [64]byte
	for {
		n, _, err := s.to.ReadFromUDPAddrPort(b[:])
		now := time.Now()
		if err != nil {
			return
		}
		number := binary.BigEndian.Uint64(b[:8])
		s.mu.Lock()
		if n == 8 && number < uint64(len(s.arrived)) && s.arrived[number].IsZero() {
			s.arrived[number] = now
		}
		s.mu.Unlock()
	}
}

// next is the number of the packet that is sent next.
func (s *stream) next() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sent)
}

// outage is what became of a part of a stream.
type outage struct {
	sent, lost int
	// first and last are when the first and the last lost packet of the longest
	// series were sent; zero: none was lost.
	first, last time.Time
}

// outage sums up the packets from one number to before another.
func (s *stream) outage(from, to int) (o outage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	longest, begin := 0, -1
	for n := from; n <= min(to, len(s.sent)); n++ {
		lost := n < min(to, len(s.sent)) && s.arrived[n].IsZero()
		switch {
		case lost && begin < 0:
			begin = n
		case !lost && begin >= 0:
			if n-begin > longest {
				longest = n - begin
				o.first, o.last = s.sent[begin], s.sent[n-1]
			}
			begin = -1
		}
		if n < min(to, len(s.sent)) {
			o.sent++
			if lost {
				o.lost++
			}
		}
	}
	return o
}
