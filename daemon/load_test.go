package daemon

import (
	"testing"

	"vrouter/packet"
	"vrouter/router"
)

// What becomes of each frame that a worker reads can be seen in its counters,
// and they add up.
func TestAWorkerTellsWhatBecameOfItsFrames(t *testing.T) {
	r := newRig(t, onLAN).start()
	stranger := packet.Frame{Data: make([]byte, 60)}
	copy(stranger.Data, []byte{2, 0xff, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 0})
	var s router.CountersStatus
	await(t, "a frame dropped and one punted", func() bool {
		r.ports[0].Inject(0, stranger, *hostARP(10))
		var err error
		if s, err = r.client.Counters(t.Context()); err != nil {
			return false // it is starting
		}
		return s.Workers[0].Drops["foreign_mac"] > 0 && s.Workers[0].Punts["arp"].Accepted > 0
	})
	w := s.Workers[0]
	var batches uint64
	for _, n := range w.BatchSizes.Counts {
		batches += n
	}
	if batches == 0 || len(w.BatchSizes.UpTo) != len(w.BatchSizes.Counts) || w.UptimeNS < w.BusyNS || w.Busy < 0 || w.Busy > 100 {
		t.Errorf("worker %+v", w)
	}
	if w.Frames < w.Drops["foreign_mac"]+w.Punts["arp"].Accepted || w.Forwarded > 0 {
		t.Errorf("worker %+v", w)
	}
	if s.Drops["foreign_mac"] < w.Drops["foreign_mac"] || s.Forwarding["fragmented"] != 0 || len(s.Forwarding) != 3 {
		t.Errorf("in total %+v", s)
	}
}
