package hostnet

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// routeKey names a route within a table.
type routeKey struct {
	prefix netip.Prefix
	metric uint32
}

// held is a route that the kernel has, as far as is known.
type held struct {
	hops     *hopList
	typ      Type
	protocol uint8
	missed   bool   // the last look did not see it, but may have overlooked it
	doubled  bool   // IPv4: there are others of the same key behind it
	seen     uint32 // the look that saw it last, or in whose time a notice came
	noticed  uint32 // the look in whose time the last notice of it came; 0: before any
}

// hopList is shared by all routes that have the same next hops.
type hopList struct {
	key  string
	hops []Hop
	refs int
}

// View is what is known of the routes of one table of the kernel. It is a plain
// value: notices and looks change it, Take tells what has changed.
//
// A look (a dump of the table) takes time, in which notices come. What a notice
// says wins over the look in whose time it came: either it is newer, or the
// look has seen the same.
type View struct {
	table  uint32
	routes map[routeKey]held
	lists  map[string]*hopList

	look    uint32 // the number of looks that have begun
	looking bool
	noisy   bool                  // notices came while looking
	gone    map[routeKey]struct{} // removed by notices while looking

	pending map[routeKey]struct{} // not yet taken; order has all of them
	order   []routeKey
	doubt   bool // only another look can tell what the kernel has
}

// NewView returns an empty view of a routing table.
func NewView(table uint32) *View {
	return &View{
		table: table, routes: map[routeKey]held{}, lists: map[string]*hopList{},
		gone: map[routeKey]struct{}{}, pending: map[routeKey]struct{}{},
	}
}

// Len returns the number of routes.
func (v *View) Len() int { return len(v.routes) }

// Doubt reports, once, whether another look is needed.
func (v *View) Doubt() bool {
	doubt := v.doubt
	v.doubt = false
	return doubt
}

// Begin starts a look.
func (v *View) Begin() {
	v.look++
	v.looking, v.noisy = true, false
	clear(v.gone)
}

// Abandon ends a look that did not come to its end.
func (v *View) Abandon() {
	v.looking = false
	clear(v.gone)
}

// End ends a look: what it has not seen is gone. A table that changes while the
// kernel walks through it may hide a route that stays, so in that case only
// what two looks have missed is gone, and Doubt asks for the second.
func (v *View) End() {
	v.looking = false
	clear(v.gone)
	for k, h := range v.routes {
		switch {
		case h.seen == v.look:
		case v.noisy && !h.missed:
			h.missed = true
			v.routes[k] = h
			v.doubt = true
		default:
			v.remove(k)
		}
	}
}

// saw takes a route that a look has seen.
func (v *View) saw(r *tableRoute) {
	if r.table != v.table {
		return
	}
	k := routeKey{r.Prefix, r.Metric}
	h, known := v.routes[k]
	_, removed := v.gone[k]
	switch {
	case removed, known && h.noticed == v.look:
	case known && h.seen == v.look: // IPv4 again: the first is in use
		h.doubled = true
		v.routes[k] = h
	default:
		v.put(k, &r.Route, 0)
	}
}

// notice takes a change that the kernel tells.
func (v *View) notice(m *message) {
	if m.route.table != v.table {
		return
	}
	v.noisy = true
	r := &m.route.Route
	k := routeKey{r.Prefix, r.Metric}
	h, known := v.routes[k]
	noticed := uint32(0)
	if v.looking {
		noticed = v.look
	}
	switch {
	case !m.gone:
		v.gained(k, m, noticed)
	case !known:
		v.lost(k)
	case h.doubled:
		v.doubt = true // perhaps this one, perhaps another
	case r.Type != Unicast || h.typ != Unicast || slices.Equal(h.hops.hops, r.Hops) || len(r.Hops) == 0:
		v.lost(k)
		v.remove(k)
	default:
		v.shorten(k, r, noticed)
	}
}

