package neigh

// counters counts what the cache did; see Counters for the names.
type counters struct {
	resolved, moved, failed, lost uint64
	evicted, waitingDropped       uint64
	refusedRate, refusedFull      uint64
	bad                           uint64
}

// Counters returns the counters by name:
//
//	resolved         a neighbour became known
//	moved            a known neighbour changed its MAC
//	unresolved       a resolution stayed unanswered
//	lost             a known neighbour did not answer its probes
//	evicted          an entry gave way to another (limits)
//	refused_rate     no resolution was started: too many a second
//	refused_full     no entry was made: the cache is full of better ones
//	waiting_dropped  packets that were dropped instead of waiting on
//	bad              a claim of a MAC or an address that no neighbour can have
func (c *Cache) Counters() map[string]uint64 {
	n := &c.counters
	return map[string]uint64{
		"resolved":        n.resolved,
		"moved":           n.moved,
		"unresolved":      n.failed,
		"lost":            n.lost,
		"evicted":         n.evicted,
		"refused_rate":    n.refusedRate,
		"refused_full":    n.refusedFull,
		"waiting_dropped": n.waitingDropped,
		"bad":             n.bad,
	}
}
