package sim

import (
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

// deaf reports whether the bug keeps a frame from being understood.
func (b bug) deaf(frame []byte) bool { return b == bugDeaf && read(frame).advert != nil }

// copies is how often a forwarded frame is sent.
func (b bug) copies(frame []byte) int {
	if _, ok := probeOf(frame); ok && b == bugTwice {
		return 2
	}
	return 1
}
