package main

import (
	"encoding/binary"
	"net"
	"testing"
)

var (
	macA = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	macB = net.HardwareAddr{2, 0, 0, 0, 0, 2}
)

// internetSum is RFC 1071's sum, as the receiver of a header computes it: 0
// where the checksum is right.
func internetSum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func TestFramesAreWhatRoutersForward(t *testing.T) {
	b := make([]byte, frameSize)
	fillFrame(b, macA, macB, 0)
	for _, flow := range []int{0, 1, 255, 256, 9999, destinations*sources - 1, destinations * sources, 1 << 20} {
		setFlow(b, flow)
		if s := internetSum(b[14:34]); s != 0 {
			t.Errorf("flow %d: header checksum is off by %#x", flow, s)
		}
		if got := int(binary.BigEndian.Uint16(b[16:])); got != frameSize-14 {
			t.Errorf("total length %d", got)
		}
		if got := int(binary.BigEndian.Uint16(b[38:])); got != frameSize-34 {
			t.Errorf("UDP length %d", got)
		}
		if ours, lowered := forwarded(b); !ours || lowered {
			t.Errorf("flow %d: as sent: ours %v, TTL lowered %v", flow, ours, lowered)
		}
		b[offTTL]--
		if ours, lowered := forwarded(b); !ours || !lowered {
			t.Errorf("flow %d: as forwarded: ours %v, TTL lowered %v", flow, ours, lowered)
		}
		b[offTTL]++
	}
	if net.HardwareAddr(b[:6]).String() != macA.String() || net.HardwareAddr(b[6:12]).String() != macB.String() {
		t.Errorf("MAC addresses % x", b[:12])
	}
}

func TestFlowsDiffer(t *testing.T) {
	const n = 100_000
	b := make([]byte, frameSize)
	fillFrame(b, macA, macB, 0)
	type tuple [10]byte
	seen := map[tuple]bool{}
	for flow := range n {
		setFlow(b, flow)
		seen[tuple(b[offSource:offPort+2])] = true
	}
	if len(seen) != n {
		t.Errorf("%d flows have %d tuples", n, len(seen))
	}
}

func TestStrideVisitsEveryFlowOnce(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10, 1000, 10_000} {
		step, at, seen := stride(n), 0, map[int]bool{}
		for range n {
			seen[at] = true
			at = (at + step) % n
		}
		if len(seen) != n {
			t.Errorf("%d flows: step %d visits %d", n, step, len(seen))
		}
	}
}

func TestOtherFramesAreNotOurs(t *testing.T) {
	b := make([]byte, frameSize)
	fillFrame(b, macA, macB, 7)
	arp := append([]byte{}, b...)
	arp[13] = 6
	tcp := append([]byte{}, b...)
	tcp[offProtocol] = 6
	other := append([]byte{}, b...)
	other[offPayload] = 0
	for name, frame := range map[string][]byte{"ARP": arp, "TCP": tcp, "another payload": other, "short": b[:40], "none": nil} {
		if ours, _ := forwarded(frame); ours {
			t.Errorf("%s is taken for ours", name)
		}
	}
}
