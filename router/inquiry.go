package router

import (
	"net/netip"
	"time"

	"vrouter/arp"
	"vrouter/ndp"
	"vrouter/neigh"
)

// Pacing of an inquiry. The wait after the last question is longer for a lower
// priority, so that of several backups the best comes first, and the others
// hear of it in time.
const (
	inquiryTries  = 3
	inquiryGap    = 2 * time.Millisecond // after each question
	inquiryRank   = 4 * time.Millisecond // and after the last one with priority 0
	inquiryLate   = 4 * time.Millisecond // a silence that ended this late was not listened to
	inquiryForget = 50 * time.Millisecond
)

// While a master answers, each further question about what has come since
// waits for longer: a switch that forgets for a second costs few of them. An
// inquiry with nothing to ask about ends after a while.
const (
	inquiryPauseMin = time.Millisecond
	inquiryPauseMax = 8 * time.Millisecond
	inquiryQuiet    = 100 * time.Millisecond
)

// How often, within a time, an inquiry has the master speak from one virtual MAC,
// and from all.
const (
	taughtWithin = 50 * time.Millisecond
	taughtOne    = 3
	taughtAll    = 64
)

// inquiry asks one station, the master of one or many virtual routers on a
// port, for its own address. Answers do not say which question they are to, so
// each is taken for one to the oldest that has none: that is the safe side,
// for an answer covers only frames that came before its question.
type inquiry struct {
	key       neigh.Key
	tries     int         // questions since the last sign of life
	first     time.Time   // when the first of them left,
	last      time.Time   // and the last
	sent      []time.Time // questions without an answer, oldest first
	pause     time.Duration
	notBefore time.Time // the pause is over
	used      time.Time // a frame came last
	due       time.Time // of the next question, a decision, or the end
	taught    int       // how often it was made to speak from virtual MACs
	taughtAt  time.Time // since then
}

// inquire sees to it that a master is asked, for a frame that has come now.
func (r *Router) inquire(now time.Time, key neigh.Key) {
	q := r.inquiryOf(key)
	if q == nil {
		q = &inquiry{key: key}
		r.inquiries = append(r.inquiries, q)
	}
	q.used = now
	switch {
	case q.tries > 0: // this frame counts as well
		r.schedule(q)
	case q.notBefore.After(now):
		q.due = q.notBefore
	default:
		r.ask(now, q)
	}
}

func (r *Router) inquiryOf(key neigh.Key) *inquiry {
	for _, q := range r.inquiries {
		if q.key == key {
			return q
		}
	}
	return nil
}

// Asking reports whether the router waits for answers: then the driver hands in
// all ARP and ND frames that it has before it calls Advance.
func (r *Router) Asking() bool {
	for _, q := range r.inquiries {
		if q.tries > 0 {
			return true
		}
	}
	return false
}

// Unheard tells that answers, or BFD's packets, may have come that were not read
// yet: a silence that ends now is none.
func (r *Router) Unheard(now time.Time) []Action {
	r.begin(now)
	for _, q := range r.inquiries {
		if waiting, _ := r.waiting(q); waiting && q.tries > 0 && due(q.due, now) {
			r.question(now, q)
		}
	}
	for _, s := range r.bfd.list {
		s.machine.Unheard(now)
	}
	return r.end(now)
}

// ask sends the next question.
func (r *Router) ask(now time.Time, q *inquiry) {
	if q.tries == 0 {
		q.first = now
	}
	q.tries++
	if q.tries == 2 {
		r.eachAsking(q.key, func(v *virtual) { r.prepare(now, v) })
	}
	r.question(now, q)
}

// question sends a question, as the next of the inquiry or in place of the
// last. The odd ones go to the MAC that the master had, which no snooping
// switch keeps from it, the others to everybody.
func (r *Router) question(now time.Time, q *inquiry) {
	for len(q.sent) > 0 && now.Sub(q.sent[0]) > inquiryForget {
		q.sent = q.sent[1:]
	}
	q.sent = append(q.sent, now)
	q.last = now
	r.counters.inquiries++
	i := r.ifaces[q.key.Port]
	if src, ok := i.source(q.key.Addr); ok && i.state.Up {
		mac, known := r.cache.Lookup(q.key)
		known = known && q.tries%2 == 1
		var frame []byte
		switch {
		case src.Is4() && known:
			frame = arp.UnicastRequest(i.state.MAC, src, mac, q.key.Addr)
		case src.Is4():
			frame = arp.Request(i.state.MAC, src, q.key.Addr)
		case known:
			frame = ndp.UnicastSolicit(i.state.MAC, src, mac, q.key.Addr)
		default:
			frame = ndp.Solicit(i.state.MAC, src, q.key.Addr)
		}
		r.do(Transmit{q.key.Port, frame})
	}
	r.schedule(q)
}

// schedule sets when the inquiry wants its next turn.
func (r *Router) schedule(q *inquiry) {
	waiting, decision := r.waiting(q)
	switch {
	case !waiting:
		q.due = q.idle()
	case q.tries == 0:
		q.due = q.notBefore
	case q.tries < inquiryTries:
		q.due = q.last.Add(inquiryGap)
	default:
		q.due = decision
	}
}

// waiting reports whether frames wait for an answer to the inquiry, and when
// the first of their virtual routers is to take over where there is none.
func (r *Router) waiting(q *inquiry) (any bool, decision time.Time) {
	r.eachAsking(q.key, func(v *virtual) {
		if v.flood.kept.used > 0 {
			any, decision = true, earlier(decision, q.decision(v))
		}
	})
	return any, decision
}

