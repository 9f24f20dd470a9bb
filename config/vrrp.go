package config

import (
	"net/netip"
	"slices"
	"time"

	"vrouter/packet"
	"vrouter/vrrp"
)

// Bounds of a virtual router's values.
const (
	maxVirtualAddresses = 255 // the count is one byte (RFC 9568 5.2.5)
	maxGARPRepeat       = 100
	maxDrain            = time.Minute
	maxPreemptDelay     = time.Hour
	maxGARPRefresh      = 24 * time.Hour
	// The advertisement interval: whole seconds in one byte (RFC 3768 5.3.7),
	// centiseconds in 12 bits (RFC 9568 5.2.7).
	maxIntervalV2 = 255 * time.Second
	centisecond   = 10 * time.Millisecond
	maxIntervalV3 = 4095 * centisecond
)

// virtualRouters checks every [[vrrp]], and then what must differ between
// them.
func (c *checker) virtualRouters(raw []rawVRRP, all *interfaces) []VRRP {
	taken := names{}
	vrids := map[vrKey]int{}
	seen := map[addressKey]int{}
	routers := make([]VRRP, 0, len(raw))
	for i := range raw {
		r := &raw[i]
		v, written := c.virtualRouter(r)
		taken.add(c, &r.Name, "virtual router")
		itf := all.known(c, &r.Interface)
		if len(written) == 0 {
			continue
		}
		c.vridTwice(r, written[0].addr.Is6(), vrids)
		c.addressTwice(r, written, seen)
		if itf != nil && !c.damaged {
			c.onInterface(r, written, itf, all)
			c.owner(r, written, itf)
		}
		routers = append(routers, v)
	}
	return routers
}

// virtualAddress is one address as written.
type virtualAddress struct {
	addr netip.Addr
	line int
}

// virtualRouter checks what one [[vrrp]] says by itself. It returns the
// virtual router and its addresses as written; none, where one is wrong.
func (c *checker) virtualRouter(r *rawVRRP) (VRRP, []virtualAddress) {
	required(c, &r.Name, `a name like name = "lan4"`)
	required(c, &r.Interface, `the name of an [[interface]] like interface = "lan"`)
	required(c, &r.VRID, "a number from 1 to 255 that all routers of the virtual router share, like vrid = 10")
	written := c.virtualAddresses(&r.Addresses)
	v := VRRP{Interface: r.Interface.Value, Group: c.name(&r.Group), FastDetect: r.FastDetect.Value, Config: vrrp.Config{
		Name:         c.name(&r.Name),
		VRID:         uint8(c.within(&r.VRID, 1, 255)),
		Version:      c.version(r, written),
		Priority:     c.priority(&r.Priority),
		Interval:     c.interval(r),
		Preempt:      r.Preempt.Value,
		PreemptDelay: c.lasting(&r.PreemptDelay, 0, maxPreemptDelay),
		Accept:       r.Accept.Value,
		PlainCSum:    c.checksum(r, written),
		GARPRepeat:   int(c.within(&r.GARPRepeat, 0, maxGARPRepeat)),
		GARPRefresh:  c.refresh(&r.GARPRefresh),
		Peers:        c.peers(r, written),
		Drain:        c.lasting(&r.Drain, 0, maxDrain),
		Damping:      r.Damping.Value,
		Auth:         c.auth(r),
		Grouped:      r.Group.given(),
	}}
	for i := range r.Track {
		v.Track = append(v.Track, track(&r.Track[i]))
	}
	if len(written) > 0 {
		v.Addresses = linkLocalFirst(written, v.VRID)
		if n := len(v.Addresses); n > maxVirtualAddresses {
			c.add(r.Addresses.Line, "addresses has %d elements (an IPv6 link-local one included); one virtual router has at most %d", n, maxVirtualAddresses)
		}
	}
	return v, written
}

