package router

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"vrouter/config"
	"vrouter/rib"
)

// KernelRoute is a route of the host's kernel, as it is now.
type KernelRoute struct {
	Prefix   netip.Prefix
	Metric   uint32
	Protocol uint8    // RTPROT_*
	Type     rib.Type // Unicast, Blackhole, Unreachable
	Hops     []KernelHop
	Gone     bool // Prefix and Metric say which
}

// KernelHop is a next hop of the kernel's.
type KernelHop struct {
	Via netip.Addr // zero: destinations are on the link
	// Device is the kernel's name; empty: packets cannot leave as the route
	// wants it.
	Device string
}

// KernelRoutesMax is the most routes that KernelRoutes takes in a turn.
const KernelRoutesMax = 256

// ImportStatus is how well the kernel is followed.
type ImportStatus struct {
	Synced   bool   // all of the kernel's routes are known
	Routes   int    // that the kernel has
	Overruns uint64 // times that the kernel had more to tell than was read
	Looks    uint64 // at all routes
	Took     time.Duration
	Problem  string // why the kernel is not followed now
}

// vacant is the interface of a port that has none at the moment.
var vacant = &config.Interface{HostAddrs: true}

// SetInterface gives a port an interface that is not the configuration's, as of
// a device of the host's; one without a name is none. The number is that of a
// port that had one so before, or the next one.
func (r *Router) SetInterface(now time.Time, port uint16, c *config.Interface) []Action {
	if !r.started {
		r.ifaces = append(r.ifaces, newIface(port, c))
		return nil
	}
	r.begin(now)
	if int(port) == len(r.ifaces) {
		r.ifaces = append(r.ifaces, newIface(port, vacant))
	}
	f := r.ifaces[port]
	if f.state.Up {
		r.interfaceDown(now, f, "the device has gone")
		r.event(now, Event{Kind: "interface", Name: f.cfg.Name, From: "up", To: "down", Reason: "the device has gone"})
	}
	r.readdress(f, nil)
	f.cfg, f.state = c, PortState{Problem: notOpened}
	r.membership(f)
	r.dirty, r.localDirty, r.unsettled = true, true, true
	r.bgp.stale = true
	return r.end(now)
}

// hostMetric tells the host's addresses from those of interfaces, which have 0.
const hostMetric = 1

// HostAddresses takes the addresses of the host that are on none of the router's
// interfaces: packets to them are the kernel's.
func (r *Router) HostAddresses(now time.Time, list []netip.Addr) []Action {
	r.begin(now)
	for _, a := range r.imports.host {
		if !slices.Contains(list, a) {
			r.table.RemoveMetric(rib.Local, netip.PrefixFrom(a, a.BitLen()), hostMetric)
			r.dirty = true
		}
	}
	for _, a := range list {
		if !slices.Contains(r.imports.host, a) && !a.IsLinkLocalUnicast() && !a.IsLoopback() {
			r.table.Add(rib.Route{Prefix: netip.PrefixFrom(a, a.BitLen()), Source: rib.Local, Type: rib.LocalType, Metric: hostMetric})
			r.dirty = true
		}
	}
	r.imports.host = slices.Clone(list)
	return r.end(now)
}

// KernelForwards says why the host's kernel forwards what comes to the devices
// that it shares with the router; empty: it does not. While it does the router
// leaves that to it.
func (r *Router) KernelForwards(now time.Time, why string) []Action {
	if !r.started {
		r.imports.yields = why
		return nil
	}
	r.begin(now)
	if was := r.imports.yields; was != why {
		r.imports.yields = why
		who := func(why string) string {
			if why == "" {
				return "vrouter"
			}
			return "kernel"
		}
		r.event(now, Event{Kind: "import", Name: "forwarding", From: who(was), To: who(why), Reason: why})
		r.dirty = true
	}
	return r.end(now)
}

// Unresolved returns how many next hops of routes are not resolved yet.
func (r *Router) Unresolved() (n int) {
	for _, h := range r.table.NextHops() {
		if !r.table.Resolved(h) {
			n++
		}
	}
	return n
}

// importing is what the router knows of its host's routes.
type importing struct {
	status   ImportStatus
	changes  uint64 // that were taken
	unusable uint64 // of these, routes with no next hop on an interface of the router
	host     []netip.Addr
	yields   string // why the kernel forwards in the place of the router; empty: it does not
}

