package dataplane

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"vrouter/packet"
)

// segmentsOf cuts a GSO frame of TCP into the frames of a wire.
func segmentsOf(f *packet.Frame, size int) (all []*packet.Frame) {
	head := bytes.Clone(f.Data[:l3])
	for _, b := range slowSegments(f, size) {
		all = append(all, &packet.Frame{Data: append(bytes.Clone(head), b...)})
	}
	return all
}

// clones returns a copy of each frame.
func clones(frames []*packet.Frame) (all []*packet.Frame) {
	for _, f := range frames {
		all = append(all, &packet.Frame{Data: bytes.Clone(f.Data), VNet: f.VNet})
	}
	return all
}

// cutAgain cuts what Coalesce has made.
func cutAgain(frames []*packet.Frame) (all []*packet.Frame) {
	for _, f := range frames {
		if f.VNet.IsGSO() {
			all = append(all, segmentsOf(&packet.Frame{Data: bytes.Clone(f.Data), VNet: f.VNet}, int(f.VNet.GSOSize))...)
			continue
		}
		all = append(all, f)
	}
	return all
}

func TestSegmentsInARowBecomeTheFrameThatTheyWere(t *testing.T) {
	for name, f := range map[string]*packet.Frame{
		"IPv4":           tso4("203.0.113.1", 0x18, random(40000), 1448),
		"IPv6":           tso6("2001:db8:2::1", 0x18, random(40000), 1428),
		"without PSH":    tso4("203.0.113.1", 0x10, random(2*1448), 1448),
		"with ECN echo":  tso4("203.0.113.1", 0x50, random(9000), 1000),
		"small segments": tso4("203.0.113.1", 0x18, random(64*8), 8),
		"the largest":    tso4("203.0.113.1", 0x18, random(maxJoined-l3-52), 8960),
	} {
		want := *f
		want.Data = bytes.Clone(f.Data)
		want.VNet.HdrLen = want.VNet.CsumStart + 32
		if f.Data[l3]>>4 == 4 {
			finishHeader4(want.Data[l3:], packet.IPv4Len)
		}
		w := start()
		got := w.Coalesce(wan, segmentsOf(f, int(f.VNet.GSOSize)))
		if len(got) != 1 {
			t.Fatalf("%s: %d frames", name, len(got))
		}
		equal(t, name+": virtio-net header", got[0].VNet, want.VNet)
		if !bytes.Equal(got[0].Data, want.Data) {
			t.Errorf("%s: %x, want %x", name, got[0].Data[:80], want.Data[:80])
		}
		if _, ok := parseSegments(got[0], got[0].Data[l3:]); !ok {
			t.Errorf("%s: nobody could cut it", name)
		}
		w.Flush()
		equal(t, name+": counted", w.Counters().Coalesced, 1)
	}
}

func TestARowEndsWhereAnIPPacketIsFull(t *testing.T) {
	all := segmentsOf(tso4("203.0.113.1", 0x18, random(64*1448), 1448), 1448)
	got := start().Coalesce(wan, clones(all))
	equal(t, "frames", len(got), 2)
	equal(t, "size of the first", len(got[0].Data), l3+52+45*1448)
	same(t, "cut again", cutAgain(got), all)
}

// same compares frames.
func same(t *testing.T, what string, got, want []*packet.Frame) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(a, b *packet.Frame) bool { return bytes.Equal(a.Data, b.Data) && a.VNet == b.VNet }) {
		t.Errorf("%s: %d frames, want %d, or other ones", what, len(got), len(want))
	}
}

