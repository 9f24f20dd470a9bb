package speaker

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"vrouter/bgp"
	w "vrouter/internal/bgpwire"
)

// Numbers of the neighbours of these tests; those of malformed messages come first.
const (
	nLoop = 70 + iota
	nHop
	nMartian
	nSlow
	nHalf
	nNotified
	nStranger
	nExtended
)

// taken announces a good route and waits until it is in use.
func taken(t *testing.T, s *server, p *w.Peer, i int, prefixes ...netip.Prefix) {
	t.Helper()
	send(t, p, good(i, prefixes...))
	eventually(t, "the good routes are taken", func() bool {
		return !slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return !s.has(i, p) })
	})
}

// RFC 4271 9.1.2: a route with our own number in its path is not used; and the one
// that it stands in place of is not used any more either.
func TestLoopsOfSystemsAreNotAccepted(t *testing.T) {
	s := hostileTarget(t)
	p := join(t, s, nLoop)
	looped, fresh, after := netip.MustParsePrefix("20.0.0.0/16"), netip.MustParsePrefix("20.1.0.0/16"), netip.MustParsePrefix("20.2.0.0/16")
	taken(t, s, p, nLoop, looped)
	origin, _, hop := attributesOf(nLoop)
	path := w.Attribute(w.Transitive, w.ASPath, w.Segment(2, hostileAS, hostileOurs, 3356)...)
	send(t, p, w.Update(nil, slices.Concat(origin, path, hop), w.Prefixes(looped, fresh)))
	taken(t, s, p, nLoop, after)
	if s.has(nLoop, fresh) {
		t.Error("a route through our own system is used")
	}
	if s.has(nLoop, looped) {
		t.Error("the route is used that one through our own system has taken the place of")
	}
}

// A next hop that is an address of ours would bring packets back to us.
func TestNextHopsOfOursAreNotAccepted(t *testing.T) {
	s := hostileTarget(t)
	p := join(t, s, nHop)
	origin, path, _ := attributesOf(nHop)
	four, six, after := netip.MustParsePrefix("21.0.0.0/16"), netip.MustParsePrefix("2001:db8:2100::/48"), netip.MustParsePrefix("21.1.0.0/16")
	taken(t, s, p, nHop, four)
	hop := w.Attribute(w.Transitive, w.NextHop, 192, 0, 2, 1)
	send(t, p,
		w.Update(nil, slices.Concat(origin, path, hop), w.Prefixes(four)),
		w.Update(nil, slices.Concat(origin, path, w.Reach(netip.MustParseAddr("2001:db8::1"), six)), nil))
	taken(t, s, p, nHop, after)
	if s.has(nHop, four) || s.has(nHop, six) {
		t.Error("a route whose next hop is an address of ours is used")
	}
}

func TestMartiansAreNotAccepted(t *testing.T) {
	s := hostileTarget(t)
	p := join(t, s, nMartian)
	var four, six, all []netip.Prefix
	for _, text := range []string{
		"0.0.0.0/8", "0.1.2.0/24", "127.0.0.0/8", "127.0.0.1/32", "169.254.0.0/16", "224.0.0.0/4", "233.1.0.0/16", "240.0.0.0/4", "255.255.255.255/32",
		"::1/128", "::/128", "::ffff:0:0/96", "fe80::/10", "fe80::/64", "ff02::/16",
	} {
		m := netip.MustParsePrefix(text)
		if all = append(all, m); m.Addr().Is4() {
			four = append(four, m)
		} else {
			six = append(six, m)
		}
	}
	send(t, p, good(nMartian, four...), good6(nMartian, six...))
	taken(t, s, p, nMartian, netip.MustParsePrefix("22.0.0.0/16"), netip.MustParsePrefix("192.0.0.0/2"))
	for _, m := range all {
		if s.has(nMartian, m) {
			t.Errorf("%v is used", m)
		}
	}
}

// limitedRuns counts the runs of TestTooManyPrefixesEndTheSession.
var limitedRuns int

