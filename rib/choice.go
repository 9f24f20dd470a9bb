package rib

import (
	"encoding/binary"
	"slices"

	"vrouter/dataplane/fib"
)

// candidate is a possible route of a prefix.
type candidate struct {
	source Source
	typ    Type
	origin uint8
	metric uint32
	group  *group
	count  int // how many addresses of the port give reason for it; 1 for Add's
}

// choice is what prefixes with the same candidates share: it decides once for
// all of them which one is in use, and its number is what they lead to in the
// snapshot. So a port, next hop or neighbour that comes or goes costs a change
// of some choices, however many prefixes there are.
type choice struct {
	id         fib.GroupID
	key        string      // choiceKey
	candidates []candidate // the best first; never changed
	prefixes   int         // that have it
	best       candidate   // group nil: none can be used
}

// choiceKey appends what tells lists of candidates apart.
func choiceKey(b []byte, candidates []candidate) []byte {
	for i := range candidates {
		c := &candidates[i]
		b = append(b, byte(c.source), byte(c.typ), c.origin)
		b = binary.BigEndian.AppendUint32(b, c.metric)
		b = binary.BigEndian.AppendUint32(b, c.group.number)
		b = binary.BigEndian.AppendUint32(b, uint32(c.count))
	}
	return b
}

// choice returns the choice among candidates, a new one if need be; nil where
// there are fib.MaxGroups already. The candidates are copied.
func (t *Table) choice(candidates []candidate) *choice {
	var room [128]byte
	key := choiceKey(room[:0], candidates)
	if c := t.choices[string(key)]; c != nil {
		return c
	}
	c := &choice{key: string(key), candidates: slices.Clone(candidates)}
	switch n := len(t.free); {
	case n > 0:
		c.id, t.free = t.free[n-1], t.free[:n-1]
		t.byID[c.id] = c
	case len(t.byID) == fib.MaxGroups:
		for i := range candidates {
			if g := candidates[i].group; g.refs == 0 {
				delete(t.groups, g.key) // it was made for this
			}
		}
		return nil
	default:
		c.id = fib.GroupID(len(t.byID))
		t.byID = append(t.byID, c)
	}
	t.choices[c.key] = c
	for i := range c.candidates {
		g := c.candidates[i].group
		g.refs++
		if c.candidates[i].spare() {
			g.spares++
		}
		g.choices[c] = true
	}
	t.dirty[c] = true
	t.choose(c)
	return c
}

// forget forgets a choice that no prefix has.
func (t *Table) forget(c *choice) {
	if c.best.group != nil {
		c.best.group.selected--
	}
	delete(t.choices, c.key)
	delete(t.dirty, c)
	t.byID[c.id] = nil
	t.free = append(t.free, c.id)
	for i := range c.candidates {
		g := c.candidates[i].group
		delete(g.choices, c)
		if c.candidates[i].spare() {
			g.spares--
		}
		t.release(g)
	}
}

// choose takes the first candidate that can be used.
func (t *Table) choose(c *choice) {
	var best candidate
	for _, o := range c.candidates {
		if o.group.live {
			best = o
			break
		}
	}
	if best.group != c.best.group {
		t.dirty[c] = true
		if c.best.group != nil {
			c.best.group.selected--
		}
		if best.group != nil {
			best.group.selected++
		}
	}
	c.best = best
}
