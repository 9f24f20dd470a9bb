package neigh

import "time"

// Deadline returns when Advance wants to be called next; zero: never. After
// Advance it lies after that call's now.
func (c *Cache) Deadline() time.Time {
	if len(c.timers) == 0 {
		return time.Time{}
	}
	return c.timers[0].due
}

// Advance does what is due: it repeats solicitations, gives up on those that
// stay unanswered, and probes entries whose confirmation has run out. Its
// work grows with what is due, not with the size of the cache.
func (c *Cache) Advance(now time.Time) []Action {
	c.begin()
	for len(c.timers) > 0 && !c.timers[0].due.After(now) {
		e := c.timers[0]
		switch e.state {
		case Incomplete:
			c.advanceIncomplete(now, e)
		case Probe:
			c.advanceProbe(now, e)
		case Reachable, Stale, Delay:
			c.advanceUnconfirmed(now, e)
		}
	}
	return c.end()
}

// advanceIncomplete goes on with a resolution whose last solicitation was not
// answered in time (RFC 4861 7.2.2).
func (c *Cache) advanceIncomplete(now time.Time, e *entry) {
	if e.tries < c.cfg.MulticastTries {
		c.solicitAgain(now, e)
		return
	}
	if e.tries == c.cfg.MulticastTries {
		c.counters.failed++
	}
	if waiting := c.takeWaiting(e); len(waiting) > 0 {
		c.act(Fail{e.key, waiting})
	}
	if !e.kept {
		c.remove(e)
		return
	}
	c.solicit(now, e)
}

// solicitAgain repeats a solicitation. For an ordinary entry it counts as lost
// where half of the port's burst is used up: during a scan the budget is for
// hosts that have not been asked yet, since those that exist answer the first
// time.
func (c *Cache) solicitAgain(now time.Time, e *entry) {
	p := c.port(e.key.Port)
	if e.kept || p.solicits.take(now, c.interval(), (c.cfg.SolicitBurst+1)/2) {
		c.solicit(now, e)
		return
	}
	e.tries++
	c.schedule(e, now.Add(c.cfg.Retrans))
}

// advanceUnconfirmed begins to probe, now or at the time that the pacer gives;
// until then the entry is Stale, and in use.
func (c *Cache) advanceUnconfirmed(now time.Time, e *entry) {
	if e.kept || e.slot {
		c.probe(now, e)
		return
	}
	at := c.port(e.key.Port).probes.reserve(now, c.interval(), c.cfg.SolicitBurst)
	if !at.After(now) {
		c.probe(now, e)
		return
	}
	e.state, e.slot = Stale, true
	c.schedule(e, at)
}

// probe begins a round of unicast probes.
func (c *Cache) probe(now time.Time, e *entry) {
	e.state, e.slot, e.tries = Probe, false, 0
	c.sendProbe(now, e)
}

// sendProbe sends the next probe of a round.
func (c *Cache) sendProbe(now time.Time, e *entry) {
	e.tries++
	e.solicited = now
	c.act(Solicit{e.key, e.mac})
	c.schedule(e, now.Add(c.cfg.Retrans))
}

// advanceProbe goes on after a probe that was not answered in time; after the
// last one the neighbour is gone (RFC 4861 7.3.3).
func (c *Cache) advanceProbe(now time.Time, e *entry) {
	if e.tries < c.cfg.UnicastTries {
		c.sendProbe(now, e)
		return
	}
	c.counters.lost++
	if !e.kept {
		c.remove(e)
		return
	}
	c.unresolve(e)
	c.solicit(now, e)
}
