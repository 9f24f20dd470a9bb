package router

import (
	"net/netip"
	"time"

	"vrouter/arp"
	"vrouter/bfd"
	"vrouter/ndp"
	"vrouter/neigh"
	"vrouter/vrrp"
)

// VirtualRouters returns the state of all virtual routers, in the order of
// the configuration.
func (r *Router) VirtualRouters() []VirtualRouterStatus {
	return r.SomeVirtualRouters(0, len(r.virtual))
}

func (r *Router) virtualStatus(v *virtual) VirtualRouterStatus {
	info, counters := v.machine.Info(), v.machine.Counters()
	v.flood.counters.each(func(name string, n uint64) { counters[name] = n })
	return VirtualRouterStatus{
		Name: v.cfg.Name, Interface: v.cfg.Interface, VRID: v.cfg.VRID,
		Family: familyName(v.cfg.IPv6()), Version: v.cfg.Version, State: info.State,
		Priority: v.cfg.Priority, EffectivePriority: info.Priority,
		Preempt: v.cfg.Preempt, Accept: v.cfg.Accept,
		Addresses: v.cfg.Addresses, VirtualMAC: v.mac,
		AdvertisementIntervalMS: v.cfg.Interval.Milliseconds(),
		MasterDownIntervalMS:    info.MasterDownInterval.Milliseconds(),
		SkewTimeMS:              info.SkewTime.Milliseconds(),
		Master:                  MasterStatus{info.MasterAddress, info.MasterPriority},
		PeerAddresses:           info.PeerAddresses,
		Contested:               r.contestedStatus(v, info.Contested),
		DampedUntil:             timeOrNil(info.DampedUntil),
		Forwarding:              info.Forwarding,
		Since:                   info.Since, Transitions: info.Transitions, LastReason: info.LastReason,
		Terms: r.termStatus(v), Holding: v.holding(), Group: v.group.status(), Obstacle: v.obstacle,
		WouldWin: r.wouldWin(v, &info), IfMasterDied: ifMasterDied(v, &info),
		Counters: counters,
	}
}

// timeOrNil leaves a zero time out of JSON.
func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func familyName(ipv6 bool) string {
	if ipv6 {
		return "ipv6"
	}
	return "ipv4"
}

// Interfaces returns the state of all interfaces by port number; the driver
// adds the traffic counters.
func (r *Router) Interfaces() []InterfaceStatus {
	list := make([]InterfaceStatus, 0, len(r.ifaces))
	for _, f := range r.ifaces {
		s := InterfaceStatus{
			Name: f.cfg.Name, Device: f.cfg.Device, Attach: string(f.cfg.Attach),
			MAC: f.state.MAC, MTU: f.state.MTU, Up: f.state.Up, Problem: f.state.Problem,
			Addresses: append([]netip.Prefix{}, f.addresses...), RA: r.raStatus(f), HostTAP: f.tapStatus(),
		}
		if f.addresses == nil {
			s.Addresses = append(s.Addresses, f.cfg.Addresses...)
		}
		list = append(list, s)
	}
	return list
}

// Neighbors returns the neighbour cache, in order of port and address.
func (r *Router) Neighbors(now time.Time) []NeighborStatus {
	list := []NeighborStatus{}
	for e := range r.cache.All() {
		list = append(list, NeighborStatus{
			Address: e.Key.Addr, Interface: r.ifaces[e.Key.Port].cfg.Name,
			MAC: e.MAC, State: e.State.String(), AgeMS: now.Sub(e.Confirmed).Milliseconds(),
		})
	}
	return list
}

// NeighborCounts counts the neighbour cache, in order of port and state; states
// that no neighbour is in have no count.
func (r *Router) NeighborCounts() []NeighborCount {
	list := []NeighborCount{}
	counts := r.cache.Count()
	for port, f := range r.ifaces {
		for state, n := range counts[uint16(port)] {
			if n > 0 {
				list = append(list, NeighborCount{Interface: f.cfg.Name, State: neigh.State(state).String(), Neighbors: n})
			}
		}
	}
	return list
}

// SomeVirtualRouters is VirtualRouters of those from the number from on, most of
// them at the most: a caller that wants many can let the router work between.
func (r *Router) SomeVirtualRouters(from, most int) []VirtualRouterStatus {
	some := r.virtual[min(from, len(r.virtual)):]
	some = some[:min(most, len(some))]
	list := make([]VirtualRouterStatus, 0, len(some))
	for _, v := range some {
		list = append(list, r.virtualStatus(v))
	}
	return list
}

// ControlCounters returns the counters of the control plane by name.
func (r *Router) ControlCounters() map[string]uint64 {
	m := map[string]uint64{
		"malformed":          r.counters.malformed,
		"spoofed_address":    r.counters.spoofed,
		"neighbor_off_link":  r.counters.offLink,
		"neighbor_no_source": r.counters.noAddress,
		"interface_down":     r.counters.portDown,
		"flood_questions":    r.counters.inquiries,
	}
	r.imports.counters(m)
	r.bgpCounters(m)
	for _, v := range r.virtual {
		v.flood.counters.each(func(name string, n uint64) { m[name] += n })
	}
	for i, n := range r.counters.vrrp {
		if i > 0 {
			m["vrrp_"+vrrp.Reason(i).String()] = n
		}
	}
	for i, n := range r.counters.arp {
		if i > 0 {
			m["arp_"+arp.Reason(i).String()] = n
		}
	}
	for i, n := range r.bfd.discards {
		if i > 0 {
			m["bfd_"+bfd.Reason(i).String()] = n
		}
	}
	for i, n := range r.counters.nd {
		if i > 0 {
			m["nd_"+ndp.Reason(i).String()] = n
		}
	}
	for name, n := range r.cache.Counters() {
		m["neighbor_"+name] = n
	}
	return m
}
