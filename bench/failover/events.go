package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/vrrp"
)

// anyRouter as an event's master: whichever, but one alone.
const anyRouter = -1

// event is something that happens to router 0, the master, and what is
// expected then.
type event struct {
	id    string
	title string

	prepare func(ctx context.Context, s *session) error // from base to before the event; may be nil
	do      func(s *session) error
	// An event with a second part lasts for hold; then release ends it.
	hold     func(interval time.Duration) time.Duration
	release  func(s *session) error
	happened func(s *session, r *result) error // an error: it left no trace
	master   int                               // who must be master in the end
	beside   bool                              // the other router may advertise as well
	needs    func(k *kind) bool                // nil: every kind can do that
	thaws    bool                              // frozen processes go on: see thawLate
	short    bool                              // nothing is to be waited for: see least
	target   func(interval time.Duration) target
}

// least is for how long an event is watched at least.
func (e *event) least(interval time.Duration) time.Duration {
	if e.short {
		return 500*time.Millisecond + 2*interval
	}
	return time.Second + 3*interval
}

// limit is for how long it is watched where all does not become well.
func (e *event) limit(interval time.Duration) time.Duration { return 6*time.Second + 6*interval }

// freezeTime is how long processes stand still.
func freezeTime(interval time.Duration) time.Duration { return time.Second + 5*interval }

// oneWayTime is how long advertisements are dropped.
func oneWayTime(interval time.Duration) time.Duration { return time.Second + 5*interval }

// events is what can happen, in the order of the report.
var events = []*event{
	{
		id: "quiet", title: "nothing happens: the noise of this machine",
		do: func(*session) error { return nil }, master: 0,
	},
	{
		id: "kill", title: "the process that speaks VRRP killed (SIGKILL)",
		do: func(s *session) error { return s.kill(s.vrrpProcess) }, master: anyRouter, target: killTarget,
	},
	{
		id: "killall", title: "all of the router's processes killed (SIGKILL)",
		do: func(s *session) error { return s.kill(s.daemons[0].processes) }, master: 1, target: silentTarget,
	},
	{
		id: "freeze", title: "the process that speaks VRRP frozen (SIGSTOP), thawed after 1 s + 5 intervals",
		do: func(s *session) error { return s.freeze(s.vrrpProcess) }, hold: freezeTime, release: (*session).thaw, thaws: true,
		master: anyRouter, target: freezeTarget,
	},
	{
		id: "freezeall", title: "all of the router's processes frozen, thawed after 1 s + 5 intervals",
		do: func(s *session) error { return s.freeze(s.daemons[0].processes) }, hold: freezeTime, release: (*session).thaw, thaws: true,
		master: anyRouter, target: ownerTarget,
	},
	{
		id: "hostdead", title: "host dead: both links cut, the switches see it",
		do: func(s *session) error { return s.cut(sideLAN, sideWAN) }, master: 1, target: hostDeadTarget,
	},
	{
		id: "lancut", title: "LAN link cut",
		do: func(s *session) error { return s.cut(sideLAN) }, master: 1, target: linkTarget,
	},
	{
		id: "wancut", title: "WAN link cut",
		do: func(s *session) error { return s.cut(sideWAN) }, master: 1, target: linkTarget,
	},
	{
		id: "plug", title: "both links plugged in again", prepare: prepareCut,
		do: (*session).undo, master: 0, target: plannedTarget,
	},
	{
		id: "oneway", title: "advertisements lost one way in the LAN for 1 s + 5 intervals",
		do: (*session).deafen, hold: oneWayTime, release: (*session).hearAgain,
		happened: advertsDropped, master: 0,
	},
	{
		id: "partition", title: "partition: both links up, nothing passes",
		do: (*session).partition, happened: packetsLost, master: 1, beside: true, target: silentTarget,
	},
	{
		id: "heal", title: "the partition heals", prepare: preparePartition,
		do: (*session).undo, master: 0, target: plannedTarget,
	},
	{
		id: "stop", title: "planned stop (SIGTERM)",
		do: (*session).stop, master: 1, target: plannedTarget,
	},
	{
		id: "start", title: "start, with preemption", prepare: prepareStop,
		do: func(s *session) error { return s.daemons[0].start() }, master: 0, target: plannedTarget,
	},
	{
		id: "reload", title: "reload (SIGHUP) with a lower priority",
		do:    func(s *session) error { s.rig.priority = true; return s.daemons[0].setPriority(priorityBack) },
		needs: func(k *kind) bool { return k.reloads }, master: 1, target: plannedTarget,
	},
	{
		id: "flush", title: "both switches forget their MAC tables",
		do: (*session).flush, master: 0, short: true, target: plannedTarget,
	},
	{
		id: "upstream", title: "upstream dead for the router, its link up",
		do:    (*session).isolate,
		needs: func(k *kind) bool { return k.checks }, happened: packetsLost, master: 1, target: upstreamTarget,
	},
}

