package netstack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vrouter/dataplane"
	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// The same packets go through the fast path and through gVisor's forwarder,
// which share nothing but the snapshot: unlike with engine = "netstack", no
// check of ours stands before it here. Both must do the same, byte for byte;
// where they may differ is listed in deviations, each with its reason.

// contest is both forwarders in the same network.
type contest struct {
	snap   *fib.Snapshot
	fast   *dataplane.Forwarder
	engine *Engine
	now    int64
	met    map[string]int // how often each deviation was met, and each kind of agreement
}

// The MAC addresses of the network's neighbours say who they are.
func macOf(a netip.Addr) packet.MAC {
	b := a.WithZone("").As16()
	return packet.MAC{2, 0x99, b[12], b[13], b[14], b[15]}
}

// contestNetwork is testNetwork with what the fast path must know of it beside:
// MACs, neighbours, own addresses. Port 3 takes IPv6, too.
func contestNetwork() network {
	n := testNetwork()
	n.ports[3].MTU = 1280
	for i := range n.ports {
		n.ports[i].MAC = packet.MAC{2, 0, 0, 0, 0, byte(i)}
		n.ports[i].Owns = true
	}
	for prefix, port := range map[string]uint16{
		"192.0.2.1/32": 0, "203.0.113.1/32": 1, "198.51.100.1/32": 3,
		"2001:db8:1::1/128": 0, "2001:db8:2::1/128": 1, "2001:db8:3::1/128": 3,
	} {
		n.routes[prefix] = fib.Group{Kind: fib.Local, Port: port}
	}
	n.routes["2001:db8:8300::/40"] = fib.Group{Kind: fib.Unreachable}
	for prefix, g := range n.routes {
		for i := range g.Hops {
			g.Hops[i].MAC, g.Hops[i].Resolved = macOf(g.Hops[i].Via), true
		}
		n.routes[prefix] = g
	}
	for _, host := range []struct {
		port uint16
		addr string
	}{
		{0, "192.0.2.9"},
		{0, "192.0.2.77"},
		{1, "203.0.113.9"},
		{1, "203.0.113.77"},
		{3, "198.51.100.9"},
		{0, "2001:db8:1::77"},
		{1, "2001:db8:2::77"},
		{3, "2001:db8:3::9"},
		{0, "2001:db8:1::9"},
	} {
		p := &n.ports[host.port]
		p.Neighbors = p.Neighbors.With(addr(host.addr), macOf(addr(host.addr)))
	}
	return n
}

