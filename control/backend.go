// Package control is the control API of a running vrouter: HTTP and JSON over
// a unix socket. A Server answers from a Backend, which the daemon implements;
// a Client is the other end, for commands. The JSON names of the answers are
// those of package router's status types: a contract, to which fields are only
// added.
package control

import (
	"context"
	"net/netip"
	"time"

	"vrouter/bgp"
	"vrouter/router"
)

// Backend is the running router, as the handlers need it. Calls come from many
// goroutines at once. Each has a context with a time limit (Ping and its
// stream: until the client goes away) and returns the context's error when
// that ends first. Returned values belong to the caller: the backend must not
// change them afterwards.
//
// An error of type *Error reaches the client with its status and remedy; any
// other is answered as 500.
type Backend interface {
	VRRP(ctx context.Context) ([]router.VirtualRouterStatus, error)
	Interfaces(ctx context.Context) ([]router.InterfaceStatus, error)
	Routes(ctx context.Context) ([]router.RouteStatus, error)
	Neighbors(ctx context.Context) ([]router.NeighborStatus, error)
	Counters(ctx context.Context) (router.CountersStatus, error)
	Checks(ctx context.Context) ([]router.CheckStatus, error)
	BFD(ctx context.Context) ([]router.BFDSession, error)
	BGP(ctx context.Context) ([]bgp.Session, error)

	// BGPPaths returns all paths of just this prefix, the best first.
	BGPPaths(ctx context.Context, prefix netip.Prefix) ([]bgp.Path, error)

	// Events returns the events with a sequence number above since, oldest
	// first, as far back as they are kept, and a channel that is closed when
	// there is a newer one. EventLog.Since does just this.
	Events(ctx context.Context, since uint64) ([]router.Event, <-chan struct{}, error)

	// Switchover makes the Master of a virtual router, which exists, hand over
	// in order. It returns once the hand-over has begun. Where there is
	// nothing to hand over it returns an *Error with status 409.
	Switchover(ctx context.Context, name string) error

	// Ping sends the echo requests of a valid request and calls reply once for
	// each, in order of sequence: with its answer, or with Error set when none
	// came in time. It stops at the first error of reply and returns that
	// error, and returns nil after Count requests.
	Ping(ctx context.Context, request PingRequest, reply func(PingReply) error) error
}

// Reloader is a Backend that can read its configuration file again. The API
// offers "reload" only where the backend is one.
type Reloader interface {
	// Reload applies the file as a whole, or returns an error and changes
	// nothing. Mistakes in the file are an *Error with status 422 whose message
	// has a line FILE:LINE for each.
	Reload(ctx context.Context) error
}

// Drainer is a Backend that can hand over all its virtual routers and stay
// away from mastership, so that the machine can be serviced. The API offers
// "drain" only where the backend is one.
type Drainer interface {
	// Drain returns once the hand-over has begun; with on false it ends the
	// drain. To ask for what is so already is no error.
	Drain(ctx context.Context, on bool) error
}

// Limits of a PingRequest.
const (
	MaxPingCount    = 1_000_000
	MinPingInterval = 10 * time.Millisecond
	MaxPingInterval = time.Minute
	MaxPingTimeout  = time.Minute
	MaxPingSize     = 65507 // what an IPv4 packet holds after 20 + 8 bytes of headers
)

// PingRequest asks the router to send echo requests from itself.
type PingRequest struct {
	Address    netip.Addr `json:"address"`     // a zone names the interface
	Count      int        `json:"count"`       // echo requests; 0: until the client goes away
	IntervalMS int64      `json:"interval_ms"` // from one request to the next
	TimeoutMS  int64      `json:"timeout_ms"`  // wait for each answer
	Size       int        `json:"size"`        // bytes of payload behind the ICMP header
}

// Interval returns the time from one request to the next.
func (r PingRequest) Interval() time.Duration {
	return time.Duration(r.IntervalMS) * time.Millisecond
}

// Timeout returns how long each answer is waited for.
func (r PingRequest) Timeout() time.Duration {
	return time.Duration(r.TimeoutMS) * time.Millisecond
}

// PingReply is what became of one echo request.
type PingReply struct {
	Sequence uint64     `json:"sequence"` // from 1
	From     netip.Addr `json:"from"`     // who answered; the zero Addr: nobody
	Size     int        `json:"size"`     // bytes of the answer from the ICMP header on
	TTL      uint8      `json:"ttl"`      // TTL or hop limit of the answer
	TimeUS   int64      `json:"time_us"`  // round trip, microseconds
	Error    string     `json:"error"`    // why there is no echo reply: "timeout", "host unreachable", ...
}

// check returns what is wrong with the request.
func (r PingRequest) check() *Error {
	// Compared in milliseconds: a huge number would overflow a Duration.
	minimum := MinPingInterval.Milliseconds()
	switch {
	case !r.Address.IsValid():
		return badRequest("ping without an address", `give one, as in {"address":"192.0.2.1"}`)
	case r.Address.IsUnspecified() || r.Address.IsMulticast():
		return badRequest("cannot ping "+r.Address.String(), "give the address of one host")
	case r.Count < 0 || r.Count > MaxPingCount:
		return badRequest("count out of range", "0 (until interrupted) or 1..1000000")
	case r.IntervalMS < minimum || r.IntervalMS > MaxPingInterval.Milliseconds():
		return badRequest("interval out of range", "10ms..1m")
	case r.TimeoutMS < minimum || r.TimeoutMS > MaxPingTimeout.Milliseconds():
		return badRequest("timeout out of range", "10ms..1m")
	case r.Size < 0 || r.Size > MaxPingSize:
		return badRequest("size out of range", "0..65507 bytes")
	}
	return nil
}
