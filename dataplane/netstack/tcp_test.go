package netstack

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func listen(t *testing.T, s *Stack, at string) net.Listener {
	t.Helper()
	ln, err := s.ListenTCP(netip.MustParseAddrPort(at))
	must(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln
}

// serveEcho sends back what comes, one connection after the other.
func serveEcho(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(c, c)
		c.Close()
	}
}

func TestTCPCarriesDataBothWays(t *testing.T) {
	p := newPair(t)
	data := make([]byte, 1<<20)
	rng := rand.NewChaCha8([32]byte{})
	_, _ = rng.Read(data)
	for _, at := range []struct{ listen, dial string }{
		{"0.0.0.0:80", "192.0.2.2:80"},
		{"192.0.2.2:81", "192.0.2.2:81"},
		{"[::]:82", "[2001:db8:1::2]:82"},
		{"[2001:db8:1::2]:83", "[2001:db8:1::2]:83"},
		{"[fe80::2%lan]:84", "[fe80::2%lan]:84"},
	} {
		go serveEcho(listen(t, p.b, at.listen))
		c, err := p.a.DialContext(context.Background(), "tcp", at.dial)
		must(t, err)
		must(t, c.SetDeadline(time.Now().Add(6*patience)))
		go func() { _, _ = c.Write(data) }()
		back := make([]byte, len(data))
		if n, err := io.ReadFull(c, back); err != nil || !bytes.Equal(back, data) {
			t.Errorf("%s: %d of %d bytes, %v", at.dial, n, len(data), err)
		}
		c.Close()
	}
}

func TestTCPToAClosedPortIsRefused(t *testing.T) {
	p := newPair(t)
	for _, dst := range []string{"192.0.2.2:7", "[2001:db8:1::2]:7"} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, err := p.a.DialTCP(ctx, netip.AddrPort{}, netip.MustParseAddrPort(dst))
		cancel()
		if err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s: %v", dst, err)
		}
	}
}

func TestDialGivesUpWithItsContext(t *testing.T) {
	var out recorder
	s := newRouter(t, &out)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.DialTCP(ctx, netip.AddrPort{}, netip.MustParseAddrPort("192.0.2.9:80")); err != context.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
	if _, err := s.DialTCP(ctx, netip.AddrPort{}, netip.MustParseAddrPort("192.0.2.9:80")); err != context.DeadlineExceeded {
		t.Errorf("already over: %v", err)
	}
	for _, c := range [][2]string{{"udp", "192.0.2.9:80"}, {"tcp6", "192.0.2.9:80"}, {"tcp4", "[::1]:80"}, {"tcp", "host:80"}} {
		if _, err := s.DialContext(context.Background(), c[0], c[1]); err == nil {
			t.Errorf("dialed %s %s", c[0], c[1])
		}
	}
	for _, at := range []string{"192.0.2.9:80", "[fe80::6%lan]:80"} {
		if _, err := s.ListenTCP(netip.MustParseAddrPort(at)); err == nil {
			t.Errorf("listens on %s, which is not an own address", at)
		}
	}
	if _, err := s.ListenTCP(netip.AddrPort{}); err == nil {
		t.Error("listens on nothing")
	}
}

func TestSourceAddress(t *testing.T) {
	egress := map[string]uint16{"198.51.100.7": 1, "2001:db8:9::9": 1, "203.0.113.9": 0}
	cases := []struct {
		name, dst, want string
		routed          bool
	}{
		{"connected, nearest prefix", "192.0.2.9", "192.0.2.2", false},
		{"connected on the other port", "203.0.113.9", "203.0.113.2", false},
		{"no route known: first of family", "198.51.100.7", "192.0.2.2", false},
		{"IPv6, connected", "2001:db8:2::9", "2001:db8:2::2", false},
		{"IPv6, first that is not link-local", "2001:db8:9::9", "2001:db8:1::2", false},
		{"routed by the other port", "198.51.100.7", "203.0.113.2", true},
		{"IPv6, routed by the other port", "2001:db8:9::9", "2001:db8:2::2", true},
		{"the route decides, not the prefix", "203.0.113.9", "192.0.2.2", true},
		{"own address", "203.0.113.2", "203.0.113.2", true},
		{"link-local", "fe80::9%wan", "fe80::6", true},
		{"multicast of IPv4 has no zone", "224.0.0.5", "", true},
		{"multicast of IPv6", "ff02::1%wan", "fe80::6", true},
		{"no route", "198.51.100.8", "", true},
	}
	for _, c := range cases {
		cfg := Config{}
		if c.routed {
			cfg.Egress = func(a netip.Addr) (uint16, bool) {
				port, ok := egress[a.String()]
				return port, ok
			}
		}
		s := newStack(t, cfg, func(uint16, []byte) {})
		must(t, s.SetPorts([]Port{{Number: 0, Name: "lan", MTU: mtu}, {Number: 1, Name: "wan", MTU: mtu}}))
		must(t, s.SetAddresses(routerAddresses()))
		got, err := s.source(netip.Addr{}, addr(c.dst))
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: %s", c.name, got.addr)
			}
		} else if err != nil || got.addr != addr(c.want) {
			t.Errorf("%s: %s, %v, want %s", c.name, got.addr, err, c.want)
		}
	}
}