func newContest(t testing.TB) *contest {
	t.Helper()
	e, err := NewEngine(Config{ErrorsPerSecond: -1}, func(uint16, []byte) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	s := contestNetwork().snapshot()
	for prefix, id := range s.Routes.All() {
		if k := s.Groups[id].Kind; k == fib.Local || k == fib.Broadcast {
			s.Own.Add(prefix.Addr())
		}
	}
	if err := e.Publish(s); err != nil {
		t.Fatal(err)
	}
	return &contest{snap: s, fast: dataplane.NewForwarder(), engine: e, met: map[string]int{}}
}

// result is what came of a packet.
type result struct {
	what string   // "forwarded", "error", "resolve", "local", "nothing"
	why  string   // of "nothing" by the fast path: its reason
	sent []Packet // in order; Data is the IP packet
	hops []packet.MAC
}

func (r result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", r.what, r.why)
	for _, p := range r.sent {
		fmt.Fprintf(&b, "\n\tport %d: %x", p.Port, p.Data)
	}
	return b.String()
}

// byFast forwards a packet by the fast path.
func (c *contest) byFast(in uint16, ip []byte) result {
	c.now += 1e9 // no rate limit holds
	c.fast.Begin(c.snap, c.now)
	etherType := uint16(packet.EtherTypeIPv4)
	if ip[0]>>4 == 6 {
		etherType = packet.EtherTypeIPv6
	}
	frame := &packet.Frame{Data: make([]byte, packet.EthernetLen+len(ip))}
	packet.PutEthernet(frame.Data, c.snap.Ports[in].MAC, packet.MAC{2, 0, 0, 0, 9, 9}, etherType)
	copy(frame.Data[packet.EthernetLen:], ip)
	v := c.fast.Forward(in, frame)
	var r result
	take := func(port uint16, data []byte) {
		r.sent = append(r.sent, Packet{Port: port, Data: slices.Clone(data[packet.EthernetLen:])})
		r.hops = append(r.hops, packet.MAC(data[0:6]))
	}
	switch {
	case v.Action == dataplane.Drop:
		return result{what: "nothing", why: v.Reason.String()}
	case v.Action == dataplane.Transmit:
		r.what = "forwarded"
		take(v.Port, frame.Data)
	case v.Action == dataplane.Punt && v.Class == dataplane.ClassResolve:
		return result{what: "resolve", sent: []Packet{{Port: v.Port}}}
	case v.Action == dataplane.Punt:
		return result{what: "local", why: v.Class.String()}
	default:
		r.what = "error"
		if v.Fault == dataplane.FaultFragment {
			r.what = "forwarded"
		}
		for _, o := range c.fast.Except(in, frame, v) {
			take(o.Verdict.Port, o.Frame.Data)
		}
		if len(r.sent) == 0 {
			return result{what: "nothing", why: "no error may be sent"}
		}
	}
	return r
}

// byEngine forwards a packet by gVisor.
func (c *contest) byEngine(in uint16, ip []byte) result {
	r := result{what: "nothing"}
	for _, p := range c.engine.ForwardOne(in, ip) {
		data := p.Data[Headroom:]
		if reassemblyTimeout(data) {
			continue // about a fragment to the stack itself, half a minute ago
		}
		if r.what == "nothing" {
			r.what = "forwarded"
		}
		if isErrorAbout(data, ip) {
			r.what = "error"
		}
		r.sent = append(r.sent, Packet{Port: p.Port, Data: data})
		r.hops = append(r.hops, macOf(p.Via))
	}
	return r
}

// reassemblyTimeout reports whether the stack itself says that fragments of a
// packet were missing for too long, which no router says of transit.
func reassemblyTimeout(out []byte) bool {
	e, ok := parseError(out)
	if !ok || !timeExceeded(e) || e.code != 1 {
		return false
	}
	from, ok := contestRoutes.oracle(e.src)
	return ok && from.Kind == fib.Local
}

// isErrorAbout reports whether out is an ICMP error that quotes in.
func isErrorAbout(out, in []byte) bool {
	e, ok := parseError(out)
	q, okQ := parseHeader(in)
	return ok && okQ && e.dst == q.src && e.src != q.src && len(e.quote) >= len(q.fixed) && bytes.Equal(e.quote[12:len(q.fixed)], q.fixed[12:])
}

// icmpSaid is an ICMP error.
type icmpSaid struct {
	src, dst   netip.Addr
	kind, code uint8
	mtu        uint32 // of too big; of an IPv4 pointer or an IPv6 one: the rest of the header
	quote      []byte
}

func parseError(b []byte) (e icmpSaid, ok bool) {
	h, ok := parseHeader(b)
	if !ok || len(h.payload) < 8 {
		return e, false
	}
	m := h.payload
	switch {
	case h.src.Is4() && h.proto == packet.ProtoICMP && (m[0] == packet.ICMPUnreachable || m[0] == packet.ICMPTimeExceeded || m[0] == 12):
	case h.src.Is6() && h.proto == packet.ProtoICMPv6 && m[0] < 128:
	default:
		return e, false
	}
	return icmpSaid{h.src, h.dst, m[0], m[1], binary.BigEndian.Uint32(m[4:]), m[8:]}, true
}

// ipHeader is what a comparison must know of a packet.
type ipHeader struct {
	src, dst       netip.Addr
	proto          uint8
	fixed, payload []byte // the header without options; what follows it with them
	options        bool   // of IPv4
	minded         bool   // by gVisor: record route, timestamp, an unknown router alert, an option said twice, bytes behind the end of options
	offset         int    // of an IPv4 fragment
}

// later reports whether a packet is a fragment without the upper layer's header.
func (h ipHeader) later() bool { return h.offset != 0 }

func parseHeader(b []byte) (h ipHeader, ok bool) {
	if ip, ok := packet.ParseIPv4(b); ok {
		h = ipHeader{
			src: ip.Src(), dst: ip.Dst(), proto: ip.Protocol(),
			fixed: ip[:packet.IPv4Len], payload: ip.Payload(), offset: ip.FragmentOffset(),
		}
		h.options, h.minded = ip.HeaderLen() > packet.IPv4Len, isMinded(ip[packet.IPv4Len:ip.HeaderLen()])
		return h, true
	}
	ip, ok := packet.ParseIPv6(b)
	if !ok {
		return h, false
	}
	return ipHeader{src: ip.Src(), dst: ip.Dst(), proto: ip.NextHeader(), fixed: ip[:packet.IPv6Len], payload: ip.Payload()}, true
}

// isMinded reports whether gVisor changes or answers IPv4 options.
func isMinded(o []byte) bool {
	var seen [256]bool
	for len(o) > 0 {
		kind := o[0]
		switch {
		case kind == 0:
			return bytes.ContainsFunc(o, func(r rune) bool { return r != 0 })
		case kind == 1:
			o = o[1:]
			continue
		case len(o) < 2 || o[1] < 2 || int(o[1]) > len(o):
			return false
		case kind == 7 || kind == 68 || seen[kind],
			kind == 148 && (o[1] != 4 || o[2]|o[3] != 0):
			return true
		}
		seen[kind] = true
		o = o[o[1]:]
	}
	return false
}

// difference returns what the two results differ in; empty where they agree.
func difference(f, e result) string {
	switch {
	case f.what == "local":
		return "" // no transit: the engine never sees it, and here it speaks for itself
	case f.what == "resolve" && e.what == "forwarded" && e.sent[0].Port == f.sent[0].Port:
		return "" // the engine knows no neighbours
	case f.what != e.what:
		return "one has " + f.what + ", the other " + e.what
	case f.what == "error":
		return errorDifference(f.sent, e.sent)
	case len(f.sent) != len(e.sent):
		return fmt.Sprintf("%d packets and %d", len(f.sent), len(e.sent))
	}
	for i := range f.sent {
		switch {
		case f.sent[i].Port != e.sent[i].Port || f.hops[i] != e.hops[i]:
			return "next hop"
		case !bytes.Equal(f.sent[i].Data, e.sent[i].Data):
			return "bytes"
		}
	}
	return ""
}

// errorDifference compares ICMP errors by what they say: how much is quoted,
// TTL and identification of the error are each implementation's own.
func errorDifference(f, e []Packet) string {
	a, okA := parseError(f[0].Data)
	b, okB := parseError(e[0].Data)
	n := min(len(a.quote), len(b.quote))
	switch {
	case len(f) != 1 || len(e) != 1 || !okA || !okB:
		return "errors"
	case f[0].Port != e[0].Port:
		return "the error's port"
	case a.src != b.src || a.dst != b.dst:
		return "the error's addresses"
	case a.kind != b.kind || a.code != b.code || a.mtu != b.mtu:
		return fmt.Sprintf("type %d code %d (%d) and type %d code %d (%d)", a.kind, a.code, a.mtu, b.kind, b.code, b.mtu)
	case a.src.Is6() && !bytes.Equal(a.quote[:n], b.quote[:n]),
		// The quoted TTL and the checksum over it: see expireTTL.
		a.src.Is4() && (!bytes.Equal(a.quote[:8], b.quote[:8]) || !bytes.Equal(a.quote[12:n], b.quote[12:n])):
		return "what is quoted"
	}
	return ""
}

// compare sends a packet through both and tells where they differ without
// being listed.
func (c *contest) compare(t testing.TB, in uint16, ip []byte) {
	t.Helper()
	f, e := c.byFast(in, ip), c.byEngine(in, ip)
	diff := difference(f, e)
	if diff == "" {
		c.met[strings.TrimSpace(f.what+" "+f.why)]++
		return
	}
	h, parsed := parseHeader(ip)
	for _, d := range deviations {
		if d.applies(h, parsed, f, e) {
			c.met[d.name]++
			return
		}
	}
	t.Fatalf("%s\nin on port %d: %x\nfast path: %s\ngVisor:    %s", diff, in, ip, f, e)
}
