package config

import (
	"maps"
	"net/netip"
	"slices"
)

// Bounds of an interface's MTU, in bytes. Every IPv4 module forwards 68 bytes
// (RFC 791 3.2); an IPv6 link carries 1280 (RFC 8200 5).
const (
	minMTU     = 68
	minMTUIPv6 = 1280
	maxMTU     = 65535
)

// maxQueues bounds the receive queues of an interface.
const maxQueues = 64

// iface is a checked interface, as the tables that refer to it need it.
type iface struct {
	Interface
	line int
	// certain is false where the addresses are not all known: the host keeps
	// them, or an error is in them. Then nothing can be said about them.
	certain bool
}

// interfaces are all [[interface]] by order and by name.
type interfaces struct {
	list   []*iface
	byName map[string]*iface
	// uncertain is set where some interface's addresses are not all known.
	uncertain bool
	// elsewhere reports whether routes but that to a prefix may lead to an address
	// that is in no prefix of an interface.
	elsewhere func(a netip.Addr, to netip.Prefix) bool
	// mirror is set where every device of the host is an interface: one that
	// another table names is added to the list.
	mirror bool
}

// interfaces checks every [[interface]], and then what must differ between
// them.
func (c *checker) interfaces(raw []rawInterface) *interfaces {
	all := &interfaces{byName: map[string]*iface{}}
	taken := names{}
	devices := map[string]int{}
	for i := range raw {
		r := &raw[i]
		itf := c.iface(r)
		taken.add(c, &r.Name, "interface")
		if line, twice := devices[itf.Device]; twice {
			c.add(r.Device.Line, "device %q is already used by the interface on line %d; one device is one interface", itf.Device, line)
		} else if itf.Device != "" {
			devices[itf.Device] = r.Line
		}
		c.overlaps(&r.Addresses, itf, all.list)
		all.list = append(all.list, itf)
		all.uncertain = all.uncertain || !itf.certain
		if _, twice := all.byName[itf.Name]; !twice && itf.Name != "" {
			all.byName[itf.Name] = itf
		}
	}
	return all
}

// iface checks one [[interface]].
func (c *checker) iface(r *rawInterface) *iface {
	required(c, &r.Name, `a name like name = "lan"`)
	itf := &iface{line: r.Line}
	itf.Name = c.name(&r.Name)
	itf.Attach = Attach(c.oneOf(&r.Attach, string(AttachPacket), string(AttachXDP), string(AttachTAP)))
	itf.Device = c.device(r)
	itf.MAC = c.mac(&r.MAC)
	itf.Queues = int(c.within(&r.Queues, 1, maxQueues))
	c.bridge(r, itf)
	itf.MTU = int(c.within(&r.MTU, minMTU, maxMTU))
	c.addresses(r, itf)
	if r.MTU.given() && itf.MTU < minMTUIPv6 && slices.ContainsFunc(itf.Addresses, isIPv6) {
		c.add(r.MTU.Line, "mtu %d is too small for IPv6; write at least %d or remove the IPv6 addresses", itf.MTU, minMTUIPv6)
	}
	c.hostTAP(r, itf)
	itf.RA = c.ra(&r.RA, itf)
	return itf
}

func isIPv6(p netip.Prefix) bool { return p.Addr().Is6() }

// device returns the device, by default the one that has the interface's
// name; "" where it is wrong.
func (c *checker) device(r *rawInterface) string {
	device := r.Device
	if !device.Set && r.Name.given() {
		device = text{at: at{"device (by default the name)", r.Name.Line}, Value: r.Name.Value, Set: true}
	}
	if c.deviceName(&device); device.given() {
		return device.Value
	}
	return ""
}

// bridge checks the Linux bridge that the kernel's end of a TAP joins.
func (c *checker) bridge(r *rawInterface, itf *iface) {
	if !r.Bridge.given() {
		return
	}
	itf.Bridge = c.deviceName(&r.Bridge)
	switch {
	case r.Attach.Bad:
	case itf.Attach != AttachTAP:
		c.add(r.Bridge.Line, `bridge %q needs attach = "tap"; remove it or change attach`, itf.Bridge)
	case itf.Bridge == itf.Device:
		c.add(r.Bridge.Line, "bridge %q is the interface's own device; name the Linux bridge that it joins", itf.Bridge)
	}
}

// addresses checks the addresses of one interface.
func (c *checker) addresses(r *rawInterface, itf *iface) {
	f := &r.Addresses
	const example = `addresses = ["192.0.2.2/24"], or "host" where the kernel keeps them`
	required(c, f, example)
	switch {
	case !f.given():
		return
	case f.Value.Word.Set && f.Value.Word.Value != "host":
		c.add(f.Line, `addresses %q is neither a list nor "host"; write %s`, f.Value.Word.Value, example)
		return
	case f.Value.Word.Set && itf.Attach == AttachTAP:
		c.add(f.Line, `addresses = "host" needs an existing device, and a TAP is created; write the addresses as a list`)
		return
	case f.Value.Word.Set:
		itf.HostAddrs = true
		return
	case len(f.Value.List) == 0:
		c.add(f.Line, "addresses is empty; write %s", example)
		return
	}
	itf.certain = true
	lines := map[netip.Addr]int{}
	for i := range f.Value.List {
		p, ok := c.ownAddress(&f.Value.List[i], itf, lines)
		if !ok {
			itf.certain = false
			continue
		}
		itf.Addresses = append(itf.Addresses, p)
	}
}

