package afpacket

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vrouter/dataplane/port"
	"vrouter/dataplane/port/kernel"
	"vrouter/dataplane/port/xsk"
	"vrouter/internal/nstest"
	"vrouter/packet"
)

// mayExpress skips the test where programs may not be loaded.
func mayExpress(t testing.TB) {
	t.Helper()
	p, err := xsk.Load(1, false)
	if errors.Is(err, unix.EPERM) {
		t.Skipf("AF_XDP: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
}

// A port with express lanes is a port like others.
func TestWhatHoldsForPacketSocketsHoldsWithAF_XDP(t *testing.T) {
	mayExpress(t)
	everyArena = xsk.NewArena(4)
	defer func() { everyArena = nil }()
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"frames of all sizes", TestFramesOfAllSizesPass},
		{"offloads of the device", TestTheKernelFinishesWhatTheDeviceCannot},
		{"VLAN tags", TestAVLANTagIsSeen},
		{"a frame that fails", TestAFrameThatFailsDoesNotStopTheOthers},
		{"no allocation", TestNothingIsAllocatedForABatch},
		{"a device that is waited for", TestADeviceThatDoesNotExistIsWaitedFor},
		{"a device that comes back", TestADeviceThatGoesAndComesBackIsTakenAgain},
		{"a link that flaps", TestALinkThatFlapsIsFollowed},
		{"MTU and address", TestMTUAndAddressOfTheDeviceAreFollowed},
		{"the device is given back", TestCloseGivesTheDeviceBackAsItWas},
		{"the kernel is deaf", TestTheKernelIsDeafAndMuteWhileTheRouterOwnsTheDevice},
		{"the kernel answers", TestWithoutOwnAddressesTheKernelGoesOnAnswering},
		{"one owner", TestASecondOwnerIsRefused},
		{"addresses", TestVirtualMACsAndGroupsAreAskedFor},
		{"down or gone", TestTransmitOnADeviceThatIsDownOrGoneIsCounted},
		{"order", TestFramesKeepTheirOrderWhicheverWayTheyGo},
		{"fast again", TestALinkThatWasDownIsFastAgainAndSendsNothingOld},
		{"nothing left open", TestFlapsAndClosedPortsLeaveNothingOpen},
		{"workers", TestWorkersGoOnWhileTheDeviceComesAndGoes},
	} {
		t.Run(test.name, test.run)
	}
}

// Over a veth with a program no frame is larger than a packet, and the two hosts
// leave the checksums of what they send to their devices: it must be put right.
func TestATCPStreamPassesWholeByAF_XDP(t *testing.T) {
	mayExpress(t)
	everyArena = xsk.NewArena(4)
	defer func() { everyArena = nil }()
	c := newCable(t, true)
	c.send(t, 16<<20)
}

// A frame that came by AF_XDP leaves by AF_XDP, one by one too.
func TestFramesGoFromLaneToLane(t *testing.T) {
	mayExpress(t)
	arena := xsk.NewArena(2)
	router, left, right := nstest.New(t), nstest.New(t), nstest.New(t)
	nstest.Veth(t, router, "in", left, "peer")
	nstest.Veth(t, router, "out", right, "peer")
	in := open(t, router, Config{Device: "in", OwnAddresses: true, Express: arena})
	out := open(t, router, Config{Device: "out", OwnAddresses: true, Express: arena})
	tx := newPath(t, out).(*transmitter)
	defer tx.Close()
	from, to := left.Wire(t, "peer"), right.Wire(t, "peer")
	batch := make([]packet.Frame, port.BatchMax)
	for i := range 20_000 {
		want := frame(packet.Broadcast, 60+i%1000, byte(i))
		from.Send(want)
		for sent := 0; sent == 0; { // the hosts say something of themselves, too
			if !poll(in.Receivers()[0].FD(), 5*time.Second) {
				t.Fatalf("frame %d is not received", i)
			}
			n, err := in.Receivers()[0].Receive(batch)
			if err != nil {
				t.Fatalf("frame %d: %v", i, err)
			}
			for k := range batch[:n] {
				if isTest(&batch[k]) {
					sent += tx.Transmit([]*packet.Frame{&batch[k]})
				}
			}
		}
		if tx.socket.fast == nil {
			t.Fatal("no AF_XDP")
		}
		got := to.Receive(5*time.Second, func(f []byte) bool { return f[12] == 0x88 && f[13] == 0xb5 })
		if !bytes.Equal(got, want) {
			t.Fatalf("frame %d: %d bytes, want %d", i, len(got), len(want))
		}
	}
}

// The device strips tags from frames before the program sees them, and gives them
// back on no way that it could use. They must not pass for untagged.
func TestATagThatTheDeviceHasTakenOffIsNotForgotten(t *testing.T) {
	mayExpress(t)
	router, host := pair(t)
	p := open(t, router, Config{Device: "lan", OwnAddresses: true, Express: xsk.NewArena(1)})
	parent := host.Link(t, "peer").Attrs().Index
	vlan := &netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: "tagged", ParentIndex: parent}, VlanId: 42}
	if err := host.Netlink().LinkAdd(vlan); err != nil {
		t.Skipf("no VLAN devices: %v", err)
	}
	host.Up(t, "tagged")
	host.Wire(t, "tagged").Send(frame(packet.Broadcast, 80, 3))
	got := receive(t, p.Receivers()[0], 1, time.Second, func(f *packet.Frame) bool {
		return len(f.Data) > 18 && (f.Data[12] == 0x88 || f.Data[16] == 0x88)
	})
	if len(got) == 1 && got[0].Data[12] == 0x88 {
		t.Errorf("%x: a frame of VLAN 42 came without its tag", got[0].Data[:20])
	}
}

func TestAnotherProgramOnTheDeviceIsNamed(t *testing.T) {
	mayExpress(t)
	router, _ := pair(t)
	open(t, router, Config{Device: "lan", Express: xsk.NewArena(1)})
	second := open(t, router, Config{Device: "lan", Express: xsk.NewArena(1)})
	if s := second.Status(); s.Present || !strings.Contains(s.Err, "xdp off") {
		t.Errorf("%+v", s)
	}
}

func TestWithoutPrivilegesAF_XDPNamesTheRemedy(t *testing.T) {
	mayExpress(t)
	router, _ := pair(t)
	err := router.Do(func() error {
		drop := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capget(&drop, &data[0]); err != nil {
			return err
		}
		data[1].Effective &^= 1 << (unix.CAP_BPF - 32)
		data[0].Effective &^= 1 << unix.CAP_SYS_ADMIN
		if err := unix.Capset(&drop, &data[0]); err != nil { // of this thread, which ends
			return err
		}
		p, err := Open(Config{Device: "lan", Express: xsk.NewArena(1)})
		if err == nil {
			p.Close()
		}
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "CAP_BPF") || errors.Is(err, kernel.ErrOwned) {
		t.Errorf("error %v", err)
	}
}
