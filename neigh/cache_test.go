package neigh

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vrouter/packet"
)

var (
	start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

	macA = packet.MAC{2, 0, 0, 0, 0, 0xa}
	macB = packet.MAC{2, 0, 0, 0, 0, 0xb}
	none = packet.MAC{}

	host4 = Key{0, netip.MustParseAddr("192.0.2.100")}
	host6 = Key{1, netip.MustParseAddr("2001:db8:1::64")}
)

// show writes an action as one short line.
func show(a Action) string {
	switch a := a.(type) {
	case Solicit:
		if !a.MAC.IsZero() {
			return fmt.Sprintf("probe %v at %v", a.Key.Addr, a.MAC)
		}
		return fmt.Sprintf("solicit %v", a.Key.Addr)
	case Update:
		if !a.Reachable {
			return fmt.Sprintf("gone %v", a.Key.Addr)
		}
		return fmt.Sprintf("update %v to %v", a.Key.Addr, a.MAC)
	case Send:
		return fmt.Sprintf("send %v: %s", a.Key.Addr, frames(a.Waiting))
	case Fail:
		return fmt.Sprintf("fail %v: %s", a.Key.Addr, frames(a.Waiting))
	}
	return fmt.Sprintf("%T%+v", a, a)
}

func frames(waiting []Waiting) string {
	var names []string
	for _, w := range waiting {
		names = append(names, string(w.Frame))
	}
	return strings.Join(names, " ")
}

func showAll(actions []Action) []string {
	lines := []string{}
	for _, a := range actions {
		lines = append(lines, show(a))
	}
	return lines
}

// bench drives a cache in simulated time.
type bench struct {
	t   *testing.T
	c   *Cache
	now time.Time
}

func newBench(t *testing.T, cfg Config) *bench { return &bench{t, New(cfg), start} }

// want compares what a call returned.
func (b *bench) want(got []Action, want ...string) {
	b.t.Helper()
	if lines := showAll(got); !slices.Equal(lines, want) {
		b.t.Fatalf("at %v:\n got %q\nwant %q", b.now.Sub(start), lines, want)
	}
}

// state checks the state of an entry; "" means that there is none.
func (b *bench) state(key Key, want string, mac packet.MAC) {
	b.t.Helper()
	for e := range b.c.All() {
		if e.Key == key {
			if e.State.String() != want || e.MAC != mac {
				b.t.Fatalf("at %v: %v is %v at %v, want %s at %v", b.now.Sub(start), key.Addr, e.State, e.MAC, want, mac)
			}
			return
		}
	}
	if want != "" {
		b.t.Fatalf("at %v: no entry for %v, want %s", b.now.Sub(start), key.Addr, want)
	}
}

// run lets time pass, calling Advance at each deadline as the driver does, and
// returns what happened as "seconds: action".
func (b *bench) run(d time.Duration) []string {
	b.t.Helper()
	end := b.now.Add(d)
	lines := []string{}
	for {
		due := b.c.Deadline()
		if due.IsZero() || due.After(end) {
			break
		}
		b.now = due
		for _, a := range b.c.Advance(due) {
			lines = append(lines, fmt.Sprintf("%g: %s", due.Sub(start).Seconds(), show(a)))
		}
		if next := b.c.Deadline(); !next.IsZero() && !next.After(due) {
			b.t.Fatalf("after Advance at %v the deadline is %v", due, next)
		}
	}
	b.now = end
	return lines
}

func (b *bench) wantRun(d time.Duration, want ...string) {
	b.t.Helper()
	if got := b.run(d); !slices.Equal(got, want) {
		b.t.Fatalf("in %v until %v:\n got %q\nwant %q", d, b.now.Sub(start), got, want)
	}
}

func pkt(name string) Waiting { return Waiting{Frame: []byte(name)} }

// resolved makes an entry Reachable at macA.
func (b *bench) resolved(key Key) {
	b.t.Helper()
	b.c.Resolve(b.now, key, Waiting{})
	b.c.Learn(b.now, key, macA, Reply)
	b.state(key, "reachable", macA)
}