// virtualAddresses checks the list of virtual addresses: of one family, none
// twice. Where one is wrong, nothing more can be said of them.
func (c *checker) virtualAddresses(f *list) []virtualAddress {
	required(c, f, `a list like addresses = ["192.0.2.1"]`)
	if f.given() && len(f.Value) == 0 {
		c.add(f.Line, `addresses is empty; write at least one, like addresses = ["192.0.2.1"]`)
	}
	if !f.given() {
		return nil
	}
	var written []virtualAddress
	for i := range f.Value {
		e := &f.Value[i]
		a, ok := c.address(e)
		if !ok {
			continue
		}
		twice := slices.IndexFunc(written, func(w virtualAddress) bool { return w.addr == a })
		switch {
		case twice >= 0:
			c.add(e.Line, "virtual address %s is there twice; remove one", a)
		case len(written) > 0 && written[0].addr.Is6() != a.Is6():
			c.add(e.Line, "virtual addresses %s and %s are of two families; write one [[vrrp]] for IPv4 and one for IPv6 (their vrid may be the same)", written[0].addr, a)
		default:
			written = append(written, virtualAddress{a, e.Line})
		}
	}
	if len(written) < len(f.Value) {
		return nil
	}
	return written
}

// linkLocalFirst returns the addresses in the order that the protocol wants:
// the first IPv6 one is the router's link-local address (RFC 9568 5.2.9), by
// default the one made from the virtual MAC.
func linkLocalFirst(written []virtualAddress, vrid uint8) []netip.Addr {
	addresses := make([]netip.Addr, len(written))
	for i := range written {
		addresses[i] = written[i].addr
	}
	if addresses[0].Is4() {
		return addresses
	}
	first := vrrp.VirtualMAC(vrid, true).LinkLocal()
	if i := slices.IndexFunc(addresses, isLinkLocal6); i >= 0 {
		first = addresses[i]
		addresses = slices.Delete(addresses, i, i+1)
	}
	return slices.Insert(addresses, 0, first)
}

// version checks the protocol's version: 2 is IPv4 alone.
func (c *checker) version(r *rawVRRP, written []virtualAddress) uint8 {
	v := c.within(&r.Version, 2, 3)
	if v == 2 && len(written) > 0 && written[0].addr.Is6() {
		r.Version.Bad = true
		c.add(r.Version.Line, "version 2 has no IPv6; write version = 3")
	}
	return uint8(v)
}

// priority checks the range; what it means with the addresses is owner's
// matter.
func (c *checker) priority(f *integer) uint8 {
	if f.given() && f.Value == vrrp.PriorityStop {
		f.Bad = true
		c.add(f.Line, "priority 0 says on the wire that a master gives up; write 1 to 254 (255 where the interface has the addresses itself)")
	}
	return uint8(c.within(f, 1, 255))
}

// interval checks the advertisement interval, whose unit depends on the
// version.
func (c *checker) interval(r *rawVRRP) time.Duration {
	f := &r.Interval
	d := f.Value
	switch {
	case !f.given():
	case r.Version.Value == 2 && (d < time.Second || d > maxIntervalV2 || d%time.Second != 0):
		f.Bad = true
		c.add(f.Line, `interval %s cannot be said in version 2; write whole seconds from "1s" to "255s", or version = 3`, short(d))
	case r.Version.Value == 3 && (d < centisecond || d > maxIntervalV3 || d%centisecond != 0):
		f.Bad = true
		c.add(f.Line, `interval %s cannot be said in version 3; write hundredths of a second from "10ms" to "40.95s"`, short(d))
	}
	return d
}

// refresh checks how often a master repeats its announcements.
func (c *checker) refresh(f *duration) time.Duration {
	if f.given() && f.Value != 0 && (f.Value < time.Second || f.Value > maxGARPRefresh) {
		f.Bad = true
		c.add(f.Line, `%s %s is out of range; write "0s" for never, or "1s" to "24h"`, f.Key, short(f.Value))
	}
	return f.Value
}

