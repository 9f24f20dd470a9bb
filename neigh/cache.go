// Package neigh is the neighbour cache of both families, and the machine that
// probes for duplicates of our own addresses.
//
// A Cache is the Neighbor Cache of RFC 4861 5.1 with its states and rules,
// used for ARP as well: RFC 826 knows no unreachability detection, RFC 1122
// 2.3.2.1 asks for one, and one machine for both families is one to test.
//
// Where it differs from RFC 4861, and why:
//   - The RFC probes an entry when traffic uses it. Our workers forward
//     without telling anybody, so every entry that they can see counts as
//     used: it is probed by unicast each time its reachable time (30 s, times
//     a random 0.5..1.5) is over, and goes when three probes stay unanswered.
//     A host that has left is thus noticed within 48 s; a host that is there
//     costs one exchange in 30 s. First probes are paced, so that thousands of
//     entries never make a burst.
//   - A neighbour that sent us a packet (Stale) is probed after 5 s, without
//     waiting for a packet to it. Delay is the same with a known use.
//   - Next hops of routes are kept (Keep): probed at half of the reachable
//     time, before they go stale, and solicited for ever while they are away.
//
// Limits (RFC 6583): unanswered resolutions are bounded in number and rate for
// each port. A scan of a /64 thus only displaces other unanswered resolutions,
// oldest first; it never evicts a resolved neighbour. Neighbours that never
// answered us (they only asked) are evicted before those that did; kept ones
// never.
//
// The package is pure: time and randomness are handed in, and every action is
// the caller's to carry out.
package neigh

import (
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"vrouter/packet"
)

// Config holds a Cache's limits and times. A zero field means its default.
type Config struct {
	MaxEntries      int           // entries in all, kept ones beyond it not counted; default 16384
	MaxIncomplete   int           // per port: unanswered resolutions (RFC 6583 6.2); default 512
	MaxWaiting      int           // packets that wait for one neighbour; default 100
	MaxWaitingBytes int           // bytes of all packets that wait; default 4 MiB
	SolicitRate     int           // per port: new resolutions and, apart from them, first probes a second; default 500
	SolicitBurst    int           // per port: how many of them at once; default 250
	Retrans         time.Duration // between solicitations; default 1 s (RFC 4861 10, RETRANS_TIMER)
	MulticastTries  int           // solicitations of a resolution; default 3 (MAX_MULTICAST_SOLICIT)
	UnicastTries    int           // probes; default 3 (MAX_UNICAST_SOLICIT)
	Reachable       time.Duration // default 30 s (REACHABLE_TIME), times a random 0.5..1.5
	DelayFirstProbe time.Duration // default 5 s (DELAY_FIRST_PROBE_TIME)
	MaxBackoff      time.Duration // between solicitations for a kept neighbour that is away; default 5 s
	Rand            *rand.Rand    // of the jitter; nil: none
}

// withDefaults fills in the zero fields.
func (c Config) withDefaults() Config {
	number := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	period := func(field *time.Duration, value time.Duration) {
		if *field == 0 {
			*field = value
		}
	}
	number(&c.MaxEntries, 16384)
	number(&c.MaxIncomplete, 512)
	number(&c.MaxWaiting, 100) // 100 ms of a stream of 1000 a second: what a new Master needs to learn whom it serves
	number(&c.MaxWaitingBytes, 4<<20)
	number(&c.SolicitRate, 500)
	number(&c.SolicitBurst, 250)
	number(&c.MulticastTries, 3)
	number(&c.UnicastTries, 3)
	period(&c.Retrans, time.Second)
	period(&c.Reachable, 30*time.Second)
	period(&c.DelayFirstProbe, 5*time.Second)
	period(&c.MaxBackoff, 5*time.Second)
	return c
}

// State is the state of an entry (RFC 4861 7.3.2).
type State uint8

// The states. In all but Incomplete the MAC is known and in use.
const (
	Incomplete State = iota // being resolved, or (kept) away
	Reachable               // confirmed within the reachable time
	Stale                   // known, not confirmed lately
	Delay                   // stale, and we know of a packet that went there
	Probe                   // unicast probes are out
)

// String returns the state's name in status.
func (s State) String() string {
	return [...]string{"incomplete", "reachable", "stale", "delay", "probe"}[s]
}

