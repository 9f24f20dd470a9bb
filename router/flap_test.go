package router

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vrouter/vrrp"
)

// flapModel is how tracked things come and go, by the words of docs/tracking.md and
// none of the router's code; by "kind name".
type flapModel map[string]*flapping

type flapping struct {
	down, doubted bool
	lost          []time.Time
	back          time.Time
}

// counts reports whether a thing that is down, or is not, counts as down now.
func (m *flapModel) counts(now time.Time, key string, down bool) bool {
	if *m == nil {
		*m = flapModel{}
	}
	f := (*m)[key]
	if f == nil {
		f = &flapping{down: down}
		(*m)[key] = f
	}
	if down && !f.down {
		f.lost, f.doubted = append(f.lost, now), false
	}
	if !down && f.down {
		recent := 0
		for _, at := range f.lost {
			if now.Sub(at) < time.Minute {
				recent++
			}
		}
		f.back, f.doubted = now, recent > 3
	}
	f.down = down
	return down || f.doubted && now.Sub(f.back) < 20*time.Second
}

// flappy tracks a session and the default route that comes by it, and tells the
// neighbours who is Master.
const flappy = `
[[interface]]
name = "lan"
addresses = ["192.0.2.2/24"]

[[interface]]
name = "wan"
addresses = ["203.0.113.2/24"]

[[vrrp]]
name = "gw"
interface = "lan"
vrid = 10
addresses = ["192.0.2.1"]
priority = 200
interval = "100ms"
garp_refresh = "0s"
track = [{ bgp = "isp1", weight = 60 }, { route = "0.0.0.0/0", weight = 20 }]

[bgp]
asn = 65001

[[bgp.neighbor]]
name = "isp1"
address = "203.0.113.1"
asn = 64496
import = { prefixes = ["0.0.0.0/0"] }
export = { prefixes = ["192.0.2.0/24"], med_master = 50, med_backup = 150, prepend_backup = 2 }
follow = "gw"
`

// besideAPeer lets time pass beside a Backup of priority 170 that takes over where
// it may and yields to a better one.
func (s *script) besideAPeer(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); {
		gw := s.router.VirtualRouters()[0]
		if gw.State != vrrp.Master || gw.EffectivePriority < 170 {
			s.run("advert lan priority=170 every=100ms")
		}
		s.run("run 100ms")
	}
}

// announced is what the neighbour is told of mastership now.
func (s *script) announcedAs() bool { return s.router.bgp.setup.Circumstances[0].Backup }

// A session that comes and goes every second, complete each time, and its default
// route with it: mastership, and what the neighbours are told of it, change a few
// times and then no more; and they are as they were when it has stayed.
func TestASessionThatFlapsEverySecondMovesMastershipAFewTimes(t *testing.T) {
	for _, gap := range []time.Duration{200 * time.Millisecond, 500 * time.Millisecond, 800 * time.Millisecond} {
		t.Run(gap.String(), func(t *testing.T) {
			s := newScript(t, flappy)
			comes := func() {
				s.run("bgp isp1 Established rib=yes")
				s.run("bgproute 0.0.0.0/0 via=203.0.113.1 from=isp1")
				s.run("reply wan from=203.0.113.1 target=203.0.113.2 mac=02:00:00:00:00:09")
			}
			goes := func() {
				s.run("bgp isp1 Idle error=hold_timer_expired")
				s.run("bgproute 0.0.0.0/0")
			}
			for _, line := range []string{"up lan", "up wan", "bgpprocess runs"} {
				s.run(line)
			}
			comes()
			s.besideAPeer(5 * time.Second)
			if gw := s.router.VirtualRouters()[0]; gw.State != vrrp.Master || s.announcedAs() {
				t.Fatalf("%v, announces as backup %v: it should be Master before anything flaps", gw.State, s.announcedAs())
			}

			s.trace.Reset()
			changes, was, quiet := 0, s.announcedAs(), s.now
			look := func() {
				if is := s.announcedAs(); is != was {
					changes, was, quiet = changes+1, is, s.now
				}
			}
			const flaps = 300
			began := s.now
			for range flaps {
				goes()
				s.besideAPeer(gap)
				look()
				comes()
				s.besideAPeer(time.Second - gap)
				look()
			}
			moved := strings.Count(s.trace.String(), "event vrrp gw: ")
			priorities := strings.Count(s.trace.String(), "event priority gw: ")
			t.Logf("%d flaps: mastership changed %d times, the priority %d times, the announcements %d times, last after %v",
				flaps, moved, priorities, changes, quiet.Sub(began))
			if moved == 0 || moved > 7 || changes > 7 {
				t.Errorf("%d flaps: mastership changed %d times, the announcements %d times", flaps, moved, changes)
			}
			if priorities > 4*7 {
				t.Errorf("%d flaps: the priority changed %d times", flaps, priorities)
			}
			if quiet.Sub(began) > 10*time.Second {
				t.Errorf("the announcements still changed %v after the first flap", quiet.Sub(began))
			}
			gw := s.router.VirtualRouters()[0]
			if gw.State != vrrp.Backup || !strings.Contains(fmt.Sprint(gw.Terms), "up again, but lost 4 times within 1m0s") {
				t.Errorf("%v, %+v: it should say why it is Backup", gw.State, gw.Terms)
			}
			s.besideAPeer(flapSteady + 5*time.Second)
			if gw := s.router.VirtualRouters()[0]; gw.State != vrrp.Master || s.announcedAs() {
				t.Errorf("%v, announces as backup %v after the session has stayed", gw.State, s.announcedAs())
			}
		})
	}
}

// What goes seldom is believed at once when it is back, in the same turn.
func TestAFewLossesAreNoFlapping(t *testing.T) {
	s := newScript(t, strings.Replace(flappy, `, { route = "0.0.0.0/0", weight = 20 }`, "", 1))
	for _, line := range []string{"up lan", "up wan", "bgpprocess runs", "bgp isp1 Established rib=yes"} {
		s.run(line)
	}
	s.besideAPeer(5 * time.Second)
	for i := range 12 {
		s.run("bgp isp1 Idle error=hold_timer_expired")
		if got := s.router.VirtualRouters()[0].EffectivePriority; got != 140 {
			t.Fatalf("loss %d: priority %d", i, got)
		}
		s.besideAPeer(time.Second)
		s.run("bgp isp1 Established rib=yes")
		if got := s.router.VirtualRouters()[0].EffectivePriority; got != 200 {
			t.Fatalf("loss %d, and back: priority %d", i, got)
		}
		s.besideAPeer(20 * time.Second) // three in a minute
	}
}

// A reload that ends the tracking forgets what has flapped.
func TestWhatIsNotTrackedAnyMoreIsForgotten(t *testing.T) {
	s := newScript(t, flappy)
	for _, line := range []string{"up lan", "up wan", "bgpprocess runs", "bgp isp1 Established rib=yes"} {
		s.run(line)
	}
	if len(s.router.flaps) != 2 {
		t.Errorf("%d things are followed, want 2", len(s.router.flaps))
	}
	s.router.virtual[0].cfg.Track = nil
	s.run("bgp isp1 Idle")
	s.run("bgp isp1 Established rib=yes")
	if len(s.router.flaps) != 0 || !s.router.deadlineFlaps().IsZero() {
		t.Errorf("%d things are followed", len(s.router.flaps))
	}
}
