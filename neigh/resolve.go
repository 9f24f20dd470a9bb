package neigh

import (
	"container/heap"
	"time"

	"vrouter/packet"
)

// Resolve is called for a packet that needs a neighbour. It is sent on at once
// where the neighbour is known (the forwarding plane did not know it yet);
// else it waits, and a resolution begins. When too many packets wait for one
// neighbour the oldest is dropped (RFC 4861 7.2.2). A packet that may not wait
// at all, because of the limits, is dropped and counted. With an empty
// w.Frame the neighbour is just resolved.
func (c *Cache) Resolve(now time.Time, key Key, w Waiting) []Action {
	c.begin()
	e := c.entries[key]
	switch {
	case !neighbor(key.Addr):
		c.dropWaiting(1)
	case e == nil:
		c.resolveNew(now, key, w)
	case e.state != Incomplete:
		c.use(now, e)
		if len(w.Frame) > 0 {
			c.act(Send{key, []Waiting{w}})
		}
	default:
		c.enqueue(e, w)
		c.hurry(now, e)
	}
	return c.end()
}

// resolveNew begins a resolution for a packet, as far as the limits allow.
func (c *Cache) resolveNew(now time.Time, key Key, w Waiting) {
	p := c.port(key.Port)
	full := len(c.entries) >= c.cfg.MaxEntries
	if full && p.incomplete.len == 0 {
		c.counters.refusedFull++
		c.dropWaiting(1)
		return
	}
	if !p.solicits.take(now, c.interval(), c.cfg.SolicitBurst) {
		c.counters.refusedRate++
		c.dropWaiting(1)
		return
	}
	if full || p.incomplete.len >= c.cfg.MaxIncomplete {
		c.evict(p.incomplete.first)
	}
	e := c.insert(now, key)
	p.incomplete.push(e)
	c.enqueue(e, w)
	c.solicit(now, e)
}

// use notes that a packet goes to a known neighbour: a stale one is probed
// soon (RFC 4861 7.3.3).
func (c *Cache) use(now time.Time, e *entry) {
	if e.state == Stale && !e.slot {
		e.state = Delay
		c.schedule(e, now.Add(c.cfg.DelayFirstProbe))
	}
}

// enqueue makes a packet wait for an incomplete entry.
func (c *Cache) enqueue(e *entry, w Waiting) {
	size := len(w.Frame)
	if size == 0 {
		return
	}
	for len(e.waiting) > 0 && (len(e.waiting) >= c.cfg.MaxWaiting || c.bytes+size > c.cfg.MaxWaitingBytes) {
		c.bytes -= len(e.waiting[0].Frame)
		copy(e.waiting, e.waiting[1:])
		e.waiting[len(e.waiting)-1] = Waiting{}
		e.waiting = e.waiting[:len(e.waiting)-1]
		c.dropWaiting(1)
	}
	if c.bytes+size > c.cfg.MaxWaitingBytes {
		c.dropWaiting(1)
		return
	}
	c.bytes += size
	e.waiting = append(e.waiting, w)
}

// takeWaiting empties the entry's queue of packets.
func (c *Cache) takeWaiting(e *entry) []Waiting {
	waiting := e.waiting
	for i := range waiting {
		c.bytes -= len(waiting[i].Frame)
	}
	e.waiting = nil
	return waiting
}

func (c *Cache) dropWaiting(n int) { c.counters.waitingDropped += uint64(n) }

// hurry begins a new round of solicitations for a kept neighbour that is away
// and is wanted now, but not faster than the retransmission time.
func (c *Cache) hurry(now time.Time, e *entry) {
	if e.tries < c.cfg.MulticastTries || !e.kept {
		return
	}
	e.tries = 0
	at := e.solicited.Add(c.cfg.Retrans)
	if at.After(now) {
		c.schedule(e, at)
		return
	}
	c.solicit(now, e)
}

// solicit sends the next solicitation of a resolution.
func (c *Cache) solicit(now time.Time, e *entry) {
	e.tries++
	e.solicited = now
	c.act(Solicit{Key: e.key})
	c.schedule(e, now.Add(c.backoff(e)))
}

