package router

import (
	"net/netip"
	"slices"
	"time"

	"vrouter/config"
	"vrouter/packet"
	"vrouter/vrrp"
)

// iface is an interface: its configuration, and its device as last reported.
type iface struct {
	port  uint16
	cfg   *config.Interface
	state PortState
	tap   HostTAPState
	// addresses are the interface's own addresses, whoever answers for them:
	// the configured ones with the link-local one, or the kernel's.
	addresses []netip.Prefix
	probers   []*prober
	joined    Membership // as last told to the driver
	ra        advertising
	reports   reports // of membership in groups
}

// PortState is what the driver knows of a port's device.
type PortState struct {
	Present bool
	Up      bool // present, administratively up, carrier
	MAC     packet.MAC
	MTU     int
	Offload packet.Offload
	Problem string // why it is not up, for people
	// KernelAddresses are the device's addresses in the kernel; used with
	// addresses = "host" only.
	KernelAddresses []netip.Prefix
}

func newIface(port uint16, cfg *config.Interface) *iface {
	return &iface{port: port, cfg: cfg, state: PortState{Problem: notOpened}}
}

// notOpened is the problem of a port that the driver has not told of yet.
const notOpened = "not opened yet"

// hasAddress reports whether addr is one of the interface's own.
func (f *iface) hasAddress(addr netip.Addr) bool {
	for _, p := range f.addresses {
		if p.Addr() == addr {
			return true
		}
	}
	return false
}

// owns reports whether this router answers for the interface's own addresses;
// else the host's kernel does.
func (f *iface) owns() bool { return !f.cfg.HostAddrs }

