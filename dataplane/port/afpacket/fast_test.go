package afpacket

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"vrouter/dataplane/port"
	"vrouter/internal/nstest"
	"vrouter/packet"
)

// numbered returns frames of our own kind, the first of which has a number.
func numbered(first, n, size int) []*packet.Frame {
	list := make([]*packet.Frame, n)
	for i := range list {
		b := make([]byte, size)
		packet.PutEthernet(b, packet.MAC{2, 0, 0, 0, 0, 9}, packet.MAC{2, 0, 0, 0, 0, 8}, 0x88b5)
		binary.BigEndian.PutUint32(b[packet.EthernetLen:], uint32(first+i))
		list[i] = &packet.Frame{Data: b}
	}
	return list
}

// expectNumbers wants our frames on a wire, from number first on.
func expectNumbers(t *testing.T, w *nstest.Wire, first, n int) {
	t.Helper()
	for i := range n {
		f := w.Receive(10*time.Second, func(f []byte) bool { return len(f) > 18 && f[12] == 0x88 && f[13] == 0xb5 })
		if f == nil {
			t.Fatalf("frame %d is missing", first+i)
		}
		if got := binary.BigEndian.Uint32(f[packet.EthernetLen:]); got != uint32(first+i) {
			t.Fatalf("frame %d, want %d", got, first+i)
		}
	}
}

// fastPath opens a port on a veth and a path that sends by AF_XDP.
func fastPath(t *testing.T) (router *nstest.NS, p *Port, tx *transmitter, wire *nstest.Wire) {
	t.Helper()
	router, host := pair(t)
	p = open(t, router, Config{Device: "lan", OwnAddresses: true})
	tx = newPath(t, p).(*transmitter)
	wire = host.Wire(t, "peer")
	tx.Transmit(numbered(0, fastLeast, 60))
	expectNumbers(t, wire, 0, fastLeast)
	if tx.socket.fast == nil {
		t.Skip("no AF_XDP here: see the debug log of the port")
	}
	return router, p, tx, wire
}

func TestFramesKeepTheirOrderWhicheverWayTheyGo(t *testing.T) {
	_, _, tx, wire := fastPath(t)
	defer tx.Close()
	number, sent := 0, 0
	for _, sizes := range [][2]int{{64, 60}, {1, 60}, {3, 60}, {4, 60}, {5, 1500}, {1, 60}, {40, 60}} {
		sent += tx.Transmit(numbered(number, sizes[0], sizes[1]))
		expectNumbers(t, wire, number, sizes[0])
		number += sizes[0]
	}
	// In one batch: plain ones, one whose checksum is to be completed, plain ones.
	mixed := numbered(number, 20, 100)
	for _, i := range []int{6, 7, 12, 19} {
		mixed[i].VNet = packet.VNet{Flags: packet.VNetNeedsCsum, CsumStart: 60, CsumOffset: 16}
	}
	sent += tx.Transmit(mixed)
	expectNumbers(t, wire, number, len(mixed))
	number += len(mixed)
	if s := tx.Stats(); sent != number || s.Frames != uint64(number+fastLeast) || s.Dropped() != 0 {
		t.Errorf("%d of %d sent: %+v", sent, number, s)
	}
}

func TestStretchesOfABatch(t *testing.T) {
	_, _, tx, _ := fastPath(t)
	defer tx.Close()
	for _, test := range []struct {
		frames string // p: plain, c: with a checksum to complete
		n      int
		plain  bool
	}{
		{"p", 1, false},
		{"ppp", 3, false},
		{"pppp", 4, true},
		{"ppppc", 4, true},
		{"c", 1, false},
		{"cppp", 4, false},
		{"cpppp", 1, false},
		{"pcpppp", 2, false},
		{"pppcpppp", 4, false},
		{"cppcppcpppppp", 7, false},
	} {
		list := numbered(0, len(test.frames), 60)
		for i, c := range test.frames {
			if c == 'c' {
				list[i].VNet.Flags = packet.VNetNeedsCsum
			}
		}
		if n, plain := tx.stretch(list); n != test.n || plain != test.plain {
			t.Errorf("%s: %d, %v; want %d, %v", test.frames, n, plain, test.n, test.plain)
		}
	}
}

// Nothing that was meant for a link which is down leaves when it is up again.
func TestALinkThatWasDownIsFastAgainAndSendsNothingOld(t *testing.T) {
	router, p, tx, wire := fastPath(t)
	defer tx.Close()
	router.Down(t, "lan")
	if n := tx.Transmit(numbered(100, 10, 60)); n != 0 {
		t.Errorf("%d sent on a link that is down", n)
	}
	if s := tx.Stats(); s.Drops[port.DropDown] != 10 {
		t.Errorf("%+v", s)
	}
	if tx.socket.fast != nil {
		t.Fatal("the sender keeps what it could not send")
	}
	router.Up(t, "lan")
	for end := time.Now().Add(10 * time.Second); tx.slowed.Load() || !p.Status().Up; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not fast again")
		}
	}
	if n := tx.Transmit(numbered(200, 10, 60)); n != 10 || tx.socket.fast == nil {
		t.Errorf("%d sent, fast %v", n, tx.socket.fast != nil)
	}
	expectNumbers(t, wire, 200, 10)
}

// Frames must not pass the operator's traffic control.
func TestADeviceWithAQueueingDisciplineIsNotPassedBy(t *testing.T) {
	router, _ := pair(t)
	link := router.Link(t, "lan")
	err := router.Netlink().QdiscAdd(&netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		QdiscType:  "pfifo",
	})
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, router, Config{Device: "lan", OwnAddresses: true})
	tx := newPath(t, p).(*transmitter)
	defer tx.Close()
	tx.Transmit(numbered(0, 10, 60))
	if tx.socket.fast != nil {
		t.Error("frames go past the queue")
	}
}

func BenchmarkTransmit64(b *testing.B) {
	for _, fast := range []bool{false, true} {
		b.Run(map[bool]string{false: "sendmmsg", true: "af_xdp"}[fast], func(b *testing.B) {
			router, _ := pair(b)
			p := open(b, router, Config{Device: "lan", OwnAddresses: true})
			tx := newPath(b, p).(*transmitter)
			defer tx.Close()
			frames := numbered(0, port.BatchMax, 60)
			tx.Transmit(frames)
			if tx.socket.fast == nil {
				b.Skip("no AF_XDP here")
			}
			send := tx.batch
			if fast {
				send = tx.quick
			}
			for b.Loop() {
				send(frames)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(frames)), "ns/frame")
		})
	}
}
