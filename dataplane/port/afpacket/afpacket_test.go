package afpacket

import (
	"bytes"
	"testing"
	"time"

	"vrouter/packet"
)

func TestFramesOfAllSizesPass(t *testing.T) {
	router, host := pair(t)
	router.MTU(t, "lan", 9000)
	host.MTU(t, "peer", 9000)
	p, peer := open(t, router, Config{Device: "lan"}), open(t, host, Config{Device: "peer"})
	tx, rx := newPath(t, peer), p.Receivers()[0]
	dst := p.Status().MAC
	for _, size := range []int{14, 15, 59, 60, 64, 1514, 1800, 1968, 1969, 1970, 1971, 2048, 4096, 9014} {
		want := frame(dst, size, byte(size))
		if n := tx.Transmit([]*packet.Frame{{Data: want}}); n != 1 {
			t.Fatalf("%d bytes: not sent: %+v", size, tx.Stats())
		}
		got := receive(t, rx, 1, time.Second, isTest)
		if len(got) != 1 || !bytes.Equal(got[0].Data, want) {
			t.Fatalf("%d bytes: not received, or damaged", size)
		}
	}
}
