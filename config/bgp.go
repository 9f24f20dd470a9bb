package config

import (
	"math"
	"net/netip"
	"time"
)

// importing checks [import].
func (c *checker) importing(r *rawImport) {
	c.within(&r.KernelTable, 1, math.MaxUint32)
}

// bgp checks [bgp]. follow may name a group or a virtual router.
func (c *checker) bgp(r *rawBGP, t targets) names {
	taken := names{}
	if !r.Set {
		return taken
	}
	required(c, &r.ASN, "the own autonomous system's number like asn = 65001")
	c.asn(&r.ASN)
	c.prefixes(&r.Networks)
	addresses := map[netip.Addr]int{}
	for i := range r.Neighbor {
		n := &r.Neighbor[i]
		c.neighbor(n, t)
		taken.add(c, &n.Name, "BGP neighbour")
		if a, err := netip.ParseAddr(n.Address.Value); err == nil && n.Address.given() {
			if line, twice := addresses[a]; twice {
				c.add(n.Address.Line, "address %s is the neighbour's on line %d too; one neighbour has one table", a, line)
			} else {
				addresses[a] = n.Address.Line
			}
		}
	}
	return taken
}

// asn checks an autonomous system number: 4 bytes (RFC 6793), not zero (RFC
// 7607) and not AS_TRANS.
func (c *checker) asn(f *integer) {
	c.within(f, 1, math.MaxUint32-1)
	if f.given() && f.Value == 23456 {
		f.Bad = true
		c.add(f.Line, "%s 23456 is reserved (AS_TRANS, RFC 6793); write the system's own number", f.Key)
	}
}

// prefixes checks a list of prefixes: none twice.
func (c *checker) prefixes(f *list) {
	seen := map[netip.Prefix]bool{}
	for i := range f.Value {
		p, ok := c.prefix(&f.Value[i])
		if ok && seen[p] {
			c.add(f.Value[i].Line, "%s %q is there twice; remove one", f.Key, p)
		}
		seen[p] = ok
	}
}

// neighbor checks one [[bgp.neighbor]].
func (c *checker) neighbor(n *rawNeighbor, t targets) {
	required(c, &n.Name, `a name like name = "isp1"`)
	c.name(&n.Name)
	required(c, &n.Address, `the neighbour's address like address = "203.0.113.1"`)
	c.address(&n.Address)
	required(c, &n.ASN, "the neighbour's autonomous system like asn = 64500")
	c.asn(&n.ASN)
	if f := &n.Password; f.given() && (f.Value == "" || len(f.Value) > 80) {
		c.add(f.Line, "password has %d bytes; write 1 to 80", len(f.Value)) // what Linux takes for TCP MD5
	}
	c.bfdTimers(&n.BFD.Interval, &n.BFD.Multiplier)
	c.holdTime(&n.HoldTime)
	c.families(&n.Families)
	c.within(&n.Import.LocalPreference, 0, math.MaxUint32)
	c.prefixes(&n.Import.Prefixes)
	c.within(&n.Import.MaxPrefixes, 0, math.MaxUint32)
	c.prefixes(&n.Export.Prefixes)
	c.within(&n.Export.PrependBackup, 0, 16)
	c.within(&n.Export.MEDMaster, 0, math.MaxUint32)
	c.within(&n.Export.MEDBackup, 0, math.MaxUint32)
	c.refers(&n.Follow, t.routers, "[[vrrp]] or of its group")
}

// holdTime checks BGP's hold time: zero, or at least three seconds in 16 bits
// (RFC 4271 4.2).
func (c *checker) holdTime(f *duration) {
	d := f.Value
	if f.given() && d != 0 && (d < 3*time.Second || d > math.MaxUint16*time.Second || d%time.Second != 0) {
		f.Bad = true
		c.add(f.Line, `%s %s is out of range; write whole seconds from "3s" to "65535s", or "0s" for none`, f.Key, short(d))
	}
}

// families checks the address families of a neighbour.
func (c *checker) families(f *list) {
	if f.given() && len(f.Value) == 0 {
		c.add(f.Line, `families is empty; write families = ["ipv4", "ipv6"], or one of them`)
	}
	seen := map[string]bool{}
	for i := range f.Value {
		e := &f.Value[i]
		c.oneOf(e, "ipv4", "ipv6")
		if seen[e.Value] && e.given() {
			c.add(e.Line, "families %q is there twice; remove one", e.Value)
		}
		seen[e.Value] = true
	}
}
