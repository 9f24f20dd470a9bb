package speaker

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"vrouter/bgp"
	"vrouter/config"
	w "vrouter/internal/bgpwire"
	"vrouter/internal/netlab"
)

// A neighbour that means ill, or does not know better: what becomes of its
// session, of its routes and of those of others. GoBGP is the program's own, with
// the program's policies; the neighbour is bytes.

const (
	hostileOurs  = 65001
	hostileAS    = 64500
	maxNeighbors = 120
	wait         = 20 * time.Second
)

var (
	ourAddr = netip.MustParseAddr("203.0.113.1")
	allOf   = []config.PrefixRange{{Prefix: default4, Max: 32}, {Prefix: default6, Max: 128}}
)

// hostileAddr is the address of the i-th neighbour; the last ones have a limit.
func hostileAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + i)}) }

func hostileName(i int) string { return fmt.Sprintf("n%d", i) }

const limitOf = 1000 // max_prefixes of neighbours from limited on

const limited = maxNeighbors - 10

// target is the one server of the tests: there can be but one in a process.
var target = sync.OnceValues(func() (*server, error) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return nil, err
	}
	net113 := &netlink.Addr{IPNet: &net.IPNet{IP: ourAddr.AsSlice(), Mask: net.CIDRMask(32, 32)}}
	if err := netlink.AddrAdd(lo, net113); err != nil {
		return nil, err
	}
	setup := &bgp.Setup{
		RouterID: ourAddr, Own: []netip.Addr{ourAddr, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		Config: config.BGP{ASN: hostileOurs, RestartTime: 30 * time.Second},
	}
	for i := range maxNeighbors {
		n := config.Neighbor{
			Name: hostileName(i), Address: hostileAddr(i), ASN: hostileAS, Passive: true, Multihop: 1,
			HoldTime: 30 * time.Second, IPv4: true, IPv6: true, Import: config.Importing{Prefixes: allOf},
		}
		if i >= limited {
			n.Import.MaxPrefixes, n.GracefulRestart = limitOf, true
		}
		switch i {
		case nListed:
			n.Import.Prefixes = importListed
		case nUnlisted:
			n.Import.Prefixes = nil
		}
		setup.Config.Neighbors = append(setup.Config.Neighbors, n)
		setup.Circumstances = append(setup.Circumstances, bgp.Circumstance{Peer: n.Address, Interface: "wan"})
		a := &netlink.Addr{IPNet: &net.IPNet{IP: n.Address.AsSlice(), Mask: net.CIDRMask(32, 32)}}
		if err := netlink.AddrAdd(lo, a); err != nil {
			return nil, err
		}
	}
	level := slog.LevelError + 4
	if testing.Verbose() {
		level = slog.LevelWarn
	}
	return newServer(setup, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})))
})

func hostileTarget(t *testing.T) *server {
	t.Helper()
	if err := netlab.Unavailable(); err != nil {
		t.Skip(err)
	}
	s, err := target()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for over := time.Now().Add(wait); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(over) {
			t.Fatalf("not within %v: %s", wait, what)
		}
	}
}

// dial connects as the i-th neighbour.
func dial(i int) (*w.Peer, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: hostileAddr(i).AsSlice()}, Timeout: wait}
	c, err := d.Dial("tcp", netip.AddrPortFrom(ourAddr, 179).String())
	if err != nil {
		return nil, err
	}
	return &w.Peer{Conn: c, ASN: hostileAS}, nil
}

// join is the i-th neighbour with a session, with more capabilities.
func join(t *testing.T, s *server, i int, more ...[]byte) *w.Peer {
	t.Helper()
	var last error
	for over := time.Now().Add(wait); time.Now().Before(over); time.Sleep(20 * time.Millisecond) {
		p, err := dial(i)
		if err != nil {
			last = err
			continue
		}
		if last = p.Establish(hostileAddr(i), 30, wait, more...); last == nil {
			t.Cleanup(func() { p.Close() })
			eventually(t, "the session is established", func() bool { return s.stateOf(i) == bgp.StateEstablished })
			return p
		}
		p.Close()
	}
	t.Fatalf("no session: %v", last)
	return nil
}

