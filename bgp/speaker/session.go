package speaker

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"vrouter/bgp"
	"vrouter/config"
)

// When all routes of a neighbour are there: it says so (End-of-RIB, RFC 4724
// 2); one that does not know how to says nothing more for quietTime; and
// nobody is waited for longer than completeLimit.
const (
	quietTime     = 2 * time.Second
	completeLimit = time.Minute
	tickTime      = 500 * time.Millisecond
)

// session is what is known of a neighbour; server.mu guards it.
type session struct {
	neighbor     *config.Neighbor
	circumstance *bgp.Circumstance
	number       uint32 // bgp.NeighborID
	open         bool   // GoBGP has it
	state        string
	changed      time.Time // when it was Established, or ceased to be
	count        uint64
	marks        bool // the neighbour tells the end of its routes
	waiting      []gobgp.Family
	complete     bool
	stale        bool
	limited      bool // had too many prefixes; server.admin guards it
	ending       bool // it has ended, and GoBGP is about to tell
	routerID     netip.Addr
	lastError    string
}

// lost notes the end of an Established session.
func (x *session) lost() {
	x.state, x.complete, x.waiting, x.routerID = bgp.StateIdle, false, nil, netip.Addr{}
}

// peerChanged is told by GoBGP of every change of a session's state.
func (s *server) peerChanged(e *apiutil.WatchEventMessage_PeerEvent, _ time.Time) {
	if e.Type == apiutil.PEER_EVENT_END_OF_INIT {
		return
	}
	p := &e.Peer.State
	s.mu.Lock()
	x := s.sessions[p.NeighborAddress.WithZone("")]
	if x == nil || !x.open {
		s.mu.Unlock()
		return
	}
	was := x.state
	x.state, x.ending = stateName(p.SessionState), false
	switch {
	case x.state == bgp.StateEstablished && was != x.state:
		x.count++
		x.changed, x.routerID, x.lastError, x.stale = time.Now(), p.RouterID, "", false
		x.complete = false
		s.turn++
		x.expect(p)
		s.log.Info("BGP session is established", "neighbor", x.neighbor.Name, "address", x.circumstance.Peer)
	case was == bgp.StateEstablished && x.state != was:
		x.lost()
		s.turn++
		x.state = stateName(p.SessionState)
		x.changed, x.lastError = time.Now(), reasonWords(p)
		x.stale = p.DisconnectReason == api.PeerState_DISCONNECT_REASON_GRACEFUL_RESTART
		s.log.Warn("BGP session is lost", "neighbor", x.neighbor.Name, "address", x.circumstance.Peer, "reason", x.lastError)
	case p.SessionState == gobgp.BGP_FSM_IDLE:
		if words := reasonWords(p); words != "" {
			x.lastError = words
		}
	}
	if p.AdminState == api.PeerState_ADMIN_STATE_PFX_CT {
		x.lastError = tooMany
	}
	s.mu.Unlock()
	s.tell()
}

// expect notes whose End-of-RIB is to come: it is sent to those alone who have
// said that they know it, by the same capability (RFC 4724 3).
func (x *session) expect(p *apiutil.PeerState) {
	x.marks = x.neighbor.GracefulRestart && slices.ContainsFunc(p.RemoteCap, func(c gobgp.ParameterCapabilityInterface) bool {
		return c.Code() == gobgp.BGP_CAP_GRACEFUL_RESTART
	})
	x.waiting = nil
	for _, c := range p.RemoteCap {
		mp, ok := c.(*gobgp.CapMultiProtocol)
		if !ok {
			continue
		}
		if f := mp.CapValue; f == gobgp.RF_IPv4_UC && x.neighbor.IPv4 || f == gobgp.RF_IPv6_UC && x.neighbor.IPv6 {
			x.waiting = append(x.waiting, f)
		}
	}
	if len(x.waiting) == 0 { // it knows IPv4 alone, without a word
		x.waiting = []gobgp.Family{gobgp.RF_IPv4_UC}
	}
}

// endOfRIB is told by GoBGP when a neighbour has announced all of a family.
func (s *server) endOfRIB(p *apiutil.Path, _ time.Time) {
	s.mu.Lock()
	x := s.sessions[p.PeerAddress.WithZone("")]
	if x == nil || x.state != bgp.StateEstablished {
		s.mu.Unlock()
		return
	}
	x.waiting = slices.DeleteFunc(x.waiting, func(f gobgp.Family) bool { return f == p.Family })
	x.complete = x.complete || len(x.waiting) == 0
	s.mu.Unlock()
	s.tell()
}

