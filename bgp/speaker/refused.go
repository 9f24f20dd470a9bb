package speaker

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"vrouter/bgp"
	"vrouter/config"
)

// GoBGP keeps what a neighbour has announced beside what its import policy has let
// in of that, but not why the rest is kept out; and to ask it for what is kept out
// has it judge the whole table anew. So only the one prefix is looked up in both
// tables, and the reason found from the setup: refusal goes through the statements
// that newPolicies has made, in their order.

// announced is a path as a neighbour has announced it, before the import policy.
type announced struct {
	path     *apiutil.Path
	neighbor *config.Neighbor
}

// announcements returns what each neighbour has announced of a prefix, in the order
// of the setup. It costs a lookup for each session, whatever the tables' size.
func (s *server) announcements(prefix netip.Prefix, family gobgp.Family) (list []announced) {
	for _, x := range s.heard() {
		// A neighbour that GoBGP does not have any more has announced nothing.
		_ = s.gobgp.ListPath(apiutil.ListPathRequest{
			TableType: api.TableType_TABLE_TYPE_ADJ_IN, Name: x.circumstance.Peer.String(), Family: family,
			Prefixes: []*apiutil.LookupPrefix{{Prefix: prefix.String(), LookupOption: apiutil.LOOKUP_EXACT}},
		}, func(_ gobgp.NLRI, paths []*apiutil.Path) {
			for _, p := range paths {
				list = append(list, announced{p, x.neighbor})
			}
		})
	}
	return list
}

// heard returns copies of the sessions whose neighbours may have announced
// something, in the order of the setup.
func (s *server) heard() (list []session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.setup.Circumstances {
		x := s.sessions[s.setup.Circumstances[i].Peer.WithZone("")]
		if x != nil && (x.state == bgp.StateEstablished || x.stale) {
			list = append(list, *x)
		}
	}
	return list
}

// rejected returns those of the announcements of a prefix that are not among its
// accepted paths, each with the reason.
func (s *server) rejected(prefix netip.Prefix, announcements []announced, accepted []*apiutil.Path) []bgp.Path {
	s.mu.Lock()
	setup := s.setup
	s.mu.Unlock()
	var list []bgp.Path
	for _, a := range announcements {
		p := a.path
		if slices.ContainsFunc(accepted, func(x *apiutil.Path) bool {
			return x.PeerAddress == p.PeerAddress && x.RemoteID == p.RemoteID
		}) {
			continue
		}
		d := s.describe(prefix, p)
		d.Rejected, d.Reason = true, "not accepted: "+refusal(setup, a.neighbor, &d, p)
		list = append(list, d)
	}
	return list
}

// unexplained is what is said where no statement keeps a path out: between the two
// lookups it was let in or withdrawn, or GoBGP is still judging it by a policy that
// has just changed.
const unexplained = "nothing speaks against it now; it has just come, or what is accepted has just changed"

// refusal says why a path is not accepted from a neighbour.
func refusal(setup *bgp.Setup, n *config.Neighbor, d *bgp.Path, p *apiutil.Path) string {
	asn := setup.Config.ASN
	switch {
	case bgp.Martian(d.Prefix):
		return "no network has such addresses (martian)"
	case hasAS(p, asn):
		return fmt.Sprintf("AS loop: our own AS %d is in its path", asn)
	case slices.ContainsFunc(setup.Own, func(own netip.Addr) bool { return own.WithZone("") == d.NextHop.WithZone("") }):
		return fmt.Sprintf("its next hop %v is our own address", d.NextHop.WithZone(""))
	case n.Internal(asn) && originator(p) == setup.RouterID:
		return fmt.Sprintf("it is a route of our own that comes back: originator identifier %v (RFC 4456)", setup.RouterID)
	}
	return notListed(setup, n, d.Prefix)
}

// notListed says why a prefix list lets a prefix not pass. All entries let pass, so
// what keeps one out is that none has it; the nearest one is named.
func notListed(setup *bgp.Setup, n *config.Neighbor, prefix netip.Prefix) string {
	family, name := "4", "IPv4"
	if prefix.Addr().Is6() {
		family, name = "6", "IPv6"
	}
	list := families(n, n.Import.Prefixes, setup.Config.ASN)[family]
	if len(list) == 0 && len(n.Import.Prefixes) == 0 {
		return "no import policy (RFC 8212); write import.prefixes of neighbor " + n.Name
	}
	if len(list) == 0 {
		return fmt.Sprintf("no import policy for %s (RFC 8212): import.prefixes of neighbor %s has none of that family", name, n.Name)
	}
	near := -1
	for i, r := range list {
		if r.Prefix.Bits() > prefix.Bits() || !r.Prefix.Contains(prefix.Addr()) {
			continue
		}
		if r.Min <= prefix.Bits() && prefix.Bits() <= r.Max {
			return unexplained
		}
		if near < 0 || r.Prefix.Bits() > list[near].Prefix.Bits() {
			near = i
		}
	}
	if near < 0 {
		return fmt.Sprintf("import.prefixes of neighbor %s has no entry with it", n.Name)
	}
	r := list[near]
	return fmt.Sprintf("import.prefixes of neighbor %s, entry %d: of %v %s pass, not /%d",
		n.Name, 1+slices.Index(n.Import.Prefixes, r), r.Prefix, lengths(r), prefix.Bits())
}

// lengths says which lengths a range has.
func lengths(r config.PrefixRange) string {
	if r.Min == r.Max {
		return fmt.Sprintf("only /%d", r.Min)
	}
	return fmt.Sprintf("/%d to /%d", r.Min, r.Max)
}

// hasAS reports whether a number is in a path, in a set or in sequence.
func hasAS(p *apiutil.Path, asn uint32) bool {
	return slices.ContainsFunc(asPathOf(p).Value, func(segment gobgp.AsPathParamInterface) bool {
		return slices.Contains(segment.GetAS(), asn)
	})
}

// originator is the router that a reflected route comes from (RFC 4456 8); invalid:
// it is not reflected.
func originator(p *apiutil.Path) netip.Addr {
	for _, a := range p.Attrs {
		if o, ok := a.(*gobgp.PathAttributeOriginatorId); ok {
			return o.Value
		}
	}
	return netip.Addr{}
}
