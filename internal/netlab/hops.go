package netlab

import (
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// initialTTL is what Linux sends UDP with (ip_default_ttl and hop_limit of a
// fresh network namespace; RFC 1700).
const initialTTL = 64

// readHops returns a function that reads a datagram of conn and tells how
// many routers it has passed: what is missing of its TTL or hop limit.
func readHops(conn *net.UDPConn, family netip.Addr) (func(b []byte) (n int, peer net.Addr, hops int, err error), error) {
	if family.Is4() {
		p := ipv4.NewPacketConn(conn)
		if err := p.SetControlMessage(ipv4.FlagTTL, true); err != nil {
			return nil, err
		}
		return func(b []byte) (int, net.Addr, int, error) {
			n, cm, peer, err := p.ReadFrom(b)
			if err != nil || cm == nil {
				return n, peer, -1, err
			}
			return n, peer, initialTTL - cm.TTL, nil
		}, nil
	}
	p := ipv6.NewPacketConn(conn)
	if err := p.SetControlMessage(ipv6.FlagHopLimit, true); err != nil {
		return nil, err
	}
	return func(b []byte) (int, net.Addr, int, error) {
		n, cm, peer, err := p.ReadFrom(b)
		if err != nil || cm == nil {
			return n, peer, -1, err
		}
		return n, peer, initialTTL - cm.HopLimit, nil
	}, nil
}
