package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/dataplane/port/xsk"
	"vrouter/packet"
)

const (
	frameSize = 60 // 64 with the checksum that the wire adds
	burstMax  = 64
)

// generatorCPU and routerCPU are where they run, where there are two.
const (
	generatorCPU = 0
	routerCPU    = 1
)

// flood is what a generator has sent.
type flood struct {
	sent uint64
	cpu  time.Duration // of the generator's thread, with the softirqs it ran
	took time.Duration
}

// pace says how frames are sent: how many a second (0: as many as go), and whether
// the generator sleeps between them instead of looking at the clock.
type pace struct {
	rate   float64
	sleeps bool
}

// generate sends frames to a MAC for a time, from the network namespace of the
// calling thread, which is the generator's alone.
func generate(next net.HardwareAddr, flows int, p pace, lasts time.Duration) (f flood, err error) {
	pin(0, generatorCPU)
	device, err := net.InterfaceByName(generatorDevice)
	if err != nil {
		return f, err
	}
	memory, err := xsk.NewMemory(xsk.SendBuffers)
	if err != nil {
		return f, err
	}
	queue, err := xsk.OpenSendQueue(memory, device.Index, 0)
	if err != nil {
		memory.Discard()
		return f, fmt.Errorf("the generator sends by AF_XDP: %w", err)
	}
	defer queue.Close()
	s, err := queue.Sender()
	if err != nil {
		return f, err
	}
	defer s.Close()
	frames := flowFrames(packet.MAC(device.HardwareAddr), packet.MAC(next), flows)
	cpu, began := threadTime(), time.Now()
	at := 0
	for now := began; now.Sub(began) < lasts; now = time.Now() {
		room := burst(p.rate, now.Sub(began), f.sent)
		if room == 0 && p.sleeps {
			time.Sleep(time.Duration(float64(time.Second) / p.rate))
			continue
		}
		for n := 0; n < room && s.Add(frames[at]); n++ {
			f.sent++
			if at++; at == len(frames) {
				at = 0
			}
		}
		if left, err := s.Kick(); left != 0 && err != unix.EBUSY {
			return f, fmt.Errorf("generator: %w", err)
		}
	}
	f.cpu, f.took = threadTime()-cpu, time.Since(began)
	return f, nil
}

// burst returns how many frames are due, of a rate, after a time.
func burst(rate float64, after time.Duration, sent uint64) int {
	if rate == 0 {
		return burstMax
	}
	due := int64(rate*after.Seconds()) - int64(sent)
	return int(max(0, min(due, burstMax)))
}

// flowFrames makes a UDP packet of each flow.
func flowFrames(from, to packet.MAC, flows int) [][]byte {
	source := netip.MustParseAddr(generatorAddress).As4()
	target := netip.MustParsePrefix(behind).Addr().As4()
	frames := make([][]byte, flows)
	for i := range frames {
		b := make([]byte, frameSize)
		packet.PutEthernet(b, to, from, packet.EtherTypeIPv4)
		ip := b[packet.EthernetLen:]
		ip[0], ip[8], ip[9] = 0x45, 64, packet.ProtoUDP
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		copy(ip[12:], source[:])
		target[3] = byte(1 + i%254)
		copy(ip[16:], target[:])
		binary.BigEndian.PutUint16(ip[10:], packet.Checksum(packet.Sum(0, ip[:20])))
		udp := ip[20:]
		binary.BigEndian.PutUint16(udp, uint16(1024+i%60000))
		binary.BigEndian.PutUint16(udp[2:], 9) // discard
		binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
		frames[i] = b
	}
	return frames
}

// pin keeps a thread (0: the calling one) on a CPU, where there are two.
func pin(thread, cpu int) {
	if runtime.NumCPU() < 2 {
		return
	}
	var set unix.CPUSet
	set.Set(cpu)
	_ = unix.SchedSetaffinity(thread, &set) // a machine with CPUs of its own numbers: unpinned
}

// threadTime returns the CPU time of the calling thread.
func threadTime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
