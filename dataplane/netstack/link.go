package netstack

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"vrouter/packet"
)

// minMTU is the least MTU that IPv4 works with (RFC 791); below it gVisor's
// forwarder ends the process.
const minMTU = header.IPv4MinimumMTU

// writer takes the packets that gVisor writes to a port; it is false where
// there was no room. It may be called from many goroutines.
type writer interface {
	send(port uint16, pkt *stack.PacketBuffer) bool
}

// link is the link endpoint of one port: a channel endpoint for packets on
// their way in; on their way out all ports share the queue of their writer.
// Without CapabilityResolutionRequired gVisor resolves no neighbours: what it
// writes starts with the IP header, and Ethernet is the router's.
type link struct {
	*channel.Endpoint
	port uint16
	out  writer
}

func newLink(port uint16, mtu int, mac packet.MAC, out writer) *link {
	return &link{
		Endpoint: channel.New(0, uint32(max(mtu, minMTU)), tcpip.LinkAddress(mac[:])),
		port:     port,
		out:      out,
	}
}

// WritePackets implements stack.LinkWriter. The only error that it knows is
// "no buffer space": any other ends the process in gVisor's forwarder
// (ipv4.go, ipv6.go: handleForwardingError).
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	for i, pkt := range pkts.AsSlice() {
		if !l.out.send(l.port, pkt) {
			return i, &tcpip.ErrNoBufferSpace{}
		}
	}
	return pkts.Len(), nil
}

// isNeighborDiscovery reports whether pkt is an ND message without extension
// headers, as gVisor would write it (RFC 4861: types 133 to 137).
func isNeighborDiscovery(pkt *stack.PacketBuffer) bool {
	if pkt.NetworkProtocolNumber != header.IPv6ProtocolNumber ||
		pkt.TransportProtocolNumber != header.ICMPv6ProtocolNumber {
		return false
	}
	h := pkt.TransportHeader().Slice()
	return len(h) > 0 && h[0] >= packet.ICMPv6RouterSolicit && h[0] <= packet.ICMPv6Redirect
}

// frameBuffer is where packets become contiguous, one at a time.
type frameBuffer []byte

// flatten copies pkt behind Headroom free bytes; the result is valid until
// the next call.
func (f *frameBuffer) flatten(pkt *stack.PacketBuffer) []byte {
	size := Headroom + pkt.Size()
	if cap(*f) < size {
		*f = make([]byte, max(size, 2048))
	}
	b := (*f)[:size]
	n := Headroom
	for _, part := range pkt.AsSlices() {
		n += copy(b[n:], part)
	}
	return b
}

// toAddress converts to gVisor's address type; a zone is dropped.
func toAddress(a netip.Addr) tcpip.Address {
	if a.Is4() {
		return tcpip.AddrFrom4(a.As4())
	}
	return tcpip.AddrFrom16(a.As16())
}

// fromAddress converts back; gVisor's zero value becomes the zero Addr.
func fromAddress(a tcpip.Address) netip.Addr {
	addr, _ := netip.AddrFromSlice(a.AsSlice())
	return addr
}

// protocolOf returns gVisor's number of the address's family.
func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return header.IPv4ProtocolNumber
	}
	return header.IPv6ProtocolNumber
}

// nicID returns gVisor's number of the port, which may not be 0.
func nicID(port uint16) tcpip.NICID { return tcpip.NICID(port) + 1 }
