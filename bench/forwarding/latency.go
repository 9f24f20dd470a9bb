package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	probeRate = 1000 // a second
	probeSize = 8 + 16
	probeWait = 50 * time.Millisecond
)

// latency measures round trips: echo requests, which the receiver's kernel
// answers at once. The prober never sleeps, so that the time is the network's
// and not that of waking up.
func (v *visit) latency(f figures) error {
	var fd int
	err := v.gen.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMP)
		if err != nil {
			return err
		}
		return unix.Connect(fd, &unix.SockaddrInet4{Addr: sinkAddr.As4()})
	})
	if fd > 0 {
		defer unix.Close(fd)
	}
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	var trips []float64
	var lost int
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its CPU mask
		err := pin(senderCPU)
		if err == nil {
			trips, lost = probe(fd, int(v.o.length.Seconds()*probeRate))
		}
		result <- err
	}()
	if err := <-result; err != nil {
		return err
	}
	if len(trips) < lost || len(trips) == 0 {
		return errors.New("most echo requests got no answer")
	}
	slices.Sort(trips)
	f["p50"], f["p99"] = percentile(trips, 50), percentile(trips, 99)
	return nil
}

// probe sends so many echo requests and returns the round trips in
// microseconds, and how many had no answer in time.
func probe(fd, count int) (trips []float64, lost int) {
	const step = time.Second / probeRate
	request, answer := make([]byte, probeSize), make([]byte, 2048)
	trips = make([]float64, 0, count)
	next := time.Now().Add(step)
	for number := range count {
		for time.Now().Before(next) {
		}
		fillProbe(request, uint64(number))
		at := time.Now()
		if _, err := unix.Write(fd, request); err != nil {
			lost++
		} else if trip, ok := await(fd, answer, uint64(number), at); ok {
			trips = append(trips, float64(trip.Nanoseconds())/1000)
		} else {
			lost++
		}
		// After a late answer no burst makes up for it.
		if next = next.Add(step); time.Now().After(next) {
			next = time.Now()
		}
	}
	return trips, lost
}

func await(fd int, b []byte, number uint64, at time.Time) (time.Duration, bool) {
	for {
		n, err := unix.Read(fd, b)
		trip := time.Since(at)
		if err == nil && isAnswer(b[:n], number) {
			return trip, true
		}
		if trip > probeWait {
			return 0, false
		}
	}
}

const probeID = 0x6677

// fillProbe writes an echo request with a number.
func fillProbe(b []byte, number uint64) {
	clear(b)
	b[0] = 8
	binary.BigEndian.PutUint16(b[4:], probeID)
	binary.BigEndian.PutUint16(b[6:], uint16(number))
	binary.BigEndian.PutUint64(b[8:], number)
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[2:], ^uint16(sum))
}

// isAnswer reports whether an IPv4 packet is the echo reply to a request.
func isAnswer(packet []byte, number uint64) bool {
	if len(packet) < 20 || packet[9] != unix.IPPROTO_ICMP {
		return false
	}
	head := int(packet[0]&15) * 4
	if len(packet) < head+probeSize {
		return false
	}
	b := packet[head:]
	return b[0] == 0 && binary.BigEndian.Uint16(b[4:]) == probeID && binary.BigEndian.Uint64(b[8:]) == number
}