func (s *server) stateOf(i int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[hostileAddr(i)].state
}

// has returns the way in use of a prefix that is of the i-th neighbour.
func (s *server) has(i int, p netip.Prefix) bool {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	n, ok := s.table.find(p)
	if !ok {
		return false
	}
	list := s.table.ways.list(s.table.slots[n].best)
	return len(list) == 1 && list[0].from == bgp.NeighborID(hostileName(i))
}

// send writes messages; a session that has ended is seen by who waits for it.
func send(t *testing.T, p *w.Peer, messages ...[]byte) {
	t.Helper()
	for _, m := range messages {
		if _, err := p.Write(m); err != nil {
			t.Logf("send: %v", err)
			return
		}
	}
}

// attributes of a good route by the i-th neighbour.
func attributesOf(i int) (origin, path, hop []byte) {
	return w.Attribute(w.Transitive, w.Origin, 0), w.Attribute(w.Transitive, w.ASPath, w.Segment(2, hostileAS, 3356)...),
		w.Attribute(w.Transitive, w.NextHop, hostileAddr(i).AsSlice()...)
}

func good(i int, p ...netip.Prefix) []byte {
	origin, path, hop := attributesOf(i)
	return w.Update(nil, slices.Concat(origin, path, hop), w.Prefixes(p...))
}

func good6(i int, p ...netip.Prefix) []byte {
	origin, path, _ := attributesOf(i)
	return w.Update(nil, slices.Concat(origin, path, w.Reach(hop6(i), p...)), nil)
}

