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

// nth returns the nth address of a /64.
func nth(port uint16, i int) Key {
	return Key{port, netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})}
}

// scan resolves n addresses, rate of them a second, from the nth on.
// It returns the number of solicitations, and of addresses solicited.
func (b *bench) scan(port uint16, from, n, rate int) (solicits, addresses int) {
	b.t.Helper()
	seen := map[Key]bool{}
	for i := range n {
		b.now = b.now.Add(time.Second / time.Duration(rate))
		for _, a := range append(b.c.Advance(b.now), b.c.Resolve(b.now, nth(port, from+i), pkt("scan"))...) {
			switch a := a.(type) {
			case Solicit:
				if a.MAC.IsZero() && a.Key.Port == port {
					solicits++
					seen[a.Key] = true
				}
			case Update:
				b.t.Fatalf("the scan changed %v", a)
			}
		}
	}
	return solicits, len(seen)
}

func TestRFC6583_AScanIsBoundedInEntriesAndSolicitations(t *testing.T) {
	b := newBench(t, Config{Reachable: time.Hour})
	for i := range 100 {
		b.resolved(nth(0, i))
	}
	b.run(time.Second) // the burst is there again
	const seconds = 10
	solicits, addresses := b.scan(0, 1000, seconds*10000, 10000)
	if limit := 500*seconds + 250; solicits > limit || solicits < 400*seconds {
		t.Errorf("%d solicitations in %d s, want up to %d", solicits, seconds, limit)
	}
	// The budget is for those who have not been asked: among them are the
	// hosts that exist.
	if addresses < solicits*9/10 {
		t.Errorf("%d solicitations ask for only %d addresses", solicits, addresses)
	}
	if n := b.c.Len(); n > 100+512 {
		t.Errorf("%d entries", n)
	}
	if b.c.bytes > 512*16*len("scan") {
		t.Errorf("%d bytes wait", b.c.bytes)
	}
	for i := range 100 {
		b.state(nth(0, i), "reachable", macA)
	}
	if b.c.Counters()["refused_rate"] == 0 {
		t.Errorf("counters %v", b.c.Counters())
	}
	// Another port is not affected.
	b.want(b.c.Resolve(b.now, nth(1, 0), pkt("p")), "solicit 2001:db8::")
}

func TestAScanDoesNotStopAHostThatAsks(t *testing.T) {
	b := newBench(t, Config{MaxEntries: 600, Reachable: time.Hour})
	b.scan(0, 1000, 20000, 10000)
	b.c.Learn(b.now, host4, macA, Request)
	b.state(host4, "stale", macA)
	if b.c.Len() > 600 {
		t.Errorf("%d entries", b.c.Len())
	}
}

func TestAFullCacheKeepsWhoAnsweredUs(t *testing.T) {
	b := newBench(t, Config{MaxEntries: 10, Reachable: time.Hour, DelayFirstProbe: time.Hour})
	for i := range 8 {
		b.resolved(nth(0, i))
	}
	b.c.Learn(b.now, nth(0, 8), macA, Request)
	b.c.Learn(b.now, nth(0, 9), macA, Request)
	// A packet to an unknown host evicts nobody who is resolved.
	b.want(b.c.Resolve(b.now, nth(0, 20), pkt("p")))
	// A host that asks takes the place of the one that has been unproven longest.
	b.want(b.c.Learn(b.now, nth(0, 21), macB, Request), "gone 2001:db8::8", "update 2001:db8::15 to "+macB.String())
	b.c.Learn(b.now, nth(0, 9), macA, Reply)
	b.c.Learn(b.now, nth(0, 21), macB, Reply)
	b.want(b.c.Learn(b.now, nth(0, 22), macB, Request)) // all have answered: refused
	if n := b.c.Counters(); n["refused_full"] != 2 || n["evicted"] != 1 || b.c.Len() != 10 {
		t.Errorf("counters %v, %d entries", n, b.c.Len())
	}
	// A next hop always finds a place.
	b.want(b.c.Keep(b.now, nth(0, 30), true), "solicit 2001:db8::1e")
	b.c.Learn(b.now, nth(0, 30), macA, Reply)
	b.want(b.c.Keep(b.now, nth(0, 30), false), "gone 2001:db8::1e") // and gives it back
}

func TestTheOldestUnansweredResolutionGivesWay(t *testing.T) {
	b := newBench(t, Config{MaxIncomplete: 2})
	for i := range 3 {
		b.c.Resolve(b.now, nth(0, i), pkt("p"))
	}
	b.state(nth(0, 0), "", none)
	b.state(nth(0, 1), "incomplete", none)
	b.state(nth(0, 2), "incomplete", none)
	if n := b.c.Counters(); n["evicted"] != 1 || n["waiting_dropped"] != 1 {
		t.Errorf("counters %v", n)
	}
}

