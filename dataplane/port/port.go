// Package port defines what the forwarding plane needs of a network port. Its
// subpackages are the kinds of port (afpacket, tap, mem) and the middleware
// that wraps any of them (pcap, fault).
package port

import "vrouter/packet"

// BatchMax is the most frames that one Receive returns.
const BatchMax = 64

// Port is a network device that the router owns, opened. Status may be read
// from any goroutine; each Receiver and Transmitter belongs to one goroutine
// at a time.
type Port interface {
	// Receivers returns the receive queues; their number is fixed.
	Receivers() []Receiver
	// NewTransmitter opens a transmit path for one worker or loop.
	NewTransmitter() (Transmitter, error)
	// SetMACs replaces the set of unicast addresses beside the device's own
	// whose frames are received (the virtual MACs).
	SetMACs(macs []packet.MAC) error
	// SetGroups replaces the set of multicast MACs whose frames are received.
	SetGroups(groups []packet.MAC) error
	// Status returns the device's state as it is now.
	Status() Status
	// Changed signals (coalesced, never blocking) that Status differs from
	// what it was: link up or down, MTU or MAC changed, device gone or back.
	Changed() <-chan struct{}
	// Close ends the port and gives the device back as it was found.
	Close() error
}

// Lender is implemented by ports on which another process can send.
type Lender interface {
	// Lend opens a descriptor for frames of another process, on the device as it
	// is now: where Status.Index changes, it is of no use any more. The caller
	// owns it. An error says that there is no device now.
	Lend() (Loan, error)
}

// Loan is a descriptor to send with: each write(2) to it is one frame, behind
// Header zero bytes.
type Loan struct {
	FD     int
	Header int
}

// Status is the state of a port's device.
type Status struct {
	Device  string
	Present bool // the device exists and the port is attached to it
	Up      bool // administratively up and carrying
	Index   int  // the kernel's number of the device, another one where it was replaced; 0: none
	MAC     packet.MAC
	MTU     int
	Offload packet.Offload // what Transmit takes
	Err     string         // why it is not Present, for people; else empty
}

// Receiver is one receive queue.
type Receiver interface {
	// Receive fills batch with frames that wait, and returns their number, 0
	// where there are none; it does not block. The frames' Data and VNet may be
	// rewritten in place and are valid until the next Receive or Close. An
	// error means that the queue is dead for now (device gone); Receive may be
	// called again later.
	Receive(batch []packet.Frame) (int, error)
	// FD returns a file descriptor that polls readable (level-triggered) when
	// frames wait, or -1 where there is none (then Ready of a Waiter is used).
	// It is the same for the life of the port, also when the device goes and
	// comes back; while the device is gone it does not poll readable.
	FD() int
	// Stats returns what the queue has counted since the port was opened. It
	// may be called from any goroutine.
	Stats() Stats
}

// Waiter is implemented by receivers without a descriptor.
type Waiter interface {
	// Ready is signalled when frames may be waiting.
	Ready() <-chan struct{}
}

// Transmitter is one transmit path.
type Transmitter interface {
	// Transmit sends frames in order and returns how many the device took; the
	// rest was dropped (queue full, device down) and is counted in Stats. It
	// does not keep any frame after it returns. Frames whose VNet the port's
	// Offload does not cover must not be passed.
	Transmit(frames []*packet.Frame) int
	// Stats returns what the path has counted since it was opened. It may be
	// called from any goroutine.
	Stats() Stats
	// Close ends the path; it must not be used any more.
	Close() error
}
