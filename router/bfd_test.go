package router

import (
	"slices"
	"testing"
	"time"
)

// RFC 5880 6.8.1, RFC 5881 3 and 4: one session with each neighbour, by the quickest
// timers that are asked for; discriminators and source ports of their own.
func TestEachNeighbourHasOneBFDSession(t *testing.T) {
	s := newScript(t, `
[[interface]]
name = "wan"
addresses = ["203.0.113.2/24", "2001:db8:2::2/64"]

[[bfd]]
name = "slow"
peer = "203.0.113.1"
interval = "300ms"

[[bfd]]
name = "six"
peer = "2001:db8:2::1"

[bgp]
asn = 65001

[[bgp.neighbor]]
name = "isp"
address = "203.0.113.1"
asn = 64500
bfd = { interval = "50ms", multiplier = 3 }

[[bgp.neighbor]]
name = "other"
address = "203.0.113.9"
asn = 64501
bfd = { interval = "100ms", multiplier = 5 }
`)
	list := s.router.bfd.list
	if len(list) != 3 {
		t.Fatalf("%d sessions, want one for each of three neighbours", len(list))
	}
	if first := list[0]; !slices.Equal(first.names, []string{"slow", "isp"}) || first.timers.Interval != 50*time.Millisecond {
		t.Errorf("the first is of %v every %v", first.names, first.timers.Interval)
	}
	ports, numbers := map[uint16]bool{}, map[uint32]bool{0: true}
	for _, session := range list {
		number := session.machine.Config().Discriminator
		if session.port < 49152 || ports[session.port] || numbers[number] {
			t.Errorf("%v: source port %d, discriminator %d", session.names, session.port, number)
		}
		ports[session.port], numbers[number] = true, true
	}
}
