package router

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"vrouter/config"
	"vrouter/packet"
	"vrouter/vrrp"
)

// What operators do, as commands of the scenarios.
func init() {
	// check NAME ok|bad detail=WORD times=N
	commands["check"] = func(s *script, w words) {
		for range w.number("times", "1") {
			s.turn(s.router.CheckResult(s.now, w.plain[0], w.plain[1] == "ok", w.value("detail", "")))
		}
	}
	// drain on|off
	commands["drain"] = func(s *script, w words) { s.turn(s.router.Drain(s.now, w.plain[0] == "on")) }
	// reload OLD => NEW: the configuration with one piece of text replaced
	commands["reload"] = func(s *script, w words) { s.edit(w.line) }
	// explain NAME: what "show vrrp NAME" says
	commands["explain"] = (*script).explain
}

func (s *script) edit(line string) {
	old, replacement, ok := strings.Cut(line+" ", " => ")
	old, replacement = strings.ReplaceAll(old, `\n`, "\n"), strings.TrimSuffix(replacement, " ")
	replacement = strings.ReplaceAll(replacement, `\n`, "\n")
	if !ok || !strings.Contains(s.config, old) {
		s.t.Fatalf("reload: the configuration has no %q", old)
	}
	text := strings.Replace(s.config, old, replacement, 1)
	cfg, err := config.Parse("script", []byte(text))
	if err != nil {
		s.t.Fatal(err)
	}
	actions, err := s.router.Reconfigure(s.now, cfg)
	if err != nil {
		s.print("error: %v", err)
		return
	}
	s.config = text
	s.turn(actions)
}

func (s *script) explain(w words) {
	for _, v := range s.router.VirtualRouters() {
		if v.Name != w.plain[0] {
			continue
		}
		s.print("%s %v priority %d effective %d", v.Name, v.State, v.Priority, v.EffectivePriority)
		for _, t := range v.Terms {
			s.print("  %s %s weight %d up %v known %v effect %d %s", t.Kind, t.Name, t.Weight, t.Up, t.Known, t.Effect, t.Reason)
		}
		if v.Obstacle != "" {
			s.print("  does not run: %s", v.Obstacle)
		}
		if v.Holding != nil {
			s.print("  holding until %.3f: %s", v.Holding.Until.Sub(s.start).Seconds(), v.Holding.Reason)
		}
		if v.Group != nil {
			s.print("  group %s of %v %s", v.Group.Name, v.Group.Members, v.Group.Waiting)
		}
		s.print("  would win: %v priority %d: %s", v.WouldWin.Address, v.WouldWin.Priority, v.WouldWin.Reason)
		s.print("  if the master died: %s", v.IfMasterDied)
	}
}

// verifyUnity checks groups and effective priorities after each turn, by the
// words of the documentation and none of the router's code.
func (s *script) verifyUnity() {
	s.t.Helper()
	list := s.router.VirtualRouters()
	masters, members, lowest := map[string]int{}, map[string]int{}, map[string]int{}
	own := make([]int, len(list))
	for i, v := range s.router.virtual {
		own[i] = s.expectedPriority(v)
		if g := v.cfg.Group; g != "" && !v.leaving {
			members[g]++
			if list[i].State == vrrp.Master {
				masters[g]++
			}
			if low, ok := lowest[g]; !ok || own[i] < low {
				lowest[g] = own[i]
			}
		}
	}
	for g, n := range masters {
		if yieldAt := groupNamed(s.router.groups, g).yieldAt; s.now.Before(yieldAt) && !yieldAt.After(s.now.Add(yieldPause)) {
			continue // one has heard a better master, and the others wait to hear it, too
		}
		if n != members[g] {
			s.t.Errorf("%v: %d of %d members of group %s are Master", s.now, n, members[g], g)
		}
	}
	for i, v := range s.router.virtual {
		want := own[i]
		if v.leaving {
			continue
		}
		if v.cfg.Group != "" {
			want = lowest[v.cfg.Group]
		}
		if got := int(list[i].EffectivePriority); got != want {
			s.t.Errorf("%v: %s has effective priority %d, want %d", s.now, v.cfg.Name, got, want)
		}
	}
}

