package dataplane

import "vrouter/packet"

// Out is a frame that Except or Unreachable made and what to do with it:
// Transmit, Punt of ClassResolve (an ICMP error towards an unresolved
// neighbour: call Output or OutputOn again) or Punt of ClassLocal (segments).
type Out struct {
	Frame   packet.Frame
	Verdict Verdict
}

// Except handles a frame for which Forward (or Output) answered the Exception
// v, with the same snapshot: it returns the ICMP error, the fragments or the
// segments. They are valid until the next call of Except or Unreachable, and
// as long as f.Data. Empty where no error may or need be sent.
func (w *Forwarder) Except(in uint16, f *packet.Frame, v Verdict) []Out {
	w.touched = true
	w.outs = w.outs[:0]
	switch v.Fault {
	case FaultFragment:
		CompleteChecksum(f)
		w.fragment(f.Data, v.Port)
		return w.outs
	case FaultSegment:
		w.segment(f, w.snap.Ports[v.Port].MTU, Verdict{Action: Transmit, Port: v.Port})
		return w.outs
	case FaultSegmentTransit:
		w.segment(f, 1<<16, punt(ClassTransit))
		return w.outs
	case FaultSegmentLocal:
		w.segment(f, 1<<16, punt(ClassLocal))
		return w.outs
	}
	mtu := 0
	if v.Fault == FaultTooBig {
		mtu = w.snap.Ports[v.Port].MTU
	}
	if e, ok := errorOf(v.Fault, mtu); ok {
		return w.answer(in, f, e)
	}
	return nil
}

// maxOuts bounds the frames that one frame is cut into.
const maxOuts = 4096

// arena hands out buffers that live until reset. It keeps its memory.
type arena struct {
	chunks [][]byte
	chunk  int // that is being used
	used   int // bytes of it
}

const arenaChunk = 128 << 10

func (a *arena) reset() { a.chunk, a.used = 0, 0 }

// get returns n bytes of any content; n is at most arenaChunk.
func (a *arena) get(n int) []byte {
	if a.chunk < len(a.chunks) && a.used+n > arenaChunk {
		a.chunk, a.used = a.chunk+1, 0
	}
	if a.chunk == len(a.chunks) {
		a.chunks = append(a.chunks, make([]byte, arenaChunk))
	}
	b := a.chunks[a.chunk][a.used : a.used+n : a.used+n]
	a.used += n
	return b
}
