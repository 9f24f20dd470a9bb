// Package neigh is the neighbour cache of both families, and the machine that
// probes for duplicates of our own addresses.
package neigh

import (
	"iter"
	"math/rand/v2"
	"net/netip"
	"time"

	"vrouter/packet"
)

// Config holds a Cache's limits and times. A zero field means its default.
type Config struct {
	MaxEntries      int           // entries in all; default 16384
	MaxIncomplete   int           // per port: unanswered resolutions (RFC 6583 6.2); default 512
	MaxWaiting      int           // packets that wait for one neighbour; default 16
	MaxWaitingBytes int           // bytes of all packets that wait; default 4 MiB
	SolicitRate     int           // per port: new resolutions and first probes a second; default 500
	SolicitBurst    int           // per port: how many of them at once; default 250
	Retrans         time.Duration // between solicitations; default 1 s (RFC 4861 10, RETRANS_TIMER)
	MulticastTries  int           // default 3 (MAX_MULTICAST_SOLICIT)
	UnicastTries    int           // default 3 (MAX_UNICAST_SOLICIT)
	Reachable       time.Duration // default 30 s (REACHABLE_TIME), times a random 0.5..1.5
	DelayFirstProbe time.Duration // default 5 s (DELAY_FIRST_PROBE_TIME)
	MaxBackoff      time.Duration // between solicitations for a kept neighbour that is away; default 5 s
	Rand            *rand.Rand    // of the jitter; nil: none
}

// Evidence is what a received packet proves about a neighbour.
type Evidence uint8

// The kinds of evidence.
const (
	Request               Evidence = iota // it asked us: ARP request for an address of ours; NS, RS with source link-layer option
	Reply                                 // it answered us: ARP reply to our MAC; NA with S and O
	ReplyNoOverride                       // NA with S, without O
	Unsolicited                           // gratuitous ARP, any other ARP that we overheard; NA with O, without S
	UnsolicitedNoOverride                 // NA without S and O
)

// State is the state of an entry (RFC 4861 7.3.2).
type State uint8

// The states.
const (
	Incomplete State = iota
	Reachable
	Stale
	Delay
	Probe
)

// Entry is one neighbour, for status.
type Entry struct {
	Key     Key
	MAC     packet.MAC // zero while Incomplete
	State   State
	Kept    bool
	Waiting int
	Changed time.Time // when it was last confirmed, or else created
}

// Cache is the neighbour cache.
type Cache struct{}

// New returns an empty cache.
func New(cfg Config) *Cache { return &Cache{} }

// Resolve is called for a packet that needs the neighbour.
func (c *Cache) Resolve(now time.Time, key Key, w Waiting) []Action { return nil }

// Keep says whether the neighbour is a next hop, which is always kept resolved.
func (c *Cache) Keep(now time.Time, key Key, on bool) []Action { return nil }

// Learn takes what a received packet proves; mac is zero for an NA without target link-layer option.
func (c *Cache) Learn(now time.Time, key Key, mac packet.MAC, e Evidence) []Action { return nil }

// Forget empties the cache of a port that went down; its next hops stay kept.
func (c *Cache) Forget(now time.Time, port uint16) []Action { return nil }

// Advance does what is due.
func (c *Cache) Advance(now time.Time) []Action { return nil }

// Deadline returns when Advance wants to be called; zero: never.
func (c *Cache) Deadline() time.Time { return time.Time{} }

// Lookup returns the MAC of a resolved neighbour.
func (c *Cache) Lookup(key Key) (packet.MAC, bool) { return packet.MAC{}, false }

// All yields the entries in order of port and address.
func (c *Cache) All() iter.Seq[Entry] { return func(func(Entry) bool) {} }

// Counters returns the counters by name.
func (c *Cache) Counters() map[string]uint64 { return nil }

// Learnable reports whether a neighbour can have the address and the MAC: own says which addresses are ours.
func Learnable(addr netip.Addr, mac packet.MAC, own func(netip.Addr) bool) bool { return false }

// String returns the state's name in status.
func (s State) String() string {
	return [...]string{"incomplete", "reachable", "stale", "delay", "probe"}[s]
}
