package router

import (
	"fmt"
	"net/netip"
	"reflect"
	"time"

	"vrouter/bgp"
	"vrouter/config"
	"vrouter/rib"
	"vrouter/vrrp"
)

// Speak tells the BGP process what should be; nil: there is to be none.
type Speak struct{ Setup *bgp.Setup }

func (Speak) action() {}

// bgpHold is the longest that a virtual router waits for the routes of all BGP
// neighbours before it preempts a lesser master.
const bgpHold = 30 * time.Second

// bgpGrace is how long a session counts as up after the BGP process has ended:
// so long its successor may take to bring it up again. The routes stay anyway.
const bgpGrace = 20 * time.Second

// speaking is what the router knows of BGP.
type speaking struct {
	setup     *bgp.Setup // as last told
	stale     bool       // something that it says may have changed
	routerID  netip.Addr // chosen once: another one would end all sessions
	connected bool
	problem   string
	peers     []*bgpPeer // in the order of the configuration
	refused   [numRefusals]uint64
}

// bgpPeer is the session with a neighbour, as last reported.
type bgpPeer struct {
	cfg     *config.Neighbor
	session bgp.Session
	known   bool      // it was up once, or has had its time to come up
	knownBy time.Time // zero: it is known
	up      bool      // its routes are there
	grace   time.Time // until then it counts as up although it is not; zero: no
	lost    bool      // the session is gone for good: BGP is about to withdraw its routes
}

// rearrangeBGP brings the sessions in step with the configuration.
func (r *Router) rearrangeBGP(now time.Time) {
	old := r.bgp.peers
	r.bgp.peers, r.bgp.stale = nil, true
	if r.cfg.BGP == nil {
		return
	}
	for i := range r.cfg.BGP.Neighbors {
		n := &r.cfg.BGP.Neighbors[i]
		p := &bgpPeer{cfg: n, knownBy: now.Add(bgpHold), session: bgp.Session{
			Name: n.Name, Address: n.Address, ASN: n.ASN, State: bgp.StateIdle, Follows: n.Follow,
		}}
		for _, o := range old {
			if o.cfg.Name == n.Name && o.cfg.Address == n.Address {
				*p = *o
				p.cfg = n
			}
		}
		r.bgp.peers = append(r.bgp.peers, p)
	}
}

// BGPConnected tells whether there is a BGP process to talk to. While there is
// none, sessions that were up count as up for a while.
func (r *Router) BGPConnected(now time.Time, on bool, why string) []Action {
	r.begin(now)
	if r.bgp.connected == on {
		return r.end(now)
	}
	r.bgp.connected = on
	if !on {
		for _, p := range r.bgp.peers {
			if p.up && p.grace.IsZero() {
				p.grace = now.Add(bgpGrace)
			}
		}
		// Its successor must know that packets still go by its routes.
		r.bgp.stale = true
		r.event(now, Event{Kind: "bgp", Name: "process", From: "running", To: "gone", Reason: why + "; its routes stay meanwhile"})
	} else {
		r.event(now, Event{Kind: "bgp", Name: "process", From: "gone", To: "running"})
	}
	return r.end(now)
}

// BGPReport takes the state of the sessions.
func (r *Router) BGPReport(now time.Time, report bgp.Report) []Action {
	r.begin(now)
	if report.Problem != r.bgp.problem {
		r.bgp.problem = report.Problem
		if report.Problem != "" {
			r.event(now, Event{Kind: "bgp", Name: "process", From: "running", To: "failed", Reason: report.Problem})
		}
	}
	for i := range report.Sessions {
		s := &report.Sessions[i]
		for _, p := range r.bgp.peers {
			if p.cfg.Name == s.Name {
				r.reported(now, p, s)
			}
		}
	}
	return r.end(now)
}

// reported takes the state of one session.
func (r *Router) reported(now time.Time, p *bgpPeer, s *bgp.Session) {
	was := p.session
	p.session = *s
	if (was.State == bgp.StateEstablished) != (s.State == bgp.StateEstablished) && p.grace.IsZero() {
		r.event(now, Event{Kind: "bgp", Name: s.Name, From: was.State, To: s.State, Reason: s.LastError})
	}
	if lost := p.loses(&was); lost != p.lost {
		p.lost, r.bgp.stale = lost, true
	}
	r.judge(now, p)
}

