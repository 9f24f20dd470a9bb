package speaker

import (
	"context"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	gobgpserver "github.com/osrg/gobgp/v4/pkg/server"
)

// follow has GoBGP tell of routes and sessions, into the table and the sessions,
// for as long as the server runs.
func (s *server) follow(ctx context.Context) error {
	return s.gobgp.WatchEvent(ctx, gobgpserver.WatchEventMessageCallbacks{
		OnBestPath: s.bestPaths, OnPathEor: s.endOfRIB, OnPeerUpdate: s.peerChanged,
	}, gobgpserver.WatchBestPath(true), gobgpserver.WatchEor(true), gobgpserver.WatchPeer())
}

// attach makes a link the one that is told of routes and sessions, from the
// beginning. nil: nobody.
func (s *server) attach(l *link) {
	s.mu.Lock()
	s.link, s.synced = l, false
	s.mu.Unlock()
	if l == nil {
		return
	}
	s.table.again()
	l.follow(s.table)
	s.tell()
}

// bestPaths takes changes of best paths: without multipath each path is the one of
// its prefix now, or says that there is none; with it, one way comes or goes. One
// goroutine of GoBGP's calls it; what it does not take GoBGP keeps without bound.
func (s *server) bestPaths(paths []*apiutil.Path, at time.Time) {
	for _, p := range paths {
		nlri, ok := p.Nlri.(*gobgp.IPAddrPrefix)
		if !ok {
			continue
		}
		prefix := nlri.Prefix.Masked()
		w, ok := s.way(p)
		gone := p.Withdrawal || !ok
		switch {
		case s.multipath:
			s.table.change(prefix, w, gone)
		case gone:
			s.table.set(prefix)
		default:
			w.neighbor, w.id = netip.Addr{}, 0 // of one neighbour there is one
			s.table.set(prefix, w)
		}
	}
	s.mu.Lock()
	s.quiet = time.Now()
	s.changes += len(paths)
	l := s.link
	s.behind = max(s.behind, s.quiet.Sub(at))
	s.mu.Unlock()
	if l != nil {
		l.wake()
	}
}

// way returns a path as the table knows it, and whether it leads anywhere.
func (s *server) way(p *apiutil.Path) (way, bool) {
	w := way{neighbor: p.PeerAddress, id: p.RemoteID, hop: s.hop(p), external: s.external(p)}
	s.mu.Lock()
	if x := s.sessions[p.PeerAddress.WithZone("")]; x != nil {
		w.from = x.number
	}
	s.mu.Unlock()
	return w, w.hop.IsValid()
}

// hop returns a path's next hop; none for a network of our own, to which the
// router has a way without BGP.
func (s *server) hop(p *apiutil.Path) netip.Addr {
	if !p.PeerAddress.IsValid() {
		return netip.Addr{}
	}
	var hop, linkLocal netip.Addr
	for _, a := range p.Attrs {
		switch a := a.(type) {
		case *gobgp.PathAttributeNextHop:
			hop = a.Value
		case *gobgp.PathAttributeMpReachNLRI:
			hop, linkLocal = a.Nexthop, a.LinkLocalNexthop
		}
	}
	hop = hop.Unmap()
	if !linkLocal.IsValid() && p.PeerAddress.Zone() != "" { // a session of the link: who names nobody means itself
		linkLocal = p.PeerAddress.WithZone("")
	}
	if (!hop.IsValid() || hop.IsUnspecified()) && linkLocal.IsValid() {
		hop = linkLocal
	}
	if !hop.IsLinkLocalUnicast() || !hop.Is6() {
		return hop.WithZone("")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.sessions[p.PeerAddress.WithZone("")]; x != nil && x.circumstance.Interface != "" {
		return hop.WithZone(x.circumstance.Interface)
	}
	return netip.Addr{}
}

// external reports whether a path came from another autonomous system. (The
// flag of that name in GoBGP's path is of paths that its API has added.)
func (s *server) external(p *apiutil.Path) bool {
	return p.PeerAddress.IsValid() && p.PeerASN != s.asn
}