func hop6(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8:ffff::%x", 10+i)) }

// outcome is what becomes of a malformed message.
type outcome string

const (
	kept      outcome = "route kept"        // taken as it is, but for what is to be discarded
	withdrawn outcome = "treat-as-withdraw" // the session goes on, the route is gone
	reset     outcome = "session reset"
	discard   outcome = "attribute discard" // the session and the route go on, the attribute is gone
)

// malformed is one message of RFC 7606, and what is to become of it.
type malformed struct {
	name   string
	clause string
	want   outcome
	gobgp  outcome // what GoBGP does instead; empty: what is wanted
	why    string  // what that means
	six    bool    // it is about an IPv6 prefix
	make   func(i int, p netip.Prefix) []byte
}

// with is an update whose attributes are good but for those given, which stand in
// place of the good ones of their type.
func with(i int, p netip.Prefix, more ...[]byte) []byte {
	origin, path, hop := attributesOf(i)
	var all []byte
	for _, a := range [][]byte{origin, path, hop} {
		if !slices.ContainsFunc(more, func(m []byte) bool { return m[1] == a[1] }) {
			all = append(all, a...)
		}
	}
	return w.Update(nil, append(all, slices.Concat(more...)...), w.Prefixes(p))
}

// attr makes the case of one attribute.
func attr(flags, typ byte, value ...byte) func(int, netip.Prefix) []byte {
	return func(i int, p netip.Prefix) []byte { return with(i, p, w.Attribute(flags, typ, value...)) }
}

// without makes the case of a missing attribute.
func without(n int) func(int, netip.Prefix) []byte {
	return func(i int, p netip.Prefix) []byte {
		origin, path, hop := attributesOf(i)
		return w.Update(nil, slices.Concat(slices.Delete([][]byte{origin, path, hop}, n, n+1)...), w.Prefixes(p))
	}
}

const (
	wellKnown0 = w.Transitive
	optTrans   = w.Optional | w.Transitive
	optLocal   = w.Optional
)

var malformedCases = []malformed{
	{name: "ORIGIN of value 3", clause: "RFC 7606 7.1", want: withdrawn, make: attr(wellKnown0, w.Origin, 3)},
	{name: "ORIGIN of two bytes", clause: "RFC 7606 7.1", want: withdrawn, make: attr(wellKnown0, w.Origin, 0, 0)},
	{name: "ORIGIN with the flag optional", clause: "RFC 7606 3 c", want: withdrawn, make: attr(optTrans, w.Origin, 0)},
	{name: "AS_PATH with a segment of type 5", clause: "RFC 7606 7.2", want: withdrawn, make: attr(wellKnown0, w.ASPath, w.Segment(5, hostileAS)...)},
	{name: "AS_PATH whose segment is too short", clause: "RFC 7606 7.2", want: withdrawn, make: attr(wellKnown0, w.ASPath, 2, 3, 0, 0, 0xfb, 0xf4)},
	{name: "AS_PATH with an empty segment", clause: "RFC 7606 7.2", want: withdrawn, make: attr(wellKnown0, w.ASPath, 2, 0)},
	{name: "AS_PATH with a byte left over", clause: "RFC 7606 7.2", want: withdrawn, make: attr(wellKnown0, w.ASPath, append(w.Segment(2, hostileAS), 2)...)},
	{name: "AS_PATH with a confederation's segment", clause: "RFC 5065 5, RFC 7606 7.2", want: withdrawn, make: attr(wellKnown0, w.ASPath, w.Segment(3, hostileAS)...)},
	{name: "NEXT_HOP of three bytes", clause: "RFC 7606 7.3", want: withdrawn, make: attr(wellKnown0, w.NextHop, 203, 0, 113)},
	{name: "NEXT_HOP 0.0.0.0", clause: "RFC 7606 7.3, RFC 4271 6.3", want: withdrawn, make: attr(wellKnown0, w.NextHop, 0, 0, 0, 0)},
	{name: "NEXT_HOP of a group", clause: "RFC 7606 7.3, RFC 4271 6.3", want: withdrawn, make: attr(wellKnown0, w.NextHop, 224, 0, 0, 5)},
	{name: "MULTI_EXIT_DISC of two bytes", clause: "RFC 7606 7.4", want: withdrawn, make: attr(optLocal, w.MED, 0, 1)},
	{name: "LOCAL_PREF of three bytes from another system", clause: "RFC 7606 7.5", want: discard, gobgp: withdrawn, why: "the route is lost with the attribute", make: attr(wellKnown0, w.LocalPref, 0, 0, 1)},
	{name: "ATOMIC_AGGREGATE of one byte", clause: "RFC 7606 7.6", want: discard, make: attr(wellKnown0, w.AtomicAggr, 1)},
	{name: "AGGREGATOR of five bytes", clause: "RFC 7606 7.7", want: discard, make: attr(optTrans, w.Aggregator, 0, 0, 0, 1, 2)},
	{name: "COMMUNITIES of three bytes", clause: "RFC 7606 7.8", want: withdrawn, make: attr(optTrans, w.Communities, 0, 1, 2)},
	{name: "COMMUNITIES of no byte", clause: "RFC 7606 7.8", want: withdrawn, gobgp: kept, why: "nothing is lost", make: attr(optTrans, w.Communities)},
	{name: "ORIGINATOR_ID from another system", clause: "RFC 7606 7.9", want: discard, make: attr(optLocal, w.OriginatorID, 1, 2, 3, 4)},
	{name: "ORIGINATOR_ID of three bytes from another system", clause: "RFC 7606 7.9", want: discard, gobgp: withdrawn, why: "the route is lost with the attribute", make: attr(optLocal, w.OriginatorID, 1, 2, 3)},
	{name: "CLUSTER_LIST of five bytes from another system", clause: "RFC 7606 7.10", want: discard, gobgp: withdrawn, why: "the route is lost with the attribute", make: attr(optLocal, w.ClusterList, 1, 2, 3, 4, 5)},
	{name: "EXTENDED COMMUNITIES of seven bytes", clause: "RFC 7606 7.14", want: withdrawn, make: attr(optTrans, w.ExtCommunities, 0, 2, 0, 1, 0, 0, 1)},
	{name: "LARGE_COMMUNITY of eleven bytes", clause: "RFC 8092 6", want: withdrawn, make: attr(optTrans, w.LargeComm, make([]byte, 11)...)},
	{name: "AS4_PATH from a neighbour with 4-byte numbers", clause: "RFC 6793 4.1", want: discard, make: attr(optTrans, w.AS4Path, w.Segment(2, 1)...)},
	{name: "AS4_AGGREGATOR of seven bytes", clause: "RFC 6793 6", want: discard, gobgp: reset, why: "the session is lost; who has 4-byte numbers never sends it", make: attr(optTrans, w.AS4Aggregator, make([]byte, 7)...)},
	{name: "AIGP of two bytes", clause: "RFC 7311 3.1", want: discard, make: attr(optLocal, w.AIGP, 1, 0)},
	{name: "MULTI_EXIT_DISC twice", clause: "RFC 7606 3 g", want: discard, make: func(i int, p netip.Prefix) []byte {
		return with(i, p, w.Attribute(optLocal, w.MED, 0, 0, 0, 1), w.Attribute(optLocal, w.MED, 0, 0, 0, 2))
	}},
	{name: "no ORIGIN", clause: "RFC 7606 3 d", want: withdrawn, make: without(0)},
	{name: "no AS_PATH", clause: "RFC 7606 3 d", want: withdrawn, make: without(1)},
	{name: "no NEXT_HOP", clause: "RFC 7606 3 d", want: withdrawn, make: without(2)},
	{name: "an unknown well-known attribute", clause: "RFC 4271 6.3", want: reset, make: attr(wellKnown0, 99, 1)},
	{name: "an unknown transitive attribute", clause: "RFC 4271 5", want: kept, make: attr(optTrans, 99, 1, 2, 3)},
	{name: "an unknown attribute that is not transitive", clause: "RFC 4271 5", want: kept, make: attr(optLocal, 99, 1, 2, 3)},
	{name: "an attribute longer than all of them", clause: "RFC 7606 4", want: withdrawn, gobgp: kept, why: "what was announced of the prefix before stays", make: func(i int, p netip.Prefix) []byte {
		origin, path, hop := attributesOf(i)
		return w.Update(nil, slices.Concat(origin, path, hop, []byte{optTrans, w.Communities, 8, 0, 1, 0, 2}), w.Prefixes(p))
	}},
	{name: "an attribute of two bytes, no length", clause: "RFC 7606 4", want: withdrawn, make: func(i int, p netip.Prefix) []byte {
		origin, path, hop := attributesOf(i)
		return w.Update(nil, slices.Concat(origin, path, hop, []byte{optTrans, w.Communities}), w.Prefixes(p))
	}},
	{name: "attributes longer than the message", clause: "RFC 7606 3 b, RFC 4271 6.3", want: reset, make: func(i int, p netip.Prefix) []byte {
		m := good(i, p)
		m[w.HeaderLen+2], m[w.HeaderLen+3] = 0xff, 0xff
		return m
	}},
	{name: "withdrawn routes longer than the message", clause: "RFC 7606 3 b, RFC 4271 6.3", want: reset, make: func(i int, p netip.Prefix) []byte {
		m := good(i, p)
		m[w.HeaderLen], m[w.HeaderLen+1] = 0xff, 0xff
		return m
	}},
	{name: "a prefix of 33 bits", clause: "RFC 7606 5.3", want: reset, make: func(i int, _ netip.Prefix) []byte {
		origin, path, hop := attributesOf(i)
		return w.Update(nil, slices.Concat(origin, path, hop), []byte{33, 10, 1, 2, 3, 128})
	}},
	{name: "a prefix cut off", clause: "RFC 7606 5.3", want: reset, make: func(i int, _ netip.Prefix) []byte {
		origin, path, hop := attributesOf(i)
		return w.Update(nil, slices.Concat(origin, path, hop), []byte{24, 10, 1})
	}},
	{name: "a withdrawn prefix of 33 bits", clause: "RFC 7606 5.3", want: reset, make: func(int, netip.Prefix) []byte {
		return w.Update([]byte{33, 10, 1, 2, 3, 128}, nil, nil)
	}},
	{name: "MP_REACH_NLRI whose next hop has 5 bytes", clause: "RFC 7606 7.11", want: reset, six: true, make: func(i int, p netip.Prefix) []byte {
		origin, path, _ := attributesOf(i)
		value := append([]byte{0, 2, 1, 5, 1, 2, 3, 4, 5, 0}, w.Prefixes(p)...)
		return w.Update(nil, slices.Concat(origin, path, w.Attribute(optLocal, w.MPReach, value...)), nil)
	}},
	{name: "MP_REACH_NLRI with a prefix of 129 bits", clause: "RFC 7606 5.3, 7.11", want: reset, six: true, make: func(i int, _ netip.Prefix) []byte {
		origin, path, _ := attributesOf(i)
		reach := w.Reach(hop6(i))
		reach = append(reach, append([]byte{129}, make([]byte, 17)...)...)
		reach[2] += 18
		return w.Update(nil, slices.Concat(origin, path, reach), nil)
	}},
	{name: "MP_REACH_NLRI twice", clause: "RFC 7606 3 g", want: reset, six: true, make: func(i int, p netip.Prefix) []byte {
		origin, path, _ := attributesOf(i)
		return w.Update(nil, slices.Concat(origin, path, w.Reach(hop6(i), p), w.Reach(hop6(i), p)), nil)
	}},
	{name: "MP_UNREACH_NLRI of two bytes", clause: "RFC 7606 7.12", want: reset, six: true, make: func(int, netip.Prefix) []byte {
		return w.Update(nil, w.Attribute(optLocal, w.MPUnreach, 0, 2), nil)
	}},
	{name: "MP_REACH_NLRI of a family that was not negotiated", clause: "RFC 4760 7, 8", want: reset, six: true, make: func(i int, p netip.Prefix) []byte {
		origin, path, _ := attributesOf(i)
		value := append([]byte{0, 2, 2, 16}, hop6(i).AsSlice()...)
		return w.Update(nil, slices.Concat(origin, path, w.Attribute(optLocal, w.MPReach, append(append(value, 0), w.Prefixes(p)...)...)), nil)
	}},
	{name: "no ORIGIN, of an IPv6 route", clause: "RFC 7606 3 d", want: withdrawn, six: true, make: func(i int, p netip.Prefix) []byte {
		_, path, _ := attributesOf(i)
		return w.Update(nil, slices.Concat(path, w.Reach(hop6(i), p)), nil)
	}},
	{name: "a marker that is none", clause: "RFC 4271 6.1", want: reset, make: func(i int, p netip.Prefix) []byte {
		m := good(i, p)
		m[3] = 0
		return m
	}},
	{name: "a message of 18 bytes", clause: "RFC 4271 6.1", want: reset, make: func(int, netip.Prefix) []byte {
		m := w.Keepalive()
		m[17] = 18
		return m
	}},
	{name: "a message of 4097 bytes", clause: "RFC 4271 6.1, RFC 8654", want: reset, make: func(i int, p netip.Prefix) []byte {
		const rest = 4097 - w.HeaderLen - 4 - 4
		return w.Update(nil, w.Attribute(optTrans, 99, make([]byte, rest)...), nil)
	}},
	{name: "a message of type 9", clause: "RFC 4271 6.1", want: reset, make: func(int, netip.Prefix) []byte { return w.Message(9, nil) }},
	{name: "a KEEPALIVE with a body", clause: "RFC 4271 6.1", want: reset, gobgp: kept, why: "nothing is lost", make: func(int, netip.Prefix) []byte { return w.Message(w.TypeKeepalive, []byte{1}) }},
	{name: "another OPEN", clause: "RFC 4271 8.2.2", want: reset, gobgp: kept, why: "it is ignored", make: func(i int, _ netip.Prefix) []byte { return w.Open(hostileAS, hostileAddr(i), 30) }},
	{name: "255 segments of AS_PATH", clause: "RFC 4271 4.3", want: kept, make: func(i int, p netip.Prefix) []byte {
		value := w.Segment(2, hostileAS)
		for range 254 {
			value = append(value, w.Segment(1, 64999)...)
		}
		return with(i, p, w.Attribute(wellKnown0, w.ASPath, value...))
	}},
	{name: "100 unknown transitive attributes", clause: "RFC 4271 5", want: kept, make: func(i int, p netip.Prefix) []byte {
		var more [][]byte
		for typ := byte(100); typ < 200; typ++ {
			if typ != 128 { // ATTR_SET has a form
				more = append(more, w.Attribute(optTrans, typ, make([]byte, 20)...))
			}
		}
		return with(i, p, more...)
	}},
}

// verdict is what the page says of a case.
func (c *malformed) verdict() string {
	if c.gobgp == "" {
		return "so"
	}
	return fmt.Sprintf("%s: %s", c.gobgp, c.why)
}

const (
	pageFile  = "../../docs/conformance/bgp-hostile.md"
	pageBegin = "<!-- cases: written by go test ./bgp/speaker -run MalformedMessages -rewrite -->\n"
	pageEnd   = "<!-- end -->\n"
)

var rewrite = flag.Bool("rewrite", false, "write the table of docs/conformance/bgp-hostile.md anew")

// checkPage compares the table of the page with what has happened.
func checkPage(t *testing.T, rows string) {
	t.Helper()
	text, err := os.ReadFile(pageFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), pageBegin)
	was, after, ok2 := strings.Cut(rest, pageEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the cases", pageFile)
	}
	want := "| Message | Clause | What is asked | What happens |\n|---|---|---|---|\n" + rows
	switch {
	case *rewrite:
		err = os.WriteFile(pageFile, []byte(before+pageBegin+want+pageEnd+after), 0o644)
		if err != nil {
			t.Error(err)
		}
	case was != want:
		t.Errorf("%s says otherwise: write it anew with -rewrite", pageFile)
	}
}

