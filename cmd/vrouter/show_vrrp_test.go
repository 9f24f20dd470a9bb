package main

import (
	"net/netip"
	"testing"
	"time"

	"vrouter/control"
	"vrouter/control/controltest"
	"vrouter/packet"
	"vrouter/router"
	"vrouter/vrrp"
)

func TestProblemsTellOfAContestedVirtualRouter(t *testing.T) {
	now := controltest.Now
	mac := packet.MAC{2, 0, 0, 0, 0, 3}
	v := control.VirtualRouter{State: "Master"}
	v.Forwarding = true
	v.Contested = &router.ContestedStatus{
		Kind: vrrp.ContestLesser, Address: netip.MustParseAddr("192.0.2.3"), MAC: vrrp.VirtualMAC(10, false),
		Since: now.Add(-time.Minute), Ways: "one_way", NeighborMAC: &mac,
		Reason: "192.0.2.3 (00:00:5e:00:01:0a) goes on advertising priority 100 beside our 150: it does not hear us",
	}
	notes := problems(&v, now)
	want := "contested since 2026-03-14 09:25:53, one way: 192.0.2.3 (00:00:5e:00:01:0a) goes on advertising " +
		"priority 100 beside our 150: it does not hear us; its own MAC is 02:00:00:00:00:03"
	if len(notes) != 1 || notes[0].text != want {
		t.Errorf("%+v", notes)
	}
	v.Contested.NeighborMAC = nil
	v.Contested.Reason = "somebody\x1b[2J"
	if got := problems(&v, now)[0].text; got != "contested since 2026-03-14 09:25:53, one way: "+printable("somebody\x1b[2J") {
		t.Errorf("%q", got)
	}
}

func TestProblemsTellOfDamping(t *testing.T) {
	until := controltest.Now.Add(42 * time.Second)
	v := control.VirtualRouter{State: "Backup"}
	v.DampedUntil = &until
	notes := problems(&v, controltest.Now)
	if len(notes) != 1 || notes[0].text != "damped: silence alone is no reason to take over for 42s" {
		t.Errorf("%+v", notes)
	}
}