// Entry is one neighbour, for status.
type Entry struct {
	Key     Key
	MAC     packet.MAC // zero while Incomplete
	State   State
	Kept    bool // a next hop
	Waiting int  // packets that wait for it
	// Confirmed is when it last answered us, or else when we first heard of it.
	Confirmed time.Time
}

// Cache is the neighbour cache of all ports of a router.
type Cache struct {
	cfg      Config
	entries  map[Key]*entry
	ports    map[uint16]*portState
	unproven queue  // resolved, never answered us, not kept; oldest first
	timers   timers // every entry, by due
	bytes    int    // of all frames that wait
	counters counters
	out      []Action // of the call that is under way
}

// entry is one neighbour.
type entry struct {
	key       Key
	mac       packet.MAC
	state     State
	kept      bool
	proven    bool      // it has answered us since it is in the cache
	slot      bool      // Stale: due is the time that the pacer gave its first probe
	tries     int       // solicitations of this round of resolution or probing
	solicited time.Time // when the last one left
	confirmed time.Time // see Entry.Confirmed
	waiting   []Waiting // Incomplete only

	due   time.Time
	index int // in timers

	queue      *queue // that it is in, or nil
	next, prev *entry // in queue
}

// portState is what the limits of one port need.
type portState struct {
	incomplete queue // resolutions for packets, oldest first; kept entries are not in it
	solicits   pacer // of new resolutions and their repetitions
	probes     pacer // of first probes
}

// New returns an empty cache.
func New(cfg Config) *Cache {
	return &Cache{
		cfg:     cfg.withDefaults(),
		entries: make(map[Key]*entry),
		ports:   make(map[uint16]*portState),
	}
}

// Lookup returns the MAC of a neighbour that is known in whatever state.
func (c *Cache) Lookup(key Key) (packet.MAC, bool) {
	e := c.entries[key]
	if e == nil || e.state == Incomplete {
		return packet.MAC{}, false
	}
	return e.mac, true
}

// Len returns the number of entries.
func (c *Cache) Len() int { return len(c.entries) }

// Count returns how many entries of each port are in each state.
func (c *Cache) Count() map[uint16][Probe + 1]int {
	counts := map[uint16][Probe + 1]int{}
	for key, e := range c.entries {
		n := counts[key.Port]
		n[e.state]++
		counts[key.Port] = n
	}
	return counts
}

// All yields the entries in order of port and address.
func (c *Cache) All() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for _, e := range c.sorted(func(*entry) bool { return true }) {
			if !yield(Entry{e.key, e.mac, e.state, e.kept, len(e.waiting), e.confirmed}) {
				return
			}
		}
	}
}

// sorted returns the entries that match, in order of port and address: a map's
// own order would make a run unrepeatable.
func (c *Cache) sorted(match func(*entry) bool) []*entry {
	var all []*entry
	for _, e := range c.entries {
		if match(e) {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b *entry) int {
		if a.key.Port != b.key.Port {
			return int(a.key.Port) - int(b.key.Port)
		}
		return a.key.Addr.Compare(b.key.Addr)
	})
	return all
}

// Learnable reports whether a received packet may say that addr is at mac at
// all: the MAC is that of one station, the address one that a neighbour can
// have, and not one that we use on the port (own; virtual ones count while
// Master). Without it a spoofed packet could point our own address elsewhere.
// The MAC of a virtual router is as good as any: an upstream gateway may well
// be one.
func Learnable(addr netip.Addr, mac packet.MAC, own func(netip.Addr) bool) bool {
	return station(mac) && neighbor(addr) && !own(addr)
}

// station reports whether mac can be that of one station.
func station(mac packet.MAC) bool { return !mac.IsZero() && !mac.IsMulticast() }

// neighbor reports whether a neighbour can have the address.
func neighbor(addr netip.Addr) bool {
	return addr.IsValid() && !addr.IsUnspecified() && !addr.IsMulticast() &&
		!addr.IsLoopback() && addr != limitedBroadcast
}

var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// begin starts collecting the actions of one call; end returns them.
func (c *Cache) begin() { c.out = nil }

func (c *Cache) end() []Action {
	out := c.out
	c.out = nil
	return out
}

func (c *Cache) act(a Action) { c.out = append(c.out, a) }

// port returns the state of a port.
func (c *Cache) port(number uint16) *portState {
	p := c.ports[number]
	if p == nil {
		p = &portState{}
		c.ports[number] = p
	}
	return p
}