func TestFirstProbesArePaced(t *testing.T) {
	// 2,000 entries whose reachable time ends at once: 250 probes, then 500 a
	// second; none is forgotten, all stay in use meanwhile.
	b := newBench(t, Config{})
	for i := range 2000 {
		b.c.Keep(b.now, nth(0, i), true) // unpaced, so that all are in at once
		b.c.Learn(b.now, nth(0, i), macA, Reply)
		b.c.Keep(b.now, nth(0, i), false)
	}
	b.now = b.now.Add(time.Minute)
	probed := map[Key]bool{}
	answer := func(actions []Action) {
		for _, a := range actions {
			if s, ok := a.(Solicit); ok {
				probed[s.Key] = true
				b.c.Learn(b.now, s.Key, s.MAC, Reply)
			}
		}
	}
	answer(b.c.Advance(b.now))
	if len(probed) != 250 {
		t.Errorf("%d probes at once, want 250", len(probed))
	}
	stale := 0
	for e := range b.c.All() {
		if mac, ok := b.c.Lookup(e.Key); !ok || mac != macA {
			t.Errorf("%v is not in use", e)
		}
		if e.State == Stale {
			stale++
		}
	}
	if stale != 1750 {
		t.Errorf("%d entries wait for their probe, want 1750", stale)
	}
	for second := 1; second <= 4; second++ {
		for end := b.now.Add(time.Second); !b.c.Deadline().After(end); {
			b.now = b.c.Deadline()
			answer(b.c.Advance(b.now))
		}
		if want := min(250+500*second, 2000); len(probed) < want-5 || len(probed) > want+5 {
			t.Errorf("%d probed after %d s, want %d", len(probed), second, want)
		}
	}
}

func TestAPlaceInTheQueueOfProbesIsUsedOnce(t *testing.T) {
	b := newBench(t, Config{SolicitRate: 1, SolicitBurst: 1})
	for i := range 3 {
		b.c.Learn(b.now, nth(0, i+1), macA, Request)
	}
	probe := func(key Key) string { return fmt.Sprintf("probe %v at %v", key.Addr, macA) }
	lines := b.run(5 * time.Second)
	var waiting []Key
	for e := range b.c.All() {
		if e.State == Stale {
			waiting = append(waiting, e.Key)
		} else {
			b.c.Learn(b.now, e.Key, macA, Reply)
		}
	}
	if len(lines) != 1 || len(waiting) != 2 {
		t.Fatalf("%q, and %v wait", lines, waiting)
	}
	// A packet does not take the place away.
	b.want(b.c.Resolve(b.now, waiting[0], pkt("p")), fmt.Sprintf("send %v: p", waiting[0].Addr))
	b.state(waiting[0], "stale", macA)
	// An answer makes it void: the next time they queue again.
	b.run(500 * time.Millisecond)
	for _, key := range waiting {
		b.c.Learn(b.now, key, macA, Reply)
	}
	first := map[string]string{}
	for _, line := range b.run(32 * time.Second) {
		at, what, _ := strings.Cut(line, ": ")
		if first[what] == "" {
			first[what] = at
		}
	}
	at := []string{first[probe(waiting[0])], first[probe(waiting[1])]}
	if slices.Sort(at); !slices.Equal(at, []string{"36", "37"}) {
		t.Errorf("first probes at %q", at)
	}
}

func TestKeptNeighbourIsProbedBeforeItGoesStale(t *testing.T) {
	b := newBench(t, Config{})
	b.want(b.c.Keep(b.now, host4, true), "solicit 192.0.2.100")
	b.want(b.c.Keep(b.now, host4, true)) // idempotent while the round lasts
	b.want(b.c.Learn(b.now, host4, macA, Reply), "update 192.0.2.100 to "+macA.String())
	probe := "probe 192.0.2.100 at " + macA.String()
	b.wantRun(15*time.Second, "15: "+probe)
	b.c.Learn(b.now, host4, macA, Reply)
	b.wantRun(15*time.Second, "30: "+probe)
}

func TestKeepingAReachableNeighbourProbesItEarlier(t *testing.T) {
	b := newBench(t, Config{})
	b.resolved(host4)
	b.want(b.c.Keep(b.now, host4, true))
	b.wantRun(16*time.Second, "15: probe 192.0.2.100 at "+macA.String(), "16: probe 192.0.2.100 at "+macA.String())
}

