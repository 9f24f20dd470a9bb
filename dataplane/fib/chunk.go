package fib

import (
	"iter"
	"math/bits"
	"net/netip"
)

// The words of a chunk are nodes; then its prefixes, sorted, each as encoded by
// appendTo; and last their number.
//
// What is below a node, or below a slot, is told by a reference of 32 bits: 0 is
// nothing; the number of a group and 1, shifted by refShift, is a leaf; the word
// at which a node begins, shifted likewise, with one of the bits of isNode set,
// is that node.
//
// A node has 256 branches. Of neighbouring branches that lead to the same leaf
// only the first has it stored: each such run begins with a reference, half a
// word.
//
// A large node begins with eight words, one for 32 branches each. The lower half
// of a word has a bit for each branch that begins a run (the first one of a word
// always does); its upper half is where the references of the word are, in half
// words from the beginning of the chunk, less one. So that and the number of bits
// up to a branch give the place of the branch's reference.
//
// A small node has at most eight runs, and one cache line as a rule: one word
// with the first branches of the runs, a byte each, and four of references. Where
// there are fewer runs, the last is repeated, as though it began at branch 255.
const (
	largeNode = 1
	smallNode = 2
	isNode    = largeNode | smallNode
	refShift  = 2

	smallRuns  = 8
	largeWords = 8
)

// highBits is the upper bit of each byte of a word, and lowBits the lowest.
const (
	highBits = 0x8080808080808080
	lowBits  = 0x0101010101010101
)

// descend returns the reference at branch b (0 to 255) of a node.
func descend(words []uint64, node, b uint32) uint32 {
	n := placeOf(words, node, b)
	return uint32(words[n>>1] >> (n & 1 << 5))
}

// placeOf returns where the reference of a branch is, in half words.
func placeOf(words []uint64, node, b uint32) uint32 {
	at := node >> refShift
	if node&smallNode != 0 {
		// A byte of starts is at most b where b, with its upper bit set, less the
		// lower bits of the byte keeps that bit, or the upper bits decide.
		starts, all := words[at], uint64(b)*lowBits
		most := (all&^starts | ^(all^starts)&((all|highBits)-starts&^highBits)) & highBits
		return at*2 + 1 + uint32(bits.OnesCount64(most))
	}
	w := words[at+b>>5]
	return uint32(w>>32) + uint32(bits.OnesCount32(uint32(w)&(2<<(b&31)-1)))
}

// entry is a prefix at least as long as its family's key.
type entry struct {
	hash, key  uint32
	rest       uint64 // the 64 bits behind the key; of IPv4, 16 and zeros
	tail       uint64 // the 32 bits behind those, of IPv6, and zeros
	length     int    // behind the key; less than 0: the prefix is shorter
	id         GroupID
	withdrawal bool // the prefix is to go
}

// entryOf makes an entry of a masked prefix.
func entryOf(p netip.Prefix, id GroupID) entry {
	e := entry{id: id, length: p.Bits() - keyBits(p.Addr().Is4())}
	if p.Addr().Is4() {
		a := uint32Of(p.Addr())
		e.key, e.rest = a>>key4Bits, uint64(a)<<(64-key4Bits)
		e.hash = hash4(e.key)
		return e
	}
	hi, lo := halves(p.Addr())
	e.key, e.rest, e.tail = uint32(hi>>key6Bits), hi<<key6Bits|lo>>(64-key6Bits), lo<<key6Bits
	e.hash = hash6(e.key)
	return e
}

// prefix undoes entryOf.
func (e *entry) prefix(is4 bool) netip.Prefix {
	if is4 {
		return netip.PrefixFrom(addr4(e.key<<key4Bits|uint32(e.rest>>(64-key4Bits))), e.length+key4Bits)
	}
	hi, lo := uint64(e.key)<<key6Bits|e.rest>>key6Bits, e.rest<<(64-key6Bits)|e.tail>>key6Bits
	return netip.PrefixFrom(addr6(hi, lo), e.length+key6Bits)
}

// holds reports whether the prefix holds another of the same key.
func (e *entry) holds(o *entry) bool {
	if o.length < e.length {
		return false
	}
	diff := e.rest ^ o.rest
	if e.length <= 64 {
		return diff>>(64-e.length) == 0
	}
	return diff == 0 && (e.tail^o.tail)>>(128-e.length) == 0
}

// before reports whether the prefix sorts before another of the same key: by
// address, and then the shorter one first.
func (e *entry) before(o *entry) bool {
	switch {
	case e.rest != o.rest:
		return e.rest < o.rest
	case e.tail != o.tail:
		return e.tail < o.tail
	}
	return e.length < o.length
}

// same reports whether two entries of the same key are of the same prefix.
func (e *entry) same(o *entry) bool {
	return e.rest == o.rest && e.tail == o.tail && e.length == o.length
}

// branch returns the branch at which the prefix leaves a node at that depth.
func (e *entry) branch(depth int) uint32 {
	if depth < 8 {
		return uint32(e.rest>>(56-8*depth)) & 255
	}
	return uint32(e.tail>>(56-8*(depth-8))) & 255
}

