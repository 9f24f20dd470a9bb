package tap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/dataplane/port"
	"vrouter/internal/nstest"
	"vrouter/packet"
)

func TestFramesOfAllSizesPassThroughABridge(t *testing.T) {
	router, host := nstest.New(t), nstest.New(t)
	router.Bridge(t, "br0")
	nstest.Veth(t, router, "v0", host, "eth0")
	router.MTU(t, "v0", 9000)
	host.MTU(t, "eth0", 9000)
	router.Enslave(t, "v0", "br0")
	p := open(t, router, Config{Name: "vr0", Bridge: "br0", MTU: 9000})
	until(t, "up", func() bool { return p.Status().Up })
	if s := p.Status(); s.MTU != 9000 || s.Err != "" || s.Offload&packet.OffloadTSO4 == 0 {
		t.Errorf("%+v", s)
	}
	rx, tx, wire := p.Receivers()[0], newPath(t, p), host.Wire(t, "eth0")
	bytesIn, bytesOut := uint64(0), uint64(0)
	for _, size := range []int{60, 61, 1514, 2048, 9014} {
		want := frame(p.Status().MAC, size, byte(size))
		wire.Send(want)
		got := receive(t, rx, 1, 5*time.Second, isTest)
		if len(got) != 1 || !bytes.Equal(got[0].Data, want) {
			t.Fatalf("%d bytes: not received, or damaged", size)
		}
		out := frame(host.MAC(t, "eth0"), size, byte(size))
		if tx.Transmit([]*packet.Frame{{Data: out}}) != 1 {
			t.Fatalf("%d bytes: not sent: %+v", size, tx.Stats())
		}
		bytesOut += uint64(size)
		bytesIn += uint64(size)
		if wire.Receive(5*time.Second, func(f []byte) bool { return bytes.Equal(f, out) }) == nil {
			t.Fatalf("%d bytes: did not arrive", size)
		}
	}
	if s := tx.Stats(); s.Frames != 5 || s.Bytes != bytesOut || s.Dropped() != 0 {
		t.Errorf("transmit: %+v", s)
	}
	if s := rx.Stats(); s.Frames < 5 || s.Bytes < bytesIn || s.Dropped() != 0 {
		t.Errorf("receive: %+v", s)
	}
}

// segment makes a TCP segment of so many payload bytes for the kernel to cut.
func segment(dst packet.MAC, payload int) packet.Frame {
	b := frame(dst, 54+payload, 1)
	packet.PutEthernet(b, dst, packet.MAC{2, 0, 0, 0, 0, 2}, 0x0800)
	total := 40 + payload
	copy(b[14:], []byte{
		0x45, 0, byte(total >> 8), byte(total), 0, 0, 0x40, 0, 64, 6, 0, 0, // IPv4, DF, TCP
		192, 0, 2, 10, 198, 51, 100, 1,
		0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0, // ACK
	})
	binary.BigEndian.PutUint16(b[24:], packet.Checksum(packet.Sum(0, b[14:34]))) // bridges may look at it
	return packet.Frame{Data: b, VNet: packet.VNet{
		Flags: packet.VNetNeedsCsum, GSOType: packet.GSOTCPv4, GSOSize: 1448, HdrLen: 54,
		CsumStart: 34, CsumOffset: 16,
	}}
}

func TestGSOFramesPassWholeWithTheirHeaders(t *testing.T) {
	router := nstest.New(t)
	router.Bridge(t, "br0")
	a := open(t, router, Config{Name: "a", Bridge: "br0"})
	b := open(t, router, Config{Name: "b", Bridge: "br0"})
	until(t, "up", func() bool { return a.Status().Up && b.Status().Up })
	tx, rx := newPath(t, a), b.Receivers()[0]
	for _, payload := range []int{1449, 4000, 65480} { // the last is the largest that a device takes
		want := segment(b.Status().MAC, payload)
		if tx.Transmit([]*packet.Frame{&want}) != 1 {
			t.Fatalf("payload %d: not sent: %+v", payload, tx.Stats())
		}
		got := receive(t, rx, 1, 5*time.Second, func(f *packet.Frame) bool { return f.VNet.IsGSO() })
		if len(got) != 1 || !bytes.Equal(got[0].Data, want.Data) {
			t.Fatalf("payload %d: not received whole: %d frames", payload, len(got))
		}
		v := got[0].VNet
		if v.GSOType != packet.GSOTCPv4 || v.GSOSize != 1448 || v.Flags&packet.VNetNeedsCsum == 0 || v.CsumStart != 34 || v.CsumOffset != 16 {
			t.Errorf("payload %d: header %+v", payload, v)
		}
	}
}

