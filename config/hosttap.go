package config

import (
	"net/netip"
	"slices"
)

// Host TAPs are named after their interfaces; Linux takes 15 bytes.
const (
	hostTAPPrefix = "vr-"
	maxDevice     = 15
)

// HostTAPDevice is the name of the host TAP of an interface.
func HostTAPDevice(name string) string { return hostTAPPrefix + name }

// hostTAP checks host_tap, which asks for a host TAP.
func (c *checker) hostTAP(r *rawInterface, itf *iface) {
	if !r.HostTAP.given() || !r.HostTAP.Value {
		return
	}
	if itf.HostAddrs {
		c.add(r.HostTAP.Line, `host_tap = true makes no sense with addresses = "host"; remove one of them`)
	}
	if device := HostTAPDevice(itf.Name); len(device) > maxDevice {
		c.add(r.HostTAP.Line, "host_tap: the TAP's name %q has %d characters; shorten the interface's name to 12", device, len(device))
	}
	itf.HostTAP = !itf.HostAddrs
}

// hostTAPs gives the interfaces that a BGP neighbour is reached through their
// host TAPs: BGP's connections are the kernel's, which has to have the address
// that they come from.
func (c *checker) hostTAPs(cfg *Config, raw *rawConfig, all *interfaces) {
	if cfg.BGP != nil {
		for i := range cfg.BGP.Neighbors {
			line := raw.BGP.Neighbor[i].Address.Line
			for _, itf := range all.toward(cfg, &cfg.BGP.Neighbors[i]) {
				c.automaticTAP(itf, line)
			}
		}
	}
	for _, itf := range all.list {
		i := slices.IndexFunc(all.list, func(o *iface) bool { return o.Device == HostTAPDevice(itf.Name) })
		if itf.HostTAP && i >= 0 {
			c.add(all.list[i].line, "device %q is the name of the host TAP of interface %q; choose another", all.list[i].Device, itf.Name)
		}
	}
}

// automaticTAP gives an interface a host TAP because of the neighbour on a line.
func (c *checker) automaticTAP(itf *iface, line int) {
	if itf.HostAddrs || itf.HostTAP {
		return
	}
	itf.HostTAP = true
	if device := HostTAPDevice(itf.Name); len(device) > maxDevice {
		c.add(line, `the neighbour is reached through interface %q, whose addresses the host's kernel gets on a TAP for BGP; its name %q has %d characters: shorten the interface's name to 12, or write addresses = "host"`,
			itf.Name, device, len(device))
	}
}

// toward returns the interfaces from which a neighbour is connected to: that
// of its link; that of local_address; those that its route leads to; else, where
// only BGP itself may know the way, all that have an address of the family.
func (all *interfaces) toward(cfg *Config, n *Neighbor) []*iface {
	if zone := n.Address.Zone(); zone != "" {
		return all.named(zone)
	}
	if itf, _ := all.connected(n.Address); itf != nil {
		return []*iface{itf}
	}
	if itf := all.owner(n.LocalAddress); itf != nil {
		return []*iface{itf}
	}
	if list := all.routed(cfg.Routes, n.Address); len(list) > 0 {
		return list
	}
	var list []*iface
	for _, itf := range all.list {
		if slices.ContainsFunc(itf.Addresses, func(p netip.Prefix) bool {
			return n.Address.IsValid() && p.Addr().Is4() == n.Address.Is4() && !isLinkLocal6(p.Addr())
		}) {
			list = append(list, itf)
		}
	}
	return list
}

// named returns the interface with a name.
func (all *interfaces) named(name string) []*iface {
	if itf := all.byName[name]; itf != nil {
		return []*iface{itf}
	}
	return nil
}

// routed returns the interfaces that the static route of an address leads to.
func (all *interfaces) routed(routes []Route, a netip.Addr) (list []*iface) {
	best := -1
	for i := range routes {
		r := &routes[i]
		if !r.To.IsValid() || !r.To.Contains(a) || r.Type != RouteUnicast || r.To.Bits() < best {
			continue
		}
		if r.To.Bits() > best {
			best, list = r.To.Bits(), nil
		}
		for _, via := range r.Via {
			for _, itf := range all.named(via.Interface) {
				if !slices.Contains(list, itf) {
					list = append(list, itf)
				}
			}
		}
	}
	return list
}
