package afpacket

import (
	"bytes"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/dataplane/port"
	"vrouter/dataplane/port/kernel"
	"vrouter/internal/nstest"
	"vrouter/packet"
)

func TestADeviceThatDoesNotExistIsWaitedFor(t *testing.T) {
	router, host := nstest.New(t), nstest.New(t)
	p := open(t, router, Config{Device: "lan", OwnAddresses: true})
	tx, rx := newPath(t, p), p.Receivers()[0]
	s := p.Status()
	if s.Present || s.Up || s.Err != "device lan does not exist: waiting for it" {
		t.Fatalf("status %+v", s)
	}
	if _, err := rx.Receive(make([]packet.Frame, 1)); err == nil {
		t.Error("a queue without a device receives without an error")
	}
	if poll(rx.FD(), 10*time.Millisecond) {
		t.Error("a queue without a device polls readable")
	}
	if tx.Transmit([]*packet.Frame{{Data: frame(packet.Broadcast, 60, 1)}}) != 0 || tx.Stats().Dropped() != 1 {
		t.Error("a frame went out without a device")
	}
	nstest.Veth(t, router, "lan", host, "peer")
	<-p.Changed()
	until(t, "device is taken", func() bool { return p.Status().Up })
	exchange(t, p, host)
}

// exchange sends a frame each way between a port, on a veth to "peer", and a
// wire there.
func exchange(t *testing.T, p *Port, host *nstest.NS) {
	t.Helper()
	tx := newPath(t, p)
	defer tx.Close()
	wire := host.Wire(t, "peer")
	in, out := frame(p.Status().MAC, 100, 5), frame(host.MAC(t, "peer"), 100, 6)
	wire.Send(in)
	if got := receive(t, p.Receivers()[0], 1, time.Second, isTest); len(got) != 1 || !bytes.Equal(got[0].Data, in) {
		t.Fatal("nothing received, or something else")
	}
	if tx.Transmit([]*packet.Frame{{Data: out}}) != 1 {
		t.Fatalf("not sent: %+v", tx.Stats())
	}
	if got := wire.Receive(time.Second, func(f []byte) bool { return f[12] == 0x88 }); !bytes.Equal(got, out) {
		t.Fatal("nothing sent, or something else")
	}
}

func TestADeviceThatGoesAndComesBackIsTakenAgain(t *testing.T) {
	for _, queues := range []int{1, 2} {
		router, host := pair(t)
		p := open(t, router, Config{Device: "lan", OwnAddresses: true, Queues: queues})
		p.SetMACs([]packet.MAC{{0, 0, 0x5e, 0, 1, 1}})
		tx, rx := newPath(t, p), p.Receivers()[0]
		fd, old := rx.FD(), p.Status().MAC
		router.Delete(t, "lan")
		until(t, "device is gone", func() bool { return !p.Status().Present })
		for range 3 { // the second and third ring before the worker has looked
			nstest.Veth(t, router, "lan", host, "peer")
			until(t, "device is back", func() bool { return p.Status().Up })
			router.Delete(t, "lan")
			until(t, "device is gone", func() bool { return !p.Status().Present })
		}
		nstest.Veth(t, router, "lan", host, "peer")
		until(t, "device is back", func() bool { return p.Status().Up })
		if rx.FD() != fd {
			t.Error("the descriptor has changed")
		}
		if p.Status().MAC == old {
			t.Error("the MAC is still that of the device before")
		}
		if tx.Transmit([]*packet.Frame{{Data: frame(packet.Broadcast, 60, 1)}}) != 1 {
			t.Error("a transmit path from before does not send")
		}
		if queues == 1 {
			exchange(t, p, host)
		}
	}
}

func TestALinkThatFlapsIsFollowed(t *testing.T) {
	router, host := pair(t)
	p := open(t, router, Config{Device: "lan"})
	rx, batch := p.Receivers()[0], make([]packet.Frame, port.BatchMax)
	for range 3 {
		router.Down(t, "lan")
		until(t, "down", func() bool { return !p.Status().Up })
		if !p.Status().Present {
			t.Error("a device that is down is there all the same")
		}
		until(t, "no longer polls ready for its error", func() bool {
			for n := 1; n > 0; {
				n, _ = rx.Receive(batch)
			}
			return !poll(rx.FD(), 0)
		})
		router.Up(t, "lan")
		until(t, "up", func() bool { return p.Status().Up })
		host.Down(t, "peer")
		until(t, "no carrier", func() bool { return !p.Status().Up })
		host.Up(t, "peer")
		until(t, "carrier", func() bool { return p.Status().Up })
		exchange(t, p, host)
	}
}

