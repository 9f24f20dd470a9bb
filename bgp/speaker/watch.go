package speaker

import (
	"context"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	gobgpserver "github.com/osrg/gobgp/v4/pkg/server"

	"vrouter/bgp"
)

// attach makes a link the one that is told of routes and sessions, from the
// beginning: GoBGP first tells a new watcher all that there is. nil: nobody.
func (s *server) attach(l *link) {
	s.mu.Lock()
	if s.unwatch != nil {
		s.unwatch()
		s.unwatch = nil
	}
	s.link, s.synced = l, false
	s.mu.Unlock()
	if l == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{server: s, link: l, multipath: s.setup.Config.Multipath, ways: map[netip.Prefix][]way{}}
	err := s.gobgp.WatchEvent(ctx, gobgpserver.WatchEventMessageCallbacks{
		OnBestPath: w.bestPaths, OnPathEor: s.endOfRIB, OnPeerUpdate: s.peerChanged,
	}, gobgpserver.WatchBestPath(true), gobgpserver.WatchEor(true), gobgpserver.WatchPeer())
	if err != nil {
		s.log.Error("routes are not followed", "error", err)
	}
	s.mu.Lock()
	s.unwatch = cancel
	s.mu.Unlock()
	s.tell()
}

// watch turns GoBGP's changes of best paths into routes. One goroutine of
// GoBGP's calls it.
type watch struct {
	server    *server
	link      *link
	multipath bool
	ways      map[netip.Prefix][]way // multipath: the paths in use of each prefix
	out       []bgp.Route
}

// way is one of several equal paths.
type way struct {
	neighbor netip.Addr
	id       uint32 // RFC 7911
	hop      netip.Addr
	external bool
}

// bestPaths takes changes: without multipath each path is the one of its
// prefix now, or says that there is none; with it, one way comes or goes.
func (w *watch) bestPaths(paths []*apiutil.Path, _ time.Time) {
	w.out = w.out[:0]
	for _, p := range paths {
		nlri, ok := p.Nlri.(*gobgp.IPAddrPrefix)
		if !ok {
			continue
		}
		prefix := nlri.Prefix.Masked()
		if w.multipath {
			w.out = append(w.out, w.change(prefix, p))
			continue
		}
		r := bgp.Route{Prefix: prefix}
		if hop := w.server.hop(p); !p.Withdrawal && hop.IsValid() {
			r.External, r.Hops = w.server.external(p), []netip.Addr{hop}
		}
		w.out = append(w.out, r)
	}
	w.server.mu.Lock()
	w.server.quiet = time.Now()
	w.server.mu.Unlock()
	w.link.put(w.out)
}

// change adds or removes one way of a prefix and returns the route that there
// is now.
func (w *watch) change(prefix netip.Prefix, p *apiutil.Path) bgp.Route {
	ways := w.ways[prefix]
	kept := ways[:0]
	for _, x := range ways {
		if x.neighbor != p.PeerAddress || x.id != p.RemoteID {
			kept = append(kept, x)
		}
	}
	if hop := w.server.hop(p); !p.Withdrawal && hop.IsValid() {
		kept = append(kept, way{p.PeerAddress, p.RemoteID, hop, w.server.external(p)})
	}
	if len(kept) == 0 {
		delete(w.ways, prefix)
		return bgp.Route{Prefix: prefix}
	}
	w.ways[prefix] = kept
	r := bgp.Route{Prefix: prefix}
	for _, x := range kept {
		r.External = r.External || x.external
		r.Hops = append(r.Hops, x.hop)
	}
	return r
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
