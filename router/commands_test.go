package router

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"vrouter/arp"
	"vrouter/bfd"
	"vrouter/ndp"
	"vrouter/neigh"
	"vrouter/packet"
	"vrouter/vrrp"
)

// words are the arguments of a command: plain ones and name=value.
type words struct {
	s     *script
	line  string // behind the command
	plain []string
	named map[string]string
}

func (w words) value(name, or string) string {
	if v, ok := w.named[name]; ok {
		return v
	}
	return or
}

func (w words) addr(name, or string) netip.Addr {
	a, err := netip.ParseAddr(w.value(name, or))
	if err != nil {
		w.s.t.Fatalf("%s: %v", name, err)
	}
	return a
}

func (w words) mac(name, or string) packet.MAC {
	m, err := packet.ParseMAC(w.value(name, or))
	if err != nil {
		w.s.t.Fatalf("%s: %v", name, err)
	}
	return m
}

func (w words) number(name, or string) int {
	n, err := strconv.Atoi(w.value(name, or))
	if err != nil {
		w.s.t.Fatalf("%s: %v", name, err)
	}
	return n
}

func (w words) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		w.s.t.Fatal(err)
	}
	return d
}

// port returns the interface that the first plain word names.
func (w words) port() uint16 {
	return w.s.router.portOf(w.plain[0])
}

// The host of most scenarios.
const (
	hostMAC = "02:00:00:00:00:aa"
	hostIP  = "192.0.2.10"
	hostIP6 = "2001:db8:1::10"
)

// run carries out one command.
func (s *script) run(line string) {
	s.t.Helper()
	fields := strings.Fields(line)
	w := words{s: s, named: map[string]string{}}
	_, w.line, _ = strings.Cut(line, " ")
	for _, f := range fields[1:] {
		if name, value, ok := strings.Cut(f, "="); ok {
			w.named[name] = value
		} else {
			w.plain = append(w.plain, f)
		}
	}
	command, ok := commands[fields[0]]
	if !ok {
		s.t.Fatalf("no command %q", fields[0])
	}
	command(s, w)
}

// commands of the scenarios.
var commands map[string]func(s *script, w words)