// appendTo encodes the entry in one word (IPv4) or two.
func (e *entry) appendTo(words []uint64, is4 bool) []uint64 {
	if is4 {
		return append(words, uint64(e.id)<<32|e.rest>>48<<8|uint64(e.length))
	}
	return append(words, e.rest, e.tail&^(1<<32-1)|uint64(e.length)<<24|uint64(e.id))
}

// entries returns the prefixes of a slot, sorted.
func (s *slot) entries(is4 bool) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		if s.empty() {
			return
		}
		e := entry{key: s.key}
		if s.words == nil {
			e.id = GroupID(s.root>>refShift - 1)
			yield(e)
			return
		}
		last := len(s.words) - 1
		n := int(s.words[last])
		if is4 {
			for _, w := range s.words[last-n : last] {
				e.id, e.rest, e.length = GroupID(w>>32), w>>8<<48, int(w&255)
				if !yield(e) {
					return
				}
			}
			return
		}
		for at := last - 2*n; at < last; at += 2 {
			w := s.words[at+1]
			e.rest, e.tail = s.words[at], w&^(1<<32-1)
			e.length, e.id = int(w>>24&255), GroupID(w&(1<<24-1))
			if !yield(e) {
				return
			}
		}
	}
}

// builder makes chunks. It keeps its memory.
type builder struct {
	words []uint64
	subs  []sub
}

// sub is a node to be made: below branch of the node being made, for entries.
type sub struct {
	branch  uint32
	entries []entry
}

// slot makes the slot of sorted entries, of which there is one at least, with
// one key.
func (b *builder) slot(entries []entry, is4 bool) slot {
	s := slot{key: entries[0].key}
	if entries[len(entries)-1].length == 0 {
		s.root = leaf(entries[0].id)
		return s
	}
	b.words, b.subs = b.words[:0], b.subs[:0]
	s.root = b.node(entries, 0, 0)
	for i := range entries {
		b.words = entries[i].appendTo(b.words, is4)
	}
	s.words = make([]uint64, len(b.words)+1)
	s.words[copy(s.words, b.words)] = uint64(len(entries))
	return s
}

// leaf returns the reference to a group.
func leaf(id GroupID) uint32 { return (uint32(id) + 1) << refShift }

// node appends the node at a depth for sorted entries that are longer than
// that, or as long; base is what is above them. It returns a reference to it.
func (b *builder) node(entries []entry, depth int, base uint32) uint32 {
	var refs [256]uint32
	for i := range refs {
		refs[i] = base
	}
	first := len(b.subs)
	for i := 0; i < len(entries); i++ {
		e := &entries[i]
		at, length := e.branch(depth), e.length-8*depth
		if length > 8 {
			from := i
			for i+1 < len(entries) && entries[i+1].branch(depth) == at {
				i++
			}
			b.subs = append(b.subs, sub{at, entries[from : i+1]})
			continue
		}
		for j := range uint32(1) << (8 - max(length, 0)) {
			refs[at+j] = leaf(e.id)
		}
	}
	last := len(b.subs)
	node := b.emit(&refs, b.subs[first:last])
	for i := first; i < last; i++ {
		s := b.subs[i]
		below := b.node(s.entries, depth+1, refs[s.branch])
		n := placeOf(b.words, node, s.branch)
		shift := n % 2 * 32
		b.words[n/2] = b.words[n/2]&^(0xffffffff<<shift) | uint64(below)<<shift
	}
	b.subs = b.subs[:first]
	return node
}

// emit appends a node whose branches have these references, but for those of
// subs: they have runs of their own, to be filled in.
func (b *builder) emit(refs *[256]uint32, subs []sub) uint32 {
	var starts [256]bool
	starts[0] = true
	for i := 1; i < len(refs); i++ {
		starts[i] = refs[i] != refs[i-1]
	}
	for _, s := range subs {
		starts[s.branch] = true
		if s.branch < 255 {
			starts[s.branch+1] = true
		}
	}
	runs := 0
	for _, start := range starts {
		if start {
			runs++
		}
	}
	if runs <= smallRuns {
		return b.emitSmall(refs, &starts)
	}
	return b.emitLarge(refs, &starts)
}

func (b *builder) emitSmall(refs *[256]uint32, starts *[256]bool) uint32 {
	at := len(b.words)
	b.words = append(b.words, 0, 0, 0, 0, 0)
	run := 0
	add := func(branch int) {
		b.words[at] |= uint64(branch) << (8 * run)
		b.words[at+1+run/2] |= uint64(refs[branch]) << (run % 2 * 32)
		run++
	}
	for i, start := range starts {
		if start {
			add(i)
		}
	}
	for run < smallRuns {
		add(255)
	}
	return uint32(at)<<refShift | smallNode
}

func (b *builder) emitLarge(refs *[256]uint32, starts *[256]bool) uint32 {
	at := len(b.words)
	b.words = append(b.words, make([]uint64, largeWords)...)
	n := uint32(len(b.words)) * 2
	for i, start := range starts {
		if i%32 == 0 {
			b.words[at+i/32] = uint64(n-1) << 32
		} else if !start {
			continue
		}
		b.words[at+i/32] |= 1 << (i % 32)
		if n%2 == 0 {
			b.words = append(b.words, 0)
		}
		b.words[n/2] |= uint64(refs[i]) << (n % 2 * 32)
		n++
	}
	return uint32(at)<<refShift | largeNode
}