// A neighbour with more prefixes than max_prefixes loses its session and its
// routes at once, graceful restart or not, and does not come back by itself.
func TestTooManyPrefixesEndTheSession(t *testing.T) {
	s := hostileTarget(t)
	const flood = 2_000_000
	i := limited + limitedRuns // who had its limit stays away, also from another run
	if limitedRuns++; i >= maxNeighbors {
		t.Skip("all neighbours with a limit are used up")
	}
	gr := w.Capability(64, 0x00, 0x78, 0, 1, 1, 0x80, 0, 2, 1, 0x80) // RFC 4724: 120 s, both families preserved
	p := join(t, s, i, gr)
	first := netip.MustParsePrefix("30.0.0.0/26")
	taken(t, s, p, i, first)
	// It does not stop sending; it cannot while nobody reads.
	_ = p.SetWriteDeadline(time.Now().Add(wait))
	var batch []netip.Prefix
	sent := 0
	for n := range flood {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 30<<24+uint32(n)<<6)
		if batch = append(batch, netip.PrefixFrom(netip.AddrFrom4(a), 26)); len(batch) == 500 {
			if _, err := p.Write(good(i, batch...)); err != nil {
				break
			}
			sent, batch = sent+len(batch), batch[:0]
		}
	}
	eventually(t, "the session has ended", func() bool { return s.stateOf(i) != bgp.StateEstablished })
	t.Logf("%d prefixes went into the sockets", sent) // which hold megabytes; so many were not read
	eventually(t, "none of its routes is used", func() bool { return !s.has(i, first) })
	s.mu.Lock()
	why := s.sessions[hostileAddr(i)].lastError
	s.mu.Unlock()
	if why != tooMany {
		t.Errorf("the reason is %q", why)
	}
	eventually(t, "all that it has announced is gone", func() bool { return s.inUse(i) == 0 })
	if q, err := dial(i); err == nil {
		err = q.Establish(hostileAddr(i), 30, 2*time.Second, gr)
		if q.Close(); err == nil {
			t.Error("it has come back by itself")
		}
	}
}

// inUse counts the prefixes that lead to the i-th neighbour.
func (s *server) inUse(i int) (n int) {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	for at := range s.table.slots {
		for _, w := range s.table.ways.list(s.table.slots[at].best) {
			if w.from == bgp.NeighborID(hostileName(i)) {
				n++
			}
		}
	}
	return n
}

// A session that is ended from here in the midst of a flood leaves nothing behind.
func TestASessionEndedWhileRoutesComeLeavesNone(t *testing.T) {
	s := hostileTarget(t)
	const i = limited - 2
	for round := range 5 {
		p := join(t, s, i)
		quit := make(chan struct{})
		go func() {
			for n := 0; ; n++ {
				select {
				case <-quit:
					return
				default:
				}
				if _, err := p.Write(good(i, netip.PrefixFrom(netip.AddrFrom4([4]byte{40, byte(round), byte(n >> 8), byte(n)}), 32))); err != nil {
					return
				}
			}
		}()
		eventually(t, "routes come", func() bool { return s.inUse(i) > 200 })
		s.admin.Lock()
		s.mu.Lock()
		x := s.sessions[hostileAddr(i)]
		s.mu.Unlock()
		s.down(x, "a test")
		s.admin.Unlock()
		close(quit)
		eventually(t, "all are gone", func() bool { return s.inUse(i) == 0 })
		time.Sleep(20 * time.Millisecond)
		if n := s.inUse(i); n != 0 {
			t.Fatalf("%d routes are there again", n)
		}
		s.open(x)
	}
}

