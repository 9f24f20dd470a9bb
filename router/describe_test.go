package router

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"vrouter/arp"
	"vrouter/bfd"
	"vrouter/ndp"
	"vrouter/neigh"
	"vrouter/packet"
	"vrouter/vrrp"
)

// describe writes an action as one line of a script's trace.
func (s *script) describe(a Action) string {
	switch a := a.(type) {
	case Publish:
		return "publish " + s.describeSnapshot(a)
	case Transmit:
		return s.portName(a.Port) + " < " + describeFrame(a.Frame)
	case Forward:
		return "forward " + s.describeWaiting(a.Packet)
	case Unreachable:
		return "unreachable " + s.describeWaiting(a.Packet)
	case Membership:
		return "receive " + s.portName(a.Port) + " " + joinAll(a.MACs) + " and groups " + joinAll(a.Groups)
	case Deliver:
		return "to the host from " + s.portName(a.Port) + " " + describeFrame(a.Frame)
	case Speak:
		return describeSpeak(a)
	case LocalStack:
		return "local " + s.describeLocal(a)
	case Notice:
		e := a.Event
		return fmt.Sprintf("event %s %s: %s -> %s: %s", e.Kind, e.Name, e.From, e.To, e.Reason)
	}
	if w, ok := a.(Will); ok {
		return s.describeWill(w)
	}
	return fmt.Sprintf("%#v", a)
}

func (s *script) describeWill(w Will) string {
	if len(w.Frames) == 0 {
		return "will of " + w.Name + " withdrawn"
	}
	text := fmt.Sprintf("will of %s, good for %v:", w.Name, w.Lifetime.Round(time.Millisecond))
	for _, f := range w.Frames {
		text += " " + s.portName(w.Port) + " < " + describeFrame(f)
	}
	return text
}

func joinAll[T fmt.Stringer](list []T) string {
	if len(list) == 0 {
		return "nothing"
	}
	var parts []string
	for _, m := range list {
		parts = append(parts, m.String())
	}
	return strings.Join(parts, " ")
}

// describeSnapshot tells what workers see of a snapshot: the virtual MACs that
// are served, and the neighbours that are resolved.
func (s *script) describeSnapshot(p Publish) string {
	serves, watches := "nothing", ""
	for _, v := range s.router.virtual {
		if p.Snapshot.Ports[v.port].IsWatched(v.mac) {
			watches += " " + v.cfg.Name
		}
		if p.Snapshot.Ports[v.port].IsMaster(v.mac) {
			serves = strings.TrimPrefix(serves+" "+v.cfg.Name, "nothing ")
		}
	}
	var up, known []string
	for i := range p.Snapshot.Ports {
		port := &p.Snapshot.Ports[i]
		if port.Up {
			up = append(up, port.Name)
		}
		for e := range s.router.cache.All() {
			if mac, ok := port.Neighbors.Lookup(e.Key.Addr); ok && e.Key.Port == uint16(i) {
				known = append(known, fmt.Sprintf("%v=%v", e.Key.Addr, mac))
			}
		}
	}
	text := "up " + strings.Join(append(up, ""), " ") + "serves " + serves
	if watches != "" {
		text += " watches" + watches
	}
	if len(known) > 0 {
		text += " knows " + strings.Join(known, " ")
	}
	return text
}

func (s *script) describeLocal(l LocalStack) string {
	var parts []string
	for _, p := range l.Ports {
		text := fmt.Sprintf("%s %s mtu %d:", p.Name, upDown(p.Up), p.MTU)
		for _, a := range l.Addresses {
			if a.Port == p.Port {
				text += " " + a.Prefix.String()
			}
		}
		parts = append(parts, text)
	}
	for _, h := range l.Host {
		parts = append(parts, describeTAP(&h))
	}
	return strings.Join(parts, ", ")
}

