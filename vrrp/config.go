package vrrp

import (
	"net/netip"
	"time"
)

// Config is one virtual router on one interface, validated. All addresses are
// of one family; for IPv6 the first is the link-local one.
type Config struct {
	Name         string
	VRID         uint8 // 1..255
	Version      uint8 // 2 or 3
	Addresses    []netip.Addr
	Priority     uint8         // 1..254, or 255: owner
	Interval     time.Duration // v2: whole seconds; v3: centiseconds
	Preempt      bool
	PreemptDelay time.Duration
	Accept       bool
	PlainCSum    bool // v3 IPv4: send the checksum without pseudo header (RFC 9568), not with it (RFC 5798); both are accepted
	GARPRepeat   int  // announcements on becoming Master
	GARPRefresh  time.Duration
	Peers        []netip.Addr // not empty: unicast
	Drain        time.Duration
	Damping      bool // hold back takeovers that follow each other too fast
	Auth         Auth // version 2 only
	Grouped      bool // a group decides who becomes Master: Elected comes in place of the transition
}

// Auth is the authentication of version 2 (RFC 2338 5.3.6, 10), which RFC 3768
// took out.
type Auth struct {
	Type AuthType
	Key  string // empty with AuthNone; a password has at most 8 bytes
}

// AuthType is the authentication type on the wire (RFC 2338 5.3.6).
type AuthType uint8

// The authentication types.
const (
	AuthNone     AuthType = 0
	AuthPassword AuthType = 1 // simple text password
	AuthAH       AuthType = 2 // IP Authentication Header, HMAC-MD5-96 (RFC 2403)
)

// IPv6 reports whether the virtual router's family is IPv6.
func (c *Config) IPv6() bool { return c.Addresses[0].Is6() }

// Owner reports whether the router owns the addresses (RFC 9568 1.7, priority
// 255).
func (c *Config) Owner() bool { return c.Priority == PriorityOwner }
