package netstack

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/waiter"

	"vrouter/packet"
)

// PingSizeMax is the largest payload of an echo request, in bytes.
const PingSizeMax = 65535 - packet.IPv4Len - echoLen

// echoLen is the length of the ICMP header of an echo, of both families.
const echoLen = 8

// ErrTimeout says that nothing answered a ping in time.
var ErrTimeout = errors.New("timeout")

// PingRequest is one echo request.
type PingRequest struct {
	Address  netip.Addr    // whom; a link-local address names its port as zone
	Source   netip.Addr    // from where; zero: chosen as Config.Egress says
	Sequence uint16        // of the echo request
	Size     int           // payload in bytes, up to PingSizeMax; fragmented as needed
	TTL      uint8         // time to live or hop limit; 0: 64
	Timeout  time.Duration // how long to wait for the answer; 0: 1s
}

// PingReply is what came of an echo request.
type PingReply struct {
	RTT  time.Duration
	From netip.Addr // who answered: the address, or the sender of the ICMP error
	TTL  uint8      // of the echo reply as it arrived
	Err  error      // why there was no echo reply: ErrTimeout or an *ICMPError; else nil
}

// Ping sends one echo request and waits for the answer. An error means that
// none was sent (no source address, bad request), or that ctx ended; that
// nobody answered is said in the reply.
func (s *Stack) Ping(ctx context.Context, r PingRequest) (PingReply, error) {
	r.Address = r.Address.Unmap()
	if !r.Address.IsValid() {
		return PingReply{}, errors.New("ping: no address given")
	}
	if r.Size < 0 || r.Size > PingSizeMax {
		return PingReply{}, fmt.Errorf("ping: size %d; want 0 to %d bytes", r.Size, PingSizeMax)
	}
	if r.Timeout <= 0 {
		r.Timeout = time.Second
	}
	p, err := s.newPinger(r)
	if err != nil {
		return PingReply{}, err
	}
	defer p.close()
	timeout := time.NewTimer(r.Timeout)
	defer timeout.Stop()
	if err := p.send(r); err != nil {
		return PingReply{}, err
	}
	return p.wait(ctx, timeout.C, r)
}

// pinger is a ping socket, good for one request.
type pinger struct {
	s        *Stack
	ep       tcpip.Endpoint
	nic      tcpip.NICID
	queue    waiter.Queue
	entry    waiter.Entry
	readable chan struct{}
	refused  chan *ICMPError
	key      pingKey
	start    time.Time
}

func (s *Stack) newPinger(r PingRequest) (*pinger, error) {
	from, err := s.source(r.Source.Unmap(), r.Address)
	if err != nil {
		return nil, err
	}
	proto := icmp.ProtocolNumber4
	if r.Address.Is6() {
		proto = icmp.ProtocolNumber6
	}
	p := &pinger{s: s, nic: from.nic, refused: make(chan *ICMPError, 1)}
	var terr tcpip.Error
	if p.ep, terr = s.gv.NewEndpoint(proto, protocolOf(r.Address), &p.queue); terr != nil {
		return nil, failed(terr, "ping %s", r.Address)
	}
	p.entry, p.readable = waiter.NewChannelEntry(waiter.ReadableEvents)
	p.queue.EventRegister(&p.entry)
	p.ep.SocketOptions().SetReceiveTTL(true)
	p.ep.SocketOptions().SetReceiveHopLimit(true)
	if err := p.bind(r, from); err != nil {
		p.ep.Close()
		return nil, err
	}
	s.pings.add(p.key, p.refused)
	return p, nil
}

// bind gives the socket its addresses and, with them, its identifier. It is
// not connected: gVisor would keep the first registration for ever.
func (p *pinger) bind(r PingRequest, from origin) error {
	if r.TTL != 0 {
		option := tcpip.IPv4TTLOption
		if r.Address.Is6() {
			option = tcpip.IPv6HopLimitOption
		}
		if err := p.ep.SetSockOptInt(option, int(r.TTL)); err != nil {
			return failed(err, "ping: TTL %d", r.TTL)
		}
	}
	if err := p.ep.Bind(tcpip.FullAddress{NIC: from.nic, Addr: toAddress(from.addr)}); err != nil {
		return failed(err, "ping from %s", from.addr)
	}
	local, err := p.ep.GetLocalAddress()
	if err != nil {
		return failed(err, "ping from %s", from.addr)
	}
	p.key = pingKey{dst: r.Address.WithZone(""), ident: local.Port}
	return nil
}

func (p *pinger) close() {
	p.s.pings.remove(p.key)
	p.queue.EventUnregister(&p.entry)
	p.ep.Close()
}

// send writes the echo request; gVisor puts in identifier and checksum.
func (p *pinger) send(r PingRequest) error {
	msg := make([]byte, echoLen+r.Size)
	msg[0] = packet.ICMPEcho
	if r.Address.Is6() {
		msg[0] = packet.ICMPv6Echo
	}
	binary.BigEndian.PutUint16(msg[6:], r.Sequence)
	for i := range msg[echoLen:] {
		msg[echoLen+i] = byte(i)
	}
	to := tcpip.FullAddress{NIC: p.nic, Addr: toAddress(r.Address)}
	p.start = time.Now()
	_, err := p.ep.Write(bytes.NewReader(msg), tcpip.WriteOptions{To: &to})
	return failed(err, "ping %s", r.Address)
}

func (p *pinger) wait(ctx context.Context, timeout <-chan time.Time, r PingRequest) (PingReply, error) {
	for {
		select {
		case <-ctx.Done():
			return PingReply{}, ctx.Err()
		case <-timeout:
			return PingReply{Err: ErrTimeout}, nil
		case e := <-p.refused:
			return PingReply{RTT: time.Since(p.start), From: e.From, Err: e}, nil
		case <-p.readable:
			if reply, ok := p.read(r); ok {
				return reply, nil
			}
		}
	}
}

// read looks through what has arrived for the reply to r. Anyone may answer a
// multicast address.
func (p *pinger) read(r PingRequest) (PingReply, bool) {
	for {
		var msg bytes.Buffer
		res, err := p.ep.Read(&msg, tcpip.ReadOptions{NeedRemoteAddr: true})
		if err != nil {
			return PingReply{}, false
		}
		from := fromAddress(res.RemoteAddr.Addr)
		b := msg.Bytes()
		if len(b) != echoLen+r.Size || binary.BigEndian.Uint16(b[6:]) != r.Sequence ||
			from != r.Address.WithZone("") && !r.Address.IsMulticast() {
			continue
		}
		cm := res.ControlMessages
		ttl := cm.TTL
		if res.RemoteAddr.Addr.Len() == header.IPv6AddressSize {
			ttl = cm.HopLimit
		}
		return PingReply{RTT: cm.Timestamp.Sub(p.start), From: from, TTL: ttl}, true
	}
}
