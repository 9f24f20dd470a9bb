// Package bfd is Bidirectional Forwarding Detection, asynchronous mode over a
// single hop (RFC 5880, RFC 5881): the codec of control packets, and the machine of
// one session. It is pure: the driver hands in packets and the time, and carries
// out actions.
//
//	                      +--+
//	                      |  | UP, ADMIN DOWN, TIMER
//	                      |  V
//	              DOWN  +------+  INIT
//	       +------------|      |------------+
//	       |            | DOWN |            |
//	       |  +-------->|      |<--------+  |
//	       |  |         +------+         |  |
//	       |  |                          |  |
//	       |  |               ADMIN DOWN,|  |
//	       |  |ADMIN DOWN,          DOWN,|  |
//	       |  |TIMER                TIMER|  |
//	       V  |                          |  V
//	     +------+                      +------+
//	+----|      |                      |      |----+
//	DOWN| INIT |--------------------->|  UP  |    |INIT, UP
//	+--->|      | INIT, UP             |      |<---+
//	     +------+                      +------+
//
// (RFC 5880 6.2; the words at the arrows are what the neighbour says, and TIMER is
// the end of the Detection Time.)
package bfd

import (
	"fmt"
	"time"
)

// State of a session (RFC 5880 4.1).
type State uint8

// The states, as they are on the wire.
const (
	AdminDown State = iota
	Down
	Init
	Up
)

// String returns the state's name.
func (s State) String() string { return [...]string{"AdminDown", "Down", "Init", "Up"}[s&3] }

// Diagnostic says why a session left Up, or does not come up (RFC 5880 4.1).
type Diagnostic uint8

// Those that this side gives.
const (
	None            Diagnostic = 0
	TimeExpired     Diagnostic = 1 // the neighbour was silent for the Detection Time
	NeighborDown    Diagnostic = 3 // the neighbour says that the session is down
	ForwardingReset Diagnostic = 4 // nobody forwards: a last will
	Administrative  Diagnostic = 7
)

var diagnostics = [...]string{
	"no diagnostic", "control detection time expired", "echo function failed", "neighbour signalled session down",
	"forwarding plane reset", "path down", "concatenated path down", "administratively down",
	"reverse concatenated path down",
}

// String returns the diagnostic's words of RFC 5880 4.1.
func (d Diagnostic) String() string {
	if int(d) < len(diagnostics) {
		return diagnostics[d]
	}
	return fmt.Sprintf("diagnostic %d", uint8(d))
}

// Config of a session.
type Config struct {
	Interval      time.Duration // desired minimum of what is sent, and required minimum of what is received
	Multiplier    int           // 1..255: so many packets lost in a row end the session
	Discriminator uint32        // not zero; no other session of this system has it
	Seed          uint64        // of the jitter
}

// slow is the shortest interval of packets while the session is not Up (RFC 5880
// 6.8.3).
const slow = time.Second

// Action is what the driver carries out, in order.
type Action interface{ action() }

// Send sends a packet to the neighbour.
type Send struct{ Packet Packet }

// Transition tells that the state has changed.
type Transition struct {
	From, To State
	Reason   string
}

func (Send) action()       {}
func (Transition) action() {}

// Info is what there is to tell of a session.
type Info struct {
	State, Remote    State
	Diagnostic       Diagnostic // ours
	RemoteDiagnostic Diagnostic
	Mine, Yours      uint32
	TransmitInterval time.Duration // as agreed, before jitter; zero: the neighbour wants none
	DetectionTime    time.Duration // zero: not known yet
	Since            time.Time     // of State; zero: not started
	Transitions      uint64
	LastReason       string
	Sent, Received   uint64
	EverUp           bool // since Start
	Failed           bool // it was Up, is not any more, and nobody has switched it off
}
