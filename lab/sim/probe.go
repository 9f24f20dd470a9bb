package sim

import (
	"encoding/binary"
	"net/netip"
	"time"

	"vrouter/packet"
)

// probeTTL is what hosts send with; each router on the way takes one.
const probeTTL = 64

// flow is a stream of numbered probes from one host to another, by the virtual
// gateway of the sender's side.
type flow struct {
	index    int
	name     string
	from, to *Host
	side     int // of the sender: 0 lan, 1 wan
	virtual  int // the gateway, in checker.virtual
	v6       bool
	probes   []probe // by number
	judged   int     // the checker is done with those before
	reported int     // "lost" has told of those before
}

// probe is what became of one.
type probe struct {
	sent   time.Time
	copies int  // deliveries
	hops   int  // transmissions by routers
	due    bool // the network must deliver it
	asking bool // the sender did not know its gateway yet
	// by is, for each router, one more than the virtual router whose MAC the
	// probe came to it for; 0: for none.
	by [maxRouters]uint8
}

// probeID is the number of a probe in its flow.
type probeID struct {
	flow   int
	number int
}

// startFlows sends probes both ways in the families that are simulated.
func (w *World) startFlows(lan, wan *Host, families [2]bool, period time.Duration) {
	for family, on := range families {
		if !on {
			continue
		}
		name := familyNames[family]
		w.addFlow(&flow{name: "lan -> wan " + name, from: lan, to: wan, side: 0, v6: family == 1}, period)
		w.addFlow(&flow{name: "wan -> lan " + name, from: wan, to: lan, side: 1, v6: family == 1}, period)
	}
}

func (w *World) addFlow(f *flow, period time.Duration) {
	f.index = len(w.flows)
	for i, v := range w.checks.virtual {
		if v.side == f.side && v.v6 == f.v6 {
			f.virtual = i
		}
	}
	w.flows = append(w.flows, f)
	var next func()
	next = func() {
		w.sendProbe(f)
		if w.now.Before(w.denseUntil) {
			w.After(w.dense, next)
			return
		}
		w.After(period, next)
	}
	w.After(time.Duration(w.Rand.Int64N(int64(period))), next)
}

// watch makes probes dense for a while, where World.dense is set: something is
// about to happen.
func (w *World) watch(d time.Duration) {
	if until := w.now.Add(d); w.dense > 0 && until.After(w.denseUntil) {
		w.denseUntil = until
	}
}

func (w *World) sendProbe(f *flow) {
	family := 0
	if f.v6 {
		family = 1
	}
	asking := !f.from.gateways[family].resolved
	f.probes = append(f.probes, probe{sent: w.now, asking: asking, due: w.checks.mustDeliver(f)})
	f.from.send(family, probeFrame(f.from.addr[family], f.to.addr[family], f.index, len(f.probes)-1))
}

// delivered is a probe that has reached a host.
func (w *World) delivered(h *Host, id probeID) {
	f := w.flows[id.flow]
	if f.to == h {
		p := &f.probes[id.number]
		p.copies++
		w.checks.delivered(f, p)
	}
}

const probeMagic = 0x70726f62

// probeFrame builds a UDP packet to the discard port.
func probeFrame(src, dst netip.Addr, flow, number int) []byte {
	const udpLen = 8 + 12
	udp := binary.BigEndian.AppendUint16(nil, uint16(40000+flow))
	udp = binary.BigEndian.AppendUint16(udp, 9)
	udp = binary.BigEndian.AppendUint16(udp, udpLen)
	udp = binary.BigEndian.AppendUint16(udp, 0)
	udp = binary.BigEndian.AppendUint32(udp, probeMagic)
	udp = binary.BigEndian.AppendUint32(udp, uint32(flow))
	udp = binary.BigEndian.AppendUint32(udp, uint32(number))
	sum := packet.Checksum(packet.Sum(packet.PseudoHeader(src, dst, packet.ProtoUDP, udpLen), udp))
	binary.BigEndian.PutUint16(udp[6:], sum)
	if src.Is4() {
		frame := make([]byte, packet.EthernetLen+packet.IPv4Len, packet.EthernetLen+packet.IPv4Len+udpLen)
		h := packet.IPv4Header{TTL: probeTTL, Protocol: packet.ProtoUDP, Src: src, Dst: dst}
		h.Put(frame[packet.EthernetLen:], udpLen)
		return append(frame, udp...)
	}
	frame := make([]byte, packet.EthernetLen+packet.IPv6Len, packet.EthernetLen+packet.IPv6Len+udpLen)
	h := packet.IPv6Header{NextHeader: packet.ProtoUDP, HopLimit: probeTTL, Src: src, Dst: dst}
	h.Put(frame[packet.EthernetLen:], udpLen)
	return append(frame, udp...)
}