// describeSpeak writes what BGP is told of its neighbours' circumstances.
func describeSpeak(a Speak) string {
	if a.Setup == nil {
		return "bgp ends"
	}
	text := "bgp:"
	for i := range a.Setup.Circumstances {
		c := &a.Setup.Circumstances[i]
		text += fmt.Sprintf(" %s", c.Peer)
		if c.Link != 0 {
			text += fmt.Sprintf(" link %d", c.Link)
		}
		if c.Backup {
			text += " backup"
		}
		if c.Down != "" {
			text += fmt.Sprintf(" down %q", c.Down)
		}
	}
	return text
}

func describeTAP(h *HostTAP) string {
	text := fmt.Sprintf("host %s %s %s mtu %d:", h.Device, upDown(h.Up), h.MAC, h.MTU)
	for _, a := range h.Addresses {
		text += " " + a.String()
	}
	if h.Default4 {
		text += " default4"
	}
	if h.Default6 {
		text += " default6"
	}
	for _, r := range h.Routes {
		text += " to " + r.To.String()
		if r.From.IsValid() {
			text += " from " + r.From.String()
		}
	}
	return text
}

func (s *script) describeWaiting(w neigh.Waiting) string {
	text := "in " + s.portName(w.In)
	if w.Local {
		text += " local"
	}
	if len(w.Frame) > packet.EthernetLen {
		return text + " " + describeFrame(w.Frame)
	}
	return text + " " + string(w.Frame)
}

// describeFrame writes what matters of a control frame. It decodes with the
// packages' own parsers, so a frame that is not valid shows as such.
func describeFrame(frame []byte) string {
	eth, ok := packet.ParseEthernet(frame)
	if !ok {
		return fmt.Sprintf("bad frame %x", frame)
	}
	head := fmt.Sprintf("%v > %v ", eth.Src(), eth.Dst())
	switch eth.Type() {
	case packet.EtherTypeARP:
		return head + describeARP(eth.Payload())
	case packet.EtherTypeIPv4:
		ip, ok := packet.ParseIPv4(eth.Payload())
		if ok && ip.Protocol() == packet.ProtoUDP && binary.BigEndian.Uint16(ip.Payload()[2:]) == bfd.Port {
			return head + describeBFD(ip)
		}
		if ok && ip.Protocol() == packet.ProtoUDP {
			return head + fmt.Sprintf("packet %s: %v > %v", ip.Payload()[8:], ip.Src(), ip.Dst())
		}
		if !ok || !ip.HeaderOK() {
			return head + "bad IPv4"
		}
		if ip.Protocol() == packet.ProtoIGMP {
			return head + describeReport("IGMP", ip.Src(), ip.TTL(), ip.Payload(), 4)
		}
		adv, reason := vrrp.ParseIPv4(ip)
		return head + describeVRRP(ip.Src(), ip.Dst(), adv, reason) + describeAuth(ip, &adv)
	case packet.EtherTypeIPv6:
		ip, ok := packet.ParseIPv6(eth.Payload())
		if ok && ip.NextHeader() == packet.ProtoUDP {
			return head + fmt.Sprintf("packet %s: %v > %v", ip.Payload()[8:], ip.Src(), ip.Dst())
		}
		if ok && ip.NextHeader() == packet.ProtoVRRP {
			adv, reason := vrrp.Parse(ip.Src(), ip.Dst(), ip.HopLimit(), ip.Payload())
			return head + describeVRRP(ip.Src(), ip.Dst(), adv, reason)
		}
		if ok && ip.NextHeader() == packet.ProtoHopByHop && len(ip) > packet.IPv6Len+8 {
			return head + describeReport("MLD", ip.Src(), ip.HopLimit(), ip.Payload()[8:], 16)
		}
		return head + describeND(frame)
	}
	return head + "unknown"
}

// describeReport writes a report of membership; size is that of a group.
func describeReport(kind string, src netip.Addr, ttl uint8, b []byte, size int) string {
	if ttl != 1 || len(b) < 8 || len(b) != 8+int(b[7])*(4+size) {
		return fmt.Sprintf("bad %s % x", kind, b)
	}
	text := fmt.Sprintf("%s %v reports", kind, src)
	for i := 12; i < len(b); i += 4 + size {
		group, _ := netip.AddrFromSlice(b[i : i+size])
		text += " " + group.String()
	}
	return text
}

