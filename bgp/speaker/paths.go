package speaker

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"vrouter/bgp"
)

// errNoFamily says that a question was about nothing.
var errNoFamily = errors.New("write a prefix, like 198.51.100.0/24")

// paths returns all paths of a prefix, the best first, with why it is; then those
// that were not accepted, with why they were not.
func (s *server) paths(prefix netip.Prefix) ([]bgp.Path, error) {
	if !prefix.IsValid() {
		return nil, errNoFamily
	}
	family := gobgp.RF_IPv4_UC
	if prefix.Addr().Is6() {
		family = gobgp.RF_IPv6_UC
	}
	announcements := s.announcements(prefix.Masked(), family) // first: what comes meanwhile is not taken for rejected
	var all []*apiutil.Path
	err := s.gobgp.ListPath(apiutil.ListPathRequest{
		TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: family,
		Prefixes: []*apiutil.LookupPrefix{{Prefix: prefix.Masked().String(), LookupOption: apiutil.LOOKUP_EXACT}},
	}, func(_ gobgp.NLRI, paths []*apiutil.Path) { all = append(all, paths...) })
	if err != nil {
		return nil, fmt.Errorf("paths of %v: %w", prefix, err)
	}
	list := make([]bgp.Path, 0, len(all))
	for i, p := range all {
		list = append(list, s.describe(prefix.Masked(), p))
		list[i].Selected = i == 0
	}
	s.explain(all, list)
	return append(list, s.rejected(prefix.Masked(), announcements, all)...), nil
}

// describe returns what is known of a path.
func (s *server) describe(prefix netip.Prefix, p *apiutil.Path) bgp.Path {
	d := bgp.Path{
		Prefix: prefix, Neighbor: "local", Address: p.PeerAddress, Best: p.Best, Stale: p.Stale,
		External: s.external(p), Since: time.Unix(p.Age, 0), LocalPreference: localPreference, Communities: []string{},
	}
	s.mu.Lock()
	if x := s.sessions[p.PeerAddress.WithZone("")]; x != nil && p.PeerAddress.IsValid() {
		d.Neighbor = x.neighbor.Name
	}
	s.mu.Unlock()
	for _, a := range p.Attrs {
		switch a := a.(type) {
		case *gobgp.PathAttributeNextHop:
			d.NextHop = a.Value
		case *gobgp.PathAttributeMpReachNLRI:
			d.NextHop = a.Nexthop
		case *gobgp.PathAttributeOrigin:
			d.Origin = originNames[min(int(a.Value), len(originNames)-1)]
		case *gobgp.PathAttributeAsPath:
			d.ASPath = asPath(a)
		case *gobgp.PathAttributeMultiExitDisc:
			d.MED = &a.Value
		case *gobgp.PathAttributeLocalPref:
			d.LocalPreference = a.Value
		case *gobgp.PathAttributeCommunities:
			for _, c := range a.Value {
				d.Communities = append(d.Communities, communityName(c))
			}
		case *gobgp.PathAttributeLargeCommunities:
			for _, c := range a.Values {
				d.Communities = append(d.Communities, c.String())
			}
		}
	}
	return d
}

var originNames = []string{"igp", "egp", "incomplete"}

// asPath writes a path as operators do: numbers, sets in braces.
func asPath(a *gobgp.PathAttributeAsPath) string {
	s := ""
	for _, segment := range a.Value {
		text := fmt.Sprint(segment.GetAS())
		text = text[1 : len(text)-1]
		if segment.GetType() == gobgp.BGP_ASPATH_ATTR_TYPE_SET {
			text = "{" + text + "}"
		}
		if s != "" && text != "" {
			s += " "
		}
		s += text
	}
	return s
}

// communityName writes a community, by its name where it has one.
func communityName(c uint32) string {
	for name, n := range wellKnown {
		if n == c {
			return name
		}
	}
	return fmt.Sprintf("%d:%d", c>>16, c&0xFFFF)
}

// explain says of the first path why it is the best, and of each other what
// the first has over it: the first of the steps of the decision (RFC 4271 9.1.2)
// in which they differ.
func (s *server) explain(all []*apiutil.Path, list []bgp.Path) {
	for i := range list {
		switch {
		case i == 0 && len(list) == 1:
			list[i].Reason = "the only path"
		case i == 0:
			list[i].Reason = decide(all[0], all[1], &list[0], &list[1], "")
		case list[i].Best:
			list[i].Reason = "as good as the best (multipath)"
		default:
			list[i].Reason = decide(all[0], all[i], &list[0], &list[i], "the best has ")
		}
	}
}

// decide names the first step in which a is better than b.
func decide(a, b *apiutil.Path, x, y *bgp.Path, who string) string {
	what := func(step string, one, two any) string {
		return fmt.Sprintf("%s%s (%v, not %v)", who, step, one, two)
	}
	la, lb := pathLen(a), pathLen(b)
	switch {
	case x.LocalPreference != y.LocalPreference:
		return what("the higher local preference", x.LocalPreference, y.LocalPreference)
	case a.PeerAddress.IsValid() != b.PeerAddress.IsValid():
		return who + "its origin here (a network of our own)"
	case la != lb:
		return what("the shorter AS path", la, lb)
	case x.Origin != y.Origin:
		return what("the better origin", x.Origin, y.Origin)
	case firstAS(a) == firstAS(b) && med(x) != med(y):
		return what("the lower MED of the same neighbouring system", med(x), med(y))
	case x.External != y.External:
		return who + "its way out of the own system (eBGP before iBGP)"
	case !x.Since.Equal(y.Since) && x.External:
		return who + "been there longer"
	case a.PeerID != b.PeerID:
		return what("the lower router identifier", a.PeerID, b.PeerID)
	}
	return what("the lower neighbour address", a.PeerAddress, b.PeerAddress)
}

func med(p *bgp.Path) uint32 {
	if p.MED == nil {
		return 0
	}
	return *p.MED
}

func asPathOf(p *apiutil.Path) *gobgp.PathAttributeAsPath {
	i := slices.IndexFunc(p.Attrs, func(a gobgp.PathAttributeInterface) bool {
		return a.GetType() == gobgp.BGP_ATTR_TYPE_AS_PATH
	})
	if i < 0 {
		return &gobgp.PathAttributeAsPath{}
	}
	a, _ := p.Attrs[i].(*gobgp.PathAttributeAsPath)
	return a
}

// pathLen counts as the decision does: a set is one.
func pathLen(p *apiutil.Path) (n int) {
	for _, segment := range asPathOf(p).Value {
		n += segment.ASLen()
	}
	return n
}

// firstAS is the neighbouring system that the path came from; 0: our own.
func firstAS(p *apiutil.Path) uint32 {
	for _, segment := range asPathOf(p).Value {
		if list := segment.GetAS(); len(list) > 0 {
			return list[0]
		}
	}
	return 0
}