func TestResolutionSendsWhatWaited(t *testing.T) {
	b := newBench(t, Config{})
	b.want(b.c.Resolve(b.now, host4, pkt("p1")), "solicit 192.0.2.100")
	b.want(b.c.Resolve(b.now, host4, pkt("p2")))
	b.state(host4, "incomplete", none)
	if _, ok := b.c.Lookup(host4); ok {
		t.Error("an incomplete entry has a MAC")
	}
	b.want(b.c.Learn(b.now, host4, macA, Reply), "update 192.0.2.100 to "+macA.String(), "send 192.0.2.100: p1 p2")
	b.state(host4, "reachable", macA)
	if mac, ok := b.c.Lookup(host4); !ok || mac != macA {
		t.Errorf("Lookup: %v, %t", mac, ok)
	}
	// A packet that the workers handed in before they saw the update.
	b.want(b.c.Resolve(b.now, host4, pkt("p3")), "send 192.0.2.100: p3")
}

func TestRFC4861_7_2_2_ThreeSolicitationsThenUnreachable(t *testing.T) {
	b := newBench(t, Config{})
	b.want(b.c.Resolve(b.now, host6, pkt("p1")), "solicit 2001:db8:1::64")
	b.wantRun(10*time.Second,
		"1: solicit 2001:db8:1::64", "2: solicit 2001:db8:1::64", "3: fail 2001:db8:1::64: p1")
	b.state(host6, "", none)
	if !b.c.Deadline().IsZero() || b.c.Len() != 0 {
		t.Errorf("an empty cache has %d entries and the deadline %v", b.c.Len(), b.c.Deadline())
	}
	b.want(b.c.Resolve(b.now, host6, pkt("p2")), "solicit 2001:db8:1::64") // and again
}

func TestRFC4861_7_2_2_TheOldestWaitingPacketIsDropped(t *testing.T) {
	b := newBench(t, Config{MaxWaiting: 2})
	for _, name := range []string{"p1", "p2", "p3", "p4"} {
		b.c.Resolve(b.now, host4, pkt(name))
	}
	b.want(b.c.Learn(b.now, host4, macA, Reply), "update 192.0.2.100 to "+macA.String(), "send 192.0.2.100: p3 p4")
	if n := b.c.Counters()["waiting_dropped"]; n != 2 {
		t.Errorf("%d dropped, want 2", n)
	}
}

func TestBytesOfWaitingPacketsAreLimited(t *testing.T) {
	b := newBench(t, Config{MaxWaitingBytes: 10})
	other := Key{0, netip.MustParseAddr("192.0.2.101")}
	b.c.Resolve(b.now, other, pkt("1234"))
	b.c.Resolve(b.now, host4, pkt("abc"))
	b.c.Resolve(b.now, host4, pkt("def"))
	b.c.Resolve(b.now, host4, pkt("ghij"))             // makes room by dropping abc and def
	b.c.Resolve(b.now, host4, pkt("too long to wait")) // finds none, and takes ghij along
	b.c.Resolve(b.now, host4, pkt("klm"))
	b.want(b.c.Learn(b.now, host4, macA, Reply), "update 192.0.2.100 to "+macA.String(), "send 192.0.2.100: klm")
	b.want(b.c.Learn(b.now, other, macB, Reply), "update 192.0.2.101 to "+macB.String(), "send 192.0.2.101: 1234")
	if b.c.bytes != 0 {
		t.Errorf("%d bytes are still counted", b.c.bytes)
	}
}

// Every evidence in every state, with the entry's MAC, another and none:
// RFC 4861 7.2.3, 7.2.5 and appendix C; RFC 826.
func TestRFC4861_7_2_5_Table(t *testing.T) {
	all := []Evidence{Request, Reply, ReplyNoOverride, Unsolicited, UnsolicitedNoOverride}
	names := []string{"request", "reply S+O", "reply S", "unsolicited O", "unsolicited"}
	type result struct {
		state string
		mac   packet.MAC
	}
	keep := result{}                  // as it was
	table := map[string][3][5]result{ // by state; same MAC, another, none; by evidence
		"incomplete": {
			{{"stale", macA}, {"reachable", macA}, {"reachable", macA}, {"stale", macA}, {"stale", macA}},
			{{"stale", macB}, {"reachable", macB}, {"reachable", macB}, {"stale", macB}, {"stale", macB}},
			{keep, keep, keep, keep, keep},
		},
		"reachable": {
			{keep, keep, keep, keep, keep},
			{{"stale", macB}, {"reachable", macB}, {"stale", macA}, {"stale", macB}, {"stale", macA}},
			{keep, keep, keep, keep, keep},
		},
	}
	for _, state := range []string{"stale", "delay", "probe"} {
		table[state] = [3][5]result{
			{keep, {"reachable", macA}, {"reachable", macA}, keep, keep},
			{{"stale", macB}, {"reachable", macB}, keep, {"stale", macB}, keep},
			{keep, {"reachable", macA}, {"reachable", macA}, keep, keep},
		}
	}
	for state, rows := range table {
		for i, mac := range []packet.MAC{macA, macB, none} {
			for j, evidence := range all {
				t.Run(fmt.Sprintf("%s, %v, %s", state, mac, names[j]), func(t *testing.T) {
					b := newBench(t, Config{})
					before := b.enter(host6, state)
					want := rows[i][j]
					if want == keep {
						want = result{state, before}
					}
					actions := b.c.Learn(b.now, host6, mac, evidence)
					b.state(host6, want.state, want.mac)
					if want.mac != before {
						b.want(actions, fmt.Sprintf("update %v to %v", host6.Addr, want.mac))
					} else {
						b.want(actions)
					}
				})
			}
		}
	}
}

