package interop

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"vrouter/internal/netlab"
)

// echo serves TCP on an address of a host: it sends back what it gets.
func (r *rig) echo(h *netlab.Host, address string) {
	r.t.Helper()
	var listener net.Listener
	must(r.t, h.Do(func() (err error) {
		listener, err = net.Listen("tcp", net.JoinHostPort(address, "2222"))
		return err
	}))
	r.t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(conn, conn)
				conn.Close()
			}()
		}
	}()
}

// session is a TCP connection of the LAN host to an echo.
type session struct {
	conn net.Conn
	in   *bufio.Reader
}

func (r *rig) dial(address string) (*session, error) {
	s := &session{}
	err := r.lan.Do(func() (err error) {
		s.conn, err = net.DialTimeout("tcp", net.JoinHostPort(address, "2222"), 5*time.Second)
		return err
	})
	if err != nil {
		return nil, err
	}
	r.t.Cleanup(func() { s.conn.Close() })
	s.in = bufio.NewReader(s.conn)
	return s, s.exchange("hello")
}

// exchange sends a line and waits for it to come back.
func (s *session) exchange(line string) error {
	s.conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintln(s.conn, line); err != nil {
		return err
	}
	got, err := s.in.ReadString('\n')
	if err == nil && got != line+"\n" {
		err = fmt.Errorf("got %q", got)
	}
	return err
}

// kernelAddresses gives the router's kernel the addresses that it has, or
// would have without vrouter.
func (v *vrouter) kernelAddresses() {
	v.t.Helper()
	must(v.t, v.host.Address("lan", "192.0.2.2/24", "2001:db8:1::2/64"))
	must(v.t, v.host.Address("wan", "203.0.113.2/24", "2001:db8:2::2/64"))
}

var kernelOwned = []string{"192.0.2.2", "2001:db8:1::2"}

func (r *rig) pingOnce(target string) error {
	out, err := r.run(r.lan, "ping", "-n", "-c", "3", "-i", "0.2", "-W", "3", target)
	if err == nil && strings.Contains(out, "DUP!") {
		err = fmt.Errorf("answered twice\n%s", out)
	}
	return err
}

// With addresses = "host" the kernel's addresses stay the kernel's: an SSH
// session to the router is not disturbed by anything that vrouter does, while
// vrouter serves and forwards for the virtual addresses.
func TestHostAddresses(t *testing.T) {
	need(t, "ping")
	r := newRig(t)
	v := r.vrouter("r1", `
[[interface]]
name = "lan"
attach = "af_packet"
device = "lan"
addresses = "host"

[[interface]]
name = "wan"
attach = "af_packet"
device = "wan"
addresses = "host"

[[route]]
to = "0.0.0.0/0"
via = ["203.0.113.10%wan"]

[[route]]
to = "::/0"
via = ["2001:db8:2::10%wan"]
`+gateways(200, "200ms"))
	v.kernelAddresses()
	var sessions []*session
	for _, address := range kernelOwned {
		r.echo(v.host, address)
		s, err := r.dial(address)
		must(t, err)
		sessions = append(sessions, s)
	}
	alive := func(when string) {
		t.Helper()
		for i, s := range sessions {
			if err := s.exchange(when); err != nil {
				t.Errorf("%s: session to %s: %v", when, kernelOwned[i], err)
			}
			if _, err := r.dial(kernelOwned[i]); err != nil {
				t.Errorf("%s: another session to %s: %v", when, kernelOwned[i], err)
			}
		}
	}
	alive("before vrouter")
	v.start()
	v.waitMaster()
	alive("vrouter is master")
	for _, address := range []string{virtual4, virtual6} {
		port, mac, err := r.served(address)
		if err != nil || port != "r1.lan" || mac != virtualMAC(address) {
			t.Errorf("%s: served by %q with %v, %v; want the virtual MAC", address, port, mac, err)
		}
	}
	for _, target := range append([]string{virtual4, virtual6, target4, target6}, kernelOwned...) {
		if err := r.pingOnce(target); err != nil {
			t.Errorf("ping: %v", err)
		}
	}
	if err := transfer(r.lan, r.up, target4, 5<<20); err != nil {
		t.Errorf("transfer through the router: %v", err)
	}
	alive("after traffic")
	v.stop()
	alive("vrouter stopped")
	v.start()
	v.waitMaster()
	v.process.Kill()
	alive("vrouter crashed")
}

// Where vrouter owns the addresses, the kernel is deaf on the device: it
// neither answers nor forwards, though it is configured to; and it hears again
// once vrouter has gone, in order or not.
func TestKernelIsDeaf(t *testing.T) {
	need(t, "ping")
	r := newRig(t)
	v := r.vrouter("r1", interfaces(numberFirst)+gateways(200, "200ms"))
	v.kernelAddresses()
	must(t, v.host.Sysctl("net/ipv4/ip_forward", "1"))
	must(t, v.host.Sysctl("net/ipv6/conf/all/forwarding", "1"))
	must(t, v.host.Route("198.51.100.0/24", wanHost4, "wan"))
	must(t, v.host.Route("2001:db8:99::/64", wanHost6, "wan"))
	for _, address := range kernelOwned {
		r.echo(v.host, address)
	}
	hears := func(when string) {
		t.Helper()
		waitFor(t, patience, when+": the kernel hears", func() error {
			for _, address := range kernelOwned {
				if _, err := r.dial(address); err != nil {
					return err
				}
			}
			return nil
		})
	}
	hears("before vrouter")
	for _, end := range []func(){v.stop, func() { v.process.Kill() }} {
		v.start()
		v.waitMaster()
		for _, address := range kernelOwned {
			if _, err := r.dial(address); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("connect to %s while vrouter owns it: %v, want connection refused", address, err)
			}
		}
		for _, target := range append([]string{virtual4, virtual6, target4, target6}, kernelOwned...) {
			if err := r.pingOnce(target); err != nil {
				t.Errorf("ping: %v", err)
			}
		}
		end()
		hears("after vrouter")
	}
}
