package interop

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"vrouter/internal/netlab"
)

// A Backup that a switch floods (fast_detect): streams of 1 kHz both ways, with
// the advertisement interval of one second, by whose timers a Backup would wait
// for more than three. What is measured is logged; what is demanded leaves room
// for a machine with other things to do.
const (
	floodRate  = 1000
	floodLimit = time.Second // where the timers would take 3.2 s at least
)

// floodStreams are streams through the virtual routers of both families.
type floodStreams struct {
	t    *testing.T
	list []*netlab.Stream
	from []uint64
}

func (r *rig) floodStreams(targets ...string) *floodStreams {
	r.t.Helper()
	f := &floodStreams{t: r.t}
	for i, target := range targets {
		s, err := netlab.StartStream(r.lan, r.up, netip.MustParseAddr(target), uint16(7100+i), floodRate)
		must(r.t, err)
		r.t.Cleanup(s.Close)
		f.list = append(f.list, s)
	}
	f.from = make([]uint64, len(f.list))
	f.settle()
	return f
}

// settle waits until packets flow, and begins to count.
func (f *floodStreams) settle() {
	f.t.Helper()
	for i, s := range f.list {
		waitFor(f.t, patience, "packets flow", func() error {
			if !s.Flowing(300) {
				return fmt.Errorf("%+v", s.Loss(f.from[i]))
			}
			return nil
		})
		f.from[i] = s.Next()
	}
}

// after waits until what follows an event is known, and tells of it.
func (f *floodStreams) after(what string) (lost, twice uint64, gap time.Duration) {
	f.t.Helper()
	time.Sleep(1500 * time.Millisecond)
	for i, s := range f.list {
		loss := s.Loss(f.from[i])
		f.t.Logf("%s, stream %d: %+v", what, i, loss)
		lost, twice, gap = lost+loss.Lost, twice+loss.Duplicates, max(gap, loss.Gap)
	}
	return lost, twice, gap
}

// attempts is how often something is tried that a machine with other things to
// do may spoil: a master that does not run for 10 ms does not answer either.
const attempts = 4

// forgets lets the switches forget, until that has misled nobody for once.
func (r *rig) forgets(v *vrouter, streams *floodStreams, switches ...*netlab.Switch) {
	r.t.Helper()
	for range attempts {
		streams.settle()
		before := v.counts("flood_received", "flood_questions", "flood_takeovers", "flood_forwarded")
		for range 10 {
			for _, sw := range switches {
				must(r.t, sw.Forget())
			}
			time.Sleep(100 * time.Millisecond)
		}
		lost, twice, _ := streams.after("switches forget")
		now := v.counts("flood_received", "flood_questions", "flood_takeovers", "flood_forwarded")
		r.t.Logf("received, questions, takeovers, forwarded: from %v to %v", before, now)
		asked := now[0] > before[0] && now[1] > before[1]
		if lost == 0 && twice == 0 && asked && now[2] == before[2] && now[3] == before[3] {
			return
		}
	}
	r.t.Errorf("in %d attempts packets were lost or came twice, or the backup took over, or did not ask", attempts)
}

// counts returns counters of the control plane.
func (v *vrouter) counts(names ...string) (list []uint64) {
	v.t.Helper()
	for _, name := range names {
		n, err := v.control(name)
		must(v.t, err)
		list = append(list, n)
	}
	return list
}

func TestFloodedBackupTakesOver(t *testing.T) {
	r := newRig(t)
	a := r.vrouter("r1", interfaces(numberFirst)+gateways(200, "1s"))
	b := r.vrouter("r2", interfaces(numberB)+gateways(100, "1s"))
	a.start()
	b.start()
	a.waitMaster()
	b.waitFollowed("192.0.2.2", "fe80::2", "203.0.113.2")
	streams := r.floodStreams(target4, target6)
	r.forgets(b, streams, r.lanNet, r.wanNet)
	a.waitMaster()

	for try := 1; ; try++ {
		streams.settle()
		must(t, a.lan.Cut())
		must(t, a.wan.Cut())
		_, _, gap := streams.after("links cut")
		b.waitMaster()
		must(t, a.lan.Plug())
		must(t, a.wan.Plug())
		a.waitMaster()
		b.waitFollowed("192.0.2.2", "fe80::2", "203.0.113.2")
		if gap < floodLimit && b.counts("flood_takeovers")[0] > 0 {
			return
		}
		if try == attempts {
			t.Fatalf("a gap of %v, takeovers by a flood: %v", gap, b.counts("flood_takeovers"))
		}
	}
}

