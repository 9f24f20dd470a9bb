package netstack

import (
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// Engine is gVisor's forwarder: transit packets go in, and come out routed,
// with the TTL decremented, as fragments where IPv4 needs them, or as ICMP
// errors. It knows neither MAC addresses nor neighbours: both ends of it are IP
// packets. What is addressed to the router goes to a Stack instead.
//
// It is a gVisor stack of its own, apart from the local one, so that it routes
// by the snapshot and nothing else. Package documentation lists how it differs
// from the fast path. All methods may be called from any goroutine.
type Engine struct {
	log  *slog.Logger
	emit Emit
	gv   *stack.Stack

	plan    atomic.Pointer[plan] // as published
	applied *plan                // as gVisor has it; of the engine's goroutine
	links   atomic.Pointer[map[uint16]*link]
	sink    sink

	in     chan transit
	out    chan Packet
	stop   chan struct{}
	done   chan struct{}
	closed atomic.Bool

	taken, droppedIn, emitted, droppedOut atomic.Uint64
}

// Packet is an IP packet that the Engine sends.
type Packet struct {
	Port uint16
	Via  netip.Addr // the neighbour that it goes to on Port
	Data []byte     // Headroom free bytes, then IP
}

// transit is a packet that waits for the Engine, and where to answer what
// came of it: nil means Emit.
type transit struct {
	in     uint16
	data   []byte
	answer chan<- []Packet
}

// EngineStats counts packets.
type EngineStats struct {
	Taken      uint64 // by Forward
	DroppedIn  uint64 // refused by Forward: queue full, not IP, no such port, or IPv6 headers that gVisor cannot forward
	Emitted    uint64 // handed to Emit, ICMP errors included
	DroppedOut uint64 // not emitted: queue full
	Discarded  uint64 // by a route that says so: blackhole, unreachable, local
	Unroutable uint64
	TTLExpired uint64
	TooBig     uint64
}

// NewEngine starts an Engine without ports and routes; Publish gives it both.
// Of cfg it uses Log and ErrorsPerSecond.
func NewEngine(cfg Config, emit func(port uint16, frame []byte)) (*Engine, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	quiet()
	gv := stack.New(stack.Options{
		// Without MLD and IGMP: the local stack speaks for the router.
		NetworkProtocols: []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
	})
	limitErrors(gv, cfg.ErrorsPerSecond)
	e := &Engine{
		log:  cfg.Log,
		emit: emit,
		gv:   gv,
		in:   make(chan transit, queueIn),
		out:  make(chan Packet, queueOut),
		stop: make(chan struct{}),
		done: make(chan struct{}),
	}
	e.links.Store(&map[uint16]*link{})
	e.applied = &plan{}
	e.plan.Store(e.applied)
	if err := errors.Join(enableForwarding(gv), e.addSink()); err != nil {
		gv.Destroy()
		return nil, err
	}
	go e.run()
	return e, nil
}

func enableForwarding(gv *stack.Stack) error {
	return errors.Join(
		failed(gv.SetForwardingDefaultAndAllNICs(header.IPv4ProtocolNumber, true), "IPv4 forwarding"),
		failed(gv.SetForwardingDefaultAndAllNICs(header.IPv6ProtocolNumber, true), "IPv6 forwarding"),
	)
}

// Publish makes the Engine route by the snapshot: ports, the source addresses
// of ICMP errors, routes. It reads the snapshot before it returns and keeps
// nothing of it; gVisor's tables follow before the next packet. More than
// RoutesMax routes are an error, and nothing changes.
func (e *Engine) Publish(s *fib.Snapshot) error {
	p, err := newPlan(s)
	if err == nil {
		e.plan.Store(p)
	}
	return err
}

// Forward routes a transit packet, IP header first, that came in by port in.
// The packet is copied; Forward never blocks: what the queue does not hold is
// dropped and counted. The MAC gate, martian checks and the TTL check stand
// before it; checksums must be complete.
func (e *Engine) Forward(in uint16, ipPacket []byte) {
	data, ok := cut(ipPacket)
	if !ok || e.closed.Load() {
		e.droppedIn.Add(1)
		return
	}
	select {
	case e.in <- transit{in: in, data: data}:
		e.taken.Add(1)
	default:
		e.droppedIn.Add(1)
	}
}

// ForwardOne routes one packet and returns all that came of it, instead of
// emitting it: gVisor forwards without a goroutine of its own where it
// resolves no neighbours. The queue in front of it is waited for. Nil where
// the packet was dropped, or the Engine is closed.
func (e *Engine) ForwardOne(in uint16, ipPacket []byte) []Packet {
	data, ok := cut(ipPacket)
	if !ok {
		return nil
	}
	answer := make(chan []Packet, 1)
	select {
	case e.in <- transit{in, data, answer}:
	case <-e.done:
		return nil
	}
	select {
	case out := <-answer:
		return out
	case <-e.done:
		return nil
	}
}

// Close ends the engine and its goroutine. After it returns, Emit is not
// called any more.
func (e *Engine) Close() {
	if e.closed.Swap(true) {
		return
	}
	close(e.stop)
	<-e.done
	e.gv.Destroy()
}

// Stats returns the counters as they are now.
func (e *Engine) Stats() EngineStats {
	f := e.gv.Stats().IP.Forwarding
	return EngineStats{
		Taken:      e.taken.Load(),
		DroppedIn:  e.droppedIn.Load(),
		Emitted:    e.emitted.Load(),
		DroppedOut: e.droppedOut.Load(),
		Discarded:  e.sink.n.Load(),
		Unroutable: f.Unrouteable.Value(),
		TTLExpired: f.ExhaustedTTL.Value(),
		TooBig:     f.PacketTooBig.Value(),
	}
}

// run is the goroutine that owns gVisor's tables and forwards.
func (e *Engine) run() {
	defer close(e.done)
	for {
		select {
		case <-e.stop:
			return
		case t := <-e.in:
			e.collect() // what gVisor wrote by itself since: nothing that matters
			if p := e.plan.Load(); p != e.applied {
				e.apply(p)
			}
			e.inject(t)
			e.finish(t, e.collect())
		}
	}
}

// inject runs gVisor on one packet; what it writes is in e.out afterwards.
func (e *Engine) inject(t transit) {
	l := (*e.links.Load())[t.in]
	if ip, v6 := packet.ParseIPv6(t.data); l == nil || v6 && endless(ip) {
		e.droppedIn.Add(1)
		return
	}
	proto := header.IPv6ProtocolNumber
	if t.data[0]>>4 == 4 {
		proto = header.IPv4ProtocolNumber
		expireTTL(t.data)
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(t.data)})
	defer pkt.DecRef()
	l.InjectInbound(proto, pkt)
}

