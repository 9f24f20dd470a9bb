package fib

import (
	"encoding/binary"
	"iter"
	"net/netip"

	"github.com/gaissmai/bart"
)

// Routes maps prefixes of both families to groups: an immutable table, made by
// With and Build, which shares with the one before it all that did not change.
// A nil *Routes is empty.
//
// An address is looked up in two steps. Its upper bits (16 of IPv4, 32 of IPv6:
// the key) lead to a chunk, which knows all prefixes from that length on; a
// table of the Internet has some 40,000 chunks of each family. A chunk is one
// piece of memory without pointers: a trie of eight bits a level whose leaves
// are compressed by counting bits, so that a lookup touches three or four cache
// lines, of a table that is small enough to stay in the cache (1,000,000
// prefixes: 20 MiB). Shorter prefixes are few and have a bart.Table of their
// own, which is asked where the chunk knows nothing.
//
// A changed prefix costs a new chunk: of some hundred bytes, as a rule.
type Routes struct {
	four, six family
}

// MaxGroups bounds the numbers of groups that Routes can lead to.
const MaxGroups = 1 << 24

// family is the prefixes of IPv4 or of IPv6.
type family struct {
	shelves [1 << shelfBits]*shelf // of pages, chosen by the upper bits of pageOf; nil: no chunks
	short   *bart.Table[GroupID]   // of the others, but for the default route; nil: there is none
	zero    uint32                 // the default route, as a leaf; 0: there is none
	size    int                    // prefixes
}

// shelf is neighbouring pages: what of the list of all pages is copied when one of
// them changes.
type shelf [1 << (pageBits - shelfBits)][]slot

// slot is a place of a page, which is a hash table with open addressing whose
// size is a power of two and which is never full. A slot without root is empty.
type slot struct {
	words []uint64 // the chunk (see chunk.go); nil where no prefix is longer than the key
	key   uint32
	root  uint32 // a leaf, or where the uppermost node is
}

func (s *slot) empty() bool { return s.root == 0 }

const (
	key4Bits  = 16
	key6Bits  = 32
	pageBits  = 12
	shelfBits = 6
)

// hash4 spreads the keys of IPv4, which are dense, over pages by their upper
// bits, and in a page by their lower ones.
func hash4(key uint32) uint32 { return key<<16 | key }

// hash6 spreads the keys of IPv6.
func hash6(key uint32) uint32 {
	h := key * 0x9e3779b1
	return h ^ h>>15
}

func pageOf(hash uint32) uint32 { return hash >> (32 - pageBits) }

// find returns the slot of a key; nil: there is none.
func (f *family) find(hash, key uint32) *slot {
	at := pageOf(hash)
	s := f.shelves[at>>(pageBits-shelfBits)]
	if s == nil {
		return nil
	}
	return findIn(s[at%uint32(len(s))], hash, key)
}

func findIn(page []slot, hash, key uint32) *slot {
	if len(page) == 0 {
		return nil
	}
	for i := hash; ; i++ {
		s := &page[int(i)&(len(page)-1)]
		if s.key == key && !s.empty() {
			return s
		}
		if s.empty() {
			return nil
		}
	}
}

// groupOf returns the group that a leaf leads to; 0 leads nowhere.
func groupOf(leaf uint32) (GroupID, bool) {
	if leaf == 0 {
		return 0, false
	}
	return GroupID(leaf>>refShift - 1), true
}

// Lookup4 returns the group of an IPv4 address: that of the longest prefix.
func (t *Routes) Lookup4(a uint32) (GroupID, bool) {
	if t == nil {
		return 0, false
	}
	key := a >> key4Bits
	if s := t.four.find(hash4(key), key); s != nil {
		ref := s.root
		if ref&isNode != 0 {
			if ref = descend(s.words, ref, a>>8&255); ref&isNode != 0 {
				ref = descend(s.words, ref, a&255)
			}
		}
		if ref != 0 {
			return GroupID(ref>>refShift - 1), true
		}
	}
	if t.four.short != nil {
		if id, ok := t.four.short.Lookup(addr4(a)); ok {
			return id, true
		}
	}
	return groupOf(t.four.zero)
}

