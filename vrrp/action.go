package vrrp

import (
	"net/netip"
	"time"
)

// Action is something that a Machine asks its owner to do: a Transition, Elected,
// Send, Announce, Release or Contest. Actions are carried out in the order in which they come.
type Action interface{ action() }

// Transition reports a change of state. On becoming Master it comes before
// every other action, so that the owner serves the virtual MAC before anything
// says so on the wire.
type Transition struct {
	From, To State
	Reason   string // for people: one short clause
	At       time.Time
}

// Elected says that the Machine would be Master by now, were it not that a group
// decides (Config.Grouped): the owner answers with TakeOver, at once or later.
// It comes once; a better master heard meanwhile undoes it (Info.Elected).
type Elected struct {
	Reason string
	// GaveUp: the master has said that it stops, so this is no matter of a lost
	// advertisement. A priority 0 of a router that was not the master is none: it
	// may have lost to the one that is.
	GaveUp bool
}

// Send asks for one advertisement: to the group, or to each of Config.Peers;
// source the address of Start or SetSource, source MAC the virtual one, TTL or
// hop limit 255 (RFC 9568 7.2). Its Addresses are shared and must not be
// changed.
type Send struct{ Advertisement Advertisement }

// Announce asks for one gratuitous ARP, or unsolicited neighbour advertisement,
// for each of the addresses, which are all of the virtual router (RFC 9568
// 6.4.1, 6.4.2) or those that are new after Reconfigure. Repeats and refreshes
// come as Announce actions of their own. The list is shared and must not be
// changed.
type Announce struct{ Addresses []netip.Addr }

// Release says that a drain is over and the virtual MAC is served no longer.
// Where a Transition leaves Master without a drain, Forwarding is false from
// then on and no Release follows; nor does one where a draining Machine becomes
// Master again.
type Release struct {
	Reason  string
	Unheard bool // the drain time is over, and no next master was heard
}

func (Transition) action() {}
func (Elected) action()    {}
func (Send) action()       {}
func (Announce) action()   {}
func (Release) action()    {}
