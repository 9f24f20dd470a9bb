package hostnet

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"vrouter/packet"
)

// message is what one message of route netlink says. Exactly one of device,
// address, forwards, route, done, failed and others is set.
type message struct {
	kind     uint16 // RTM_*
	gone     bool   // RTM_DEL*
	added    bool   // NLM_F_APPEND: behind others of the same prefix and metric
	replaces bool   // NLM_F_REPLACE: instead of the first of them
	torn     bool   // NLM_F_DUMP_INTR: the dump is not of one moment
	serial   uint32 // of the request that it answers; 0: a notice
	device   *Device
	address  *deviceAddress
	forwards *forwarding
	route    *tableRoute
	done     bool       // the dump is at its end
	failed   unix.Errno // of a request
	others   bool       // a next-hop object has changed: routes go, or lead elsewhere, with no notice of their own
}

type deviceAddress struct {
	device int
	Address
}

type tableRoute struct {
	table uint32
	Route
}

// parse calls each for what is of use in a datagram of route netlink. A message
// that is cut off ends it; what is not understood is left out.
func parse(b []byte, each func(*message)) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return
		}
		flags := binary.NativeEndian.Uint16(b[6:])
		m := message{
			kind: binary.NativeEndian.Uint16(b[4:]), serial: binary.NativeEndian.Uint32(b[8:]),
			torn: flags&unix.NLM_F_DUMP_INTR != 0,
		}
		if m.kind == unix.RTM_NEWROUTE { // flags have other meanings in other messages
			m.added, m.replaces = flags&unix.NLM_F_APPEND != 0, flags&unix.NLM_F_REPLACE != 0
		}
		if m.parse(b[unix.SizeofNlMsghdr:size]) {
			each(&m)
		}
		b = b[min((size+3)&^3, len(b)):]
	}
}

// parse reads a message's body and reports whether it is of use.
func (m *message) parse(b []byte) bool {
	switch m.kind {
	case unix.NLMSG_DONE:
		m.done = true
		if len(b) >= 4 { // a dump may end with an error, too
			m.failed = unix.Errno(-int32(binary.NativeEndian.Uint32(b)))
		}
	case unix.NLMSG_ERROR:
		if len(b) < 4 {
			return false
		}
		m.failed = unix.Errno(-int32(binary.NativeEndian.Uint32(b)))
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		m.gone = m.kind == unix.RTM_DELLINK
		m.device = parseDevice(b)
		return m.device != nil
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		m.gone = m.kind == unix.RTM_DELADDR
		m.address = parseAddress(b)
		return m.address != nil
	case unix.RTM_NEWNETCONF, unix.RTM_DELNETCONF:
		m.forwards = parseForwarding(b)
		return m.forwards != nil
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		m.gone = m.kind == unix.RTM_DELROUTE
		m.route = parseRoute(b)
		return m.route != nil
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		m.others = true
	default:
		return false
	}
	return true
}

// attributes calls each for the attributes in b (rtnetlink(7), struct rtattr).
func attributes(b []byte, each func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return
		}
		kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		each(kind, b[unix.SizeofRtAttr:size])
		b = b[min((size+3)&^3, len(b)):]
	}
}

// number returns a value of 32 bits; 0 where it has another size.
func number(value []byte) uint32 {
	if len(value) != 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(value)
}

// text returns a value that ends with a zero byte.
func text(value []byte) string {
	if i := slices.Index(value, 0); i >= 0 {
		value = value[:i]
	}
	return string(value)
}

// address returns an address of either family, the zero one for anything else.
// Mapped addresses are what they are: the kernel keeps IPv4 apart.
func address(value []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(value)
	return a
}

// parseDevice reads struct ifinfomsg and what follows. Messages of a family are
// about something else: a bridge tells of its ports so.
func parseDevice(b []byte) *Device {
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC {
		return nil
	}
	flags := binary.NativeEndian.Uint32(b[8:])
	d := &Device{
		Index: int(int32(binary.NativeEndian.Uint32(b[4:]))),
		Admin: flags&unix.IFF_UP != 0,
	}
	ethernet := binary.NativeEndian.Uint16(b[2:]) == unix.ARPHRD_ETHER && flags&unix.IFF_LOOPBACK == 0
	attributes(b[unix.SizeofIfInfomsg:], func(kind uint16, value []byte) {
		switch kind {
		case unix.IFLA_IFNAME:
			d.Name = text(value)
		case unix.IFLA_MTU:
			d.MTU = int(number(value))
		case unix.IFLA_MASTER:
			d.Master = int(number(value))
		case unix.IFLA_ADDRESS:
			if ethernet && len(value) == len(d.MAC) {
				d.Ethernet, d.MAC = true, packet.MAC(value)
			}
		case unix.IFLA_LINKINFO:
			attributes(value, func(kind uint16, value []byte) {
				if kind == unix.IFLA_INFO_KIND {
					d.Kind = text(value)
				}
			})
		}
	})
	if d.Index <= 0 || d.Name == "" {
		return nil
	}
	return d
}

