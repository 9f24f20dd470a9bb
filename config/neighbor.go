package config

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// neighbor checks one [[bgp.neighbor]].
func (c *checker) neighbor(r *rawNeighbor, b *BGP, all *interfaces, t targets) Neighbor {
	required(c, &r.Name, `a name like name = "isp1"`)
	required(c, &r.Address, `the neighbour's address like address = "203.0.113.1"`)
	required(c, &r.ASN, "the neighbour's autonomous system like asn = 64500")
	n := Neighbor{
		Name: c.name(&r.Name), Address: c.neighborAddress(&r.Address, all), ASN: c.asn(&r.ASN),
		Password: r.Password.Value, TTLSecurity: r.TTLSecurity.Value, Multihop: int(c.within(&r.Multihop, 1, 255)),
		Passive: r.Passive.Value, HoldTime: c.holdTime(&r.HoldTime), GracefulRestart: r.GracefulRestart.Value,
		ReflectorClient: r.ReflectorClient.Value, NextHopSelf: r.NextHopSelf.Value, Follow: r.Follow.Value,
	}
	if r.LocalAddress.Set {
		n.LocalAddress, _ = c.address(&r.LocalAddress)
	}
	if f := &r.Password; f.given() && (f.Value == "" || len(f.Value) > 80) {
		c.add(f.Line, "password has %d bytes; write 1 to 80", len(f.Value)) // what Linux takes for TCP MD5
	}
	c.bfdTimers(&r.BFD.Interval, &r.BFD.Multiplier)
	if r.BFD.Set {
		n.BFD = &BFDTimers{r.BFD.Interval.Value, int(r.BFD.Multiplier.Value)}
	}
	if r.AddPath.Set {
		n.AddPath = &AddPath{r.AddPath.Receive.Value, int(c.within(&r.AddPath.Send, 0, 16))}
	}
	n.IPv4, n.IPv6 = c.families(&r.Families, n.Address)
	n.Import = c.importedRoutes(r, n.Internal(b.ASN))
	n.Export = c.exportedRoutes(r)
	c.refers(&r.Follow, t.routers, "[[vrrp]] or of its group")
	c.together(r, &n, b)
	return n
}

// neighborAddress checks where a neighbour is: an address, a link-local one
// with the interface that it is on.
func (c *checker) neighborAddress(f *text, all *interfaces) netip.Addr {
	a, err := netip.ParseAddr(f.Value)
	if !f.given() || err != nil || !isLinkLocal6(a) {
		a, _ = c.address(f)
		return a
	}
	on := text{at: at{"the interface of address " + f.Value, f.Line}, Value: a.Zone(), Set: true}
	if a.Zone() == "" {
		f.Bad = true
		c.add(f.Line, `%s %q is link-local; write the interface that it is on: "%s%%wan"`, f.Key, f.Value, a)
	} else if all.known(c, &on) == nil {
		f.Bad = true
	}
	return a
}

func (c *checker) importedRoutes(r *rawNeighbor, internal bool) Importing {
	in := &r.Import
	preference := uint32(c.within(&in.LocalPreference, 1, math.MaxUint32))
	if internal && !in.LocalPreference.Set {
		preference = 0
	}
	return Importing{
		LocalPreference: preference,
		Prefixes:        c.ranges(&in.Prefixes),
		MaxPrefixes:     uint32(c.within(&in.MaxPrefixes, 0, math.MaxUint32)),
		Communities:     c.communities(&in.Communities),
	}
}

func (c *checker) exportedRoutes(r *rawNeighbor) Exporting {
	out := &r.Export
	return Exporting{
		Prefixes:         c.ranges(&out.Prefixes),
		DefaultOriginate: out.DefaultOriginate.Value,
		Communities:      c.communities(&out.Communities),
		Prepend:          int(c.within(&out.Prepend, 0, 16)),
		PrependBackup:    int(c.within(&out.PrependBackup, 0, 16)),
		MEDMaster:        uint32(c.within(&out.MEDMaster, 0, math.MaxUint32)),
		MEDBackup:        uint32(c.within(&out.MEDBackup, 0, math.MaxUint32)),
	}
}

// together checks keys that do not go together, or say nothing alone.
func (c *checker) together(r *rawNeighbor, n *Neighbor, b *BGP) {
	internal := n.Internal(b.ASN) && r.ASN.given()
	switch {
	case n.TTLSecurity && n.Multihop > 1:
		c.add(r.TTLSecurity.Line, "ttl_security is for a neighbour on the link (RFC 5082), and multihop for one beyond it; remove one of them")
	case n.BFD != nil && n.Multihop > 1:
		c.add(r.BFD.Line, "bfd is for a neighbour on the link (single hop, RFC 5881); remove it or multihop")
	}
	if n.ReflectorClient && !internal {
		c.add(r.ReflectorClient.Line, "route_reflector_client is for neighbours of the own system (RFC 4456); remove it, or write asn = %d", b.ASN)
	}
	// In the own system everything is exchanged without a policy; RFC 8212 is
	// about others.
	if r.Import.Set && !internal && len(r.Import.Prefixes.Value) == 0 && !r.Import.Prefixes.Bad {
		c.missing(at{"prefixes", r.Import.Line}, `what is accepted to import (RFC 8212): prefixes = ["0.0.0.0/0"] takes the default route, ["0.0.0.0/0 le 24"] everything up to /24`)
	}
	if r.Export.Set && !internal && len(r.Export.Prefixes.Value) == 0 && !n.Export.DefaultOriginate && !r.Export.Prefixes.Bad {
		c.missing(at{"prefixes", r.Export.Line}, `what is announced to export (RFC 8212): prefixes = ["192.0.2.0/24"], or default_originate = true`)
	}
	if n.Follow == "" && (n.Export.PrependBackup > 0 || r.Export.MEDBackup.Set) && !c.damaged {
		c.add(r.Export.Line, "prepend_backup and med_backup say what holds while a virtual router is not Master; add its name (or its group's): follow = \"gw\"")
	}
	if a := n.LocalAddress; a.IsValid() && n.Address.IsValid() && a.Is4() != n.Address.Is4() {
		c.add(r.LocalAddress.Line, "local_address %s and address %s are of two families; write two addresses of one", a, n.Address)
	}
}

// The well-known communities that have names (RFC 1997, RFC 3765, RFC 7999,
// RFC 8326).
var wellKnown = []string{"no-export", "no-advertise", "no-export-subconfed", "no-peer", "blackhole", "graceful-shutdown"}

// communities checks a list of communities: "64500:1" (RFC 1997), "64500:1:2"
// (large, RFC 8092), or a name.
func (c *checker) communities(f *list) []string {
	var all []string
	for i := range f.Value {
		e := &f.Value[i]
		if e.given() && !isCommunity(e.Value) {
			e.Bad = true
			c.add(e.Line, `communities %q is no community; write one like "64500:1", "64500:1:2" (large) or one of %s`, e.Value, quoted(wellKnown))
		}
		all = append(all, e.Value)
	}
	return all
}

func isCommunity(s string) bool {
	for _, name := range wellKnown {
		if s == name {
			return true
		}
	}
	parts := strings.Split(s, ":")
	bits := 16
	if len(parts) == 3 {
		bits = 32
	}
	for _, p := range parts {
		if _, err := strconv.ParseUint(p, 10, bits); err != nil {
			return false
		}
	}
	return len(parts) == 2 || len(parts) == 3
}
