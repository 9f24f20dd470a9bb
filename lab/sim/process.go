package sim

import (
	"time"

	"vrouter/config"
	"vrouter/router"
)

// What may happen to a router's process, and what an operator asks of it.

// check runs the health check, again and again.
func (n *Node) check(life int) {
	n.w.After(checkInterval, func() {
		if n.life != life || !n.alive {
			return
		}
		if !n.frozen {
			detail, ok := "", !n.ailing || n.planted == bugNoCheck
			if !ok {
				detail = "timeout"
			}
			n.turn(func(now time.Time) []router.Action { return n.router.CheckResult(now, "health", ok, detail) })
		}
		n.check(life)
	})
}

// Ail makes the health check fail from now on, or succeed.
func (n *Node) Ail(ails bool) {
	if n.checking && n.ailing != ails {
		n.w.note("%s: the health check would end otherwise: failing %v", n.Name, ails)
		n.ailing = ails
		n.w.checks.ails(n, ails)
	}
}

// Drain takes the router out of service, or back into it.
func (n *Node) Drain(on bool) {
	if !n.alive || n.frozen {
		return
	}
	n.w.note("%s is drained: %v", n.Name, on)
	asked := n.w.checks.drains(n, on)
	if n.planted != bugNoDrain {
		n.turn(func(now time.Time) []router.Action { return n.router.Drain(now, on) })
	}
	asked()
}

// Reload gives the router another configuration, as SIGHUP does.
func (n *Node) Reload(spec Spec) error {
	cfg, err := config.Parse(n.Name, []byte(spec.config(n.id+2)))
	if err != nil {
		return err
	}
	if !n.alive || n.frozen {
		return nil
	}
	n.cfg = cfg
	n.w.checks.reloads(n, spec)
	n.w.note("%s reloads: %s", n.Name, spec.command())
	var failed error
	if n.planted == bugReloadDrops {
		for _, v := range n.w.checks.virtual {
			n.turn(func(now time.Time) []router.Action {
				actions, _ := n.router.Switchover(now, v.name)
				return actions
			})
		}
	}
	n.turn(func(now time.Time) []router.Action {
		actions, err := n.router.Reconfigure(now, n.planted.config(cfg))
		failed = err
		return actions
	})
	return failed
}

// Crash ends the process at once, as SIGKILL does.
func (n *Node) Crash() {
	n.mourns = false
	if !n.alive {
		return
	}
	n.w.note("%s crashes", n.Name)
	n.alive, n.router = false, nil
	n.w.checks.dies(n, false)
}

// End stops the process in order, as SIGTERM does.
func (n *Node) End() {
	if !n.alive || n.frozen {
		return
	}
	n.w.note("%s is asked to stop", n.Name)
	asked := n.w.checks.ends(n)
	n.turn(func(now time.Time) []router.Action { return n.router.Stop(now, "shutdown") })
	asked()
}

// Freeze stops the process as SIGSTOP does; Thaw lets it go on.
func (n *Node) Freeze() {
	if n.alive && !n.frozen {
		n.w.note("%s freezes", n.Name)
		n.frozen, n.frozenAt = true, n.w.now
		n.w.checks.freezes(n)
	}
}

// Thaw undoes Freeze. Whether the worker or the control plane gets to run
// first is chance: what they do then is what the lease is for.
func (n *Node) Thaw() {
	if !n.alive || !n.frozen {
		return
	}
	n.w.note("%s thaws", n.Name)
	n.frozen = false
	n.hangs++
	if n.planted == bugClockSleeps {
		n.asleep += n.w.now.Sub(n.frozenAt)
	}
	n.w.checks.thaws(n)
	timerFirst := n.w.chance(0.5)
	if timerFirst {
		n.advance(n.life)
	}
	waiting := n.backlog
	n.backlog = nil
	for _, p := range waiting {
		n.serve(p.in, p.frame)
	}
	for i, l := range n.Links {
		n.linkChanged(i, l.up)
	}
	if !timerFirst {
		n.advance(n.life)
	}
}

// StepWall steps the wall clock of the router's machine, as date or an NTP
// client does. Nothing may come of it.
func (n *Node) StepWall(by time.Duration) {
	n.w.note("%s has its wall clock stepped by %v", n.Name, by)
	n.wall += by
}

// Switchover asks the router to hand a virtual router over.
func (n *Node) Switchover(name string) {
	if !n.alive || n.frozen {
		return
	}
	asked := n.w.checks.handsOver(n, name)
	n.turn(func(now time.Time) []router.Action {
		actions, err := n.router.Switchover(now, name)
		if err != nil {
			n.w.note("%s switchover: %v", n.Name, err)
		}
		return actions
	})
	asked()
}