// send takes what gVisor writes, and is false where the queue is full.
func (e *Engine) send(port uint16, pkt *stack.PacketBuffer) bool {
	p := Packet{Port: port, Via: fromAddress(pkt.EgressRoute.NextHop)}
	if !p.Via.IsValid() {
		p.Via = fromAddress(pkt.Network().DestinationAddress())
	}
	var fresh frameBuffer
	p.Data = fresh.flatten(pkt)
	select {
	case e.out <- p:
		return true
	default:
		e.droppedOut.Add(1)
		return false
	}
}

// collect empties e.out.
func (e *Engine) collect() []Packet {
	var all []Packet
	for {
		select {
		case p := <-e.out:
			all = append(all, p)
		default:
			return all
		}
	}
}

// finish mends what gVisor made of t, and hands it on.
func (e *Engine) finish(t transit, all []Packet) {
	for _, p := range all {
		restoreOffset(t.data, p.Data[Headroom:])
		restoreTTL(t.data, p.Data[Headroom:])
		completeTooBig(e.applied, p.Data[Headroom:])
	}
	if t.answer != nil {
		t.answer <- all
		return
	}
	for _, p := range all {
		e.emitted.Add(1)
		e.emit(p.Port, p.Data)
	}
}

// cut returns a copy of the IP packet at the start of b, without padding.
func cut(b []byte) ([]byte, bool) {
	if ip, ok := packet.ParseIPv4(b); ok {
		return slices.Clone(ip), true
	}
	ip, ok := packet.ParseIPv6(b)
	return slices.Clone(ip), ok
}
