package speaker

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	gobgpserver "github.com/osrg/gobgp/v4/pkg/server"

	"vrouter/bgp"
	"vrouter/config"
)

// server is GoBGP with one setup.
type server struct {
	gobgp  *gobgpserver.BgpServer
	log    *slog.Logger
	began  time.Time
	asn    uint32 // our own
	table  *table // what the router is to know of routes
	census census

	multipath  bool
	restarting bool // neighbours that are added were there before this process

	admin sync.Mutex // held while neighbours are given to GoBGP or taken from it

	mu       sync.Mutex
	setup    *bgp.Setup
	sessions map[netip.Addr]*session // by the neighbour's address, without a zone
	quiet    time.Time               // when routes changed last
	changes  int                     // of routes, since loading was asked last
	behind   time.Duration           // the longest that a change has waited with GoBGP
	link     *link
	turn     uint64             // grows with every session that comes or goes
	synced   bool               // the link has been told that the routes are complete
	ended    context.CancelFunc // of the timer and the watch
}

// newServer starts GoBGP. The error names the remedy.
func newServer(setup *bgp.Setup, log *slog.Logger) (*server, error) {
	s := &server{
		log: log, began: time.Now(), asn: setup.Config.ASN, setup: setup, sessions: map[netip.Addr]*session{},
		table: newTable(), multipath: setup.Config.Multipath,
	}
	level := &slog.LevelVar{}
	level.Set(slog.LevelDebug)
	options := []gobgpserver.ServerOption{
		gobgpserver.LoggerOption(slog.New(&listener{next: log.Handler(), failed: s.connectFailed, ended: s.sessionEnded, over: s.overLimit, up: s.isUp}), level),
	}
	if setup.Config.API != "" {
		options = append(options, gobgpserver.GrpcListenAddress("unix://"+setup.Config.API))
	}
	s.gobgp = gobgpserver.NewBgpServer(options...)
	go s.gobgp.Serve()
	if err := s.start(setup); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.ended = cancel
	if err := s.follow(ctx); err != nil {
		cancel()
		return nil, fmt.Errorf("routes are not followed: %w", err)
	}
	go s.tick(ctx)
	go s.seekSpares(ctx)
	return s, nil
}

// unicast are the families of the tables: IPv4 and IPv6 unicast, by GoBGP's
// numbers of them.
var unicast = []uint32{0, 1}

func (s *server) start(setup *bgp.Setup) error {
	ctx, c := context.Background(), &setup.Config
	err := s.gobgp.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{
		Asn: c.ASN, RouterId: setup.RouterID.String(), ListenPort: gobgp.BGP_PORT,
		Families: unicast, UseMultiplePaths: c.Multipath,
	}})
	if err != nil {
		return fmt.Errorf("TCP port %d: %w; end the program that has it, or grant CAP_NET_BIND_SERVICE", gobgp.BGP_PORT, err)
	}
	if err := s.gobgp.SetPolicies(ctx, newPolicies(setup).request()); err != nil {
		return fmt.Errorf("policies: %w", err)
	}
	for policy, direction := range map[string]api.PolicyDirection{
		importPolicy: api.PolicyDirection_POLICY_DIRECTION_IMPORT,
		exportPolicy: api.PolicyDirection_POLICY_DIRECTION_EXPORT,
	} {
		err := s.gobgp.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
			Name: "global", Direction: direction, DefaultAction: api.RouteAction_ROUTE_ACTION_REJECT,
			Policies: []*api.Policy{{Name: policy}},
		}})
		if err != nil {
			return fmt.Errorf("policy %s: %w", policy, err)
		}
	}
	s.announce(nil, own(setup))
	s.restarting = setup.Restarting
	for i := range c.Neighbors {
		s.add(i)
	}
	s.restarting = false
	return nil
}

// stop ends all sessions; the neighbours are told.
func (s *server) stop() {
	s.ended()
	s.attach(nil)
	if err := s.gobgp.StopBgp(context.Background(), &api.StopBgpRequest{}); err != nil {
		s.log.Debug("BGP did not stop in order", "error", err)
	}
	time.Sleep(farewell) // the connections are closed by goroutines of GoBGP's
}

// farewell is how long the last notifications have to leave.
const farewell = 50 * time.Millisecond

