package afpacket

import (
	"errors"
	"os"
	"runtime"
	"testing"

	"vrouter/dataplane/port"
	"vrouter/internal/nstest"
	"vrouter/packet"
)

func TestFlapsAndClosedPortsLeaveNothingOpen(t *testing.T) {
	router, host := pair(t)
	p := open(t, router, Config{Device: "lan", OwnAddresses: true, Queues: 2})
	tx := newPath(t, p)
	batch := make([]packet.Frame, port.BatchMax)
	flap := func(worker bool) {
		router.Delete(t, "lan")
		until(t, "device is gone", func() bool { return !p.Status().Present })
		nstest.Veth(t, router, "lan", host, "peer")
		until(t, "device is back", func() bool { return p.Status().Present })
		if !worker { // it has not looked in between
			return
		}
		tx.Transmit([]*packet.Frame{{Data: frame(packet.Broadcast, 60, 1)}})
		for _, q := range p.Receivers() {
			q.Receive(batch)
		}
	}
	flap(true)
	before := descriptors(t)
	for i := range 50 {
		flap(i%2 == 0)
	}
	flap(true)
	until(t, "descriptors are closed", func() bool { return descriptors(t) <= before })

	before, goroutines := descriptors(t), runtime.NumGoroutine()
	nstest.Veth(t, router, "lan2", host, "peer2")
	for range 10 {
		var q *Port
		err := router.Do(func() (err error) {
			q, err = Open(Config{Device: "lan2", OwnAddresses: true})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		path := newPath(t, q)
		path.Transmit(nil)
		q.Receivers()[0].Receive(batch)
		if err := errors.Join(path.Close(), q.Close(), q.Close()); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
	until(t, "descriptors are closed", func() bool { return descriptors(t) <= before })
}

// descriptors returns how many the process has open.
func descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
