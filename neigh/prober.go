package neigh

import (
	"math/rand/v2"
	"time"

	"vrouter/packet"
)

// ProberConfig is one own address to be probed for.
type ProberConfig struct {
	Key  Key
	MACs []packet.MAC // ours: a packet from one of them is no conflict (the port's, virtual ones)
	Rand *rand.Rand   // of the random delays; nil: the shortest
}

// Prober detects duplicates of one own address.
type Prober struct{}

// NewProber returns an idle prober.
func NewProber(cfg ProberConfig) *Prober { return &Prober{} }

// Start begins to probe: the link came up, or the address is new.
func (p *Prober) Start(now time.Time) []Action { return nil }

// Stop ends all activity: the link went down.
func (p *Prober) Stop() {}

// Conflict is called when the station mac was seen to use the address (see arp.Packet.Conflicts, ndp.Message.Conflicts).
func (p *Prober) Conflict(now time.Time, mac packet.MAC) []Action { return nil }

// Probing reports whether the address has not been confirmed yet (the argument of Conflicts).
func (p *Prober) Probing() bool { return false }

// Advance does what is due.
func (p *Prober) Advance(now time.Time) []Action { return nil }

// Deadline returns when Advance wants to be called; zero: never.
func (p *Prober) Deadline() time.Time { return time.Time{} }
