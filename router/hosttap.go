package router

import (
	"net/netip"
	"reflect"
	"slices"
	"time"

	"vrouter/config"
	"vrouter/packet"
	"vrouter/vrrp"
)

// HostTAP is what the host's kernel is to have of an interface: its own
// addresses, not the virtual ones, on a TAP of its own.
type HostTAP struct {
	Port      uint16
	Device    string         // the TAP's name
	MAC       packet.MAC     // the port's
	MTU       int            // the port's
	Up        bool           // the port is: so the kernel's daemons see a link that is cut
	Addresses []netip.Prefix // not masked; the link-local one among them
	// Default4 and Default6 say that here goes what the host sends to where it has
	// no other route: of all TAPs the one of the interface that the router's own
	// default route leads to.
	Default4, Default6 bool
	// Routes are the neighbours of BGP that are on no link and are reached through
	// this TAP, whatever other routes the host has.
	Routes []HostRoute
}

// HostRoute is a route of the host's kernel to one address.
type HostRoute struct {
	To   netip.Addr
	From netip.Addr // the source of what the host sends there; zero: the kernel chooses
}

// HostTAPState is what became of a host TAP.
type HostTAPState struct {
	Up      bool
	Index   int    // the kernel's number of the device, another one where it was made anew; 0: there is none
	Problem string // what is missing, with the remedy; empty: nothing, or it is about to be made
}

// HostTAPChanged takes what became of the host TAP of a port. The kernel's
// connections live on in the meantime: a neighbour of BGP is given up only where
// there is a problem.
func (r *Router) HostTAPChanged(now time.Time, port uint16, s HostTAPState) []Action {
	r.begin(now)
	f := r.ifaces[port]
	was := f.tap
	f.tap = s
	r.bgp.stale = r.bgp.stale || was != s
	if was.Up != s.Up || was.Problem != s.Problem {
		r.event(now, Event{Kind: "host_tap", Name: f.cfg.Name, From: upDown(was.Up), To: upDown(s.Up), Reason: s.Problem})
	}
	return r.end(now)
}

// HostTAPStatus is the host TAP of an interface in "show interfaces".
type HostTAPStatus struct {
	Device  string `json:"device"`
	Up      bool   `json:"up"`
	Problem string `json:"problem,omitempty"` // why it is not up, or what is missing
	// What the router has handed to the kernel, and what that has sent on the TAP.
	// The driver fills them in.
	ToHost   TrafficStatus `json:"to_host"`
	FromHost TrafficStatus `json:"from_host"`
}

// tapStatus returns the state of an interface's host TAP, nil where it is to
// have none.
func (f *iface) tapStatus() *HostTAPStatus {
	if !f.cfg.HostTAP {
		return nil
	}
	return &HostTAPStatus{Device: f.kernelDevice(), Up: f.tap.Up, Problem: f.tap.Problem}
}

// hostWays are the parts of host TAPs that routes decide.
type hostWays struct {
	default4, default6 int // port; -1: none
	neighbors          []hostNeighbor
}

// hostNeighbor is a neighbour of BGP beyond the links of the router.
type hostNeighbor struct {
	port uint16
	HostRoute
}

// hasHostTAPs reports whether an interface is to have a host TAP.
func (r *Router) hasHostTAPs() bool {
	return slices.ContainsFunc(r.ifaces, func(f *iface) bool { return f.cfg.HostTAP })
}

// followHost has the host told where routes that have changed lead its packets
// by another TAP.
func (r *Router) followHost() {
	if !r.dirty || !r.hasHostTAPs() {
		return
	}
	if ways := r.hostWays(); !reflect.DeepEqual(ways, r.host) {
		r.host = ways
		r.localDirty = true
	}
}

// hostWays looks the routes up that decide by which TAP the host sends.
func (r *Router) hostWays() hostWays {
	w := hostWays{
		default4: r.defaultTAP(netip.IPv4Unspecified()),
		default6: r.defaultTAP(netip.IPv6Unspecified()),
	}
	if r.cfg.BGP == nil {
		return w
	}
	for i := range r.cfg.BGP.Neighbors {
		n := &r.cfg.BGP.Neighbors[i]
		if r.linkOf(n.Address) != nil {
			continue
		}
		if port, ok := r.tapToward(n); ok {
			w.neighbors = append(w.neighbors, hostNeighbor{port, HostRoute{To: n.Address, From: n.LocalAddress}})
		}
	}
	return w
}

// defaultTAP returns the port whose TAP takes what the host sends to where it
// has no other route, -1 for none: that of the router's default route, else the
// first with an address of the family that others than its link know.
func (r *Router) defaultTAP(any netip.Addr) int {
	if best, ok := r.table.Best(netip.PrefixFrom(any, 0)); ok {
		for _, hop := range best.NextHops {
			if f := r.ifaces[hop.Port]; f.cfg.HostTAP && f.hasGlobal(any.Is6()) {
				return int(hop.Port)
			}
		}
	}
	return slices.IndexFunc(r.ifaces, func(f *iface) bool { return f.cfg.HostTAP && f.hasGlobal(any.Is6()) })
}

// hasGlobal reports whether the interface has an address of a family that is not
// link-local.
func (f *iface) hasGlobal(ipv6 bool) bool {
	a := f.errorSource(ipv6)
	return a.IsValid() && !a.IsLinkLocalUnicast()
}

// tapToward returns the port by whose TAP the host reaches a neighbour on no
// link; ok is false where it does not need one.
func (r *Router) tapToward(n *config.Neighbor) (port uint16, ok bool) {
	for _, f := range r.ifaces {
		if n.LocalAddress.IsValid() && f.cfg.HostTAP && f.hasAddress(n.LocalAddress) {
			return f.port, true
		}
	}
	port, ok = r.Egress(n.Address)
	return port, ok && r.ifaces[port].cfg.HostTAP
}

// hostTAPs returns what the host's kernel is to have.
func (r *Router) hostTAPs() (list []HostTAP) {
	for _, f := range r.ifaces {
		if !f.cfg.HostTAP || f.state.MTU == 0 || f.state.MAC.IsZero() {
			continue // none, or the device was never seen
		}
		t := HostTAP{
			Port: f.port, Device: f.kernelDevice(), MAC: f.state.MAC, MTU: f.state.MTU, Up: f.state.Up,
			Default4: r.host.default4 == int(f.port), Default6: r.host.default6 == int(f.port),
		}
		for _, p := range f.addresses {
			if r.isHosts(f, p.Addr()) {
				t.Addresses = append(t.Addresses, p)
			}
		}
		for _, n := range r.host.neighbors {
			if n.port == f.port {
				t.Routes = append(t.Routes, n.HostRoute)
			}
		}
		list = append(list, t)
	}
	return list
}

// isHosts reports whether an own address of an interface with a host TAP is the
// kernel's now: one that is a virtual address too, as its owner's is, while
// Master.
func (r *Router) isHosts(f *iface, a netip.Addr) bool {
	v := r.virtualWith(f.port, a)
	return v == nil || v.machine.State() == vrrp.Master && v.accepts()
}

// tapChange says what a reload does with a host TAP.
func tapChange(wanted bool) string {
	if wanted {
		return "added"
	}
	return "removed"
}

// toHost hands a frame to the host's kernel, and reports whether that has the
// destination.
func (r *Router) toHost(in uint16, dst netip.Addr, frame []byte) bool {
	for _, f := range r.ifaces {
		if f.cfg.HostTAP && f.hasAddress(dst) && (f.port == in || !dst.IsLinkLocalUnicast()) {
			r.do(Deliver{in, frame})
			return true
		}
	}
	return false
}
