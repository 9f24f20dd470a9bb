package sim

import (
	"fmt"
	"strings"
)

// action is something that is done to the network.
type action struct {
	kind    string
	router  int
	sides   []int
	virtual string  // switchover: of which virtual router; "": all
	share   float64 // loss: of frames
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
	case "loss":
		side += fmt.Sprintf(" %.2f", a.share)
	case "switchover":
		side = " " + a.virtual
	}
	return strings.TrimSpace(fmt.Sprintf("%s r%d%s", a.kind, a.router+1, side))
}

// act carries an action out; false: there is no such kind.
func (l *Lab) act(a action) bool {
	if l.actSwitch(a) {
		return true
	}
	n := l.Routers[a.router]
	switch a.kind {
	case "start":
		n.Begin()
	case "crash":
		n.Crash()
	case "stop":
		n.End()
	case "freeze":
		n.Freeze()
	case "thaw":
		n.Thaw()
	case "switchover":
		for _, v := range l.checks.virtual {
			if a.virtual == "" || a.virtual == v.name {
				n.Switchover(v.name)
			}
		}
	case "cut", "mend", "loss", "deaf", "mute", "clear", "partition":
		for _, side := range a.sides {
			l.actLink(a, n.Links[side])
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