// own are the routes that the router announces as its own. The default route
// of default_originate is the last choice of all, so that one that is learned
// goes before it.
func own(setup *bgp.Setup) map[netip.Prefix]uint32 {
	m := map[netip.Prefix]uint32{}
	for i := range setup.Config.Neighbors {
		n := &setup.Config.Neighbors[i]
		if n.Export.DefaultOriginate && n.IPv4 {
			m[default4] = 0
		}
		if n.Export.DefaultOriginate && n.IPv6 {
			m[default6] = 0
		}
	}
	for _, p := range setup.Config.Networks {
		m[p] = localPreference
	}
	return m
}

// localPreference is what a route has where nobody says otherwise.
const localPreference = 100

// announce changes the routes of our own from one set to another.
func (s *server) announce(was, want map[netip.Prefix]uint32) {
	for p, preference := range was {
		if still, ok := want[p]; !ok || still != preference {
			if err := s.gobgp.DeletePath(apiutil.DeletePathRequest{Paths: []*apiutil.Path{ownPath(p, preference)}}); err != nil {
				s.log.Error("network not withdrawn", "network", p, "error", err)
			}
		}
	}
	for p, preference := range want {
		if already, ok := was[p]; !ok || already != preference {
			if _, err := s.gobgp.AddPath(apiutil.AddPathRequest{Paths: []*apiutil.Path{ownPath(p, preference)}}); err != nil {
				s.log.Error("network not announced", "network", p, "error", err)
			}
		}
	}
}

// ownPath is a network of our own; its unspecified next hop becomes the
// session's address.
func ownPath(p netip.Prefix, preference uint32) *apiutil.Path {
	nlri, _ := gobgp.NewIPAddrPrefix(p) // a valid prefix
	origin := gobgp.NewPathAttributeOrigin(gobgp.BGP_ORIGIN_ATTR_TYPE_IGP)
	local := gobgp.NewPathAttributeLocalPref(preference)
	path := &apiutil.Path{Family: gobgp.RF_IPv4_UC, Nlri: nlri, Age: time.Now().Unix()}
	if p.Addr().Is4() {
		hop, _ := gobgp.NewPathAttributeNextHop(netip.IPv4Unspecified())
		path.Attrs = []gobgp.PathAttributeInterface{origin, hop, local}
		return path
	}
	path.Family = gobgp.RF_IPv6_UC
	reach, _ := gobgp.NewPathAttributeMpReachNLRI(gobgp.RF_IPv6_UC, []gobgp.PathNLRI{{NLRI: nlri}}, netip.IPv6Unspecified())
	path.Attrs = []gobgp.PathAttributeInterface{origin, reach, local}
	return path
}

// add starts a neighbour of the setup.
func (s *server) add(i int) {
	n, c := &s.setup.Config.Neighbors[i], &s.setup.Circumstances[i]
	x := &session{neighbor: n, circumstance: c, state: bgp.StateIdle, number: bgp.NeighborID(n.Name)}
	s.mu.Lock()
	s.sessions[c.Peer.WithZone("")] = x
	s.mu.Unlock()
	if c.Down != "" {
		x.lastError = c.Down
		return
	}
	s.open(x)
}

