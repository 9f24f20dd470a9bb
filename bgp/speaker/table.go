package speaker

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"

	"vrouter/bgp"
)

// table is what the router is to know: of each prefix the ways in use and those
// for want of them, and which prefixes it has not been told yet, the longest
// waiting first. A prefix waits once, however often it changes; so a router that
// takes its time costs four bytes a prefix, and GoBGP never waits.
//
// A million prefixes are kept without pointers, for the garbage collector's sake:
// ways that prefixes share are numbered.
type table struct {
	mu     sync.Mutex
	slots  []slot
	unused []uint32 // numbers of slots
	four   map[uint64]uint32
	six    map[key6]uint32
	ways   ways
	queue  queue
	sorted int   // how many at the front of queue are sorted
	looks  queue // slots whose spare is to be looked for
}

// slot is one prefix.
type slot struct {
	addr        [16]byte
	bits        uint8
	flags       uint8
	best, spare uint32 // numbers of ways; 0: none
}

// Flags of a slot.
const (
	slotUsed = 1 << iota
	slotSix
	slotQueued
	slotLooked // is in looks
)

// key6 is an IPv6 prefix.
type key6 struct {
	addr [16]byte
	bits uint8
}

func newTable() *table {
	return &table{four: map[uint64]uint32{}, six: map[key6]uint32{}, ways: newWays()}
}

// way is a path in use, or one of several equal ones.
type way struct {
	neighbor netip.Addr // zero: see from
	id       uint32     // RFC 7911
	hop      netip.Addr
	from     uint32 // bgp.NeighborID
	external bool
}

func (s *slot) prefix() netip.Prefix {
	a := netip.AddrFrom16(s.addr)
	if s.flags&slotSix == 0 {
		a = netip.AddrFrom4([4]byte(s.addr[:4]))
	}
	return netip.PrefixFrom(a, int(s.bits))
}

// find returns the number of a prefix' slot, and whether there is one.
func (t *table) find(p netip.Prefix) (uint32, bool) {
	if p.Addr().Is4() {
		n, ok := t.four[key4(p)]
		return n, ok
	}
	n, ok := t.six[key6{p.Addr().As16(), uint8(p.Bits())}]
	return n, ok
}

func key4(p netip.Prefix) uint64 {
	four := p.Addr().As4()
	return uint64(binary.BigEndian.Uint32(four[:]))<<8 | uint64(p.Bits())
}

// slot returns the number of a prefix' slot, a new one if need be.
func (t *table) slot(p netip.Prefix) uint32 {
	if n, ok := t.find(p); ok {
		return n
	}
	s := slot{bits: uint8(p.Bits()), flags: slotUsed}
	if p.Addr().Is4() {
		four := p.Addr().As4()
		copy(s.addr[:], four[:])
	} else {
		s.addr, s.flags = p.Addr().As16(), slotUsed|slotSix
	}
	var n uint32
	if last := len(t.unused) - 1; last >= 0 {
		n, t.unused = t.unused[last], t.unused[:last]
		t.slots[n] = s
	} else {
		n = uint32(len(t.slots))
		t.slots = append(t.slots, s)
	}
	if p.Addr().Is4() {
		t.four[key4(p)] = n
	} else {
		t.six[key6{s.addr, s.bits}] = n
	}
	return n
}

// drop forgets a slot that says nothing any more.
func (t *table) drop(n uint32) {
	s := &t.slots[n]
	if p := s.prefix(); s.flags&slotSix == 0 {
		delete(t.four, key4(p))
	} else {
		delete(t.six, key6{s.addr, s.bits})
	}
	*s = slot{}
	t.unused = append(t.unused, n)
}

// set says what the ways of a masked prefix are now; none: there is no route.
func (t *table) set(p netip.Prefix, list ...way) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.put(p, list)
}

