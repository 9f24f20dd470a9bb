package neigh

import (
	"time"

	"vrouter/packet"
)

// Evidence is what a received packet proves about a neighbour.
type Evidence uint8

// The kinds of evidence. Only Request creates an entry: only who talks to us
// will be talked to (RFC 826; RFC 4861 7.2.3, 7.2.5).
const (
	// Request: the neighbour asked us. An ARP request for an address that we
	// answer for; a Neighbor or Router Solicitation with a source link-layer
	// address option, which was addressed to us.
	Request Evidence = iota
	// Reply: the neighbour answered us. An ARP reply that was sent to our MAC;
	// a Neighbor Advertisement with Solicited and Override.
	Reply
	// ReplyNoOverride: a Neighbor Advertisement with Solicited alone.
	ReplyNoOverride
	// Unsolicited: gratuitous ARP of either form, and all other ARP that is
	// not for us; a Neighbor Advertisement with Override alone.
	Unsolicited
	// UnsolicitedNoOverride: a Neighbor Advertisement with neither flag.
	UnsolicitedNoOverride
)

// solicited reports whether the evidence confirms that packets reach the
// neighbour (RFC 4861 7.3.1): it answered one.
func (e Evidence) solicited() bool { return e == Reply || e == ReplyNoOverride }

// override reports whether the evidence replaces another MAC.
func (e Evidence) override() bool { return e != ReplyNoOverride && e != UnsolicitedNoOverride }

// Learn takes what a received packet says of a neighbour: that it is at mac,
// or, with the zero MAC, a Neighbor Advertisement without target link-layer
// address option. The caller has validated the packet and the claim (see
// Learnable), and has seen that key.Addr is on the port's link.
//
// A neighbour that moved is followed at once, by whatever ARP packet and by a
// Neighbor Advertisement with Override, asked for or not.
func (c *Cache) Learn(now time.Time, key Key, mac packet.MAC, e Evidence) []Action {
	if mac.IsMulticast() || !neighbor(key.Addr) || mac.IsZero() && e == Request {
		c.counters.bad++
		return nil
	}
	c.begin()
	entry := c.entries[key]
	switch {
	case entry == nil:
		if e == Request {
			c.learnNew(now, key, mac)
		}
	case entry.state == Incomplete:
		if !mac.IsZero() { // else: RFC 4861 7.2.5, nothing to learn
			c.complete(now, entry, mac, e)
		}
	default:
		c.learnKnown(now, entry, mac, e)
	}
	return c.end()
}

// learnNew makes an entry for a neighbour that asked us.
func (c *Cache) learnNew(now time.Time, key Key, mac packet.MAC) {
	if !c.makeRoom(key.Port) {
		c.counters.refusedFull++
		return
	}
	c.complete(now, c.insert(now, key), mac, Request)
}

// complete ends a resolution (RFC 4861 7.2.5, state INCOMPLETE).
func (c *Cache) complete(now time.Time, e *entry, mac packet.MAC, evidence Evidence) {
	c.counters.resolved++
	e.mac = mac
	e.leave()
	c.act(Update{e.key, mac, true})
	if waiting := c.takeWaiting(e); len(waiting) > 0 {
		c.act(Send{e.key, waiting})
	}
	e.confirmed = now
	if evidence.solicited() {
		c.confirm(now, e)
		return
	}
	if !e.kept {
		c.unproven.push(e)
	}
	c.stale(now, e)
}

// learnKnown applies RFC 4861 7.2.5 (II: advertisements) and 7.2.3
// (solicitations) to an entry whose MAC is known.
func (c *Cache) learnKnown(now time.Time, e *entry, mac packet.MAC, evidence Evidence) {
	differs := !mac.IsZero() && mac != e.mac
	if differs && !evidence.override() {
		if e.state == Reachable { // somebody disagrees: find out who is right
			c.stale(now, e)
		}
		return
	}
	if differs {
		c.counters.moved++
		e.mac = mac
		c.act(Update{e.key, mac, true})
	}
	switch {
	case evidence.solicited():
		c.confirm(now, e)
	case differs:
		c.stale(now, e)
	}
}

// confirm makes the entry Reachable: packets are known to arrive.
func (c *Cache) confirm(now time.Time, e *entry) {
	e.state, e.tries, e.slot = Reachable, 0, false
	e.proven = true
	e.confirmed = now
	e.leave() // unproven
	c.schedule(e, now.Add(c.reachableTime(e)))
}

// stale makes the entry Stale; it is probed a little later.
func (c *Cache) stale(now time.Time, e *entry) {
	e.state, e.tries, e.slot = Stale, 0, false
	c.schedule(e, now.Add(c.cfg.DelayFirstProbe))
}

// reachableTime returns for how long a confirmation holds: the base time, times
// a random 0.5..1.5, so that probes do not synchronise (RFC 4861 6.3.4). For a
// kept entry it is half of that.
func (c *Cache) reachableTime(e *entry) time.Duration {
	t := c.cfg.Reachable
	if c.cfg.Rand != nil {
		t = t/2 + time.Duration(c.cfg.Rand.Int64N(int64(t)+1))
	}
	if e.kept {
		t /= 2
	}
	return t
}
