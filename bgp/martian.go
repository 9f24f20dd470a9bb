package bgp

import "net/netip"

// Martians are the prefixes in which no route of a neighbour's may be: what is
// within them is never forwarded to (RFC 6890, RFC 1122 3.2.1.3, RFC 3927 7,
// RFC 4291 2.4), whatever a prefix list lets in. A default route, or half of it,
// is not within them. 64:ff9b::/96 (RFC 6052) is none of ::/16.
var Martians = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("::/16"), // unspecified, loopback, IPv4-mapped, IPv4-compatible
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
}

// Martian reports whether a prefix lies within one of Martians.
func Martian(p netip.Prefix) bool {
	for _, m := range Martians {
		if p.Bits() >= m.Bits() && m.Contains(p.Addr()) {
			return true
		}
	}
	return false
}
