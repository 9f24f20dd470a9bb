package interop

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"vrouter/internal/netlab"
	"vrouter/packet"
	"vrouter/vrrp"
)

// malformedCount is how many damaged frames are sent.
const malformedCount = 2000

// liar is the MAC that all damaged frames come from, so that the switch learns
// nothing wrong about the others.
var liar = packet.MAC{0x02, 0, 0, 0, 0, 0x77}

func TestMalformedFramesChangeNothing(t *testing.T) {
	r := newRig(t)
	r1 := r.vrouter("r1", interfaces(numberFirst)+gateways(200, "200ms"))
	r2 := r.vrouter("r2", interfaces(numberB)+gateways(100, "200ms"))
	r1.start()
	r2.start()
	r1.waitMaster()
	for _, name := range []string{"lan4", "lan6", "wan4", "wan6"} {
		r2.waitState(name, "Backup")
	}
	var streams []*netlab.Stream
	for _, target := range []string{target4, target6} {
		s, err := netlab.StartStream(r.lan, r.up, netip.MustParseAddr(target), 7007, 200)
		must(t, err)
		defer s.Close()
		waitFor(t, patience, "traffic flows", func() error { return flowing(s) })
		streams = append(streams, s)
	}
	samples := r.samples()
	before := [2][]virtual{r1.allVirtual(), r2.allVirtual()}
	drops := r1.drops()
	var marks []uint64
	for _, s := range streams {
		marks = append(marks, s.Next())
	}

	r.sendMalformed(samples)

	time.Sleep(time.Second) // for what they might have started
	for i, v := range []*vrouter{r1, r2} {
		for j, after := range v.allVirtual() {
			if after != before[i][j] {
				t.Errorf("from %+v to %+v: want no change", before[i][j], after)
			}
		}
	}
	for i, s := range streams {
		waitFor(t, patience, "traffic flows", func() error { return flowing(s) })
		if loss := s.Loss(marks[i]); loss.Lost > 3 || loss.Duplicates > 0 {
			t.Errorf("traffic to %s suffered: %+v", []string{target4, target6}[i], loss)
		}
	}
	if more := r1.drops() - drops; more < malformedCount/10 {
		t.Errorf("r1 counted %d dropped frames, of %d damaged ones", more, malformedCount)
	}
	r.waitServed(patience, virtual4, "r1.lan")
	r.waitServed(patience, virtual6, "r1.lan")
}

func flowing(s *netlab.Stream) error {
	if !s.Flowing(100) {
		return errors.New("packets are missing")
	}
	return nil
}

// samples returns good frames of many kinds: what routers and hosts send.
func (r *rig) samples() [][]byte {
	r.t.Helper()
	c := r.capture(r.lan)
	must(r.t, r.lan.FlushNeighbors("eth0"))
	for _, address := range []string{virtual4, virtual6, "192.0.2.2", "2001:db8:1::2", target4, target6} {
		if _, err := r.run(r.lan, "ping", "-c", "1", "-W", "3", address); err != nil {
			r.t.Error(err)
		}
	}
	time.Sleep(time.Second)
	c.stop()
	kinds := map[string][]byte{} // one of each kind: type, protocol, length
	for _, f := range c.frames {
		if len(f) > packet.EthernetLen+10 {
			kinds[string(f[12:14])+string(f[packet.EthernetLen+6:packet.EthernetLen+10])+string(rune(len(f)))] = f
		}
	}
	var frames [][]byte
	for _, f := range kinds {
		frames = append(frames, f)
	}
	mac := packet.MAC{}
	if own, err := r.lan.MAC("eth0"); err == nil {
		mac = packet.MAC(own)
	}
	frames = append(frames,
		udpFrame(mac, virtualMAC(virtual4), "192.0.2.77", target4),
		udpFrame(mac, virtualMAC(virtual4), "192.0.2.77", "192.0.2.2"),
		udpFrame(mac, virtualMAC(virtual6), "2001:db8:1::77", target6),
		arpFrame(mac, "192.0.2.77", virtual4),
	)
	if len(frames) < 10 {
		r.t.Fatalf("only %d kinds of frames to damage", len(frames))
	}
	return frames
}

