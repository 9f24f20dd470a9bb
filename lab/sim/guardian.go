package sim

import (
	"time"

	"vrouter/router"
)

// The guardian of a router's process, as far as the network sees it: it holds
// the last wills, sends them when the process has ended or is silent for too
// long, and starts another. Crash, off and freeze are of the whole machine, and
// take the guardian along.
const (
	watchdog     = 100 * time.Millisecond
	willWithin   = 10 * time.Millisecond // from the end of the process to its wills on the wire
	restartAfter = 200 * time.Millisecond
)

// will takes a last will, in the place of an earlier one.
func (n *Node) will(w router.Will) {
	if len(w.Frames) == 0 {
		if n.planted != bugStaleWill {
			delete(n.wills, w.Name)
		}
		return
	}
	n.wills[w.Name] = w
}

// Kill ends the router's process, and not its guardian.
func (n *Node) Kill() {
	if n.alive && !n.frozen {
		n.w.note("%s: the router process is killed", n.Name)
		n.w.After(time.Duration(n.w.Rand.Int64N(int64(willWithin/2))), n.bequeath())
	}
}

// Hang makes the router's process stand still, and not its guardian.
func (n *Node) Hang() {
	if !n.alive || n.frozen {
		return
	}
	n.Freeze()
	n.hangs++
	hang, life := n.hangs, n.life
	n.w.After(watchdog, func() {
		if n.hangs == hang && n.life == life && n.alive && n.frozen {
			n.w.note("%s: the guardian kills the router process", n.Name)
			n.bequeath()()
		}
	})
}

// bequeath ends the process; what it returns sends its wills, and has another
// one started.
func (n *Node) bequeath() func() {
	n.alive, n.mourns, n.router = false, true, nil
	n.w.checks.bequeaths(n)
	wills, life := n.wills, n.life
	n.wills = nil
	return func() {
		if !n.mourns {
			n.w.checks.noWill(n)
			return // the machine went down meanwhile
		}
		for _, v := range n.w.checks.virtual { // in an order that is always the same
			w, ok := wills[v.name]
			if !ok || n.planted == bugNoWill {
				continue
			}
			for _, frame := range w.Frames {
				n.w.checks.willSent(n, int(w.Port), frame)
				n.Links[w.Port].send(frame)
			}
		}
		n.w.After(restartAfter, func() {
			if n.life == life && n.mourns {
				n.mourns = false
				n.Begin()
			}
		})
	}
}