func TestOrderIsKeptAndARefusedFrameDoesNotStopTheOthers(t *testing.T) {
	router := nstest.New(t)
	router.Bridge(t, "br0")
	a := open(t, router, Config{Name: "a", Bridge: "br0"})
	b := open(t, router, Config{Name: "b", Bridge: "br0"})
	until(t, "up", func() bool { return a.Status().Up && b.Status().Up })
	tx, rx := newPath(t, a), b.Receivers()[0]
	var batch []*packet.Frame
	for i := range 30 {
		batch = append(batch, &packet.Frame{Data: frame(b.Status().MAC, 60+i%3*700, byte(i))})
	}
	batch[7].VNet = packet.VNet{Flags: packet.VNetNeedsCsum, CsumStart: 60000, CsumOffset: 6} // beyond its end
	batch[9].Data = batch[9].Data[:10]                                                        // no Ethernet header
	if n := tx.Transmit(batch); n != 28 {
		t.Errorf("%d frames sent, want 28: %+v", n, tx.Stats())
	}
	if s := tx.Stats(); s.Drops[port.DropElse] != 2 || s.Dropped() != 2 {
		t.Errorf("%+v", s)
	}
	got := receive(t, rx, 28, 5*time.Second, isTest)
	at := 0
	for i, want := range batch {
		if i == 7 || i == 9 {
			continue
		}
		if at >= len(got) || !bytes.Equal(got[at].Data, want.Data) {
			t.Fatalf("frame %d is not the %dth that came, of %d", i, at, len(got))
		}
		at++
	}
}

func TestABridgeThatIsMissingIsWaitedFor(t *testing.T) {
	router := nstest.New(t)
	p := open(t, router, Config{Name: "vr0", Bridge: "br0"})
	if s := p.Status(); s.Present || s.Up || !strings.Contains(s.Err, "bridge br0 does not exist") {
		t.Errorf("%+v", s)
	}
	router.Bridge(t, "br0")
	until(t, "in the bridge", func() bool { return p.Status().Up })
	bridge := router.Link(t, "br0").Attrs().Index
	if got := router.Link(t, "vr0").Attrs().MasterIndex; got != bridge {
		t.Errorf("master %d, want %d", got, bridge)
	}
	select {
	case <-p.Changed():
	case <-time.After(5 * time.Second):
		t.Error("the change was not signalled")
	}
	router.Delete(t, "br0")
	until(t, "bridge gone", func() bool { return strings.Contains(p.Status().Err, "does not exist") })
	router.Bridge(t, "br0")
	until(t, "in the new bridge", func() bool { return p.Status().Up })
}

func TestADeletedDeviceIsMadeAgainAndFramesFlow(t *testing.T) {
	router := nstest.New(t)
	p := open(t, router, Config{Name: "vr0"})
	rx, tx := p.Receivers()[0], newPath(t, p)
	fd, mac := rx.FD(), p.Status().MAC
	for round := range 3 {
		until(t, "up", func() bool { return p.Status().Up })
		if round == 1 { // once without the worker having noticed
			tx.Transmit(nil)
		}
		wire := router.Wire(t, "vr0")
		want := frame(mac, 100, byte(round))
		wire.Send(want)
		if got := receive(t, rx, 1, 5*time.Second, isTest); len(got) != 1 || !bytes.Equal(got[0].Data, want) {
			t.Fatalf("round %d: frame not received", round)
		}
		if tx.Transmit([]*packet.Frame{{Data: want}}) != 1 || wire.Receive(5*time.Second, func(f []byte) bool { return bytes.Equal(f, want) }) == nil {
			t.Fatalf("round %d: frame not transmitted: %+v", round, tx.Stats())
		}
		index := router.Link(t, "vr0").Attrs().Index
		router.Delete(t, "vr0")
		until(t, "made again", func() bool { return router.Has("vr0") && router.Link(t, "vr0").Attrs().Index != index })
	}
	if rx.FD() != fd || p.Status().MAC != mac {
		t.Error("descriptor or MAC address changed")
	}
}

func TestTheKernelsEndDoesNotBecomeTheBridgesAddress(t *testing.T) {
	router, host := nstest.New(t), nstest.New(t)
	router.Bridge(t, "br0")
	nstest.Veth(t, router, "v0", host, "eth0")
	router.Enslave(t, "v0", "br0")
	before := router.MAC(t, "br0")
	p := open(t, router, Config{Name: "vr0", Bridge: "br0"})
	until(t, "up", func() bool { return p.Status().Up })
	if after := router.MAC(t, "br0"); after != before {
		t.Errorf("bridge had %v, has %v", before, after)
	}
	if mac := router.MAC(t, "vr0"); mac[0] != 0xfe || mac == p.Status().MAC {
		t.Errorf("kernel's end has %v, the router %v", mac, p.Status().MAC)
	}
}

