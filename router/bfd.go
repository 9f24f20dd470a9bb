package router

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"vrouter/bfd"
	"vrouter/config"
	"vrouter/neigh"
	"vrouter/packet"
)

// bfdHold is how long a session has to come up before it counts as down for what
// tracks it.
const bfdHold = 10 * time.Second

// bfdPorts is the first of the source ports, one for each session (RFC 5881 4:
// 49152 to 65535).
const bfdPorts = 49152

// bfdSession is the session with one neighbour.
type bfdSession struct {
	peer    netip.Addr
	timers  config.BFDTimers
	names   []string // of the [[bfd]] and [[bgp.neighbor]] tables that have it
	machine *bfd.Session
	port    uint16    // UDP source port
	known   bool      // it has been Up once, or has had its time
	knownBy time.Time // the end of that time; zero: known
}

// sessions are the BFD sessions of a router.
type sessions struct {
	list     []*bfdSession
	opened   uint32 // so far: discriminators are not used twice
	discards [bfd.NumReasons]uint64
}

// rearrangeBFD brings the sessions in step with the configuration. A session goes
// on where its neighbour and its timers are the same.
func (r *Router) rearrangeBFD(now time.Time) {
	want := wantedBFD(r.cfg)
	for _, s := range r.bfd.list {
		if !slices.ContainsFunc(want, s.same) {
			r.bfdActions(now, s, s.machine.Stop(now, "not configured any more"))
			r.gate(s)
		}
	}
	old := r.bfd.list
	r.bfd.list = nil
	for _, w := range want {
		s := w
		if i := slices.IndexFunc(old, w.same); i >= 0 {
			s = old[i]
			s.names = w.names
		} else {
			r.openBFD(now, s)
		}
		r.bfd.list = append(r.bfd.list, s)
	}
	for _, s := range r.bfd.list { // now that it is found by its neighbour
		r.bfdActions(now, s, s.machine.Start(now))
	}
	r.unsettled = true
}

func (s *bfdSession) same(o *bfdSession) bool { return s.peer == o.peer && s.timers == o.timers }

// openBFD makes the machine of a session.
func (r *Router) openBFD(now time.Time, s *bfdSession) {
	r.bfd.opened++
	s.port = bfdPorts + uint16((r.bfd.opened-1)%(1<<16-bfdPorts))
	s.knownBy = now.Add(bfdHold)
	s.machine = bfd.New(bfd.Config{
		Interval: s.timers.Interval, Multiplier: s.timers.Multiplier,
		Discriminator: r.bfd.opened, Seed: r.flowSeed,
	})
}

// wantedBFD returns a session for each neighbour: of several tables that name one,
// the quickest timers count.
func wantedBFD(cfg *config.Config) (list []*bfdSession) {
	add := func(name string, peer netip.Addr, t config.BFDTimers) {
		i := slices.IndexFunc(list, func(s *bfdSession) bool { return s.peer == peer })
		if i < 0 {
			list = append(list, &bfdSession{peer: peer, timers: t, names: []string{name}})
			return
		}
		s := list[i]
		s.names = append(s.names, name)
		if t.Interval*time.Duration(t.Multiplier) < s.timers.Interval*time.Duration(s.timers.Multiplier) {
			s.timers = t
		}
	}
	for i := range cfg.BFD {
		add(cfg.BFD[i].Name, cfg.BFD[i].Peer, cfg.BFD[i].BFDTimers)
	}
	if cfg.BGP != nil {
		for i := range cfg.BGP.Neighbors {
			if n := &cfg.BGP.Neighbors[i]; n.BFD != nil {
				add(n.Name, n.Address, *n.BFD)
			}
		}
	}
	return list
}

// advanceBFD runs the sessions that are due.
func (r *Router) advanceBFD(now time.Time) {
	for _, s := range r.bfd.list {
		if due(s.machine.Deadline(), now) {
			r.bfdActions(now, s, s.machine.Advance(now))
		}
		if due(s.knownBy, now) {
			s.known, s.knownBy = true, time.Time{}
			r.unsettled = true
		}
	}
}

// Detecting reports whether a BFD session would end now for its neighbour's
// silence: then the driver hands in all BFD packets that it has, and tells of
// unread ones by Unheard, before it calls Advance.
func (r *Router) Detecting(now time.Time) bool {
	return slices.ContainsFunc(r.bfd.list, func(s *bfdSession) bool { return s.machine.Due(now) })
}

// deadlineBFD returns when advanceBFD has something to do.
func (r *Router) deadlineBFD() (next time.Time) {
	for _, s := range r.bfd.list {
		next = earlier(earlier(next, s.machine.Deadline()), s.knownBy)
	}
	return next
}

