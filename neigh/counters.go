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
//	neighbors_resolved         a neighbour became known
//	neighbors_moved            a known neighbour changed its MAC
//	neighbors_unresolved       a resolution stayed unanswered
//	neighbors_lost             a known neighbour did not answer its probes
//	neighbors_evicted          an entry gave way to another (limits)
//	neighbors_refused_rate     no resolution was started: too many a second
//	neighbors_refused_full     no entry was made: the cache is full of better ones
//	neighbors_waiting_dropped  packets that were dropped instead of waiting on
//	neighbors_bad              a claim of a MAC or an address that no neighbour can have
func (c *Cache) Counters() map[string]uint64 {
	n := &c.counters
	return map[string]uint64{
		"neighbors_resolved":        n.resolved,
		"neighbors_moved":           n.moved,
		"neighbors_unresolved":      n.failed,
		"neighbors_lost":            n.lost,
		"neighbors_evicted":         n.evicted,
		"neighbors_refused_rate":    n.refusedRate,
		"neighbors_refused_full":    n.refusedFull,
		"neighbors_waiting_dropped": n.waitingDropped,
		"neighbors_bad":             n.bad,
	}
}
