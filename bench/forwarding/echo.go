package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/packet"
)

// echoes sends one ICMP echo request each millisecond to the sink, whose kernel
// answers in the softirq in which the request arrives, and returns the round trips.
// It spins meanwhile, so that its own waking up is not measured, in the network
// namespace of the calling thread.
func echoes(next net.HardwareAddr, count int) ([]time.Duration, error) {
	pin(0, generatorCPU)
	device, err := net.InterfaceByName(generatorDevice)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	protocol := uint16(packet.EtherTypeIPv4>>8 | packet.EtherTypeIPv4&0xff<<8)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: device.Index, Protocol: protocol}); err != nil {
		return nil, err
	}
	var times []time.Duration
	began := time.Now()
	for i := range count {
		due := began.Add(time.Duration(i) * time.Millisecond)
		for time.Now().Before(due) {
		}
		frame := echoRequest(packet.MAC(device.HardwareAddr), packet.MAC(next), uint16(i))
		sent := time.Now()
		if _, err := unix.Write(fd, frame); err != nil {
			return nil, fmt.Errorf("echo request: %w", err)
		}
		if back, ok := awaitReply(fd, uint16(i), sent.Add(20*time.Millisecond)); ok {
			times = append(times, back.Sub(sent))
		}
	}
	if len(times) < count*9/10 {
		return nil, errors.New("more than a tenth of the echo requests were not answered within 20 ms")
	}
	return times, nil
}

// awaitReply spins until a reply is there.
func awaitReply(fd int, sequence uint16, until time.Time) (at time.Time, ok bool) {
	var b [2048]byte
	for {
		n, err := unix.Read(fd, b[:])
		now := time.Now()
		if err == nil && isReply(b[:n], sequence) {
			return now, true
		}
		if now.After(until) {
			return now, false
		}
	}
}

const echoIdentifier = 0x7652

func echoRequest(from, to packet.MAC, sequence uint16) []byte {
	b := make([]byte, frameSize)
	packet.PutEthernet(b, to, from, packet.EtherTypeIPv4)
	ip := b[packet.EthernetLen:]
	ip[0], ip[8], ip[9] = 0x45, 64, packet.ProtoICMP
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	source, target := netip.MustParseAddr(generatorAddress).As4(), netip.MustParseAddr(sinkAddress).As4()
	copy(ip[12:], source[:])
	copy(ip[16:], target[:])
	binary.BigEndian.PutUint16(ip[10:], packet.Checksum(packet.Sum(0, ip[:20])))
	icmp := ip[20:]
	icmp[0] = 8
	binary.BigEndian.PutUint16(icmp[4:], echoIdentifier)
	binary.BigEndian.PutUint16(icmp[6:], sequence)
	binary.BigEndian.PutUint16(icmp[2:], packet.Checksum(packet.Sum(0, icmp)))
	return b
}

func isReply(frame []byte, sequence uint16) bool {
	if len(frame) < packet.EthernetLen+28 || frame[packet.EthernetLen+9] != packet.ProtoICMP {
		return false
	}
	icmp := frame[packet.EthernetLen+20:]
	return icmp[0] == 0 && binary.BigEndian.Uint16(icmp[4:]) == echoIdentifier && binary.BigEndian.Uint16(icmp[6:]) == sequence
}