// expectedPriority is the priority of a virtual router by what it tracks alone.
func (s *script) expectedPriority(v *virtual) int {
	if v.cfg.Priority == vrrp.PriorityOwner {
		return vrrp.PriorityOwner
	}
	p := int(v.cfg.Priority)
	for _, t := range v.cfg.Track {
		down, key := false, ""
		switch {
		case t.Interface != "":
			for _, f := range s.router.Interfaces() {
				down = down || f.Name == t.Interface && !f.Up
			}
		case t.Check != "":
			for _, c := range s.router.Checks() {
				down = down || c.Name == t.Check && c.State == "down"
			}
		case t.BFD != "":
			key = "bfd " + t.BFD
			for _, b := range s.router.BFDSessions() {
				down = down || slices.Contains(b.Names, t.BFD) && b.Failed
			}
		case t.BGP != "":
			key, down = "bgp "+t.BGP, s.bgpDown(t.BGP)
		default:
			key = "route " + t.Route.String()
			down = !slices.ContainsFunc(s.router.RoutesInUse(), func(r RouteStatus) bool {
				return r.Prefix == t.Route && slices.ContainsFunc(r.NextHops, func(h NextHopStatus) bool { return h.Resolved })
			})
		}
		if key != "" {
			down = s.flapping.counts(s.now, key, down)
		}
		if down {
			p -= int(t.Weight)
		}
	}
	if s.router.drained {
		p = 1
	}
	return max(p, 1)
}

// grouped is two groups over two links, with everything that can be tracked.
const grouped = `
[[interface]]
name = "lan"
addresses = ["192.0.2.2/24", "2001:db8:1::2/64"]

[[interface]]
name = "wan"
addresses = ["203.0.113.2/24"]

[[route]]
to = "0.0.0.0/0"
via = ["203.0.113.1"]

[[check]]
name = "dns"
exec = ["/bin/true"]

[[check]]
name = "web"
tcp = "203.0.113.1:80"
fall = 1
rise = 1

[[vrrp]]
name = "lan4"
interface = "lan"
vrid = 10
addresses = ["192.0.2.1"]
priority = 150
interval = "100ms"
group = "gw"
track = [{ check = "dns", weight = 20 }, { interface = "wan", weight = 60 }]

[[vrrp]]
name = "lan6"
interface = "lan"
vrid = 10
addresses = ["fe80::1", "2001:db8:1::1"]
priority = 140
group = "gw"
preempt_delay = "300ms"

[[vrrp]]
name = "wan4"
interface = "wan"
vrid = 20
addresses = ["203.0.113.254"]
priority = 130
interval = "100ms"
group = "gw"
track = [{ route = "0.0.0.0/0", weight = 100 }, { check = "web", weight = 0 }]

[[vrrp]]
name = "lone"
interface = "lan"
vrid = 11
addresses = ["192.0.2.254"]
interval = "100ms"
track = [{ check = "web", weight = 200 }]
`

// reloads are what a random reload may change, and back.
var reloads = [][2]string{
	{"priority = 150", "priority = 90"},
	{"interval = \"100ms\"\ngroup", "interval = \"50ms\"\ngroup"},
	{"preempt_delay = \"300ms\"", "preempt = false"},
	{"addresses = [\"192.0.2.254\"]", "addresses = [\"192.0.2.253\", \"192.0.2.254\"]"},
	{"vrid = 11", "vrid = 12"},
	{"interval = \"100ms\"\ntrack = [{ check = \"web\", weight = 200 }]", "version = 2"},
	{"priority = 130", "priority = 130 # on its own\ndrain = \"200ms\""},
	{"fall = 1", "fall = 2"},
	{"via = [\"203.0.113.1\"]", "via = [\"203.0.113.9\"]"},
	{"{ interface = \"wan\", weight = 60 }", "{ interface = \"wan\", weight = 0 }"},
	{"group = \"gw\"\ntrack = [{ route", "# alone\ntrack = [{ route"},
}