// enter brings a new entry into a state, and returns its MAC.
func (b *bench) enter(key Key, state string) packet.MAC {
	b.t.Helper()
	b.c.Resolve(b.now, key, Waiting{})
	switch state {
	case "incomplete":
		return none
	case "reachable":
		b.c.Learn(b.now, key, macA, Reply)
	case "probe":
		b.c.Learn(b.now, key, macA, Reply)
		b.run(30 * time.Second)
	default:
		b.c.Learn(b.now, key, macA, Request)
		if state == "delay" {
			b.c.Resolve(b.now, key, pkt("p"))
		}
	}
	b.state(key, state, macA)
	return macA
}

func TestOnlyARequestToUsCreatesAnEntry(t *testing.T) {
	// RFC 826: the triplet is added only by the target; RFC 4861 7.2.5:
	// no entry is made for an advertisement, 7.2.3: one is for a solicitation.
	b := newBench(t, Config{})
	for _, e := range []Evidence{Reply, ReplyNoOverride, Unsolicited, UnsolicitedNoOverride} {
		b.want(b.c.Learn(b.now, host4, macA, e))
		b.state(host4, "", none)
	}
	b.want(b.c.Learn(b.now, host4, macA, Request), "update 192.0.2.100 to "+macA.String())
	b.state(host4, "stale", macA)
}

func TestAMovedNeighbourIsFollowedAtOnceAndProbed(t *testing.T) {
	b := newBench(t, Config{})
	b.resolved(host4)
	b.want(b.c.Learn(b.now, host4, macB, Unsolicited), "update 192.0.2.100 to "+macB.String())
	b.wantRun(5*time.Second, "5: probe 192.0.2.100 at "+macB.String())
	b.want(b.c.Learn(b.now, host4, macB, Reply))
	b.state(host4, "reachable", macB)
	if n := b.c.Counters()["moved"]; n != 1 {
		t.Errorf("%d moves, want 1", n)
	}
}

func TestAForgedMoveHealsItself(t *testing.T) {
	b := newBench(t, Config{})
	b.resolved(host4)
	b.want(b.c.Learn(b.now, host4, macB, Unsolicited), "update 192.0.2.100 to "+macB.String())
	probe := "probe 192.0.2.100 at " + macB.String()
	b.wantRun(20*time.Second, "5: "+probe, "6: "+probe, "7: "+probe, "8: gone 192.0.2.100")
}

func TestEveryNeighbourIsProbedWhenItsReachableTimeIsOver(t *testing.T) {
	b := newBench(t, Config{})
	b.resolved(host4)
	probe := "probe 192.0.2.100 at " + macA.String()
	b.wantRun(30*time.Second, "30: "+probe)
	b.state(host4, "probe", macA)
	b.want(b.c.Learn(b.now, host4, macA, Reply))
	b.wantRun(30*time.Second, "60: "+probe) // answered: and again
	b.wantRun(10*time.Second, "61: "+probe, "62: "+probe, "63: gone 192.0.2.100")
	b.state(host4, "", none)
}

func TestANeighbourThatOnlyAskedIsProbedSoon(t *testing.T) {
	b := newBench(t, Config{})
	b.c.Learn(b.now, host4, macA, Request)
	b.wantRun(5*time.Second, "5: probe 192.0.2.100 at "+macA.String())
}

func TestRFC4861_7_3_3_APacketToAStaleNeighbourIsSentAndDelaysTheProbe(t *testing.T) {
	b := newBench(t, Config{})
	b.c.Learn(b.now, host4, macA, Request)
	b.run(2 * time.Second)
	b.want(b.c.Resolve(b.now, host4, pkt("p1")), "send 192.0.2.100: p1")
	b.state(host4, "delay", macA)
	b.wantRun(5*time.Second, "7: probe 192.0.2.100 at "+macA.String())
}

