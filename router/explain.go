package router

import (
	"fmt"
	"net/netip"
	"time"

	"vrouter/vrrp"
)

// Here the router explains itself: what "show vrrp NAME" says beside the state.

func (r *Router) termStatus(v *virtual) []TermStatus {
	list := []TermStatus{}
	left := int(v.cfg.Priority) - leastPriority
	terms := r.terms(v)
	for i := range terms {
		t := &terms[i]
		s := TermStatus{Kind: t.kind, Name: t.name, Weight: t.weight, Up: t.up, Known: t.known}
		if !t.up {
			s.Reason = t.reason
		}
		if !t.up && t.known && !v.cfg.Owner() {
			s.Effect = -min(t.weight, left)
			left += s.Effect
		}
		list = append(list, s)
	}
	return list
}

func (v *virtual) holding() *HoldingStatus {
	if v.readyBy.IsZero() || v.unready == "" || v.machine.State() != vrrp.Backup {
		return nil
	}
	return &HoldingStatus{Reason: v.unready, Until: v.readyBy}
}

func (g *group) status() *GroupStatus {
	if g == nil {
		return nil
	}
	s := &GroupStatus{Name: g.name, Waiting: g.waiting()}
	for _, v := range g.members {
		s.Members = append(s.Members, v.cfg.Name)
	}
	return s
}

// wouldWin compares this router with the master that it hears, as an election
// would (RFC 9568 6.4.3).
func (r *Router) wouldWin(v *virtual, info *vrrp.Info) WinnerStatus {
	source, _ := r.ifaces[v.port].vrrpSource(v.cfg.IPv6())
	ours := WinnerStatus{Address: source, Priority: info.Priority}
	theirs := WinnerStatus{Address: info.MasterAddress, Priority: info.MasterPriority}
	switch {
	case info.State == vrrp.Initialize:
		theirs.Reason = "this router does not take part: " + v.obstacle
		return theirs
	case info.State == vrrp.Master || !theirs.Address.IsValid():
		ours.Reason = "no other router is heard"
		return ours
	case theirs.Priority > ours.Priority:
		theirs.Reason = fmt.Sprintf("priority %d is above %d", theirs.Priority, ours.Priority)
		return theirs
	case theirs.Priority == ours.Priority && theirs.Address.Compare(source) > 0:
		theirs.Reason = "the same priority and the greater address"
		return theirs
	case theirs.Priority == ours.Priority:
		ours.Reason = "the same priority and the greater address"
	default:
		ours.Reason = fmt.Sprintf("priority %d is above %d", ours.Priority, theirs.Priority)
	}
	if !v.cfg.Preempt {
		ours.Reason += ", but preemption is off"
	}
	return ours
}

// ifMasterDied says what this router knows of what would follow.
func ifMasterDied(v *virtual, info *vrrp.Info) string {
	switch info.State {
	case vrrp.Master:
		return "this router is the master: a Backup takes over after its skew time where the guardian is left to say so, else after three intervals and its skew time"
	case vrrp.Initialize:
		return "this router would not take over: " + v.obstacle
	}
	if w := v.group.waitingFor(v); w != "" {
		return "this router would wait: " + w
	}
	return fmt.Sprintf("this router would take over with priority %d after %v, unless a better one that is silent now comes first",
		info.Priority, info.MasterDownInterval.Round(time.Millisecond))
}

// waitingFor says which other member of the group hears a master that would keep
// the group from taking over.
func (g *group) waitingFor(v *virtual) string {
	if g == nil {
		return ""
	}
	for _, o := range g.members {
		i := o.machine.Info()
		if o != v && i.State == vrrp.Backup && !i.Elected && alive(i.MasterAddress) {
			return fmt.Sprintf("group %s takes over when the master of %s (%v) is silent, too, or stops", g.name, o.cfg.Name, i.MasterAddress)
		}
	}
	return ""
}

func alive(master netip.Addr) bool { return master.IsValid() }
