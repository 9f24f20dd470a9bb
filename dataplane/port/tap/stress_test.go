package tap

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vrouter/dataplane/port"
	"vrouter/dataplane/port/fault"
	"vrouter/dataplane/port/pcap"
	"vrouter/internal/nstest"
	"vrouter/packet"
)

// echo sends every test frame back from where it came, until stop is set.
func echo(rx port.Receiver, tx port.Transmitter, stop *atomic.Bool) {
	batch := make([]packet.Frame, port.BatchMax)
	var out []*packet.Frame
	for !stop.Load() {
		poll(rx.FD(), 10*time.Millisecond)
		n, _ := rx.Receive(batch) // an error says that the device is gone
		out = out[:0]
		for i := range batch[:n] {
			if isTest(&batch[i]) {
				out = append(out, &batch[i])
			}
		}
		tx.Transmit(out)
	}
}

func TestWorkersGoOnWhileTheDeviceComesAndGoes(t *testing.T) {
	router := nstest.New(t)
	p := open(t, router, Config{Name: "vr0", Queues: 2})
	var stop atomic.Bool
	var workers sync.WaitGroup
	for _, rx := range p.Receivers() {
		tx := newPath(t, p)
		workers.Add(1)
		go func() {
			defer workers.Done()
			echo(rx, tx, &stop)
		}()
	}
	defer workers.Wait()
	defer stop.Store(true)
	for round := range 10 {
		want := frame(packet.Broadcast, 200, byte(round))
		until(t, "frames are echoed", func() bool {
			if !p.Status().Up {
				return false
			}
			wire := router.Wire(t, "vr0")
			wire.Send(want)
			return wire.Receive(20*time.Millisecond, func(f []byte) bool { return bytes.Equal(f, want) }) != nil
		})
		p.Receivers()[0].Stats()
		index := router.Link(t, "vr0").Attrs().Index
		router.Delete(t, "vr0")
		until(t, "made again", func() bool { return router.Has("vr0") && router.Link(t, "vr0").Attrs().Index != index })
	}
}

func TestMiddlewareWorksAroundARealPort(t *testing.T) {
	router := nstest.New(t)
	router.Sysctl(t, "net/ipv6/conf/default/disable_ipv6", "1") // no frames of the kernel's own
	bad, err := fault.Wrap(open(t, router, Config{Name: "vr0"}), fault.Config{Seed: 1, Loss: 0.3, Delay: time.Millisecond}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	p, err := pcap.Wrap(bad, io.Discard, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "up", func() bool { return p.Status().Up })
	tx, err := p.NewTransmitter()
	if err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	var worker sync.WaitGroup
	worker.Add(1)
	go func() {
		defer worker.Done()
		echo(p.Receivers()[0], tx, &stop)
	}()
	wire, came := router.Wire(t, "vr0"), 0
	for i := range 200 {
		wire.Send(frame(packet.Broadcast, 100, byte(i)))
	}
	until(t, "all frames came back or were lost", func() bool {
		for wire.Receive(time.Millisecond, func(f []byte) bool { return f[12] == 0x88 }) != nil {
			came++
		}
		rx, sent := bad.Counts()
		return came == 200-int(rx.Lost)-int(sent.Lost)
	})
	stop.Store(true)
	worker.Wait()
	if rx, sent := bad.Counts(); came == 0 || rx.Lost == 0 || sent.Lost == 0 {
		t.Errorf("%d of 200 frames came back; %+v, %+v", came, rx, sent)
	}
	if err := tx.Close(); err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
