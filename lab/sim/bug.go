package sim

import (
	"slices"

	"vrouter/config"
	"vrouter/dataplane/fib"
)

// bug is something that a planted router does wrong, so that a test can see
// that the checkers find it.
type bug int

const (
	noBug          bug = iota
	bugClockSleeps     // its clock stands still while it is frozen: the lease never ends
	bugGateOpen        // it serves the virtual MACs as backup too
	bugNoAnnounce      // no gratuitous ARP, no unsolicited NA
	bugNoAdvert        // becomes master, and never says so
	bugNoZero          // stops without priority 0
	bugOwnMAC          // advertises from the port's MAC
	bugTwice           // transmits what it forwards twice
	bugDeaf            // does not understand advertisements
	bugGateShut        // does not serve the virtual MACs as master
	bugAnswers         // answers ARP for virtual addresses as backup
	bugHasty           // its clock runs at twice the speed
	bugLatePublish     // serves the virtual MACs a while after it says so
	bugSlow            // its clock runs at half the speed
	bugNoAnswers       // does not hear ARP replies and NAs
	bugWallClock       // it lives by the wall clock
	bugStaleWill       // its guardian keeps wills that were withdrawn
	bugNoWill          // its guardian sends no wills
	bugNoPreempt       // preempt is ignored
	bugNoTrack         // what it tracks is ignored
	bugNoGroup         // its virtual routers change state each alone
	bugNoCheck         // results of checks are ignored
	bugNoDrain         // an operator's drain is ignored
	bugReloadDrops     // a reload hands mastership over
)

// swallows reports whether the bug keeps a frame from being sent, and may
// change or double it.
func (b bug) swallows(n *Node, frame []byte) bool {
	if b == noBug {
		return false
	}
	s := read(frame)
	switch {
	case b == bugNoAnnounce:
		return s.notice
	case b == bugNoAdvert:
		return s.advert != nil
	case b == bugNoZero:
		return s.advert != nil && s.advert.priority == 0
	case b == bugOwnMAC && s.advert != nil:
		copy(frame[6:12], n.macs[0][:])
	}
	return false
}

// snapshot returns what the router publishes instead.
func (b bug) snapshot(n *Node, s *fib.Snapshot) *fib.Snapshot {
	if b != bugGateOpen && b != bugGateShut {
		return s
	}
	changed := *s
	changed.Ports = append([]fib.Port(nil), s.Ports...)
	for _, v := range n.w.checks.virtual {
		p := &changed.Ports[v.side]
		masters := &p.Masters4
		if v.v6 {
			masters = &p.Masters6
		}
		masters[v.vrid/64] = 0
		if b == bugGateOpen {
			masters[v.vrid/64] = 1 << (v.vrid % 64)
		}
	}
	return &changed
}

// rate is how fast the bug makes a clock run that should run at r.
func (b bug) rate(r float64) float64 {
	switch b {
	case bugHasty:
		return 2 * r
	case bugSlow:
		return r / 2
	}
	return r
}

// answers sends what the bug answers a frame with.
func (b bug) answers(n *Node, port int, frame []byte) {
	const request = 1
	if b != bugAnswers || len(frame) < 42 || frame[12] != 8 || frame[13] != 6 || frame[21] != request {
		return
	}
	for _, v := range n.w.checks.virtual {
		if v.side == port && string(frame[38:42]) == string(v.addrs[0]) {
			reply := append([]byte(nil), frame[:42]...)
			copy(reply[0:6], frame[6:12])
			copy(reply[6:12], v.mac[:])
			reply[21] = 2
			copy(reply[22:28], v.mac[:])
			copy(reply[28:32], frame[38:42])
			copy(reply[32:42], frame[22:32])
			n.transmit(uint16(port), reply)
		}
	}
}

// deaf reports whether the bug keeps a frame from being understood.
func (b bug) deaf(frame []byte) bool {
	if b == noBug {
		return false
	}
	s := read(frame)
	return b == bugDeaf && s.advert != nil || b == bugNoAnswers && s.claims != nil
}

// copies is how often a forwarded frame is sent.
func (b bug) copies(frame []byte) int {
	if _, ok := probeOf(frame); ok && b == bugTwice {
		return 2
	}
	return 1
}

// config returns the configuration that the router goes by instead.
func (b bug) config(c *config.Config) *config.Config {
	if b != bugNoPreempt && b != bugNoTrack && b != bugNoGroup {
		return c
	}
	changed := *c
	changed.VRRP = slices.Clone(c.VRRP)
	for i := range changed.VRRP {
		v := &changed.VRRP[i]
		switch b {
		case bugNoPreempt:
			v.Preempt = false
		case bugNoTrack:
			v.Track = nil
		case bugNoGroup:
			v.Group, v.Grouped = "", false
		}
	}
	return &changed
}
