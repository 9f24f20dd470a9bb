package neigh

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"vrouter/packet"
)

// oracle is the cache without limits, heap and queues: a list that is searched
// from end to end, with the rules written down one by one.
type oracle struct {
	cfg     Config
	entries map[Key]*oracleEntry
	out     []string
}

type oracleEntry struct {
	state   State
	mac     packet.MAC
	kept    bool
	tries   int
	asked   time.Time
	due     time.Time
	waiting string
}

func (o *oracle) say(format string, args ...any) { o.out = append(o.out, fmt.Sprintf(format, args...)) }

func (o *oracle) ask(now time.Time, k Key, e *oracleEntry) {
	o.say("solicit %v", k.Addr)
	e.tries++
	e.asked = now
	wait := o.cfg.Retrans
	for i := o.cfg.MulticastTries; i < e.tries; i++ {
		wait = min(2*wait, o.cfg.MaxBackoff)
	}
	e.due = now.Add(wait)
}

func (o *oracle) resolve(now time.Time, k Key, name string) {
	e := o.entries[k]
	if e == nil {
		e = &oracleEntry{waiting: " " + name}
		o.entries[k] = e
		o.ask(now, k, e)
		return
	}
	if e.state == Stale {
		e.state, e.due = Delay, now.Add(o.cfg.DelayFirstProbe)
	}
	if e.state != Incomplete {
		o.say("send %v: %s", k.Addr, name)
		return
	}
	e.waiting += " " + name
	o.again(now, k, e)
}

// again starts a new round for a neighbour that was given up.
func (o *oracle) again(now time.Time, k Key, e *oracleEntry) {
	if e.kept && e.tries >= o.cfg.MulticastTries {
		e.tries = 0
		if e.due = e.asked.Add(o.cfg.Retrans); !e.due.After(now) {
			o.ask(now, k, e)
		}
	}
}

func (o *oracle) keep(now time.Time, k Key, on bool) {
	e := o.entries[k]
	switch {
	case on && e == nil:
		e = &oracleEntry{kept: true}
		o.entries[k] = e
		o.ask(now, k, e)
	case on:
		if half := now.Add(o.cfg.Reachable / 2); !e.kept && e.state == Reachable && half.Before(e.due) {
			e.due = half
		}
		e.kept = true
		if e.state == Incomplete {
			o.again(now, k, e)
		}
	case e != nil && e.kept:
		e.kept = false
		if e.state == Incomplete && e.waiting == "" {
			delete(o.entries, k)
		}
	}
}

func (o *oracle) learn(now time.Time, k Key, mac packet.MAC, ev Evidence) {
	e := o.entries[k]
	if e == nil {
		if ev != Request || mac.IsZero() {
			return
		}
		e = &oracleEntry{}
		o.entries[k] = e
	}
	answer := ev == Reply || ev == ReplyNoOverride
	overrides := ev == Request || ev == Reply || ev == Unsolicited
	if mac.IsZero() && (ev == Request || e.state == Incomplete) {
		return
	}
	if mac.IsZero() {
		mac = e.mac
	}
	switch {
	case e.state != Incomplete && mac != e.mac && !overrides:
		if e.state == Reachable {
			e.state, e.due = Stale, now.Add(o.cfg.DelayFirstProbe)
		}
		return
	case e.state == Incomplete || mac != e.mac:
		e.mac = mac
		o.say("update %v to %v", k.Addr, mac)
		if e.waiting != "" {
			o.say("send %v:%s", k.Addr, e.waiting)
		}
		e.waiting = ""
		e.state, e.due = Stale, now.Add(o.cfg.DelayFirstProbe)
	}
	if answer {
		e.state, e.due = Reachable, now.Add(o.cfg.Reachable)
		if e.kept {
			e.due = now.Add(o.cfg.Reachable / 2)
		}
	}
}

func (o *oracle) forget(now time.Time, port uint16) {
	for k, e := range o.entries {
		if k.Port != port {
			continue
		}
		if e.state != Incomplete {
			o.say("gone %v", k.Addr)
		}
		delete(o.entries, k)
		if e.kept {
			o.entries[k] = &oracleEntry{kept: true, tries: o.cfg.MulticastTries, due: now.Add(o.cfg.MaxBackoff)}
		}
	}
}

