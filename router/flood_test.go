package router

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vrouter/arp"
	"vrouter/packet"
	"vrouter/vrrp"
)

// floodedBackup has one virtual router, Backup of 192.0.2.3, which has answered
// for its address.
const floodedBackup = `
[[interface]]
name = "lan"
attach = "af_packet"
device = "eth1"
addresses = ["192.0.2.2/24"]

[[vrrp]]
name = "lan4"
interface = "lan"
vrid = 10
addresses = ["192.0.2.1"]
priority = 100
`

const answer = "reply lan from=192.0.2.3 mac=02:00:00:00:00:03"

// newFlooded returns a script of a configuration with the interface lan, whose
// virtual routers follow 192.0.2.3.
func newFlooded(t testing.TB, text string) *script {
	t.Helper()
	s := newScript(t, text)
	s.run("up lan")
	for _, v := range s.router.virtual {
		s.run(fmt.Sprintf("advert lan priority=200 vrid=%d from=192.0.2.3", v.cfg.VRID))
	}
	s.run(answer)
	s.trace.Reset()
	return s
}

// count returns how many lines of the trace since the last count have a word.
func (s *script) count(word string) int {
	n := strings.Count(s.trace.String(), word)
	s.trace.Reset()
	return n
}

// sumUp checks that every frame that was received is accounted for.
func (s *script) sumUp() {
	s.t.Helper()
	kept := 0
	for _, v := range s.router.virtual {
		c := v.flood.counters
		kept += v.flood.kept.bytes
		if sum := c.answered + c.overflow + c.expired + c.withdrawn + c.forwarded + uint64(v.flood.kept.used); sum != c.received {
			s.t.Errorf("%v: %s: %+v and %d kept: %d frames in all", s.now, v.cfg.Name, c, v.flood.kept.used, sum)
		}
	}
	if kept != s.router.keptBytes || kept > keptBytesTotal {
		s.t.Errorf("%v: %d bytes are kept, counted as %d", s.now, kept, s.router.keptBytes)
	}
}

// floodWith hands in a frame of a size.
func (s *script) floodWith(vrid uint8, size int) {
	s.t.Helper()
	frame := make([]byte, size)
	packet.PutEthernet(frame, vrrp.VirtualMAC(vrid, false), packet.MAC{2, 0, 0, 0, 0, 0xaa}, packet.EtherTypeIPv4)
	s.turn(s.router.Flooded(s.now, 0, frame, packet.VNet{}))
}

func TestAFloodIsKeptWithinBounds(t *testing.T) {
	s := newFlooded(t, floodedBackup)
	f := &s.router.virtual[0].flood
	for i := range 3 * keptFrames {
		s.floodWith(10, 60+i%40)
		s.sumUp()
	}
	if f.kept.used != keptFrames || f.counters.overflow != 2*keptFrames {
		t.Errorf("%d frames kept, %d too many", f.kept.used, f.counters.overflow)
	}
	if s.count("who-has") != 1 {
		t.Error("the Master is not asked just once")
	}
	for range 100 {
		s.floodWith(10, 60_000)
		s.sumUp()
	}
	if f.kept.bytes > keptBytes || f.kept.used != keptBytes/60_000 {
		t.Errorf("%d frames of 60000 bytes kept: %d bytes", f.kept.used, f.kept.bytes)
	}
	s.run(answer)
	s.advance(time.Second)
	if f.kept.slots != nil || len(s.router.inquiries) != 0 {
		t.Error("the buffers stay when all is over")
	}
	s.sumUp()
}

