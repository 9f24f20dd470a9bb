package router

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"vrouter/config"
	"vrouter/vrrp"
)

// term is one thing that the effective priority of a virtual router depends on.
type term struct {
	kind   string // interface | route | bgp | bfd | check | drain
	name   string
	weight int // what it takes off while it is down; 0: the virtual router is down then
	up     bool
	known  bool   // else its first verdict is still to come, and it counts as up
	reason string // why it is down, or not known
}

// leastPriority is the lowest effective priority: 0 says on the wire that a
// master gives up (RFC 9568 5.2.4).
const leastPriority = 1

// terms returns what the virtual router tracks, as it is now.
func (r *Router) terms(v *virtual) []term {
	var list []term
	for i := range v.cfg.Track {
		t := r.trackTerm(&v.cfg.Track[i])
		r.holdDown(&t)
		t.weight = int(v.cfg.Track[i].Weight)
		list = append(list, t)
	}
	if r.drained {
		list = append(list, term{
			kind: "drain", name: "router", weight: vrrp.PriorityOwner, known: true,
			reason: "the router is drained: vrouter drain --end brings it back",
		})
	}
	return list
}

func (r *Router) trackTerm(t *config.Track) term {
	switch {
	case t.Interface != "":
		f := r.ifaces[r.portOf(t.Interface)]
		return term{kind: "interface", name: t.Interface, up: f.state.Up, known: true, reason: f.state.Problem}
	case t.Route.IsValid():
		up, reason := r.usableRoute(t.Route)
		return term{kind: "route", name: t.Route.String(), up: up, known: true, reason: reason}
	}
	switch {
	case t.BGP != "":
		return r.bgpTerm(t.BGP)
	case t.BFD != "":
		return r.bfdTerm(t.BFD)
	}
	c := r.check(t.Check)
	return term{kind: "check", name: t.Check, up: c.up, known: c.known, reason: c.evidence()}
}

// usableRoute reports whether there is a route for just this prefix that leads
// somewhere: through a next hop that answers, or to a link.
func (r *Router) usableRoute(prefix netip.Prefix) (up bool, reason string) {
	best, ok := r.table.Best(prefix)
	if !ok {
		return false, "no route in use"
	}
	for _, h := range best.NextHops {
		if h.Resolved {
			return true, ""
		}
	}
	if len(best.NextHops) == 0 {
		return false, "the route is " + best.Type.String()
	}
	return false, fmt.Sprintf("next hop %v does not answer", best.NextHops[0].Via)
}

// down says in one clause what a term that is down means.
func (t *term) down() string {
	s := t.kind + " " + t.name + " down"
	if t.kind == "drain" {
		return t.reason
	}
	if t.reason != "" {
		s += " " + t.reason
	}
	return s
}

// evaluate brings the effective priority and the fault of a virtual router in
// step with what it tracks. A group has one priority, the lowest of its
// members', so that it wins or loses as a whole.
func (r *Router) evaluate(v *virtual) {
	priority, fault := int(v.cfg.Priority), ""
	terms := r.terms(v)
	for i := range terms {
		t := &terms[i]
		switch {
		case t.up || !t.known:
		case t.weight == 0, v.cfg.Owner() && t.kind == "drain":
			fault = t.down()
		default:
			priority -= t.weight
		}
	}
	if v.cfg.Owner() {
		priority = vrrp.PriorityOwner // it always wins (RFC 9568 5.2.4)
	}
	v.own, v.fault = uint8(max(priority, leastPriority)), fault
}

// changes says which terms of a virtual router have changed since the last
// look, and remembers them.
func (v *virtual) changes(terms []term) string {
	var changed []string
	for i := range terms {
		t := &terms[i]
		j := slices.IndexFunc(v.terms, func(o term) bool { return o.kind == t.kind && o.name == t.name })
		was := j < 0 || v.terms[j].up || !v.terms[j].known
		switch is := t.up || !t.known; {
		case was && !is:
			changed = append(changed, t.down())
		case !was && is:
			changed = append(changed, t.kind+" "+t.name+" up")
		}
	}
	for _, o := range v.terms {
		gone := !slices.ContainsFunc(terms, func(t term) bool { return o.kind == t.kind && o.name == t.name })
		if gone && !o.up && o.known {
			changed = append(changed, o.kind+" "+o.name+" no longer counts")
		}
	}
	v.terms = terms
	return strings.Join(changed, "; ")
}

// prioritizeAll tells the machines in some states their effective priorities.
func (r *Router) prioritizeAll(now time.Time, in func(vrrp.State) bool) {
	for _, v := range r.virtual {
		if !in(v.machine.State()) {
			continue
		}
		priority := v.own
		if v.group != nil {
			priority = v.group.priority()
		}
		r.prioritize(now, v, priority)
	}
}

// prioritize tells a machine its effective priority.
func (r *Router) prioritize(now time.Time, v *virtual, priority uint8) {
	why := v.changes(r.terms(v))
	was := v.machine.Info().Priority
	if priority == was {
		return
	}
	if why == "" && v.group != nil {
		why = "the lowest of group " + v.group.name
	}
	r.event(now, Event{
		Kind: "priority", Name: v.cfg.Name, From: fmt.Sprint(was), To: fmt.Sprint(priority),
		Reason: fmt.Sprintf("%s; effective %d -> %d", why, was, priority),
	})
	r.vrrpActions(now, v, v.machine.SetPriority(now, priority))
}
