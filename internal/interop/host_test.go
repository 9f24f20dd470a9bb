package interop

import (
	"errors"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Two routers, the first one master everywhere, among Linux hosts.
func TestLinuxHosts(t *testing.T) {
	r := newRig(t)
	master := r.vrouter("r1", interfaces(numberFirst)+gateways(200, "200ms"))
	backup := r.vrouter("r2", interfaces(numberB)+gateways(100, "200ms"))
	master.start()
	backup.start()
	master.waitMaster()
	t.Run("ping", func(t *testing.T) { testPing(t, r) })
	t.Run("one router answers by the virtual MAC", func(t *testing.T) { testVirtualMAC(t, r) })
	t.Run("arping", func(t *testing.T) { testArping(t, r) })
	t.Run("traceroute", func(t *testing.T) { testTraceroute(t, r) })
	t.Run("mtr", func(t *testing.T) { testMTR(t, r) })
	t.Run("UDP port unreachable", func(t *testing.T) { testPortUnreachable(t, r) })
	t.Run("TCP reset", func(t *testing.T) { testReset(t, r) })
	t.Run("vrouter ping", func(t *testing.T) {
		for _, address := range []string{lanHost4, lanHost6, target4, target6} {
			if out, err := r.run(master.host, r.binary, "ping", "-n", "2", "-i", "100ms", address, "-s", master.socket); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		}
	})
}

// pingTargets are the routers' addresses, and hosts behind them.
var pingTargets = []string{
	virtual4, virtual6, "fe80::1%eth0",
	"192.0.2.2", "192.0.2.3", "2001:db8:1::2", "2001:db8:1::3", "fe80::2%eth0",
	"203.0.113.2", "2001:db8:2::2",
	target4, target6,
}

func testPing(t *testing.T, r *rig) {
	need(t, "ping")
	for _, size := range []string{"56", "1472", "8000"} {
		for _, target := range pingTargets {
			out, err := r.run(r.lan, "ping", "-n", "-c", "3", "-i", "0.05", "-W", "3", "-s", size, target)
			if err != nil || !strings.Contains(out, " 0% packet loss") {
				t.Errorf("size %s: %v\n%s", size, err, out)
			}
			if strings.Contains(out, "DUP!") {
				t.Errorf("size %s to %s: answered twice\n%s", size, target, out)
			}
		}
	}
}

func testVirtualMAC(t *testing.T, r *rig) {
	for _, address := range []string{virtual4, virtual6, virtualLL} {
		port, mac, err := r.served(address)
		if err != nil || port != "r1.lan" || mac != virtualMAC(address) {
			t.Errorf("%s: served by %q with %v (%v), want r1.lan with %v", address, port, mac, err, virtualMAC(address))
		}
	}
	// And what the host's own kernel learned.
	must(t, r.lan.FlushNeighbors("eth0"))
	if _, err := r.run(r.lan, "ping", "-c", "1", "-W", "3", target4); err != nil {
		t.Error(err)
	}
	if mac, err := r.lan.Neighbor("eth0", netip.MustParseAddr(virtual4)); err != nil || mac.String() != virtualMAC(virtual4).String() {
		t.Errorf("the LAN host has %s at %v, %v", virtual4, mac, err)
	}
}

func testArping(t *testing.T, r *rig) {
	need(t, "arping")
	out, err := r.run(r.lan, "arping", "-c", "3", "-I", "eth0", virtual4)
	if err != nil {
		t.Fatal(err)
	}
	macs := regexp.MustCompile(`(?i)\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b`).FindAllString(out, -1)
	if len(macs) != 3 {
		t.Errorf("%d answers to 3 requests\n%s", len(macs), out)
	}
	for _, mac := range macs {
		if !strings.EqualFold(mac, virtualMAC(virtual4).String()) {
			t.Errorf("answer from %s\n%s", mac, out)
		}
	}
}

func testTraceroute(t *testing.T, r *rig) {
	need(t, "traceroute")
	for _, c := range []struct{ family, target, router string }{
		{"-4", target4, "192.0.2.2"},
		{"-6", target6, "2001:db8:1::2"},
	} {
		for _, method := range []string{"-U", "-I", "-T"} {
			// Each probe is waited for, however fast others came back.
			out, err := r.run(r.lan, "traceroute", c.family, method, "-n", "-q", "1", "-w", "3,0,0", "-m", "5", c.target)
			if err != nil {
				t.Error(err)
				continue
			}
			hops := regexp.MustCompile(`(?m)^ *\d+ +(\S+)`).FindAllStringSubmatch(out, -1)
			if len(hops) != 2 || hops[0][1] != c.router || hops[1][1] != c.target {
				t.Errorf("traceroute %s %s: want hops %s and %s\n%s", c.family, method, c.router, c.target, out)
			}
		}
	}
}

func testMTR(t *testing.T, r *rig) {
	need(t, "mtr")
	for _, c := range []struct{ family, target string }{{"-4", target4}, {"-6", target6}} {
		out, err := r.run(r.lan, "mtr", c.family, "-n", "-r", "-c", "3", "-i", "0.3", "-G", "1", c.target)
		if err != nil || strings.Count(out, " 0.0% ") != 2 {
			t.Errorf("mtr %s: want two hops without loss: %v\n%s", c.family, err, out)
		}
	}
}

// Own and virtual addresses answer UDP to a port where nobody listens.
func testPortUnreachable(t *testing.T, r *rig) {
	for _, address := range []string{virtual4, "192.0.2.2", virtual6, "2001:db8:1::2"} {
		var conn *net.UDPConn
		must(t, r.lan.Do(func() (err error) {
			to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(address), 33999))
			conn, err = net.DialUDP("udp", nil, to)
			return err
		}))
		// Again where it is lost: errors are rate limited.
		waitFor(t, patience, address+" says port unreachable", func() error {
			if _, err := conn.Write([]byte("anybody?")); errors.Is(err, syscall.ECONNREFUSED) {
				return nil
			}
			must(t, conn.SetReadDeadline(time.Now().Add(500*time.Millisecond)))
			_, err := conn.Read(make([]byte, 10))
			if errors.Is(err, syscall.ECONNREFUSED) {
				return nil
			}
			return err
		})
		conn.Close()
	}
}

func testReset(t *testing.T, r *rig) {
	for _, address := range []string{virtual4, "192.0.2.2", virtual6, "2001:db8:1::2"} {
		err := r.lan.Do(func() error {
			conn, err := net.DialTimeout("tcp", net.JoinHostPort(address, "4242"), 5*time.Second)
			if err == nil {
				conn.Close()
			}
			return err
		})
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("connect to %s: %v, want connection refused", address, err)
		}
	}
}
