// Package fault is port middleware that makes the cable bad: it loses,
// duplicates, reorders and delays frames in both directions, as a seed says,
// so that what went wrong once can be repeated.
package fault

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"vrouter/dataplane/port"
)

// Config says how bad the cable is. Probabilities are from 0 to 1 for each
// frame, and hold for each direction by itself.
type Config struct {
	// Seed of all chances: the same seed and the same frames on the same queue
	// or path, which each have chances of their own, give the same faults.
	Seed      uint64
	Loss      float64 // the frame is lost
	Duplicate float64 // the frame comes twice
	// Reorder is the probability that a frame changes places with the next
	// one. Should none follow within ReorderWait, the frame comes then.
	Reorder float64
	Delay   time.Duration // each frame is this late
	// Jitter is added to Delay, from zero up to this, evenly distributed. It
	// may reorder frames too.
	Jitter time.Duration
}

// ReorderWait is how long a frame waits for the next one to overtake it.
const ReorderWait = 10 * time.Millisecond

// HeldMax is how many frames one queue or path holds back; more are lost.
const HeldMax = 4096

func (c *Config) check() error {
	for name, p := range map[string]float64{"Loss": c.Loss, "Duplicate": c.Duplicate, "Reorder": c.Reorder} {
		if !(p >= 0 && p <= 1) {
			return fmt.Errorf("%s is %v, must be from 0 to 1", name, p)
		}
	}
	if c.Delay < 0 || c.Jitter < 0 {
		return errors.New("the delay is negative")
	}
	return nil
}

// Counts is what a cable did to the frames of one direction.
type Counts struct {
	Lost, Duplicated, Reordered uint64
	Overflowed                  uint64 // lost because HeldMax were held back
}

// counter keeps Counts, for all queues or paths of a direction.
type counter struct{ lost, duplicated, reordered, overflowed atomic.Uint64 }

func (c *counter) counts() Counts {
	return Counts{c.lost.Load(), c.duplicated.Load(), c.reordered.Load(), c.overflowed.Load()}
}

// Port is a port behind a bad cable.
type Port struct {
	port.Port
	cfg      Config
	clock    func() time.Time
	queues   []*receiver
	rx, tx   counter
	mu       sync.Mutex // guards paths
	paths    uint64     // transmit paths opened so far
	closing  sync.Once
	closeErr error
}

// Wrap returns p with faults. Frames that are late are due by clock, which is
// called from all goroutines that use the port. While frames are held back,
// timers of package time look after them, so in real time and inside of
// testing/synctest everything happens by itself; with a clock of any other
// kind, they come with the next Receive or Transmit after the clock has moved.
//
// What is lost on the cable was received, or sent, as far as Stats and the
// result of Transmit are concerned.
func Wrap(p port.Port, cfg Config, clock func() time.Time) (*Port, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("faults: %w", err)
	}
	f := &Port{Port: p, cfg: cfg, clock: clock}
	for i, q := range p.Receivers() {
		r, err := newReceiver(q, newLine(&f.cfg, uint64(i)<<1, &f.rx), clock)
		if err != nil {
			f.closeQueues()
			return nil, fmt.Errorf("faults: %w", err)
		}
		f.queues = append(f.queues, r)
	}
	return f, nil
}

// Receivers implements port.Port.
func (f *Port) Receivers() []port.Receiver {
	list := make([]port.Receiver, len(f.queues))
	for i, q := range f.queues {
		list[i] = q
	}
	return list
}

// NewTransmitter implements port.Port.
func (f *Port) NewTransmitter() (port.Transmitter, error) {
	t, err := f.Port.NewTransmitter()
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	number := f.paths
	f.paths++
	return newTransmitter(t, newLine(&f.cfg, number<<1|1, &f.tx), f.clock), nil
}

// Counts returns what happened to received frames and to transmitted ones.
func (f *Port) Counts() (received, transmitted Counts) { return f.rx.counts(), f.tx.counts() }

// Close implements port.Port. Received frames that are held back are lost.
func (f *Port) Close() error {
	f.closing.Do(func() {
		f.closeErr = f.Port.Close()
		f.closeQueues()
	})
	return f.closeErr
}

func (f *Port) closeQueues() {
	for _, q := range f.queues {
		q.close()
	}
}
