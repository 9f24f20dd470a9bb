package netlab

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"vrouter/packet"
)

var (
	askAddr   = netip.MustParseAddr("192.0.2.1")
	askSource = netip.MustParseAddr("192.0.2.10")
)

// answers asks in the LAN of a routed network who has the router's address.
func (r *routed) answers(t *testing.T) int {
	t.Helper()
	list, err := r.lan.Who("eth0", askSource, askAddr, 200*time.Millisecond)
	must(t, err)
	return len(list)
}

func TestBlockedLinkPassesNothingAndKeepsItsCarrier(t *testing.T) {
	r := newRouted(t, newLab(t))
	waitFor(t, "the router answers", func() bool { return r.answers(t) == 1 })
	must(t, r.lanLink.Block(true))
	if n := r.answers(t); n != 0 {
		t.Errorf("%d answers through a blocked port", n)
	}
	if up, err := r.lanLink.Carrier(); err != nil || !up {
		t.Errorf("carrier %t, %v of a blocked link", up, err)
	}
	must(t, r.lanLink.Block(false))
	if n := r.answers(t); n != 1 {
		t.Errorf("%d answers after the port was opened", n)
	}
	must(t, r.lanLink.Cut())
	waitFor(t, "the carrier is gone", func() bool { up, err := r.lanLink.Carrier(); return err == nil && !up })
}

func TestIsolatedLinksDoNotReachEachOther(t *testing.T) {
	l := newLab(t)
	r := newRouted(t, l)
	third, err := l.Host("third")
	must(t, err)
	link, err := r.lanSwitch.Connect(third, "eth0")
	must(t, err)
	must(t, third.Address("eth0", "192.0.2.11/24"))
	must(t, link.Isolate(true))
	must(t, r.lanLink.Isolate(true))
	ask := func() int {
		list, err := third.Who("eth0", netip.MustParseAddr("192.0.2.11"), askAddr, 200*time.Millisecond)
		must(t, err)
		return len(list)
	}
	if n := ask(); n != 0 {
		t.Errorf("%d answers between isolated links", n)
	}
	if n := r.answers(t); n != 1 {
		t.Errorf("%d answers to a host that is not isolated", n)
	}
	must(t, link.Isolate(false))
	if n := ask(); n != 1 {
		t.Errorf("%d answers after isolation", n)
	}
}

func TestForget(t *testing.T) {
	r := newRouted(t, newLab(t))
	wire, err := r.lan.OpenSender("eth0")
	must(t, err)
	defer wire.Close()
	mac := packet.MAC{2, 0, 0, 0, 0, 9}
	frame := make([]byte, 60)
	packet.PutEthernet(frame, packet.Broadcast, mac, packet.EtherTypeARP)
	must(t, wire.Write(frame))
	behind := func() string {
		port, err := r.lanSwitch.Behind(mac[:])
		must(t, err)
		return port
	}
	waitFor(t, "the switch has learned", func() bool { return behind() == "lan.eth0" })
	must(t, r.lanSwitch.Forget())
	if port := behind(); port != "" {
		t.Errorf("the switch still knows the MAC behind %s", port)
	}
}

func TestDropVRRPDropsAdvertisementsAlone(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("nft is not installed")
	}
	r := newRouted(t, newLab(t))
	must(t, r.lanLink.DropVRRP())
	wire, err := r.router.OpenSender("lan")
	must(t, err)
	defer wire.Close()
	tap, err := r.lanLink.OpenTap()
	must(t, err)
	defer tap.Close()
	must(t, wire.Write(advert(packet.MAC(wire.MAC))))
	if n := r.answers(t); n != 1 {
		t.Errorf("%d answers beside dropped advertisements", n)
	}
	if n, err := r.lanLink.PassVRRP(); err != nil || n != 1 {
		t.Errorf("%d dropped, %v; want 1", n, err)
	}
	// The tap is before the filter: it has seen the advertisement.
	buffer := make([]byte, 2048)
	start := time.Now()
	n, at, ok := tap.Read(buffer)
	frame, parsed := packet.ParseEthernet(buffer[:n])
	if !ok || !parsed || frame.Type() != packet.EtherTypeIPv4 {
		t.Fatalf("read %d bytes, %t: % x", n, ok, buffer[:n])
	}
	if since := start.Sub(at); since < 0 || since > 10*time.Second {
		t.Errorf("the kernel got the frame %v before it was read", since)
	}
}

// advert is a frame with the protocol number of VRRP and nothing of use.
func advert(mac packet.MAC) []byte {
	b := make([]byte, 60)
	group := netip.MustParseAddr("224.0.0.18")
	packet.PutEthernet(b, packet.MulticastMAC(group), mac, packet.EtherTypeIPv4)
	h := packet.IPv4Header{TTL: 255, Protocol: packet.ProtoVRRP, Src: askAddr, Dst: group}
	h.Put(b[packet.EthernetLen:], 26)
	return b
}

func TestTapReadsControlAlone(t *testing.T) {
	r := newRouted(t, newLab(t))
	tap, err := r.lanLink.OpenTap()
	must(t, err)
	waitFor(t, "the router answers", func() bool { return r.answers(t) == 1 })
	buffer := make([]byte, 2048)
	n, _, ok := tap.Read(buffer)
	frame, _ := packet.ParseEthernet(buffer[:n])
	if mac, answer := ParseAnswer(frame, askAddr); !ok || !answer || mac != frame.Src() {
		t.Errorf("the first frame is no answer: % x", buffer[:n])
	}
	tap.Close()
	if _, _, ok := tap.Read(buffer); ok {
		t.Error("a closed tap reads")
	}
}

func TestTableNameIsAnIdentifier(t *testing.T) {
	l := &Link{port: "r1.lan"}
	if name := l.table(); strings.ContainsAny(name, ".-") {
		t.Errorf("nft does not take %q", name)
	}
}
