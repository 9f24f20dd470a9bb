package vrrp

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"vrouter/packet"
)

// The reasons of transitions, and of what else operators are told, carry their
// evidence: who was heard, with which priority, and when.

// Sender is the router that an advertisement came from.
type Sender struct {
	Addr netip.Addr // source address of the IP packet; a zone is ignored
	MAC  packet.MAC // source of the frame: the virtual MAC, or the router's own
}

// rival is another router of the virtual router, as heard last.
type rival struct {
	Sender
	priority uint8
	interval time.Duration // as it says
	at       time.Time     // of its last advertisement
	// wasMaster tells of a priority 0 that it came from the master, and not from
	// one that had lost to it.
	wasMaster bool
}

func heardFrom(from Sender, adv *Advertisement, now time.Time) rival {
	return rival{Sender: from, priority: adv.Priority, interval: adv.Interval, at: now}
}

// downReason says why the Master_Down_Timer has expired.
func (m *Machine) downReason(now time.Time) string {
	r := &m.master
	note := m.dampedNote()
	switch {
	case m.waiting:
		return "nobody took over for " + written(now.Sub(m.since))
	case !r.Addr.IsValid():
		return "no master heard for " + written(now.Sub(m.quiet)) + note
	case r.priority == PriorityStop:
		return gaveUp(r.Addr)
	case m.fallen > 0:
		return fmt.Sprintf("%v fell from priority %d to %d, below %d", r.Addr, m.fallen, r.priority, m.priority)
	case m.preemptsLiving(now):
		return fmt.Sprintf("preempts %v: its priority %d is below %d", r.Addr, r.priority, m.priority)
	}
	return fmt.Sprintf("no advertisement for %s from %v, last priority %d%s", written(now.Sub(r.at)), r.Addr, r.priority, note)
}

// preemptReason says why a lesser master is taken over from at the end of the
// preemption delay, or of Hold.
func (m *Machine) preemptReason() string {
	return fmt.Sprintf("preempts %v, after the delay: its priority %d is below %d", m.master.Addr, m.master.priority, m.priority)
}

func gaveUp(addr netip.Addr) string { return fmt.Sprintf("%v gave up (priority 0)", addr) }

func higherPriority(addr netip.Addr, its, ours uint8) string {
	return fmt.Sprintf("%v has priority %d, above %d", addr, its, ours)
}

func greaterAddress(addr netip.Addr, priority uint8) string {
	return fmt.Sprintf("%v has the same priority %d and the greater address", addr, priority)
}

// written returns a duration for people: in milliseconds below a second, else
// in seconds.
func written(d time.Duration) string {
	d = d.Round(time.Millisecond)
	if d < time.Second {
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	}
	text := strconv.FormatFloat(d.Seconds(), 'f', 3, 64)
	return strings.TrimRight(strings.TrimRight(text, "0"), ".") + " s"
}
