package port

import (
	"sync"
	"testing"
)

func TestACounterIsReadWhileItIsWritten(t *testing.T) {
	var c Counter
	var writer sync.WaitGroup
	writer.Add(1)
	go func() {
		defer writer.Done()
		for range 1000 {
			c.Count(2, 120)
			c.Drop(DropBusy, 1)
		}
	}()
	for last := uint64(0); last < 2000; {
		s := c.Stats()
		if s.Frames < last {
			t.Fatalf("frames went from %d to %d", last, s.Frames)
		}
		last = s.Frames
	}
	writer.Wait()
	s := c.Stats()
	if s.Frames != 2000 || s.Bytes != 120000 || s.Drops[DropBusy] != 1000 || s.Dropped() != 1000 {
		t.Fatalf("%+v", s)
	}
}

func TestStatsAddUp(t *testing.T) {
	a := Stats{Frames: 1, Bytes: 60}
	a.Drops[DropFull] = 2
	b := Stats{Frames: 10, Bytes: 600}
	b.Drops[DropFull], b.Drops[DropSize] = 3, 4
	a.Add(b)
	if a.Frames != 11 || a.Bytes != 660 || a.Drops[DropFull] != 5 || a.Dropped() != 9 {
		t.Fatalf("%+v", a)
	}
}

func TestEveryReasonHasANameOfItsOwn(t *testing.T) {
	seen := map[string]bool{}
	for d := range Drop(NumDrops) {
		if d.String() == "" || seen[d.String()] {
			t.Errorf("reason %d is called %q", d, d)
		}
		seen[d.String()] = true
	}
}
