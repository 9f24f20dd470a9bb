package router

import (
	"net/netip"
	"strings"
	"time"

	"vrouter/bgp"
)

// toldSession is what a scenario has said of a session.
type toldSession struct{ up, ever bool }

// bgpSession reports the state of one session: bgp NAME STATE rib=yes stale=yes
// error=WORDS; bgp problem=WORDS: there can be none.
func (s *script) bgpSession(w words) {
	report := bgp.Report{Problem: w.value("problem", "")}
	for _, p := range s.router.bgp.peers {
		session := p.session
		if len(w.plain) > 1 && session.Name == w.plain[0] {
			session.State = w.plain[1]
			session.EndOfRIB, session.Stale = w.value("rib", "") != "", w.value("stale", "") != ""
			session.LastError = strings.ReplaceAll(w.value("error", ""), "_", " ")
			was := s.told[session.Name]
			up := session.State == bgp.StateEstablished && session.EndOfRIB || session.Stale && was.up ||
				!s.silent.IsZero() && was.up
			if s.told == nil {
				s.told = map[string]toldSession{}
			}
			s.told[session.Name] = toldSession{up, was.ever || up}
		}
		report.Sessions = append(report.Sessions, session)
	}
	s.turn(s.router.BGPReport(s.now, report))
}

// bgpProcess has the BGP process run, or end: bgpprocess runs|ends
func (s *script) bgpProcess(w words) {
	runs := w.plain[0] == "runs"
	if s.silent = s.now; runs {
		s.silent = time.Time{}
	}
	s.turn(s.router.BGPConnected(s.now, runs, "it was killed"))
}

// bgpRoute has BGP choose a route: bgproute PREFIX via=ADDRESS,... inside=yes
// from=NEIGHBOR,... and for want of it spare=ADDRESS sparefrom=NEIGHBOR; without
// next hops it is withdrawn.
func (s *script) bgpRoute(w words) {
	route := bgp.Route{Prefix: netip.MustParsePrefix(w.plain[0]), External: w.value("inside", "") == ""}
	if via := w.value("via", ""); via != "" {
		for _, hop := range strings.Split(via, ",") {
			route.Hops = append(route.Hops, netip.MustParseAddr(hop))
		}
	}
	if from := w.value("from", ""); from != "" {
		for _, name := range strings.Split(from, ",") {
			route.From = append(route.From, bgp.NeighborID(name))
		}
	}
	if spare := w.value("spare", ""); spare != "" {
		route.Spare = bgp.Spare{
			External: true, Hops: []netip.Addr{netip.MustParseAddr(spare)}, From: []uint32{bgp.NeighborID(w.value("sparefrom", ""))},
		}
	}
	s.turn(s.router.BGPRoutes(s.now, []bgp.Route{route}))
}

// bgpDown says by what the scenario has told, and the words of docs/bgp.md, whether
// what tracks a session must count it as down.
func (s *script) bgpDown(name string) bool {
	t := s.told[name]
	if !t.ever {
		return s.now.Sub(s.start) >= bgpHold
	}
	if !s.silent.IsZero() && !s.now.Before(s.silent.Add(bgpGrace)) {
		return true
	}
	return !t.up
}
