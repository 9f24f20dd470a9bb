// Package bgp is what the router process and the BGP process say to each
// other: routes as compact messages, everything that is rare as JSON. It is
// pure; vrouter/bgp/client and vrouter/bgp/speaker are the two ends.
//
// The router process tells what should be (Setup), as a whole and each time
// anew; the BGP process tells what is: the routes in use, each once and then
// its changes; the sessions (Report); and when the routes are complete
// (KindSynced). Either can end and come back without the other.
package bgp

import (
	"net/netip"
	"time"

	"vrouter/config"
)

// Route is the route that BGP has chosen for a prefix, in place of the one
// before.
type Route struct {
	Prefix   netip.Prefix // masked
	External bool         // learned from another autonomous system (eBGP)
	// Hops are the next hops, several where they are equally good; none: there
	// is no route any more. A link-local one has the name of an interface of the
	// router as its zone.
	Hops []netip.Addr
	// From are the neighbours that Hops are from, in their order, by NeighborID;
	// nil: not told.
	From []uint32
	// Spare is what the next best paths say: for as long as none of Hops can be
	// used and BGP has not chosen anew.
	Spare Spare
}

// Spare is the route to a prefix for want of the best one; without Hops there
// is none. Its fields are as those of Route.
type Spare struct {
	External bool
	Hops     []netip.Addr
	From     []uint32
}

// NeighborID tells a neighbour by a number, the same in both processes and
// never 0, from its name (FNV-1a).
func NeighborID(name string) uint32 {
	h := uint32(2166136261)
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * 16777619
	}
	return max(h, 1)
}

// Setup is all that the BGP process needs to know.
type Setup struct {
	RouterID netip.Addr
	// Restarting says that the router forwards by routes of an earlier BGP
	// process, so that neighbours may go on forwarding to it (RFC 4724 4.1).
	Restarting bool
	Config     config.BGP
	// Circumstances of Config.Neighbors, in their order.
	Circumstances []Circumstance
	// Own are the router's own addresses, which are nobody's next hop.
	Own []netip.Addr
}

// Circumstance is what changes for a neighbour while the router runs.
type Circumstance struct {
	Peer      netip.Addr // its address, with the kernel's name of the link as zone
	Interface string     // of the router, on whose link the neighbour is; empty: on none
	Link      int        // the kernel's number of that link's host TAP; 0: none, or not known
	Backup    bool       // the virtual router that it follows is not Master
	Down      string     // why there must be no session now; empty: nothing is known against it
	// Source4 and Source6 are the router's addresses on that link: the next hops
	// of the family that the session itself does not have.
	Source4, Source6 netip.Addr
}

// Report is the state of all sessions.
type Report struct {
	// Problem is why there are no sessions at all, with its remedy; empty: there
	// is none.
	Problem  string
	Sessions []Session // in the order of Setup
}

// The states of a session (RFC 4271 8.2.2).
const (
	StateIdle        = "Idle"
	StateConnect     = "Connect"
	StateActive      = "Active"
	StateOpenSent    = "OpenSent"
	StateOpenConfirm = "OpenConfirm"
	StateEstablished = "Established"
)

// Session is the state of the session with one neighbour. Its JSON names are
// those of "show bgp".
type Session struct {
	Name        string     `json:"name"`
	Address     netip.Addr `json:"address"`
	ASN         uint32     `json:"asn"`
	State       string     `json:"state"`
	Since       time.Time  `json:"since"`               // of the state, where it is Established; else of the last one that was
	EndOfRIB    bool       `json:"end_of_rib"`          // it has announced all that it had when the session came up
	Stale       bool       `json:"stale"`               // it restarts, and its routes stay meanwhile (RFC 4724)
	LastError   string     `json:"last_error"`          // in words; empty: none yet
	Families    []Family   `json:"families"`            // counted when asked for (Query)
	RouterID    netip.Addr `json:"router_id"`           // the neighbour's
	HoldTimeMS  int64      `json:"hold_time_ms"`        // as negotiated; 0: no session
	Established uint64     `json:"established"`         // how often the session came up
	Follows     string     `json:"follows,omitempty"`   // group or virtual router
	Announces   string     `json:"announces_as"`        // "master" or "backup"
	Interface   string     `json:"interface,omitempty"` // on whose link it is
}

// Family counts the routes of an address family.
type Family struct {
	Name       string `json:"name"`       // ipv4 | ipv6
	Received   uint64 `json:"received"`   // prefixes announced by the neighbour
	Accepted   uint64 `json:"accepted"`   // of those, what the import policy has let in; of a large table as counted lately
	Rejected   uint64 `json:"rejected"`   // the others: by the prefix list, for want of one (RFC 8212), loops, addresses that no network has
	Advertised uint64 `json:"advertised"` // to the neighbour
}

// Ready reports whether all routes of the neighbour are there.
func (s *Session) Ready() bool { return s.State == StateEstablished && s.EndOfRIB }

// Query asks the BGP process for something that it must look up.
type Query struct {
	Alive     bool         // nothing: an answer is enough, once GoBGP has given one
	Neighbors bool         // else: the sessions, with their counts
	Prefix    netip.Prefix // else: all paths of a prefix
}

// Answer is what comes of a Query.
type Answer struct {
	Error    string `json:",omitempty"`
	Sessions []Session
	Paths    []Path
}

// Path is one way to a prefix, as a neighbour has announced it. Its JSON names
// are those of "show bgp routes".
type Path struct {
	Prefix          netip.Prefix `json:"prefix"`
	Neighbor        string       `json:"neighbor"` // name; "local": a network of our own
	Address         netip.Addr   `json:"address"`
	NextHop         netip.Addr   `json:"next_hop"`
	ASPath          string       `json:"as_path"`
	Origin          string       `json:"origin"` // igp | egp | incomplete
	MED             *uint32      `json:"med,omitempty"`
	LocalPreference uint32       `json:"local_preference"`
	Communities     []string     `json:"communities"`
	External        bool         `json:"external"`
	Stale           bool         `json:"stale"`
	Since           time.Time    `json:"since"`
	Best            bool         `json:"best"`     // in use; several with multipath
	Selected        bool         `json:"selected"` // the one that is announced further
	Rejected        bool         `json:"rejected"` // the import policy has kept it out; it is as announced
	Reason          string       `json:"reason"`   // why it is the best, what the best has over it, or why it is not accepted
}
