// Package pcap is port middleware that records what a port receives and
// transmits, as a pcapng file that Wireshark, tshark and tcpdump read.
//
// Frames are recorded as the router sees them: GSO frames whole, and with the
// partial checksums that local senders leave to the device.
package pcap

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"vrouter/dataplane/port"
	"vrouter/packet"
)

// pendingMax bounds, in bytes, what waits for the writer: two batches of the
// largest frames. What comes on top is not recorded.
const pendingMax = 8 << 20

// closeWait is how long Close waits for a writer that does not return.
const closeWait = time.Second

// errStuck says that the writer still had not returned when Close gave up.
var errStuck = errors.New("the writer does not return")

// recorder hands what the paths record to the writer, in a goroutine of its
// own: a slow or failing writer costs records, never frames.
type recorder struct {
	w     io.Writer
	clock func() time.Time
	ended chan struct{}

	mu      sync.Mutex // guards what follows
	wake    sync.Cond  // pending has something, or closed
	pending []byte     // blocks that wait
	seen    uint64     // frames recorded or lost
	lost    uint64     // frames that found no room
	closed  bool
	failure error // of the writer: nothing is recorded any more
}

// Wrap returns p with a recorder of all its frames. It writes the head of the
// file before it returns; an error is the writer's. From then on nothing that
// the writer does changes what the port does: while it is slow, frames are
// left out of the record (how many is written at the end), and after it has
// failed nothing is recorded. Close ends the record and returns the writer's
// failure along with the port's; it does not close w.
//
// Received frames are recorded as they come from the port, frames to transmit
// as they are handed to it, whether the device takes them or not. clock is
// called from the goroutines that use the port's paths.
func Wrap(p port.Port, w io.Writer, clock func() time.Time) (port.Port, error) {
	if _, err := w.Write(appendHead(nil, p.Status().Device)); err != nil {
		return nil, fmt.Errorf("write capture: %w", err)
	}
	r := &recorder{w: w, clock: clock, ended: make(chan struct{})}
	r.wake.L = &r.mu
	c := &capture{Port: p, recorder: r}
	for _, q := range p.Receivers() {
		c.queues = append(c.queues, &receiver{q, r})
	}
	go r.run()
	return c, nil
}

// record adds frames.
func (r *recorder) record(frames int, direction uint32, frame func(i int) []byte) {
	if frames == 0 {
		return
	}
	now := r.clock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.failure != nil {
		return
	}
	for i := range frames {
		r.seen++
		data := frame(i)
		if len(r.pending)+blockLen(len(data)) > pendingMax {
			r.lost++
			continue
		}
		r.pending = appendFrame(r.pending, now, direction, data)
	}
	r.wake.Signal()
}

// run writes what is recorded until the recorder is closed or the writer fails.
func (r *recorder) run() {
	defer close(r.ended)
	var writing []byte
	for {
		r.mu.Lock()
		for len(r.pending) == 0 && !r.closed {
			r.wake.Wait()
		}
		end := len(r.pending) == 0
		writing, r.pending = r.pending, writing[:0]
		if end {
			writing = appendStatistics(writing, r.clock(), r.seen, r.lost)
		}
		r.mu.Unlock()
		_, err := r.w.Write(writing)
		if err != nil {
			r.mu.Lock()
			r.failure = fmt.Errorf("write capture: %w", err)
			r.pending = nil
			r.mu.Unlock()
		}
		if err != nil || end {
			return
		}
	}
}

// close writes what waits and ends the record.
func (r *recorder) close() error {
	r.mu.Lock()
	r.closed = true
	r.wake.Signal()
	r.mu.Unlock()
	patience := time.NewTimer(closeWait)
	defer patience.Stop()
	select {
	case <-r.ended:
	case <-patience.C:
		return fmt.Errorf("write capture: %w", errStuck)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failure
}

// capture is a port whose frames are recorded.
type capture struct {
	port.Port
	recorder *recorder
	queues   []port.Receiver
}

// Receivers implements port.Port.
func (c *capture) Receivers() []port.Receiver { return append([]port.Receiver(nil), c.queues...) }

// NewTransmitter implements port.Port.
func (c *capture) NewTransmitter() (port.Transmitter, error) {
	t, err := c.Port.NewTransmitter()
	if err != nil {
		return nil, err
	}
	return &transmitter{t, c.recorder}, nil
}

// Close implements port.Port.
func (c *capture) Close() error {
	err := c.Port.Close()
	return errors.Join(err, c.recorder.close())
}

// receiver is a receive queue whose frames are recorded.
type receiver struct {
	port.Receiver
	recorder *recorder
}

// Receive implements port.Receiver.
func (r *receiver) Receive(batch []packet.Frame) (int, error) {
	n, err := r.Receiver.Receive(batch)
	r.recorder.record(n, inbound, func(i int) []byte { return batch[i].Data })
	return n, err
}

// Ready implements port.Waiter for receivers that do; nil for others, which
// have a descriptor.
func (r *receiver) Ready() <-chan struct{} {
	if w, ok := r.Receiver.(port.Waiter); ok {
		return w.Ready()
	}
	return nil
}

// transmitter is a transmit path whose frames are recorded.
type transmitter struct {
	port.Transmitter
	recorder *recorder
}

// Transmit implements port.Transmitter.
func (t *transmitter) Transmit(frames []*packet.Frame) int {
	t.recorder.record(len(frames), outbound, func(i int) []byte { return frames[i].Data })
	return t.Transmitter.Transmit(frames)
}