func TestSegmentsThatWouldNotBeCutTheSameStayApart(t *testing.T) {
	const l4 = l3 + 20
	for name, change := range map[string]func(f *packet.Frame){
		"destination MAC":    func(f *packet.Frame) { f.Data[5]++ },
		"type of service":    func(f *packet.Frame) { f.Data[l3+1]++ },
		"identification":     func(f *packet.Frame) { f.Data[l3+5]++ },
		"don't fragment":     func(f *packet.Frame) { f.Data[l3+6] ^= 0x40 },
		"TTL":                func(f *packet.Frame) { f.Data[l3+8]++ },
		"more fragments":     func(f *packet.Frame) { f.Data[l3+6] |= 0x20 },
		"fragment offset":    func(f *packet.Frame) { f.Data[l3+7] = 1 },
		"source address":     func(f *packet.Frame) { f.Data[l3+15]++ },
		"destination":        func(f *packet.Frame) { f.Data[l3+19]++ },
		"port":               func(f *packet.Frame) { f.Data[l4]++ },
		"sequence number":    func(f *packet.Frame) { f.Data[l4+7]++ },
		"acknowledgement":    func(f *packet.Frame) { f.Data[l4+11]++ },
		"reserved bits":      func(f *packet.Frame) { f.Data[l4+12]++ },
		"FIN":                func(f *packet.Frame) { f.Data[l4+13] |= 1 },
		"SYN":                func(f *packet.Frame) { f.Data[l4+13] |= 2 },
		"RST":                func(f *packet.Frame) { f.Data[l4+13] |= 4 },
		"no ACK":             func(f *packet.Frame) { f.Data[l4+13] &^= 0x10 },
		"URG":                func(f *packet.Frame) { f.Data[l4+13] |= 0x20 },
		"ECE":                func(f *packet.Frame) { f.Data[l4+13] |= 0x40 },
		"CWR":                func(f *packet.Frame) { f.Data[l4+13] |= 0x80 },
		"window":             func(f *packet.Frame) { f.Data[l4+15]++ },
		"urgent pointer":     func(f *packet.Frame) { f.Data[l4+19]++ },
		"timestamp":          func(f *packet.Frame) { f.Data[l4+31]++ },
		"length of options":  func(f *packet.Frame) { f.Data[l4+12] = 7 << 4 },
		"another protocol":   func(f *packet.Frame) { f.Data[l3+9] = packet.ProtoUDP },
		"IP options":         func(f *packet.Frame) { f.Data[l3] = 0x46 },
		"no payload":         func(f *packet.Frame) { f.Data = f.Data[:l4+32] },
		"longer":             func(f *packet.Frame) { f.Data = append(f.Data, 1) },
		"a partial checksum": func(f *packet.Frame) { partial(f) },
	} {
		all := segmentsOf(tso4("203.0.113.1", 0x10, random(2000), 1000), 1000)
		change(all[1])
		repair(all[1], name == "a partial checksum")
		want := clones(all)
		same(t, name, start().Coalesce(wan, all), want)
	}
	for name, at := range map[string]int{"traffic class": 1, "flow label": 3, "hop limit": 7, "next header": 6, "source": 23, "window": 40 + 15} {
		all := segmentsOf(tso6("2001:db8:2::1", 0x10, random(2000), 1000), 1000)
		all[1].Data[l3+at]++
		repair(all[1], false)
		want := clones(all)
		same(t, "IPv6: "+name, start().Coalesce(wan, all), want)
	}
}

// repair makes lengths and checksums right, so that nothing but what was changed
// keeps a frame apart.
func repair(f *packet.Frame, keep bool) {
	b := f.Data[l3:]
	if b[0]>>4 == 6 {
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	} else {
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		fixChecksum4(b)
	}
	if keep {
		return
	}
	if l4 := map[byte]int{4: int(b[0]&15) * 4, 6: 40}[b[0]>>4]; len(b) >= l4+20 {
		g := &packet.Frame{Data: f.Data}
		binary.BigEndian.PutUint16(b[l4+16:], partialTCP(g))
	}
}

// partialTCP returns the checksum of a frame as if it carried TCP.
func partialTCP(f *packet.Frame) uint16 {
	b := f.Data[l3:]
	at := map[byte]int{4: 9, 6: 6}[b[0]>>4]
	proto := b[at]
	b[at] = packet.ProtoTCP
	want := partial(f)
	b[at] = proto
	return want
}

func TestASegmentWithAWrongChecksumStaysAsItIs(t *testing.T) {
	for wrong := range 3 {
		all := segmentsOf(tso4("203.0.113.1", 0x10, random(3000), 1000), 1000)
		all[wrong].Data[len(all[wrong].Data)-1]++
		want := clones(all)
		got := start().Coalesce(wan, all)
		equal(t, fmt.Sprint("frames, the wrong one being ", wrong), len(got), []int{2, 3, 2}[wrong])
		same(t, fmt.Sprint("cut again, the wrong one being ", wrong), cutAgain(got), want)
	}
}

