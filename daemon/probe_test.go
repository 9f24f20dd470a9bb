package daemon

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"vrouter/config"
	"vrouter/packet"
)

func addresses(texts ...string) (list []netip.Addr) {
	for _, s := range texts {
		list = append(list, netip.MustParseAddr(s))
	}
	return list
}

func TestEchoRequestIsWhatRFC792AndRFC4443Say(t *testing.T) {
	request := echoRequest(false, 0x1234, 0x5678)
	if len(request) != 64 || !bytes.Equal(request[:8], []byte{8, 0, 0x8f, 0x53, 0x12, 0x34, 0x56, 0x78}) {
		t.Errorf("% x", request[:8])
	}
	if sum := packet.Checksum(packet.Sum(0, request)); sum != 0 {
		t.Errorf("checksum is off by %#x", sum)
	}
	request6 := echoRequest(true, 0x1234, 0x5678)
	if !bytes.Equal(request6[:8], []byte{128, 0, 0, 0, 0x12, 0x34, 0x56, 0x78}) {
		t.Errorf("% x", request6[:8])
	}
	reply := append([]byte{0, 0, 0x97, 0x53}, request[4:]...)
	if !echoAnswers(false, reply, request) || echoAnswers(false, request, request) || echoAnswers(true, reply, request) {
		t.Error("the reply is not told from the request")
	}
	reply[7]++
	if echoAnswers(false, reply, request) || echoAnswers(false, reply[:8], request) || echoAnswers(false, nil, request) {
		t.Error("somebody else's reply is taken")
	}
}

func TestKernelSendsTheProbeWhereItKeepsTheAddresses(t *testing.T) {
	p := &prober{
		egress: func(dst netip.Addr) (uint16, bool) { return uint16(dst.As4()[3]), dst.As4()[3] < 2 },
		ports:  &portSet{},
	}
	p.ports.add(nil, &config.Interface{Name: "lan", Device: "eth0"})
	p.ports.add(nil, &config.Interface{Name: "wan", Device: "eth1", HostAddrs: true})
	for _, test := range []struct {
		to, device string
	}{
		{"192.0.2.0", ""},
		{"192.0.2.1", "eth1"},
		{"192.0.2.2", ""},
		{"fe80::1%lan", ""},
		{"fe80::1%wan", "eth1"},
		{"fe80::1", ""},
	} {
		device, ok := p.kernels(netip.MustParseAddr(test.to))
		if device != test.device || ok != (test.device != "") {
			t.Errorf("%s: by %q, %v", test.to, device, ok)
		}
	}
}

// needRaw skips the test where the kernel gives no raw sockets.
func needRaw(t *testing.T) {
	t.Helper()
	c, err := net.ListenPacket("ip4:icmp", "127.0.0.1")
	if errors.Is(err, os.ErrPermission) {
		t.Skip("no raw sockets: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestKernelPingAndConnectOnLoopback(t *testing.T) {
	needRaw(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	open := netip.MustParseAddrPort(l.Addr().String())
	if took, err := kernelPing(ctx, "lo", open.Addr(), 1); err != nil || took <= 0 {
		t.Errorf("ping: %v, %v", took, err)
	}
	if took, err := kernelConnect(ctx, "lo", netip.Addr{}, open); err != nil || took <= 0 {
		t.Errorf("connect: %v, %v", took, err)
	}
	l.Close()
	if _, err := kernelConnect(ctx, "lo", netip.Addr{}, open); !errors.Is(err, syscall.ECONNREFUSED) || err.Error() != "connection refused" {
		t.Errorf("closed port: %v", err)
	}
	if _, err := kernelPing(ctx, "no-such-device", open.Addr(), 1); !errors.Is(err, syscall.ENODEV) {
		t.Errorf("no such device: %v", err)
	}
}

func TestKernelPingGivesUpWithItsContext(t *testing.T) {
	needRaw(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	// The loopback device leads nowhere else.
	if _, err := kernelPing(ctx, "lo", netip.MustParseAddr("192.0.2.77"), 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody is there: %v", err)
	}
}

func TestProbeWithoutARouteFailsAtOnceAndSaysSo(t *testing.T) {
	r := started(t, onLAN)
	p := &prober{
		stack: r.process.local.stack, ports: &r.process.ports, egress: egress(&r.process.snapshot),
	}
	await(t, "the local stack has its addresses", func() bool {
		_, err := p.ping(expired(t), netip.MustParseAddr("203.0.113.9"))
		return errors.Is(err, context.DeadlineExceeded)
	})
	_, err := p.ping(t.Context(), netip.MustParseAddr("2001:db8::1"))
	if err == nil || !strings.Contains(err.Error(), "no route to 2001:db8::1") {
		t.Errorf("ping: %v", err)
	}
	_, err = p.connect(t.Context(), netip.MustParseAddrPort("[2001:db8::1]:80"))
	if err == nil || !strings.Contains(err.Error(), "no route to 2001:db8::1") {
		t.Errorf("connect: %v", err)
	}
}

// expired is a context with very little time.
func expired(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