func (i *importing) counters(m map[string]uint64) {
	m["import_changes"], m["import_unusable"] = i.changes, i.unusable
	m["import_overruns"], m["import_looks"] = i.status.Overruns, i.status.Looks
}

// KernelRoutes takes routes of the host's kernel, at most KernelRoutesMax.
func (r *Router) KernelRoutes(now time.Time, routes []KernelRoute) []Action {
	r.begin(now)
	if r.cfg.Import == nil {
		return r.end(now)
	}
	for i := range routes {
		r.learnKernel(&routes[i])
	}
	r.dirty, r.unsettled = true, true
	r.keepNextHops(now)
	return r.end(now)
}

// learnKernel puts one route into the table.
func (r *Router) learnKernel(k *KernelRoute) {
	r.imports.changes++
	if k.Gone {
		r.table.RemoveMetric(rib.Imported, k.Prefix, k.Metric)
		return
	}
	route := rib.Route{Prefix: k.Prefix, Source: rib.Imported, Metric: k.Metric, Type: k.Type, Origin: k.Protocol}
	if k.Type == rib.Unicast {
		if route.Via = r.kernelVias(k.Hops); len(route.Via) == 0 {
			r.imports.unusable++
			if !r.cfg.Import.Mirror {
				r.table.RemoveMetric(rib.Imported, k.Prefix, k.Metric)
				return
			}
			// A packet must not take a less specific way than the kernel's.
			route.Type = rib.Unreachable
		}
	}
	r.table.Add(route)
}

// kernelVias turns next hops into what the table knows; those that do not leave
// by an interface of the router are left out. A next hop that is the link itself
// stands alone.
func (r *Router) kernelVias(hops []KernelHop) []rib.Via {
	vias := make([]rib.Via, 0, len(hops))
	for _, h := range hops {
		f := r.byKernelDevice(h.Device)
		if f == nil {
			continue
		}
		v := rib.Via{Addr: h.Via, Port: f.port, HasPort: true}
		if !h.Via.IsValid() {
			return []rib.Via{v}
		}
		vias = append(vias, v)
	}
	return vias
}

// byKernelDevice returns the interface that leads where a device of the kernel's
// leads, nil for none: to the kernel its host TAP is the interface.
func (r *Router) byKernelDevice(name string) *iface {
	for _, f := range r.ifaces {
		if name != "" && (name == f.cfg.Device || name == f.kernelDevice()) {
			return f
		}
	}
	return nil
}

// ImportStatus takes how well the kernel is followed.
func (r *Router) ImportStatus(now time.Time, s ImportStatus) []Action {
	r.begin(now)
	was := r.imports.status
	r.imports.status = s
	e := Event{Kind: "import", Name: "kernel", From: followed(&was), To: followed(&s)}
	switch {
	case s.Overruns > was.Overruns:
		e.Reason = "the kernel had more changes to tell than the netlink socket holds: looking at all routes again; those that are known stay meanwhile"
	case s.Problem != was.Problem && s.Problem != "":
		e.Reason = s.Problem + "; the routes that are known stay meanwhile"
	case s.Synced && !was.Synced:
		e.Reason = fmt.Sprintf("%d routes, looked at in %v", s.Routes, s.Took.Round(100*time.Microsecond))
	default:
		return r.end(now)
	}
	r.event(now, e)
	return r.end(now)
}

// followed is a status in one word.
func followed(s *ImportStatus) string {
	switch {
	case s.Problem != "":
		return "failed"
	case s.Synced:
		return "synced"
	case s.Overruns > 0:
		return "resyncing"
	}
	return "starting"
}

// protocolName returns the name of a route's origin as iproute2 has it, its
// number where it has none (<linux/rtnetlink.h> RTPROT_*, and FRR's own).
func protocolName(protocol uint8) string {
	if name := protocolNames[protocol]; name != "" {
		return name
	}
	return strconv.Itoa(int(protocol))
}

var protocolNames = [256]string{
	1: "redirect", 2: "kernel", 3: "boot", 4: "static", 8: "gated", 9: "ra", 10: "mrt", 11: "zebra",
	12: "bird", 13: "dnrouted", 14: "xorp", 15: "ntk", 16: "dhcp", 17: "mrouted", 18: "keepalived",
	42: "babel", 84: "openr", 186: "bgp", 187: "isis", 188: "ospf", 189: "rip", 190: "ripng",
	191: "nhrp", 192: "eigrp", 193: "ldp", 194: "sharp", 195: "pbr", 196: "static", 197: "openfabric",
}
