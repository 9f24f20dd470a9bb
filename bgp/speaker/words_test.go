package speaker

import (
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"vrouter/bgp"
	"vrouter/config"
)

func TestWhySessionsEndInWords(t *testing.T) {
	for _, test := range []struct {
		reason  api.PeerState_DisconnectReason
		message string
		want    string
	}{
		{
			api.PeerState_DISCONNECT_REASON_NOTIFICATION_RECEIVED,
			"notification-received code 6(cease) subcode 2(administrative shutdown)",
			"ended by the neighbour: cease, administrative shutdown",
		},
		{
			api.PeerState_DISCONNECT_REASON_NOTIFICATION_SENT, "notification-sent code 4(hold timer expired) subcode 0(undefined)",
			"ended by this router: hold timer expired, undefined",
		},
		{api.PeerState_DISCONNECT_REASON_NOTIFICATION_SENT, "notification-sent odd", "ended by this router: odd"},
		{api.PeerState_DISCONNECT_REASON_HOLD_TIMER_EXPIRED, "", "nothing heard for the hold time"},
		{api.PeerState_DISCONNECT_REASON_GRACEFUL_RESTART, "", "the neighbour restarts; its routes stay meanwhile"},
		{api.PeerState_DISCONNECT_REASON_BAD_PEER_AS, "", "the neighbour is of another autonomous system than asn says"},
		{api.PeerState_DISCONNECT_REASON_UNSPECIFIED, "whatever", ""},
	} {
		if got := reasonWords(&apiutil.PeerState{DisconnectReason: test.reason, DisconnectMessage: test.message}); got != test.want {
			t.Errorf("%v %q: %q, want %q", test.reason, test.message, got, test.want)
		}
	}
	// None of GoBGP's is left without a word, but the end of the pause between
	// attempts, which ends no session.
	for number := range api.PeerState_DisconnectReason_name {
		reason := api.PeerState_DisconnectReason(number)
		silent := reason == api.PeerState_DISCONNECT_REASON_UNSPECIFIED || reason == api.PeerState_DISCONNECT_REASON_IDLE_TIMER_EXPIRED
		if words := reasonWords(&apiutil.PeerState{DisconnectReason: reason}); (words == "") != silent {
			t.Errorf("%v: %q", reason, words)
		}
	}
}

func TestStatesByTheirNames(t *testing.T) {
	for state, want := range map[gobgp.FSMState]string{
		gobgp.BGP_FSM_IDLE: "Idle", gobgp.BGP_FSM_CONNECT: "Connect", gobgp.BGP_FSM_ACTIVE: "Active",
		gobgp.BGP_FSM_OPENSENT: "OpenSent", gobgp.BGP_FSM_OPENCONFIRM: "OpenConfirm", gobgp.BGP_FSM_ESTABLISHED: "Established",
	} {
		if got := stateName(state); got != want {
			t.Errorf("%v: %s, want %s", state, got, want)
		}
	}
}

// pathOf is a path as GoBGP has it; sequence is its AS path.
func pathOf(from string, sequence ...uint32) *apiutil.Path {
	p := &apiutil.Path{Attrs: []gobgp.PathAttributeInterface{gobgp.NewPathAttributeAsPath([]gobgp.AsPathParamInterface{
		gobgp.NewAs4PathParam(gobgp.BGP_ASPATH_ATTR_TYPE_SEQ, sequence),
	})}}
	if from != "" {
		p.PeerAddress, p.PeerID = netip.MustParseAddr(from), netip.MustParseAddr("192.0.2.9")
	}
	return p
}

