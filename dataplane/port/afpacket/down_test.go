package afpacket

import (
	"testing"

	"vrouter/dataplane/port"
	"vrouter/packet"
)

func TestTransmitOnADeviceThatIsDownOrGoneIsCounted(t *testing.T) {
	router, _ := pair(t)
	p := open(t, router, Config{Device: "lan"})
	tx := newPath(t, p)
	batch := make([]*packet.Frame, 100) // more than the device takes at once
	for i := range batch {
		batch[i] = &packet.Frame{Data: frame(packet.Broadcast, 60, byte(i))}
	}
	until(t, "up", func() bool { return p.Status().Up })
	if n := tx.Transmit(batch); n != len(batch) {
		t.Fatalf("%d frames sent: %+v", n, tx.Stats())
	}
	check := func(what string, want uint64) {
		t.Helper()
		if n := tx.Transmit(batch); n != 0 {
			t.Errorf("%s: %d frames sent", what, n)
		}
		if s := tx.Stats(); s.Drops[port.DropDown] != want || s.Dropped() != want || s.Frames != 100 || s.Bytes != 6000 {
			t.Errorf("%s: %+v", what, s)
		}
	}
	router.Down(t, "lan")
	until(t, "down", func() bool { return !p.Status().Up })
	if s := p.Status(); !s.Present || s.Err != "" {
		t.Errorf("a device that is down: %+v", s)
	}
	check("down", 100)
	router.Delete(t, "lan")
	until(t, "gone", func() bool { return !p.Status().Present })
	check("gone", 200)
}