// tick completes the routes of those who do not tell, and tells the router
// when the routes of all are there.
func (s *server) tick(ctx context.Context) {
	t := time.NewTicker(tickTime)
	defer t.Stop()
	collector := newCollector()
	for {
		select {
		case <-t.C:
			if s.settle(time.Now()) {
				s.tell()
			}
			collector.pace(s.loading())
		case <-ctx.Done():
			return
		}
	}
}

// loading reports whether many routes have changed since it was asked last, or are
// about to.
func (s *server) loading() bool {
	_, _, learning := s.turnover()
	s.mu.Lock()
	defer s.mu.Unlock()
	many := s.changes >= hurry
	s.changes = 0
	return learning || many
}

// settle reports whether a session has become complete.
func (s *server) settle(now time.Time) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.sessions {
		if x.state != bgp.StateEstablished || x.complete {
			continue
		}
		up := now.Sub(x.changed)
		if up > completeLimit || !x.marks && up > quietTime && now.Sub(s.quiet) > quietTime {
			x.complete, changed = true, true
		}
	}
	return changed
}

// tell sends the router the state of the sessions, and that the routes are
// complete where they are so for the first time.
func (s *server) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == nil {
		return
	}
	r := bgp.Report{Sessions: s.list()}
	s.link.report(r)
	all := true
	for i := range r.Sessions {
		all = all && r.Sessions[i].Ready()
	}
	if all && !s.synced {
		s.synced = true
		s.link.sync()
	}
}

// list returns the sessions in the order of the setup.
func (s *server) list() []bgp.Session {
	list := make([]bgp.Session, 0, len(s.setup.Config.Neighbors))
	for i := range s.setup.Circumstances {
		x := s.sessions[s.setup.Circumstances[i].Peer.WithZone("")]
		if x != nil {
			list = append(list, x.status())
		}
	}
	return list
}

func (x *session) status() bgp.Session {
	n := x.neighbor
	v := bgp.Session{
		Name: n.Name, Address: x.circumstance.Peer, ASN: n.ASN, State: x.state, Since: x.changed,
		EndOfRIB: x.complete, Stale: x.stale, LastError: x.lastError, RouterID: x.routerID,
		Established: x.count, Follows: n.Follow, Announces: "master", Interface: x.circumstance.Interface,
	}
	if x.circumstance.Backup {
		v.Announces = "backup"
	}
	if x.ending {
		v.State, v.EndOfRIB = bgp.StateIdle, false
	}
	return v
}

// sessionEnded is told when an Established session ends, before GoBGP withdraws
// what came by it, one route after the other; only its log tells so early. A
// neighbour that restarts keeps its routes.
func (s *server) sessionEnded(peer, why string) {
	a, err := netip.ParseAddr(peer)
	if err != nil || why == gracefulRestart {
		return
	}
	s.mu.Lock()
	x := s.sessions[a.WithZone("")]
	known := x != nil && x.state == bgp.StateEstablished
	if known {
		x.ending = true
	}
	s.mu.Unlock()
	if known {
		s.tell()
	}
}

// isUp reports whether the session with a neighbour is established.
func (s *server) isUp(peer netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.sessions[peer.WithZone("")]
	return x != nil && x.state == bgp.StateEstablished
}

// tooMany says what has become of a neighbour that has announced more prefixes
// than max_prefixes.
const tooMany = "more prefixes than max_prefixes: stays down until vrouter reload with another limit, or a restart"

// overLimit is told when GoBGP ends a session because of max_prefixes. With
// graceful restart it would take the end for a restart and keep all routes for
// the neighbour's restart time; so the neighbour is taken away from it.
func (s *server) overLimit(peer, _ string) {
	a, err := netip.ParseAddr(peer)
	if err != nil {
		return
	}
	go func() { // GoBGP's own goroutine must go on
		s.admin.Lock()
		defer s.admin.Unlock()
		s.mu.Lock()
		x := s.sessions[a.WithZone("")]
		s.mu.Unlock()
		if x == nil || !x.open {
			return
		}
		x.limited = true
		s.down(x, tooMany)
		s.tell()
	}()
}

// gracefulRestart is how GoBGP's log calls the end of a session whose neighbour
// restarts.
const gracefulRestart = "graceful-restart"

// connectFailed notes why no connection comes about; GoBGP only logs it.
func (s *server) connectFailed(peer, why string) {
	a, err := netip.ParseAddr(peer)
	if err != nil {
		return
	}
	s.mu.Lock()
	x := s.sessions[a.WithZone("")]
	changed := x != nil && x.state != bgp.StateEstablished && x.lastError != why
	if changed {
		x.lastError = why
	}
	s.mu.Unlock()
	if changed {
		s.tell()
	}
}