func (o *oracle) advance(now time.Time) {
	for k, e := range o.entries {
		if e.due.After(now) {
			continue
		}
		switch {
		case e.state == Incomplete && e.tries < o.cfg.MulticastTries:
			o.ask(now, k, e)
		case e.state == Incomplete:
			if e.waiting != "" {
				o.say("fail %v:%s", k.Addr, e.waiting)
			}
			e.waiting = ""
			if e.kept {
				o.ask(now, k, e)
			} else {
				delete(o.entries, k)
			}
		case e.state == Probe && e.tries == o.cfg.UnicastTries:
			o.say("gone %v", k.Addr)
			delete(o.entries, k)
			if e.kept {
				o.entries[k] = &oracleEntry{kept: true}
				o.ask(now, k, o.entries[k])
			}
		default:
			if e.state != Probe {
				e.tries = 0
			}
			o.say("probe %v at %v", k.Addr, e.mac)
			e.state, e.due = Probe, now.Add(o.cfg.Retrans)
			e.tries++
		}
	}
}

func (o *oracle) deadline() time.Time {
	var first time.Time
	for _, e := range o.entries {
		if first.IsZero() || e.due.Before(first) {
			first = e.due
		}
	}
	return first
}

// drawKey draws one of few neighbours, so that operations meet.
func drawKey(t *rapid.T) Key {
	n := rapid.IntRange(1, 6).Draw(t, "host")
	if n%2 == 0 {
		return Key{uint16(n / 2 % 2), netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})}
	}
	return Key{uint16(n / 2 % 2), netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: byte(n)})}
}

func drawEvidence(t *rapid.T) (packet.MAC, Evidence) {
	return rapid.SampledFrom([]packet.MAC{macA, macA, macB, none}).Draw(t, "mac"),
		Evidence(rapid.IntRange(0, int(UnsolicitedNoOverride)).Draw(t, "evidence"))
}

// drawStep draws how much time passes: often exactly to the deadline.
func drawStep(t *rapid.T, now, deadline time.Time) time.Time {
	if rapid.Bool().Draw(t, "at the deadline") && deadline.After(now) {
		return deadline
	}
	return now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "ms")) * time.Millisecond)
}

func TestTheCacheIsLikeTheOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{MaxWaiting: 1 << 20, SolicitRate: 1e9, SolicitBurst: 1 << 20, MaxIncomplete: 1 << 20}
		c := New(cfg)
		o := &oracle{cfg: c.cfg, entries: map[Key]*oracleEntry{}}
		now, packets := start, 0
		var got []Action
		t.Repeat(map[string]func(*rapid.T){
			"resolve": func(t *rapid.T) {
				k := drawKey(t)
				packets++
				name := fmt.Sprint("p", packets)
				got = c.Resolve(now, k, pkt(name))
				o.resolve(now, k, name)
			},
			"keep": func(t *rapid.T) {
				k, on := drawKey(t), rapid.Bool().Draw(t, "on")
				got = c.Keep(now, k, on)
				o.keep(now, k, on)
			},
			"learn": func(t *rapid.T) {
				k := drawKey(t)
				mac, ev := drawEvidence(t)
				got = c.Learn(now, k, mac, ev)
				o.learn(now, k, mac, ev)
			},
			"forget": func(t *rapid.T) {
				if port := rapid.Uint16Range(0, 9).Draw(t, "port"); port < 2 { // seldom
					got = c.Forget(now, port)
					o.forget(now, port)
				}
			},
			"advance": func(t *rapid.T) {
				now = drawStep(t, now, c.Deadline())
				got = c.Advance(now)
				o.advance(now)
			},
			"": func(t *rapid.T) {
				lines := showAll(got)
				slices.Sort(lines)
				slices.Sort(o.out)
				if !slices.Equal(lines, o.out) {
					t.Fatalf("actions:\n got %q\nwant %q", lines, o.out)
				}
				got, o.out = nil, nil
				o.compare(t, c)
			},
		})
	})
}