func init() {
	commands = map[string]func(*script, words){
		// wills: from now on wills are part of the trace.
		"wills": func(s *script, _ words) { s.wills = true },
		// The interface: up NAME mac= mtu= kernel=PREFIX,...; down NAME why=
		"up": func(s *script, w words) { s.turn(s.router.PortChanged(s.now, w.port(), w.portState(true))) },
		"down": func(s *script, w words) {
			s.turn(s.router.PortChanged(s.now, w.port(), w.portState(false)))
		},
		// Time: run D; skip D (without trace); freeze D (nobody calls Advance).
		"run": func(s *script, w words) { s.advance(w.duration(w.plain[0])) },
		"skip": func(s *script, w words) {
			s.quiet = true
			s.advance(w.duration(w.plain[0]))
			s.quiet = false
		},
		"reports": func(s *script, _ words) { s.groups = true },
		"freeze":  func(s *script, w words) { s.now = s.now.Add(w.duration(w.plain[0])) },
		"advance": func(s *script, _ words) { s.advanceOnce() },
		// The driver before it advances: frames wait that nobody has read.
		"unheard": func(s *script, _ words) {
			s.print("detecting %v", s.router.Detecting(s.now))
			s.turn(s.router.Unheard(s.now))
		},
		// The operator.
		"stop":       func(s *script, _ words) { s.turn(s.router.Stop(s.now, "shutdown")) },
		"stopped":    func(s *script, _ words) { s.print("stopped %v", s.router.Stopped()) },
		"switchover": (*script).switchover,
		"show":       (*script).show,
		"restart": func(s *script, _ words) {
			s.router = New(s.router.cfg, 1)
			s.turn(s.router.Start(s.now))
		},
		// Frames: PORT and what differs from the host's usual ones.
		"advert":  func(s *script, w words) { s.receive(w, w.advert()) },
		"request": func(s *script, w words) { s.receive(w, w.arp(arp.OpRequest)) },
		"reply":   func(s *script, w words) { s.receive(w, w.arp(arp.OpReply)) },
		"ns":      func(s *script, w words) { s.receive(w, w.solicit()) },
		"na":      func(s *script, w words) { s.receive(w, w.advertise()) },
		"rs": func(s *script, w words) {
			s.receive(w, ndp.RouterSolicit(w.mac("mac", hostMAC), w.addr("from", hostIP6)))
		},
		"dad": func(s *script, w words) { s.receive(w, ndp.Probe(w.mac("mac", hostMAC), w.addr("target", hostIP6))) },
		"bfd": func(s *script, w words) { s.receive(w, w.bfd()) },
		// What a switch floods: PORT NAME (of a virtual router) and the packet.
		"flood": (*script).flood,
		"hex": func(s *script, w words) {
			frame, err := hex.DecodeString(strings.Join(w.plain[1:], ""))
			if err != nil {
				s.t.Fatal(err)
			}
			s.receive(w, frame)
		},
		// announce PORT target= : the old master's gratuitous ARP or unsolicited NA.
		"announce": func(s *script, w words) {
			target := w.addr("target", "192.0.2.1")
			mac := w.mac("mac", vrrp.VirtualMAC(10, target.Is6()).String())
			if target.Is6() {
				s.receive(w, ndp.Unsolicited(mac, target))
			} else {
				s.receive(w, arp.Gratuitous(mac, target))
			}
		},
		// Routes of the host's kernel.
		"kernel": (*script).kernel,
		// BGP: what its process says; commands in bgp_test.go.
		"bgp":        (*script).bgpSession,
		"bgproute":   (*script).bgpRoute,
		"bgpprocess": (*script).bgpProcess,
		// hosttap NAME state=up|down index= problem=: what became of a host TAP
		"hosttap": func(s *script, w words) {
			state := HostTAPState{Up: w.value("state", "up") == "up", Index: w.number("index", "0"), Problem: w.value("problem", "")}
			s.turn(s.router.HostTAPChanged(s.now, w.port(), state))
		},
		"resolve": func(s *script, w words) {
			waiting := neigh.Waiting{In: w.port(), Local: w.value("local", "") != "", Frame: []byte(w.value("packet", "p1"))}
			s.turn(s.router.Resolve(s.now, w.s.router.portOf(w.value("out", w.plain[0])), w.addr("via", hostIP), waiting))
		},
	}
}

func (s *script) receive(w words, frame []byte) {
	s.turn(s.router.Receive(s.now, w.port(), frame))
}

// flood hands in packets for a virtual MAC, if the workers would: id=1,2,...
func (s *script) flood(w words) {
	for _, id := range strings.Split(w.value("id", "1"), ",") {
		frame := w.packet(id)
		if s.router.Snapshot().Ports[w.port()].IsWatched(packet.Ethernet(frame).Dst()) {
			s.turn(s.router.Flooded(s.now, w.port(), frame, packet.VNet{}))
		} else {
			s.print("the worker drops it")
		}
	}
}

