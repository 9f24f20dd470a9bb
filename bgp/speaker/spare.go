package speaker

import (
	"context"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"vrouter/bgp"
)

// When a neighbour is lost, GoBGP takes seconds to choose anew for a million
// prefixes. So the router is told beforehand where else each prefix leads: its
// second best path. GoBGP tells of best paths alone, so these are looked up: all of
// them when a session has come or gone and its routes are there, those whose best
// path has changed soon after that, and all the others by and by, since nothing
// says when the second best one changes. One that is out of date is used for as
// long as BGP needs to choose, at most.
const (
	// spareChunk prefixes are looked up at once: it costs GoBGP one lock and less
	// than two milliseconds.
	spareChunk = 512
	// spareBusy and spareIdle are the pauses between two chunks.
	spareBusy = 2 * time.Millisecond
	spareIdle = 250 * time.Millisecond
)

// spares is the search for second best paths.
type spares struct {
	cursor uint32 // number of the slot that is next
	left   int    // slots that are to be looked at without delay
	known  uint64 // number of the session that has come or gone last
}

// seekSpares looks for second best paths while the server runs.
func (s *server) seekSpares(ctx context.Context) {
	var x spares
	timer := time.NewTimer(spareIdle)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		if s.seek(&x) {
			// Half of the time is GoBGP's.
			timer.Reset(max(spareBusy, time.Since(began)))
		} else {
			timer.Reset(spareIdle)
		}
	}
}

// seek looks at one chunk and reports whether there is more that should not wait.
func (s *server) seek(x *spares) (busy bool) {
	turn, several, learning := s.turnover()
	if turn != x.known && !learning {
		x.known, x.left = turn, s.table.slotsMost()
	}
	if !several && x.left == 0 {
		s.table.skipLooks()
		return false
	}
	var chunk []netip.Prefix
	if learning {
		return false // all of it comes later anyhow
	}
	chunk, x.cursor = s.table.nextLooks(x.cursor, spareChunk)
	x.left = max(x.left-spareChunk, 0)
	s.look(chunk)
	return x.left > 0 || s.table.looking() > 0
}

// turnover returns a number that changes with every session that comes or goes,
// whether there are several, and whether routes of one are still to come.
func (s *server) turnover() (turn uint64, several, learning bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	up := 0
	for _, x := range s.sessions {
		if x.state == bgp.StateEstablished {
			up++
			learning = learning || !x.complete
		}
	}
	return s.turn, up > 1, learning
}

// look looks prefixes up and notes their second best paths.
func (s *server) look(prefixes []netip.Prefix) {
	s.lookUp(prefixes, s.spareOf)
	s.mu.Lock()
	l := s.link
	s.mu.Unlock()
	if l != nil {
		l.wake()
	}
}

// lookUp calls each for all paths of each of the prefixes, the best first.
func (s *server) lookUp(prefixes []netip.Prefix, each func(gobgp.NLRI, []*apiutil.Path)) {
	lookups := map[gobgp.Family][]*apiutil.LookupPrefix{}
	for _, p := range prefixes {
		family := gobgp.RF_IPv4_UC
		if p.Addr().Is6() {
			family = gobgp.RF_IPv6_UC
		}
		lookups[family] = append(lookups[family], &apiutil.LookupPrefix{Prefix: p.String(), LookupOption: apiutil.LOOKUP_EXACT})
	}
	for family, list := range lookups {
		err := s.gobgp.ListPath(apiutil.ListPathRequest{
			TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: family, Prefixes: list,
		}, each)
		if err != nil {
			s.log.Debug("paths are not known", "error", err) // the server ends
		}
	}
}

// spareOf notes the second best path of a prefix, of all its paths, the best
// first: the first one of a neighbour that has no share in the best.
func (s *server) spareOf(nlri gobgp.NLRI, paths []*apiutil.Path) {
	prefix, ok := nlri.(*gobgp.IPAddrPrefix)
	if !ok || len(paths) == 0 {
		return
	}
	best := map[netip.Addr]bool{paths[0].PeerAddress: true}
	for _, p := range paths[1:] {
		if p.Best {
			best[p.PeerAddress] = true
		}
	}
	for _, p := range paths[1:] {
		if w, leads := s.way(p); leads && !best[p.PeerAddress] && !p.Stale {
			w.neighbor, w.id = netip.Addr{}, 0
			s.table.setSpare(prefix.Prefix.Masked(), w)
			return
		}
	}
	s.table.setSpare(prefix.Prefix.Masked())
}

// nextLooks returns prefixes to look at: those that have changed, then those of
// the slots from cursor on, and the cursor after that.
func (t *table) nextLooks(cursor uint32, most int) (list []netip.Prefix, next uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(list) < most {
		n, ok := t.looks.pop()
		if !ok {
			break
		}
		if s := t.looked(n); s != nil {
			list = append(list, s.prefix())
		}
	}
	for range min(most, len(t.slots)) {
		if cursor >= uint32(len(t.slots)) {
			cursor = 0
		}
		if len(list) >= most {
			break
		}
		if s := &t.slots[cursor]; s.best != 0 {
			list = append(list, s.prefix())
		}
		cursor++
	}
	return list, cursor
}

// looked takes the mark from a slot that waited to be looked at; nil: there is
// nothing to be looked for any more.
func (t *table) looked(n uint32) *slot {
	s := &t.slots[n]
	s.flags &^= slotLooked
	if s.best != 0 {
		return s
	}
	if s.flags&slotQueued == 0 {
		t.drop(n)
	}
	return nil
}

// skipLooks forgets what waited to be looked at.
func (t *table) skipLooks() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		n, ok := t.looks.pop()
		if !ok {
			return
		}
		t.looked(n)
	}
}

// looking returns how many slots wait to be looked at.
func (t *table) looking() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.looks.len()
}

// slotsMost returns how many slots there are, used or not.
func (t *table) slotsMost() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.slots)
}
