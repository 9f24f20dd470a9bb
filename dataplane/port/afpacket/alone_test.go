package afpacket

import (
	"testing"
	"time"

	"vrouter/internal/nstest"
	"vrouter/packet"
)

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 15 s: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// A device that is left alone is neither set up nor, at the end, down.
func TestADeviceIsLeftAlone(t *testing.T) {
	router, _ := pair(t)
	router.Down(t, "lan")
	p := open(t, router, Config{Device: "lan", LeaveAlone: true})
	if s := p.Status(); !s.Present || s.Up {
		t.Fatalf("%+v", s)
	}
	router.Up(t, "lan")
	await(t, "the port is up", func() bool { return p.Status().Up })
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if flags := router.Link(t, "lan").Attrs().Flags.String(); flags[:2] != "up" {
		t.Errorf("the device was set down: %s", flags)
	}
}

// A port moves from device to device, and waits without one.
func TestAPortMovesToAnotherDevice(t *testing.T) {
	router, host := nstest.New(t), nstest.New(t)
	nstest.Veth(t, router, "eth1", host, "peer1")
	nstest.Veth(t, router, "eth2", host, "peer2")
	p := open(t, router, Config{LeaveAlone: true})
	if s := p.Status(); s.Present || s.Err != "no device" {
		t.Fatalf("%+v", s)
	}
	tx, rx := newPath(t, p), p.Receivers()[0]
	frame := func(n byte) []byte {
		f := make([]byte, 60)
		packet.PutEthernet(f, packet.Broadcast, packet.MAC{2, 0, 0, 0, 9, n}, 0x88b5)
		return f
	}
	for n, name := range []string{"eth1", "eth2", "eth1"} {
		if err := p.SetDevice(name); err != nil {
			t.Fatal(err)
		}
		if s := p.Status(); !s.Present || s.Device != name || s.MAC != router.MAC(t, name) {
			t.Fatalf("%+v", s)
		}
		wire := host.Wire(t, "peer"+name[3:])
		await(t, "a frame leaves by "+name, func() bool {
			tx.Transmit([]*packet.Frame{{Data: frame(byte(n))}})
			return wire.Receive(100*time.Millisecond, func(f []byte) bool { return f[11] == byte(n) }) != nil
		})
		await(t, "a frame comes in by "+name, func() bool {
			wire.Send(frame(100 + byte(n)))
			return len(receive(t, rx, 1, 100*time.Millisecond, func(f *packet.Frame) bool { return f.Data[11] == 100+byte(n) })) == 1
		})
	}
	if err := p.SetDevice(""); err != nil {
		t.Fatal(err)
	}
	if s := p.Status(); s.Present || s.Up || tx.Transmit([]*packet.Frame{{Data: frame(9)}}) != 0 {
		t.Fatalf("%+v", s)
	}
}