// Lookup6 returns the group of an IPv6 address, given by its halves: that of
// the longest prefix.
func (t *Routes) Lookup6(hi, lo uint64) (GroupID, bool) {
	if t == nil {
		return 0, false
	}
	key := uint32(hi >> key6Bits)
	if s := t.six.find(hash6(key), key); s != nil {
		ref := s.root
		for rest, more := hi<<32|lo>>32, lo<<32; ref&isNode != 0; rest, more = rest<<8|more>>56, more<<8 {
			ref = descend(s.words, ref, uint32(rest>>56))
		}
		if ref != 0 {
			return GroupID(ref>>refShift - 1), true
		}
	}
	if t.six.short != nil {
		if id, ok := t.six.short.Lookup(addr6(hi, lo)); ok {
			return id, true
		}
	}
	return groupOf(t.six.zero)
}

// Lookup returns the group of an address of either family.
func (t *Routes) Lookup(a netip.Addr) (GroupID, bool) {
	if a.Is4() {
		return t.Lookup4(uint32Of(a))
	}
	return t.Lookup6(halves(a))
}

// Get returns the group of just this prefix, which is masked.
func (t *Routes) Get(p netip.Prefix) (GroupID, bool) {
	if t == nil || !p.IsValid() {
		return 0, false
	}
	f, e := t.of(p)
	if e.length < 0 {
		return f.getShort(p)
	}
	s := f.find(e.hash, e.key)
	if s == nil {
		return 0, false
	}
	for o := range s.entries(p.Addr().Is4()) {
		if o.rest == e.rest && o.tail == e.tail && o.length == e.length {
			return o.id, true
		}
	}
	return 0, false
}

// longest returns the group of the longest prefix that holds the address among
// those whose group is not Unusable. It looks at every prefix of a chunk: it is
// for the time until prefixes that have become useless are gone.
func (t *Routes) longest(a netip.Addr, groups []Group) (GroupID, bool) {
	f, e := t.of(netip.PrefixFrom(a, a.BitLen()))
	best := entry{length: -1}
	if s := f.find(e.hash, e.key); s != nil {
		for o := range s.entries(a.Is4()) {
			if o.length > best.length && o.holds(&e) && groups[o.id].Kind != Unusable {
				best = o
			}
		}
	}
	if best.length >= 0 {
		return best.id, true
	}
	for l := keyBits(a.Is4()) - 1; l >= 0; l-- {
		p, _ := a.Prefix(l)
		if id, ok := f.getShort(p); ok && groups[id].Kind != Unusable {
			return id, true
		}
	}
	return 0, false
}

// getShort returns the group of just this prefix, which is shorter than a key.
func (f *family) getShort(p netip.Prefix) (GroupID, bool) {
	switch {
	case p.Bits() == 0:
		return groupOf(f.zero)
	case f.short == nil:
		return 0, false
	}
	return f.short.Get(p)
}

// Size returns the number of prefixes.
func (t *Routes) Size() int {
	if t == nil {
		return 0
	}
	return t.four.size + t.six.size
}

// All returns all prefixes, those of a family together, in no order.
func (t *Routes) All() iter.Seq2[netip.Prefix, GroupID] {
	return func(yield func(netip.Prefix, GroupID) bool) {
		if t != nil && t.four.all(true, yield) {
			t.six.all(false, yield)
		}
	}
}

// all calls yield for all prefixes, until it returns false.
func (f *family) all(is4 bool, yield func(netip.Prefix, GroupID) bool) bool {
	if f.zero != 0 {
		any := netip.IPv6Unspecified()
		if is4 {
			any = netip.IPv4Unspecified()
		}
		if !yield(netip.PrefixFrom(any, 0), GroupID(f.zero>>refShift-1)) {
			return false
		}
	}
	if f.short != nil {
		for p, id := range f.short.All() {
			if !yield(p, id) {
				return false
			}
		}
	}
	for s := range f.slots() {
		for e := range s.entries(is4) {
			if !yield(e.prefix(is4), e.id) {
				return false
			}
		}
	}
	return true
}

// slots returns the slots of all pages, empty ones too.
func (f *family) slots() iter.Seq[*slot] {
	return func(yield func(*slot) bool) {
		for _, shelf := range f.shelves {
			if shelf == nil {
				continue
			}
			for _, page := range shelf {
				for i := range page {
					if !yield(&page[i]) {
						return
					}
				}
			}
		}
	}
}

// of returns the family of a prefix, and the prefix as an entry.
func (t *Routes) of(p netip.Prefix) (*family, entry) {
	if p.Addr().Is4() {
		return &t.four, entryOf(p, 0)
	}
	return &t.six, entryOf(p, 0)
}

func keyBits(is4 bool) int {
	if is4 {
		return key4Bits
	}
	return key6Bits
}

func uint32Of(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func addr4(a uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.AddrFrom4(b)
}

func addr6(hi, lo uint64) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	return netip.AddrFrom16(b)
}