func TestMACsAreStableLocalAndDifferent(t *testing.T) {
	a, again, other, host := stableMAC("a", "h1"), stableMAC("a", "h1"), stableMAC("b", "h1"), stableMAC("a", "h2")
	if a != again || a == other || a == host {
		t.Errorf("%v %v %v %v", a, again, other, host)
	}
	if a[0]&3 != 2 {
		t.Errorf("%v is not a local unicast address", a)
	}
}

func TestAnAdministratorMaySetTheDeviceDown(t *testing.T) {
	router := nstest.New(t)
	p := open(t, router, Config{Name: "vr0"})
	rx, tx := p.Receivers()[0], newPath(t, p)
	until(t, "up", func() bool { return p.Status().Up })
	router.Down(t, "vr0")
	until(t, "down", func() bool { s := p.Status(); return s.Present && !s.Up })
	if tx.Transmit([]*packet.Frame{{Data: frame(p.Status().MAC, 60, 1)}}) != 0 {
		t.Error("sent on a device that is down")
	}
	if s := tx.Stats(); s.Drops[port.DropDown] != 1 {
		t.Errorf("%+v", s)
	}
	router.Up(t, "vr0")
	until(t, "up again", func() bool { return p.Status().Up })
	router.MTU(t, "vr0", 1400)
	until(t, "MTU", func() bool { return p.Status().MTU == 1400 })
	router.Wire(t, "vr0").Send(frame(p.Status().MAC, 60, 2))
	if got := receive(t, rx, 1, 5*time.Second, isTest); len(got) != 1 {
		t.Error("no frame after the device was down")
	}
}

func TestFlowsSpreadOverQueues(t *testing.T) {
	router := nstest.New(t)
	p := open(t, router, Config{Name: "vr0", Queues: 2})
	until(t, "up", func() bool { return p.Status().Up })
	if got := router.Link(t, "vr0").Attrs().NumRxQueues; got < 2 {
		t.Errorf("the device has %d queues", got)
	}
	wire, sent := router.Wire(t, "vr0"), 0
	for flow := range 64 {
		f := segment(p.Status().MAC, 10)
		f.Data[35] = byte(flow) // source port
		wire.Send(f.Data)
		sent++
	}
	total, counts := 0, [2]int{}
	for i, rx := range p.Receivers() {
		got := receive(t, rx, 64, 300*time.Millisecond, func(f *packet.Frame) bool { return packet.Ethernet(f.Data).Type() == 0x0800 })
		counts[i] = len(got)
		total += len(got)
	}
	if total != sent || counts[0] == 0 || counts[1] == 0 {
		t.Errorf("%v frames on the queues, %d sent", counts, sent)
	}
	a, b := newPath(t, p), newPath(t, p)
	for _, tx := range []port.Transmitter{a, b} {
		if tx.Transmit([]*packet.Frame{{Data: frame(packet.MAC{2, 9}, 60, 1)}}) != 1 {
			t.Error("a path does not send")
		}
	}
}

// holdInChild starts a process that holds a TAP in the namespace.
func holdInChild(t *testing.T, ns *nstest.NS, name string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), holder+"="+name)
	var out *os.File
	err := ns.Do(func() error {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer w.Close()
		out, cmd.Stdout = r, w
		return cmd.Start()
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close(); cmd.Process.Kill(); cmd.Wait() })
	line := make([]byte, 200)
	n, _ := out.Read(line)
	if got := string(line[:n]); got != "open\n" {
		t.Fatalf("child: %q", got)
	}
	return cmd
}

func TestADeviceThatAnotherProcessHoldsIsRefusedAndGoesWithIt(t *testing.T) {
	needTUN(t)
	router := nstest.New(t)
	child := holdInChild(t, router, "vr0")
	if p, err := openIn(router, Config{Name: "vr0"}); err == nil || !strings.Contains(err.Error(), "another process") {
		if err == nil {
			p.Close()
		}
		t.Errorf("a TAP that is held was opened once more: %v", err)
	}
	child.Process.Kill()
	child.Wait()
	until(t, "gone with its process", func() bool { return !router.Has("vr0") })
	p := open(t, router, Config{Name: "vr0"})
	until(t, "up", func() bool { return p.Status().Up })
}

func TestOtherDevicesOfTheNameAreRefused(t *testing.T) {
	needTUN(t)
	router := nstest.New(t)
	router.Bridge(t, "vr0")
	p, err := openIn(router, Config{Name: "vr0"})
	if err == nil {
		p.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "ip link del vr0") {
		t.Errorf("error %v", err)
	}
	if !router.Has("vr0") {
		t.Error("a device that is not ours was removed")
	}
	for _, name := range []string{"", "a-name-too-long-for-linux"} {
		if p, err := openIn(router, Config{Name: name}); err == nil {
			p.Close()
			t.Errorf("name %q accepted", name)
		}
	}
}

