package wan

import (
	"errors"
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

// followTime is how long a provider that is vrouter may need to forward by what it
// has already announced: GoBGP tells neighbours and the router at the same time.
const followTime = 50 * time.Millisecond

const (
	byBFD    = "BFD + 100 ms"
	byKill   = "skew + 50 ms"
	byNobody = "nothing lost"
	byFIB    = "FIB of a vrouter"
)

// steps is what happens, in this order.
func (s *story) steps() []step {
	r1, r2 := s.r1, s.r2
	all := append(r1.providers(), r2.providers()...)
	learned := step{title: "isp1 has its upstream again", do: s.upstream1.plug, why: byNobody, master: r1, up: all, leads: r1}
	if s.isp1.kind == &plain {
		learned.bound, learned.why = followTime, byFIB
	}
	list := []step{
		{
			title: "everything is started", do: s.startAll, setup: true,
			master: r1, up: append(all, r1.inside()...), leads: r1,
		},
		{
			title: "the link r1-isp1 is cut", do: s.link1.cut, bound: detectTime, why: byBFD,
			master: r2, down: r1.providers(), up: r2.providers(), leads: r2,
		},
		{
			title: "the link r1-isp1 is mended", do: s.link1.plug, why: byNobody,
			master: r1, up: all, leads: r1,
		},
		{
			title: "isp1 loses its upstream", do: s.upstream1.cut, bound: detectTime, why: byBFD,
			master: r1, up: all, leads: r2,
		},
		learned,
		{
			title: "r1 is killed (kill -9)", do: r1.kill, bound: killTime, why: byKill,
			master: r2, up: r2.providers(), leads: r2,
		},
		{
			title: "r1 comes back", do: r1.start, why: byNobody,
			master: r1, up: append(all, r1.inside()...), leads: r1,
		},
		{
			title: "isp2 is restarted", do: s.isp2.restart, why: byNobody,
			master: r1, up: all, leads: r1,
		},
	}
	if !canBlock() {
		return list
	}
	return append(list,
		step{
			title: "TCP port 179 is blocked on isp1", do: s.isp1.block, bound: detectTime, why: byBFD,
			master: r2, down: r1.providers(), up: r2.providers(), leads: r2,
		},
		step{
			title: "the port is free again", do: s.isp1.unblock, why: byNobody,
			master: r1, up: all, leads: r1,
		},
	)
}

// startAll starts the providers, and then the routers.
func (s *story) startAll() error {
	return errors.Join(s.net.start(), s.isp1.start(), s.isp2.start(), s.r1.start(), s.r2.start())
}
