package sim

import (
	"fmt"
	"strings"
	"time"
)

// action is something that is done to the network.
type action struct {
	kind    string
	router  int
	sides   []int
	virtual string        // switchover: of which virtual router; "": all
	share   float64       // loss: of frames
	by      time.Duration // step: of the wall clock
	changes []string      // reload: keys and values of Spec
}

// String is the command of scenarios that does the same.
func (a action) String() string {
	side := ""
	if len(a.sides) == 1 {
		side = " " + sideNames[a.sides[0]]
	}
	switch a.kind {
	case "forget", "heal":
		return a.kind + side
	case "loss", "loss-to", "loss-from":
		side += fmt.Sprintf(" %.2f", a.share)
	case "step":
		side = fmt.Sprintf(" %v", a.by)
	case "switchover":
		side = " " + a.virtual
	case "reload":
		side = " " + strings.Join(a.changes, " ")
	case "cut", "mend", "deaf", "mute", "clear", "partition":
	default: // done to a whole router
		side = ""
	}
	return strings.TrimSpace(fmt.Sprintf("%s r%d%s", a.kind, a.router+1, side))
}

// act carries an action out; false: there is no such kind.
func (l *Lab) act(a action) bool {
	defer l.watch(l.checks.longest())
	if l.actSwitch(a) {
		return true
	}
	n := l.Routers[a.router]
	switch a.kind {
	case "switchover":
		for _, v := range l.checks.virtual {
			if a.virtual == "" || a.virtual == v.name {
				n.Switchover(v.name)
			}
		}
	case "cut", "mend", "loss", "loss-to", "loss-from", "deaf", "mute", "clear", "partition":
		for _, side := range a.sides {
			l.actLink(a, n.Links[side])
		}
	default:
		return l.actProcess(a, n)
	}
	return true
}

// actProcess does something to a router's process, or to its machine.
func (l *Lab) actProcess(a action, n *Node) bool {
	switch a.kind {
	case "start":
		n.Begin()
	case "crash":
		n.Crash()
	case "kill":
		n.Kill()
	case "hang":
		n.Hang()
	case "off":
		n.Crash()
		for _, link := range n.Links {
			l.actLink(action{kind: "cut", router: a.router}, link)
		}
	case "on":
		for _, link := range n.Links {
			l.actLink(action{kind: "mend", router: a.router}, link)
		}
		n.Begin()
	case "stop":
		n.End()
	case "freeze":
		n.Freeze()
	case "thaw":
		n.Thaw()
	case "step":
		n.StepWall(a.by)
	case "ail", "recover":
		n.Ail(a.kind == "ail")
	case "drain", "undrain":
		n.Drain(a.kind == "drain")
	case "reload":
		spec := l.checks.members[a.router].spec
		for i := 0; i+1 < len(a.changes); i += 2 {
			if err := spec.set(a.changes[i], a.changes[i+1]); err != nil {
				n.w.checks.report("reload: %v", err)
			}
		}
		if err := n.Reload(spec); err != nil {
			n.w.checks.report("%s does not reload: %v", n.Name, err)
		}
	default:
		return false
	}
	return true
}

// actSwitch does something to whole switches.
func (l *Lab) actSwitch(a action) bool {
	if a.kind != "forget" && a.kind != "heal" {
		return false
	}
	for _, side := range a.sides {
		s := l.Switches[side]
		if a.kind == "heal" {
			l.note("%s is whole again", s.Name)
			s.Heal()
			l.checks.lossOver()
			continue
		}
		l.note("%s forgets its MAC table", s.Name)
		s.Forget()
		l.checks.forgets()
	}
	return true
}

// actLink does something to a router's link.
func (l *Lab) actLink(a action, link *Link) {
	l.note("%s", action{kind: a.kind, router: a.router, sides: []int{link.endAt}, share: a.share})
	switch a.kind {
	case "cut":
		link.Set(false)
	case "mend":
		link.Set(true)
	case "loss":
		link.lossUp, link.lossDown = a.share, a.share
	case "loss-to":
		link.lossDown = a.share
	case "loss-from":
		link.lossUp = a.share
	case "deaf":
		link.lossDown = 1
	case "mute":
		link.lossUp = 1
	case "clear":
		link.lossUp, link.lossDown = 0, 0
	case "partition":
		link.sw.Partition(link)
	}
	if l.checks.fault(); a.kind == "clear" {
		l.checks.lossOver()
	}
}
