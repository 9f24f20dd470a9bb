package main

import "testing"

func TestProbesAreAnsweredByTheirNumber(t *testing.T) {
	b := make([]byte, probeSize)
	fillProbe(b, 70_001)
	if s := internetSum(b); s != 0 {
		t.Errorf("checksum is off by %#x", s)
	}
	packet := append(make([]byte, 20), b...)
	packet[0], packet[9] = 0x45, 1
	if isAnswer(packet, 70_001) {
		t.Error("a request is taken for its answer")
	}
	packet[20] = 0
	if !isAnswer(packet, 70_001) {
		t.Error("the answer is not recognized")
	}
	if isAnswer(packet, 70_001-65_536) {
		t.Error("an answer whose number has the same low bits is taken for it")
	}
	long := append(make([]byte, 24), packet[20:]...)
	long[0], long[9] = 0x46, 1
	if !isAnswer(long, 70_001) {
		t.Error("an answer with options is not recognized")
	}
	for _, n := range []int{0, 19, 20, 43} {
		if isAnswer(packet[:n], 70_001) {
			t.Errorf("%d bytes are taken for an answer", n)
		}
	}
}