func (t *table) put(p netip.Prefix, list []way) {
	if len(list) == 0 {
		if _, ok := t.find(p); !ok {
			return // it was never told of
		}
	}
	n := t.slot(p)
	s := &t.slots[n]
	best := t.ways.number(list)
	t.ways.release(s.best)
	changed := s.best != best
	s.best = best
	if !changed {
		return
	}
	// What is the best now may be what was to be used for want of it.
	if s.spare != 0 {
		t.ways.release(s.spare)
		s.spare = 0
	}
	t.enqueue(n)
	if best != 0 && s.flags&slotLooked == 0 {
		s.flags |= slotLooked
		t.looks.push(n)
	}
}

// change adds or removes one of several equal ways of a prefix: that of a
// neighbour, with an identifier of its own where there are several of one
// neighbour's.
func (t *table) change(p netip.Prefix, w way, gone bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []way
	if n, ok := t.find(p); ok {
		for _, x := range t.ways.list(t.slots[n].best) {
			if x.neighbor != w.neighbor || x.id != w.id {
				list = append(list, x)
			}
		}
	}
	if !gone {
		list = append(list, w)
	}
	t.put(p, list)
}

// setSpare says what is to be used for want of the ways of a prefix.
func (t *table) setSpare(p netip.Prefix, list ...way) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, ok := t.find(p)
	if !ok {
		return
	}
	s := &t.slots[n]
	if s.best == 0 {
		return
	}
	spare := t.ways.number(list)
	t.ways.release(s.spare)
	if s.spare != spare {
		s.spare = spare
		t.enqueue(n)
	}
}

func (t *table) enqueue(n uint32) {
	if s := &t.slots[n]; s.flags&slotQueued == 0 {
		s.flags |= slotQueued
		t.queue.push(n)
	}
}

// again has the router told everything once more: it is another one.
func (t *table) again() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for n := range t.slots {
		switch s := &t.slots[n]; {
		case s.flags&slotUsed == 0:
		default:
			t.enqueue(uint32(n))
		}
	}
}

// take appends what the router is to be told next, at most most routes, to batch.
func (t *table) take(batch []bgp.Route, most int) []bgp.Route {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tidy()
	for len(batch) < most {
		n, ok := t.queue.pop()
		if !ok {
			break
		}
		t.sorted = max(t.sorted-1, 0)
		s := &t.slots[n]
		s.flags &^= slotQueued
		batch = append(batch, t.route(s))
		if s.best == 0 && s.flags&slotLooked == 0 {
			t.drop(n)
		}
	}
	return batch
}

// Where so many prefixes wait, the router is behind; then neighbouring ones go
// together, which costs it a part: what its forwarding table keeps of neighbours
// is changed once for them all.
const (
	tidyLeast = 4096
	tidyMost  = 65536 // so many at once: none is overtaken by more
)

// tidy sorts the next prefixes of a long queue.
func (t *table) tidy() {
	if t.sorted > 0 || t.queue.len() < tidyLeast {
		return
	}
	next := t.queue.next(tidyMost)
	slices.SortFunc(next, func(a, b uint32) int {
		x, y := &t.slots[a], &t.slots[b]
		return cmp.Or(int(x.flags&slotSix)-int(y.flags&slotSix), bytes.Compare(x.addr[:], y.addr[:]), int(x.bits)-int(y.bits))
	})
	t.sorted = len(next)
}

// route is what the router is told of a slot.
func (t *table) route(s *slot) bgp.Route {
	best, spare := t.ways.told(s.best), t.ways.told(s.spare)
	return bgp.Route{
		Prefix: s.prefix(), External: best.external, Hops: best.hops, From: best.from,
		Spare: bgp.Spare{External: spare.external, Hops: spare.hops, From: spare.from},
	}
}

// waiting returns how many routes the router is to be told, and how many it was
// to be told so far.
func (t *table) waiting() (now int, ever uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.queue.len(), t.queue.ever
}

