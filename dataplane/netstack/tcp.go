package netstack

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

// DialTCP opens a TCP connection to remote, sent by the router itself. The
// zero local address lets the stack choose the source address (see
// Config.Egress), port 0 the port. It ends with ctx's error when ctx ends
// first.
func (s *Stack) DialTCP(ctx context.Context, local, remote netip.AddrPort) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dst := remote.Addr().Unmap()
	from, err := s.source(local.Addr().Unmap(), dst)
	if err != nil {
		return nil, err
	}
	conn, err := gonet.DialTCPWithBind(ctx, s.gv,
		tcpip.FullAddress{NIC: from.nic, Addr: toAddress(from.addr), Port: local.Port()},
		tcpip.FullAddress{NIC: from.nic, Addr: toAddress(dst), Port: remote.Port()},
		protocolOf(dst))
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// DialContext has the form that net/http and others expect of a dialer.
// network is "tcp", "tcp4" or "tcp6"; address is an IP address and a port:
// names are not resolved.
func (s *Stack) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	remote, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	is4 := remote.Addr().Unmap().Is4()
	if network != "tcp" && (network != "tcp4" || !is4) && (network != "tcp6" || is4) {
		return nil, fmt.Errorf("network %s cannot reach %s", network, address)
	}
	return s.DialTCP(ctx, netip.AddrPort{}, remote)
}

// ListenTCP accepts TCP connections to an address of the router, or to all of
// its family where the address is 0.0.0.0 or ::.
func (s *Stack) ListenTCP(local netip.AddrPort) (net.Listener, error) {
	addr := local.Addr().Unmap()
	if !addr.IsValid() {
		return nil, fmt.Errorf("listen: no address given")
	}
	at := tcpip.FullAddress{Port: local.Port()}
	if !addr.IsUnspecified() {
		from, err := s.source(addr, addr)
		if err != nil {
			return nil, err
		}
		at.NIC, at.Addr = from.nic, toAddress(from.addr)
	}
	l, err := gonet.ListenTCP(s.gv, at, protocolOf(addr))
	if err != nil {
		return nil, err
	}
	return l, nil
}
