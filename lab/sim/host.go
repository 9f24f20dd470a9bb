package sim

import (
	"net/netip"
	"time"

	"vrouter/arp"
	"vrouter/ndp"
	"vrouter/packet"
)

// How a host resolves its gateway, as Linux does: it asks once a second, and
// asks the one it knows again when it has not heard from it for long.
const (
	hostRetry     = time.Second
	hostReachable = 30 * time.Second
	hostTries     = 3
	hostQueueMax  = 100 // packets that wait for an answer
)

// Host is an end station with one gateway in each family.
type Host struct {
	w        *World
	Name     string
	link     *Link
	mac      packet.MAC
	addr     [2]netip.Addr // IPv4, IPv6
	gateways [2]gateway
}

// gateway is a host's entry for its gateway.
type gateway struct {
	addr      netip.Addr
	mac       packet.MAC
	resolved  bool
	confirmed time.Time // when it answered last
	asking    bool
	tries     int
	waiting   [][]byte
}

// newHost plugs a host into a switch.
func (w *World) newHost(name string, s *Switch, addr, gate [2]netip.Addr) *Host {
	h := &Host{w: w, Name: name, mac: packet.MAC{2, 0, 0, 2, 0, byte(len(w.Hosts))}, addr: addr}
	for i := range gate {
		h.gateways[i].addr = gate[i]
	}
	h.link = w.Connect(s, h, 0)
	w.Hosts = append(w.Hosts, h)
	return h
}

func (h *Host) linkChanged(int, bool) {}

// send sends a packet by the gateway of its family: frame has room for the
// Ethernet header.
func (h *Host) send(family int, frame []byte) {
	g := &h.gateways[family]
	if g.resolved {
		h.toGateway(g, frame)
		if h.w.Now().Sub(g.confirmed) > hostReachable {
			h.ask(g)
		}
		return
	}
	if len(g.waiting) < hostQueueMax {
		g.waiting = append(g.waiting, frame)
	}
	h.ask(g)
}

func (h *Host) toGateway(g *gateway, frame []byte) {
	etherType := uint16(packet.EtherTypeIPv4)
	if g.addr.Is6() {
		etherType = packet.EtherTypeIPv6
	}
	packet.PutEthernet(frame, g.mac, h.mac, etherType)
	h.link.send(frame)
}

// ask begins to ask for the gateway, unless it does already.
func (h *Host) ask(g *gateway) {
	if !g.asking {
		g.asking, g.tries = true, 0
		h.askAgain(g)
	}
}

// askAgain asks: the one that is known first, then everybody. Without an
// answer in the end what waits is lost.
func (h *Host) askAgain(g *gateway) {
	if !g.asking {
		return
	}
	known := g.resolved && g.tries < hostTries
	switch {
	case g.tries >= hostTries && !g.resolved, g.tries >= 2*hostTries:
		g.asking, g.resolved, g.waiting = false, false, nil
		return
	case g.addr.Is4() && known:
		h.link.send(arp.UnicastRequest(h.mac, h.addr[0], g.mac, g.addr))
	case g.addr.Is4():
		h.link.send(arp.Request(h.mac, h.addr[0], g.addr))
	case known:
		h.link.send(ndp.UnicastSolicit(h.mac, h.addr[1], g.mac, g.addr))
	default:
		h.link.send(ndp.Solicit(h.mac, h.addr[1], g.addr))
	}
	g.tries++
	h.w.After(hostRetry, func() { h.askAgain(g) })
}

// learned is news of the gateway: an answer, or an announcement, which Linux
// follows for an entry that it has.
func (h *Host) learned(g *gateway, mac packet.MAC, answer bool) {
	if !g.resolved && !g.asking {
		return
	}
	if answer || !g.resolved {
		g.asking, g.confirmed = false, h.w.Now()
	}
	g.mac, g.resolved = mac, true
	waiting := g.waiting
	g.waiting = nil
	for _, frame := range waiting {
		h.toGateway(g, frame)
	}
}

// receive is a frame from the link.
func (h *Host) receive(_ int, frame []byte) {
	e := packet.Ethernet(frame)
	if d := e.Dst(); d != h.mac && !d.IsMulticast() {
		return
	}
	switch e.Type() {
	case packet.EtherTypeARP:
		h.receiveARP(e)
	case packet.EtherTypeIPv4, packet.EtherTypeIPv6:
		if p, ok := probeOf(frame); ok {
			h.w.delivered(h, p)
			return
		}
		h.receiveND(frame)
	}
}

func (h *Host) receiveARP(e packet.Ethernet) {
	p, reason := arp.Parse(e.Payload())
	if reason != arp.OK {
		return
	}
	if p.SenderIP == h.gateways[0].addr {
		h.learned(&h.gateways[0], p.SenderMAC, p.Op == arp.OpReply && e.Dst() == h.mac)
	}
	if p.Op == arp.OpRequest && p.TargetIP == h.addr[0] {
		h.link.send(arp.Reply(h.mac, h.addr[0], p.SenderMAC, p.SenderIP))
	}
}

func (h *Host) receiveND(frame []byte) {
	m, reason := ndp.Parse(frame)
	if reason != ndp.OK {
		return
	}
	g := &h.gateways[1]
	switch {
	case m.Type == packet.ICMPv6NeighborAdvert && m.Target == g.addr && !m.LinkAddr.IsZero():
		if m.Override || !g.resolved {
			h.learned(g, m.LinkAddr, m.Solicited)
		}
	case m.Type == packet.ICMPv6NeighborSolicit && m.Target == h.addr[1]:
		a := ndp.NeighborAdvert{
			MAC: h.mac, Target: h.addr[1], To: m.EthSrc, Dst: m.Src, Solicited: true, Override: true,
		}
		if m.Src.IsUnspecified() {
			a.To, a.Dst, a.Solicited = packet.MAC{}, netip.Addr{}, false
		}
		h.link.send(a.Frame())
	}
}