// backoff returns how long to wait after the solicitation that was just sent:
// the retransmission time while a round lasts, then doubled each time.
func (c *Cache) backoff(e *entry) time.Duration {
	wait := c.cfg.Retrans
	for n := e.tries; n > c.cfg.MulticastTries && wait < c.cfg.MaxBackoff; n-- {
		wait *= 2
	}
	if e.tries > c.cfg.MulticastTries {
		wait = max(c.cfg.Retrans, min(wait, c.cfg.MaxBackoff))
	}
	return wait
}

// Keep says whether a neighbour is a next hop. A next hop is always kept
// resolved: it is probed before it goes stale, is never evicted, and while it
// is away it is solicited for ever, with back-off. To keep what is kept
// already hurries its resolution (the port came up).
func (c *Cache) Keep(now time.Time, key Key, on bool) []Action {
	c.begin()
	e := c.entries[key]
	switch {
	case on && e == nil && neighbor(key.Addr):
		c.makeRoom(key.Port)
		e = c.insert(now, key)
		e.kept = true
		c.solicit(now, e)
	case on && e != nil:
		c.keep(now, e)
	case !on && e != nil && e.kept:
		c.release(e)
	}
	return c.end()
}

// keep makes an existing entry a kept one.
func (c *Cache) keep(now time.Time, e *entry) {
	if !e.kept {
		e.kept = true
		e.leave()
		if soon := now.Add(c.cfg.Reachable / 2); e.state == Reachable && soon.Before(e.due) {
			c.schedule(e, soon)
		}
	}
	if e.state == Incomplete {
		c.hurry(now, e)
	}
}

// release makes a kept entry an ordinary one, subject to the limits.
func (c *Cache) release(e *entry) {
	e.kept = false
	p := c.port(e.key.Port)
	switch {
	case len(c.entries) > c.cfg.MaxEntries, e.state == Incomplete && len(e.waiting) == 0:
		c.remove(e)
	case e.state == Incomplete:
		if p.incomplete.len >= c.cfg.MaxIncomplete {
			c.evict(p.incomplete.first)
		}
		p.incomplete.push(e)
	case !e.proven:
		c.unproven.push(e)
	}
}

// makeRoom evicts an entry where the cache is full: an unanswered resolution
// on the port, or else the neighbour that we have known longest without an
// answer. It reports whether there is room.
func (c *Cache) makeRoom(port uint16) bool {
	if len(c.entries) < c.cfg.MaxEntries {
		return true
	}
	for _, q := range []*queue{&c.port(port).incomplete, &c.unproven} {
		if q.len > 0 {
			c.evict(q.first)
			return true
		}
	}
	return false
}

// evict removes an entry that gives way to another.
func (c *Cache) evict(e *entry) {
	c.counters.evicted++
	c.remove(e)
}

// insert makes an incomplete entry. Its due is not set yet.
func (c *Cache) insert(now time.Time, key Key) *entry {
	e := &entry{key: key, confirmed: now, due: now}
	c.entries[key] = e
	heap.Push(&c.timers, e)
	return e
}

// remove forgets an entry; packets that wait for it are dropped.
func (c *Cache) remove(e *entry) {
	c.dropWaiting(len(c.takeWaiting(e)))
	c.unresolve(e)
	e.leave()
	heap.Remove(&c.timers, e.index)
	delete(c.entries, e.key)
}

// unresolve makes the entry incomplete, and the forwarding plane forget it.
func (c *Cache) unresolve(e *entry) {
	if e.state == Incomplete {
		return
	}
	e.state, e.mac, e.tries, e.proven, e.slot = Incomplete, packet.MAC{}, 0, false, false
	c.act(Update{Key: e.key})
}

// Forget is called when a port went down: its entries go, and packets that
// wait are dropped. Next hops stay kept, unresolved; call Keep when the port
// is up again to resolve them at once.
func (c *Cache) Forget(now time.Time, port uint16) []Action {
	c.begin()
	for _, e := range c.sorted(func(e *entry) bool { return e.key.Port == port }) {
		if !e.kept {
			c.remove(e)
			continue
		}
		c.dropWaiting(len(c.takeWaiting(e)))
		c.unresolve(e)
		e.tries, e.solicited = c.cfg.MulticastTries, time.Time{}
		c.schedule(e, now.Add(c.cfg.MaxBackoff))
	}
	return c.end()
}

// interval is the time between paced solicitations.
func (c *Cache) interval() time.Duration {
	return time.Second / time.Duration(c.cfg.SolicitRate)
}