// told returns how many of them have been taken.
func (t *table) told() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.queue.ever - uint64(t.queue.len())
}

// size returns how many prefixes have a route.
func (t *table) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.four) + len(t.six)
}

// queue is first in, first out.
type queue struct {
	list []uint32
	head int
	ever uint64 // how many there were
}

func (q *queue) push(n uint32) {
	if q.head > len(q.list)/2 && q.head > 1024 {
		q.list = q.list[:copy(q.list, q.list[q.head:])]
		q.head = 0
	}
	q.list = append(q.list, n)
	q.ever++
}

func (q *queue) pop() (n uint32, ok bool) {
	if q.head == len(q.list) {
		return 0, false
	}
	n = q.list[q.head]
	if q.head++; q.head == len(q.list) {
		q.list, q.head = q.list[:0], 0
		if cap(q.list) > 1<<16 {
			q.list = nil // as large as it once was need not stay
		}
	}
	return n, true
}

// next returns the first ones that are in it, at most most.
func (q *queue) next(most int) []uint32 { return q.list[q.head:min(q.head+most, len(q.list))] }

func (q *queue) len() int { return len(q.list) - q.head }

// ways numbers lists of ways.
type ways struct {
	numbers map[string]uint32 // by wayKey
	single  map[way]uint32    // nearly all have one
	lists   []numbered        // by number; 0 is the empty one
	unused  []uint32
}

// numbered is a list of ways that prefixes share, and what the router is told of
// it.
type numbered struct {
	list []way
	refs int
	said said
}

type said struct {
	external bool
	hops     []netip.Addr
	from     []uint32
}

func newWays() ways {
	return ways{numbers: map[string]uint32{}, single: map[way]uint32{}, lists: make([]numbered, 1)}
}

func (w *ways) list(n uint32) []way { return w.lists[n].list }
func (w *ways) told(n uint32) *said { return &w.lists[n].said }

// number returns the number of a list, with one reference more.
func (w *ways) number(list []way) uint32 {
	var n uint32
	switch len(list) {
	case 0:
		return 0
	case 1:
		n = w.single[list[0]]
	default:
		n = w.numbers[wayKey(list)]
	}
	if n == 0 {
		n = w.make(list)
	}
	w.lists[n].refs++
	return n
}

func (w *ways) make(list []way) (n uint32) {
	if last := len(w.unused) - 1; last >= 0 {
		n, w.unused = w.unused[last], w.unused[:last]
	} else {
		n = uint32(len(w.lists))
		w.lists = append(w.lists, numbered{})
	}
	m := &w.lists[n]
	*m = numbered{list: slices.Clone(list)}
	for _, x := range list {
		m.said.external = m.said.external || x.external
		m.said.hops, m.said.from = append(m.said.hops, x.hop), append(m.said.from, x.from)
	}
	if len(list) == 1 {
		w.single[list[0]] = n
	} else {
		w.numbers[wayKey(list)] = n
	}
	return n
}

// release takes back one reference.
func (w *ways) release(n uint32) {
	if n == 0 {
		return
	}
	m := &w.lists[n]
	if m.refs--; m.refs > 0 {
		return
	}
	if len(m.list) == 1 {
		delete(w.single, m.list[0])
	} else {
		delete(w.numbers, wayKey(m.list))
	}
	*m = numbered{}
	w.unused = append(w.unused, n)
}

// wayKey tells lists apart.
func wayKey(list []way) string {
	var b []byte
	for _, x := range list {
		neighbor, hop := x.neighbor.As16(), x.hop.As16()
		b = append(append(b, neighbor[:]...), hop[:]...)
		b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, x.id), x.from)
		b = append(b, byte(x.neighbor.BitLen()), byte(x.hop.BitLen()))
		for _, zone := range []string{x.neighbor.Zone(), x.hop.Zone()} {
			b = append(append(b, byte(len(zone))), zone...)
		}
		if x.external {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	return string(b)
}
