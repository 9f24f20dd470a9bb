package router

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"vrouter/vrrp"
)

// group is a set of virtual routers that change state together: all of them are
// Master, or none is.
//
//   - It takes over when every member is elected (vrrp.Elected): a member whose
//     own master lives keeps the others waiting, and nobody goes back and forth.
//   - It takes over at once when one member's master has said that it stops, or
//     is known to be gone: its machine is one router, so the other members'
//     timers need not run out.
//   - It yields as a whole when one member hears a better master.
//   - It is down as a whole when one member cannot run.
//
// All members advertise one priority, the lowest of theirs, so that two routers
// compare the same in every one.
type group struct {
	name    string
	members []*virtual // in the order of the configuration
	master  bool       // as all members were when the group was settled last
	yieldAt time.Time  // members that are Master still give it up then; zero: see unite
	force   string     // why the group takes over at once; empty: it does not
	why     string     // of the last election of a member
}

// regroup makes the groups anew from the configuration of the virtual routers.
func (r *Router) regroup() {
	old := r.groups
	r.groups = nil
	for _, v := range r.virtual {
		v.group = nil
		if v.cfg.Group == "" || v.leaving {
			continue
		}
		g := groupNamed(r.groups, v.cfg.Group)
		if g == nil {
			g = &group{name: v.cfg.Group}
			if was := groupNamed(old, g.name); was != nil {
				g.master = was.master
			}
			r.groups = append(r.groups, g)
		}
		g.members = append(g.members, v)
		v.group = g
	}
	for _, g := range r.groups {
		leader := g.leader()
		for _, v := range g.members {
			v.machine.FollowTies(v != leader)
		}
	}
}

func groupNamed(list []*group, name string) *group {
	for _, g := range list {
		if g.name == name {
			return g
		}
	}
	return nil
}

// leader returns the member that decides between equal priorities. Routers that
// have the same virtual routers in a group choose the same one.
func (g *group) leader() *virtual {
	return slices.MinFunc(g.members, func(a, b *virtual) int {
		return cmp.Or(
			cmp.Compare(a.cfg.VRID, b.cfg.VRID),
			boolCompare(a.cfg.IPv6(), b.cfg.IPv6()),
			a.cfg.Addresses[len(a.cfg.Addresses)-1].Compare(b.cfg.Addresses[len(b.cfg.Addresses)-1]),
		)
	})
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// priority returns the group's effective priority.
func (g *group) priority() uint8 {
	lowest := g.members[0].own
	for _, v := range g.members {
		lowest = min(lowest, v.own)
	}
	return lowest
}

// masters returns how many members are Master.
func (g *group) masters() (n int) {
	for _, v := range g.members {
		if v.machine.State() == vrrp.Master {
			n++
		}
	}
	return n
}

// yieldPause is how long members go on as Master after another has heard a
// better master. That takes over as a whole, too, so they are about to hear it
// as well, and then yield without a word: a priority 0 that crosses its first
// advertisement would draw frames for the virtual MAC away from it, and make
// further routers think that there is no master.
const yieldPause = 5 * time.Millisecond

// unite makes all members follow what has become of one.
func (r *Router) unite(now time.Time, g *group) {
	masters := g.masters()
	yieldAt := g.yieldAt
	g.yieldAt = time.Time{}
	switch {
	case masters == len(g.members):
		g.master = true
	case g.master && masters > 0 && yieldAt.IsZero():
		g.yieldAt = now.Add(yieldPause)
	case g.master && masters > 0 && now.Before(yieldAt):
		g.yieldAt = yieldAt
	case g.master && masters > 0:
		g.master = false
		r.yieldGroup(now, g)
	case g.master:
		g.master = false
	case masters > 0, g.force != "", g.elected():
		r.takeOverGroup(now, g)
	}
	g.force = ""
}

// elected reports whether every member would be Master.
func (g *group) elected() bool {
	for _, v := range g.members {
		if !v.machine.Elected() {
			return false
		}
	}
	return true
}

// yieldGroup makes the members that are Master still give it up.
func (r *Router) yieldGroup(now time.Time, g *group) {
	why := "group " + g.name
	for _, v := range g.members {
		if v.machine.State() != vrrp.Master {
			why = fmt.Sprintf("group %s: %s: %s", g.name, v.cfg.Name, v.machine.Info().LastReason)
		}
	}
	for _, v := range g.members {
		r.vrrpActions(now, v, v.machine.Yield(now, why))
	}
}

// takeOverGroup makes all members Master; none of them is in Initialize, or run
// would have put the whole group there.
func (r *Router) takeOverGroup(now time.Time, g *group) {
	for _, v := range g.members {
		if v.machine.State() == vrrp.Initialize {
			return
		}
	}
	why := cmp.Or(g.force, g.why)
	for _, v := range g.members {
		r.vrrpActions(now, v, v.machine.TakeOver(now, "group "+g.name+": "+why))
	}
	g.master = true
}

// elect takes the answer of a machine that would be Master.
func (r *Router) elect(v *virtual, e vrrp.Elected) {
	r.unsettled = true
	if v.group == nil {
		return // its configuration has just changed: Reconfigure has settled it
	}
	v.group.why = v.cfg.Name + ": " + e.Reason
	if e.GaveUp {
		v.group.force = v.group.why
	}
}

// takeOver makes a virtual router Master at once, with its whole group, because
// its master is known to be gone.
func (r *Router) takeOver(now time.Time, v *virtual, reason string) {
	if v.group == nil {
		r.vrrpActions(now, v, v.machine.TakeOver(now, reason))
		return
	}
	if v.machine.State() == vrrp.Backup {
		v.group.force = v.cfg.Name + ": " + reason
		r.unsettled = true
	}
}

// waiting says why a group that one member would take over does not.
func (g *group) waiting() string {
	var would, hears []string
	for _, v := range g.members {
		i := v.machine.Info()
		switch {
		case i.State != vrrp.Backup:
		case i.Elected:
			would = append(would, v.cfg.Name)
		case i.MasterAddress.IsValid():
			hears = append(hears, fmt.Sprintf("%s hears %v (priority %d)", v.cfg.Name, i.MasterAddress, i.MasterPriority))
		default:
			hears = append(hears, v.cfg.Name+" listens")
		}
	}
	if len(would) == 0 || len(hears) == 0 {
		return ""
	}
	return strings.Join(would, ", ") + " would be Master, but " + strings.Join(hears, ", ")
}
