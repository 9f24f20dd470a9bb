package vrrp

// Reason says why a received packet was discarded (RFC 9568 7.1, RFC 3768
// 7.1). Parse finds those that need no virtual router, Machine.Receive the
// others; ReasonUnknown is for the caller that finds no Machine for a VRID.
type Reason uint8

// The reasons.
const (
	ReasonNone Reason = iota // a good packet

	// Found by Parse.
	ReasonTTL         // TTL or hop limit is not 255: it has crossed a router
	ReasonSource      // source cannot be a router's: IPv6 not link-local, multicast, unspecified
	ReasonDestination // destination is of the other family, or a group that is not VRRP's
	ReasonLength      // shorter or longer than version and count say
	ReasonVersion     // neither 2 nor 3, or 2 over IPv6
	ReasonType        // not an ADVERTISEMENT
	ReasonCount       // lists no address
	ReasonChecksum    // wrong by every reading that is allowed
	ReasonVRID        // VRID 0
	ReasonAuthType    // version 2 with an authentication that is not configured (or, by Machine.Receive, not the configured one)
	ReasonAuthHeader  // an authentication header that is malformed (or, by Machine.Receive, whose integrity check is wrong)
	ReasonInterval    // advertisement interval 0

	// Found by the caller.
	ReasonUnknown // no such virtual router here

	// Found by Machine.Receive.
	ReasonNotRunning       // the Machine is in Initialize
	ReasonVersionMismatch  // the virtual router speaks the other version
	ReasonOwnSource        // our own packet has come back
	ReasonPeer             // unicast: the sender is not one of the peers
	ReasonAuthPassword     // version 2: another password than ours
	ReasonAuthReplay       // version 2: the authentication header's sequence number was used before
	ReasonIntervalMismatch // version 2: the sender's interval is not ours
	ReasonOwnerConflict    // we own the addresses, and somebody else says the same
	ReasonAddressMismatch  // other addresses than ours: counted, not discarded

	NumReasons // the number of reasons, for arrays of counters
)

var reasonNames = [NumReasons]string{
	ReasonNone:             "none",
	ReasonTTL:              "ttl",
	ReasonSource:           "source",
	ReasonDestination:      "destination",
	ReasonLength:           "length",
	ReasonVersion:          "version",
	ReasonType:             "type",
	ReasonCount:            "address_count",
	ReasonChecksum:         "checksum",
	ReasonVRID:             "vrid",
	ReasonAuthType:         "auth_type",
	ReasonAuthHeader:       "auth_ah",
	ReasonInterval:         "interval",
	ReasonUnknown:          "unknown_virtual_router",
	ReasonNotRunning:       "not_running",
	ReasonVersionMismatch:  "version_mismatch",
	ReasonOwnSource:        "own_source",
	ReasonPeer:             "unlisted_peer",
	ReasonAuthPassword:     "auth_password",
	ReasonAuthReplay:       "auth_replay",
	ReasonIntervalMismatch: "interval_mismatch",
	ReasonOwnerConflict:    "owner_conflict",
	ReasonAddressMismatch:  "address_mismatch",
}

// String returns the reason as a counter's name, in snake case.
func (r Reason) String() string {
	if r >= NumReasons {
		return "unknown_reason"
	}
	return reasonNames[r]
}