// waitFollowed waits until the router has resolved the real addresses of a
// master, which it does before it would ask about them.
func (v *vrouter) waitFollowed(addresses ...string) {
	v.t.Helper()
	waitFor(v.t, patience, "the master has answered", func() error {
		for _, name := range []string{"lan4", "lan6", "wan4", "wan6"} {
			if one, err := v.virtual(name); err != nil || one.State != "Backup" {
				return fmt.Errorf("%s is %s, %v", name, one.State, err)
			}
		}
		known, err := v.neighbors()
		for _, a := range addresses {
			if !known[a] {
				return fmt.Errorf("%s is not resolved, %v", a, err)
			}
		}
		return nil
	})
}

// keepalived with virtual MACs as the Master: its kernel answers for its own
// address, so that a switch that forgets makes nobody take over; when its port
// dies the Backup knows at once.
func TestFloodedBackupOfKeepalived(t *testing.T) {
	program := need(t, "keepalived")
	r := newRig(t)
	v := r.vrouter("r1", interfaces(numberFirst)+
		virtualTable("vr", "lan", vridLAN, 3, 100, "1s", virtual4))
	peer, cable, _ := r.routerHost("peer")
	must(t, peer.Address("lan", "192.0.2.3/24"))
	must(t, peer.Address("wan", "203.0.113.3/24"))
	for _, key := range []string{"net/ipv4/ip_forward", "net/ipv4/conf/all/arp_ignore"} {
		must(t, peer.Sysctl(key, "1"))
	}
	must(t, peer.Route("0.0.0.0/0", wanHost4, "wan"))
	config := filepath.Join(r.lab.Dir, "keepalived.conf")
	must(t, os.WriteFile(config, fmt.Appendf(nil, `global_defs {
    vrrp_version 3
}
vrrp_instance vr {
    interface lan
    use_vmac vr.10
    vmac_xmit_base
    state BACKUP
    virtual_router_id %d
    priority 200
    advert_int 1
    virtual_ipaddress {
        %s/24
    }
}
`, vridLAN, virtual4), 0o600))
	pid := func(name string) string { return filepath.Join(r.lab.Dir, "flood-"+name+".pid") }
	k, err := peer.Start(program, "--dont-fork", "--log-console", "--log-detail", "--vrrp", "--use-file", config,
		"--pid", pid("main"), "--vrrp_pid", pid("vrrp"))
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("keepalived:\n%s", tail(k.Output()))
		}
	})
	v.start()
	waitFor(t, patience, "keepalived is followed", func() error {
		one, err := v.virtual("vr")
		if err == nil && (one.State != "Backup" || one.Master.Address != "192.0.2.3") {
			err = fmt.Errorf("%+v", one)
		}
		if known, _ := v.neighbors(); err == nil && !known["192.0.2.3"] {
			err = fmt.Errorf("192.0.2.3 is not resolved")
		}
		return err
	})
	must(t, r.up.Route("192.0.2.0/24", "203.0.113.3", "eth0"))
	streams := r.floodStreams(target4)
	r.forgets(v, streams, r.lanNet)

	streams.settle()
	must(t, r.up.Route("192.0.2.0/24", "203.0.113.2", "eth0"))
	must(t, cable.Cut())
	if _, _, gap := streams.after("link cut"); gap > floodLimit {
		t.Errorf("a gap of %v", gap)
	}
	v.waitState("vr", "Master")
	if n := v.counts("flood_takeovers")[0]; n == 0 {
		t.Error("no takeover by a flood")
	}
}

// neighbors returns the addresses that a router has resolved.
func (v *vrouter) neighbors() (map[string]bool, error) {
	out, err := v.show("neighbors")
	if err != nil {
		return nil, err
	}
	var list []struct{ Address, State string }
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, n := range list {
		known[n.Address] = n.State != "incomplete"
	}
	return known, nil
}