func TestMTUAndAddressOfTheDeviceAreFollowed(t *testing.T) {
	router, _ := pair(t)
	p := open(t, router, Config{Device: "lan"})
	router.MTU(t, "lan", 1400)
	until(t, "MTU", func() bool { return p.Status().MTU == 1400 })
	mac := packet.MAC{2, 0, 0, 0, 9, 9}
	if err := router.Netlink().LinkSetHardwareAddr(router.Link(t, "lan"), mac[:]); err != nil {
		t.Fatal(err)
	}
	until(t, "MAC", func() bool { return p.Status().MAC == mac })
}

func TestCloseGivesTheDeviceBackAsItWas(t *testing.T) {
	router, _ := pair(t)
	router.Down(t, "lan")
	before := router.Link(t, "lan").Attrs()
	var p *Port
	err := router.Do(func() (err error) {
		p, err = Open(Config{Device: "lan", MTU: 1300, OwnAddresses: true})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p.SetMACs([]packet.MAC{{0, 0, 0x5e, 0, 1, 1}})
	during := router.Link(t, "lan").Attrs()
	if during.RawFlags&unix.IFF_UP == 0 || during.MTU != 1300 {
		t.Errorf("not up, or MTU %d", during.MTU)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	after := router.Link(t, "lan").Attrs()
	if after.RawFlags != before.RawFlags || after.MTU != before.MTU || after.Promisc != before.Promisc {
		t.Errorf("flags %x MTU %d promiscuous %d, want %x %d %d",
			after.RawFlags, after.MTU, after.Promisc, before.RawFlags, before.MTU, before.Promisc)
	}
	if p.Close() != nil {
		t.Error("a second Close fails")
	}
}

// arpRequest asks for an IPv4 address.
func arpRequest(src packet.MAC, sender, target [4]byte) []byte {
	b := make([]byte, 42)
	packet.PutEthernet(b, packet.Broadcast, src, packet.EtherTypeARP)
	copy(b[14:], []byte{0, 1, 8, 0, 6, 4, 0, 1})
	copy(b[22:], src[:])
	copy(b[28:], sender[:])
	copy(b[38:], target[:])
	return b
}

// answers reports whether a wire hears an answer to an ARP request.
func answers(wire *nstest.Wire) bool {
	wire.Send(arpRequest(testSrc, [4]byte{192, 0, 2, 9}, [4]byte{192, 0, 2, 1}))
	return wire.Receive(50*time.Millisecond, func(f []byte) bool {
		return f[12] == 0x08 && f[13] == 0x06 && f[21] == 2 && net.IP(f[28:32]).Equal(net.IPv4(192, 0, 2, 1))
	}) != nil
}

func TestTheKernelIsDeafAndMuteWhileTheRouterOwnsTheDevice(t *testing.T) {
	router, host := pair(t)
	router.Addr(t, "lan", "192.0.2.1/24")
	wire := host.Wire(t, "peer")
	if !answers(wire) {
		t.Fatal("the kernel does not answer before")
	}
	var p *Port
	err := router.Do(func() (err error) {
		p, err = Open(Config{Device: "lan", OwnAddresses: true})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if answers(wire) {
		t.Error("the kernel answers ARP on a device that the router owns")
	}
	requests := receive(t, p.Receivers()[0], 1, time.Second, func(f *packet.Frame) bool {
		return packet.Ethernet(f.Data).Type() == packet.EtherTypeARP
	})
	if len(requests) != 1 {
		t.Error("the router does not see what the kernel must not")
	}
	// An IPv6 address makes the kernel speak: MLD, and neighbour advertisements.
	wire.Drain()
	router.Addr(t, "lan", "2001:db8::1/64")
	router.Do(func() error {
		if c, err := net.Dial("udp", "192.0.2.9:9"); err == nil {
			c.Write([]byte("the kernel has to ask who has 192.0.2.9"))
			c.Close()
		}
		return nil
	})
	if f := wire.Receive(300*time.Millisecond, nil); f != nil {
		t.Errorf("the kernel sends on a device that the router owns: %x", f)
	}
	if newPath(t, p).Transmit([]*packet.Frame{{Data: frame(packet.Broadcast, 60, 1)}}) != 1 ||
		wire.Receive(time.Second, func(f []byte) bool { return f[12] == 0x88 }) == nil {
		t.Error("the router is mute as well")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if !answers(wire) {
		t.Error("the kernel does not answer after Close")
	}
}

func TestWithoutOwnAddressesTheKernelGoesOnAnswering(t *testing.T) {
	router, host := pair(t)
	router.Addr(t, "lan", "192.0.2.1/24")
	open(t, router, Config{Device: "lan"})
	if !answers(host.Wire(t, "peer")) {
		t.Fatal("the kernel does not answer")
	}
}

func TestASecondOwnerIsRefused(t *testing.T) {
	router, _ := pair(t)
	open(t, router, Config{Device: "lan", OwnAddresses: true})
	err := router.Do(func() error {
		p, err := Open(Config{Device: "lan", OwnAddresses: true})
		if err == nil {
			p.Close()
		}
		return err
	})
	if !errors.Is(err, kernel.ErrOwned) || !strings.Contains(err.Error(), "lan") {
		t.Fatalf("error %v", err)
	}
}

// holdVariable makes the test binary open a port on the device that it names,
// in the namespace it is started in, and wait to be killed.
const holdVariable = "VROUTER_TEST_HOLD"

func TestMain(m *testing.M) {
	if device := os.Getenv(holdVariable); device != "" {
		_, err := Open(Config{Device: device, OwnAddresses: true})
		if err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Stdout.WriteString("open\n")
		select {}
	}
	os.Exit(nstest.Main(m))
}

func TestAfterSIGKILLTheKernelAnswersAgain(t *testing.T) {
	router, host := pair(t)
	router.Addr(t, "lan", "192.0.2.1/24")
	wire := host.Wire(t, "peer")
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var child *os.Process
	err = router.Do(func() (err error) {
		child, err = os.StartProcess("/proc/self/exe", os.Args[:1], &os.ProcAttr{
			Env:   append(os.Environ(), holdVariable+"=lan"),
			Files: []*os.File{nil, in, os.Stderr},
		})
		return err
	})
	in.Close()
	if err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 5)
	n, _ := out.Read(line)
	deaf := !answers(wire)
	child.Kill()
	child.Wait()
	if string(line[:n]) != "open\n" || !deaf {
		t.Fatalf("child %s: said %q, kernel deaf: %v", strconv.Itoa(child.Pid), line[:n], deaf)
	}
	if !answers(wire) {
		t.Fatal("the kernel stays deaf after SIGKILL")
	}
	open(t, router, Config{Device: "lan", OwnAddresses: true})
	if answers(wire) {
		t.Fatal("the kernel answers after the next start")
	}
}

func TestFanoutSpreadsFlowsAndLosesNone(t *testing.T) {
	router, host := pair(t)
	p, peer := open(t, router, Config{Device: "lan", Queues: 2}), open(t, host, Config{Device: "peer"})
	tx := newPath(t, peer)
	const flows = 64
	for i := range flows {
		f := &packet.Frame{Data: tcp4(p.Status().MAC, 10)}
		f.Data[35] = byte(i) // source port
		tx.Transmit([]*packet.Frame{f, f})
	}
	seen := map[byte]int{}
	for i, rx := range p.Receivers() {
		got := receive(t, rx, 2*flows, 50*time.Millisecond, isTCP)
		if len(got) == 0 {
			t.Errorf("queue %d got nothing", i)
		}
		for _, f := range got {
			if was, ok := seen[f.Data[35]]; ok && was != i {
				t.Errorf("flow %d came to both queues", f.Data[35])
			}
			seen[f.Data[35]] = i
		}
	}
	if len(seen) != flows {
		t.Errorf("%d flows seen, want %d", len(seen), flows)
	}
}

// A bridge, unlike a veth, filters by destination MAC.
func TestVirtualMACsAndGroupsAreAskedFor(t *testing.T) {
	router, host := nstest.New(t), nstest.New(t)
	nstest.Veth(t, router, "cable", host, "peer")
	router.Bridge(t, "lan")
	router.Enslave(t, "cable", "lan")
	p := open(t, router, Config{Device: "lan", MAC: packet.MAC{2, 0, 0, 0, 0, 0x77}})
	if got := p.Status().MAC; got != (packet.MAC{2, 0, 0, 0, 0, 0x77}) {
		t.Errorf("status has MAC %v", got)
	}
	virtual, gone := packet.MAC{0, 0, 0x5e, 0, 1, 1}, packet.MAC{0, 0, 0x5e, 0, 1, 2}
	group := packet.MAC{1, 0, 0x5e, 0, 0, 0x12}
	for _, err := range []error{
		p.SetMACs([]packet.MAC{gone}), p.SetMACs([]packet.MAC{gone, virtual}), p.SetMACs([]packet.MAC{virtual, virtual}),
		p.SetGroups([]packet.MAC{group}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	wire := host.Wire(t, "peer")
	for _, dst := range []packet.MAC{virtual, group, p.Status().MAC, packet.Broadcast} {
		wire.Send(frame(dst, 60, 1))
		if len(receive(t, p.Receivers()[0], 1, time.Second, isTest)) != 1 {
			t.Errorf("nothing received for %v", dst)
		}
	}
	joined := p.device.joined
	if _, ok := joined[membership{unix.PACKET_MR_UNICAST, gone}]; ok || len(joined) != 3 {
		t.Errorf("memberships %v", joined)
	}
}