// judge says whether a session is up: its routes are all there, or stay there
// because the neighbour, or the process here, is restarting.
func (r *Router) judge(now time.Time, p *bgpPeer) {
	up := p.session.Ready() || p.up && p.session.Stale
	if up {
		p.grace = time.Time{}
	}
	if !p.grace.IsZero() && p.grace.After(now) {
		return
	}
	if !p.grace.IsZero() && !up {
		r.event(now, Event{
			Kind: "bgp", Name: p.cfg.Name, From: bgp.StateEstablished, To: p.session.State,
			Reason: "not up again with the new BGP process: " + p.session.LastError,
		})
	}
	p.grace = time.Time{}
	known := p.known || up || due(p.knownBy, now)
	if up != p.up || known != p.known {
		p.up, p.known = up, known
		r.unsettled = true
	}
	if known {
		p.knownBy = time.Time{}
	}
}

// advanceBGP ends the time that sessions have had.
func (r *Router) advanceBGP(now time.Time) {
	for _, p := range r.bgp.peers {
		if due(p.knownBy, now) || due(p.grace, now) {
			r.judge(now, p)
		}
	}
}

// deadlineBGP returns when advanceBGP has something to do.
func (r *Router) deadlineBGP() (next time.Time) {
	for _, p := range r.bgp.peers {
		next = earlier(earlier(next, p.knownBy), p.grace)
	}
	return next
}

// bgpTerm is what a virtual router tracks of a neighbour.
func (r *Router) bgpTerm(name string) term {
	t := term{kind: "bgp", name: name}
	for _, p := range r.bgp.peers {
		if p.cfg.Name == name {
			t.up, t.known, t.reason = p.up, p.known, p.reason()
		}
	}
	return t
}

// reason says why a session is not up; empty: it is.
func (p *bgpPeer) reason() string {
	switch s := &p.session; {
	case p.up:
		return ""
	case s.State == bgp.StateEstablished:
		return "still announcing its routes"
	case s.LastError != "":
		return s.State + ": " + s.LastError
	default:
		return s.State
	}
}

// unreadyBGP says whose routes are not there yet; empty: all are.
func (r *Router) unreadyBGP() string {
	for _, p := range r.bgp.peers {
		if !p.up && !p.known {
			return fmt.Sprintf("bgp %s: %s", p.cfg.Name, p.reason())
		}
	}
	return ""
}

// speak tells the BGP process what should be, where that has changed.
func (r *Router) speak() {
	if r.cfg.BGP == nil {
		if r.bgp.setup != nil {
			r.hearAll()
			r.bgp = speaking{}
			r.table.Replace(rib.BGP, nil)
			r.table.Replace(rib.InternalBGP, nil)
			r.dirty = true
			r.do(Speak{})
		}
		return
	}
	if !r.bgp.stale && !r.mastershipMoved() {
		return
	}
	r.bgp.stale = false
	setup := r.bgpSetup()
	if setup != nil {
		r.silence(setup)
	}
	if setup == nil || reflect.DeepEqual(setup, r.bgp.setup) {
		return
	}
	r.bgp.setup = setup
	r.do(Speak{setup})
}

// mastershipMoved reports whether a neighbour must be told other attributes.
func (r *Router) mastershipMoved() bool {
	if r.bgp.setup == nil || len(r.bgp.setup.Circumstances) != len(r.cfg.BGP.Neighbors) {
		return true
	}
	for i := range r.cfg.BGP.Neighbors {
		if r.bgp.setup.Circumstances[i].Backup != r.isBackup(r.cfg.BGP.Neighbors[i].Follow) {
			return true
		}
	}
	return false
}

// isBackup reports whether the virtual router, or a member of the group, is
// not Master.
func (r *Router) isBackup(follow string) bool {
	if follow == "" {
		return false
	}
	for _, v := range r.virtual {
		if (v.cfg.Name == follow || v.cfg.Group == follow) && v.machine.State() != vrrp.Master {
			return true
		}
	}
	return false
}

