package fault

import (
	"sync"
	"time"

	"vrouter/dataplane/port"
	"vrouter/packet"
)

// transmitter is a transmit path into a bad cable.
type transmitter struct {
	port.Transmitter
	clock func() time.Time

	mu     sync.Mutex // Transmit and the timer take turns
	line   *line
	timer  *time.Timer
	closed bool
	frames [port.BatchMax]packet.Frame
	out    [port.BatchMax]*packet.Frame
}

func newTransmitter(t port.Transmitter, l *line, clock func() time.Time) *transmitter {
	return &transmitter{Transmitter: t, clock: clock, line: l}
}

// Transmit implements port.Transmitter.
func (t *transmitter) Transmit(frames []*packet.Frame) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock()
	for _, f := range frames {
		t.line.put(now, f)
	}
	return len(frames) - min(t.flush(now), len(frames))
}

// flush sends what is due, returns how many frames the device refused, and
// sees to the rest being sent in time.
func (t *transmitter) flush(now time.Time) (refused int) {
	for n := t.fill(now); n > 0; n = t.fill(now) {
		refused += n - t.Transmitter.Transmit(t.out[:n])
		for i := range t.frames[:n] {
			t.line.give(t.frames[i].Data)
		}
	}
	due, ok := t.line.deadline()
	switch {
	case !ok:
	case t.timer == nil:
		t.timer = time.AfterFunc(due.Sub(now), t.late)
	default:
		t.timer.Reset(due.Sub(now))
	}
	return refused
}

// fill takes the frames that are due into out.
func (t *transmitter) fill(now time.Time) int {
	for n := range t.frames {
		f, ok := t.line.take(now)
		if !ok {
			return n
		}
		t.frames[n] = f
		t.out[n] = &t.frames[n]
	}
	return len(t.frames)
}

// late is called by the timer.
func (t *transmitter) late() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.flush(t.clock())
	}
}

// Close implements port.Transmitter. Frames that are held back are lost.
func (t *transmitter) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.timer != nil {
		t.timer.Stop()
	}
	return t.Transmitter.Close()
}
