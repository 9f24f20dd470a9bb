package router

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"vrouter/config"
	"vrouter/vrrp"
)

// ErrRestart says that a change of configuration needs a restart.
var ErrRestart = errors.New("needs a restart")

// identity is what makes a virtual router the same one in another
// configuration: where its advertisements and its virtual MAC are.
type identity struct {
	itf  string
	vrid uint8
	ipv6 bool
}

func identify(c *config.VRRP) identity { return identity{c.Interface, c.VRID, c.IPv6()} }

// Reconfigure takes over another configuration: its virtual routers, checks and
// static routes. Virtual routers are known by interface, VRID and family: what
// has not changed goes on untouched, what has changes in place, new ones start,
// missing ones hand over and end. A change of anything else is refused with
// ErrRestart, and then nothing is changed.
func (r *Router) Reconfigure(now time.Time, cfg *config.Config) ([]Action, error) {
	if err := r.reloadable(cfg); err != nil {
		return nil, err
	}
	r.begin(now)
	was := r.cfg
	r.cfg = cfg
	r.bgp.stale = true
	for i := range cfg.Interfaces {
		f := r.ifaces[i]
		if f.cfg.HostTAP != cfg.Interfaces[i].HostTAP {
			r.told(now, f.cfg.Name, "host TAP of interface "+f.cfg.Name, tapChange(cfg.Interfaces[i].HostTAP))
			r.dirty, f.tap = true, HostTAPState{}
		}
		f.cfg = &cfg.Interfaces[i]
	}
	if !reflect.DeepEqual(was.Routes, cfg.Routes) {
		r.addStaticRoutes()
		r.told(now, "routes", "static routes", "changed")
		r.dirty = true
		r.keepNextHops(now)
	}
	if !reflect.DeepEqual(was.BGP, cfg.BGP) {
		r.told(now, "bgp", "BGP", "changed")
		r.rearrangeBGP(now)
	}
	if !reflect.DeepEqual(was.BFD, cfg.BFD) || !reflect.DeepEqual(was.BGP, cfg.BGP) {
		r.rearrangeBFD(now)
		r.keepNextHops(now)
	}
	r.reconfigureChecks(now)
	r.reconfigureVirtuals(now)
	r.leaseTime = leaseDuration(cfg.VRRP)
	for _, f := range r.ifaces {
		r.readdressed(now, f)
		r.membership(f)
	}
	r.localDirty, r.unsettled, r.willsStale = true, true, true
	return r.end(now), nil
}

// reloadable refuses what only a restart can change.
func (r *Router) reloadable(cfg *config.Config) error {
	var tables []string
	for _, t := range []struct {
		name     string
		old, new any
	}{
		{"[router]", r.cfg.Router, cfg.Router},
		{"[control] socket", r.cfg.Control.Socket, cfg.Control.Socket},
		{"[log]", r.cfg.Log, cfg.Log},
		{"[[interface]]", withoutTAPs(r.cfg.Interfaces), withoutTAPs(cfg.Interfaces)},
		{"[import]", r.cfg.Import, cfg.Import},
	} {
		if !reflect.DeepEqual(t.old, t.new) {
			tables = append(tables, t.name)
		}
	}
	if len(tables) == 0 {
		return nil
	}
	return fmt.Errorf("the change of %s %w; the running configuration stays: restart vrouter to apply it, or undo it to apply the rest",
		strings.Join(tables, ", "), ErrRestart)
}

// withoutTAPs returns interfaces without what a reload can change of them: host
// TAPs come and go.
func withoutTAPs(list []config.Interface) []config.Interface {
	list = slices.Clone(list)
	for i := range list {
		list[i].HostTAP = false
	}
	return list
}

// told notes what a reload does.
func (r *Router) told(now time.Time, name, what, how string) {
	r.event(now, Event{Kind: "config", Name: name, From: "running", To: how, Reason: what + " " + how})
}