// gained takes a new route. IPv4 keeps several of one key, of which the first
// is in use: they are put behind it (NLM_F_APPEND), before it, or replace it.
func (v *View) gained(k routeKey, m *message, noticed uint32) {
	h, known := v.routes[k]
	delete(v.gone, k)
	another := known && !m.replaces && k.prefix.Addr().Is4()
	if !another || !m.added {
		v.put(k, &m.route.Route, noticed)
		h = v.routes[k]
	}
	if another {
		h.doubled = true
		v.routes[k] = h
	}
}

// lost notes that a route that a look may have seen is there no more.
func (v *View) lost(k routeKey) {
	if v.looking {
		v.gone[k] = struct{}{}
	}
}

// shorten takes away some next hops of a route: IPv6 tells so of each. Where
// that is not what the message can mean, another look decides.
func (v *View) shorten(k routeKey, r *Route, noticed uint32) {
	v.doubt = true
	h := v.routes[k]
	left := slices.DeleteFunc(slices.Clone(h.hops.hops), func(o Hop) bool { return slices.Contains(r.Hops, o) })
	if len(left) == 0 || len(left) == len(h.hops.hops) {
		return
	}
	v.put(k, &Route{Type: Unicast, Protocol: h.protocol, Hops: left}, noticed)
}

// put enters a route.
func (v *View) put(k routeKey, r *Route, noticed uint32) {
	was, known := v.routes[k]
	h := held{typ: r.Type, protocol: r.Protocol, seen: v.look, noticed: noticed, hops: v.share(r.Hops)}
	if known {
		v.release(was.hops)
	}
	v.routes[k] = h
	if !known || was.hops != h.hops || was.typ != h.typ || was.protocol != h.protocol {
		v.changed(k)
	}
}

func (v *View) remove(k routeKey) {
	v.release(v.routes[k].hops)
	delete(v.routes, k)
	v.changed(k)
}

func (v *View) changed(k routeKey) {
	if _, is := v.pending[k]; !is {
		v.pending[k] = struct{}{}
		v.order = append(v.order, k)
	}
}

// share returns the list of some next hops.
func (v *View) share(hops []Hop) *hopList {
	key := hopsKey(hops)
	l := v.lists[key]
	if l == nil {
		l = &hopList{key: key, hops: slices.Clone(hops)}
		v.lists[key] = l
	}
	l.refs++
	return l
}

func (v *View) release(l *hopList) {
	if l.refs--; l.refs == 0 {
		delete(v.lists, l.key)
	}
}

func hopsKey(hops []Hop) string {
	var b strings.Builder
	for _, h := range hops {
		a := h.Via.As16()
		b.WriteByte(byte(h.Via.BitLen()))
		b.Write(a[:])
		b.WriteString(strconv.Itoa(h.Device))
		if h.Encap {
			b.WriteByte('e')
		}
		b.WriteByte(' ')
	}
	return b.String()
}

// Moved says that devices have come, gone or got another name: the routes by
// them are told anew.
func (v *View) Moved(devices []int) {
	if len(devices) == 0 {
		return
	}
	by := map[*hopList]bool{}
	for _, l := range v.lists {
		by[l] = slices.ContainsFunc(l.hops, func(h Hop) bool { return slices.Contains(devices, h.Device) })
	}
	for k, h := range v.routes {
		if by[h.hops] {
			v.changed(k)
		}
	}
}

// Waiting reports whether Take has something to hand out.
func (v *View) Waiting() bool { return len(v.order) > 0 }

// Take appends at most BatchMax changes to list, in the order in which the
// routes first changed, and returns it.
func (v *View) Take(list []Change) []Change {
	n := min(len(v.order), BatchMax)
	for _, k := range v.order[:n] {
		delete(v.pending, k)
		h, known := v.routes[k]
		c := Change{Gone: !known, Route: Route{Prefix: k.prefix, Metric: k.metric}}
		if known {
			c.Protocol, c.Type, c.Hops = h.protocol, h.typ, h.hops.hops
		}
		list = append(list, c)
	}
	if v.order = v.order[n:]; len(v.order) == 0 {
		v.order, v.pending = nil, map[routeKey]struct{}{} // what was large once must not stay so
	}
	return list
}
