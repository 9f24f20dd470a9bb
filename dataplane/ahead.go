package dataplane

import (
	"encoding/binary"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// aheadMax is the most frames that are looked up ahead.
const aheadMax = 64

// aheadRoutes is the number of routes from which looking ahead pays: smaller
// tables are in the cache.
const aheadRoutes = 10_000

// hint is a route that was looked up ahead.
type hint struct {
	hi, lo uint64 // destination; of IPv4, v4 and the address
	group  *fib.Group
}

// v4 is no upper half of an address that is forwarded: it is of ::/8.
const v4 = 1

// Ahead tells which frames Forward will be called for next, in this order, after
// Begin. It may be left out. In a large table each packet waits for memory, by
// turns of its own; when the routes of a batch are looked up in a row the
// processor waits for several at once.
func (w *Forwarder) Ahead(frames []packet.Frame) {
	w.cursor, w.looked = 0, 0
	if w.snap.Routes.Size() < aheadRoutes || len(frames) < 2 {
		return
	}
	n := min(len(frames), aheadMax)
	for i := range frames[:n] {
		h, d := &w.hints[i], frames[i].Data
		*h = hint{} // no packet to :: comes as far as its route
		if len(d) < packet.EthernetLen+packet.IPv4Len {
			continue
		}
		switch binary.BigEndian.Uint16(d[12:14]) {
		case packet.EtherTypeIPv4:
			a := binary.BigEndian.Uint32(d[30:34])
			h.hi, h.lo, h.group = v4, uint64(a), w.snap.Route4(a)
		case packet.EtherTypeIPv6:
			if len(d) >= packet.EthernetLen+packet.IPv6Len {
				h.hi, h.lo = binary.BigEndian.Uint64(d[38:46]), binary.BigEndian.Uint64(d[46:54])
				h.group = w.snap.Route6(h.hi, h.lo)
			}
		}
	}
	w.looked = n
}

// route4 returns the group of an IPv4 destination.
func (w *Forwarder) route4(a uint32) *fib.Group {
	if at := w.cursor - 1; uint(at) < uint(w.looked) && w.hints[at].hi == v4 && w.hints[at].lo == uint64(a) {
		return w.hints[at].group
	}
	return w.snap.Route4(a)
}

// route6 returns the group of an IPv6 destination.
func (w *Forwarder) route6(hi, lo uint64) *fib.Group {
	if at := w.cursor - 1; uint(at) < uint(w.looked) && w.hints[at].hi == hi && w.hints[at].lo == lo {
		return w.hints[at].group
	}
	return w.snap.Route6(hi, lo)
}