// onLink reports whether addr is a neighbour's on this interface.
func (f *iface) onLink(addr netip.Addr) bool {
	if addr.Is6() && addr.IsLinkLocalUnicast() {
		return true
	}
	for _, p := range f.addresses {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// source returns the interface's address that speaks for it toward dst: the
// one whose prefix holds dst, for link-local dst the link-local one, else the
// first of the family; false where there is none.
func (f *iface) source(dst netip.Addr) (netip.Addr, bool) {
	var first netip.Addr
	for _, p := range f.addresses {
		a := p.Addr()
		if a.Is4() != dst.Is4() {
			continue
		}
		if p.Contains(dst) {
			return a, true
		}
		if !first.IsValid() {
			first = a
		}
	}
	return first, first.IsValid()
}

// vrrpSource returns the primary address of advertisements: the first IPv4
// address, or the IPv6 link-local one (RFC 9568 5.1.2.1).
func (f *iface) vrrpSource(ipv6 bool) (netip.Addr, bool) {
	for _, p := range f.addresses {
		a := p.Addr()
		if a.Is4() == !ipv6 && (!ipv6 || a.IsLinkLocalUnicast()) {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// errorSource returns the source of ICMP errors of a family: a global address
// where there is one.
func (f *iface) errorSource(ipv6 bool) netip.Addr {
	var fallback netip.Addr
	for _, p := range f.addresses {
		a := p.Addr()
		if a.Is4() == ipv6 {
			continue
		}
		if !a.IsLinkLocalUnicast() {
			return a
		}
		fallback = a
	}
	return fallback
}

// ownAddresses computes the addresses from the configuration and the device.
// An interface with an IPv6 address, or with an IPv6 virtual router on it, has
// a link-local one: the configured one, or the one made from the MAC.
func (f *iface) ownAddresses(needIPv6 bool) []netip.Prefix {
	if f.cfg.HostAddrs {
		return f.state.KernelAddresses
	}
	list := append([]netip.Prefix(nil), f.cfg.Addresses...)
	has6, hasLinkLocal := needIPv6, false
	for _, p := range list {
		has6 = has6 || p.Addr().Is6()
		hasLinkLocal = hasLinkLocal || (p.Addr().Is6() && p.Addr().IsLinkLocalUnicast())
	}
	if has6 && !hasLinkLocal && !f.state.MAC.IsZero() {
		list = append(list, netip.PrefixFrom(f.state.MAC.LinkLocal(), 64))
	}
	return list
}

// PortChanged tells the state of a port's device: link up or down, MAC, MTU,
// kernel addresses.
func (r *Router) PortChanged(now time.Time, port uint16, s PortState) []Action {
	r.begin(now)
	f := r.ifaces[port]
	was := f.state
	f.state = s
	r.dirty, r.localDirty = true, true // MAC and MTU are in both
	r.bgp.stale = true
	r.unsettled, r.willsStale = true, true
	anotherMAC := was.MAC != s.MAC
	if was.Up && (!s.Up || anotherMAC) {
		why := s.Problem
		if s.Up {
			why = "another MAC address"
		}
		r.interfaceDown(now, f, why)
	}
	moved := r.readdressed(now, f)
	switch {
	case s.Up && (!was.Up || anotherMAC):
		r.interfaceUp(now, f)
	case s.Up && moved:
		// The host's kernel has got or lost an address. Virtual routers must
		// not take notice, but that another address may speak for them now.
		r.keepNextHops(now)
	}
	r.settle(now)
	if f.cfg.Name != "" && (was.Up != s.Up || was.Problem != s.Problem) {
		r.event(now, Event{
			Kind: "interface", Name: f.cfg.Name, From: upDown(was.Up), To: upDown(s.Up),
			Reason: s.Problem,
		})
	}
	return r.end(now)
}

func upDown(up bool) string {
	if up {
		return "up"
	}
	return "down"
}

// hasIPv6Virtual reports whether an IPv6 virtual router runs on the port.
func (r *Router) hasIPv6Virtual(port uint16) bool {
	for _, v := range r.virtual {
		if v.port == port && v.cfg.IPv6() {
			return true
		}
	}
	return false
}

// readdressed brings the interface's own addresses in step with configuration
// and device, and reports whether they were others.
func (r *Router) readdressed(now time.Time, f *iface) bool {
	addresses := f.ownAddresses(r.hasIPv6Virtual(f.port))
	if slices.Equal(addresses, f.addresses) {
		return false
	}
	r.readdress(f, addresses)
	for _, v := range r.virtual {
		if source, ok := f.vrrpSource(v.cfg.IPv6()); ok && v.port == f.port {
			v.machine.SetSource(now, source)
		}
	}
	return true
}

// readdress replaces the interface's own addresses.
func (r *Router) readdress(f *iface, addresses []netip.Prefix) {
	for _, p := range f.addresses {
		r.table.RemoveAddress(f.port, p)
	}
	for _, p := range addresses {
		r.table.AddAddress(f.port, p, !f.owns())
	}
	f.addresses = addresses
	r.membership(f)
}

// interfaceUp brings routes and probers of the interface to life; settle starts
// its virtual routers.
func (r *Router) interfaceUp(now time.Time, f *iface) {
	r.table.SetPort(f.port, true)
	r.keepNextHops(now)
	r.startProbers(now, f)
	r.settleOwnRA(now, f)
	r.reportSoon(now, f)
}

// interfaceDown withdraws all that relies on the interface. Its own addresses
// stay: they are reached through other interfaces.
func (r *Router) interfaceDown(now time.Time, f *iface, why string) {
	if why == "" {
		why = "down"
	}
	for _, v := range r.virtual {
		if v.port == f.port {
			r.vrrpActions(now, v, v.machine.Down(now, "interface "+f.cfg.Name+": "+why))
		}
	}
	r.table.SetPort(f.port, false)
	r.neighActions(r.cache.Forget(now, f.port))
	r.keepNextHops(now)
	f.probers = nil
	f.ra.active = false
	f.reports = reports{sent: f.reports.sent}
}

// ownerOnly reports whether addr is owned by a virtual router of priority 255
// on the port: then VRRP alone decides who answers for it.
func (r *Router) ownerOnly(port uint16, addr netip.Addr) bool {
	for _, v := range r.virtual {
		if v.port == port && v.cfg.Owner() && v.has(addr) {
			return true
		}
	}
	return false
}

func family(ipv6 bool) string {
	if ipv6 {
		return "IPv6"
	}
	return "IPv4"
}

// allNodes and its like are the groups that a router listens to beside VRRP's
// (RFC 1112 all hosts, where IGMP queries come; RFC 4291 2.7.1).
var (
	allHosts   = netip.AddrFrom4([4]byte{224, 0, 0, 1})
	allNodes   = netip.MustParseAddr("ff02::1")
	allRouters = netip.MustParseAddr("ff02::2")
)

// membership tells a port the MACs that it must receive. Virtual MACs are
// received by backups as well: the fast path drops and counts what they are
// not Master for.
func (r *Router) membership(f *iface) {
	var macs, groups macSet
	for _, g := range append(r.groupsOf(f), allHosts, allNodes, allRouters) {
		groups.add(packet.MulticastMAC(g))
	}
	for _, v := range r.virtual {
		if v.port == f.port {
			macs.add(v.mac)
		}
	}
	if !slices.Equal(macs, f.joined.MACs) || !slices.Equal(groups, f.joined.Groups) {
		f.joined = Membership{Port: f.port, MACs: macs, Groups: groups}
		r.do(f.joined)
		r.reportSoon(r.lastTurn, f)
	}
}

// groupsOf returns the IP multicast groups that the interface is a member of:
// VRRP's, and the solicited-node groups of its own and virtual IPv6 addresses.
func (r *Router) groupsOf(f *iface) []netip.Addr {
	var list []netip.Addr
	add := func(g netip.Addr) {
		for _, have := range list {
			if have == g {
				return
			}
		}
		list = append(list, g)
	}
	for _, p := range f.addresses {
		if p.Addr().Is6() && f.owns() {
			add(packet.SolicitedNode(p.Addr()))
		}
	}
	if f.cfg.RA != nil { // where hosts ask for routers
		add(allRouters)
	}
	for _, v := range r.virtual {
		if v.port != f.port {
			continue
		}
		if !v.cfg.IPv6() {
			add(vrrp.GroupIPv4)
			continue
		}
		add(vrrp.GroupIPv6)
		for _, a := range v.cfg.Addresses {
			add(packet.SolicitedNode(a))
		}
	}
	return list
}

// localStack computes what the local stack answers for: the own addresses of
// interfaces, and accepted virtual ones while Master.
func (r *Router) localStack() LocalStack {
	l := LocalStack{Groups: make(map[uint16][]netip.Addr), Host: r.hostTAPs()}
	for _, f := range r.ifaces {
		if f.state.MTU == 0 {
			continue // the device was never seen
		}
		l.Ports = append(l.Ports, LocalPort{f.port, f.cfg.Name, f.state.MTU, f.state.MAC, f.state.Up})
		l.Groups[f.port] = r.groupsOf(f)
		if !f.owns() {
			continue
		}
		for _, p := range f.addresses {
			if !r.ownerOnly(f.port, p.Addr()) {
				l.Addresses = append(l.Addresses, LocalAddress{f.port, p})
			}
		}
	}
	for _, v := range r.virtual {
		if v.machine.State() != vrrp.Master || !v.accepts() {
			continue
		}
		for _, a := range v.cfg.Addresses {
			l.Addresses = append(l.Addresses, LocalAddress{v.port, netip.PrefixFrom(a, a.BitLen())})
		}
	}
	return l
}
