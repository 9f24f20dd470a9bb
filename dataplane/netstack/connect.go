package netstack

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// Connect finds out whether a TCP connection to remote can be opened, and how
// long that takes. The connection is reset at once: one that is closed would
// stay for a minute (TIME-WAIT, RFC 9293 3.6.1), and a check opens one a
// second or more. It ends with ctx's error when ctx ends first.
func (s *Stack) Connect(ctx context.Context, remote netip.AddrPort) (time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	dst := remote.Addr().Unmap()
	from, err := s.source(netip.Addr{}, dst)
	if err != nil {
		return 0, err
	}
	var queue waiter.Queue
	ep, terr := s.gv.NewEndpoint(tcp.ProtocolNumber, protocolOf(dst), &queue)
	if terr != nil {
		return 0, failed(terr, "connect to %s", remote)
	}
	defer func() {
		ep.Abort()
		ep.Close()
	}()
	entry, writable := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventErr | waiter.EventHUp)
	queue.EventRegister(&entry)
	defer queue.EventUnregister(&entry)
	if err := ep.Bind(tcpip.FullAddress{NIC: from.nic, Addr: toAddress(from.addr)}); err != nil {
		return 0, failed(err, "connect from %s", from.addr)
	}
	began := time.Now()
	terr = ep.Connect(tcpip.FullAddress{NIC: from.nic, Addr: toAddress(dst), Port: remote.Port()})
	if _, started := terr.(*tcpip.ErrConnectStarted); started {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-writable:
		}
		terr = ep.LastError()
	}
	if terr != nil {
		return 0, errors.New(terr.String())
	}
	return time.Since(began), nil
}