// TestRandomOperation lets everything happen to a router with groups, tracks
// and reloads: every turn keeps what verify checks, and after it the router
// shows the configuration as one that was started with it would.
func TestRandomOperation(t *testing.T) {
	for seed := range uint64(12) {
		randomOperation(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func randomOperation(t *testing.T, seed uint64) {
	s := newScript(t, grouped)
	rng := rand.New(rand.NewPCG(seed, 2))
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	priority := func() string { return pick("0", "1", "100", "130", "140", "254") }
	s.run("up lan")
	s.run("up wan")
	for range 250 {
		switch rng.IntN(16) {
		case 0:
			s.run(pick("up", "down") + " " + pick("lan", "wan") + " why=x")
		case 1:
			s.run("up " + pick("lan", "wan"))
		case 2, 3, 4, 5:
			s.run("run " + pick("1ms", "40ms", "300ms", "1s", "4s", "11s"))
		case 6:
			s.run("freeze " + pick("10ms", "150ms", "1s"))
		case 7:
			s.run("advert lan vrid=10 every=100ms from=192.0.2.3 priority=" + priority())
		case 8:
			s.run("advert lan vrid=10 from=fe80::3 addresses=fe80::1 priority=" + priority())
		case 9:
			s.run("advert wan vrid=20 every=100ms from=203.0.113.3 priority=" + priority())
		case 10:
			s.run("reply wan from=203.0.113.1 target=203.0.113.2 mac=02:00:00:00:00:09")
		case 11:
			s.run("check dns " + pick("ok", "bad") + " times=" + pick("1", "3"))
		case 12:
			s.run("check web " + pick("ok", "ok", "bad"))
		case 13:
			s.run("switchover " + pick("lan4", "lan6", "wan4", "lone"))
		case 14:
			s.run("drain " + pick("on", "off", "off"))
		case 15:
			s.randomReload(rng)
		}
	}
	s.verifyReloaded()
	s.run("stop")
	s.advance(5 * time.Second)
	if !s.router.Stopped() {
		t.Errorf("not stopped 5 s after Stop")
	}
}

func (s *script) randomReload(rng *rand.Rand) {
	change := reloads[rng.IntN(len(reloads))]
	if strings.Contains(s.config, change[1]) {
		change[0], change[1] = change[1], change[0]
	}
	if strings.Contains(s.config, change[0]) {
		s.print("reload %q => %q", change[0], change[1])
		s.edit(change[0] + " => " + change[1])
	}
}

// verifyReloaded compares the router with one that was started with its
// configuration and has seen the same of its ports, apart from what happened.
func (s *script) verifyReloaded() {
	s.t.Helper()
	s.run("drain off")
	s.advance(time.Minute) // drains are over
	fresh := newScript(s.t, s.config)
	for i, f := range s.router.ifaces {
		fresh.router.PortChanged(fresh.now, uint16(i), f.state)
	}
	got, want := s.shape(), fresh.shape()
	if !reflect.DeepEqual(got, want) {
		s.t.Errorf("after reloads:\n%s\nstarted anew:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// shape is what a router is by its configuration.
func (s *script) shape() []string {
	list := []string{fmt.Sprint("lease ", s.router.LeaseDuration())}
	for i, v := range s.router.VirtualRouters() {
		cfg := *s.router.virtual[i].machine.Config()
		list = append(list, fmt.Sprintf("%+v on %s, group %v, tracks %v, machine %+v", v.Name, v.Interface, v.Group != nil, len(v.Terms), cfg))
	}
	for _, c := range s.router.Checks() {
		list = append(list, fmt.Sprintf("check %s %s %s %d %d", c.Name, c.Kind, c.Target, c.Fall, c.Rise))
	}
	for _, r := range s.router.table.All() {
		if r.Source.String() == "static" || r.Source.String() == "connected" {
			list = append(list, fmt.Sprintf("route %v %v %d hops", r.Prefix, r.Source, len(r.NextHops)))
		}
	}
	for _, f := range s.router.ifaces {
		macs := slices.Clone(f.joined.MACs)
		slices.SortFunc(macs, func(a, b packet.MAC) int { return strings.Compare(a.String(), b.String()) })
		list = append(list, fmt.Sprintf("%s receives %v, is %v", f.cfg.Name, macs, f.addresses))
	}
	return list
}