// packet is a datagram of the host to the virtual MAC of the virtual router
// that the second word names.
func (w words) packet(id string) []byte {
	i := slices.IndexFunc(w.s.router.virtual, func(v *virtual) bool { return v.cfg.Name == w.plain[1] })
	v := w.s.router.virtual[i]
	src, dst := w.addr("from", hostIP), w.addr("to", "203.0.113.9")
	udp := append(make([]byte, 8), id...)
	if v.cfg.IPv6() {
		src, dst = w.addr("from", hostIP6), w.addr("to", "2001:db8:2::9")
		frame := make([]byte, packet.EthernetLen+packet.IPv6Len)
		packet.PutEthernet(frame, v.mac, w.mac("mac", hostMAC), packet.EtherTypeIPv6)
		h := packet.IPv6Header{NextHeader: packet.ProtoUDP, HopLimit: 64, Src: src, Dst: dst}
		h.Put(frame[packet.EthernetLen:], len(udp))
		return append(frame, udp...)
	}
	frame := make([]byte, packet.EthernetLen+packet.IPv4Len)
	packet.PutEthernet(frame, v.mac, w.mac("mac", hostMAC), packet.EtherTypeIPv4)
	h := packet.IPv4Header{TTL: 64, Protocol: packet.ProtoUDP, Src: src, Dst: dst}
	h.Put(frame[packet.EthernetLen:], len(udp))
	return append(frame, udp...)
}

func (w words) portState(up bool) PortState {
	n := w.port()
	st := PortState{
		Present: true, Up: up, MTU: w.number("mtu", "1500"), Problem: w.value("why", ""),
		MAC: w.mac("mac", fmt.Sprintf("02:00:00:00:01:%02x", n)),
	}
	for _, p := range strings.Split(w.value("kernel", ""), ",") {
		if p != "" {
			st.KernelAddresses = append(st.KernelAddresses, netip.MustParsePrefix(p))
		}
	}
	return st
}

func (s *script) switchover(w words) {
	actions, err := s.router.Switchover(s.now, w.plain[0])
	s.turn(actions)
	if err != nil {
		s.print("error: %v", err)
	}
}

// advert is a VRRP frame of the other router.
func (w words) advert() []byte {
	src := w.addr("from", "192.0.2.3")
	adv := vrrp.Advertisement{
		Version: uint8(w.number("version", "3")), VRID: uint8(w.number("vrid", "10")),
		Priority: uint8(w.number("priority", "200")), Interval: w.duration(w.value("every", "1s")),
	}
	for _, a := range strings.Split(w.value("addresses", "192.0.2.1"), ",") {
		adv.Addresses = append(adv.Addresses, netip.MustParseAddr(a))
	}
	group := vrrp.GroupIPv4
	if src.Is6() {
		group = vrrp.GroupIPv6
	}
	v := newVirtual(&w.s.router.cfg.VRRP[0], 0)
	for _, other := range w.s.router.virtual {
		if other.cfg.IPv6() == src.Is6() {
			v = &virtual{cfg: other.cfg, port: other.port, mac: other.mac}
		}
	}
	dst := w.addr("to", group.String())
	if adv.Version == 2 {
		w.authenticate(&adv, v)
	}
	return advertFrame(v, &adv, envelope{
		src: src, dst: dst, from: w.mac("mac", vrrp.VirtualMAC(adv.VRID, src.Is6()).String()), to: packet.MulticastMAC(group),
		sequence: uint32(w.number("sequence", "0")),
	})
}

// authenticate gives an advertisement the authentication of auth= (none,
// password or ah) with key=, by which it is sealed.
func (w words) authenticate(adv *vrrp.Advertisement, v *virtual) {
	adv.AuthType = map[string]vrrp.AuthType{"none": 0, "password": vrrp.AuthPassword, "ah": vrrp.AuthAH}[w.value("auth", "none")]
	key := w.value("key", "")
	if adv.AuthType == vrrp.AuthPassword {
		copy(adv.AuthData[:], key)
	}
	cfg := *v.cfg
	cfg.Auth.Key = key
	v.cfg = &cfg
}

// arp is an ARP frame: from= target= mac= (sender) to= (frame's destination).
func (w words) arp(op uint16) []byte {
	mac, from, target := w.mac("mac", hostMAC), w.addr("from", hostIP), w.addr("target", "192.0.2.2")
	if op == arp.OpReply {
		return arp.Reply(mac, from, w.mac("to", "02:00:00:00:01:00"), target)
	}
	if to, ok := w.named["to"]; ok {
		w.named["to"] = to
		return arp.UnicastRequest(mac, from, w.mac("to", ""), target)
	}
	return arp.Request(mac, from, target)
}