// idle returns when an inquiry has been without work for long.
func (q *inquiry) idle() time.Time {
	if q.last.After(q.used) {
		return q.last.Add(inquiryQuiet)
	}
	return q.used.Add(inquiryQuiet)
}

// decision returns when a virtual router takes over, had the last question no
// answer; or is seen not to have done so.
func (q *inquiry) decision(v *virtual) time.Time {
	if at := v.flood.triedAt; !at.IsZero() {
		return at.Add(inquiryGap)
	}
	return q.last.Add(inquiryGap + v.rank())
}

// eachAsking calls f for the virtual routers that a station is master of.
func (r *Router) eachAsking(key neigh.Key, f func(v *virtual)) {
	for _, v := range r.virtual {
		if v.port == key.Port && v.flood.master == key.Addr {
			f(v)
		}
	}
}

// rank is how much longer than the best a router waits before it takes over.
func (v *virtual) rank() time.Duration {
	return inquiryRank * time.Duration(255-int(v.machine.Info().Priority)) / 255
}

// advanceInquiries does what is due.
func (r *Router) advanceInquiries(now time.Time) {
	ended := false
	for _, q := range r.inquiries {
		if !due(q.due, now) {
			continue
		}
		r.eachAsking(q.key, func(v *virtual) { // a machine that is this slow goes by VRRP's timers
			f := &v.flood
			r.dropKept(f, f.kept.until(now.Add(-keptAge)), &f.counters.expired)
		})
		waiting, _ := r.waiting(q)
		switch {
		case !waiting && due(q.idle(), now):
			ended = true
		case !waiting:
			q.tries = 0
			r.schedule(q)
		case q.tries > 0 && now.Sub(q.due) > inquiryLate:
			r.question(now, q) // who slept has not heard a silence
		case q.tries < inquiryTries:
			r.ask(now, q)
		default:
			r.decide(now, q)
		}
	}
	if ended {
		r.endInquiries(now)
	}
}

// endInquiries forgets those that have been idle for long, with their buffers.
func (r *Router) endInquiries(now time.Time) {
	left := r.inquiries[:0]
	for _, q := range r.inquiries {
		waiting, _ := r.waiting(q)
		if waiting || !due(q.idle(), now) {
			left = append(left, q)
		}
	}
	clear(r.inquiries[len(left):])
	r.inquiries = left
	for _, v := range r.virtual {
		v.flood.kept.free()
	}
}

// decide makes those Master whose wait is over.
func (r *Router) decide(now time.Time, q *inquiry) {
	var ready []*virtual
	r.eachAsking(q.key, func(v *virtual) {
		if v.flood.kept.used > 0 && !q.decision(v).After(now) {
			ready = append(ready, v)
		}
	})
	for _, v := range ready {
		if v.flood.master == q.key.Addr { // else its group has taken it along
			r.gone(now, v, q.tries, now.Sub(q.first))
		}
	}
	r.schedule(q)
}

// answered takes an ARP reply or Neighbor Advertisement of addr, heard on a
// port: frames that came before the question that it answers have been the
// master's, too.
func (r *Router) answered(now time.Time, port uint16, addr netip.Addr) {
	q := r.inquiryOf(neigh.Key{Port: port, Addr: addr})
	if q == nil || len(q.sent) == 0 {
		return
	}
	asked := q.sent[0]
	q.sent = q.sent[1:]
	r.eachAsking(q.key, func(v *virtual) {
		if v.flood.kept.used > 0 {
			r.tellFlood(now, v)
			r.teach(now, q, v)
		}
	})
	r.alive(now, q, asked)
}

// teach ends a flood: the master lives, so it answers for the virtual address,
// from the virtual MAC, and the switch learns where that is.
func (r *Router) teach(now time.Time, q *inquiry, v *virtual) {
	if now.Sub(q.taughtAt) >= taughtWithin {
		q.taughtAt, q.taught = now, 0
	}
	if !v.flood.taughtAt.Equal(q.taughtAt) {
		v.flood.taughtAt, v.flood.taught = q.taughtAt, 0
	}
	if v.flood.taught >= taughtOne || q.taught >= taughtAll {
		return
	}
	v.flood.taught++
	q.taught++
	i, addr := r.ifaces[v.port], v.cfg.Addresses[0]
	src, ok := i.source(addr)
	switch {
	case !ok:
	case addr.Is4():
		r.do(Transmit{v.port, arp.Request(i.state.MAC, src, addr)})
	default:
		r.do(Transmit{v.port, ndp.Solicit(i.state.MAC, src, addr)})
	}
}

// heardMaster takes a good advertisement of a station: it is alive now.
func (r *Router) heardMaster(now time.Time, port uint16, addr netip.Addr) {
	if q := r.inquiryOf(neigh.Key{Port: port, Addr: addr}); q != nil {
		r.alive(now, q, now)
	}
}

// alive drops the frames that a living master has had, and paces the questions
// about the others.
func (r *Router) alive(now time.Time, q *inquiry, until time.Time) {
	r.eachAsking(q.key, func(v *virtual) {
		f := &v.flood
		f.triedAt = time.Time{}
		r.dropKept(f, f.kept.until(until), &f.counters.answered)
	})
	if q.tries > 0 {
		q.tries = 0
		q.pause = max(inquiryPauseMin, min(2*q.pause, inquiryPauseMax))
		q.notBefore = now.Add(q.pause)
	}
	r.schedule(q)
}