func TestNothingIsJoinedForAPortWithoutTheOffload(t *testing.T) {
	for name, tt := range map[string]struct {
		offload packet.Offload
		v4, v6  int // frames
	}{
		"none":         {0, 2, 2},
		"no checksums": {packet.OffloadTSO4 | packet.OffloadTSO6, 2, 2},
		"no TSO":       {packet.OffloadCsum | packet.OffloadUSO, 2, 2},
		"IPv4":         {packet.OffloadCsum | packet.OffloadTSO4, 1, 2},
		"IPv6":         {packet.OffloadCsum | packet.OffloadTSO6, 2, 1},
	} {
		w := start()
		w.snap.Ports[wan].Offload = tt.offload
		equal(t, name+": IPv4", len(w.Coalesce(wan, segmentsOf(tso4("203.0.113.1", 0x10, random(2000), 1000), 1000))), tt.v4)
		equal(t, name+": IPv6", len(w.Coalesce(wan, segmentsOf(tso6("2001:db8:2::1", 0x10, random(2000), 1000), 1000))), tt.v6)
	}
}

// A connection of the random test: what it sends next.
type talker struct {
	v6   bool
	port byte
	seq  uint32
	id   uint16
}

// says returns some frames in a row.
func (c *talker) says(r *rand.Rand) (all []*packet.Frame) {
	size, data := 1+r.IntN(1400), random(1+r.IntN(6000))
	flags := []byte{0x10, 0x18, 0x10, 0x18, 0x50, 0x11, 0x90}[r.IntN(7)]
	segment := tcp(c.seq, flags, data)
	segment[1] = c.port
	if r.IntN(4) == 0 {
		segment[15]++ // window
	}
	c.seq += uint32(len(data))
	var f *packet.Frame
	if c.v6 {
		f = gso(from6(ip6{dst: "2001:db8:2::1", next: packet.ProtoTCP, payload: segment}), packet.GSOTCPv6, size)
	} else {
		f = gso(from4(ip4{dst: "203.0.113.1", id: c.id, flags: 0x4000, proto: packet.ProtoTCP, payload: segment}), packet.GSOTCPv4, size)
	}
	if r.IntN(8) == 0 {
		return []*packet.Frame{f} // as a sender with offloads hands it over
	}
	all = segmentsOf(f, size)
	c.id += uint16(len(all))
	switch r.IntN(10) {
	case 0: // one is lost
		i := r.IntN(len(all))
		all = slices.Delete(all, i, i+1)
	case 1: // two have changed places
		i, j := r.IntN(len(all)), r.IntN(len(all))
		all[i], all[j] = all[j], all[i]
	case 2: // one is damaged
		f := all[r.IntN(len(all))]
		f.Data[l3+1+r.IntN(len(f.Data)-l3-1)] ^= 1 << r.IntN(8)
		rightHeader(f)
	case 3: // one has an acknowledgement between
		all = slices.Insert(all, r.IntN(len(all)), &packet.Frame{Data: bytes.Clone(all[0].Data[:len(all[0].Data)-1])})
	}
	return all
}

// rightHeader makes an IPv4 header's checksum right: Forward drops other packets.
func rightHeader(f *packet.Frame) {
	if len(f.Data) >= l3+20 && f.Data[l3] == 0x45 {
		fixChecksum4(f.Data[l3:])
	}
}

// conversation returns what some connections say at the same time.
func conversation(r *rand.Rand, talkers []talker) (all []*packet.Frame) {
	var said [][]*packet.Frame
	for range 1 + r.IntN(6) {
		said = append(said, talkers[r.IntN(len(talkers))].says(r))
	}
	for len(said) > 0 && len(all) < 64 {
		i := r.IntN(len(said))
		n := min(1+r.IntN(6), len(said[i]))
		all = append(all, said[i][:n]...)
		if said[i] = said[i][n:]; len(said[i]) == 0 {
			said = slices.Delete(said, i, i+1)
		}
	}
	return all
}