// compare checks that both hold the same entries.
func (o *oracle) compare(t *rapid.T, c *Cache) {
	if c.Len() != len(o.entries) || !c.Deadline().Equal(o.deadline()) {
		t.Fatalf("%d entries, deadline %v; want %d, %v", c.Len(), c.Deadline(), len(o.entries), o.deadline())
	}
	for e := range c.All() {
		want := o.entries[e.Key]
		if want == nil || e.State != want.state || e.Kept != want.kept || e.State != Incomplete && e.MAC != want.mac {
			t.Fatalf("got %+v, want %+v", e, want)
		}
	}
}

// ledger follows what a cache with tight limits does, by its actions alone.
type ledger struct {
	fib                    map[Key]packet.MAC
	given                  int
	sent, failed           int
	seen                   map[string]bool
	proven                 map[Key]bool // answered us since they are in the FIB
	kept                   map[Key]bool
	mayGo, mayEvictUnasked bool // of this call: may resolved entries go?
}

func (l *ledger) enter(t *rapid.T, actions []Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case Update:
			old, known := l.fib[a.Key]
			if a.Reachable == known && old == a.MAC {
				t.Fatalf("%+v changes nothing", a)
			}
			if a.Reachable {
				l.fib[a.Key] = a.MAC
				continue
			}
			if !l.mayGo && (!l.mayEvictUnasked || l.proven[a.Key] || l.kept[a.Key]) {
				t.Fatalf("%v was evicted; it has answered: %t, kept: %t", a.Key, l.proven[a.Key], l.kept[a.Key])
			}
			delete(l.fib, a.Key)
			delete(l.proven, a.Key)
		case Send:
			if _, known := l.fib[a.Key]; !known {
				t.Fatalf("%+v before its update", a)
			}
			l.sent += l.account(t, a.Waiting)
		case Fail:
			l.failed += l.account(t, a.Waiting)
		case Solicit:
			if mac, known := l.fib[a.Key]; a.MAC != mac || known == a.MAC.IsZero() {
				t.Fatalf("%+v, but the neighbour is at %v (%t)", a, mac, known)
			}
		}
	}
}

func (l *ledger) account(t *rapid.T, waiting []Waiting) int {
	for _, w := range waiting {
		if name := string(w.Frame[:8]); l.seen[name] {
			t.Fatalf("packet %s came back twice", name)
		} else {
			l.seen[name] = true
		}
	}
	return len(waiting)
}

// balance checks every limit, and that no packet is lost or doubled.
func (l *ledger) balance(t *rapid.T, c *Cache) {
	waiting, bytes, known, incomplete := 0, 0, 0, map[uint16]int{}
	for key, e := range c.entries {
		waiting += len(e.waiting)
		for _, w := range e.waiting {
			bytes += len(w.Frame)
		}
		if len(e.waiting) > c.cfg.MaxWaiting || len(e.waiting) > 0 && e.state != Incomplete {
			t.Fatalf("%d packets wait for %v, which is %v", len(e.waiting), key, e.state)
		}
		if e.state == Incomplete && !e.kept {
			incomplete[key.Port]++
		}
		mac, ok := c.Lookup(key)
		if fib, there := l.fib[key]; ok != there || mac != fib {
			t.Fatalf("%v: the cache says %v (%t), the actions said %v (%t)", key, mac, ok, fib, there)
		}
		if ok {
			known++
		}
		if e.queue == nil != (e.kept || e.proven) || e.proven != l.proven[key] || e.slot && e.state != Stale {
			t.Fatalf("%+v: in a queue: %t, proven: %t", e, e.queue != nil, l.proven[key])
		}
	}
	dropped := int(c.counters.waitingDropped)
	switch {
	case l.given != l.sent+l.failed+dropped+waiting:
		t.Fatalf("%d packets came, %d were sent, %d failed, %d dropped, %d wait", l.given, l.sent, l.failed, dropped, waiting)
	case bytes != c.bytes || bytes > c.cfg.MaxWaitingBytes:
		t.Fatalf("%d bytes wait, the cache thinks %d", bytes, c.bytes)
	case known != len(l.fib):
		t.Fatalf("%d neighbours are in the FIB, %d in the cache", len(l.fib), known)
	case c.Len() > c.cfg.MaxEntries+len(l.kept):
		t.Fatalf("%d entries", c.Len())
	case len(c.timers) != c.Len():
		t.Fatalf("%d timers for %d entries", len(c.timers), c.Len())
	}
	for port, n := range incomplete {
		if n > c.cfg.MaxIncomplete || n != c.port(port).incomplete.len {
			t.Fatalf("%d unanswered resolutions on port %d, the queue has %d", n, port, c.port(port).incomplete.len)
		}
	}
	for key := range l.kept {
		if c.entries[key] == nil || !c.entries[key].kept {
			t.Fatalf("%v is not kept", key)
		}
	}
}