// stopBFD tells the neighbours that the sessions end as planned.
func (r *Router) stopBFD(now time.Time, reason string) {
	for _, s := range r.bfd.list {
		r.bfdActions(now, s, s.machine.Stop(now, reason))
	}
}

// receiveBFD takes a control packet. One of no session of this router's may be
// for a daemon of its host.
func (r *Router) receiveBFD(now time.Time, in uint16, src, dst netip.Addr, ttl uint8, udp, frame []byte) {
	p, reason := bfd.Parse(src, dst, ttl, udp)
	if reason == bfd.OK {
		reason = bfd.Unknown
		if s := r.bfdOf(in, src, p.Yours); s != nil {
			r.bfdActions(now, s, s.machine.Receive(now, &p))
			return
		}
	}
	if reason == bfd.Unknown && r.toHost(in, dst, frame) {
		return
	}
	r.bfd.discards[reason]++
}

// bfdOf returns the session of a packet: by our discriminator where the neighbour
// knows it (RFC 5880 6.8.6), which must come from the neighbour all the same (RFC
// 5881 3: one session between two addresses of a link).
func (r *Router) bfdOf(in uint16, src netip.Addr, yours uint32) *bfdSession {
	for _, s := range r.bfd.list {
		f := r.linkOf(s.peer)
		if f == nil || f.port != in || s.peer.WithZone("") != src {
			continue
		}
		if yours == 0 || yours == s.machine.Config().Discriminator {
			return s
		}
	}
	return nil
}

// bfdActions carries out what a session wants.
func (r *Router) bfdActions(now time.Time, s *bfdSession, actions []bfd.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case bfd.Send:
			r.sendBFD(s, &a.Packet)
		case bfd.Transition:
			r.bfdChanged(now, s, a)
		}
	}
}

// sendBFD sends a packet to the neighbour where it can be reached now.
func (r *Router) sendBFD(s *bfdSession, p *bfd.Packet) {
	if port, frame := r.frameBFD(s, p); frame != nil {
		r.do(Transmit{port, frame})
	}
}

// frameBFD makes the frame of a packet; nil where the neighbour cannot be reached
// now.
func (r *Router) frameBFD(s *bfdSession, p *bfd.Packet) (port uint16, frame []byte) {
	f := r.linkOf(s.peer)
	if f == nil || !f.state.Up {
		return 0, nil
	}
	peer := s.peer.WithZone("")
	mac, known := r.cache.Lookup(neigh.Key{Port: f.port, Addr: peer})
	src, ok := f.source(peer)
	if !known || !ok {
		return 0, nil
	}
	return f.port, bfdFrame(mac, f.state.MAC, src, peer, p, s.port)
}

// willBFD returns the last will of a session that is Up: its neighbour turns away
// at once. It has found out by itself after its Detection Time.
func (r *Router) willBFD(s *bfdSession) (w Will, ok bool) {
	p, ok := s.machine.LastWill()
	if !ok {
		return w, false
	}
	port, frame := r.frameBFD(s, &p)
	life := time.Duration(s.timers.Multiplier) * s.machine.Info().TransmitInterval
	return Will{Name: "bfd " + s.peer.String(), Port: port, Lifetime: life, Frames: [][]byte{frame}}, frame != nil
}

// bfdFrame makes the frame: TTL 255 proves that it comes from the link (RFC 5881
// 5), and network control is the class of what keeps the network together.
func bfdFrame(to, from packet.MAC, src, dst netip.Addr, p *bfd.Packet, port uint16) []byte {
	header := packet.IPv4Len
	if dst.Is6() {
		header = packet.IPv6Len
	}
	start := packet.EthernetLen + header
	frame := make([]byte, start, start+8+bfd.Len)
	frame = p.AppendUDP(frame, src, dst, port)
	if dst.Is6() {
		packet.PutEthernet(frame, to, from, packet.EtherTypeIPv6)
		h := packet.IPv6Header{TrafficClass: classControl, NextHeader: packet.ProtoUDP, HopLimit: bfd.TTL, Src: src, Dst: dst}
		h.Put(frame[packet.EthernetLen:], len(frame)-start)
		return frame
	}
	packet.PutEthernet(frame, to, from, packet.EtherTypeIPv4)
	h := packet.IPv4Header{TOS: classControl, TTL: bfd.TTL, Protocol: packet.ProtoUDP, Src: src, Dst: dst}
	h.Put(frame[packet.EthernetLen:], len(frame)-start)
	return frame
}

