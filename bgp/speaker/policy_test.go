package speaker

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/osrg/gobgp/v4/api"

	"vrouter/bgp"
	"vrouter/config"
)

func list(text ...string) (ranges []config.PrefixRange) {
	for _, t := range text {
		p := netip.MustParsePrefix(t)
		ranges = append(ranges, config.PrefixRange{Prefix: p, Min: p.Bits(), Max: p.Bits()})
	}
	return ranges
}

// external is a neighbour of another system, with both families.
func external(name string) config.Neighbor {
	return config.Neighbor{Name: name, ASN: 4200000001, Multihop: 1, IPv4: true, IPv6: true, NextHopSelf: true}
}

func internal(name string) config.Neighbor {
	n := external(name)
	n.ASN = 65001
	return n
}

// setupOf has each neighbour at an address of its own, 203.0.113.1 and so on.
func setupOf(neighbors ...config.Neighbor) *bgp.Setup {
	s := &bgp.Setup{RouterID: netip.MustParseAddr("192.0.2.1"), Config: config.BGP{ASN: 65001, Neighbors: neighbors}}
	for i := range neighbors {
		s.Circumstances = append(s.Circumstances, bgp.Circumstance{
			Peer:    netip.AddrFrom4([4]byte{203, 0, 113, byte(i + 1)}),
			Source4: netip.MustParseAddr("203.0.113.100"), Source6: netip.MustParseAddr("2001:db8::100"),
		})
	}
	return s
}

// names are those of the statements about neighbours.
func names(statements []*api.Statement) (list []string) {
	for _, s := range statements {
		if s.Conditions.NeighborSet != nil {
			list = append(list, s.Name)
		}
	}
	return list
}

// find returns the statement of a name.
func find(t *testing.T, statements []*api.Statement, name string) *api.Statement {
	t.Helper()
	i := slices.IndexFunc(statements, func(s *api.Statement) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("no statement %s among %q", name, names(statements))
	}
	return statements[i]
}

// RFC 8212: without a policy nothing is accepted and nothing is announced. In the
// own system, of which it does not speak, all is.
func TestWithoutAPrefixListNothingPasses(t *testing.T) {
	onlyIPv4 := external("four")
	onlyIPv4.IPv6 = false
	onlyIPv4.Import.Prefixes = list("198.51.100.0/24", "2001:db8:7::/48")
	onlyIPv4.Export.Prefixes = list("2001:db8:1::/48")
	for _, test := range []struct {
		what     string
		neighbor config.Neighbor
		in, out  []string
	}{
		{"of another system", external("isp"), nil, []string{"isp-no-default4", "isp-no-default6"}},
		{
			"of the own system", internal("r2"),
			[]string{"r2-in4", "r2-in6"},
			[]string{"r2-no-default4", "r2-out4-external", "r2-out4", "r2-no-default6", "r2-out6-external", "r2-out6"},
		},
		{"a list for a family that it does not have", onlyIPv4, []string{"four-in4"}, []string{"four-no-default4", "four-no-default6"}},
	} {
		p := newPolicies(setupOf(test.neighbor))
		if in, out := names(p.in), names(p.out); !slices.Equal(in, test.in) || !slices.Equal(out, test.out) {
			t.Errorf("%s: accepted by %q, want %q; announced by %q, want %q", test.what, in, test.in, out, test.out)
		}
		for _, s := range p.out {
			if strings.Contains(s.Name, "no-default") && s.Actions.RouteAction != api.RouteAction_ROUTE_ACTION_REJECT {
				t.Errorf("%s: %s accepts", test.what, s.Name)
			}
		}
	}
}

// What is refused from everybody stands before what a neighbour's list lets in.
func TestRefusalsComeFirst(t *testing.T) {
	n := external("isp")
	n.Import.Prefixes = list("0.0.0.0/0")
	s := setupOf(n)
	s.Own = []netip.Addr{netip.MustParseAddr("203.0.113.100"), netip.MustParseAddr("fe80::1%wan")}
	p := newPolicies(s)
	isp := slices.IndexFunc(p.in, func(s *api.Statement) bool { return s.Name == "isp-in4" })
	for _, name := range []string{"martian4", "martian6", "own-next-hop"} {
		i := slices.IndexFunc(p.in, func(s *api.Statement) bool { return s.Name == name })
		if i < 0 || i > isp || p.in[i].Actions.RouteAction != api.RouteAction_ROUTE_ACTION_REJECT {
			t.Errorf("%s is statement %d, the neighbour's %d", name, i, isp)
		}
	}
	if hops := find(t, p.in, "own-next-hop").Conditions.NextHopInList; !slices.Equal(hops, []string{"203.0.113.100", "fe80::1"}) {
		t.Errorf("own next hops %q", hops)
	}
}

