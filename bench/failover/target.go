package main

import (
	"fmt"
	"strings"
	"time"
)

// target is what a row is to reach; a negative number is no limit.
type target struct {
	lost       int
	duplicates int
	owners     int // that answer at one time
	gap        time.Duration
}

const noLimit = -1

// Parts of targets.
const (
	watchdog = 100 * time.Millisecond // vrouter's, by default
	// What a takeover may take beside the protocol's timers, with and without
	// the guardian's part.
	slack       = 20 * time.Millisecond
	timerSlack  = 3 * time.Millisecond
	floodTime   = 15 * time.Millisecond
	linkTime    = 50 * time.Millisecond
	checkTime   = time.Second
	peerRouters = 1
)

// skew is the time that the backup waits after priority 0 (RFC 9568, 6.1).
func skew(interval time.Duration) time.Duration {
	return interval * (256 - priorityLow) / 256
}

// silence is the time that the backup waits for a silent master.
func silence(interval time.Duration) time.Duration { return 3*interval + skew(interval) }

// plannedTarget has no limit of owners: for the moment of a handover, and until
// two masters hear each other, both answer; what counts is that nothing is lost.
func plannedTarget(time.Duration) target { return target{0, 0, noLimit, noLimit} }

func killTarget(interval time.Duration) target {
	return target{noLimit, 0, peerRouters, skew(interval) + slack}
}

func freezeTarget(interval time.Duration) target {
	return target{noLimit, 0, peerRouters, watchdog + skew(interval) + slack}
}

func silentTarget(interval time.Duration) target {
	return target{noLimit, 0, peerRouters, silence(interval) + timerSlack}
}

func ownerTarget(time.Duration) target    { return target{noLimit, noLimit, peerRouters, noLimit} }
func hostDeadTarget(time.Duration) target { return target{noLimit, 0, peerRouters, floodTime} }
func linkTarget(time.Duration) target     { return target{noLimit, 0, peerRouters, linkTime} }
func upstreamTarget(time.Duration) target { return target{noLimit, 0, peerRouters, checkTime} }

func (t target) String() string {
	var parts []string
	if t.lost >= 0 {
		parts = append(parts, fmt.Sprintf("%d lost", t.lost))
	}
	if t.gap >= 0 {
		parts = append(parts, "gap <= "+milliseconds(t.gap)+" ms")
	}
	if t.duplicates >= 0 {
		parts = append(parts, fmt.Sprintf("%d dup", t.duplicates))
	}
	if t.owners >= 0 {
		parts = append(parts, fmt.Sprintf("%d owner", t.owners))
	}
	return strings.Join(parts, ", ")
}

// misses returns what of a repetition does not reach the target.
func (t target) misses(r result) (list []string) {
	if !r.Settled {
		list = append(list, "not well again")
	}
	if t.lost >= 0 && r.Figures.Lost > t.lost {
		list = append(list, "lost")
	}
	if t.gap >= 0 && (r.Figures.Gap > t.gap || r.Figures.Open) {
		list = append(list, "gap")
	}
	if t.duplicates >= 0 && r.Figures.Duplicates > t.duplicates {
		list = append(list, "dup")
	}
	if t.owners >= 0 && r.Owners.Most > t.owners {
		list = append(list, "owners")
	}
	return list
}

// milliseconds writes a duration without more digits than it deserves.
func milliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms < 10 {
		return fmt.Sprintf("%.1f", ms)
	}
	return fmt.Sprintf("%.0f", ms)
}
