package daemon

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"vrouter/config"
	"vrouter/control"
	"vrouter/dataplane/port/mem"
	"vrouter/packet"
	"vrouter/router"
)

// tapPair are two routers on a cable; the first one's address is the kernel's, of
// the tests' own namespace.
func tapPair(t *testing.T) (r, other *rig) {
	t.Helper()
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip(err)
	}
	text := strings.NewReplacer(`name = "lan"`, "name = \"tapped\"\nhost_tap = true", `interface = "lan"`, `interface = "tapped"`,
		"192.0.2.", "198.18.40.").Replace(onLAN)
	r = newRig(t, text)
	other = newRig(t, strings.NewReplacer("192.0.2.2/24", "198.18.40.3/24", "203.0.113.2/24", "198.51.100.2/24",
		"203.0.113.1", "198.51.100.1", "192.0.2.1", "198.18.40.9", "vrid = 10", "vrid = 11").Replace(onLAN))
	other.ports[0].SetMAC(packet.MAC{2, 0, 0, 0, 2, 0})
	mem.Connect(r.ports[0], other.ports[0])
	r.start()
	other.start()
	return r, other
}

// hostTAPStatus returns what the router says of its host TAP.
func (r *rig) hostTAPStatus() *router.HostTAPStatus {
	list, err := r.client.Interfaces(r.t.Context())
	if err != nil || len(list) == 0 || list[0].HostTAP == nil {
		return &router.HostTAPStatus{}
	}
	return list[0].HostTAP
}

func (r *rig) pings(address string) bool {
	request := control.PingRequest{Address: netip.MustParseAddr(address), Count: 1, IntervalMS: 20, TimeoutMS: 1000, Size: 2000}
	answered := false
	err := r.client.Ping(r.t.Context(), request, func(p control.PingReply) error { answered = p.Error == ""; return nil })
	return err == nil && answered
}

// The kernel answers at the router's address and connections come to it; without
// the TAP the local stack answers again.
func TestTheKernelAnswersAtTheRoutersAddress(t *testing.T) {
	r, other := tapPair(t)
	await(t, "the host TAP is up", func() bool {
		s := r.hostTAPStatus()
		if strings.Contains(s.Problem, "not permitted") {
			t.Skip(s.Problem)
		}
		return s.Up
	})
	await(t, "a ping is answered", func() bool { return other.pings("198.18.40.2") })
	await(t, "the router's own pings are answered beside", func() bool { return r.pings("198.18.40.3") })

	listener, err := net.Listen("tcp", "198.18.40.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	accepted := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, _ = io.Copy(io.Discard, conn) // reset
			conn.Close()
		}
		accepted <- err
	}()
	port := uint16(listener.Addr().(*net.TCPAddr).Port)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := other.process.local.stack.Connect(ctx, netip.AddrPortFrom(netip.MustParseAddr("198.18.40.2"), port)); err != nil {
		t.Errorf("connect: %v", err)
	}
	if err := <-accepted; err != nil {
		t.Error(err)
	}
	if device, from, ok := r.process.local.host.device(0, netip.MustParseAddr("192.0.2.9")); !ok || device != config.HostTAPDevice("tapped") || from != netip.MustParseAddr("198.18.40.2") {
		t.Errorf("device %q, from %s, %v", device, from, ok)
	}
	if device, _, ok := r.process.local.host.device(0, netip.MustParseAddr("2001:db8::9")); ok {
		t.Errorf("device %q for another family", device)
	}
	if s := r.hostTAPStatus(); s.ToHost.Packets == 0 || s.FromHost.Packets == 0 || s.Device != "vr-tapped" {
		t.Errorf("status %+v", s)
	}

	r.process.local.host.want(nil)
	await(t, "the TAP has gone", func() bool {
		_, err := net.InterfaceByName("vr-tapped")
		return err != nil
	})
	await(t, "the local stack answers", func() bool { return other.pings("198.18.40.2") })
}

// Packets to the addresses that the router has to its host stay inside.
func TestNothingGoesOutToTheHostsGateway(t *testing.T) {
	frame := make([]byte, packet.EthernetLen+packet.IPv4Len+8)
	for dst, want := range map[string]bool{"169.254.118.114": false, "169.254.1.1": true, "192.0.2.1": true} {
		packet.PutEthernet(frame, packet.MAC{2}, packet.MAC{2}, packet.EtherTypeIPv4)
		h := packet.IPv4Header{TTL: 64, Protocol: packet.ProtoUDP, Src: netip.MustParseAddr("192.0.2.2"), Dst: netip.MustParseAddr(dst)}
		h.Put(frame[packet.EthernetLen:], 8)
		if got := goesOut(frame); got != want {
			t.Errorf("%s goes out: %v", dst, got)
		}
	}
}
