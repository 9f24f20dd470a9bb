package netstack

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"vrouter/packet"
)

// Headroom is the room in front of the IP header of an emitted frame, in
// bytes: enough for an untagged Ethernet header.
const Headroom = packet.EthernetLen

// Limits of the queues between the router and a stack.
const (
	queueIn      = 512     // packets that wait for the stack
	queueInBytes = 4 << 20 // bytes of them
	queueOut     = 1024    // packets that wait to be emitted
)

// Config is what a Stack is made with. The zero value works.
type Config struct {
	// Log takes what an operator should know; nil: nothing is logged.
	Log *slog.Logger
	// Egress is the router's own routing decision: the port by which a packet
	// to dst leaves, false where there is no route. It is asked for the source
	// address of what the router itself begins (Ping, DialTCP), from the
	// caller's goroutine. Nil: the port with the connected prefix, or else the
	// first that has an address of the family.
	Egress func(dst netip.Addr) (port uint16, ok bool)
	// ErrorsPerSecond limits the ICMP errors (not: echo replies) that are
	// sent. 0: 1000; negative: no limit.
	ErrorsPerSecond int
}

// Emit takes an outgoing packet: frame[:Headroom] is free for an Ethernet
// header, the rest is a complete IP packet with all checksums in place. The
// frame may be changed, and is valid during the call only. port is the port
// that the stack chose: it is authoritative for link-local and multicast
// destinations; other packets the router routes itself.
//
// It is called from one goroutine of the stack, never at the same time as
// itself, with no lock held. While it runs, further packets queue up to a
// limit and are dropped beyond it.
type Emit func(port uint16, frame []byte)

// Stats counts what went through a Stack, in packets.
type Stats struct {
	Delivered   uint64 // taken by Deliver
	DroppedIn   uint64 // refused by Deliver: queue full, malformed, or no such port
	Emitted     uint64 // handed to Emit
	DroppedOut  uint64 // not emitted: queue full
	SilencedND  uint64 // Neighbor Discovery that gVisor wanted to send; it is the router's, not the stack's
	EchoReplies uint64 // pings answered, each counted once however many fragments it took
}

// Stack is the local TCP/IP stack: ping, UDP, TCP, IGMP and MLD on the
// addresses that the router answers for. All methods may be called from any
// goroutine.
type Stack struct {
	cfg  Config
	emit Emit
	gv   *stack.Stack

	mu    sync.Mutex // of configuration: ports, addresses, groups
	nics  map[uint16]*nic
	addrs []Address
	group map[uint16][]netip.Addr

	view  atomic.Pointer[view]   // what Deliver and source selection read
	turn  atomic.Pointer[detour] // set while a packet that needs one is injected
	pings pings

	in      chan incoming
	inBytes atomic.Int64
	out     chan outgoing
	stop    [2]chan struct{} // of the goroutines feed and drain
	done    [2]chan struct{}
	closed  atomic.Bool

	delivered, droppedIn, emitted, droppedOut, silenced atomic.Uint64
}

// incoming is a packet on its way into the stack.
type incoming struct {
	link  *link
	proto tcpip.NetworkProtocolNumber
	pkt   *stack.PacketBuffer
	port  uint16     // where it really came in
	src   netip.Addr // link-local source that came in by another port than link's; else invalid
	size  int
}

// outgoing is a packet on its way out of the stack.
type outgoing struct {
	port uint16
	pkt  *stack.PacketBuffer
}

// detour sends replies to a link-local neighbour back to the link that it is
// on, where the address that it asked belongs to another port.
type detour struct {
	to       tcpip.Address
	from, by uint16
}

// New starts a Stack without ports. Close ends it.
func New(cfg Config, emit func(port uint16, frame []byte)) (*Stack, error) {
	return newWithClock(cfg, emit, tcpip.NewStdClock())
}

// newWithClock is New with the clock that gVisor's timers run by.
func newWithClock(cfg Config, emit Emit, clock tcpip.Clock) (*Stack, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	gv, err := newLocal(clock)
	if err != nil {
		return nil, err
	}
	limitErrors(gv, cfg.ErrorsPerSecond)
	s := &Stack{
		cfg:   cfg,
		emit:  emit,
		gv:    gv,
		nics:  map[uint16]*nic{},
		group: map[uint16][]netip.Addr{},
		in:    make(chan incoming, queueIn),
		out:   make(chan outgoing, queueOut),
	}
	s.view.Store(&view{})
	for i := range s.stop {
		s.stop[i], s.done[i] = make(chan struct{}), make(chan struct{})
	}
	go s.feed()
	go s.drain()
	return s, nil
}

// limitErrors sets the rate of ICMP errors; gVisor spares echo replies and
// packet-too-big by itself.
func limitErrors(gv *stack.Stack, perSecond int) {
	switch {
	case perSecond < 0:
		gv.SetICMPLimit(rate.Inf)
	case perSecond > 0:
		gv.SetICMPLimit(rate.Limit(perSecond))
		gv.SetICMPBurst(max(50, perSecond/10))
	}
}

