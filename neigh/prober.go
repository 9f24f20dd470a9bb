package neigh

import (
	"math/rand/v2"
	"slices"
	"time"

	"vrouter/packet"
)

// The times of duplicate address detection.
const (
	probeWait        = time.Second      // RFC 5227 1.1 PROBE_WAIT; RFC 4862 5.4.2 MAX_RTR_SOLICITATION_DELAY
	probeMin         = time.Second      // RFC 5227 1.1 PROBE_MIN
	probeMax         = 2 * time.Second  // PROBE_MAX
	probeNum         = 3                // PROBE_NUM
	announceWait     = 2 * time.Second  // ANNOUNCE_WAIT
	announceNum      = 2                // ANNOUNCE_NUM
	announceInterval = 2 * time.Second  // ANNOUNCE_INTERVAL
	defendInterval   = 10 * time.Second // DEFEND_INTERVAL
	retryInterval    = time.Minute      // RATE_LIMIT_INTERVAL
	reportInterval   = time.Minute      // between two Conflicted
	solicitNum       = 1                // RFC 4862 5.1 DupAddrDetectTransmits
	solicitWait      = time.Second      // RFC 4861 10 RETRANS_TIMER
)

// ProberConfig is one own address to be probed for.
type ProberConfig struct {
	Key Key
	// MACs are ours: a packet from one of them is no conflict. The port's own;
	// where a virtual router has the address too (owner, priority 255), also
	// its virtual MAC, from which a backup router rightly answers.
	MACs []packet.MAC
	Rand *rand.Rand // of the random delays; nil: the shortest
}

// proberState is where a Prober stands.
type proberState uint8

const (
	proberIdle      proberState = iota
	proberProbing               // probes are going out, or the last one may still be answered
	proberAnnounced             // confirmed; announcements are going out
	proberInUse                 // confirmed
	proberDuplicate             // somebody answered; probes again at due
)

// Prober detects that another station uses one of our addresses: RFC 5227 for
// IPv4, RFC 4862 5.4 for IPv6.
//
// Both RFCs want a host to keep off an address that somebody else has. A
// router does not: its addresses are configured by hand, and a router that
// leaves its place because one station, or one forged packet, claims the
// address takes the whole LAN off the network. So the address is used from
// the start, as Linux does for IPv4; a conflict makes Conflicted at once, and
// again at most once a minute while it lasts. Who is right decides whether we
// also speak up. Once confirmed, the address is ours and is defended with an
// announcement, at most one in 10 s (RFC 5227 2.4, choice (c)). While it is
// not confirmed the other was there first: we announce nothing that would take
// its traffic away, and probe again each minute until nobody answers.
type Prober struct {
	cfg      ProberConfig
	state    proberState
	sent     int // probes, or announcements, of this round
	due      time.Time
	reported time.Time // when Conflicted was made last
	defended time.Time // when a conflict was last answered
}

// NewProber returns an idle prober.
func NewProber(cfg ProberConfig) *Prober { return &Prober{cfg: cfg} }

// Start begins to probe: the address is new, or the link came up (RFC 5227
// 2.1, RFC 4862 5.4).
func (p *Prober) Start(now time.Time) []Action {
	p.state, p.sent = proberProbing, 0
	p.reported, p.defended = time.Time{}, time.Time{}
	p.due = now.Add(p.random(0, probeWait))
	return p.Advance(now)
}

// Stop ends all activity: the link went down, or the address was removed.
func (p *Prober) Stop() { p.state, p.due = proberIdle, time.Time{} }

// Probing reports whether the address is not confirmed, so that a probe of
// another station for it is a conflict too (see arp.Packet.Conflicts and
// ndp.Message.Conflicts).
func (p *Prober) Probing() bool { return p.state == proberProbing || p.state == proberDuplicate }

// Duplicate reports whether the last round of probes was answered.
func (p *Prober) Duplicate() bool { return p.state == proberDuplicate }

// Conflict is called when the station mac was seen to use the address.
func (p *Prober) Conflict(now time.Time, mac packet.MAC) []Action {
	if p.state == proberIdle || slices.Contains(p.cfg.MACs, mac) {
		return nil
	}
	var out []Action
	if p.reported.IsZero() || now.Sub(p.reported) >= reportInterval {
		p.reported = now
		out = append(out, Conflicted{p.cfg.Key, mac})
	}
	switch p.state {
	case proberProbing:
		p.state, p.due = proberDuplicate, now.Add(retryInterval)
	case proberAnnounced, proberInUse:
		if p.defended.IsZero() || now.Sub(p.defended) >= defendInterval {
			p.defended = now
			out = append(out, SendAnnounce{p.cfg.Key})
		}
	}
	return out
}

// Deadline returns when Advance wants to be called next; zero: never.
func (p *Prober) Deadline() time.Time { return p.due }

// Advance does what is due.
func (p *Prober) Advance(now time.Time) []Action {
	if p.due.IsZero() || now.Before(p.due) {
		return nil
	}
	switch p.state {
	case proberDuplicate:
		p.state, p.sent = proberProbing, 0
		return p.probe(now)
	case proberProbing:
		if p.sent < p.probes() {
			return p.probe(now)
		}
		p.state, p.sent = proberAnnounced, 0
		return append([]Action{Confirmed{p.cfg.Key}}, p.announce(now)...)
	default: // proberAnnounced
		return p.announce(now)
	}
}

// probes returns how many probes a round has.
func (p *Prober) probes() int {
	if p.cfg.Key.Addr.Is4() {
		return probeNum
	}
	return solicitNum
}

// probe sends the next probe and says how long its answer is waited for.
func (p *Prober) probe(now time.Time) []Action {
	p.sent++
	switch {
	case !p.cfg.Key.Addr.Is4():
		p.due = now.Add(solicitWait)
	case p.sent < probeNum:
		p.due = now.Add(p.random(probeMin, probeMax))
	default:
		p.due = now.Add(announceWait)
	}
	return []Action{SendProbe{p.cfg.Key}}
}

// announce sends the next announcement: stale caches of others learn of us
// (RFC 5227 2.3; RFC 4861 7.2.6 allows up to 3 for IPv6).
func (p *Prober) announce(now time.Time) []Action {
	p.sent++
	if p.sent < announceNum {
		p.due = now.Add(announceInterval)
	} else {
		p.state, p.due = proberInUse, time.Time{}
	}
	return []Action{SendAnnounce{p.cfg.Key}}
}

// random returns a duration between two bounds.
func (p *Prober) random(lowest, highest time.Duration) time.Duration {
	if p.cfg.Rand == nil {
		return lowest
	}
	return lowest + time.Duration(p.cfg.Rand.Int64N(int64(highest-lowest)+1))
}