// perConnection sorts frames by connection and keeps their order.
func perConnection(frames []*packet.Frame) map[string][]*packet.Frame {
	m := map[string][]*packet.Frame{}
	for _, f := range frames {
		key := "else"
		if l4, _ := tcpParts(f.Data); l4 > 0 {
			addresses := map[int]int{l3 + 20: 8, l3 + 40: 32}[l4]
			key = string(f.Data[12:14]) + string(f.Data[l4-addresses:l4+4])
		}
		m[key] = append(m[key], f)
	}
	return m
}

func TestWhatWasJoinedIsCutIntoTheSameFramesOfEachConnection(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	var talkers []talker
	for i := range 12 {
		talkers = append(talkers, talker{v6: i%3 == 0, port: byte(i), seq: 1<<32 - 20000, id: 65530})
	}
	joined := uint64(0)
	for n := range 3000 {
		w := start()
		in := conversation(r, talkers)
		want := clones(in)
		got := w.Coalesce(wan, in)
		w.Flush()
		joined += w.Counters().Coalesced
		wanted, cut := perConnection(cutAgain(want)), perConnection(cutAgain(got))
		equal(t, "connections", len(cut), len(wanted))
		for key := range wanted {
			same(t, fmt.Sprintf("batch %d, connection %x", n, key), cut[key], wanted[key])
		}
		if t.Failed() {
			return
		}
	}
	if joined < 3000 {
		t.Errorf("only %d frames were joined", joined)
	}
}

func TestCoalesceAllocatesNothing(t *testing.T) {
	all := segmentsOf(tso4("203.0.113.1", 0x18, random(60*1448), 1448), 1448)
	list, frames := make([]*packet.Frame, len(all)), make([]packet.Frame, len(all))
	w := start()
	run := func() {
		for i, f := range all {
			frames[i] = *f
			list[i] = &frames[i]
		}
		w.Coalesce(wan, list)
	}
	run()
	equal(t, "allocations", testing.AllocsPerRun(100, run), 0)
}

// FuzzCoalesce looks for a frame that is joined with one before it, or before that,
// and that cutting does not bring back.
func FuzzCoalesce(f *testing.F) {
	for _, b := range segmentsOf(tso4("203.0.113.1", 0x18, random(90), 30), 30) {
		f.Add(b.Data)
	}
	for _, b := range segmentsOf(tso6("2001:db8:2::1", 0x18, random(90), 30), 30) {
		f.Add(b.Data)
	}
	before := append(segmentsOf(tso4("203.0.113.1", 0x10, random(60), 30), 30), segmentsOf(tso6("2001:db8:2::1", 0x10, random(60), 30), 30)...)
	f.Fuzz(func(t *testing.T, b []byte) {
		rightHeader(&packet.Frame{Data: b})
		in := append(clones(before), &packet.Frame{Data: b}, &packet.Frame{Data: bytes.Clone(b)})
		want := perConnection(clones(in))
		got := perConnection(cutAgain(start().Coalesce(wan, in)))
		for key := range want {
			same(t, fmt.Sprintf("connection %x", key), got[key], want[key])
		}
	})
}

func BenchmarkCoalesce(b *testing.B) {
	for name, flows := range map[string]int{"bulk": 1, "4 connections": 4, "64 connections": 64} {
		b.Run(name, func(b *testing.B) {
			var all []*packet.Frame
			var each [][]*packet.Frame
			for i := range flows {
				segment := tcp(1, 0x10, random(64/flows*1448))
				segment[1] = byte(i)
				each = append(each, segmentsOf(gso(from4(ip4{dst: "203.0.113.1", proto: packet.ProtoTCP, payload: segment}), packet.GSOTCPv4, 1448), 1448))
			}
			for i := range 64 {
				all = append(all, each[i%flows][i/flows])
			}
			list, frames := make([]*packet.Frame, len(all)), make([]packet.Frame, len(all))
			w := start()
			b.ReportAllocs()
			for b.Loop() {
				for i, f := range all {
					frames[i] = *f
					list[i] = &frames[i]
				}
				w.Coalesce(wan, list)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(64*b.N), "ns/packet")
		})
	}
}