func TestTheFloodsOfAllVirtualRoutersAreBounded(t *testing.T) {
	text := strings.Split(floodedBackup, "[[vrrp]]")[0]
	for vrid := range 40 {
		text += fmt.Sprintf("[[vrrp]]\nname = \"v%d\"\ninterface = \"lan\"\nvrid = %d\naddresses = [\"192.0.2.%d\"]\n", vrid, vrid+100, vrid+100)
	}
	s := newFlooded(t, text)
	for range 20 {
		for vrid := range 40 {
			s.floodWith(uint8(vrid+100), 60_000)
		}
	}
	s.sumUp()
	if n := s.count("who-has 192.0.2.3"); n != 1 {
		t.Errorf("one Master of 40 virtual routers is asked %d times at once", n)
	}
	if s.router.keptBytes < keptBytesTotal-60_000 {
		t.Errorf("only %d bytes are kept", s.router.keptBytes)
	}
	s.advance(9 * time.Millisecond)
	if n := s.count("Backup -> Master"); n != 40 {
		t.Errorf("%d of 40 take over", n)
	}
	s.sumUp()
}

// Who slept through the time of an answer has not heard a silence.
func TestALateDeadlineIsNoSilence(t *testing.T) {
	s := newFlooded(t, floodedBackup)
	s.run("flood lan lan4")
	for range 5 {
		s.now = s.router.Deadline().Add(inquiryLate + time.Millisecond)
		s.advanceOnce()
	}
	if n := s.count("who-has 192.0.2.3"); n != 6 || s.router.virtual[0].machine.State() != vrrp.Backup {
		t.Errorf("%d questions, and it is %v", n, s.router.virtual[0].machine.State())
	}
	s.advance(10 * time.Millisecond)
	if s.count("forward in lan") != 1 {
		t.Error("on time again, it does not take over")
	}
}

// Nor is it one while frames are unread.
func TestUnreadFramesAreNoSilence(t *testing.T) {
	s := newFlooded(t, floodedBackup)
	s.run("flood lan lan4")
	s.turn(s.router.Unheard(s.now)) // nothing is due
	for range 10 {
		s.now = s.router.Deadline()
		s.turn(s.router.Unheard(s.now))
		s.advanceOnce()
	}
	if n := s.count("who-has 192.0.2.3"); n != 11 || s.router.virtual[0].machine.State() != vrrp.Backup {
		t.Errorf("%d questions, and it is %v", n, s.router.virtual[0].machine.State())
	}
	s.advance(10 * time.Millisecond)
	if s.count("forward in lan") != 1 {
		t.Error("it does not take over when all was read")
	}
}

func TestFramesAreNotKeptForLong(t *testing.T) {
	s := newFlooded(t, floodedBackup)
	s.run("flood lan lan4")
	for range 20 {
		s.now = s.router.Deadline().Add(inquiryLate + time.Millisecond)
		s.advanceOnce()
		s.sumUp()
	}
	if f := &s.router.virtual[0].flood; f.counters.expired != 1 || f.kept.used != 0 {
		t.Errorf("%+v, %d kept", f.counters, f.kept.used)
	}
}

func TestAfterAFreezeNothingIsAskedBeforeAnAdvertisement(t *testing.T) {
	s := newFlooded(t, floodedBackup)
	s.run("flood lan lan4")
	s.now = s.now.Add(3 * time.Second)
	s.advanceOnce()
	s.sumUp()
	if s.router.Snapshot().Ports[0].IsWatched(vrrp.VirtualMAC(10, false)) {
		t.Error("it watches on")
	}
	s.floodWith(10, 60)
	s.advance(100 * time.Millisecond)
	if s.count("forward in") > 0 || s.router.virtual[0].machine.State() != vrrp.Backup {
		t.Error("it takes over for what came before or in the freeze")
	}
	s.run("advert lan priority=200 from=192.0.2.3")
	if !s.router.Snapshot().Ports[0].IsWatched(vrrp.VirtualMAC(10, false)) {
		t.Error("it does not watch again")
	}
	s.sumUp()
}

