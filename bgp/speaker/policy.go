package speaker

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/osrg/gobgp/v4/api"

	"vrouter/bgp"
	"vrouter/config"
)

// GoBGP has one import and one export policy for all neighbours of a server;
// what holds for one is a statement whose condition is that neighbour. What no
// statement accepts is rejected (RFC 8212).
const (
	importPolicy = "import"
	exportPolicy = "export"
	defaultSet   = "default"
	martianSet   = "martian"
	ownPathSet   = "own-system"
)

// loopsMost is how often our own number may be in a path for GoBGP itself to look
// on: it only ignores a route that loops, and the one that this stands in place of
// stays. A policy that rejects it withdraws that, too (RFC 4271 9.1.2, 9.1.4).
const loopsMost = 255

// policies are the sets and statements of a setup.
type policies struct {
	setup *bgp.Setup
	sets  []*api.DefinedSet
	in    []*api.Statement
	out   []*api.Statement
}

// newPolicies makes the policies of a setup.
func newPolicies(setup *bgp.Setup) *policies {
	p := &policies{setup: setup}
	p.prefixSet(defaultSet+"4", []config.PrefixRange{{Prefix: default4}})
	p.prefixSet(defaultSet+"6", []config.PrefixRange{{Prefix: default6}})
	for _, family := range []string{"4", "6"} {
		p.prefixSet(martianSet+family, martians(family == "4"))
		p.in = append(p.in, statement(martianSet+family, &api.Conditions{PrefixSet: matchAny(martianSet + family)}, reject()))
	}
	p.sets = append(p.sets, &api.DefinedSet{
		DefinedType: api.DefinedType_DEFINED_TYPE_AS_PATH, Name: ownPathSet, List: []string{fmt.Sprintf("_%d_", setup.Config.ASN)},
	})
	p.in = append(p.in, statement(ownPathSet, &api.Conditions{AsPathSet: matchAny(ownPathSet)}, reject()))
	if len(setup.Own) > 0 {
		hops := make([]string, 0, len(setup.Own))
		for _, a := range setup.Own {
			hops = append(hops, a.WithZone("").String())
		}
		// Traffic by such a route would come back to us, again and again.
		p.in = append(p.in, statement("own-next-hop", &api.Conditions{NextHopInList: hops}, reject()))
	}
	p.in = append(p.in, statement("own-networks", &api.Conditions{RouteType: api.Conditions_ROUTE_TYPE_LOCAL}, accept()))
	for i := range setup.Config.Neighbors {
		n, c := &setup.Config.Neighbors[i], &setup.Circumstances[i]
		p.sets = append(p.sets, &api.DefinedSet{
			DefinedType: api.DefinedType_DEFINED_TYPE_NEIGHBOR, Name: n.Name,
			List: []string{hostPrefix(c.Peer).String()},
		})
		p.neighborIn(n)
		p.neighborOut(n, c)
	}
	return p
}

// martians are the ranges of a family in which nobody's routes are.
func martians(is4 bool) (list []config.PrefixRange) {
	for _, m := range bgp.Martians {
		if m.Addr().Is4() == is4 {
			list = append(list, config.PrefixRange{Prefix: m, Min: m.Bits(), Max: m.Addr().BitLen()})
		}
	}
	return list
}

// request is what GoBGP takes for the policies.
func (p *policies) request() *api.SetPoliciesRequest {
	return &api.SetPoliciesRequest{
		DefinedSets: p.sets,
		Policies: []*api.Policy{
			{Name: importPolicy, Statements: p.in},
			{Name: exportPolicy, Statements: p.out},
		},
	}
}

func accept() *api.Actions { return &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_ACCEPT} }
func reject() *api.Actions { return &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_REJECT} }

func statement(name string, c *api.Conditions, a *api.Actions) *api.Statement {
	return &api.Statement{Name: name, Conditions: c, Actions: a}
}

// matchAny is the condition that something is in a set.
func matchAny(set string) *api.MatchSet { return &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: set} }

func hostPrefix(a netip.Addr) netip.Prefix {
	a = a.WithZone("")
	return netip.PrefixFrom(a, a.BitLen())
}

// prefixSet adds a set of prefixes of one family.
func (p *policies) prefixSet(name string, ranges []config.PrefixRange) {
	set := &api.DefinedSet{DefinedType: api.DefinedType_DEFINED_TYPE_PREFIX, Name: name}
	for _, r := range ranges {
		set.Prefixes = append(set.Prefixes, &api.Prefix{
			IpPrefix: r.Prefix.String(), MaskLengthMin: uint32(r.Min), MaskLengthMax: uint32(r.Max),
		})
	}
	p.sets = append(p.sets, set)
}

// families are the prefix lists of a neighbour by family; without a list a
// neighbour of the own system exchanges everything.
func families(n *config.Neighbor, ranges []config.PrefixRange, asn uint32) map[string][]config.PrefixRange {
	m := map[string][]config.PrefixRange{}
	if len(ranges) == 0 && n.Internal(asn) {
		ranges = []config.PrefixRange{{Prefix: default4, Max: 32}, {Prefix: default6, Max: 128}}
	}
	for _, r := range ranges {
		switch {
		case r.Prefix.Addr().Is4() && n.IPv4:
			m["4"] = append(m["4"], r)
		case r.Prefix.Addr().Is6() && n.IPv6:
			m["6"] = append(m["6"], r)
		}
	}
	return m
}

