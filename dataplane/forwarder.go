package dataplane

import (
	"net/netip"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// Forwarder is what one worker needs to decide on frames: the snapshot of the
// batch, scratch buffers, counters and rate limits. Each worker has its own;
// only Counters may be called from elsewhere.
type Forwarder struct {
	snap   *fib.Snapshot
	now    int64
	leased bool
}

// NewForwarder returns a Forwarder; Begin comes before anything else.
func NewForwarder() *Forwarder { return &Forwarder{} }

// Begin starts a batch: all that follows is decided by snapshot s at the time
// now, in nanoseconds of CLOCK_BOOTTIME. Whether the lease holds is decided
// here, once.
func (w *Forwarder) Begin(s *fib.Snapshot, now int64) {}

// Forward decides on a frame that came in on port in. Where the verdict is
// Transmit the frame has been rewritten in place, padding removed, and goes
// out on Verdict.Port. Where it is Punt of ClassResolve, or an Exception that
// an ICMP error answers, the frame is unchanged; of other punts the transport
// checksum is complete, padding removed. Drops are counted already. Nothing is
// allocated.
func (w *Forwarder) Forward(in uint16, f *packet.Frame) Verdict { return Verdict{} }

// Output routes a packet of our own by its destination: f.Data has 14 bytes of
// room for the Ethernet header, then IP. Transmit: the header is filled in.
// Punt: always ClassResolve; call Output again once the neighbour is known.
// Exception: always FaultFragment; pass it to Except. Multicast and link-local
// destinations are dropped here: see OutputOn.
func (w *Forwarder) Output(f *packet.Frame) Verdict { return Verdict{} }

// OutputOn is Output for a packet that leaves on a known port towards a
// neighbour on its link, or a multicast group, or the limited broadcast
// address. With Punt of ClassResolve the neighbour is the packet's destination
// on Verdict.Port; call OutputOn again.
func (w *Forwarder) OutputOn(port uint16, f *packet.Frame) Verdict { return Verdict{} }

// Out is a frame that Except or Unreachable made and what to do with it:
// Transmit, Punt of ClassResolve (an ICMP error towards an unresolved
// neighbour: call Output or OutputOn again) or Punt of ClassLocal (segments).
type Out struct {
	Frame   packet.Frame
	Verdict Verdict
}

// Except handles a frame for which Forward (or Output) answered the Exception
// v, with the same snapshot: it returns the ICMP error, the fragments or the
// segments. They are valid until the next call of Except or Unreachable, and
// as long as f.Data. Empty where no error may or need be sent.
func (w *Forwarder) Except(in uint16, f *packet.Frame, v Verdict) []Out { return nil }

// Unreachable returns the ICMP error about a transit frame that came in on
// port in and whose next hop did not answer: host unreachable, or address
// unreachable for IPv6 (RFC 1812 5.2.7.1, RFC 4443 3.1).
func (w *Forwarder) Unreachable(in uint16, f *packet.Frame) []Out { return nil }

// Resolve returns the neighbour that an IP packet (14 bytes of Ethernet header
// or room, then IP) waits for: a frame with verdict Punt of ClassResolve of
// Forward or Output. It is false where the packet does not wait for one by
// snapshot s, as with a link-local destination: then the neighbour is the
// destination on Verdict.Port.
func Resolve(s *fib.Snapshot, frame []byte) (port uint16, via netip.Addr, ok bool) {
	return 0, netip.Addr{}, false
}

// CompleteChecksum finishes the partial transport checksum of a frame in
// place, and does nothing to a frame without one.
func CompleteChecksum(f *packet.Frame) {}

// Flush publishes the counters; a worker calls it once a batch.
func (w *Forwarder) Flush() {}

// Counters returns the counters as of the last Flush. It may be called from
// any goroutine.
func (w *Forwarder) Counters() Counters { return Counters{} }

// Counters are the counts of one Forwarder.
type Counters struct {
	Drops          [NumReasons]uint64    // by Reason
	ICMPSent       [NumICMPErrors]uint64 // by ICMPError
	ICMPSuppressed [NumICMPErrors]uint64 // by ICMPError: rate limit or forbidden
	Fragmented     uint64                // packets that were cut into fragments
	Segmented      uint64                // GSO frames that were cut into packets
}

// Add adds the counts of another Forwarder.
func (c *Counters) Add(o *Counters) {}

// ICMPError sorts the ICMP errors that the router sends.
type ICMPError uint8

// The ICMP errors, of both families.
const (
	ICMPTimeExceeded ICMPError = iota
	ICMPUnreachable
	ICMPTooBig
	NumICMPErrors = iota
)

// String returns the error's name in counters.
func (e ICMPError) String() string {
	return [...]string{"time_exceeded", "unreachable", "too_big"}[e]
}