func TestCloseTakesTheDeviceAwayAndLeaksNothing(t *testing.T) {
	needTUN(t)
	router := nstest.New(t)
	var descriptors, goroutines int
	for round := range 20 {
		if round == 3 { // the first ones may open something for good
			descriptors, goroutines = openDescriptors(t), runtime.NumGoroutine()
		}
		p, err := openIn(router, Config{Name: "vr0", Queues: 2})
		if err != nil {
			t.Fatal(err)
		}
		tx, err := p.NewTransmitter()
		if err != nil {
			t.Fatal(err)
		}
		if round%2 == 0 {
			tx.Transmit(nil)
			p.Receivers()[0].Receive(make([]packet.Frame, 1))
		}
		if err := errors.Join(tx.Close(), p.Close(), p.Close()); err != nil {
			t.Fatal(err)
		}
		if router.Has("vr0") {
			t.Fatal("the device is still there")
		}
		if _, err := p.NewTransmitter(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("transmit path of a closed port: %v", err)
		}
	}
	until(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
	until(t, "descriptors are closed", func() bool { return openDescriptors(t) <= descriptors })
}

func openDescriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestFramesThatFindNoRoomAreCounted(t *testing.T) {
	router := nstest.New(t)
	p := open(t, router, Config{Name: "vr0"})
	until(t, "up", func() bool { return p.Status().Up })
	rx, wire := p.Receivers()[0], router.Wire(t, "vr0")
	const sent = 1500 // the kernel's queue has 1000 places
	for i := range sent {
		wire.Send(frame(p.Status().MAC, 60, byte(i)))
	}
	got := uint64(len(receive(t, rx, sent, 200*time.Millisecond, isTest)))
	for range 2 { // the second time nothing is added, but for what the kernel itself says now and then
		if s := rx.Stats(); got == sent || s.Drops[port.DropFull] < sent-got || s.Drops[port.DropFull] > sent-got+20 {
			t.Errorf("%d of %d frames came; %+v", got, sent, s)
		}
	}
}

func TestBatchesDoNotAllocate(t *testing.T) {
	router := nstest.New(t)
	router.Bridge(t, "br0")
	a := open(t, router, Config{Name: "a", Bridge: "br0"})
	b := open(t, router, Config{Name: "b", Bridge: "br0"})
	until(t, "up", func() bool { return a.Status().Up && b.Status().Up })
	tx, rx := newPath(t, a), b.Receivers()[0]
	frames := make([]*packet.Frame, 16)
	for i := range frames {
		frames[i] = &packet.Frame{Data: frame(b.Status().MAC, 60, byte(i))}
	}
	batch := make([]packet.Frame, port.BatchMax)
	received := 0
	least := math.Inf(1)
	for range 5 { // what others in the process allocate meanwhile is counted, too
		least = min(least, testing.AllocsPerRun(100, func() {
			tx.Transmit(frames)
			n, _ := rx.Receive(batch)
			received += n
		}))
	}
	if least != 0 {
		t.Errorf("%v allocations", least)
	}
	if received == 0 {
		t.Error("nothing was received")
	}
}

func TestWithoutTheCapabilityOpenSaysWhatIsMissing(t *testing.T) {
	needTUN(t)
	router := nstest.New(t)
	err := router.Do(func() error {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil { // of this thread, which ends with the function
			return err
		}
		return openAndClose(Config{Name: "vr0"})
	})
	if !errors.Is(err, os.ErrPermission) {
		t.Fatalf("error %v", err)
	}
	// Without CAP_DAC_OVERRIDE the device file may be what is refused first.
	if !strings.Contains(err.Error(), "CAP_NET_ADMIN") && !strings.Contains(err.Error(), "chmod") {
		t.Errorf("no remedy: %v", err)
	}
}

func TestWithoutTheDeviceFileOpenSaysWhatIsMissing(t *testing.T) {
	router := nstest.New(t)
	err := router.Do(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil { // of this thread too
			return err
		}
		if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		if err := unix.Mount("none", "/dev", "tmpfs", 0, ""); err != nil {
			return err
		}
		return openAndClose(Config{Name: "vr0"})
	})
	if err == nil || !strings.Contains(err.Error(), "modprobe tun") {
		t.Errorf("error %v", err)
	}
}

func openAndClose(cfg Config) error {
	p, err := Open(cfg)
	if err != nil {
		return err
	}
	return p.Close()
}