func TestLimitsHoldAndEveryPacketIsAccountedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := New(Config{
			MaxEntries: rapid.IntRange(1, 5).Draw(t, "entries"), MaxIncomplete: rapid.IntRange(1, 3).Draw(t, "incomplete"),
			MaxWaiting: rapid.IntRange(1, 3).Draw(t, "waiting"), MaxWaitingBytes: rapid.IntRange(8, 60).Draw(t, "bytes"),
			SolicitRate: rapid.IntRange(1, 20).Draw(t, "rate"), SolicitBurst: rapid.IntRange(1, 10).Draw(t, "burst"),
		})
		l := &ledger{fib: map[Key]packet.MAC{}, seen: map[string]bool{}, proven: map[Key]bool{}, kept: map[Key]bool{}}
		now := start
		t.Repeat(map[string]func(*rapid.T){
			"resolve": func(t *rapid.T) {
				l.given++
				frame := fmt.Appendf(nil, "%08d", l.given)
				frame = append(frame, make([]byte, rapid.IntRange(0, 20).Draw(t, "more"))...)
				l.enter(t, c.Resolve(now, drawKey(t), Waiting{Frame: frame}))
			},
			"keep": func(t *rapid.T) {
				k, on := drawKey(t), rapid.Bool().Draw(t, "on")
				if on {
					l.kept[k] = true
				} else {
					delete(l.kept, k)
				}
				l.mayEvictUnasked = on
				l.mayGo = !on && c.Len() > c.cfg.MaxEntries
				l.enter(t, c.Keep(now, k, on))
			},
			"learn": func(t *rapid.T) {
				k := drawKey(t)
				mac, ev := drawEvidence(t)
				l.mayEvictUnasked = ev == Request
				l.enter(t, c.Learn(now, k, mac, ev))
				if e := c.entries[k]; e != nil && e.state == Reachable {
					l.proven[k] = true
				}
			},
			"forget": func(t *rapid.T) {
				if port := rapid.Uint16Range(0, 9).Draw(t, "port"); port < 2 {
					l.mayGo = true
					l.enter(t, c.Forget(now, port))
				}
			},
			"advance": func(t *rapid.T) {
				now = drawStep(t, now, c.Deadline())
				l.mayGo = true
				l.enter(t, c.Advance(now))
				if d := c.Deadline(); !d.IsZero() && !d.After(now) {
					t.Fatalf("after Advance at %v the deadline is %v", now, d)
				}
			},
			"": func(t *rapid.T) {
				l.mayGo, l.mayEvictUnasked = false, false
				l.balance(t, c)
			},
		})
		l.drain(t, c, now)
	})
}

// drain lets time pass until nothing waits, and checks that it comes to that.
func (l *ledger) drain(t *rapid.T, c *Cache, now time.Time) {
	l.mayGo = true
	for _, k := range slices.SortedFunc(maps.Keys(l.kept), func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), a.Addr.Compare(b.Addr))
	}) {
		delete(l.kept, k)
		l.enter(t, c.Keep(now, k, false))
	}
	for range 10_000 {
		if c.Len() == 0 {
			l.balance(t, c)
			return
		}
		l.enter(t, c.Advance(c.Deadline()))
	}
	t.Fatalf("%d entries never go", c.Len())
}
