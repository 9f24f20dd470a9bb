package sim

import "time"

// A backup with fast_detect may take over before its timer runs out, when it is
// flooded with frames for the virtual MAC and its master does not answer.

// floodSpan is for how long a frame may be kept, and the master be asked: three
// questions 2 ms apart, 4 ms more for a low priority, a pause of 8 ms before;
// and the answers that were on the wire.
const floodSpan = 20 * time.Millisecond

// mayBeFast reports whether the voice may take over already: a frame for the
// virtual MAC has come to it, and there is no master within its reach that
// could have answered, nor one that has just come or gone, or whose links lose
// frames.
func (v *voice) mayBeFast(c *checker) bool {
	now, span := c.w.now, floodSpan+8*v.m.spec.Late
	if !v.m.spec.FastDetect || now.Sub(v.floodedAt) > span {
		return false
	}
	if now.Sub(c.faultAt) <= span || c.disturbed() {
		return true
	}
	l := v.m.node.Links[v.vr.side]
	for _, m := range c.members {
		for _, o := range m.voices {
			if o != v && o.vr == v.vr && o.speaking && m.attached(v.vr.side, l.sw.islandOf(l)) {
				return false
			}
		}
	}
	return true
}
