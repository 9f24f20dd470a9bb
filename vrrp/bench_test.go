package vrrp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vrouter/packet"
)

// epoch is when the tests begin; they say times as durations after it.
var epoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

const (
	ms  = time.Millisecond
	sec = time.Second
	us  = time.Microsecond
)

// Intervals of priority 100 with an interval of one second, in both versions.
const (
	skew100 = 609375 * us        // (256-100)/256 s
	down100 = 3*sec + 609375*us  // Master_Down_Interval
	learned = 6*sec + 1218750*us // the same with a learned interval of 2 s
	lesser  = uint8(99)          // a priority below
	greater = uint8(101)         // and above
)

// rig drives one Machine and writes down what it does.
type rig struct {
	*testing.T
	m   *Machine
	now time.Time
}

func newRig(t *testing.T, edits ...func(*Config)) *rig {
	cfg := Config{
		Name: "gw", VRID: 10, Version: 3, Addresses: []netip.Addr{virtual},
		Priority: 100, Interval: sec, Preempt: true, GARPRepeat: 1, Drain: sec,
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	return &rig{T: t, m: New(cfg), now: epoch}
}

func version2(c *Config)  { c.Version = 2 }
func noPreempt(c *Config) { c.Preempt = false }
func owner(c *Config)     { c.Priority = PriorityOwner }
func noDrain(c *Config)   { c.Drain = 0 }
func delayed(c *Config)   { c.PreemptDelay = 10 * sec }
func fast(c *Config)      { c.Interval = 10 * ms }
func fiveTimes(c *Config) { c.GARPRepeat, c.GARPRefresh = 5, time.Minute }
func inIPv6(c *Config)    { c.Addresses = []netip.Addr{netip.MustParseAddr("fe80::1")} }
func prio(p uint8) func(*Config) {
	return func(c *Config) { c.Priority = p }
}

// trace writes actions as one line.
func trace(actions []Action) string {
	var out []string
	for _, a := range actions {
		switch a := a.(type) {
		case Transition:
			out = append(out, fmt.Sprintf("%v>%v", a.From, a.To))
		case Send:
			out = append(out, fmt.Sprintf("send %d", a.Advertisement.Priority))
		case Announce:
			out = append(out, "announce")
		case Release:
			out = append(out, "release")
		case Contest:
			out = append(out, map[bool]string{true: "contested", false: "contested no more"}[a.Begins])
		}
	}
	return strings.Join(out, ", ")
}

// want compares actions with their trace.
func (r *rig) want(actions []Action, want string) {
	r.Helper()
	if got := trace(actions); got != want {
		r.Errorf("at %v: got %q, want %q", r.now.Sub(epoch), got, want)
	}
}

// start starts the Machine as 192.0.2.3 (fe80::b).
func (r *rig) start() []Action {
	if r.m.cfg.IPv6() {
		return r.m.Start(r.now, linkB)
	}
	return r.m.Start(r.now, routerB)
}

// until advances to a time after the epoch, stopping at every deadline.
func (r *rig) until(d time.Duration) (actions []Action) {
	r.Helper()
	end := epoch.Add(d)
	for steps := 0; ; steps++ {
		next := r.m.Deadline()
		if next.IsZero() || next.After(end) {
			break
		}
		if steps > 1_000_000 {
			r.Fatal("the Machine never rests")
		}
		r.now = next
		actions = append(actions, r.m.Advance(r.now)...)
		if !r.m.Deadline().IsZero() && !r.m.Deadline().After(r.now) {
			r.Fatalf("deadline %v is not after %v", r.m.Deadline(), r.now)
		}
	}
	r.now = end
	return actions
}

// advert is what a router of ours in another box would send.
func (r *rig) advert(priority uint8) Advertisement {
	a := r.m.advertisement(priority)
	if a.Version == 3 {
		a.Interval = 2 * sec // not ours: to be learned
	}
	return a
}

// hear hands in an advertisement that must be processed.
func (r *rig) hear(src netip.Addr, priority uint8) []Action {
	r.Helper()
	actions, reason := r.m.Receive(r.now, at(src), r.advert(priority))
	if reason != ReasonNone {
		r.Errorf("at %v: discarded: %v", r.now.Sub(epoch), reason)
	}
	return actions
}

// deadline compares the next deadline with a time after the epoch.
func (r *rig) deadline(want time.Duration) {
	r.Helper()
	if got := r.m.Deadline(); !got.Equal(epoch.Add(want)) {
		r.Errorf("deadline %v, want %v", got.Sub(epoch), want)
	}
}

func (r *rig) state(want State) {
	r.Helper()
	if r.m.State() != want {
		r.Errorf("at %v: state %v, want %v", r.now.Sub(epoch), r.m.State(), want)
	}
}

func (r *rig) forwarding(want bool) {
	r.Helper()
	if r.m.Forwarding() != want || r.m.Answers() != (r.m.State() == Master) {
		r.Errorf("at %v: forwarding %v, answers %v in %v", r.now.Sub(epoch), r.m.Forwarding(), r.m.Answers(), r.m.State())
	}
}

// asMaster starts the Machine and lets it become Master, not the owner; now is
// then 4 s, and the Adver_Timer is due at 4.609375 s.
func (r *rig) asMaster() *rig {
	r.Helper()
	r.start()
	r.until(4 * sec)
	r.state(Master)
	return r
}

// at returns the router of an address, whose MAC ends in the address's last byte.
func at(addr netip.Addr) Sender {
	return Sender{Addr: addr, MAC: packet.MAC{0x02, 0, 0, 0, 0, addr.AsSlice()[addr.BitLen()/8-1]}}
}