// MED and prepending follow mastership; toward the own system nothing is prepended.
func TestAnnouncementsFollowMastership(t *testing.T) {
	for _, test := range []struct {
		what           string
		asn            uint32
		backup         bool
		export         config.Exporting
		prepended, med int64 // 0: not at all
	}{
		{"Master", 64500, false, config.Exporting{PrependBackup: 2, MEDMaster: 50, MEDBackup: 150}, 0, 50},
		{"Backup", 64500, true, config.Exporting{PrependBackup: 2, MEDMaster: 50, MEDBackup: 150}, 2, 150},
		{"Backup that always prepends", 64500, true, config.Exporting{Prepend: 1, PrependBackup: 2}, 3, 0},
		{"Master that always prepends", 64500, false, config.Exporting{Prepend: 1, PrependBackup: 2, MEDBackup: 9}, 1, 0},
		{"Backup, in the own system", 65001, true, config.Exporting{Prepend: 1, PrependBackup: 2, MEDBackup: 9}, 0, 9},
	} {
		n := external("isp")
		n.ASN, n.Export = test.asn, test.export
		n.Export.Prefixes = list("192.0.2.0/24")
		s := setupOf(n)
		s.Circumstances[0].Backup = test.backup
		a := find(t, newPolicies(s).out, "isp-out4").Actions
		if got := int64(a.GetAsPrepend().GetRepeat()); got != test.prepended {
			t.Errorf("%s: %d prepended, want %d", test.what, got, test.prepended)
		}
		if got := a.GetMed().GetValue(); got != test.med || (a.Med != nil) != (test.med > 0) {
			t.Errorf("%s: MED %d, want %d", test.what, got, test.med)
		}
		if p := a.AsPrepend; p != nil && p.Asn != 65001 {
			t.Errorf("%s: %d is prepended", test.what, p.Asn)
		}
	}
}

func TestCommunitiesAreAddedByTheirNumbers(t *testing.T) {
	n := external("isp")
	n.Import = config.Importing{Prefixes: list("0.0.0.0/0"), Communities: []string{"64500:1", "64500:1:2", "no-export"}, LocalPreference: 250}
	n.Export = config.Exporting{Prefixes: list("192.0.2.0/24"), Communities: []string{"blackhole", "graceful-shutdown"}}
	p := newPolicies(setupOf(n))
	in, out := find(t, p.in, "isp-in4").Actions, find(t, p.out, "isp-out4").Actions
	if got := in.Community.Communities; !slices.Equal(got, []string{"64500:1", "65535:65281"}) {
		t.Errorf("import adds %q", got)
	}
	if got := in.LargeCommunity.Communities; !slices.Equal(got, []string{"64500:1:2"}) {
		t.Errorf("import adds the large ones %q", got)
	}
	if in.LocalPref.GetValue() != 250 || out.LocalPref != nil {
		t.Errorf("local preference %v in, %v out", in.LocalPref, out.LocalPref)
	}
	if got := out.Community.Communities; !slices.Equal(got, []string{"65535:666", "65535:0"}) || out.LargeCommunity != nil {
		t.Errorf("export adds %q", got)
	}
	for _, a := range []*api.CommunityAction{in.Community, in.LargeCommunity, out.Community} {
		if a.Type != api.CommunityAction_TYPE_ADD {
			t.Errorf("%v takes away what was there", a)
		}
	}
	for name, number := range wellKnown {
		if got := communityName(number); got != name {
			t.Errorf("%#x is shown as %s, want %s", number, got, name)
		}
	}
	if got := communityName(64500<<16 | 7); got != "64500:7" {
		t.Errorf("shown as %s", got)
	}
}

// The default route of default_originate goes to who is to have it and to nobody
// else, unless it is one of the networks.
func TestTheDefaultRouteIsForWhoIsToHaveIt(t *testing.T) {
	customer, other := external("customer"), external("other")
	customer.Export.DefaultOriginate, customer.Export.MEDMaster = true, 7
	customer.IPv6 = false
	other.Export.Prefixes = []config.PrefixRange{{Prefix: default4, Max: 32}}
	s := setupOf(customer, other)
	if got := own(s); !reflect.DeepEqual(got, map[netip.Prefix]uint32{default4: 0}) {
		t.Errorf("own routes %v", got)
	}
	p := newPolicies(s)
	if a := find(t, p.out, "customer-default4").Actions; a.RouteAction != api.RouteAction_ROUTE_ACTION_ACCEPT || a.Med.GetValue() != 7 {
		t.Errorf("the customer's: %v", a)
	}
	find(t, p.out, "other-no-default4")
	if got, want := names(p.out)[2:], []string{"other-no-default4", "other-out4", "other-no-default6"}; !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
	s.Config.Networks = []netip.Prefix{default4, netip.MustParsePrefix("192.0.2.0/24")}
	if got := own(s); got[default4] != localPreference || len(got) != 2 {
		t.Errorf("as a network: %v", got)
	}
	for _, name := range names(newPolicies(s).out) {
		if name == "other-no-default4" {
			t.Error("the network 0.0.0.0/0 is kept from a neighbour")
		}
	}
}