// neighborIn adds what is accepted from a neighbour.
func (p *policies) neighborIn(n *config.Neighbor) {
	lists := families(n, n.Import.Prefixes, p.setup.Config.ASN)
	for _, family := range []string{"4", "6"} {
		if len(lists[family]) == 0 {
			continue
		}
		name := n.Name + "-in" + family
		p.prefixSet(name, lists[family])
		a := accept()
		if n.Import.LocalPreference > 0 {
			a.LocalPref = &api.LocalPrefAction{Value: n.Import.LocalPreference}
		}
		addCommunities(a, n.Import.Communities)
		p.in = append(p.in, statement(name, &api.Conditions{NeighborSet: matchAny(n.Name), PrefixSet: matchAny(name)}, a))
	}
}

// neighborOut adds what is announced to a neighbour, and how.
func (p *policies) neighborOut(n *config.Neighbor, c *bgp.Circumstance) {
	lists := families(n, n.Export.Prefixes, p.setup.Config.ASN)
	for _, family := range []string{"4", "6"} {
		// The default route that is made for some neighbours is for nobody else.
		local := &api.Conditions{
			NeighborSet: matchAny(n.Name), PrefixSet: matchAny(defaultSet + family),
			RouteType: api.Conditions_ROUTE_TYPE_LOCAL,
		}
		switch {
		case n.Export.DefaultOriginate:
			a := p.announce(n, c, family)
			p.out = append(p.out, statement(n.Name+"-default"+family,
				&api.Conditions{NeighborSet: matchAny(n.Name), PrefixSet: matchAny(defaultSet + family)}, a))
		case !p.isNetwork(family):
			p.out = append(p.out, statement(n.Name+"-no-default"+family, local, reject()))
		}
		if len(lists[family]) == 0 {
			continue
		}
		name := n.Name + "-out" + family
		p.prefixSet(name, lists[family])
		if n.Internal(p.setup.Config.ASN) && n.NextHopSelf {
			// What others have announced to us; a route that is reflected keeps its
			// next hop (RFC 4456 10).
			a := p.announce(n, c, family)
			if a.Nexthop == nil {
				a.Nexthop = &api.NexthopAction{Self: true}
			}
			p.out = append(p.out, statement(name+"-external", &api.Conditions{
				NeighborSet: matchAny(n.Name), PrefixSet: matchAny(name), RouteType: api.Conditions_ROUTE_TYPE_EXTERNAL,
			}, a))
		}
		p.out = append(p.out, statement(name,
			&api.Conditions{NeighborSet: matchAny(n.Name), PrefixSet: matchAny(name)}, p.announceOwn(n, c, family)))
	}
}

// isNetwork reports whether the default route is among the networks.
func (p *policies) isNetwork(family string) bool {
	for _, n := range p.setup.Config.Networks {
		if n.Bits() == 0 && n.Addr().Is4() == (family == "4") {
			return true
		}
	}
	return false
}

// announce is how routes are announced to a neighbour.
func (p *policies) announce(n *config.Neighbor, c *bgp.Circumstance, family string) *api.Actions {
	a, asn := accept(), p.setup.Config.ASN
	prepend, med := n.Export.Prepend, n.Export.MEDMaster
	if c.Backup {
		prepend, med = prepend+n.Export.PrependBackup, n.Export.MEDBackup
	}
	if prepend > 0 && !n.Internal(asn) {
		a.AsPrepend = &api.AsPrependAction{Asn: asn, Repeat: uint32(prepend)}
	}
	if med > 0 {
		a.Med = &api.MedAction{Type: api.MedAction_TYPE_REPLACE, Value: int64(med)}
	}
	addCommunities(a, n.Export.Communities)
	// The session's own address is no next hop of the other family.
	switch {
	case family == "6" && c.Peer.Is4() && c.Source6.IsValid():
		a.Nexthop = &api.NexthopAction{Address: c.Source6.WithZone("").String()}
	case family == "4" && c.Peer.Is6() && c.Source4.IsValid():
		a.Nexthop = &api.NexthopAction{Address: c.Source4.String()}
	}
	return a
}

// announceOwn is announce for routes whose next hop is not to be changed in the
// own system.
func (p *policies) announceOwn(n *config.Neighbor, c *bgp.Circumstance, family string) *api.Actions {
	a := p.announce(n, c, family)
	if n.Internal(p.setup.Config.ASN) && n.ReflectorClient {
		a.Nexthop = nil
	}
	return a
}

// addCommunities adds communities, ordinary ones and large ones.
func addCommunities(a *api.Actions, communities []string) {
	var ordinary, large []string
	for _, c := range communities {
		if strings.Count(c, ":") == 2 {
			large = append(large, c)
		} else {
			ordinary = append(ordinary, numeric(c))
		}
	}
	if len(ordinary) > 0 {
		a.Community = &api.CommunityAction{Type: api.CommunityAction_TYPE_ADD, Communities: ordinary}
	}
	if len(large) > 0 {
		a.LargeCommunity = &api.CommunityAction{Type: api.CommunityAction_TYPE_ADD, Communities: large}
	}
}

// wellKnown are the communities that have names, which GoBGP knows only in
// part (RFC 1997, RFC 3765, RFC 7999, RFC 8326).
var wellKnown = map[string]uint32{
	"graceful-shutdown": 0xFFFF0000, "blackhole": 0xFFFF029A, "no-export": 0xFFFFFF01,
	"no-advertise": 0xFFFFFF02, "no-export-subconfed": 0xFFFFFF03, "no-peer": 0xFFFFFF04,
}

// numeric writes a community as two numbers.
func numeric(c string) string {
	if n, ok := wellKnown[c]; ok {
		return fmt.Sprintf("%d:%d", n>>16, n&0xFFFF)
	}
	return c
}

var (
	default4 = netip.MustParsePrefix("0.0.0.0/0")
	default6 = netip.MustParsePrefix("::/0")
)
