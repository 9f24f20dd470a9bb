package dataplane

import (
	"encoding/binary"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// Forwarder is what one worker needs to decide on frames: the snapshot of the
// batch, scratch buffers, counters and rate limits. Each worker has its own;
// only Counters may be called from elsewhere.
type Forwarder struct {
	snap   *fib.Snapshot
	now    int64 // nanoseconds
	leased bool

	counts  Counters
	touched bool // counts changed since the last Flush
	shared  sharedCounters

	hints          [aheadMax]hint
	looked, cursor int // hints; frames since Ahead

	limit limiter
	id    uint16 // IPv4 identification of our ICMP errors
	error [packet.EthernetLen + ipv6MinMTU]byte
	cut   arena
	outs  []Out
	rows  rows
}

// NewForwarder returns a Forwarder; Begin comes before anything else.
func NewForwarder() *Forwarder { return &Forwarder{} }

// Begin starts a batch: all that follows is decided by snapshot s at the time
// now, in nanoseconds of CLOCK_BOOTTIME. Whether the lease holds is decided
// here, once.
func (w *Forwarder) Begin(s *fib.Snapshot, now int64) {
	w.snap, w.now, w.leased = s, now, s.Lease.Valid(now)
	w.looked = 0
}

// Forward decides on a frame that came in on port in. Where the verdict is
// Transmit the frame has been rewritten in place, padding removed, and goes
// out on Verdict.Port. Where it is Punt of ClassResolve or ClassFlooded, or an
// Exception that an ICMP error answers, the frame is unchanged; of other punts the transport
// checksum is complete, and padding of IP packets removed. Drops are counted
// already. Nothing is allocated.
//
// Frames to a virtual MAC are taken whatever their family: the MAC of an IPv4
// virtual router may well be how a host reaches its IPv6 gateway.
func (w *Forwarder) Forward(in uint16, f *packet.Frame) Verdict {
	w.cursor++
	v := w.decide(in, f)
	if v.Action == Drop {
		w.count(v.Reason)
	}
	return v
}

func (w *Forwarder) count(r Reason) {
	w.counts.Drops[r]++
	w.touched = true
}

// decide is Forward without counting: it checks port, tag and MAC, and leaves
// the rest to the protocol.
func (w *Forwarder) decide(in uint16, f *packet.Frame) Verdict {
	if len(f.Data) < packet.EthernetLen {
		return drop(ReasonRunt)
	}
	if int(in) >= len(w.snap.Ports) || !w.snap.Ports[in].Up {
		return drop(ReasonPort)
	}
	p := &w.snap.Ports[in]
	etherType := binary.BigEndian.Uint16(f.Data[12:14])
	to := toPort
	if packet.MAC(f.Data[0:6]) != p.MAC || !p.Owns || etherType == packet.EtherTypeVLAN || etherType == packet.EtherTypeQinQ {
		var reason Reason
		if to, reason = w.gate(p, f.Data); reason != ReasonNone {
			return drop(reason)
		}
		switch to {
		case toHost:
			if v := w.host(in, f, etherType); v.Action != Drop || !p.Transit {
				return v
			}
		case toWatched:
			return w.flooded(f, etherType)
		}
	}
	switch etherType {
	case packet.EtherTypeIPv4:
		return w.forward4(in, p, f, to)
	case packet.EtherTypeIPv6:
		return w.forward6(in, p, f, to)
	case packet.EtherTypeARP:
		if to == toGroup && packet.MAC(f.Data[0:6]) != packet.Broadcast {
			return drop(ReasonMulticast)
		}
		return punt(ClassARP)
	}
	return drop(ReasonEtherType)
}

func drop(r Reason) Verdict { return Verdict{Action: Drop, Cause: Cause{Reason: r}} }

func punt(c Class) Verdict { return Verdict{Action: Punt, Cause: Cause{Class: c}} }

func resolve(port uint16) Verdict {
	return Verdict{Action: Punt, Port: port, Cause: Cause{Class: ClassResolve}}
}

func except(fault Fault, port uint16) Verdict {
	return Verdict{Action: Exception, Port: port, Cause: Cause{Fault: fault}}
}
