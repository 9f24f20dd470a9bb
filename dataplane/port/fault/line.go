package fault

import (
	"math/rand/v2"
	"time"

	"vrouter/packet"
)

// line is one direction of the cable for one queue or path: frames go in, and
// come out as the configuration says. It reads no clock.
type line struct {
	cfg    *Config
	chance *rand.Rand
	count  *counter

	held  []held   // by due time, and those of the same time in their order
	swap  bool     // the next frame overtakes the one whose number is swapAt
	swapN uint64   // number of that frame
	next  uint64   // number of the next frame that is held back
	free  [][]byte // room of frames that are gone
}

// held is a frame on its way.
type held struct {
	due    time.Time
	number uint64
	frame  packet.Frame
}

// newLine returns a line with chances of its own.
func newLine(cfg *Config, stream uint64, count *counter) *line {
	return &line{cfg: cfg, chance: rand.New(rand.NewPCG(cfg.Seed, stream)), count: count}
}

// put sends a copy of a frame on its way. Every frame takes the same number of
// chances, so that one more duplicate does not change the fate of all others.
func (l *line) put(now time.Time, f *packet.Frame) {
	lost := l.chance.Float64() < l.cfg.Loss
	twice := l.chance.Float64() < l.cfg.Duplicate
	swap := l.chance.Float64() < l.cfg.Reorder
	late := time.Duration(l.chance.Float64() * float64(l.cfg.Jitter))
	if lost {
		l.count.lost.Add(1)
		return
	}
	due := now.Add(l.cfg.Delay + late)
	switch {
	case l.swap: // this one overtakes the one before, and takes it along
		l.hold(due, f)
		l.swap = false
		l.follow(due)
	case swap:
		l.count.reordered.Add(1)
		l.swap, l.swapN = true, l.next
		l.hold(due.Add(ReorderWait), f)
	default:
		l.hold(due, f)
	}
	if twice {
		l.count.duplicated.Add(1)
		l.hold(due, f)
	}
}

// hold puts a copy of a frame among those that are held back.
func (l *line) hold(due time.Time, f *packet.Frame) {
	if len(l.held) >= HeldMax {
		l.count.overflowed.Add(1)
		return
	}
	h := held{due: due, number: l.next, frame: packet.Frame{Data: append(l.room(), f.Data...), VNet: f.VNet}}
	l.next++
	l.insert(h)
}

func (l *line) insert(h held) {
	l.held = append(l.held, h)
	for i := len(l.held) - 1; i > 0 && l.held[i-1].due.After(h.due); i-- {
		l.held[i-1], l.held[i] = h, l.held[i-1]
	}
}

// follow makes the frame that waits to be overtaken come after all that is due
// by now, unless it has waited too long and is gone.
func (l *line) follow(due time.Time) {
	for i := range l.held {
		if l.held[i].number != l.swapN {
			continue
		}
		h := l.held[i]
		h.due = due
		l.held = append(l.held[:i], l.held[i+1:]...)
		l.insert(h)
		return
	}
}

// take returns the next frame that is due. Its data belong to the caller, who
// gives them back.
func (l *line) take(now time.Time) (packet.Frame, bool) {
	if len(l.held) == 0 || l.held[0].due.After(now) {
		return packet.Frame{}, false
	}
	f := l.held[0].frame
	if l.swap && l.held[0].number == l.swapN {
		l.swap = false
	}
	copy(l.held, l.held[1:])
	l.held = l.held[:len(l.held)-1]
	return f, true
}

// deadline returns when the next frame is due, or false where there is none.
func (l *line) deadline() (time.Time, bool) {
	if len(l.held) == 0 {
		return time.Time{}, false
	}
	return l.held[0].due, true
}

// room returns an empty slice with room from a frame that is gone.
func (l *line) room() []byte {
	if len(l.free) == 0 {
		return nil
	}
	b := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	return b[:0]
}

// give takes the data of a frame back.
func (l *line) give(b []byte) { l.free = append(l.free, b) }
