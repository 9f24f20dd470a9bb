package interop

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// reloaded is a router with FRR and BIRD as neighbours, whose configuration changes.
type reloaded struct {
	*vrouter
	f *bgpFRR
	b *bird

	networks   []string
	withoutTwo bool   // BIRD is no neighbour
	two        string // further keys of BIRD
	text       string // what is loaded
}

// shared is what the neighbours may be told of.
const shared = `prefixes = ["192.0.2.0/24", "203.0.113.64/26"]`

func (x *reloaded) config() string {
	neighbors := fmt.Sprintf("[[bgp.neighbor]]\nname = \"frr\"\naddress = %q\nasn = %d\nimport = { prefixes = [\"198.51.100.0/24\"] }\nexport = { %s }\n",
		wanHost4, theirAS, shared)
	if !x.withoutTwo {
		neighbors += fmt.Sprintf("[[bgp.neighbor]]\nname = \"bird\"\naddress = %q\nasn = %d\nimport = { prefixes = [\"198.51.100.0/25\"] }\nexport = { %s }\n%s\n",
			secondHost4, theirAS, shared, x.two)
	}
	return strings.Replace(ownedSpeaker(neighbors), `"192.0.2.0/24", "2001:db8:1::/64"]`+"\n", `"`+strings.Join(x.networks, `", "`)+"\"]\n", 1)
}

// apply loads what the configuration is now.
func (x *reloaded) apply() {
	x.t.Helper()
	next := x.config()
	x.reconfigure(x.text, next)
	x.text = next
}

// told waits until both neighbours, or FRR alone, have these networks of ours and
// no others.
func (x *reloaded) told(networks ...string) {
	x.t.Helper()
	for _, n := range []string{"192.0.2.0/24", "203.0.113.64/26"} {
		want := slices.Contains(networks, n)
		waitFor(x.t, patience, fmt.Sprintf("%s is announced: %t", n, want), func() error {
			route, err := x.f.route(n)
			if err != nil {
				return err
			}
			if got := len(route.Paths) > 0; got != want {
				return fmt.Errorf("FRR has it: %t", got)
			}
			if x.withoutTwo {
				return nil
			}
			out, err := x.b.ask("show", "route") // of one that it has not, it says so by its exit status
			if err != nil {
				return err
			}
			if got := strings.Contains(out, n); got != want {
				return fmt.Errorf("BIRD has it: %t\n%s", got, out)
			}
			return nil
		})
	}
}

// went tests how often the sessions have come up.
func (x *reloaded) went(frr, bird int) {
	x.t.Helper()
	for name, want := range map[string]int{"frr": frr, "bird": bird} {
		if want == 0 {
			continue
		}
		if s, err := x.session(name); err != nil || s.State != "Established" || s.Established != want {
			x.t.Errorf("%s was to come up %d times: %+v, %v", name, want, s, err)
		}
	}
}

// TestReloadsTouchWhatTheyChange: networks are announced and withdrawn while the
// sessions go on; a neighbour that comes, goes or changes leaves the other alone.
func TestReloadsTouchWhatTheyChange(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	second := r.host("second", r.wanNet, secondHost4+"/24")
	x := &reloaded{networks: []string{"192.0.2.0/24"}}
	x.f = r.frrBGP(r.up, frrNeighbor()+frrFamilies)
	x.b = r.bird(second, fmt.Sprintf(`
protocol static far4 { ipv4; route 198.51.100.0/25 unreachable; }
protocol bgp peer {
	local %s as %d;
	neighbor 203.0.113.2 as %d;
	connect delay time 1;
	connect retry time 2;
	error wait time 1, 2;
	ipv4 { import all; export where source = RTS_STATIC; };
}
`, secondHost4, theirAS, ourAS))
	x.text = x.config()
	x.vrouter = r.vrouter("r1", x.text)
	x.start()
	x.waitEstablished("frr")
	x.waitEstablished("bird")
	x.told("192.0.2.0/24")

	x.networks = []string{"192.0.2.0/24", "203.0.113.64/26"}
	x.apply()
	x.told(x.networks...)
	x.networks = []string{"203.0.113.64/26"}
	x.apply()
	x.told(x.networks...)
	x.went(1, 1)

	x.two = `hold_time = "40s"` // which the sides agree on when a session comes up
	x.apply()
	waitFor(t, patience, "BIRD's session is made anew", func() error {
		s, err := x.session("bird")
		if err == nil && (s.State != "Established" || s.Established < 2) {
			err = fmt.Errorf("%+v", s)
		}
		return err
	})
	x.told(x.networks...)
	x.went(1, 2)

	x.withoutTwo = true
	x.apply()
	waitFor(t, patience, "there is no neighbour bird", func() error {
		if _, err := x.session("bird"); err == nil {
			return errors.New("it is still shown")
		}
		out, err := x.b.ask("show", "route")
		if err == nil && strings.Contains(out, "203.0.113.64/26") {
			err = fmt.Errorf("BIRD still has our network:\n%s", out)
		}
		return err
	})
	x.waitRoute("198.51.100.0/25", "bgp")
	x.waitRoute(farRoute4, "bgp", wanHost4)
	x.told(x.networks...)
	x.went(1, 0)

	x.withoutTwo = false
	x.apply()
	x.waitEstablished("bird")
	x.waitRoute("198.51.100.0/25", "bgp", secondHost4)
	x.told(x.networks...)
	x.went(1, 1) // it is a new neighbour
}
