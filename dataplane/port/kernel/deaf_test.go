package kernel

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/internal/nstest"
	"vrouter/packet"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

// world is a namespace with a device "lan", which has 192.0.2.1, and a wire at
// the other end of its cable.
type world struct {
	*nstest.NS
	wire  *nstest.Wire
	net   *Net
	index int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	host := nstest.New(t)
	w := &world{NS: nstest.New(t)}
	nstest.Veth(t, w.NS, "lan", host, "peer")
	w.Addr(t, "lan", "192.0.2.1/24")
	w.wire = host.Wire(t, "peer")
	w.index = w.Link(t, "lan").Attrs().Index
	if err := w.Do(func() (err error) { w.net, err = Here(); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.net.Close)
	return w
}

func (w *world) deafen(t *testing.T) *Deaf {
	t.Helper()
	var d *Deaf
	err := w.Do(func() (err error) { d, err = w.net.Deafen("lan", w.index); return err })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.close(d) })
	return d
}

func (w *world) close(d *Deaf) error { return w.Do(d.Close) }

// answers reports whether the kernel answers an ARP request for 192.0.2.1.
func (w *world) answers() bool {
	src := packet.MAC{2, 0, 0, 0, 0, 9}
	b := make([]byte, 42)
	packet.PutEthernet(b, packet.Broadcast, src, packet.EtherTypeARP)
	copy(b[14:], []byte{0, 1, 8, 0, 6, 4, 0, 1})
	copy(b[22:], src[:])
	copy(b[28:], []byte{192, 0, 2, 9, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1})
	w.wire.Send(b)
	return w.wire.Receive(50*time.Millisecond, func(f []byte) bool {
		return len(f) >= 42 && f[12] == 8 && f[13] == 6 && f[21] == 2
	}) != nil
}

// state is what Deafen may change on a device.
func (w *world) state(t *testing.T) (ipv6Off bool, arpOff bool) {
	t.Helper()
	w.Do(func() error {
		b, err := os.ReadFile("/proc/sys/net/ipv6/conf/lan/disable_ipv6")
		ipv6Off = err == nil && b[0] == '1'
		return err
	})
	return ipv6Off, w.Link(t, "lan").Attrs().RawFlags&unix.IFF_NOARP != 0
}

// useAttempts has Deafen try only these.
func useAttempts(t *testing.T, only ...attempt) {
	old := attempts
	attempts = only
	t.Cleanup(func() { attempts = old })
}

func TestEachMeansMakesTheKernelDeafAndGivesTheDeviceBack(t *testing.T) {
	for _, a := range attempts {
		t.Run(a.means, func(t *testing.T) {
			useAttempts(t, a)
			w := newWorld(t)
			if !w.answers() {
				t.Fatal("no answer before")
			}
			d := w.deafen(t)
			if w.answers() {
				t.Error("the kernel still answers")
			}
			ipv6Off, arpOff := w.state(t)
			if d.Means() != a.means || !d.Complete() || ipv6Off == a.egress || arpOff {
				t.Errorf("means %q, complete %v, IPv6 off %v, ARP off %v", d.Means(), d.Complete(), ipv6Off, arpOff)
			}
			if err := w.close(d); err != nil {
				t.Fatal(err)
			}
			if ipv6Off, _ := w.state(t); ipv6Off {
				t.Error("IPv6 stays off")
			}
			if !w.answers() {
				t.Error("no answer afterwards")
			}
		})
	}
}

func TestWithoutNFTablesARPAndIPv6AreSwitchedOff(t *testing.T) {
	w := newWorld(t)
	d := &Deaf{device: "lan", index: w.index, fd: -1}
	if err := w.Do(func() error { return w.net.quieten(d) }); err != nil {
		t.Fatal(err)
	}
	if ipv6Off, arpOff := w.state(t); !ipv6Off || !arpOff || d.Complete() {
		t.Errorf("IPv6 off %v, ARP off %v, complete %v", ipv6Off, arpOff, d.Complete())
	}
	if w.answers() {
		t.Error("the kernel still answers ARP")
	}
	if err := w.close(d); err != nil {
		t.Fatal(err)
	}
	if ipv6Off, arpOff := w.state(t); ipv6Off || arpOff {
		t.Errorf("IPv6 stays off: %v, ARP stays off: %v", ipv6Off, arpOff)
	}
	if !w.answers() {
		t.Error("no answer afterwards")
	}
}

func TestWhatWasOffBeforeStaysOff(t *testing.T) {
	useAttempts(t, attempts[1]) // with IPv6 off
	w := newWorld(t)
	w.Sysctl(t, "net/ipv6/conf/lan/disable_ipv6", "1")
	d := w.deafen(t)
	if err := w.close(d); err != nil {
		t.Fatal(err)
	}
	if ipv6Off, _ := w.state(t); !ipv6Off {
		t.Error("IPv6 was off, and is on now")
	}
}

