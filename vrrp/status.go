package vrrp

import (
	"net/netip"
	"slices"
	"time"
)

// Info is what a Machine knows, for status output.
type Info struct {
	State       State
	Priority    uint8     // the effective one
	Elected     bool      // with Config.Grouped: would be Master; waits for TakeOver
	Forwarding  bool      // the virtual MAC is served: Master, or draining
	Since       time.Time // of the last transition; zero: never started
	Transitions uint64
	LastReason  string // of the last transition

	// The master: this router, or the sender of the last advertisement that
	// claimed mastership; the zero Addr when none is known.
	MasterAddress  netip.Addr
	MasterPriority uint8
	MasterInterval time.Duration // Master_Adver_Interval

	MasterDownInterval time.Duration
	SkewTime           time.Duration

	DampedUntil time.Time  // by Config.Damping silence alone is no reason to take over before; zero: it is
	Contested   *Contested // nil: nobody else claims the virtual router

	// PeerAddresses is the address list of the last advertisement that listed
	// other addresses than ours; nil when the last one agreed.
	PeerAddresses []netip.Addr
	// PeerPlainCSum tells that the last version 3 advertisement over IPv4 had
	// its checksum without pseudo header.
	PeerPlainCSum bool
}

// Info returns the state of the Machine.
func (m *Machine) Info() Info {
	i := Info{
		State:              m.state,
		Priority:           m.priority,
		Elected:            m.elected,
		Forwarding:         m.Forwarding(),
		Since:              m.since,
		Transitions:        m.transitions,
		LastReason:         m.lastReason,
		MasterAddress:      m.master.Addr,
		MasterPriority:     m.master.priority,
		MasterInterval:     m.masterInterval,
		MasterDownInterval: m.masterDownInterval(),
		SkewTime:           m.skewTime(),
		PeerAddresses:      slices.Clone(m.peerAddresses),
		PeerPlainCSum:      m.peerPlainCSum,
		DampedUntil:        m.damped,
		Contested:          m.contested(),
	}
	if m.state == Master {
		i.MasterAddress, i.MasterPriority = m.source, m.priority
		i.MasterInterval = m.cfg.Interval
	} else if m.master.priority == PriorityStop {
		i.MasterAddress = netip.Addr{}
	}
	return i
}

// Following returns the master that a Backup has heard last; false in other
// states, where none was heard yet, and where that one has given up.
func (m *Machine) Following() (netip.Addr, bool) {
	return m.master.Addr, m.state == Backup && m.master.Addr.IsValid() && m.master.priority != PriorityStop
}

// counters count events since New.
type counters struct {
	received     uint64 // advertisements for this virtual router that passed Receive's checks
	zeroReceived uint64 // of these, with priority 0
	sent         uint64
	zeroSent     uint64
	announced    uint64
	becameMaster uint64
	asserted     uint64 // advertisements sent because a received one called for it
	resumed      uint64
	reasons      [NumReasons]uint64
}

// Counters returns every counter by name: discards as "discarded_" and the
// reason; "address_mismatch" counts packets that were processed all the same.
func (m *Machine) Counters() map[string]uint64 {
	c := &m.counters
	// Room for the owner's own, too: a map that grows is the larger part of the cost.
	out := make(map[string]uint64, 2*NumReasons)
	out["advertisements_received"] = c.received
	out["advertisements_sent"] = c.sent
	out["advertisements_asserted"] = c.asserted
	out["priority_zero_received"] = c.zeroReceived
	out["priority_zero_sent"] = c.zeroSent
	out["announcements"] = c.announced
	out["became_master"] = c.becameMaster
	out["resumed"] = c.resumed
	for r := ReasonNone + 1; r < NumReasons; r++ {
		switch r {
		case ReasonUnknown: // has no Machine
		case ReasonAddressMismatch:
			out[r.String()] = c.reasons[r]
		default:
			out[discardedNames[r]] = c.reasons[r]
		}
	}
	return out
}

// discardedNames are the counters' names by reason: made once, since a router with
// hundreds of Machines is asked often.
var discardedNames = func() (names [NumReasons]string) {
	for r := range names {
		names[r] = "discarded_" + Reason(r).String()
	}
	return names
}()

// Discarded counts a packet for this virtual router that Parse refused.
func (m *Machine) Discarded(r Reason) {
	if r < NumReasons {
		m.counters.reasons[r]++
	}
}