// The address of a session is no next hop of the other family; toward the own
// system what comes from outside gets ours, and what is reflected keeps its own
// (RFC 4456 10).
func TestNextHopsThatAreAnnounced(t *testing.T) {
	reflected := internal("client")
	reflected.ReflectorClient = true
	keeps := internal("keeps")
	keeps.NextHopSelf = false
	isp := external("isp")
	isp.Export.Prefixes = list("192.0.2.0/24", "2001:db8:1::/48")
	p := newPolicies(setupOf(reflected, keeps, isp, internal("peer")))
	for name, want := range map[string]string{
		"client-out4-external": "self", "client-out4": "", "client-out6": "", "client-out6-external": "2001:db8::100",
		"keeps-out4": "", "keeps-out6": "2001:db8::100",
		"isp-out4": "", "isp-out6": "2001:db8::100",
		"peer-out4-external": "self", "peer-out4": "",
	} {
		hop := find(t, p.out, name).Actions.Nexthop
		got := hop.GetAddress()
		if hop.GetSelf() {
			got = "self"
		}
		if got != want {
			t.Errorf("%s: next hop %q, want %q", name, got, want)
		}
	}
	if slices.Contains(names(p.out), "keeps-out4-external") {
		t.Error("next_hop_self = false, and there is a statement for it")
	}
	six := setupOf(isp)
	six.Circumstances[0].Peer = netip.MustParseAddr("2001:db8::1")
	if hop := find(t, newPolicies(six).out, "isp-out4").Actions.Nexthop.GetAddress(); hop != "203.0.113.100" {
		t.Errorf("IPv4 over IPv6: next hop %q", hop)
	}
}

// What a reload changes for one neighbour is judged anew with that one, in the
// direction it is about.
func TestOnlyWhoseListsChangeIsJudgedAnew(t *testing.T) {
	base := func() *bgp.Setup {
		a, b := external("a"), external("b")
		for _, n := range []*config.Neighbor{&a, &b} {
			n.Import.Prefixes, n.Export.Prefixes = list("198.51.100.0/24"), list("192.0.2.0/24")
		}
		return setupOf(a, b)
	}
	for _, test := range []struct {
		what   string
		change func(s *bgp.Setup)
		anew   string // neighbour and direction
	}{
		{"nothing", func(*bgp.Setup) {}, ""},
		{"import list", func(s *bgp.Setup) { s.Config.Neighbors[0].Import.Prefixes = list("203.0.113.0/24") }, "a in "},
		{"length of an element", func(s *bgp.Setup) { s.Config.Neighbors[0].Import.Prefixes[0].Max = 32 }, "a in "},
		{"local preference", func(s *bgp.Setup) { s.Config.Neighbors[1].Import.LocalPreference = 7 }, "b in "},
		{"export list", func(s *bgp.Setup) { s.Config.Neighbors[1].Export.Prefixes = nil }, "b out "},
		{"communities", func(s *bgp.Setup) { s.Config.Neighbors[1].Export.Communities = []string{"1:1"} }, "b out "},
		{"own addresses", func(s *bgp.Setup) { s.Own = []netip.Addr{netip.MustParseAddr("203.0.113.100")} }, "a in b in "},
		{"mastership without a MED", func(s *bgp.Setup) { s.Circumstances[0].Backup = true }, ""},
	} {
		was, is := base(), base()
		test.change(is)
		before, after := newPolicies(was), newPolicies(is)
		got := ""
		for i := range is.Config.Neighbors {
			x := &session{neighbor: &is.Config.Neighbors[i]}
			if !reflect.DeepEqual(about(before, before.in, x), about(after, after.in, x)) {
				got += x.neighbor.Name + " in "
			}
			if !reflect.DeepEqual(about(before, before.out, x), about(after, after.out, x)) {
				got += x.neighbor.Name + " out "
			}
		}
		if got != test.anew {
			t.Errorf("%s: anew %q, want %q", test.what, got, test.anew)
		}
	}
}

// A prefix list goes to GoBGP as it is, each family in a set of its own.
func TestPrefixListsAsGoBGPTakesThem(t *testing.T) {
	n := external("isp")
	n.Import.Prefixes = []config.PrefixRange{
		{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Min: 8, Max: 24},
		{Prefix: netip.MustParsePrefix("2001:db8::/32"), Min: 48, Max: 48},
		{Prefix: default4, Min: 8, Max: 24},
	}
	p := newPolicies(setupOf(n))
	got := map[string]string{}
	for _, set := range p.sets {
		text := strings.Join(set.List, " ")
		for _, x := range set.Prefixes {
			text += fmt.Sprintf("%s %d-%d, ", x.IpPrefix, x.MaskLengthMin, x.MaskLengthMax)
		}
		got[set.Name] = text
	}
	for name, want := range map[string]string{
		"isp": "203.0.113.1/32", "isp-in4": "10.0.0.0/8 8-24, 0.0.0.0/0 8-24, ", "isp-in6": "2001:db8::/32 48-48, ",
		"default4": "0.0.0.0/0 0-0, ", "default6": "::/0 0-0, ",
	} {
		if got[name] != want {
			t.Errorf("set %s: %q, want %q", name, got[name], want)
		}
	}
}