func (s *session) vrrpProcess() ([]int, error) {
	pid, err := s.daemons[0].vrrp()
	return []int{pid}, err
}

// kill ends processes and waits until they are gone.
func (s *session) kill(which func() ([]int, error)) error {
	pids, err := which()
	if err != nil {
		return err
	}
	s.rig.killed = true
	if err := signalAll(pids, unix.SIGKILL); err != nil {
		return err
	}
	return wait(context.Background(), time.Second, func() error {
		for _, pid := range pids {
			if processState(pid) != "" {
				return fmt.Errorf("process %d is still there", pid)
			}
		}
		return nil
	})
}

// freeze stops processes and waits until they stand.
func (s *session) freeze(which func() ([]int, error)) error {
	pids, err := which()
	if err != nil {
		return err
	}
	s.rig.frozen = pids
	if err := signalAll(pids, unix.SIGSTOP); err != nil {
		return err
	}
	return wait(context.Background(), time.Second, func() error {
		for _, pid := range pids {
			// A guardian may have ended it already.
			if state := processState(pid); state != "T" && state != "" {
				return fmt.Errorf("process %d does not stand: %s", pid, state)
			}
		}
		return nil
	})
}

func (s *session) thaw() error {
	for _, pid := range s.rig.frozen {
		if err := unix.Kill(pid, unix.SIGCONT); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	s.rig.frozen = nil
	return nil
}

func (s *session) cut(sides ...int) error {
	for _, side := range sides {
		s.rig.cut[side] = true
		if err := s.routers[0].links[side].Cut(); err != nil {
			return err
		}
	}
	for _, side := range sides {
		if up, err := s.routers[0].links[side].Carrier(); err != nil || up {
			return fmt.Errorf("the router's device has a carrier after its link was cut: %w", err)
		}
	}
	return nil
}

func prepareCut(ctx context.Context, s *session) error {
	if err := s.cut(sideLAN, sideWAN); err != nil {
		return err
	}
	return s.rest(ctx, 1, false)
}

// rest waits until a router is master and has been for a while.
func (s *session) rest(ctx context.Context, master int, beside bool) error {
	if err := sleep(ctx, s.interval+flowTime); err != nil {
		return err
	}
	return wait(ctx, s.patience(), func() error { return s.settled(master, beside) })
}

func (s *session) partition() error {
	for side, link := range s.routers[0].links {
		s.rig.blocked[side] = true
		if err := link.Block(true); err != nil {
			return err
		}
	}
	return nil
}

func preparePartition(ctx context.Context, s *session) error {
	if err := s.partition(); err != nil {
		return err
	}
	return s.rest(ctx, 1, true)
}

func (s *session) deafen() error {
	s.rig.deaf, s.rig.dropped = true, 0
	return s.routers[0].links[sideLAN].DropVRRP()
}

func advertsDropped(s *session, _ *result) error {
	if s.rig.dropped == 0 {
		return errors.New("no advertisement was dropped")
	}
	return nil
}

func packetsLost(_ *session, r *result) error {
	if r.Figures.Lost == 0 {
		return errors.New("no packet was lost")
	}
	return nil
}

func (s *session) stop() error { return s.daemons[0].stop() }

func prepareStop(ctx context.Context, s *session) error {
	if err := s.stop(); err != nil {
		return err
	}
	return s.rest(ctx, 1, false)
}

// flush makes both switches forget, and makes sure that they knew.
func (s *session) flush() error {
	mac := vrrp.VirtualMAC(vridLAN, false)
	if s.kind.virtualMAC {
		if port, err := s.switches[sideLAN].Behind(mac[:]); err != nil || port == "" {
			return fmt.Errorf("the switch did not know %v: %w", mac, err)
		}
	}
	return errors.Join(s.switches[sideLAN].Forget(), s.switches[sideWAN].Forget())
}

// isolate keeps router 0 and the upstream host from each other; router 1
// reaches both.
func (s *session) isolate() error {
	s.rig.isolated = true
	return errors.Join(s.routers[0].links[sideWAN].Isolate(true), s.uplink.Isolate(true))
}
