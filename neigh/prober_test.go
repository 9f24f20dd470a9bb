package neigh

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"vrouter/packet"
)

var (
	own4 = Key{0, netip.MustParseAddr("192.0.2.2")}
	own6 = Key{0, netip.MustParseAddr("2001:db8:1::2")}
)

// probing drives a prober in simulated time and writes what happens as
// "seconds: action".
type probing struct {
	p     *Prober
	now   time.Time
	lines []string
}

func newProbing(cfg ProberConfig) *probing {
	return &probing{p: NewProber(cfg), now: start}
}

func (b *probing) note(actions []Action) {
	for _, a := range actions {
		what := ""
		switch a := a.(type) {
		case SendProbe:
			what = "probe"
		case SendAnnounce:
			what = "announce"
		case Confirmed:
			what = "confirmed"
		case Conflicted:
			what = "conflict " + a.MAC.String()
		}
		b.lines = append(b.lines, fmt.Sprintf("%g: %s", b.now.Sub(start).Seconds(), what))
	}
}

// until lets time pass until so many seconds after the start.
func (b *probing) until(seconds float64) {
	end := start.Add(time.Duration(seconds * float64(time.Second)))
	for due := b.p.Deadline(); !due.IsZero() && !due.After(end); due = b.p.Deadline() {
		b.now = due
		b.note(b.p.Advance(due))
	}
	b.now = end
}

func (b *probing) want(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(b.lines, want) {
		t.Fatalf("\n got %q\nwant %q", b.lines, want)
	}
	b.lines = nil
}

func TestRFC5227_2_1_1_ThreeProbesThenAnnouncements(t *testing.T) {
	b := newProbing(ProberConfig{Key: own4})
	b.note(b.p.Start(b.now))
	if !b.p.Probing() {
		t.Error("not probing after Start")
	}
	b.until(100)
	b.want(t, "0: probe", "1: probe", "2: probe", "4: confirmed", "4: announce", "6: announce")
	if b.p.Probing() || b.p.Duplicate() || !b.p.Deadline().IsZero() {
		t.Error("not at rest once confirmed")
	}
}

func TestRFC5227_2_1_1_DelaysAreRandom(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	spread := func(lowest, highest time.Duration, from []time.Duration) bool {
		margin := (highest - lowest) / 10
		return slices.Min(from) >= lowest && slices.Min(from) < lowest+margin &&
			slices.Max(from) <= highest && slices.Max(from) > highest-margin
	}
	var first, between, last []time.Duration
	for range 500 {
		p := NewProber(ProberConfig{Key: own4, Rand: random})
		p.Start(start)
		t1 := p.Deadline()
		p.Advance(t1)
		t2 := p.Deadline()
		p.Advance(t2)
		t3 := p.Deadline()
		p.Advance(t3)
		first = append(first, t1.Sub(start))
		between = append(between, t2.Sub(t1), t3.Sub(t2))
		last = append(last, p.Deadline().Sub(t3))
	}
	if !spread(0, time.Second, first) || !spread(time.Second, 2*time.Second, between) {
		t.Errorf("first after %v..%v, next after %v..%v", slices.Min(first), slices.Max(first), slices.Min(between), slices.Max(between))
	}
	if slices.Min(last) != announceWait || slices.Max(last) != announceWait {
		t.Errorf("ANNOUNCE_WAIT is %v..%v", slices.Min(last), slices.Max(last))
	}
}

func TestRFC4862_5_4_2_OneSolicitationAndOneSecond(t *testing.T) {
	b := newProbing(ProberConfig{Key: own6})
	b.note(b.p.Start(b.now))
	b.until(100)
	b.want(t, "0: probe", "1: confirmed", "1: announce", "3: announce")
}

func TestAConflictWhileProbingIsLoudAndAnnouncesNothing(t *testing.T) {
	b := newProbing(ProberConfig{Key: own4, MACs: []packet.MAC{macA}})
	b.note(b.p.Start(b.now))
	b.until(0.5)
	b.note(b.p.Conflict(b.now, macB))
	b.note(b.p.Conflict(b.now, macB)) // its second packet
	b.until(60)
	b.want(t, "0: probe", "0.5: conflict "+macB.String())
	if !b.p.Duplicate() || !b.p.Probing() {
		t.Error("not a duplicate after a conflict")
	}
	b.until(60.5) // RFC 5227 2.1.1, RATE_LIMIT_INTERVAL: it tries again
	b.note(b.p.Conflict(b.now, macB))
	b.until(120.5)
	b.want(t, "60.5: probe", "60.5: conflict "+macB.String(), "120.5: probe")
	b.until(200) // the other one has left
	b.want(t, "121.5: probe", "122.5: probe", "124.5: confirmed", "124.5: announce", "126.5: announce")
	if b.p.Duplicate() {
		t.Error("still a duplicate")
	}
}