// judge plays one case and says what has become of it.
func (c *malformed) judge(t *testing.T, s *server, i int) outcome {
	t.Helper()
	p := netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i), 0, 0}), 16)
	marker := netip.PrefixFrom(netip.AddrFrom4([4]byte{12, byte(i), 0, 0}), 16)
	first := good(i, p)
	if c.six {
		p = netip.PrefixFrom(netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::", 0x100+i)), 48)
		first = good6(i, p)
	}
	peer := join(t, s, i)
	send(t, peer, first)
	eventually(t, "the good route is taken", func() bool { return s.has(i, p) })
	send(t, peer, c.make(i, p), good(i, marker))
	eventually(t, "the session has ended, or goes on", func() bool { return s.stateOf(i) != bgp.StateEstablished || s.has(i, marker) })
	if s.stateOf(i) != bgp.StateEstablished {
		eventually(t, "its routes are gone", func() bool { return !s.has(i, p) })
		if err := notified(peer); err != nil {
			t.Errorf("the neighbour is not told why: %v", err)
		}
		return reset
	}
	if !s.has(i, p) {
		return withdrawn
	}
	return kept
}

// notified reads until the NOTIFICATION.
func notified(p *w.Peer) error {
	_ = p.SetReadDeadline(time.Now().Add(wait))
	for {
		_, _, err := p.ReadMessage()
		var n w.Notification
		switch {
		case errors.As(err, &n):
			return nil
		case errors.Is(err, io.EOF), err != nil:
			return err
		}
	}
}

// RFC 7606: what of an UPDATE is wrong costs as little as can be; and whatever it
// costs its sender, others are not touched.
func TestMalformedMessages(t *testing.T) {
	s := hostileTarget(t)
	const witness = limited - 1
	other := join(t, s, witness)
	theirs := netip.MustParsePrefix("13.0.0.0/8")
	send(t, other, good(witness, theirs))
	eventually(t, "the witness' route is taken", func() bool { return s.has(witness, theirs) })
	var rows strings.Builder
	for i := range malformedCases {
		c := &malformedCases[i]
		t.Run(c.name, func(t *testing.T) {
			got := c.judge(t, s, i)
			want := c.want
			if want == discard {
				want = kept // the route is there, see TestWhatIsDiscarded
			}
			if c.gobgp != "" {
				want = c.gobgp
			}
			if got != want {
				t.Errorf("%s: %s, want %s", c.clause, got, want)
			}
			fmt.Fprintf(&rows, "| %s | %s | %s | %s |\n", c.name, c.clause, c.want, c.verdict())
		})
	}
	checkPage(t, rows.String())
	if s.stateOf(witness) != bgp.StateEstablished || !s.has(witness, theirs) {
		t.Error("a neighbour that did nothing wrong has lost its session or its route")
	}
}