// parseAddress reads struct ifaddrmsg and what follows.
func parseAddress(b []byte) *deviceAddress {
	if len(b) < unix.SizeofIfAddrmsg {
		return nil
	}
	family, length, flags := b[0], int(b[1]), uint32(b[2])
	device := int(int32(binary.NativeEndian.Uint32(b[4:])))
	var local, far netip.Addr
	attributes(b[unix.SizeofIfAddrmsg:], func(kind uint16, value []byte) {
		switch kind {
		case unix.IFA_LOCAL:
			local = address(value)
		case unix.IFA_ADDRESS: // of the peer, where there is one
			far = address(value)
		case unix.IFA_FLAGS: // all of them: the header has room for eight
			flags = number(value)
		}
	})
	if !local.IsValid() {
		local = far
	}
	if !local.IsValid() || family != familyOf(local) || length > local.BitLen() {
		return nil
	}
	if local != far || flags&unix.IFA_F_NOPREFIXROUTE != 0 {
		length = local.BitLen()
	}
	return &deviceAddress{device, Address{
		Prefix:    netip.PrefixFrom(local, length),
		Tentative: flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 && flags&unix.IFA_F_OPTIMISTIC == 0,
	}}
}

// familyOf returns the family of an address; none has AF_UNSPEC.
func familyOf(a netip.Addr) uint8 {
	switch {
	case a.Is4():
		return unix.AF_INET
	case a.IsValid():
		return unix.AF_INET6
	}
	return unix.AF_UNSPEC
}

// forwarding is whether the kernel forwards what comes in by a device, or, of
// IPv6 and by allDevices, by any.
type forwarding struct {
	device int
	ipv6   bool
	on     bool
}

// Of <linux/netconf.h>.
const (
	netconfIndex           = 1
	netconfForwarding      = 2
	netconfForceForwarding = 10 // of one device, for IPv6 (Linux 6.17)
	allDevices             = -1
)

// parseForwarding reads struct netconfmsg, one byte and padding, and what
// follows.
func parseForwarding(b []byte) *forwarding {
	if len(b) < 4 || b[0] != unix.AF_INET && b[0] != unix.AF_INET6 {
		return nil
	}
	f := &forwarding{ipv6: b[0] == unix.AF_INET6}
	attributes(b[4:], func(kind uint16, value []byte) {
		switch kind {
		case netconfIndex:
			f.device = int(int32(number(value)))
		case netconfForwarding: // of a device, for IPv6, it only says how it is a router
			f.on = f.on || number(value) != 0 && (!f.ipv6 || f.device == allDevices)
		case netconfForceForwarding:
			f.on = f.on || number(value) != 0
		}
	})
	return f
}

// parseRoute reads struct rtmsg and what follows. Nil: no route that packets
// are forwarded by, or one that depends on more than the destination.
func parseRoute(b []byte) *tableRoute {
	if len(b) < unix.SizeofRtMsg {
		return nil
	}
	family, length, source, tos := b[0], int(b[1]), b[2], b[3]
	r := &tableRoute{table: uint32(b[4])}
	r.Protocol = b[5]
	flags := binary.NativeEndian.Uint32(b[8:])
	dst := netip.IPv4Unspecified()
	if family == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	switch b[7] {
	case unix.RTN_UNICAST:
	case unix.RTN_BLACKHOLE:
		r.Type = Blackhole
	case unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT:
		r.Type = Unreachable
	default:
		return nil
	}
	var single Hop
	attributes(b[unix.SizeofRtMsg:], func(kind uint16, value []byte) {
		switch kind {
		case unix.RTA_DST:
			dst = address(value)
		case unix.RTA_TABLE:
			r.table = number(value)
		case unix.RTA_PRIORITY:
			r.Metric = number(value)
		case unix.RTA_MULTIPATH:
			r.Hops = parseHops(value)
		default:
			single.attribute(kind, value)
		}
	})
	if !dst.IsValid() || family != familyOf(dst) || length > dst.BitLen() || source != 0 || tos != 0 || flags&unix.RTM_F_CLONED != 0 ||
		dst.IsMulticast() || dst.Is6() && dst.IsLinkLocalUnicast() {
		return nil
	}
	r.Prefix = netip.PrefixFrom(dst, length).Masked()
	switch {
	case r.Type != Unicast:
		r.Hops = nil
	case r.Hops == nil && single.Device != 0:
		r.Hops = []Hop{single}
	}
	return r
}

// attribute takes an attribute of a route or of one of its next hops.
func (h *Hop) attribute(kind uint16, value []byte) {
	switch kind {
	case unix.RTA_OIF:
		h.Device = int(number(value))
	case unix.RTA_GATEWAY:
		h.Via = address(value)
	case unix.RTA_VIA: // struct rtvia: a family, then an address of it
		if len(value) > 2 {
			h.Via = address(value[2:])
		}
	case unix.RTA_ENCAP, unix.RTA_NEWDST:
		h.Encap = true
	}
}

// parseHops reads a list of struct rtnexthop.
func parseHops(b []byte) (hops []Hop) {
	for len(b) >= unix.SizeofRtNexthop {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtNexthop || size > len(b) {
			break
		}
		h := Hop{Device: int(int32(binary.NativeEndian.Uint32(b[4:])))}
		attributes(b[unix.SizeofRtNexthop:size], h.attribute)
		hops = append(hops, h)
		b = b[min((size+3)&^3, len(b)):]
	}
	return hops
}
