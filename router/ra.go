package router

import (
	"net/netip"
	"time"

	"vrouter/config"
	"vrouter/ndp"
	"vrouter/packet"
	"vrouter/vrrp"
)

// Router Advertisements (RFC 4861 6.2). On an interface with IPv6 virtual
// routers each of them is a router of its own, which advertises itself from its
// link-local address and virtual MAC while it is Master here (RFC 9568 6.4.3);
// a Backup is silent (6.4.2). On any other interface the router advertises
// itself.
//
// A lifetime of zero takes the default route away from hosts at once. So it is
// sent where the virtual router ends, for nobody was heard that goes on with
// it, and not at a hand-over: there the next Master advertises the same router,
// and hosts must not lose it in between, nor behind its back.

// Protocol constants (RFC 4861 10).
const (
	maxInitialRAInterval = 16 * time.Second
	maxInitialRAs        = 3
	minDelayBetweenRAs   = 3 * time.Second
	maxRADelay           = 500 * time.Millisecond
)

// What is advertised beyond the configuration: the defaults of RFC 4861 6.2.1.
const (
	raHopLimit        = 64
	raPrefixValid     = 30 * 24 * time.Hour
	raPrefixPreferred = 7 * 24 * time.Hour
	raRDNSSIntervals  = 3 // lifetime of DNS servers, in the longest interval (RFC 8106 5.1)
)

// advertising is the state of one advertised router.
type advertising struct {
	active  bool
	addr    netip.Addr // whose, where active
	next    time.Time  // the next advertisement, where active
	last    time.Time  // the last one
	initial int        // advertisements since it became active
	sent    uint64
}

// speaker is who advertises: a virtual router, or the interface itself.
type speaker struct {
	f    *iface
	a    *advertising
	mac  packet.MAC
	addr netip.Addr // link-local
}

// virtualSpeaker returns who advertises a virtual router; false where it is not
// advertised at all.
func (r *Router) virtualSpeaker(v *virtual) (speaker, bool) {
	f := r.ifaces[v.port]
	if f.cfg.RA == nil || !v.cfg.IPv6() {
		return speaker{}, false
	}
	return speaker{f, &v.ra, v.mac, v.cfg.Addresses[0]}, true
}

// ownSpeaker returns who advertises the interface's own address; false where it
// is not to be advertised: virtual routers are, or the host's kernel forwards
// what comes to the address, or there is none.
func (r *Router) ownSpeaker(f *iface) (s speaker, may bool) {
	addr, ok := f.vrrpSource(true)
	s = speaker{f, &f.ra, f.state.MAC, addr}
	return s, ok && f.cfg.RA != nil && f.owns() && f.state.Up && !r.stopping && !r.hasIPv6Virtual(f.port)
}

// speakers calls do for all who may advertise on an interface.
func (r *Router) speakers(f *iface, do func(speaker)) {
	if f.cfg.RA == nil {
		return
	}
	if s, ok := r.ownSpeaker(f); ok {
		do(s)
	}
	for _, v := range r.virtual {
		if v.port == f.port && v.cfg.IPv6() {
			s, _ := r.virtualSpeaker(v)
			do(s)
		}
	}
}

// followRA brings the advertisements of a virtual router in step with its
// machine, which has just done the actions.
func (r *Router) followRA(now time.Time, v *virtual, actions []vrrp.Action) {
	s, ok := r.virtualSpeaker(v)
	if !ok {
		return
	}
	state := v.machine.State()
	switch {
	case state == vrrp.Master:
		if s.a.active && s.a.addr != s.addr { // reconfigured (RFC 4861 6.2.8)
			old := s
			old.addr = s.a.addr
			r.endRA(now, old)
			s.a.last = time.Time{}
		}
		r.startRA(now, s)
	case state == vrrp.Initialize && !v.machine.Forwarding() && ended(actions):
		r.endRA(now, s)
	default:
		s.a.active = false
	}
}

// ended reports whether a virtual router that has left Master for Initialize
// ended without a successor that was heard: after its drain, or at once where
// it had none.
func ended(actions []vrrp.Action) bool {
	for _, a := range actions {
		switch a := a.(type) {
		case vrrp.Send:
			if a.Advertisement.Priority == vrrp.PriorityStop {
				return true
			}
		case vrrp.Release:
			return a.Unheard
		}
	}
	return false
}

// settleOwnRA begins or ends the advertisements of an interface itself: it came
// up, the router stops, it got its first IPv6 virtual router or lost the last.
func (r *Router) settleOwnRA(now time.Time, f *iface) {
	if f.cfg.RA == nil {
		return
	}
	s, may := r.ownSpeaker(f)
	switch {
	case may:
		r.startRA(now, s)
	case f.ra.active:
		r.endRA(now, s)
	}
}

// startRA makes a router an advertised one: the first advertisement leaves at
// once, or three seconds after the last one (RFC 4861 6.2.4, 6.2.6).
func (r *Router) startRA(now time.Time, s speaker) {
	if s.a.active {
		return
	}
	s.a.active, s.a.addr, s.a.initial = true, s.addr, 0
	s.a.next = now
	if earliest := s.a.last.Add(minDelayBetweenRAs); earliest.After(now) {
		s.a.next = earliest
		return
	}
	r.sendRA(now, s)
}

