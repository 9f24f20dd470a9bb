package port

import "sync/atomic"

// Drop is why a port lost a frame.
type Drop uint8

// Reasons of Drop. The first group belongs to receivers, the second to
// transmitters.
const (
	DropFull      Drop = iota // no room left in the receive queue
	DropTruncated             // only a part of the frame could be had
	DropMalformed             // no Ethernet header, or no valid virtio-net header

	DropBusy // the device's transmit queue is full (ENOBUFS, EAGAIN)
	DropDown // the device is down or gone (ENETDOWN, ENXIO, ENODEV)
	DropSize // larger than the device takes (EMSGSIZE)
	DropElse // refused for any other reason, as an invalid virtio-net header (EINVAL)

	NumDrops = iota
)

var dropNames = [NumDrops]string{
	"full", "truncated", "malformed", "busy", "down", "too_big", "refused",
}

// String returns the reason's name in counters and metrics.
func (d Drop) String() string { return dropNames[d] }

// Stats is what one receive queue or transmit path counted.
type Stats struct {
	Frames uint64 // received, or taken by the device; a GSO frame counts once
	Bytes  uint64 // of these frames, from the destination MAC on
	Drops  [NumDrops]uint64
}

// Dropped returns the sum of all drops.
func (s Stats) Dropped() uint64 {
	var sum uint64
	for _, n := range s.Drops {
		sum += n
	}
	return sum
}

// Add adds the counts of o.
func (s *Stats) Add(o Stats) {
	s.Frames += o.Frames
	s.Bytes += o.Bytes
	for i, n := range o.Drops {
		s.Drops[i] += n
	}
}

// Counter keeps Stats: written a batch at a time, read from any goroutine. Its
// zero value is ready.
type Counter struct {
	frames, bytes atomic.Uint64
	drops         [NumDrops]atomic.Uint64
}

// Count adds a batch of frames, of so many bytes together.
func (c *Counter) Count(frames, bytes int) {
	c.frames.Add(uint64(frames))
	c.bytes.Add(uint64(bytes))
}

// Drop adds n lost frames.
func (c *Counter) Drop(why Drop, n int) { c.drops[why].Add(uint64(n)) }

// Stats returns the counts as they are now.
func (c *Counter) Stats() Stats {
	s := Stats{Frames: c.frames.Load(), Bytes: c.bytes.Load()}
	for i := range s.Drops {
		s.Drops[i] = c.drops[i].Load()
	}
	return s
}