// open gives GoBGP a neighbour.
func (s *server) open(x *session) {
	err := s.gobgp.AddPeer(context.Background(), &api.AddPeerRequest{
		Peer: peer(x.neighbor, x.circumstance, s.setup, s.restarting),
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.open = err == nil; err != nil {
		x.lastError = err.Error()
	}
}

// close takes a neighbour from GoBGP. Its session is ended first: what GoBGP reads
// of a neighbour while it is taken away would stay in the table for ever.
func (s *server) close(x *session) {
	if !x.open {
		return
	}
	x.open = false
	ctx, address := context.Background(), x.circumstance.Peer.String()
	if err := s.gobgp.DisablePeer(ctx, &api.DisablePeerRequest{Address: address}); err != nil {
		s.log.Error("session not ended", "neighbor", x.neighbor.Name, "error", err)
	}
	for over := time.Now().Add(endTime); s.established(address) && time.Now().Before(over); {
		time.Sleep(endPoll)
	}
	if err := s.gobgp.DeletePeer(ctx, &api.DeletePeerRequest{Address: address}); err != nil {
		s.log.Error("neighbour not removed", "neighbor", x.neighbor.Name, "error", err)
	}
}

// How long a session may take to end, with a million routes, and how often that is
// looked at.
const (
	endTime = time.Minute
	endPoll = 2 * time.Millisecond
)

// established reports whether GoBGP has a session with a neighbour.
func (s *server) established(address string) (yes bool) {
	err := s.gobgp.ListPeer(context.Background(), &api.ListPeerRequest{Address: address}, func(p *api.Peer) {
		yes = p.GetState().GetSessionState() == api.PeerState_SESSION_STATE_ESTABLISHED
	})
	return err == nil && yes
}

// deferral is how long a restarting speaker waits for its neighbours' routes
// before it announces its own (RFC 4724 4.1).
const deferral = 10

// connectRetry is the pause between attempts to connect, in seconds; GoBGP
// draws three quarters to all of it.
const connectRetry = 3

// peer is a neighbour as GoBGP wants it.
func peer(n *config.Neighbor, c *bgp.Circumstance, setup *bgp.Setup, restarting bool) *api.Peer {
	p := &api.Peer{
		Conf: &api.PeerConf{
			NeighborAddress: c.Peer.String(), PeerAsn: n.ASN, AuthPassword: n.Password, Description: n.Name,
			AllowOwnAsn: loopsMost,
		},
		Timers: &api.Timers{Config: &api.TimersConfig{
			HoldTime: uint64(n.HoldTime / time.Second), KeepaliveInterval: uint64(max(n.HoldTime/3/time.Second, 1)),
			ConnectRetry: connectRetry, IdleHoldTimeAfterReset: 1,
		}},
		Transport:      &api.Transport{PassiveMode: n.Passive},
		RouteReflector: &api.RouteReflector{RouteReflectorClient: n.ReflectorClient},
	}
	if n.LocalAddress.IsValid() {
		p.Transport.LocalAddress = n.LocalAddress.String()
	}
	if n.Multihop > 1 {
		p.EbgpMultihop = &api.EbgpMultihop{Enabled: true, MultihopTtl: uint32(n.Multihop)}
	}
	if n.TTLSecurity {
		p.TtlSecurity = &api.TtlSecurity{Enabled: true, TtlMin: 255}
	}
	if n.GracefulRestart {
		p.GracefulRestart = &api.GracefulRestart{
			Enabled: true, RestartTime: uint32(setup.Config.RestartTime / time.Second), DeferralTime: deferral,
			LocalRestarting: restarting,
		}
	}
	if n.IPv4 {
		p.AfiSafis = append(p.AfiSafis, family(n, api.Family_AFI_IP))
	}
	if n.IPv6 {
		p.AfiSafis = append(p.AfiSafis, family(n, api.Family_AFI_IP6))
	}
	return p
}

func family(n *config.Neighbor, afi api.Family_Afi) *api.AfiSafi {
	f := &api.Family{Afi: afi, Safi: api.Family_SAFI_UNICAST}
	a := &api.AfiSafi{
		Config:            &api.AfiSafiConfig{Family: f, Enabled: true},
		MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: n.GracefulRestart}},
	}
	if n.Import.MaxPrefixes > 0 {
		a.PrefixLimits = &api.PrefixLimit{Family: f, MaxPrefixes: n.Import.MaxPrefixes, ShutdownThresholdPct: 90}
	}
	if n.AddPath != nil {
		a.AddPaths = &api.AddPaths{Config: &api.AddPathsConfig{Receive: n.AddPath.Receive, SendMax: uint32(n.AddPath.Send)}}
	}
	return a
}

// change takes another setup. ErrAnew: GoBGP cannot in a running process.
func (s *server) change(setup *bgp.Setup) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	was, c := s.setup, &setup.Config
	if was.RouterID != setup.RouterID || was.Config.ASN != c.ASN || was.Config.Multipath != c.Multipath ||
		was.Config.API != c.API || was.Config.MemoryLimit != c.MemoryLimit {
		s.log.Info("what is changed needs another BGP process")
		return ErrAnew
	}
	s.mu.Lock()
	s.setup = setup
	s.mu.Unlock()
	before := newPolicies(was)
	after := newPolicies(setup)
	changed := before.request().String() != after.request().String()
	if changed {
		if err := s.gobgp.SetPolicies(context.Background(), after.request()); err != nil {
			s.log.Error("policies not changed", "error", err)
			return ErrAnew
		}
	}
	s.announce(own(was), own(setup))
	kept := s.rearrange(was, setup)
	if changed {
		s.refresh(before, after, kept)
	}
	s.tell()
	return nil
}