func stateName(f gobgp.FSMState) string {
	switch f {
	case gobgp.BGP_FSM_CONNECT:
		return bgp.StateConnect
	case gobgp.BGP_FSM_ACTIVE:
		return bgp.StateActive
	case gobgp.BGP_FSM_OPENSENT:
		return bgp.StateOpenSent
	case gobgp.BGP_FSM_OPENCONFIRM:
		return bgp.StateOpenConfirm
	case gobgp.BGP_FSM_ESTABLISHED:
		return bgp.StateEstablished
	}
	return bgp.StateIdle
}

// reasonWords says why a session ended; empty: for no reason worth a word.
func reasonWords(p *apiutil.PeerState) string {
	detail := p.DisconnectMessage
	for _, prefix := range []string{"notification-sent ", "notification-received "} {
		detail = strings.TrimPrefix(detail, prefix)
	}
	switch p.DisconnectReason {
	case api.PeerState_DISCONNECT_REASON_ADMIN_DOWN:
		return "ended by order"
	case api.PeerState_DISCONNECT_REASON_DECONFIGURED:
		return "taken out of the configuration"
	case api.PeerState_DISCONNECT_REASON_HOLD_TIMER_EXPIRED:
		return "nothing heard for the hold time"
	case api.PeerState_DISCONNECT_REASON_NOTIFICATION_SENT:
		return "ended by this router: " + notificationWords(detail)
	case api.PeerState_DISCONNECT_REASON_NOTIFICATION_RECEIVED:
		return "ended by the neighbour: " + notificationWords(detail)
	case api.PeerState_DISCONNECT_REASON_READ_FAILED, api.PeerState_DISCONNECT_REASON_WRITE_FAILED:
		return "the TCP connection broke"
	case api.PeerState_DISCONNECT_REASON_RESTART_TIMER_EXPIRED:
		return "the neighbour did not come back within its restart time"
	case api.PeerState_DISCONNECT_REASON_GRACEFUL_RESTART:
		return "the neighbour restarts; its routes stay meanwhile"
	case api.PeerState_DISCONNECT_REASON_INVALID_MSG:
		return "the neighbour sent what is no BGP message"
	case api.PeerState_DISCONNECT_REASON_HARD_RESET:
		return "ended by the neighbour: hard reset"
	case api.PeerState_DISCONNECT_REASON_BAD_PEER_AS:
		return "the neighbour is of another autonomous system than asn says"
	}
	return ""
}

// notificationWords makes GoBGP's "code 6(cease) subcode 2(administrative
// shutdown)" readable.
func notificationWords(s string) string {
	var words []string
	for rest := s; ; {
		_, after, ok := strings.Cut(rest, "(")
		if !ok {
			break
		}
		word, more, _ := strings.Cut(after, ")")
		words, rest = append(words, word), more
	}
	if len(words) == 0 {
		return s
	}
	return strings.Join(words, ", ")
}

// counted returns the sessions with the counts of their routes, which takes its
// time with a large table.
func (s *server) counted() []bgp.Session {
	accepted := s.accepted()
	s.mu.Lock()
	list := s.list()
	s.mu.Unlock()
	for i := range list {
		x := &list[i]
		x.Families = []bgp.Family{}
		p := s.peerOf(x.Address)
		if p == nil {
			continue
		}
		if x.State == bgp.StateEstablished {
			x.HoldTimeMS = int64(p.GetTimers().GetState().GetNegotiatedHoldTime()) * 1000
		}
		for _, a := range p.AfiSafis {
			n, in := a.GetState(), accepted[x.Address.WithZone("")]
			f := bgp.Family{Name: "ipv4", Received: n.GetReceived(), Accepted: in.four, Advertised: n.GetAdvertised()}
			if a.GetConfig().GetFamily().GetAfi() == api.Family_AFI_IP6 {
				f.Name, f.Accepted = "ipv6", in.six
			}
			if f.Received > f.Accepted { // routes of a neighbour that restarts stay while it announces none
				f.Rejected = f.Received - f.Accepted
			}
			x.Families = append(x.Families, f)
		}
	}
	return list
}

// peerOf returns what GoBGP counts of a neighbour; nil: it does not have it. To count
// what is announced it goes through the whole table, and does nothing else meanwhile:
// so one neighbour is asked for at a time, and what waits comes in between.
func (s *server) peerOf(neighbor netip.Addr) (found *api.Peer) {
	err := s.gobgp.ListPeer(context.Background(), &api.ListPeerRequest{Address: neighbor.String(), EnableAdvertised: true},
		func(p *api.Peer) { found = p })
	if err != nil {
		s.log.Error("routes not counted", "neighbor", neighbor, "error", err)
	}
	return found
}
