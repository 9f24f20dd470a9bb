package speaker

import (
	"net/netip"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"vrouter/bgp"
)

// GoBGP counts what a neighbour has announced before its import policy. What the
// policy has let in is in the common table alone, which is too large to be read in
// one go. So a census walks through it, as the search for second best paths does:
// at once where the table is small, beside everything else where it is large;
// whoever asks meanwhile gets the numbers of the last one.
type census struct {
	mu     sync.Mutex
	counts map[netip.Addr]accepted // by neighbour, without a zone
	taken  time.Time               // when the last one ended; zero: there was none
	taking bool
}

// accepted are the paths of a neighbour that its import policy has let in, by
// family.
type accepted struct{ four, six uint64 }

const (
	// censusSmall prefixes are counted while the one who asks waits: about 50 ms.
	censusSmall = 8192
	// censusPause is the least time between the ends of two counts of a large table.
	censusPause = 10 * time.Second
)

// accepted returns what the import policy has let in of each neighbour: as it is
// now where the table is small, or where all of it is of one neighbour; else as it
// was at most a count and censusPause ago, or, before the first count has ended,
// the prefixes whose best path is the neighbour's.
func (s *server) accepted() map[netip.Addr]accepted {
	if single := s.singleSource(); single || s.table.size() > censusSmall {
		best := s.bestBySource()
		if single {
			return best
		}
		s.census.mu.Lock()
		counts, due := s.census.counts, !s.census.taking && time.Since(s.census.taken) > censusPause
		s.census.taking = s.census.taking || due
		s.census.mu.Unlock()
		if due {
			go s.takeCensus()
		}
		if counts == nil {
			return best
		}
		return counts
	}
	return s.count(0)
}

// takeCensus counts the paths of a large table; half of the time is GoBGP's.
func (s *server) takeCensus() {
	counts := s.count(spareBusy)
	s.census.mu.Lock()
	defer s.census.mu.Unlock()
	s.census.counts, s.census.taken, s.census.taking = counts, time.Now(), false
}

// count walks through the table with a pause of at least so long between two
// chunks; 0: none.
func (s *server) count(pause time.Duration) map[netip.Addr]accepted {
	counts := map[netip.Addr]accepted{}
	var list []netip.Prefix
	for next := uint32(0); ; {
		began := time.Now()
		if list, next = s.table.prefixes(list[:0], next, spareChunk); len(list) == 0 {
			return counts
		}
		s.lookUp(list, func(nlri gobgp.NLRI, paths []*apiutil.Path) {
			prefix, ok := nlri.(*gobgp.IPAddrPrefix)
			if !ok {
				return
			}
			for _, p := range paths {
				if p.PeerAddress.IsValid() { // else it is a network of our own
					tally(counts, p.PeerAddress, prefix.Prefix.Addr().Is4(), 1)
				}
			}
		})
		if pause > 0 {
			time.Sleep(max(pause, time.Since(began)))
		}
	}
}

func tally(counts map[netip.Addr]accepted, neighbor netip.Addr, four bool, n uint64) {
	a := counts[neighbor.WithZone("")]
	if four {
		a.four += n
	} else {
		a.six += n
	}
	counts[neighbor.WithZone("")] = a
}

// singleSource reports whether all paths that were let in are of one neighbour
// that sends one path of each prefix: then each is the best one.
func (s *server) singleSource() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sources := 0
	for _, x := range s.sessions {
		if x.state == bgp.StateEstablished || x.stale {
			sources++
			if x.neighbor.AddPath != nil && x.neighbor.AddPath.Receive {
				return false
			}
		}
	}
	return sources == 1
}

// bestBySource counts prefixes by the neighbour whose path is the best.
func (s *server) bestBySource() map[netip.Addr]accepted {
	by := s.table.bestBySource()
	counts := map[netip.Addr]accepted{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for address, x := range s.sessions {
		counts[address] = by[x.number]
	}
	return counts
}

// prefixes appends prefixes that have a route to list, at most most of them, from
// a slot on, and returns the number of the slot to go on from.
func (t *table) prefixes(list []netip.Prefix, from uint32, most int) (_ []netip.Prefix, next uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ; from < uint32(len(t.slots)) && len(list) < most; from++ {
		if s := &t.slots[from]; s.best != 0 {
			list = append(list, s.prefix())
		}
	}
	return list, from
}

// bestBySource counts prefixes by the neighbour (bgp.NeighborID) of their best
// path, the first of several equal ones.
func (t *table) bestBySource() map[uint32]accepted {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := map[uint32]accepted{}
	for n := range t.slots {
		s := &t.slots[n]
		if s.best == 0 {
			continue
		}
		from := t.ways.list(s.best)[0].from
		a := counts[from]
		if s.flags&slotSix == 0 {
			a.four++
		} else {
			a.six++
		}
		counts[from] = a
	}
	return counts
}