// bgpSetup is what the BGP process is to know now; nil: not yet everything is
// known that it needs.
func (r *Router) bgpSetup() *bgp.Setup {
	if !r.chooseRouterID() {
		return nil
	}
	s := &bgp.Setup{RouterID: r.bgp.routerID, Config: *r.cfg.BGP}
	for _, p := range r.bgp.peers {
		s.Restarting = s.Restarting || p.up
	}
	for i := range r.cfg.BGP.Neighbors {
		s.Circumstances = append(s.Circumstances, r.circumstance(&r.cfg.BGP.Neighbors[i]))
	}
	for _, f := range r.ifaces {
		for _, p := range f.addresses {
			s.Own = append(s.Own, p.Addr())
		}
	}
	for _, v := range r.virtual {
		s.Own = append(s.Own, v.cfg.Addresses...)
	}
	return s
}

// chooseRouterID takes the configured identifier, else the highest IPv4 address
// of an interface once all interfaces have been looked at, and keeps it.
func (r *Router) chooseRouterID() bool {
	if id := r.cfg.Router.RouterID; id.IsValid() {
		r.bgp.routerID = id
		return true
	}
	if r.bgp.routerID.IsValid() {
		return true
	}
	var highest netip.Addr
	for _, f := range r.ifaces {
		if f.state.Problem == notOpened {
			return false
		}
		for _, p := range f.addresses {
			if a := p.Addr(); a.Is4() && (!highest.IsValid() || highest.Less(a)) {
				highest = a
			}
		}
	}
	if !highest.IsValid() {
		r.bgp.problem = "no router identifier: no interface has an IPv4 address; write router_id in [router]"
		return false
	}
	r.bgp.routerID, r.bgp.problem = highest, ""
	return true
}

// circumstance is how things are for a neighbour.
func (r *Router) circumstance(n *config.Neighbor) bgp.Circumstance {
	c := bgp.Circumstance{Peer: n.Address, Backup: r.isBackup(n.Follow)}
	f := r.linkOf(n.Address)
	if f == nil {
		return c
	}
	c.Interface = f.cfg.Name
	if n.Address.Zone() != "" {
		c.Peer = n.Address.WithZone(f.kernelDevice())
	}
	if !f.state.Up && n.Multihop == 1 {
		c.Down = "interface " + f.cfg.Name + " is down"
		if f.state.Problem != "" {
			c.Down = "interface " + f.cfg.Name + ": " + f.state.Problem
		}
	}
	if f.cfg.HostTAP && c.Down == "" && !f.tap.Up && f.tap.Problem != "" {
		c.Down = "host TAP " + f.kernelDevice() + ": " + f.tap.Problem
	}
	c.Link = f.tap.Index
	if broken := r.brokenBFD(n.Address); broken != "" && n.BFD != nil && c.Down == "" {
		c.Down = broken
	}
	for _, p := range f.addresses {
		switch a := p.Addr(); {
		case a.Is4() && !c.Source4.IsValid():
			c.Source4 = a
		case a.Is6() && !a.IsLinkLocalUnicast() && !c.Source6.IsValid():
			c.Source6 = a
		}
	}
	return c
}

// linkOf returns the interface on whose link an address is, nil for none.
func (r *Router) linkOf(a netip.Addr) *iface {
	for _, f := range r.ifaces {
		if a.Zone() == f.cfg.Name {
			return f
		}
		for _, p := range f.addresses {
			if a.Zone() == "" && p.Contains(a) {
				return f
			}
		}
	}
	return nil
}

// kernelDevice is the device of the host's kernel that has the interface's
// addresses.
func (f *iface) kernelDevice() string {
	if f.cfg.HostAddrs {
		return f.cfg.Device
	}
	return config.HostTAPDevice(f.cfg.Name)
}

// BGPSessions returns the sessions as last reported, and why there are none.
func (r *Router) BGPSessions() (list []bgp.Session, problem string) {
	list = make([]bgp.Session, 0, len(r.bgp.peers))
	for _, p := range r.bgp.peers {
		s := p.session
		if s.Families == nil {
			s.Families = []bgp.Family{}
		}
		if !r.bgp.connected && s.LastError == "" {
			s.LastError = "the BGP process is not running"
		}
		list = append(list, s)
	}
	return list, r.bgp.problem
}