func TestReachableTimeIsRandom(t *testing.T) {
	// RFC 4861 6.3.4: uniformly between 0.5 and 1.5 times the base.
	b := newBench(t, Config{Rand: rand.New(rand.NewPCG(1, 2))})
	var shortest, longest time.Duration = time.Hour, 0
	for range 1000 {
		b.c.Learn(b.now, host4, macA, Request)
		b.c.Learn(b.now, host4, macA, Reply)
		d := b.c.Deadline().Sub(b.now)
		shortest, longest = min(shortest, d), max(longest, d)
		b.c.Forget(b.now, 0)
	}
	if shortest < 15*time.Second || shortest > 16*time.Second || longest < 44*time.Second || longest > 45*time.Second {
		t.Errorf("between %v and %v", shortest, longest)
	}
}

func TestNonsenseIsNotLearned(t *testing.T) {
	b := newBench(t, Config{})
	b.resolved(host4)
	for _, c := range []struct {
		key Key
		mac packet.MAC
	}{
		{host4, packet.Broadcast},
		{host4, packet.MAC{1, 0, 0x5e, 0, 0, 18}},
		{host4, none},
		{Key{0, netip.MustParseAddr("224.0.0.18")}, macB},
		{Key{0, netip.MustParseAddr("255.255.255.255")}, macB},
		{Key{0, netip.MustParseAddr("0.0.0.0")}, macB},
		{Key{0, netip.MustParseAddr("::")}, macB},
		{Key{0, netip.MustParseAddr("ff02::1")}, macB},
		{Key{}, macB},
	} {
		b.want(b.c.Learn(b.now, c.key, c.mac, Request))
	}
	if b.c.Len() != 1 || b.c.Counters()["bad"] != 9 {
		t.Errorf("%d entries, counters %v", b.c.Len(), b.c.Counters())
	}
	b.state(host4, "reachable", macA)
	b.want(b.c.Resolve(b.now, Key{0, netip.MustParseAddr("224.0.0.18")}, pkt("p")))
}

func TestLearnable(t *testing.T) {
	own := func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.2") }
	virtual := packet.MAC{0, 0, 0x5e, 0, 1, 10}
	for _, c := range []struct {
		addr string
		mac  packet.MAC
		want bool
	}{
		{"192.0.2.100", macA, true},
		{"192.0.2.1", virtual, true}, // an upstream virtual router
		{"fe80::1", virtual, true},
		{"192.0.2.2", macA, false}, // ours
		{"192.0.2.100", packet.Broadcast, false},
		{"192.0.2.100", none, false},
		{"0.0.0.0", macA, false},
		{"::", macA, false},
		{"ff02::1", macA, false},
	} {
		if got := Learnable(netip.MustParseAddr(c.addr), c.mac, own); got != c.want {
			t.Errorf("%s at %v: %t", c.addr, c.mac, got)
		}
	}
}

func TestForget(t *testing.T) {
	b := newBench(t, Config{})
	hop := Key{0, netip.MustParseAddr("192.0.2.200")}
	b.c.Keep(b.now, hop, true)
	b.c.Learn(b.now, hop, macB, Reply)
	b.resolved(host4)
	b.resolved(host6) // on another port
	b.c.Resolve(b.now, Key{0, netip.MustParseAddr("192.0.2.9")}, pkt("p1"))
	b.want(b.c.Forget(b.now, 0), "gone 192.0.2.100", "gone 192.0.2.200")
	b.state(host6, "reachable", macA)
	b.state(hop, "incomplete", none)
	if b.c.Len() != 2 || b.c.Counters()["waiting_dropped"] != 1 {
		t.Errorf("%d entries, counters %v", b.c.Len(), b.c.Counters())
	}
	b.run(time.Second)
	b.want(b.c.Keep(b.now, hop, true), "solicit 192.0.2.200") // the port is up again
}

func TestAllIsOrdered(t *testing.T) {
	b := newBench(t, Config{})
	for _, i := range rand.New(rand.NewPCG(3, 4)).Perm(50) {
		b.c.Learn(b.now, Key{uint16(i % 3), netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}, macA, Request)
	}
	var last Key
	for e := range b.c.All() {
		if e.Key.Port < last.Port || e.Key.Port == last.Port && !last.Addr.Less(e.Key.Addr) && last.Addr.IsValid() {
			t.Errorf("%v after %v", e.Key, last)
		}
		last = e.Key
	}
	for range b.c.All() {
		break // stops without a panic
	}
}