// checksum returns whether the pseudo header is left out. Only version 3 over
// IPv4 has the choice.
func (c *checker) checksum(r *rawVRRP, written []virtualAddress) bool {
	f := &r.Checksum
	plain := c.oneOf(f, "pseudo", "plain") == "plain"
	ipv6 := len(written) > 0 && written[0].addr.Is6()
	if plain && (r.Version.Value == 2 || ipv6) {
		c.add(f.Line, `checksum "plain" is for version 3 over IPv4 alone; remove it`)
	}
	return plain
}

// peers checks the unicast peers by themselves and against the virtual
// addresses.
func (c *checker) peers(r *rawVRRP, written []virtualAddress) []netip.Addr {
	var peers []netip.Addr
	for i := range r.Peers.Value {
		f := &r.Peers.Value[i]
		a, ok := c.address(f)
		switch {
		case !ok:
		case slices.Contains(peers, a):
			c.add(f.Line, "peer %s is there twice; remove one", a)
		case len(written) > 0 && written[0].addr.Is6() != a.Is6():
			c.add(f.Line, "peer %s and the virtual address %s are of two families; write the peer's address of the same family", a, written[0].addr)
		case slices.ContainsFunc(written, func(w virtualAddress) bool { return w.addr == a }):
			c.add(f.Line, "peer %s is a virtual address; write an own address of the other router", a)
		default:
			peers = append(peers, a)
		}
	}
	return peers
}

// vrKey is what no two virtual routers share.
type vrKey struct {
	itf  string
	vrid int64
	ipv6 bool
}

// vridTwice notes a VRID that two virtual routers of one interface and family
// have: they would have one virtual MAC.
func (c *checker) vridTwice(r *rawVRRP, ipv6 bool, seen map[vrKey]int) {
	if !r.VRID.given() || !r.Interface.given() {
		return
	}
	key := vrKey{r.Interface.Value, r.VRID.Value, ipv6}
	family := map[bool]string{false: "IPv4", true: "IPv6"}[ipv6]
	if line, twice := seen[key]; twice {
		c.add(r.VRID.Line, "vrid %d is used for %s on interface %q on line %d too; give each virtual router its own", key.vrid, family, key.itf, line)
		return
	}
	seen[key] = r.VRID.Line
}

// addressKey is an address, and its interface where it is link-local.
type addressKey struct {
	addr netip.Addr
	itf  string
}

// addressTwice notes a virtual address that two virtual routers have.
func (c *checker) addressTwice(r *rawVRRP, written []virtualAddress, seen map[addressKey]int) {
	for _, w := range written {
		key := addressKey{addr: w.addr}
		if isLinkLocal6(w.addr) {
			key.itf = r.Interface.Value
		}
		if line, twice := seen[key]; twice {
			c.add(w.line, "virtual address %s belongs to the virtual router with line %d too; one address has one virtual router", w.addr, line)
			continue
		}
		seen[key] = w.line
	}
}

// onInterface checks addresses and peers against the interface's prefixes.
func (c *checker) onInterface(r *rawVRRP, written []virtualAddress, itf *iface, all *interfaces) {
	ipv6 := written[0].addr.Is6()
	c.fits(r, written, itf)
	if !itf.certain {
		c.elsewhere(written, itf, all)
		return
	}
	if ipv6 && !slices.ContainsFunc(itf.Addresses, isIPv6) {
		c.add(r.Interface.Line, `interface %q has no IPv6 address, and the virtual router %q is IPv6; give it one, like "2001:db8:1::2/64" or "fe80::2/64"`, itf.Name, r.Name.Value)
		return
	}
	for _, w := range written {
		p, ok := itf.prefixOf(w.addr)
		switch {
		case ok && !isLinkLocal6(w.addr):
			c.hostIn(at{"virtual address", w.line}, w.addr, p)
		case !ok && !isLinkLocal6(w.addr):
			c.add(w.line, "virtual address %s is outside the prefixes of interface %q (%s); write one inside, or add a prefix to the interface", w.addr, itf.Name, prefixes(itf.Addresses))
		}
	}
	for i := range r.Peers.Value {
		c.peerOn(&r.Peers.Value[i], ipv6, itf)
	}
}