func TestRFC5227_2_4_DefenceIsOnceInTenSeconds(t *testing.T) {
	b := newProbing(ProberConfig{Key: own4})
	b.note(b.p.Start(b.now))
	b.until(100)
	b.lines = nil
	for at := 100.0; at <= 170; at++ { // a conflict each second
		b.until(at)
		b.note(b.p.Conflict(b.now, macB))
	}
	conflict := "conflict " + macB.String()
	b.want(t,
		"100: "+conflict, "100: announce", "110: announce", "120: announce", "130: announce", "140: announce",
		"150: announce", "160: "+conflict, "160: announce", "170: announce")
	if b.p.Probing() || b.p.Duplicate() {
		t.Error("a confirmed address was given up")
	}
}

func TestAConflictBetweenTheAnnouncementsIsDefended(t *testing.T) {
	b := newProbing(ProberConfig{Key: own6})
	b.note(b.p.Start(b.now))
	b.until(2)
	b.lines = nil
	b.note(b.p.Conflict(b.now, macB))
	b.until(10)
	b.want(t, "2: conflict "+macB.String(), "2: announce", "3: announce")
}

func TestOurOwnPacketsAreNoConflict(t *testing.T) {
	virtual := packet.MAC{0, 0, 0x5e, 0, 1, 10}
	b := newProbing(ProberConfig{Key: own4, MACs: []packet.MAC{macA, virtual}})
	b.note(b.p.Start(b.now))
	b.note(b.p.Conflict(b.now, macA))    // our probe came back from a loop
	b.note(b.p.Conflict(b.now, virtual)) // a backup router answers for its owner
	b.until(5)
	b.want(t, "0: probe", "1: probe", "2: probe", "4: confirmed", "4: announce")
}

func TestStopEndsEverything(t *testing.T) {
	b := newProbing(ProberConfig{Key: own4})
	b.note(b.p.Conflict(b.now, macB)) // before Start
	b.note(b.p.Start(b.now))
	b.until(1.5)
	b.p.Stop()
	b.note(b.p.Conflict(b.now, macB))
	b.until(100)
	b.want(t, "0: probe", "1: probe")
	b.note(b.p.Start(b.now)) // the link came up again
	b.until(105)
	b.want(t, "100: probe", "101: probe", "102: probe", "104: confirmed", "104: announce")
}

// However often others claim the address: events and announcements stay rare,
// and the deadline never lies in the past.
func TestAConflictNeverMakesAFlood(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SampledFrom([]Key{own4, own6}).Draw(t, "key")
		p := NewProber(ProberConfig{Key: key, Rand: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))})
		now := start
		var announced, reported, probes int
		count := func(actions []Action) {
			for _, a := range actions {
				switch a.(type) {
				case SendAnnounce:
					announced++
				case Conflicted:
					reported++
				case SendProbe:
					probes++
				}
			}
		}
		count(p.Start(now))
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			now = drawStep(t, now, p.Deadline())
			count(p.Advance(now))
			if d := p.Deadline(); !d.IsZero() && !d.After(now) {
				t.Fatalf("after Advance at %v the deadline is %v", now, d)
			}
			for range rapid.IntRange(0, 3).Draw(t, "conflicts") {
				count(p.Conflict(now, macB))
			}
		}
		elapsed := now.Sub(start)
		if limit := int(elapsed/reportInterval) + 1; reported > limit {
			t.Fatalf("%d conflicts were reported in %v", reported, elapsed)
		}
		if limit := int(elapsed/defendInterval) + 1 + announceNum; announced > limit {
			t.Fatalf("%d announcements in %v", announced, elapsed)
		}
		if limit := (int(elapsed/retryInterval) + 1) * probeNum; probes > limit {
			t.Fatalf("%d probes in %v", probes, elapsed)
		}
	})
}