// endRA says that a router is one no longer (RFC 4861 6.2.5): what it said
// before, with a lifetime of zero.
func (r *Router) endRA(now time.Time, s speaker) {
	s.a.active = false
	if s.f.state.Up {
		r.transmitRA(now, s, 0)
	}
}

// sendRA sends what is due and chooses the time of the next (RFC 4861 6.2.4).
func (r *Router) sendRA(now time.Time, s speaker) {
	r.transmitRA(now, s, s.f.cfg.RA.Lifetime)
	shortest, longest := raIntervals(s.f.cfg.RA)
	pause := shortest + time.Duration(r.rand.Int64N(int64(longest-shortest)+1))
	s.a.initial++
	if s.a.initial < maxInitialRAs {
		pause = min(pause, maxInitialRAInterval)
	}
	s.a.next = now.Add(pause)
}

// raIntervals returns MinRtrAdvInterval, by its default, and
// MaxRtrAdvInterval (RFC 4861 6.2.1, erratum 3154).
func raIntervals(ra *config.RA) (shortest, longest time.Duration) {
	longest = ra.Interval
	if longest >= 9*time.Second {
		return longest / 3, longest
	}
	return longest * 3 / 4, longest
}

// advanceRA sends what is due on an interface.
func (r *Router) advanceRA(now time.Time, f *iface) {
	r.settleOwnRA(now, f)
	r.speakers(f, func(s speaker) {
		if s.a.active && f.state.Up && due(s.a.next, now) {
			r.sendRA(now, s)
		}
	})
}

// deadlineRA returns when advanceRA wants to be called for an interface.
func (r *Router) deadlineRA(f *iface) (next time.Time) {
	if f.cfg.RA == nil {
		return next
	}
	if _, may := r.ownSpeaker(f); may != f.ra.active {
		return r.lastTurn.Add(time.Millisecond) // settleOwnRA has something to do
	}
	r.speakers(f, func(s speaker) {
		if s.a.active && f.state.Up {
			next = earlier(next, s.a.next)
		}
	})
	return next
}

// solicitedRA answers a Router Solicitation by an advertisement to all nodes,
// after a short random time and not within three seconds of the last one (RFC
// 4861 6.2.6): however many hosts ask, they get one answer.
func (r *Router) solicitedRA(now time.Time, f *iface) {
	r.speakers(f, func(s speaker) {
		if !s.a.active {
			return
		}
		answer := now.Add(time.Duration(r.rand.Int64N(int64(maxRADelay))))
		if earliest := s.a.last.Add(minDelayBetweenRAs); earliest.After(now) {
			answer = earliest.Add(answer.Sub(now))
		}
		s.a.next = earlier(s.a.next, answer)
	})
}

// transmitRA sends an advertisement to all nodes.
func (r *Router) transmitRA(now time.Time, s speaker, lifetime time.Duration) {
	s.a.last = now
	s.a.sent++
	ra := s.f.routerAdvert(lifetime)
	ra.LinkAddr = s.mac
	r.do(Transmit{s.f.port, ra.Frame(s.mac, s.addr)})
}

// routerAdvert returns what the interface's configuration says, but for who
// says it.
func (f *iface) routerAdvert(lifetime time.Duration) *ndp.RouterAdvert {
	c := f.cfg.RA
	ra := &ndp.RouterAdvert{
		HopLimit: raHopLimit, Managed: c.Managed, Other: c.Other, Lifetime: lifetime,
		RDNSS: c.RDNSS, RDNSSLifetime: raRDNSSIntervals * c.Interval,
	}
	if f.state.MTU >= minMTU6 {
		ra.MTU = uint32(f.state.MTU)
	}
	for _, p := range c.Prefixes {
		ra.Prefixes = append(ra.Prefixes, ndp.Prefix{
			Prefix: p, OnLink: true, Autonomous: true, Valid: raPrefixValid, Preferred: raPrefixPreferred,
		})
	}
	return ra
}

// minMTU6 is the least MTU of an IPv6 link (RFC 8200 5).
const minMTU6 = 1280

// RAStatus is what "show interfaces" says of router advertisements.
type RAStatus struct {
	From []netip.Addr `json:"from"` // the routers that are advertised now; none: not Master here
	Sent uint64       `json:"sent"` // advertisements, those of lifetime zero included
}

// raStatus returns the state of an interface's router advertisements; nil where
// none are configured.
func (r *Router) raStatus(f *iface) *RAStatus {
	if f.cfg.RA == nil {
		return nil
	}
	status := &RAStatus{From: []netip.Addr{}, Sent: f.ra.sent}
	r.speakers(f, func(s speaker) {
		if s.a != &f.ra {
			status.Sent += s.a.sent
		}
		if s.a.active && f.state.Up {
			status.From = append(status.From, s.addr)
		}
	})
	return status
}
