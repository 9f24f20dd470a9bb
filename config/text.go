package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"vrouter/packet"
)

// The checks of this file are about one value; they add an error and return
// false (or a zero value) where it is wrong. A key that is absent or already
// has an error is left alone.

// required notes a key that the file does not have.
func required[T any](c *checker, f *field[T], example string) {
	if !f.Set {
		c.missing(f.at, example)
		f.Bad = !f.Set
	}
}

// oneOf checks a text that is one of a few words.
func (c *checker) oneOf(f *text, words ...string) string {
	if f.given() && !slices.Contains(words, f.Value) {
		f.Bad = true
		c.add(f.Line, "%s %q is not known; write one of %s", f.Key, f.Value, quoted(words))
	}
	return f.Value
}

// within checks a whole number's range, bounds included.
func (c *checker) within(f *integer, low, high int64) int64 {
	if f.given() && (f.Value < low || f.Value > high) {
		f.Bad = true
		c.add(f.Line, "%s %d is out of range; write %d to %d", f.Key, f.Value, low, high)
	}
	return f.Value
}

// lasting checks a duration's range, bounds included.
func (c *checker) lasting(f *duration, low, high time.Duration) time.Duration {
	if f.given() && (f.Value < low || f.Value > high) {
		f.Bad = true
		c.add(f.Line, "%s %s is out of range; write %q to %q", f.Key, short(f.Value), short(low), short(high))
	}
	return f.Value
}

// short returns a duration without the units that are zero: 1m, not 1m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// maxName is the length of a name, in bytes.
const maxName = 63

// name checks a name: it appears in status, metrics, environments of hooks
// and device names, so it is made of few characters.
func (c *checker) name(f *text) string {
	if !f.given() {
		return f.Value
	}
	switch {
	case f.Value == "":
		f.Bad = true
		c.add(f.Line, "%s is empty; write a name of letters and digits", f.Key)
	case len(f.Value) > maxName:
		f.Bad = true
		c.add(f.Line, "%s %q has %d characters; write at most %d", f.Key, f.Value, len(f.Value), maxName)
	case !isName(f.Value):
		f.Bad = true
		c.add(f.Line, `%s %q has characters that a name may not have; use letters, digits, "-", "_" and ".", first a letter or digit`, f.Key, f.Value)
	}
	return f.Value
}

func isName(s string) bool {
	for i := range len(s) {
		if !isBare(s[i]) && s[i] != '.' || i == 0 && strings.IndexByte("-_.", s[i]) >= 0 {
			return false
		}
	}
	return true
}

// names finds a name that is used twice among tables of one kind. It maps a
// name to the line where it was first given.
type names map[string]int

func (n names) add(c *checker, f *text, kind string) {
	if !f.Set || f.Value == "" {
		return
	}
	if line, taken := n[f.Value]; taken {
		c.add(f.Line, "%s %q is the name of the %s on line %d; give each its own", f.Key, f.Value, kind, line)
		return
	}
	n[f.Value] = f.Line
}

// deviceName checks the name of a Linux network device.
func (c *checker) deviceName(f *text) string {
	s := f.Value
	switch {
	case !f.given():
	case s == "" || s == "." || s == "..":
		f.Bad = true
		c.add(f.Line, `%s %q is no device; write a name like "eth1"`, f.Key, s)
	case len(s) > 15:
		f.Bad = true
		c.add(f.Line, "%s %q has %d characters; Linux device names have at most 15", f.Key, s, len(s))
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("/:%", r) }):
		f.Bad = true
		c.add(f.Line, `%s %q cannot be the name of a Linux device; write one without "/", ":", "%%" and spaces`, f.Key, s)
	}
	return s
}

// mac checks the MAC address of an interface.
func (c *checker) mac(f *text) packet.MAC {
	if !f.given() {
		return packet.MAC{}
	}
	m, err := packet.ParseMAC(f.Value)
	wrong := ""
	switch {
	case err != nil:
		wrong = "is no MAC address"
	case m.IsZero():
		wrong = "is zero"
	case m.IsMulticast():
		wrong = "is a group address (the lowest bit of its first byte is set)"
	case m[0] == 0 && m[1] == 0 && m[2] == 0x5e && m[3] == 0 && (m[4] == 1 || m[4] == 2):
		wrong = "is the virtual MAC of a virtual router"
	default:
		return m
	}
	f.Bad = true
	c.add(f.Line, `%s %q %s; write an own one like "02:00:5e:10:00:02"`, f.Key, f.Value, wrong)
	return packet.MAC{}
}