func TestATableLeftBehindIsTakenOver(t *testing.T) {
	w := newWorld(t)
	all := attempts
	useAttempts(t, all[2]) // a table that nobody owns
	killed := w.deafen(t)
	unix.Close(killed.fd) // as SIGKILL does
	killed.fd = -1
	if w.answers() {
		t.Fatal("the table did not stay: the test is about nothing")
	}
	attempts = all
	d := w.deafen(t)
	if w.answers() || d.Means() != all[0].means {
		t.Errorf("not taken over: %s", d.Means())
	}
	if err := w.close(d); err != nil {
		t.Fatal(err)
	}
	if !w.answers() {
		t.Error("the table left behind is still there")
	}
}

func TestATableOfAnotherProcessIsNotTakenOver(t *testing.T) {
	w := newWorld(t)
	first := w.deafen(t)
	err := w.Do(func() error { _, err := w.net.Deafen("lan", w.index); return err })
	if !errors.Is(err, ErrOwned) {
		t.Fatalf("error %v", err)
	}
	if w.answers() {
		t.Error("the first owner's filter is gone")
	}
	unix.Close(first.fd) // as SIGKILL does
	first.fd = -1
	if !w.answers() {
		t.Error("an owned table outlives its owner")
	}
	w.deafen(t)
}

func TestWithoutTheCapabilityDeafenFailsAndChangesNothing(t *testing.T) {
	w := newWorld(t)
	err := w.Do(func() error {
		dropCapabilities(t)
		_, err := w.net.Deafen("lan", w.index)
		return err
	})
	if err == nil || errors.Is(err, ErrOwned) {
		t.Fatalf("error %v", err)
	}
	if !strings.Contains(err.Error(), "lan") {
		t.Errorf("the error does not name the device: %v", err)
	}
	ipv6Off, arpOff := w.state(t)
	if ipv6Off || arpOff || !w.answers() {
		t.Errorf("IPv6 off %v, ARP off %v", ipv6Off, arpOff)
	}
}

// dropCapabilities takes all capabilities from the calling thread, which ends
// with the function that nstest runs on it.
func dropCapabilities(t *testing.T) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyMarkedFramesLeave(t *testing.T) {
	w := newWorld(t)
	w.deafen(t)
	var fds [2]int
	err := w.Do(func() error {
		for i := range fds {
			fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			fds[i] = fd
		}
		return unix.SetsockoptInt(fds[1], unix.SOL_SOCKET, unix.SO_MARK, Mark)
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, fd := range fds {
		defer unix.Close(fd)
		b := make([]byte, 60)
		packet.PutEthernet(b, packet.Broadcast, packet.MAC{2}, 0x88b5)
		b[14] = byte(i)
		unix.Sendto(fd, b, 0, &unix.SockaddrLinklayer{Ifindex: w.index}) // the filter makes it an error
	}
	f := w.wire.Receive(time.Second, func(f []byte) bool { return f[12] == 0x88 })
	if f == nil || f[14] != 1 {
		t.Fatalf("the frame that left is %x, want the marked one", f)
	}
}

func TestLinkTellsTheDevice(t *testing.T) {
	w := newWorld(t)
	link, found, err := w.net.Link("lan")
	if err != nil || !found || link.Index != w.index || link.MTU != 1500 || !link.Admin || !link.Carrier ||
		link.MAC != w.MAC(t, "lan") || link.Master != 0 {
		t.Errorf("%+v %v %v", link, found, err)
	}
	w.Down(t, "lan")
	if link, _, _ := w.net.Link("lan"); link.Admin || link.Carrier {
		t.Errorf("a device that is down: %+v", link)
	}
	if _, found, err := w.net.Link("none"); found || err != nil {
		t.Errorf("a device that does not exist: %v %v", found, err)
	}
	if _, _, err := w.net.Link("lo"); err == nil {
		t.Error("lo is an Ethernet device")
	}
	addrs, err := w.net.Addresses(w.index)
	if err != nil || len(addrs) != 1 || addrs[0].String() != "192.0.2.1/24" {
		t.Errorf("addresses %v %v", addrs, err)
	}
}

func TestGoAndDoActInTheNamespaceOfHere(t *testing.T) {
	w := newWorld(t)
	look := func() error { _, err := net.InterfaceByName("lan"); return err }
	if err := look(); err == nil {
		t.Fatal("the device is visible outside: the test is about nothing")
	}
	if err := w.net.Do(look); err != nil {
		t.Error(err)
	}
	done := make(chan error, 1)
	w.net.Go(func() { done <- look() }, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAWatcherTellsOfEachChange(t *testing.T) {
	w := newWorld(t)
	var watch *Watcher
	if err := w.Do(func() (err error) { watch, err = Watch(); return err }); err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	for i, change := range []func(){
		func() { w.Down(t, "lan") }, func() { w.Up(t, "lan") }, func() { w.MTU(t, "lan", 1400) }, func() { w.Delete(t, "lan") },
	} {
		for began := time.Now(); time.Since(began) < 20*time.Millisecond; { // what is still under way
			watch.Wait(20 * time.Millisecond)
		}
		told := make(chan bool)
		go func() { told <- watch.Wait(5 * time.Second) }()
		change()
		began := time.Now()
		if !<-told || time.Since(began) > 4*time.Second {
			t.Errorf("change %d not told", i)
		}
	}
	watch.Stop()
	if watch.Wait(-1) || watch.Wait(0) {
		t.Error("a stopped watcher goes on")
	}
}