// bfdChanged follows a change of state: of what tracks the session, of the routes
// through the neighbour, and of BGP with it.
func (r *Router) bfdChanged(now time.Time, s *bfdSession, t bfd.Transition) {
	if t.To == bfd.Up {
		s.known, s.knownBy = true, time.Time{}
	}
	for _, name := range s.names {
		r.event(now, Event{Kind: "bfd", Name: name, From: t.From.String(), To: t.To.String(), Reason: t.Reason})
	}
	r.gate(s)
	r.bgp.stale, r.unsettled, r.willsStale = true, true, true
}

// failed reports whether the path to the neighbour is broken. A neighbour that has
// never spoken BFD may be one that does not.
func (s *bfdSession) failed() bool { return s.machine.Info().Failed }

// gate takes the neighbour away from routes while its session has failed, and
// gives it back.
func (r *Router) gate(s *bfdSession) {
	f := r.linkOf(s.peer)
	if f == nil {
		return
	}
	key := neigh.Key{Port: f.port, Addr: s.peer.WithZone("")}
	mac, reachable := r.cache.Lookup(key)
	r.setNeighbor(key, mac, reachable)
	r.unsettled = true
}

// setNeighbor tells the routes whether they can go through a neighbour.
func (r *Router) setNeighbor(key neigh.Key, mac packet.MAC, reachable bool) {
	for _, s := range r.bfd.list {
		if s.peer.WithZone("") != key.Addr || !s.failed() {
			continue
		}
		if f := r.linkOf(s.peer); f != nil && f.port == key.Port {
			reachable = false
		}
	}
	r.table.SetNeighbor(key.Port, key.Addr, mac, reachable)
	r.dirty = true
}

// bfdTerm is what a virtual router tracks of a session.
func (r *Router) bfdTerm(name string) term {
	t := term{kind: "bfd", name: name}
	for _, s := range r.bfd.list {
		if slices.Contains(s.names, name) {
			i := s.machine.Info()
			t.up, t.known, t.reason = i.State == bfd.Up || i.EverUp && !i.Failed, s.known, s.reason()
		}
	}
	return t
}

// reason says why a session is not Up; empty: it is.
func (s *bfdSession) reason() string {
	i := s.machine.Info()
	if i.State == bfd.Up {
		return ""
	}
	return fmt.Sprintf("%v: %s", i.State, i.LastReason)
}

// brokenBFD says why BGP with a neighbour must end; empty: it need not.
func (r *Router) brokenBFD(peer netip.Addr) string {
	for _, s := range r.bfd.list {
		if s.peer == peer && s.failed() {
			return "BFD: " + s.machine.Info().LastReason
		}
	}
	return ""
}

// BFDSession is a session as "show bfd" tells it.
type BFDSession struct {
	Names           []string  `json:"names"` // of [[bfd]] and [[bgp.neighbor]]
	Peer            string    `json:"peer"`
	Interface       string    `json:"interface"`
	State           string    `json:"state"`        // AdminDown | Down | Init | Up
	RemoteState     string    `json:"remote_state"` // as the neighbour has said last
	Since           time.Time `json:"since"`
	Transitions     uint64    `json:"transitions"`
	LastReason      string    `json:"last_reason"`
	Diagnostic      string    `json:"diagnostic"`
	RemoteDiag      string    `json:"remote_diagnostic"`
	TransmitMS      float64   `json:"transmit_interval_ms"` // as agreed; 0: the neighbour wants nothing
	DetectionMS     float64   `json:"detection_time_ms"`    // 0: not known yet
	Mine            uint32    `json:"discriminator"`
	Yours           uint32    `json:"remote_discriminator"` // 0: not known
	PacketsSent     uint64    `json:"packets_sent"`
	PacketsReceived uint64    `json:"packets_received"`
	Failed          bool      `json:"failed"` // it was Up and is not any more: routes through the neighbour are out of use
}

// BFDSessions returns all sessions.
func (r *Router) BFDSessions() []BFDSession {
	list := make([]BFDSession, 0, len(r.bfd.list))
	for _, s := range r.bfd.list {
		i := s.machine.Info()
		e := BFDSession{
			Names: s.names, Peer: s.peer.String(), State: i.State.String(), RemoteState: i.Remote.String(),
			Since: i.Since, Transitions: i.Transitions, LastReason: i.LastReason,
			Diagnostic: i.Diagnostic.String(), RemoteDiag: i.RemoteDiagnostic.String(),
			TransmitMS: milliseconds(i.TransmitInterval), DetectionMS: milliseconds(i.DetectionTime),
			Mine: i.Mine, Yours: i.Yours, PacketsSent: i.Sent, PacketsReceived: i.Received, Failed: s.failed(),
		}
		if f := r.linkOf(s.peer); f != nil {
			e.Interface = f.cfg.Name
		}
		list = append(list, e)
	}
	return list
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