// Strangers get no session, and as many connections as they like cost nothing that
// stays.
func TestConnectionsOfStrangersAreClosed(t *testing.T) {
	s := hostileTarget(t)
	p := join(t, s, nStranger)
	prefix := netip.MustParsePrefix("31.0.0.0/16")
	taken(t, s, p, nStranger, prefix)
	before := descriptors(t)
	var conns []net.Conn
	for range 300 {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: ourAddr.AsSlice()}, Timeout: wait} // of nobody's address
		c, err := d.Dial("tcp", netip.AddrPortFrom(ourAddr, 179).String())
		if err != nil {
			continue
		}
		conns = append(conns, c)
	}
	for _, c := range conns {
		_ = c.SetReadDeadline(time.Now().Add(wait))
		if n, err := c.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a stranger is left connected: %d, %v", n, err)
		}
		c.Close()
	}
	eventually(t, "the descriptors are given back", func() bool { return descriptors(t) <= before+4 })
	if len(conns) == 0 || s.stateOf(nStranger) != bgp.StateEstablished || !s.has(nStranger, prefix) {
		t.Errorf("%d connections; the neighbour's session is %s", len(conns), s.stateOf(nStranger))
	}
	// More connections of the neighbour itself do not disturb its session either.
	for range 50 {
		if c, err := dial(nStranger); err == nil {
			_, _ = c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
			defer c.Close()
		}
	}
	again := netip.MustParsePrefix("31.1.0.0/16")
	taken(t, s, p, nStranger, again)
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// Who sends its OPEN byte by byte holds up itself alone, and can have a session
// once it has closed that connection.
func TestASlowOpenHoldsUpNobodyElse(t *testing.T) {
	s := hostileTarget(t)
	slow, err := dial(nSlow)
	if err != nil {
		t.Fatal(err)
	}
	open := w.Open(hostileAS, hostileAddr(nSlow), 30)
	for n := range 10 {
		send(t, slow, open[n:n+1])
	}
	p := join(t, s, nHalf)
	taken(t, s, p, nHalf, netip.MustParsePrefix("32.0.0.0/16"))
	slow.Close()
	p = join(t, s, nSlow)
	taken(t, s, p, nSlow, netip.MustParsePrefix("33.0.0.0/16"))
}

// A connection that ends in the midst of an UPDATE takes the session's routes
// along, and nothing of the half message is used.
func TestHalfAnUpdate(t *testing.T) {
	s := hostileTarget(t)
	p := join(t, s, nHalf+20)
	whole, half := netip.MustParsePrefix("34.0.0.0/16"), netip.MustParsePrefix("34.1.0.0/16")
	taken(t, s, p, nHalf+20, whole)
	m := good(nHalf+20, half)
	send(t, p, m[:len(m)-1])
	p.Close()
	eventually(t, "the session has ended", func() bool { return s.stateOf(nHalf+20) != bgp.StateEstablished })
	eventually(t, "its route is gone", func() bool { return !s.has(nHalf+20, whole) })
	if s.has(nHalf+20, half) {
		t.Error("half a message is used")
	}
}

// A NOTIFICATION ends the session, and its words are told; another session is
// possible at once.
func TestNotifications(t *testing.T) {
	s := hostileTarget(t)
	p := join(t, s, nNotified)
	prefix := netip.MustParsePrefix("35.0.0.0/16")
	taken(t, s, p, nNotified, prefix)
	send(t, p, w.Message(w.TypeNotification, []byte{6, 2}))
	eventually(t, "the session has ended", func() bool { return s.stateOf(nNotified) != bgp.StateEstablished })
	eventually(t, "its route is gone", func() bool { return !s.has(nNotified, prefix) })
	s.mu.Lock()
	why := s.sessions[hostileAddr(nNotified)].lastError
	s.mu.Unlock()
	if why != "ended by the neighbour: cease, administrative shutdown" {
		t.Errorf("the reason is %q", why)
	}
	_ = p.SetReadDeadline(time.Now().Add(wait))
	if _, err := io.Copy(io.Discard, p); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection stays open")
	}
	p = join(t, s, nNotified)
	taken(t, s, p, nNotified, prefix)
}

// RFC 8654: with the capability of both, messages may have more than 4096 bytes.
func TestExtendedMessages(t *testing.T) {
	s := hostileTarget(t)
	p := join(t, s, nExtended, w.Capability(6))
	var many []netip.Prefix
	for n := range 5000 {
		many = append(many, netip.PrefixFrom(netip.AddrFrom4([4]byte{36, byte(n >> 8), byte(n), 0}), 24))
	}
	taken(t, s, p, nExtended, many...)
}