// ownAddress checks one address with its prefix length.
func (c *checker) ownAddress(f *text, itf *iface, lines map[netip.Addr]int) (netip.Prefix, bool) {
	if f.Bad {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(f.Value)
	if err != nil {
		a, aerr := netip.ParseAddr(f.Value)
		switch {
		case aerr == nil && a.Is4():
			c.add(f.Line, "address %q has no prefix length; write it like \"%s/24\"", f.Value, a)
		case aerr == nil:
			c.add(f.Line, "address %q has no prefix length; write it like \"%s/64\"", f.Value, a.WithZone(""))
		default:
			c.add(f.Line, `address %q is no address with prefix length; write one like "192.0.2.2/24" or "2001:db8:1::2/64"`, f.Value)
		}
		return p, false
	}
	a, where := p.Addr(), at{"address", f.Line}
	if !c.host(where, f.Value, a) || !c.hostIn(where, a, p) {
		return p, false
	}
	if p.Bits() == 0 {
		c.add(f.Line, "address %q has prefix length 0, all addresses there are; write the length of the link's prefix", f.Value)
		return p, false
	}
	if line, twice := lines[a]; twice {
		c.add(f.Line, "address %s is already on line %d; write it once", a, line)
		return p, false
	}
	lines[a] = f.Line
	isLinkLocal := func(q netip.Prefix) bool { return isLinkLocal6(q.Addr()) }
	if i := slices.IndexFunc(itf.Addresses, isLinkLocal); isLinkLocal6(a) && i >= 0 {
		c.add(f.Line, "address %s is a second link-local one beside %s; write one", a, itf.Addresses[i].Addr())
		return p, false
	}
	return p, true
}

// isLinkLocal6 reports whether a is an IPv6 link-local address.
func isLinkLocal6(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

// overlaps notes prefixes of an interface that are also on another one, where
// a destination would have two ways. Link-local prefixes are on every link.
func (c *checker) overlaps(f *words, itf *iface, others []*iface) {
	for _, p := range itf.Addresses {
		for _, other := range others {
			i := slices.IndexFunc(other.Addresses, func(q netip.Prefix) bool {
				return !isLinkLocal6(q.Addr()) && p.Overlaps(q)
			})
			if i < 0 {
				continue
			}
			line := f.Line
			for _, written := range f.Value.List {
				if q, err := netip.ParsePrefix(written.Value); err == nil && q == p {
					line = written.Line
				}
			}
			c.add(line, "address %s overlaps %s of interface %q (line %d); a prefix belongs to one interface",
				p, other.Addresses[i], other.Name, other.line)
		}
	}
}

// connected returns the interface that a prefix of connects to an address.
// Link-local addresses are connected everywhere, so nowhere.
func (all *interfaces) connected(a netip.Addr) (*iface, netip.Prefix) {
	for _, itf := range all.list {
		if p, ok := itf.prefixOf(a); ok && !isLinkLocal6(a) {
			return itf, p
		}
	}
	return nil, netip.Prefix{}
}

// prefixOf returns the prefix of the interface that an address is in.
func (itf *iface) prefixOf(a netip.Addr) (netip.Prefix, bool) {
	for _, p := range itf.Addresses {
		if p.Contains(a) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// owns reports whether the interface has an address of its own.
func (itf *iface) owns(a netip.Addr) bool {
	return slices.ContainsFunc(itf.Addresses, func(p netip.Prefix) bool { return p.Addr() == a })
}

// owner returns the interface that has an address.
func (all *interfaces) owner(a netip.Addr) *iface {
	for _, itf := range all.list {
		if itf.owns(a) {
			return itf
		}
	}
	return nil
}

// known checks the name of an interface that another table refers to.
func (all *interfaces) known(c *checker, f *text) *iface {
	if !f.given() {
		return nil
	}
	itf := all.byName[f.Value]
	if itf == nil && all.mirror {
		device := *f
		if c.deviceName(&device); device.Bad {
			return nil
		}
		return all.add(f)
	}
	if itf == nil && !c.damaged {
		defined := slices.Sorted(maps.Keys(all.byName))
		c.add(f.Line, "%s %q is not defined; write the name of an [[interface]] (%s)", f.Key, f.Value, quoted(defined))
	}
	return itf
}

// add adds the interface of a mirrored device that another table names.
func (all *interfaces) add(f *text) *iface {
	itf := &iface{line: f.Line, Interface: Interface{
		Name: f.Value, Device: f.Value, Attach: AttachPacket, Queues: 1, HostAddrs: true, Mirror: true,
	}}
	all.list, all.byName[f.Value], all.uncertain = append(all.list, itf), itf, true
	return itf
}
