package afpacket

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/dataplane/port"
	"vrouter/internal/nstest"
	"vrouter/packet"
)

// echo is a worker that sends back what it receives until stop is closed.
func echo(t *testing.T, p *Port, queue int, stop <-chan struct{}) {
	rx, tx := p.Receivers()[queue], newPath(t, p)
	defer tx.Close()
	batch := make([]packet.Frame, port.BatchMax)
	out := make([]*packet.Frame, 0, port.BatchMax)
	for {
		select {
		case <-stop:
			return
		default:
		}
		poll(rx.FD(), 2*time.Millisecond)
		n, _ := rx.Receive(batch) // an error is part of the test: the device is gone
		out = out[:0]
		for i := range batch[:n] {
			eth := packet.Ethernet(batch[i].Data)
			packet.PutEthernet(eth, eth.Src(), eth.Dst(), eth.Type())
			out = append(out, &batch[i])
		}
		tx.Transmit(out)
	}
}

func TestWorkersGoOnWhileTheDeviceComesAndGoes(t *testing.T) {
	router, host := pair(t)
	p := open(t, router, Config{Device: "lan", OwnAddresses: true, Queues: 2})
	stop := make(chan struct{})
	var running sync.WaitGroup
	t.Cleanup(func() {
		close(stop)
		running.Wait()
	})
	for queue := range 2 {
		running.Go(func() { echo(t, p, queue, stop) })
	}
	running.Go(func() { // the control loop, and who asks for counters
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-p.Changed():
			case <-time.After(time.Millisecond):
			}
			p.SetMACs([]packet.MAC{{0, 0, 0x5e, 0, 1, byte(i)}}) // fails while the device goes
			p.Status()
			p.Receivers()[i%2].Stats()
		}
	})
	for i := range 10 {
		wire := host.Wire(t, "peer")
		switch i % 3 {
		case 0:
			router.Delete(t, "lan")
			nstest.Veth(t, router, "lan", host, "peer")
			wire = host.Wire(t, "peer")
		case 1:
			router.Down(t, "lan")
			router.Up(t, "lan")
		case 2:
			host.Down(t, "peer")
			host.Up(t, "peer")
		}
		// Frames may be lost while the device changes, but not for ever.
		until(t, "a frame comes back", func() bool {
			wire.Send(frame(packet.Broadcast, 60, byte(i)))
			return wire.Receive(5*time.Millisecond, func(f []byte) bool { return f[12] == 0x88 }) != nil
		})
	}
}

func TestWithoutCapabilitiesOpenSaysWhatIsMissing(t *testing.T) {
	router, _ := pair(t)
	for _, cfg := range []Config{
		{Device: "lan"},
		{Device: "lan", OwnAddresses: true},
		{Device: "absent"},
	} {
		err := router.Do(func() error {
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var none [2]unix.CapUserData
			if err := unix.Capset(&header, &none[0]); err != nil { // of this thread, which ends with the function
				t.Fatal(err)
			}
			p, err := Open(cfg)
			if err == nil {
				p.Close()
			}
			return err
		})
		if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "CAP_NET_RAW") || !strings.Contains(err.Error(), cfg.Device) {
			t.Errorf("%+v: error %v", cfg, err)
		}
	}
}