// Close ends the stack: connections are reset, then all its goroutines end.
// After it returns, Emit is not called any more. Deliver on a closed Stack
// drops.
func (s *Stack) Close() {
	if s.closed.Swap(true) {
		return
	}
	close(s.stop[0])
	<-s.done[0]
	s.gv.Destroy()
	close(s.stop[1])
	<-s.done[1]
	for {
		select {
		case p := <-s.in:
			p.pkt.DecRef()
		case p := <-s.out:
			p.pkt.DecRef()
		default:
			return
		}
	}
}

// Deliver hands the stack a packet for the router itself, IP header first,
// that came in by port. Trailing bytes after the IP packet are ignored;
// checksums must be complete. The packet is copied; Deliver never blocks: what
// the queue does not hold is dropped and counted.
func (s *Stack) Deliver(port uint16, ipPacket []byte) {
	p, ok := s.prepare(port, ipPacket)
	if !ok || s.closed.Load() {
		s.droppedIn.Add(1)
		return
	}
	if s.inBytes.Add(int64(p.size)) > queueInBytes {
		s.drop(p)
		return
	}
	p.pkt = stack.NewPacketBuffer(stack.PacketBufferOptions{
		Payload: buffer.MakeWithData(ipPacket[:p.size]),
	})
	select {
	case s.in <- p:
		s.delivered.Add(1)
	default:
		p.pkt.DecRef()
		s.drop(p)
	}
}

// drop takes back what Deliver has accounted for p.
func (s *Stack) drop(p incoming) {
	s.inBytes.Add(-int64(p.size))
	s.droppedIn.Add(1)
}

// prepare finds the network interface of gVisor that owns the destination
// address. gVisor holds to the strong host model: it takes an address only on
// the interface that has it. A router is asked for the address of its far
// side, so the packet is put in there.
func (s *Stack) prepare(port uint16, b []byte) (incoming, bool) {
	p := incoming{port: port}
	var src, dst netip.Addr
	if ip4, ok := packet.ParseIPv4(b); ok {
		p.proto, p.size = header.IPv4ProtocolNumber, len(ip4)
		src, dst = ip4.Src(), ip4.Dst()
	} else if ip6, ok := packet.ParseIPv6(b); ok {
		p.proto, p.size = header.IPv6ProtocolNumber, len(ip6)
		src, dst = ip6.Src(), ip6.Dst()
	} else {
		return p, false
	}
	p.link = s.view.Load().deliverOn(port, dst)
	if p.link == nil {
		return p, false
	}
	if p.link.port != port && src.IsLinkLocalUnicast() {
		p.src = src
	}
	return p, true
}

// feed is the goroutine that puts packets into gVisor, one after the other.
func (s *Stack) feed() {
	defer close(s.done[0])
	for {
		select {
		case <-s.stop[0]:
			return
		case p := <-s.in:
			s.inBytes.Add(-int64(p.size))
			s.inject(p)
			p.pkt.DecRef()
		}
	}
}

// inject runs gVisor on one packet; replies of ICMP, UDP and closed TCP ports
// are written before it returns.
func (s *Stack) inject(p incoming) {
	s.pings.observe(p)
	if p.src.IsValid() {
		s.turn.Store(&detour{to: toAddress(p.src), from: p.link.port, by: p.port})
		defer s.turn.Store(nil)
	}
	p.link.InjectInbound(p.proto, p.pkt)
}

// send queues a packet that gVisor writes to a port, and is false where the
// queue is full.
func (s *Stack) send(port uint16, pkt *stack.PacketBuffer) bool {
	if isNeighborDiscovery(pkt) {
		s.silenced.Add(1)
		return true
	}
	if d := s.turn.Load(); d != nil && d.from == port && pkt.Network().DestinationAddress() == d.to {
		port = d.by
	}
	select {
	case s.out <- outgoing{port, pkt.Clone()}:
		return true
	default:
		s.droppedOut.Add(1)
		return false
	}
}

// drain is the goroutine that calls Emit.
func (s *Stack) drain() {
	defer close(s.done[1])
	var frame frameBuffer
	for {
		select {
		case <-s.stop[1]:
			return
		case p := <-s.out:
			b := frame.flatten(p.pkt)
			p.pkt.DecRef()
			s.emitted.Add(1)
			s.emit(p.port, b)
		}
	}
}

// Stats returns the counters as they are now.
func (s *Stack) Stats() Stats {
	icmp := s.gv.Stats().ICMP
	return Stats{
		Delivered:   s.delivered.Load(),
		DroppedIn:   s.droppedIn.Load(),
		Emitted:     s.emitted.Load(),
		DroppedOut:  s.droppedOut.Load(),
		SilencedND:  s.silenced.Load(),
		EchoReplies: icmp.V4.PacketsSent.EchoReply.Value() + icmp.V6.PacketsSent.EchoReply.Value(),
	}
}

// failed turns an error of gVisor into one that says what was tried.
func failed(err tcpip.Error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %s", fmt.Sprintf(format, args...), err)
}