func describeARP(payload []byte) string {
	p, reason := arp.Parse(payload)
	switch {
	case reason != arp.OK:
		return "bad ARP: " + reason.String()
	case p.IsProbe():
		return fmt.Sprintf("ARP probe %v", p.TargetIP)
	case p.IsGratuitous():
		return fmt.Sprintf("ARP announces %v is-at %v", p.SenderIP, p.SenderMAC)
	case p.Op == arp.OpRequest:
		return fmt.Sprintf("ARP who-has %v tell %v", p.TargetIP, p.SenderIP)
	}
	return fmt.Sprintf("ARP %v is-at %v", p.SenderIP, p.SenderMAC)
}

// describeAuth writes the authentication of version 2, where there is one.
func describeAuth(ip packet.IPv4, adv *vrrp.Advertisement) string {
	switch adv.AuthType {
	case vrrp.AuthPassword:
		return fmt.Sprintf(" password %q", strings.TrimRight(string(adv.AuthData[:]), "\x00"))
	case vrrp.AuthAH:
		return fmt.Sprintf(" sealed %d", binary.BigEndian.Uint32(ip.Payload()[8:]))
	}
	return ""
}

func describeVRRP(src, dst netip.Addr, a vrrp.Advertisement, reason vrrp.Reason) string {
	if reason != vrrp.ReasonNone {
		return "bad VRRP: " + reason.String()
	}
	return fmt.Sprintf("VRRPv%d vrid %d priority %d every %v of %s: %v > %v",
		a.Version, a.VRID, a.Priority, a.Interval, joinAll(a.Addresses), src, dst)
}

func describeND(frame []byte) string {
	m, reason := ndp.Parse(frame)
	if reason != ndp.OK {
		return "bad ND: " + reason.String()
	}
	if m.RA != nil {
		return describeRA(&m)
	}
	kind := map[uint8]string{
		packet.ICMPv6NeighborSolicit: "NS", packet.ICMPv6NeighborAdvert: "NA",
		packet.ICMPv6RouterSolicit: "RS",
	}[m.Type]
	text := fmt.Sprintf("%s %v > %v target %v", kind, m.Src, m.Dst, m.Target)
	if !m.LinkAddr.IsZero() {
		text += " is-at " + m.LinkAddr.String()
	}
	flags := []string{}
	for name, set := range map[string]bool{"router": m.Router, "solicited": m.Solicited, "override": m.Override} {
		if set {
			flags = append(flags, name)
		}
	}
	slices.Sort(flags)
	return strings.Join(append([]string{text}, flags...), " ")
}

func describeRA(m *ndp.Message) string {
	text := fmt.Sprintf("RA %v > %v lifetime %v is-at %v mtu %d", m.Src, m.Dst, m.RA.Lifetime, m.LinkAddr, m.RA.MTU)
	if m.LinkAddr != m.EthSrc {
		text += " bad LinkAddr " + m.LinkAddr.String()
	}
	for _, p := range m.RA.Prefixes {
		text += fmt.Sprintf(" prefix %v on-link %v autonomous %v", p.Prefix, p.OnLink, p.Autonomous)
	}
	if len(m.RA.RDNSS) > 0 {
		text += fmt.Sprintf(" dns %s for %v", joinAll(m.RA.RDNSS), m.RA.RDNSSLifetime)
	}
	return text
}

func describeBFD(ip packet.IPv4) string {
	p, reason := bfd.Parse(ip.Src(), ip.Dst(), ip.TTL(), ip.Payload())
	if reason != bfd.OK {
		return "bad BFD: " + reason.String()
	}
	text := fmt.Sprintf("BFD %v %d -> %d every %v takes %v x %d: %v > %v",
		p.State, p.Mine, p.Yours, p.DesiredTX, p.RequiredRX, p.Multiplier, ip.Src(), ip.Dst())
	if p.Poll {
		text += " poll"
	}
	if p.Final {
		text += " final"
	}
	return text
}