// udpFrame returns a good frame with a UDP packet.
func udpFrame(src, dst packet.MAC, from, to string) []byte {
	s, d := netip.MustParseAddr(from), netip.MustParseAddr(to)
	udp := []byte{0x80, 0, 0x80, 1, 0, 12, 0, 0, 1, 2, 3, 4}
	sum := packet.Sum(packet.PseudoHeader(s, d, packet.ProtoUDP, len(udp)), udp)
	binary.BigEndian.PutUint16(udp[6:], packet.Checksum(sum))
	b := make([]byte, packet.EthernetLen+packet.IPv6Len)
	if s.Is6() {
		packet.PutEthernet(b, dst, src, packet.EtherTypeIPv6)
		h := packet.IPv6Header{NextHeader: packet.ProtoUDP, HopLimit: 64, Src: s, Dst: d}
		h.Put(b[packet.EthernetLen:], len(udp))
		return append(b, udp...)
	}
	packet.PutEthernet(b, dst, src, packet.EtherTypeIPv4)
	h := packet.IPv4Header{TTL: 64, Protocol: packet.ProtoUDP, Src: s, Dst: d}
	h.Put(b[packet.EthernetLen:], len(udp))
	return append(b[:packet.EthernetLen+packet.IPv4Len], udp...)
}

// arpFrame returns an ARP request.
func arpFrame(src packet.MAC, from, to string) []byte {
	s, d := netip.MustParseAddr(from).As4(), netip.MustParseAddr(to).As4()
	b := make([]byte, packet.EthernetLen)
	packet.PutEthernet(b, packet.Broadcast, src, packet.EtherTypeARP)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, 1)
	b = append(append(b, src[:]...), s[:]...)
	return append(append(b, make([]byte, 6)...), d[:]...)
}

// sendMalformed sends damaged copies of the samples into the LAN, a thousand
// a second.
func (r *rig) sendMalformed(samples [][]byte) {
	r.t.Helper()
	wire, err := r.lan.OpenWire("eth0")
	must(r.t, err)
	defer wire.Close()
	seed := uint64(time.Now().UnixNano())
	r.t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for i := 0; i < malformedCount; {
		f := damage(random, samples[random.IntN(len(samples))])
		if misleads(f) || advertises(f) {
			continue
		}
		if err := wire.Write(f); err != nil {
			r.t.Fatalf("frame of %d bytes: %v", len(f), err)
		}
		if i++; i%10 == 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// damage returns a copy of a frame with a few random changes behind the MAC
// addresses. Frames to hosts are turned to the routers' group and virtual
// addresses by turns.
func damage(random *rand.Rand, sample []byte) []byte {
	f := bytes.Clone(sample)
	copy(f[6:12], liar[:])
	if f[0]&1 == 0 {
		mac := virtualMAC([]string{virtual4, virtual6}[random.IntN(2)])
		copy(f, mac[:])
	}
	for range 1 + random.IntN(4) {
		switch at := 12 + random.IntN(len(f)-13); random.IntN(6) {
		case 0, 1:
			f[at] ^= 1 << random.IntN(8)
		case 2:
			f[at] = byte(random.Uint32())
		case 3: // lengths and counts love the extremes
			f[at], f[at+1] = []byte{0, 0xff}[random.IntN(2)], []byte{0, 1, 0xff}[random.IntN(3)]
		case 4:
			f = f[:max(at, packet.EthernetLen+1)]
		case 5:
			f = append(f, make([]byte, random.IntN(200))...)
		}
		if len(f) < packet.EthernetLen+2 {
			break
		}
	}
	return f
}

// advertises reports whether a frame is a good IPv6 advertisement by chance: that is
// to be believed. 0 and 0xffff are the same to a checksum, so damage of an address
// that makes one of the other leaves it right.
func advertises(f []byte) bool {
	e, ok := packet.ParseEthernet(f)
	if !ok || e.Type() != packet.EtherTypeIPv6 {
		return false
	}
	ip, ok := packet.ParseIPv6(e.Payload())
	if !ok || ip.NextHeader() != packet.ProtoVRRP {
		return false
	}
	_, reason := vrrp.Parse(ip.Src(), ip.Dst(), ip.HopLimit(), ip.Payload())
	return reason == vrrp.ReasonNone
}

// misleads reports whether a frame is a good ARP packet by chance that says
// where an address of another host is: that is to be believed, as ARP has no
// means to doubt it.
func misleads(f []byte) bool {
	arp := f[packet.EthernetLen:]
	if packet.Ethernet(f).Type() != packet.EtherTypeARP || len(arp) < 28 {
		return false
	}
	return netip.AddrFrom4([4]byte(arp[14:18])) == netip.MustParseAddr(lanHost4)
}

// allVirtual returns all virtual routers.
func (v *vrouter) allVirtual() []virtual {
	v.t.Helper()
	out, err := v.show("vrrp")
	must(v.t, err)
	var list []virtual
	must(v.t, json.Unmarshal(out, &list))
	return list
}

// drops returns how many frames the router has dropped, for all reasons.
func (v *vrouter) drops() (sum uint64) {
	v.t.Helper()
	out, err := v.show("counters")
	must(v.t, err)
	var counters struct{ Drops map[string]uint64 }
	must(v.t, json.Unmarshal(out, &counters))
	for _, n := range counters.Drops {
		sum += n
	}
	return sum
}
