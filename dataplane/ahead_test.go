package dataplane

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"vrouter/bench/prefixes"
	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// large returns the test world with so many routes more that looking ahead pays.
func large() *fib.Snapshot {
	s := newWorld()
	first := fib.GroupID(len(s.Groups))
	for i := range hops {
		s.Groups = append(s.Groups, fib.Group{Kind: fib.Gateway, Hops: []fib.NextHop{
			{Port: wan, Via: ip("203.0.113.1"), MAC: packet.MAC{2, 0, 0, 0, 1, byte(i)}, Resolved: true},
		}})
	}
	var changes []fib.Change
	for i, p := range slices.Concat(prefixes.IPv4(1, aheadRoutes), prefixes.IPv6(1, 1000)) {
		if _, ok := s.Routes.Get(p); !ok {
			changes = append(changes, fib.Change{Prefix: p, Group: first + fib.GroupID(i%hops)})
		}
	}
	s.Routes = s.Routes.With(changes...)
	return s
}

// randomFrame returns a frame of any kind: most go somewhere, some are damaged.
func randomFrame(r *rand.Rand, to []netip.Addr) *packet.Frame {
	var f *packet.Frame
	if a := to[r.IntN(len(to))]; a.Is4() {
		f = from4(ip4{dst: a.String(), ttl: uint8(1 + r.IntN(3))})
	} else {
		f = from6(ip6{dst: a.String(), hops: uint8(1 + r.IntN(3))})
	}
	switch r.IntN(8) {
	case 0:
		f.Data = f.Data[:r.IntN(len(f.Data)+1)]
	case 1:
		f.Data[r.IntN(len(f.Data))] ^= 1 << r.IntN(8)
	case 2:
		f.Data[12], f.Data[13] = byte(r.Uint32()), byte(r.Uint32())
	}
	return f
}

// What was looked up ahead changes no verdict and no byte, whatever the frames.
func TestLookingAheadChangesNothing(t *testing.T) {
	s := large()
	r := rand.New(rand.NewPCG(9, 9))
	to := slices.Concat(prefixes.Addresses(1, prefixes.IPv4(1, aheadRoutes), 500), prefixes.Addresses(1, prefixes.IPv6(1, 1000), 500))
	for _, a := range []string{"192.0.2.2", "203.0.113.1", "100.64.0.1", "10.66.0.1", "2001:db8:2::1", "2001:db8:1::2", "fe80::2", "::1", "::", "0:0:0:1::c000:201", "10.6.0.1"} {
		to = append(to, netip.MustParseAddr(a))
	}
	hit := 0
	for range 300 {
		plain, ahead := NewForwarder(), NewForwarder()
		var frames, same []packet.Frame
		for range 1 + r.IntN(aheadMax+10) { // more than there is room for, too
			f := randomFrame(r, to)
			frames = append(frames, *f)
			same = append(same, packet.Frame{Data: bytes.Clone(f.Data), VNet: f.VNet})
		}
		plain.Begin(s, 1)
		ahead.Begin(s, 1)
		ahead.Ahead(same)
		hit += ahead.looked
		for i := range frames {
			want, got := plain.Forward(lan, &frames[i]), ahead.Forward(lan, &same[i])
			if got != want || !bytes.Equal(same[i].Data, frames[i].Data) {
				t.Fatalf("frame %d: %+v %x, want %+v %x", i, got, same[i].Data, want, frames[i].Data)
			}
		}
		equal(t, "counters", ahead.counts, plain.counts)
	}
	if hit == 0 {
		t.Error("nothing was looked up ahead")
	}
}

// Frames that were not told of, in another order or of another batch, are
// forwarded by their own destinations.
func TestLookingAheadIsOnlyAHint(t *testing.T) {
	s := large()
	four := prefixes.Addresses(1, prefixes.IPv4(1, aheadRoutes), 64)
	w := NewForwarder()
	w.Begin(s, 1)
	var frames []packet.Frame
	for _, a := range four {
		frames = append(frames, *from4(ip4{dst: a.String()}))
	}
	w.Ahead(frames)
	slices.Reverse(frames)
	slices.Reverse(four)
	for i := range frames {
		w.Forward(lan, &frames[i])
		id, _ := s.Routes.Lookup(four[i])
		if want := s.Groups[id].Hops[0].MAC; packet.MAC(frames[i].Data[:6]) != want {
			t.Fatalf("to %s by %v, want %v", four[i], packet.MAC(frames[i].Data[:6]), want)
		}
	}
	// The next batch has another snapshot, without a word of what comes.
	w.Begin(newWorld(), 2)
	if f := from4(ip4{dst: four[0].String()}); w.Forward(lan, f).Action == Transmit && packet.MAC(f.Data[:6]) != macISP {
		t.Error("a route of the snapshot before was taken")
	}
}
