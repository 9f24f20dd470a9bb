package sim

import (
	"testing"
	"time"

	"vrouter/arp"
	"vrouter/packet"
)

// sink is a station that keeps what it hears.
type sink struct {
	heard  [][]byte
	linked []bool
}

func (s *sink) receive(_ int, frame []byte) { s.heard = append(s.heard, frame) }
func (s *sink) linkChanged(_ int, up bool)  { s.linked = append(s.linked, up) }
func (s *sink) count() (n int)              { n, s.heard = len(s.heard), nil; return n }
func frameTo(dst, src packet.MAC) (b []byte) {
	b = make([]byte, 60)
	packet.PutEthernet(b, dst, src, 0x88b5)
	return b
}

// bench is a switch with three stations.
type bench struct {
	*World
	s     *Switch
	at    [3]sink
	links [3]*Link
}

func newBench() *bench {
	b := &bench{World: New(1)}
	b.s = b.NewSwitch("lan")
	for i := range b.at {
		b.links[i] = b.Connect(b.s, &b.at[i], 0)
	}
	return b
}

// send sends from a station and returns how many frames each heard.
func (b *bench) send(from int, dst packet.MAC) (heard [3]int) {
	b.links[from].send(frameTo(dst, mac(from)))
	b.Run(time.Millisecond)
	for i := range b.at {
		heard[i] = b.at[i].count()
	}
	return heard
}

func mac(i int) packet.MAC { return packet.MAC{2, 0, 0, 0, 0, byte(i)} }

func TestSwitchFloodsUntilItHasLearned(t *testing.T) {
	b := newBench()
	want := func(got, want [3]int) {
		t.Helper()
		if got != want {
			t.Errorf("heard by %v, want %v", got, want)
		}
	}
	want(b.send(0, mac(1)), [3]int{0, 1, 1})
	want(b.send(1, mac(0)), [3]int{1, 0, 0})
	want(b.send(0, mac(1)), [3]int{0, 1, 0})
	want(b.send(0, packet.Broadcast), [3]int{0, 1, 1})
	b.s.Forget()
	want(b.send(0, mac(1)), [3]int{0, 1, 1})
}

func TestIslandsHearOnlyThemselves(t *testing.T) {
	b := newBench()
	for i := range 3 {
		b.send(i, packet.Broadcast)
	}
	b.s.Partition(b.links[2])
	if got := b.send(0, packet.Broadcast); got != [3]int{0, 1, 0} {
		t.Error(got)
	}
	if got := b.send(0, mac(2)); got != [3]int{0, 1, 0} {
		t.Errorf("a station on the far side is flooded for, not reached: %v", got)
	}
	if b.s.portOf(0, mac(2)) != nil || b.s.portOf(1, mac(2)) != b.links[2] {
		t.Error("what was learned of the far side is forgotten, and known there")
	}
	b.s.Heal()
	if got := b.send(0, mac(2)); got != [3]int{0, 1, 1} {
		t.Error(got)
	}
}

func TestCutLinksAreSeenAndCarryNothing(t *testing.T) {
	b := newBench()
	b.send(1, packet.Broadcast)
	b.links[1].Set(false)
	b.links[1].Set(false)
	if got := b.send(0, mac(1)); got != [3]int{0, 0, 1} {
		t.Error(got)
	}
	b.links[1].Set(true)
	if got := b.at[1].linked; len(got) != 2 || got[0] || !got[1] {
		t.Error(got)
	}
}

func TestLossIsOneWay(t *testing.T) {
	b := newBench()
	b.links[1].lossDown = 1 // deaf
	if got := b.send(0, packet.Broadcast); got != [3]int{0, 0, 1} {
		t.Error(got)
	}
	if got := b.send(1, packet.Broadcast); got != [3]int{1, 0, 1} {
		t.Error(got)
	}
	b.links[1].lossDown, b.links[1].lossUp = 0, 1 // mute
	if got := b.send(1, packet.Broadcast); got != [3]int{0, 0, 0} {
		t.Error(got)
	}
}

// Hosts ask for their gateway once a second, keep packets meanwhile, and follow
// gratuitous ARP.
func TestHostResolvesAndFollowsItsGateway(t *testing.T) {
	w := New(1)
	s := w.NewSwitch("lan")
	h := w.newHost("host", s, hostAddrs(0), gatewayAddrs(0))
	var peer sink
	link := w.Connect(s, &peer, 0)
	probe := func() []byte { return probeFrame(h.addr[0], hostAddrs(1)[0], 0, 0) }

	h.send(0, probe())
	w.Run(1500 * time.Millisecond)
	if n := peer.count(); n != 2 {
		t.Errorf("%d requests in 1.5 s, want 2", n)
	}
	link.send(arp.Gratuitous(virtualMAC, gateway4))
	w.Run(time.Millisecond)
	if len(peer.heard) != 1 || packet.Ethernet(peer.heard[0]).Dst() != virtualMAC {
		t.Errorf("the packet that waited did not follow: %x", peer.heard)
	}
	peer.count()
	other := packet.MAC{2, 9, 9, 9, 9, 9}
	link.send(arp.Gratuitous(other, gateway4))
	w.Run(time.Millisecond)
	h.send(0, probe())
	w.Run(time.Millisecond)
	if len(peer.heard) != 1 || packet.Ethernet(peer.heard[0]).Dst() != other {
		t.Errorf("the host did not follow: %x", peer.heard)
	}
	w.Run(hostReachable)
	peer.count()
	h.send(0, probe())
	w.Run(10 * time.Second)
	if n := peer.count(); n != 1+2*hostTries || h.gateways[0].resolved {
		t.Errorf("%d frames, resolved %v: a silent gateway is asked for 3 + 3 times, then forgotten", n, h.gateways[0].resolved)
	}
}
