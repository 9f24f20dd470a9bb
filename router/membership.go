package router

import (
	"net/netip"
	"time"

	"vrouter/mcast"
)

// Membership in multicast groups is reported by the local stack when it begins,
// when the link comes up and when a querier asks. Beside that it is reported
// here: when a virtual router becomes Master, and again and again. A switch that
// snoops forgets a member that nobody asks for, and then neither advertisements
// nor neighbour solicitations arrive.
const (
	// reportRefresh is half of the Query Interval (RFC 3376 8.2, RFC 3810 9.2):
	// four reports within the time after which a member is forgotten.
	reportRefresh = 125 * time.Second / 2
	// reportDelay collects what happens together: many virtual routers that
	// become Master at once.
	reportDelay = 10 * time.Millisecond
	// reportRepeat is the pause to the second report of a change, lest the first
	// was lost (RFC 3376 8.11, RFC 3810 9.11: Unsolicited Report Interval).
	reportRepeat = time.Second
)

// reports is when an interface reports its membership.
type reports struct {
	next   time.Time // zero: never, the interface is down
	repeat bool      // the next but one comes soon
	sent   uint64
}

// reportSoon reports the membership of an interface again: something changed.
func (r *Router) reportSoon(now time.Time, f *iface) {
	if f.state.Up {
		f.reports.next = earlier(f.reports.next, now.Add(reportDelay))
		f.reports.repeat = true
	}
}

// advanceReports sends what is due on an interface.
func (r *Router) advanceReports(now time.Time, f *iface) {
	if !due(f.reports.next, now) {
		return
	}
	var groups4, groups6 []netip.Addr
	for _, g := range r.groupsOf(f) {
		if g.Is4() {
			groups4 = append(groups4, g)
		} else {
			groups6 = append(groups6, g)
		}
	}
	if len(groups4)+len(groups6) == 0 {
		f.reports.next = time.Time{}
		return
	}
	source4, _ := f.vrrpSource(false)
	source6, _ := f.vrrpSource(true)
	frames := mcast.Reports4(f.state.MAC, source4, groups4)
	for _, frame := range append(frames, mcast.Reports6(f.state.MAC, source6, groups6)...) {
		r.do(Transmit{f.port, frame})
		f.reports.sent++
	}
	pause := reportRefresh
	if f.reports.repeat {
		pause = reportRepeat
	}
	f.reports.repeat = false
	f.reports.next = now.Add(pause)
}
