package sim

import "time"

// A backup with fast_detect may take over before its timer runs out, when it is
// flooded with frames for the virtual MAC and its master does not answer.

// floodSpan is for how long a frame may be kept, with what the clocks are apart,
// and the time that the control plane is away.
const floodSpan = 52 * time.Millisecond

// mayBeFast reports whether the voice may take over already: a frame for the
// virtual MAC has come to it, and there is no master within its reach that
// could have answered, nor one that has just come or gone, or whose links lose
// frames.
func (v *voice) mayBeFast(c *checker) bool {
	now := c.w.now
	if !v.m.spec.FastDetect || now.Sub(v.floodedAt) > floodSpan {
		return false
	}
	if now.Sub(c.faultAt) <= floodSpan || c.disturbed() {
		return true
	}
	l := v.m.node.Links[v.vr.side]
	for _, m := range c.members {
		for _, o := range m.voices {
			lives := o.speaking && now.Sub(o.since) > graceMute // else the two did not hear each other yet
			if o != v && o.vr == v.vr && lives && m.attached(v.vr.side, l.sw.islandOf(l)) {
				return false
			}
		}
	}
	return true
}