// RFC 4271 9.1.2.2: each step decides where all before it are equal, and nothing
// else is blamed.
func TestWhyTheBestPathIsTheBest(t *testing.T) {
	type pair struct {
		a, b *apiutil.Path
		x, y bgp.Path
	}
	for _, test := range []struct {
		want   string
		change func(p *pair)
	}{
		{"the higher local preference (200, not 100)", func(p *pair) { p.x.LocalPreference = 200; p.b = pathOf("203.0.113.2") }},
		{"its origin here (a network of our own)", func(p *pair) { p.a = pathOf("") }},
		{"the shorter AS path (2, not 3)", func(p *pair) { p.b = pathOf("203.0.113.2", 64500, 64500, 64500); p.y.Origin = "egp" }},
		{"the better origin (igp, not incomplete)", func(p *pair) { p.y.Origin = "incomplete"; p.y.MED = pointer(9) }},
		{"the lower MED of the same neighbouring system (0, not 9)", func(p *pair) { p.y.MED = pointer(9); p.y.External = false }},
		{"its way out of the own system (eBGP before iBGP)", func(p *pair) { p.y.External = false }},
		{"its way out of the own system (eBGP before iBGP)", func(p *pair) { // MEDs of different systems say nothing
			p.b, p.y.MED, p.y.External = pathOf("203.0.113.2", 64501, 64502), pointer(9), false
		}},
		{"been there longer", func(p *pair) { p.y.Since = p.x.Since.Add(time.Second); p.b.PeerID = netip.MustParseAddr("192.0.2.10") }},
		{"the lower router identifier (192.0.2.9, not 192.0.2.10)", func(p *pair) { p.b.PeerID = netip.MustParseAddr("192.0.2.10") }},
		{"the lower neighbour address (203.0.113.1, not 203.0.113.2)", func(*pair) {}},
	} {
		common := bgp.Path{LocalPreference: 100, Origin: "igp", External: true, Since: time.Unix(1e9, 0)}
		p := pair{pathOf("203.0.113.1", 64500, 64502), pathOf("203.0.113.2", 64500, 64502), common, common}
		test.change(&p)
		if got := decide(p.a, p.b, &p.x, &p.y, ""); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

func pointer(n uint32) *uint32 { return &n }

func TestEachPathSaysWhatTheBestHasOverIt(t *testing.T) {
	all := []*apiutil.Path{pathOf("203.0.113.1", 64500), pathOf("203.0.113.2", 64501), pathOf("203.0.113.3", 64501, 64502)}
	list := make([]bgp.Path, 3)
	for i := range list {
		list[i] = bgp.Path{LocalPreference: 100, Origin: "igp", External: true, Best: i < 2}
	}
	(*server)(nil).explain(all, list)
	for i, want := range []string{
		"the lower neighbour address (203.0.113.1, not 203.0.113.2)", "as good as the best (multipath)",
		"the best has the shorter AS path (1, not 2)",
	} {
		if list[i].Reason != want {
			t.Errorf("path %d: %q, want %q", i, list[i].Reason, want)
		}
	}
	(*server)(nil).explain(all[:1], list[:1])
	if list[0].Reason != "the only path" {
		t.Errorf("one path: %q", list[0].Reason)
	}
}

func TestASPathsAreWrittenAsOperatorsDo(t *testing.T) {
	a := gobgp.NewPathAttributeAsPath([]gobgp.AsPathParamInterface{
		gobgp.NewAs4PathParam(gobgp.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{64500, 4200000001}),
		gobgp.NewAs4PathParam(gobgp.BGP_ASPATH_ATTR_TYPE_SET, []uint32{64502, 64503}),
	})
	if got := asPath(a); got != "64500 4200000001 {64502 64503}" {
		t.Errorf("written %q", got)
	}
	p := &apiutil.Path{Attrs: []gobgp.PathAttributeInterface{a}}
	if pathLen(p) != 3 || firstAS(p) != 64500 { // RFC 4271 9.1.2.2 a: a set counts as one
		t.Errorf("length %d, from %d", pathLen(p), firstAS(p))
	}
	if empty := (&apiutil.Path{}); pathLen(empty) != 0 || firstAS(empty) != 0 {
		t.Error("a path of the own system has a length")
	}
}

// sessionServer returns a server with one neighbour, 203.0.113.1, without GoBGP.
func sessionServer(n config.Neighbor) (*server, *session) {
	setup := setupOf(n)
	x := &session{neighbor: &setup.Config.Neighbors[0], circumstance: &setup.Circumstances[0], open: true, state: bgp.StateIdle}
	s := &server{log: slog.New(slog.DiscardHandler), setup: setup, table: newTable(), sessions: map[netip.Addr]*session{setup.Circumstances[0].Peer: x}}
	return s, x
}

// event is GoBGP's word of a session's new state.
func event(state gobgp.FSMState, reason api.PeerState_DisconnectReason, caps ...gobgp.ParameterCapabilityInterface) *apiutil.WatchEventMessage_PeerEvent {
	e := &apiutil.WatchEventMessage_PeerEvent{Type: apiutil.PEER_EVENT_STATE}
	e.Peer.State = apiutil.PeerState{
		NeighborAddress: netip.MustParseAddr("203.0.113.1"), SessionState: state, DisconnectReason: reason, RemoteCap: caps,
		RouterID: netip.MustParseAddr("192.0.2.7"),
	}
	return e
}

const noReason = api.PeerState_DISCONNECT_REASON_UNSPECIFIED

// A session's life as "show bgp" tells it: complete with the End-of-RIB of both
// families; stale while the neighbour restarts; not stale any more when it is back,
// but complete only when it has told all again.
func TestASessionThroughAGracefulRestart(t *testing.T) {
	n := external("isp")
	n.GracefulRestart = true
	s, x := sessionServer(n)
	expect := func(when, state string, complete, stale bool, count uint64, words string) {
		t.Helper()
		v := x.status()
		if v.State != state || v.EndOfRIB != complete || v.Stale != stale || v.Established != count || v.LastError != words {
			t.Errorf("%s: %+v", when, v)
		}
	}
	eor := func(f gobgp.Family) {
		s.endOfRIB(&apiutil.Path{PeerAddress: netip.MustParseAddr("203.0.113.1"), Family: f}, time.Now())
	}
	caps := append(slices.Clone(both), graceful)
	s.connectFailed("203.0.113.1", "connection refused")
	expect("before", "Idle", false, false, 0, "connection refused")
	s.peerChanged(event(gobgp.BGP_FSM_ESTABLISHED, noReason, caps...), time.Now())
	expect("up", "Established", false, false, 1, "")
	s.connectFailed("203.0.113.1", "too late")
	eor(gobgp.RF_IPv4_UC)
	expect("one family", "Established", false, false, 1, "")
	if s.settle(x.changed.Add(quietTime * 3)) {
		t.Error("a neighbour that tells its End-of-RIB is not waited for")
	}
	eor(gobgp.RF_IPv6_UC)
	expect("both families", "Established", true, false, 1, "")
	s.peerChanged(event(gobgp.BGP_FSM_IDLE, api.PeerState_DISCONNECT_REASON_GRACEFUL_RESTART), time.Now())
	expect("restarting", "Idle", false, true, 1, "the neighbour restarts; its routes stay meanwhile")
	s.peerChanged(event(gobgp.BGP_FSM_ESTABLISHED, noReason, caps...), time.Now())
	expect("back", "Established", false, false, 2, "")
	if !s.settle(x.changed.Add(completeLimit + time.Second)) {
		t.Error("waited for without a limit")
	}
	expect("after the limit", "Established", true, false, 2, "")
	s.sessionEnded("203.0.113.1", gracefulRestart) // the routes stay
	expect("the log says that it restarts", "Established", true, false, 2, "")
	s.sessionEnded("203.0.113.1", "hold-timer-expired")
	expect("the log says that it has ended", "Idle", false, false, 2, "")
	s.peerChanged(event(gobgp.BGP_FSM_IDLE, api.PeerState_DISCONNECT_REASON_HOLD_TIMER_EXPIRED), time.Now())
	expect("ended", "Idle", false, false, 2, "nothing heard for the hold time")
	if x.routerID.IsValid() || x.status().RouterID.IsValid() {
		t.Error("the neighbour's identifier outlives the session")
	}
}

// Who does not know End-of-RIB is complete when it has been quiet for a while.
func TestANeighbourWithoutEndOfRIBIsCompleteWhenItIsQuiet(t *testing.T) {
	s, x := sessionServer(external("isp"))
	s.peerChanged(event(gobgp.BGP_FSM_ESTABLISHED, noReason, both...), time.Now())
	up := x.changed
	s.quiet = up.Add(10 * time.Second)
	for _, test := range []struct {
		after time.Duration
		want  bool
	}{{quietTime / 2, false}, {10 * time.Second, false}, {10*time.Second + quietTime, false}, {10*time.Second + quietTime + 1, true}} {
		if got := s.settle(up.Add(test.after)); got != test.want || x.complete != test.want {
			t.Errorf("%v after: %v, want %v", test.after, got, test.want)
		}
	}
}

// Words about neighbours that there are not harm nothing.
func TestEventsOfStrangers(t *testing.T) {
	s, x := sessionServer(external("isp"))
	e := event(gobgp.BGP_FSM_ESTABLISHED, noReason)
	e.Peer.State.NeighborAddress = netip.MustParseAddr("203.0.113.99")
	s.peerChanged(e, time.Now())
	s.connectFailed("203.0.113.99", "refused")
	s.connectFailed("nonsense", "refused")
	s.sessionEnded("nonsense", "")
	s.endOfRIB(&apiutil.Path{PeerAddress: netip.MustParseAddr("203.0.113.99")}, time.Now())
	x.open = false // taken from GoBGP already
	s.peerChanged(event(gobgp.BGP_FSM_ESTABLISHED, noReason), time.Now())
	if v := x.status(); v.State != bgp.StateIdle || v.LastError != "" || v.Established != 0 {
		t.Errorf("%+v", v)
	}
}

// What a session cannot go on with, and what it can.
func TestWhichChangesNeedANewSession(t *testing.T) {
	for _, test := range []struct {
		what   string
		change func(n *config.Neighbor)
		anew   bool
	}{
		{"nothing", func(*config.Neighbor) {}, false},
		{"import list", func(n *config.Neighbor) { n.Import.Prefixes = list("198.51.100.0/24") }, false},
		{"local preference", func(n *config.Neighbor) { n.Import.LocalPreference = 5 }, false},
		{"MED", func(n *config.Neighbor) { n.Export.MEDBackup = 5 }, false},
		{"follow", func(n *config.Neighbor) { n.Follow = "gw" }, false},
		{"BFD", func(n *config.Neighbor) { n.BFD = &config.BFDTimers{Multiplier: 3} }, false},
		{"max_prefixes", func(n *config.Neighbor) { n.Import.MaxPrefixes = 5 }, true},
		{"password", func(n *config.Neighbor) { n.Password = "other" }, true},
		{"hold time", func(n *config.Neighbor) { n.HoldTime = 5 * time.Second }, true},
		{"a family", func(n *config.Neighbor) { n.IPv6 = false }, true},
		{"add-path", func(n *config.Neighbor) { n.AddPath = &config.AddPath{Send: 2} }, true},
	} {
		was, is := external("isp"), external("isp")
		test.change(&is)
		if a, b := session0(&was), session0(&is); (!reflect.DeepEqual(a, b)) != test.anew {
			t.Errorf("%s: a new session: %v, want %v", test.what, !test.anew, test.anew)
		}
	}
	for _, test := range []struct {
		peer    string
		was, is int
		want    bool
	}{
		{"fe80::1%wan", 4, 5, true},
		{"fe80::1%wan", 4, 4, false},
		{"fe80::1%wan", 0, 5, false},
		{"fe80::1%wan", 4, 0, false},
		{"203.0.113.1", 4, 5, false},
	} {
		peer := netip.MustParseAddr(test.peer)
		if got := moved(&bgp.Circumstance{Peer: peer, Link: test.was}, &bgp.Circumstance{Peer: peer, Link: test.is}); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

// The neighbour as GoBGP is given it.
func TestANeighbourAsGoBGPTakesIt(t *testing.T) {
	n := external("isp")
	n.Password, n.TTLSecurity, n.HoldTime, n.GracefulRestart = "secret", true, 30*time.Second, true
	n.Import.MaxPrefixes, n.AddPath = 1000, &config.AddPath{Receive: true, Send: 4}
	setup := setupOf(n)
	setup.Config.RestartTime = 2 * time.Minute
	p := peer(&n, &setup.Circumstances[0], setup, true)
	if p.Conf.AuthPassword != "secret" || p.TtlSecurity.GetTtlMin() != 255 || p.EbgpMultihop != nil || p.Conf.PeerAsn != 4200000001 {
		t.Errorf("%v", p)
	}
	if c := p.Timers.Config; c.HoldTime != 30 || c.KeepaliveInterval != 10 {
		t.Errorf("timers %v", c)
	}
	if g := p.GracefulRestart; !g.Enabled || g.RestartTime != 120 || !g.LocalRestarting {
		t.Errorf("graceful restart %v", g)
	}
	if len(p.AfiSafis) != 2 {
		t.Fatalf("families %v", p.AfiSafis)
	}
	for _, a := range p.AfiSafis {
		if a.PrefixLimits.GetMaxPrefixes() != 1000 || !a.AddPaths.Config.Receive || a.AddPaths.Config.SendMax != 4 || !a.MpGracefulRestart.Config.Enabled {
			t.Errorf("family %v", a)
		}
	}
	n = external("far")
	n.Multihop, n.Passive, n.LocalAddress, n.HoldTime, n.IPv6 = 5, true, netip.MustParseAddr("192.0.2.1"), 3*time.Second, false
	p = peer(&n, &setup.Circumstances[0], setup, false)
	if p.EbgpMultihop.GetMultihopTtl() != 5 || p.TtlSecurity != nil || !p.Transport.PassiveMode || p.Transport.LocalAddress != "192.0.2.1" ||
		p.Timers.Config.KeepaliveInterval != 1 || len(p.AfiSafis) != 1 || p.AfiSafis[0].PrefixLimits != nil || p.GracefulRestart != nil {
		t.Errorf("%v", p)
	}
}