// Nothing is watched for where there is nobody to ask, or nothing to ask for.
func TestWhoIsNotAsked(t *testing.T) {
	off := floodedBackup + "fast_detect = false\n"
	elsewhere := strings.Replace(floodedBackup, "192.0.2.2/24", "192.0.2.2/31", 1)
	for _, tt := range []struct {
		name, text string
		commands   []string
	}{
		{"switched off", off, nil},
		{"not on the link", strings.Replace(elsewhere, `"192.0.2.1"`, `"192.0.2.3"`, 1), []string{"advert lan priority=200 from=192.0.2.9"}},
		{"never answered", floodedBackup, []string{"advert lan priority=200 from=192.0.2.4"}},
		{"has given up", floodedBackup, []string{"advert lan priority=0 from=192.0.2.3"}},
		{"none heard", floodedBackup, []string{"down lan", "up lan"}},
		{"we are Master", floodedBackup, []string{"skip 5s"}},
		{"we hand over", floodedBackup, []string{"skip 5s", "switchover lan4"}},
		{"we stop", floodedBackup, []string{"stop"}},
		{"interface down", floodedBackup, []string{"down lan"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newFlooded(t, tt.text)
			for _, c := range tt.commands {
				s.run(c)
			}
			if s.router.Snapshot().Ports[0].IsWatched(vrrp.VirtualMAC(10, false)) {
				t.Error("it is watched for")
			}
			s.trace.Reset()
			s.floodWith(10, 60) // by a worker that does not know yet
			if s.router.virtual[0].flood.kept.used > 0 || s.count("who-has") > 0 {
				t.Error("the frame is kept, or somebody asked")
			}
			s.sumUp()
		})
	}
}

// When the first question has no answer, the neighbours that the packets go to
// are asked for, each once.
func TestNeighboursOfFloodedPacketsAreResolvedMeanwhile(t *testing.T) {
	wan := "[[interface]]\nname = \"wan\"\nattach = \"af_packet\"\ndevice = \"eth2\"\naddresses = [\"203.0.113.2/24\"]\n"
	route := "[[route]]\nto = \"198.51.100.0/24\"\nvia = [\"203.0.113.7\"]\n"
	s := newFlooded(t, wan+route+floodedBackup)
	s.run("up wan")
	for _, to := range []string{"203.0.113.9", "203.0.113.9", "203.0.113.10", "198.51.100.1", "192.0.2.1", "10.0.0.1"} {
		s.run("flood lan lan4 to=" + to)
	}
	s.trace.Reset()
	s.advance(time.Millisecond)
	if s.count("wan <") > 0 {
		t.Error("neighbours are asked for while the Master may still answer")
	}
	s.advance(2 * time.Millisecond)
	trace := s.trace.String()
	for _, who := range []string{"who-has 203.0.113.9 ", "who-has 203.0.113.10 "} {
		if strings.Count(trace, who) != 1 {
			t.Errorf("%sis asked %d times", who, strings.Count(trace, who))
		}
	}
	if strings.Count(trace, "wan <") != 2 {
		t.Errorf("others are asked for:\n%s", trace)
	}
}

// A master that is replaced may be asked all the same by who does not preempt:
// preemption is about masters that live.
func TestPreemptionDoesNotMatterForAMasterThatIsGone(t *testing.T) {
	for _, text := range []string{"preempt = false\n", "preempt_delay = \"1h\"\n", "version = 2\n", "interval = \"10ms\"\n"} {
		s := newScript(t, floodedBackup+text)
		s.run("up lan")
		version := "version=3"
		if strings.Contains(text, "version") {
			version = "version=2"
		}
		s.run("advert lan priority=50 from=192.0.2.3 every=1s " + version)
		s.run(answer)
		s.run("flood lan lan4")
		s.advance(9 * time.Millisecond)
		if n := s.count("forward in lan"); n != 1 {
			t.Errorf("%s: %d frames forwarded", text, n)
		}
	}
}

