package router

import (
	"bytes"
	"slices"
	"time"

	"vrouter/neigh"
	"vrouter/vrrp"
)

// Will is what is to be sent if this process ends, or falls silent, without a
// word: that its virtual router has given up, while it is Master; and that a BFD
// session is down, while it is Up.
type Will struct {
	Name string // of the virtual router, or "bfd" and the neighbour; another will of that name replaces this one
	Port uint16
	// Lifetime is after how long the others have found out by themselves at the
	// latest: the Master_Down_Interval of the least of them.
	Lifetime time.Duration
	Frames   [][]byte // whole Ethernet frames; nil withdraws the will
}

func (Will) action() {}

// willUsed notes that an advertisement has left: the sequence number of a will
// with an authentication header is good for no more than the next one
// (vrrp.Machine.WillSequence).
func (r *Router) willUsed(v *virtual) {
	if v.machine.Config().Auth.Type == vrrp.AuthAH {
		r.willsStale = true
	}
}

// isPeer reports whether a will may be sent to a neighbour: it is a unicast peer
// of a virtual router, or has a BFD session.
func (r *Router) isPeer(k neigh.Key) bool {
	if slices.ContainsFunc(r.bfd.list, func(s *bfdSession) bool { return s.peer.WithZone("") == k.Addr }) {
		return true
	}
	for _, v := range r.virtual {
		if v.port == k.Port && slices.Contains(v.cfg.Peers, k.Addr) {
			return true
		}
	}
	return false
}

// currentWills returns all that is to be sent if this process ended now.
func (r *Router) currentWills(now time.Time) (list []Will) {
	for _, v := range r.virtual {
		if v.machine.State() != vrrp.Master {
			continue
		}
		if frames := r.willFrames(now, v); len(frames) > 0 {
			lifetime := vrrp.MasterDownInterval(v.cfg.Version, 1, v.cfg.Interval)
			list = append(list, Will{v.cfg.Name, v.port, lifetime, frames})
		}
	}
	for _, s := range r.bfd.list {
		if w, ok := r.willBFD(s); ok {
			list = append(list, w)
		}
	}
	return list
}

// bequeath brings the wills in step with the virtual routers and the sessions:
// first those that are withdrawn, for nobody may say of a Backup that it gives
// up; then those that are new or have changed.
func (r *Router) bequeath(now time.Time) []Action {
	if !r.willsStale {
		return nil
	}
	r.willsStale = false
	was := r.wills
	r.wills = make(map[string][][]byte, len(was))
	var made []Action
	for _, w := range r.currentWills(now) {
		r.wills[w.Name] = w.Frames
		if !slices.EqualFunc(w.Frames, was[w.Name], bytes.Equal) {
			made = append(made, w)
		}
	}
	var withdrawn []string
	for name := range was {
		if r.wills[name] == nil {
			withdrawn = append(withdrawn, name)
		}
	}
	slices.Sort(withdrawn)
	actions := make([]Action, 0, len(withdrawn)+len(made))
	for _, name := range withdrawn {
		actions = append(actions, Will{Name: name})
	}
	return append(actions, made...)
}
