package wan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"vrouter/vrrp"
)

// What the routers' configuration says, and what follows from it.
const (
	interval   = 100 * time.Millisecond // of VRRP advertisements
	bfdTime    = 3 * 100 * time.Millisecond
	detectTime = bfdTime + 100*time.Millisecond
)

// killTime is the bound for a router process that is killed: its guardian says
// so at once, and the Backup waits for its skew time.
var killTime = vrrp.SkewTime(3, priority2, interval) + 50*time.Millisecond

// silentTime is the bound for a router that says nothing more, though its links
// are up: the Backup waits for its Master_Down_Interval.
var silentTime = vrrp.MasterDownInterval(3, priority2, interval) + 50*time.Millisecond

// followTime is how long a provider that is vrouter may need to forward by what it
// has already announced: GoBGP tells neighbours and the router at the same time.
const followTime = 50 * time.Millisecond

const (
	byBFD     = "BFD's 3 × interval + 100 ms"
	byKill    = "VRRP's skew time + 50 ms"
	bySilence = "BFD's, or VRRP's Master_Down_Interval + 50 ms"
	byNobody  = ""
	byFIB     = "a provider that is vrouter announces a little too early"
)

// steps is what happens, in this order.
func (s *story) steps() []step {
	list := []step{{
		title: "everything is started", do: s.startAll, setup: true,
		master: s.r1, up: s.all(), leads: s.r1,
	}}
	list = append(list, s.links()...)
	list = append(list, s.routers()...)
	list = append(list, s.restarts()...)
	if canBlock() {
		list = append(list, s.blocks()...)
	}
	return list
}

// all is every session: with the providers, and between the routers.
func (s *story) all() []session {
	return slices.Concat(s.r1.providers(), s.r2.providers(), s.r1.inside(), s.r2.inside())
}

// links is what happens to links.
func (s *story) links() []step {
	r1, r2, all := s.r1, s.r2, s.all()
	learned := step{title: "isp1 has its upstream again", do: s.upstream1.plug, why: byNobody, master: r1, up: all, leads: r1}
	if s.isp1.kind == &plain {
		learned.bound, learned.why = followTime, byFIB
	}
	var before uint64
	return []step{
		{
			title: "the link r1-isp1 is cut", do: s.link1.cut, bound: detectTime, why: byBFD,
			master: r2, down: r1.providers(), up: r2.providers(), leads: r2,
		},
		{
			title: "the link r1-isp1 is mended", do: s.link1.plug, why: byNobody,
			master: r1, up: all, leads: r1,
		},
		{
			title: "that link flaps, five times", bound: detectTime, why: byBFD,
			do: func() (err error) {
				if before, err = r1.transitions(context.Background()); err != nil {
					return err
				}
				return s.link1.flap(5)
			},
			master: r1, up: all, leads: r1,
			after: func(ctx context.Context) error { return changedOnce(ctx, r1, before) },
		},
		{
			title: "isp1 loses its upstream", do: s.upstream1.cut, bound: detectTime, why: byBFD,
			master: r1, up: all, leads: r2,
		},
		learned,
	}
}

// changedOnce returns nil where both virtual routers have gone to Backup and come
// back, or not even that.
func changedOnce(ctx context.Context, g *gateway, before uint64) error {
	const most = 2 * 2
	now, err := g.transitions(ctx)
	if err == nil && now-before > most {
		err = fmt.Errorf("mastership oscillates: %d changes of state of %s, want %d at most", now-before, g.Name, most)
	}
	return err
}

// flap cuts the cable and mends it, for less time than BGP needs to return.
func (c cable) flap(times int) error {
	for range times {
		if err := c.cut(); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
		if err := c.plug(); err != nil {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
	return nil
}

// routers is what happens to r1.
func (s *story) routers() []step {
	r1, r2 := s.r1, s.r2
	return []step{
		{
			title: "r1 is killed (kill -9)", do: r1.kill, bound: killTime, why: byKill,
			master: r2, up: r2.providers(), leads: r2,
		},
		{title: "r1 comes back", do: r1.Start, why: byNobody, master: r1, up: s.all(), leads: r1},
		{
			title: "r1 freezes (SIGSTOP of all)", do: r1.freeze, bound: max(detectTime, silentTime), why: bySilence,
			master: r2, up: r2.providers(), leads: r2,
		},
		{title: "r1 thaws", do: r1.thaw, still: true, why: byNobody, master: r1, up: s.all(), leads: r1},
	}
}

// restarts is what happens to the providers' programs: that of isp1 is in use.
func (s *story) restarts() []step {
	return []step{
		{title: "isp2 is restarted", do: s.isp2.restart, why: byNobody, master: s.r1, up: s.all(), leads: s.r1},
		{
			title: "isp1 is restarted", do: s.isp1.restart, bound: detectTime, why: byBFD,
			master: s.r1, up: s.all(), leads: s.r1,
		},
	}
}

// blocks is BGP lost on a link that is well otherwise.
func (s *story) blocks() []step {
	r1, r2 := s.r1, s.r2
	return []step{
		{
			title: "isp1 drops TCP port 179", do: s.isp1.block, bound: detectTime, why: byBFD,
			master: r2, down: r1.providers(), up: r2.providers(), leads: r2,
		},
		{title: "the port is free again", do: s.isp1.unblock, why: byNobody, master: r1, up: s.all(), leads: r1},
	}
}

// startAll starts the providers, and then the routers.
func (s *story) startAll() error {
	return errors.Join(s.net.start(), s.isp1.start(), s.isp2.start(), s.r1.Start(), s.r2.Start())
}
