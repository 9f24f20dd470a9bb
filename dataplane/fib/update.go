package fib

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// Change is what becomes of one prefix.
type Change struct {
	Prefix netip.Prefix // masked
	Group  GroupID      // less than MaxGroups
	Gone   bool         // the prefix is not there any more; Group is ignored
}

// shortClone tells when to change many short prefixes in a copy of their whole
// table instead of one by one.
const shortClone = 16

// With returns the table with changes applied, of which at most one is of a
// prefix. It sorts changes.
func (t *Routes) With(changes ...Change) *Routes {
	return new(Updater).Update(t, changes...)
}

// Updater makes tables of other tables. It keeps the memory that it needs for
// that. The zero value is ready.
type Updater struct{ update }

// Update is With of t, which may be nil.
func (u *Updater) Update(t *Routes, changes ...Change) *Routes {
	if len(changes) == 0 && t != nil {
		return t
	}
	slices.SortFunc(changes, func(a, b Change) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
	})
	u.begin(t)
	for i := range changes {
		u.add(changes[i].Prefix, changes[i].Group, changes[i].Gone)
	}
	return u.finish()
}

// Build returns a table of routes that come sorted by address and then by
// length, the shorter first, IPv4 before IPv6, each prefix once.
func Build(routes iter.Seq2[netip.Prefix, GroupID]) *Routes {
	u := &update{}
	u.begin(nil)
	for p, id := range routes {
		u.add(p, id, false)
	}
	return u.finish()
}

// update is a table in the making.
type update struct {
	t       *Routes
	is4     bool
	run     []entry // changes of one key, sorted
	merged  []entry
	short   []Change
	fresh   [2][1 << pageBits / 64]uint64 // a bit for each page that is not shared with the old table
	shelves [2][1 << shelfBits]bool       // that are not
	builder builder
}

// begin starts with what is in t.
func (u *update) begin(t *Routes) {
	u.t = &Routes{}
	if t != nil {
		*u.t = *t
	}
	clear(u.fresh[:])
	clear(u.shelves[:])
}

// add takes the next change.
func (u *update) add(p netip.Prefix, id GroupID, gone bool) {
	e := entryOf(p, id)
	e.withdrawal = gone
	is4 := p.Addr().Is4()
	if len(u.run) > 0 && (is4 != u.is4 || e.key != u.run[0].key) {
		u.flush()
	}
	if is4 != u.is4 {
		u.applyShort()
	}
	u.is4 = is4
	if p.Bits() == 0 {
		u.setDefault(id, gone)
		return
	}
	if e.length < 0 {
		u.short = append(u.short, Change{p, id, gone})
		return
	}
	u.run = append(u.run, e)
}

func (u *update) finish() *Routes {
	if len(u.run) > 0 {
		u.flush()
	}
	u.applyShort()
	t := u.t
	u.t = nil // not to be kept for the next
	return t
}

func (u *update) family() *family {
	if u.is4 {
		return &u.t.four
	}
	return &u.t.six
}

// setDefault changes the default route of a family.
func (u *update) setDefault(id GroupID, gone bool) {
	f := u.family()
	if f.zero != 0 {
		f.size--
	}
	if f.zero = leaf(id); gone {
		f.zero = 0
	} else {
		f.size++
	}
}

// applyShort changes the table of short prefixes of a family.
func (u *update) applyShort() {
	if len(u.short) == 0 {
		return
	}
	f := u.family()
	table, own := f.short, false
	if table == nil {
		table, own = &bart.Table[GroupID]{}, true
	}
	before := table.Size()
	if !own && len(u.short)*shortClone > before {
		table, own = table.Clone(), true
	}
	for _, c := range u.short {
		switch {
		case c.Gone && own:
			table.Delete(c.Prefix)
		case c.Gone:
			table = table.DeletePersist(c.Prefix)
		case own:
			table.Insert(c.Prefix, c.Group)
		default:
			table = table.InsertPersist(c.Prefix, c.Group)
		}
	}
	f.size += table.Size() - before
	if f.short = table; table.Size() == 0 {
		f.short = nil
	}
	u.short = u.short[:0]
}

// flush applies the changes of one key.
func (u *update) flush() {
	f := u.family()
	hash, key := u.run[0].hash, u.run[0].key
	u.merged = u.merged[:0]
	before := 0
	next := u.run
	if s := f.find(hash, key); s != nil {
		for o := range s.entries(u.is4) {
			before++
			for len(next) > 0 && next[0].before(&o) {
				u.keep(&next[0])
				next = next[1:]
			}
			if len(next) == 0 || !next[0].same(&o) {
				u.merged = append(u.merged, o)
			}
		}
	}
	for i := range next {
		u.keep(&next[i])
	}
	f.size += len(u.merged) - before
	switch {
	case len(u.merged) > 0:
		u.put(f, hash, u.builder.slot(u.merged, u.is4))
	case before > 0:
		u.remove(f, hash, key)
	}
	u.run = u.run[:0]
}

// keep takes a change over, unless it is a withdrawal.
func (u *update) keep(e *entry) {
	if !e.withdrawal {
		u.merged = append(u.merged, *e)
	}
}

// page returns the place of a page that may be changed.
func (u *update) page(f *family, at uint32) *[]slot {
	i := 0
	if u.is4 {
		i = 1
	}
	const perShelf = 1 << (pageBits - shelfBits)
	number := at / perShelf
	if !u.shelves[i][number] {
		u.shelves[i][number] = true
		fresh := &shelf{}
		if old := f.shelves[number]; old != nil {
			*fresh = *old
		}
		f.shelves[number] = fresh
	}
	page := &f.shelves[number][at%perShelf]
	if bit := uint64(1) << (at % 64); u.fresh[i][at/64]&bit == 0 {
		u.fresh[i][at/64] |= bit
		*page = slices.Clone(*page)
	}
	return page
}

// put puts a slot into its page, in place of the one of the same key.
func (u *update) put(f *family, hash uint32, s slot) {
	place := u.page(f, pageOf(hash))
	page := *place
	if old := findIn(page, hash, s.key); old != nil {
		*old = s
		return
	}
	used := 1
	for i := range page {
		if !page[i].empty() {
			used++
		}
	}
	// In a page of IPv4 that is as large as there are keys for it each has a place
	// of its own; others are at most three quarters full.
	if used*4 > len(page)*3 && (!u.is4 || len(page) < 1<<(key4Bits-pageBits)) {
		page = u.rehash(page, max(4, 2*len(page)))
		*place = page
	}
	insert(page, hash, s)
}

// remove takes the slot of a key out of its page.
func (u *update) remove(f *family, hash, key uint32) {
	place := u.page(f, pageOf(hash))
	*findIn(*place, hash, key) = slot{}
	*place = u.rehash(*place, len(*place)) // what stood behind it moves up
}

// rehash returns a page of another size with the same slots.
func (u *update) rehash(page []slot, size int) []slot {
	fresh := make([]slot, size)
	for _, s := range page {
		switch {
		case s.empty():
		case u.is4:
			insert(fresh, hash4(s.key), s)
		default:
			insert(fresh, hash6(s.key), s)
		}
	}
	return fresh
}

// insert puts a slot in the first empty place of a page, which has one.
func insert(page []slot, hash uint32, s slot) {
	for i := hash; ; i++ {
		if o := &page[int(i)&(len(page)-1)]; o.empty() {
			*o = s
			return
		}
	}
}