// A group that does not let a member take over: VRRP's timers decide.
func TestATakeoverThatDoesNotHappenIsNotTriedForEver(t *testing.T) {
	s := newFlooded(t, floodedBackup)
	v := s.router.virtual[0]
	s.run("flood lan lan4")
	s.advance(4 * time.Millisecond)
	v.flood.triedAt = s.now
	s.advance(20 * time.Millisecond)
	if v.flood.kept.used > 0 || v.machine.State() != vrrp.Backup || !v.flood.heldUntil.After(s.now) {
		t.Errorf("%d kept, %v", v.flood.kept.used, v.machine.State())
	}
	s.sumUp()
}

// floodModel says what may become of frames, by arrival.
type floodModel struct {
	arrived map[string]time.Time
	covered time.Time   // frames that came until then have been the master's
	asked   []time.Time // questions without an answer
	done    map[string]bool
}

// Whatever happens: a frame is forwarded once at most, by the Master alone, in
// order, and never where a living master has had it.
func TestFloodedFramesOfARandomWorld(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0x666c))
		s := newFlooded(t, floodedBackup+"garp_repeat = 0\n")
		v := s.router.virtual[0]
		m := floodModel{arrived: map[string]time.Time{}, done: map[string]bool{}}
		last := -1
		step := func(actions []Action) {
			s.verify(actions)
			for _, a := range actions {
				switch a := a.(type) {
				case Transmit:
					if p, reason := arp.Parse(a.Frame[packet.EthernetLen:]); reason == arp.OK && p.TargetIP == netip.MustParseAddr("192.0.2.3") {
						m.asked = append(m.asked, s.now)
					}
				case Forward:
					id := string(a.Packet.Frame[packet.EthernetLen+packet.IPv4Len+8:])
					number := 0
					fmt.Sscan(id, &number)
					if m.done[id] || number <= last || v.machine.State() != vrrp.Master || !m.arrived[id].After(m.covered) {
						t.Errorf("seed %d, %v: frame %s is forwarded", seed, s.now, id)
					}
					m.done[id], last = true, number
				}
			}
			s.sumUp()
		}
		w := words{s: s, plain: []string{"lan", "lan4"}, named: map[string]string{}}
		for i := range 200 {
			s.now = s.now.Add(1) // so that the order shows in the times
			switch rng.IntN(8) {
			case 0, 1, 2:
				id := fmt.Sprint(i)
				m.arrived[id] = s.now
				step(s.router.Flooded(s.now, 0, w.packet(id), packet.VNet{}))
			case 3: // an answer to the oldest question, or to none
				if len(m.asked) > 0 {
					m.covered, m.asked = m.asked[0], m.asked[1:]
				}
				step(s.router.Receive(s.now, 0, arp.Reply(packet.MAC{2, 0, 0, 0, 0, 3}, netip.MustParseAddr("192.0.2.3"),
					s.router.ifaces[0].state.MAC, netip.MustParseAddr("192.0.2.2"))))
			case 4:
				if rng.IntN(4) == 0 {
					m.covered = s.now
					advert := words{s: s, plain: []string{"lan"}, named: map[string]string{"priority": fmt.Sprint(rng.IntN(2) * 200)}}
					step(s.router.Receive(s.now, 0, advert.advert()))
				}
			default:
				end := s.now.Add(time.Duration(rng.Int64N(int64(4 * time.Millisecond))))
				for d := s.router.Deadline(); !d.After(end); d = s.router.Deadline() {
					s.now = d
					step(s.router.Advance(s.now))
				}
				s.now = end
			}
		}
	}
}

// BenchmarkFlooded measures what the control loop pays for a frame of a flood.
func BenchmarkFlooded(b *testing.B) {
	s := newFlooded(b, floodedBackup)
	frame := make([]byte, 1000)
	packet.PutEthernet(frame, vrrp.VirtualMAC(10, false), packet.MAC{2, 0, 0, 0, 0, 0xaa}, packet.EtherTypeIPv4)
	b.ReportAllocs()
	for b.Loop() {
		s.router.Flooded(s.now, 0, frame, packet.VNet{})
	}
}