// elsewhere notes virtual addresses that are on another interface; of this
// one's own prefixes nothing is known.
func (c *checker) elsewhere(written []virtualAddress, itf *iface, all *interfaces) {
	for _, w := range written {
		if other, p := all.connected(w.addr); other != nil && other != itf {
			c.add(w.line, "virtual address %s is in %s of interface %q; write one that is on %q", w.addr, p.Masked(), other.Name, itf.Name)
		}
	}
}

// peerOn checks a peer against the interface's prefixes. Advertisements have
// TTL 255 on arrival (RFC 9568 5.1.1.3): they never pass a router.
func (c *checker) peerOn(f *text, ipv6 bool, itf *iface) {
	a, err := netip.ParseAddr(f.Value)
	if err != nil || f.Bad || a.Is6() != ipv6 {
		return
	}
	_, inside := itf.prefixOf(a)
	switch {
	case itf.owns(a):
		c.add(f.Line, "peer %s is an address of interface %q itself; write the other router's", a, itf.Name)
	case !inside && !isLinkLocal6(a):
		c.add(f.Line, "peer %s is outside the prefixes of interface %q (%s); write the peer's address on this link", a, itf.Name, prefixes(itf.Addresses))
	}
}

// fits checks that an advertisement with all addresses fits in the
// interface's MTU: it is never fragmented.
func (c *checker) fits(r *rawVRRP, written []virtualAddress, itf *iface) {
	const header, ethernetMTU = 8, 1500
	size := header + packet.IPv4Len + 4*len(written)
	if written[0].addr.Is6() {
		size = header + packet.IPv6Len + 16*len(linkLocalFirst(written, 1))
	}
	mtu := itf.MTU
	if mtu == 0 {
		mtu = ethernetMTU
	}
	switch {
	case size > mtu:
		c.add(r.Addresses.Line, "the advertisement of %d addresses takes %d bytes, and the mtu of interface %q is %d; write fewer addresses, or an mtu that holds them", len(written), size, itf.Name, mtu)
	case written[0].addr.Is6() && mtu < minMTUIPv6:
		c.add(r.Interface.Line, "interface %q has mtu %d, too small for IPv6; write at least mtu = %d there", itf.Name, mtu, minMTUIPv6)
	}
}

// owner checks that priority 255 is there exactly where the virtual addresses
// are the interface's own (RFC 9568 1.7, 6.1). An IPv6 link-local address
// need not be its own.
func (c *checker) owner(r *rawVRRP, written []virtualAddress, itf *iface) {
	if !itf.certain || r.Priority.Bad {
		return
	}
	var own, foreign []netip.Addr
	for _, w := range written {
		switch {
		case itf.owns(w.addr):
			own = append(own, w.addr)
		case !isLinkLocal6(w.addr):
			foreign = append(foreign, w.addr)
		}
	}
	f := &r.Priority
	is255 := f.Value == vrrp.PriorityOwner
	if is255 && r.Group.given() {
		c.add(r.Group.Line, "group %q has the owner of its addresses in it, who is Master whatever the others do; remove the group from %q, or its priority 255", r.Group.Value, r.Name.Value)
	}
	switch {
	case is255 && len(own) == 0:
		c.add(f.Line, "priority 255 is the owner's, but %s is no address of interface %q; write 1 to 254", written[0].addr, itf.Name)
	case is255 && len(foreign) > 0:
		c.add(f.Line, "priority 255 is the owner's, but %s is no address of interface %q; write 1 to 254, or virtual addresses that are all its own", foreign[0], itf.Name)
	case !is255 && len(own) > 0 && len(foreign) > 0:
		c.add(r.Addresses.Line, "virtual address %s is interface %q's own address and %s is not; write addresses that are all its own, or none", own[0], itf.Name, foreign[0])
	case !is255 && len(own) > 0:
		c.add(f.Line, "priority is %d, but %s is an address of interface %q, which makes the router its owner; write priority = 255, or another virtual address", f.Value, own[0], itf.Name)
	}
}
