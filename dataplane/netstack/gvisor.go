package netstack

import (
	"errors"
	"sync"

	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// Buffers of one TCP connection, in bytes: health checks and small services,
// not bulk transfer, so the process stays small.
const (
	tcpBufferMin     = 4 << 10
	tcpBufferDefault = 64 << 10
	tcpBufferMax     = 256 << 10
)

// quiet keeps gVisor's own log, which is one for the process and goes to
// stderr, from telling of each kind of martian packet.
var quiet = sync.OnceFunc(func() { log.SetLevel(log.Warning) })

// newLocal makes gVisor's stack for local delivery. The zero values of
// ipv6.Options switch off what the router does itself: duplicate address
// detection, router solicitation, generated link-local addresses, SLAAC.
func newLocal(clock tcpip.Clock) (*stack.Stack, error) {
	quiet()
	gv := stack.New(stack.Options{
		Clock: clock,
		NetworkProtocols: []stack.NetworkProtocolFactory{
			ipv4.NewProtocolWithOptions(ipv4.Options{IGMP: ipv4.IGMPOptions{Enabled: true}}),
			ipv6.NewProtocolWithOptions(ipv6.Options{MLD: ipv6.MLDOptions{Enabled: true}}),
		},
		TransportProtocols: []stack.TransportProtocolFactory{
			tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6,
		},
		// Packets to own addresses are handled inside.
		HandleLocal: true,
	})
	sack := tcpip.TCPSACKEnabled(true)
	moderate := tcpip.TCPModerateReceiveBufferOption(false)
	err := errors.Join(
		failed(gv.SetTransportProtocolOption(tcp.ProtocolNumber, &sack), "TCP SACK"),
		failed(gv.SetTransportProtocolOption(tcp.ProtocolNumber, &moderate), "TCP receive buffer moderation"),
		failed(gv.SetTransportProtocolOption(tcp.ProtocolNumber, &tcpip.TCPSendBufferSizeRangeOption{
			Min: tcpBufferMin, Default: tcpBufferDefault, Max: tcpBufferMax,
		}), "TCP send buffer"),
		failed(gv.SetTransportProtocolOption(tcp.ProtocolNumber, &tcpip.TCPReceiveBufferSizeRangeOption{
			Min: tcpBufferMin, Default: tcpBufferDefault, Max: tcpBufferMax,
		}), "TCP receive buffer"),
	)
	if err != nil {
		gv.Destroy()
		return nil, err
	}
	return gv, nil
}