// reconfigureChecks keeps the verdicts of checks that look at the same thing.
func (r *Router) reconfigureChecks(now time.Time) {
	old := r.checks
	r.checks = nil
	for i := range r.cfg.Checks {
		c := &r.cfg.Checks[i]
		next := &check{cfg: c}
		for _, o := range old {
			if o.cfg.Name == c.Name {
				if sameProbe(o.cfg, c) {
					*next = *o
				}
				if !reflect.DeepEqual(o.cfg, c) {
					r.told(now, c.Name, "check "+c.Name, "changed")
				}
			}
		}
		next.cfg = c
		r.checks = append(r.checks, next)
	}
}

// sameProbe reports whether two checks look at the same thing.
func sameProbe(a, b *config.Check) bool {
	return a.Ping == b.Ping && a.TCP == b.TCP && slices.Equal(a.Exec, b.Exec)
}

// reconfigureVirtuals brings the virtual routers in step with the configuration,
// in its order; those that end come last.
func (r *Router) reconfigureVirtuals(now time.Time) {
	old := r.virtual
	r.virtual = nil
	for i := range r.cfg.VRRP {
		c := &r.cfg.VRRP[i]
		j := slices.IndexFunc(old, func(v *virtual) bool { return identify(v.cfg) == identify(c) })
		if j < 0 {
			r.virtual = append(r.virtual, newVirtual(c, r.portOf(c.Interface)))
			r.told(now, c.Name, "virtual router", "added")
			continue
		}
		v := old[j]
		old = slices.Delete(old, j, j+1)
		r.virtual = append(r.virtual, v)
		r.reconfigureVirtual(now, v, c)
	}
	for _, v := range old {
		r.told(now, v.cfg.Name, "virtual router", "removed")
		v.leaving, v.leavingWhy, v.then = true, "no longer configured", nil
		r.virtual = append(r.virtual, v)
	}
	r.regroup()
}

// reconfigureVirtual changes one virtual router in place; another version of
// the protocol is another machine, which starts when this one has handed over.
func (r *Router) reconfigureVirtual(now time.Time, v *virtual, c *config.VRRP) {
	if reflect.DeepEqual(v.cfg, c) && !v.leaving {
		v.cfg = c
		return
	}
	r.told(now, c.Name, "virtual router", "changed")
	if c.Version != v.machine.Config().Version {
		v.leaving, v.then = true, c
		v.leavingWhy = fmt.Sprintf("version %d becomes %d", v.machine.Config().Version, c.Version)
		return
	}
	v.leaving, v.leavingWhy, v.then = false, "", nil
	before := v.cfg.Addresses
	v.cfg = c
	r.readdressVirtual(v, before)
	r.vrrpActions(now, v, v.machine.Reconfigure(now, c.Config))
}

// readdressVirtual replaces the virtual addresses of a Master in the routes.
func (r *Router) readdressVirtual(v *virtual, before []netip.Addr) {
	if !v.local {
		return
	}
	for _, a := range before {
		if !slices.Contains(v.cfg.Addresses, a) {
			r.table.RemoveVirtual(v.port, a)
		}
	}
	for _, a := range v.cfg.Addresses {
		r.table.SetVirtual(v.port, a, v.accepts())
	}
	r.dirty, r.localDirty = true, true
}

// leave drops the virtual routers that have ended, and starts what comes in
// their place.
func (r *Router) leave() {
	gone := func(v *virtual) bool { return v.leaving && v.machine.State() == vrrp.Initialize && !v.served }
	if !slices.ContainsFunc(r.virtual, gone) {
		return
	}
	kept := r.virtual[:0:0]
	for _, v := range r.virtual {
		switch {
		case !gone(v):
			kept = append(kept, v)
		case v.then != nil:
			kept = append(kept, newVirtual(v.then, v.port))
		}
	}
	r.virtual = kept
	r.regroup()
	for _, f := range r.ifaces {
		r.membership(f)
	}
	r.localDirty, r.unsettled = true, true
}