// rearrange brings the neighbours in step with the setup and returns those
// whose session goes on.
func (s *server) rearrange(was, setup *bgp.Setup) (kept []*session) {
	old := map[netip.Addr]int{}
	for i := range was.Circumstances {
		old[was.Circumstances[i].Peer.WithZone("")] = i
	}
	for i := range setup.Config.Neighbors {
		n, c := &setup.Config.Neighbors[i], &setup.Circumstances[i]
		key := c.Peer.WithZone("")
		j, known := old[key]
		delete(old, key)
		if !known {
			s.add(i)
			continue
		}
		x := s.sessions[key]
		same := reflect.DeepEqual(session0(&was.Config.Neighbors[j]), session0(n)) && was.Circumstances[j].Peer == c.Peer &&
			was.Config.RestartTime == setup.Config.RestartTime && !moved(&was.Circumstances[j], c)
		s.mu.Lock()
		x.neighbor, x.circumstance, x.number = n, c, bgp.NeighborID(n.Name)
		s.mu.Unlock()
		x.limited = x.limited && same
		switch {
		case x.limited:
		case c.Down != "" && x.open:
			s.down(x, c.Down)
		case c.Down != "":
		case !x.open:
			s.open(x)
		case !same:
			s.close(x)
			s.open(x)
		default:
			kept = append(kept, x)
		}
	}
	for key := range old {
		s.close(s.sessions[key])
		s.mu.Lock()
		delete(s.sessions, key)
		s.mu.Unlock()
	}
	return kept
}

// moved reports whether the connection of a link-local neighbour is on a device
// that is not there any more: another one has its name.
func moved(was, is *bgp.Circumstance) bool {
	return is.Peer.Zone() != "" && was.Link != 0 && is.Link != 0 && was.Link != is.Link
}

// down ends a session that must not be.
func (s *server) down(x *session, why string) {
	s.close(x)
	s.mu.Lock()
	defer s.mu.Unlock()
	x.lastError, x.changed = why, time.Now()
	x.lost()
	s.turn++
}

// session0 is what of a neighbour cannot be changed without a new session.
func session0(n *config.Neighbor) config.Neighbor {
	c := *n
	c.Import, c.Export, c.Follow, c.NextHopSelf, c.BFD = config.Importing{}, config.Exporting{}, "", false, nil
	c.Import.MaxPrefixes = n.Import.MaxPrefixes
	return c
}

// refresh has routes judged anew where the policies of a neighbour are others.
// GoBGP keeps what was announced to it, so no neighbour is asked again.
func (s *server) refresh(before, after *policies, kept []*session) {
	for _, x := range kept {
		in := !reflect.DeepEqual(about(before, before.in, x), about(after, after.in, x))
		out := !reflect.DeepEqual(about(before, before.out, x), about(after, after.out, x))
		direction := api.ResetPeerRequest_DIRECTION_BOTH
		switch {
		case !in && !out:
			continue
		case !out:
			direction = api.ResetPeerRequest_DIRECTION_IN
		case !in:
			direction = api.ResetPeerRequest_DIRECTION_OUT
		}
		err := s.gobgp.ResetPeer(context.Background(), &api.ResetPeerRequest{
			Address: x.circumstance.Peer.String(), Soft: true, Direction: direction,
		})
		if err != nil {
			s.log.Error("routes not judged anew", "neighbor", x.neighbor.Name, "error", err)
		}
	}
}

// about returns the statements that concern a neighbour, with their sets.
func about(p *policies, statements []*api.Statement, x *session) (list []any) {
	for _, st := range statements {
		set := st.Conditions.NeighborSet
		if set != nil && set.Name != x.neighbor.Name {
			continue
		}
		list = append(list, st.String())
		for _, d := range p.sets {
			if ps := st.Conditions.PrefixSet; ps != nil && d.Name == ps.Name {
				list = append(list, d.String())
			}
		}
	}
	return list
}