func TestKeptNeighbourIsSolicitedForEverWithBackOff(t *testing.T) {
	b := newBench(t, Config{})
	b.want(b.c.Keep(b.now, host4, true), "solicit 192.0.2.100")
	s := "solicit 192.0.2.100"
	b.wantRun(20*time.Second, "1: "+s, "2: "+s, "3: "+s, "5: "+s, "9: "+s, "14: "+s, "19: "+s)
	if n := b.c.Counters()["unresolved"]; n != 1 {
		t.Errorf("%d failures are counted, want 1", n)
	}
	// A packet that needs it now begins a new round, and fails at its end.
	b.want(b.c.Resolve(b.now, host4, pkt("p1")), s)
	b.wantRun(3*time.Second, "21: "+s, "22: "+s, "23: fail 192.0.2.100: p1", "23: "+s)
	// But packets never make it faster than one a second (RFC 1122 2.3.2.1).
	b.now = b.now.Add(500 * time.Millisecond)
	b.want(b.c.Resolve(b.now, host4, pkt("p2")))
	b.wantRun(500*time.Millisecond, "24: "+s)
	b.want(b.c.Learn(b.now, host4, macA, Reply), "update 192.0.2.100 to "+macA.String(), "send 192.0.2.100: p2")
}

func TestKeptNeighbourThatGoesAwayIsSoughtAtOnce(t *testing.T) {
	b := newBench(t, Config{})
	b.c.Keep(b.now, host4, true)
	b.c.Learn(b.now, host4, macA, Reply)
	probe := "probe 192.0.2.100 at " + macA.String()
	b.wantRun(18*time.Second, "15: "+probe, "16: "+probe, "17: "+probe, "18: gone 192.0.2.100", "18: solicit 192.0.2.100")
	b.state(host4, "incomplete", none)
	// It comes back with another MAC, by gratuitous ARP.
	b.want(b.c.Learn(b.now, host4, macB, Unsolicited), "update 192.0.2.100 to "+macB.String())
}

func TestReleasedNeighbours(t *testing.T) {
	b := newBench(t, Config{MaxIncomplete: 1})
	b.c.Keep(b.now, host4, true)
	b.want(b.c.Keep(b.now, host4, false)) // away, nobody waits: gone
	b.state(host4, "", none)

	b.c.Keep(b.now, host4, true)
	b.c.Resolve(b.now, host4, pkt("p1"))
	b.c.Keep(b.now, host4, false) // somebody waits: an ordinary resolution now
	b.wantRun(10*time.Second, "1: solicit 192.0.2.100", "2: solicit 192.0.2.100", "3: fail 192.0.2.100: p1")
	b.state(host4, "", none)
	b.want(b.c.Keep(b.now, host4, false)) // unknown: nothing
}

func TestCountersAreComplete(t *testing.T) {
	c := New(Config{})
	c.counters = counters{1, 1, 1, 1, 1, 1, 1, 1, 1}
	for name, n := range c.Counters() {
		if n != 1 {
			t.Errorf("%s is not shown", name)
		}
	}
}

// fill makes a cache of n reachable neighbours whose times are spread.
func fill(n int) (*Cache, time.Time) {
	c := New(Config{Rand: rand.New(rand.NewPCG(1, 1)), SolicitRate: 1e6, SolicitBurst: n})
	now := start
	for i := range n {
		c.Resolve(now, nth(0, i), Waiting{})
		c.Learn(now, nth(0, i), macA, Reply)
	}
	return c, now
}

// BenchmarkAdvance is one deadline of a large cache in which every neighbour
// answers: a probe goes out and its answer comes in.
func BenchmarkAdvance(b *testing.B) {
	for _, n := range []int{100, 8192, 16384} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c, _ := fill(n)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				now := c.Deadline()
				for _, a := range c.Advance(now) {
					s := a.(Solicit)
					c.Learn(now, s.Key, s.MAC, Reply)
				}
			}
		})
	}
}

// BenchmarkResolveScan is a packet of a scan that is refused or displaces
// another.
func BenchmarkResolveScan(b *testing.B) {
	c, now := fill(8192)
	frame := make([]byte, 64)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		now = now.Add(100 * time.Microsecond)
		c.Resolve(now, nth(1, i), Waiting{Frame: frame})
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	c, _ := fill(100)
	key := nth(0, 7)
	var mac packet.MAC
	if n := testing.AllocsPerRun(100, func() { mac, _ = c.Lookup(key) }); n != 0 || mac != macA {
		t.Errorf("%v allocations, %v", n, mac)
	}
}
