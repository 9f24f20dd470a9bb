package speaker

import (
	"slices"
	"testing"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"vrouter/config"
)

var (
	graceful = gobgp.NewCapGracefulRestart(false, false, 120, nil)
	both     = []gobgp.ParameterCapabilityInterface{
		gobgp.NewCapMultiProtocol(gobgp.RF_IPv4_UC), gobgp.NewCapMultiProtocol(gobgp.RF_IPv6_UC),
	}
)

// RFC 4724 3: End-of-RIB is sent to those who have announced the capability. Who
// waited for it in vain would count the session as incomplete for a minute.
func TestEndOfRIBIsWaitedForWhereBothSidesKnowIt(t *testing.T) {
	for _, test := range []struct {
		name         string
		ours, theirs bool
		marks        bool
	}{
		{"both", true, true, true},
		{"we do not", false, true, false},
		{"the neighbour does not", true, false, false},
		{"neither", false, false, false},
	} {
		x := session{neighbor: &config.Neighbor{GracefulRestart: test.ours, IPv4: true}}
		p := &apiutil.PeerState{RemoteCap: slices.Clone(both)}
		if test.theirs {
			p.RemoteCap = append(p.RemoteCap, graceful)
		}
		if x.expect(p); x.marks != test.marks {
			t.Errorf("%s: waited for: %v, want %v", test.name, x.marks, test.marks)
		}
	}
}

// The end of each family that both have is waited for, and of no other.
func TestTheFamiliesThatAreWaitedFor(t *testing.T) {
	for _, test := range []struct {
		name     string
		v4, v6   bool
		remote   []gobgp.ParameterCapabilityInterface
		expected []gobgp.Family
	}{
		{"both have both", true, true, both, []gobgp.Family{gobgp.RF_IPv4_UC, gobgp.RF_IPv6_UC}},
		{"we have IPv6 alone", false, true, both, []gobgp.Family{gobgp.RF_IPv6_UC}},
		{"the neighbour has IPv4 alone", true, true, both[:1], []gobgp.Family{gobgp.RF_IPv4_UC}},
		{"the neighbour says nothing of families", true, false, nil, []gobgp.Family{gobgp.RF_IPv4_UC}},
	} {
		x := session{neighbor: &config.Neighbor{IPv4: test.v4, IPv6: test.v6}}
		if x.expect(&apiutil.PeerState{RemoteCap: test.remote}); !slices.Equal(x.waiting, test.expected) {
			t.Errorf("%s: %v, want %v", test.name, x.waiting, test.expected)
		}
	}
}