// address parses an address without prefix length and zone that can be one
// host's.
func (c *checker) address(f *text) (netip.Addr, bool) {
	if !f.given() {
		return netip.Addr{}, false
	}
	f.Bad = true
	a, err := netip.ParseAddr(f.Value)
	if p, perr := netip.ParsePrefix(f.Value); perr == nil {
		c.add(f.Line, "%s %q has a prefix length; write %q", f.Key, f.Value, p.Addr())
		return a, false
	}
	if err != nil {
		c.add(f.Line, `%s %q is no IP address; write one like "192.0.2.1" or "2001:db8::1"`, f.Key, f.Value)
		return a, false
	}
	if a.Zone() != "" {
		c.add(f.Line, "%s %q has a zone; write %q", f.Key, f.Value, a.WithZone(""))
		return a, false
	}
	f.Bad = !c.host(f.at, f.Value, a)
	return a, !f.Bad
}

// host checks that an address can be one host's (RFC 1122 3.2.1.3, RFC 4291
// 2).
func (c *checker) host(f at, written string, a netip.Addr) bool {
	wrong := ""
	switch {
	case a.Is4In6():
		c.add(f.Line, "%s %q is an IPv4-mapped IPv6 address; write %q", f.Key, written, a.Unmap())
		return false
	case a.IsUnspecified() || a.Is4() && a.As4()[0] == 0:
		wrong = "is an unspecified address"
	case a.IsLoopback():
		wrong = "is a loopback address"
	case a.IsMulticast():
		wrong = "is a multicast address"
	case a.Is4() && a.As4()[0] >= 240:
		wrong = "is a reserved or broadcast address"
	default:
		return true
	}
	c.add(f.Line, "%s %q %s; write the address of one host", f.Key, written, wrong)
	return false
}

// hostIn checks that an address is not the one of a whole prefix: network and
// broadcast address of IPv4 (RFC 3021: not in a /31), the subnet-router
// anycast address of IPv6 (RFC 4291 2.6.1; RFC 6164: not in a /127).
func (c *checker) hostIn(f at, a netip.Addr, p netip.Prefix) bool {
	if p.Bits() >= a.BitLen()-1 {
		return true
	}
	switch {
	case a == p.Masked().Addr() && a.Is4():
		c.add(f.Line, "%s %s is the network address of %s; write the address of a host", f.Key, a, p.Masked())
	case a == p.Masked().Addr():
		c.add(f.Line, "%s %s is the subnet-router anycast address of %s; write the address of a host", f.Key, a, p.Masked())
	case a.Is4() && a == broadcast(p):
		c.add(f.Line, "%s %s is the broadcast address of %s; write the address of a host", f.Key, a, p.Masked())
	default:
		return true
	}
	return false
}

// broadcast returns the directed broadcast address of an IPv4 prefix.
func broadcast(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		a[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(a)
}

// prefix parses the destination of routes: an address with prefix length, no
// bits set beyond it.
func (c *checker) prefix(f *text) (netip.Prefix, bool) {
	if !f.given() {
		return netip.Prefix{}, false
	}
	f.Bad = true
	p, err := netip.ParsePrefix(f.Value)
	a, aerr := netip.ParseAddr(f.Value)
	switch {
	case f.Value == "default":
		c.add(f.Line, `%s "default" is of no address family; write "0.0.0.0/0" or "::/0"`, f.Key)
	case err != nil && aerr == nil && a.Zone() == "":
		c.add(f.Line, "%s %q has no prefix length; for this one host write %q", f.Key, f.Value, netip.PrefixFrom(a, a.BitLen()))
	case err != nil:
		c.add(f.Line, `%s %q is no prefix; write one like "198.51.100.0/24" or "2001:db8::/32"`, f.Key, f.Value)
	case p.Addr().Is4In6():
		c.add(f.Line, `%s %q is an IPv4-mapped IPv6 prefix; write it like "198.51.100.0/24"`, f.Key, f.Value)
	case p != p.Masked():
		c.add(f.Line, "%s %q has bits set beyond its prefix length; write %q", f.Key, f.Value, p.Masked())
	default:
		f.Bad = false
	}
	return p, !f.Bad
}