func (w words) solicit() []byte {
	return ndp.Solicit(w.mac("mac", hostMAC), w.addr("from", hostIP6), w.addr("target", "2001:db8:1::2"))
}

func (w words) advertise() []byte {
	flags := w.value("flags", "solicited,override")
	a := ndp.NeighborAdvert{
		MAC: w.mac("mac", hostMAC), Target: w.addr("target", hostIP6),
		To: w.mac("to", "02:00:00:00:01:00"), Dst: w.addr("dst", "2001:db8:1::2"),
		Solicited: strings.Contains(flags, "solicited"), Override: strings.Contains(flags, "override"),
	}
	return a.Frame()
}

// show prints a topic: vrrp, neighbors, routes, or the counters that are not
// zero.
func (s *script) show(w words) {
	r := s.router
	switch w.plain[0] {
	case "vrrp":
		for _, v := range r.VirtualRouters() {
			s.print("%s %v forwarding %v master %v", v.Name, v.State, v.Forwarding, v.Master.Address)
			if c := v.Contested; c != nil {
				s.print("%s contested: %v by %v (%v) priority %d of %v, %s: %s",
					v.Name, c.Kind, c.Address, c.MAC, c.Priority, c.Addresses, c.Ways, c.Reason)
			}
			if v.DampedUntil != nil {
				s.print("%s damped until %.3f", v.Name, v.DampedUntil.Sub(s.start).Seconds())
			}
		}
	case "interfaces":
		for _, i := range r.Interfaces() {
			s.print("%s up %v advertises %+v", i.Name, i.Up, *i.RA)
		}
	case "neighbors":
		for _, n := range r.Neighbors(s.now) {
			s.print("%v %s %v %s", n.Address, n.Interface, n.MAC, n.State)
		}
	case "routes":
		for _, route := range r.RoutesInUse() {
			hops := ""
			for _, h := range route.NextHops {
				hops += fmt.Sprintf(" via %v %s resolved %v", h.Via, h.Interface, h.Resolved)
			}
			s.print("%v %s %s%s", route.Prefix, route.Source, route.Type, hops)
		}
	case "counters":
		var names []string
		for name, n := range r.ControlCounters() {
			if n > 0 && !strings.HasPrefix(name, "neighbor_entries") {
				names = append(names, fmt.Sprintf("%s=%d", name, n))
			}
		}
		sort.Strings(names)
		s.print("%s", strings.Join(names, " "))
	default:
		s.t.Fatalf("no topic %q", w.plain[0])
	}
}

// bfd is a control packet of a neighbour: state=Up yours=1, and its timers.
func (w words) bfd() []byte {
	p := bfd.Packet{
		Multiplier: uint8(w.number("multiplier", "3")), Mine: uint32(w.number("mine", "77")), Yours: uint32(w.number("yours", "0")),
		DesiredTX: w.duration(w.value("tx", "50ms")), RequiredRX: w.duration(w.value("rx", "50ms")), Poll: w.value("poll", "") != "",
		Final: w.value("final", "") != "",
	}
	for _, s := range []bfd.State{bfd.AdminDown, bfd.Down, bfd.Init, bfd.Up} {
		if s.String() == w.value("state", "Down") {
			p.State = s
		}
	}
	frame := bfdFrame(w.mac("to", hostMAC), w.mac("mac", hostMAC), w.addr("from", "203.0.113.1"), w.addr("target", "203.0.113.2"), &p, 49152)
	ttl := w.number("ttl", "255")
	if frame[packet.EthernetLen]>>4 == 6 {
		frame[packet.EthernetLen+7] = byte(ttl)
		return frame
	}
	frame[packet.EthernetLen+8] = byte(ttl)
	return frame
}
