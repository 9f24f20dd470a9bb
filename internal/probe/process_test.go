package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// client is an HTTP client of the control socket.
func (r *rig) client() *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", r.socket())
		},
	}}
}

func TestKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lan")
	r.ns.Addr(t, "lan", "192.0.2.2/24")
	r.stations["lan"].neighbor(lanHost, hostMAC)
	ping := func() []seen {
		return r.probe("lan", eth(r.mac["lan"], hostMAC, typeIPv4, echo4(lanHost, "192.0.2.2", 8).bytes()))
	}
	if len(ping()) != 1 {
		t.Fatal("the kernel does not answer before")
	}
	r.run(vrrpInterface + vrrpTable("v", 33, 3, 100, "200ms", "", "192.0.2.100"))
	r.waitState("v", "Master", 5*time.Second)
	if got := ping(); len(got) != 1 {
		t.Errorf("with the kernel's stack beside: %v, want one answer", got)
	}
	if got := r.ask("lan", other, ask("192.0.2.2")...); len(got) != 1 {
		t.Errorf("%d ARP answers %x, want one", len(got), got)
	}
	err := r.stop(syscall.SIGKILL)
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Errorf("ended: %v", err)
	}
	time.Sleep(200 * time.Millisecond)
	if got := ping(); len(got) != 1 {
		t.Errorf("after SIGKILL the kernel is silent: %v", got)
	}
	if got := r.ask("lan", other, ask("192.0.2.100")...); len(got) != 0 {
		t.Errorf("after SIGKILL somebody answers for the virtual address: %x", got)
	}
	r.start() // over the socket that was left behind
	time.Sleep(time.Second)
	r.waitState("v", "Master", 5*time.Second)
	if err := r.stop(syscall.SIGTERM); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if got := ping(); len(got) != 1 {
		t.Errorf("after SIGTERM the kernel is silent: %v", got)
	}
	if _, err := os.Stat(r.socket()); err == nil {
		t.Errorf("the socket is left behind")
	}
}

func TestSecondInstance(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lan")
	r.run(vrrpInterface + vrrpTable("v", 33, 3, 100, "200ms", "", "192.0.2.100"))
	second := func(change func(string) string) string {
		text, err := os.ReadFile(r.config)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(r.dir, "second.toml")
		if err := os.WriteFile(path, []byte(change(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
		binary, _ := build()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, binary, "run", "-c", path)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := r.ns.Do(cmd.Start); err != nil {
			t.Fatal(err)
		}
		err = cmd.Wait()
		return fmt.Sprintf("%v: %s", err, out.String())
	}
	if got := second(func(s string) string { return s }); !strings.HasPrefix(got, "exit status 1") || !strings.Contains(got, r.socket()) {
		t.Errorf("same socket: %s\nwant it refused", got)
	}
	if got := second(func(s string) string { return strings.Replace(s, r.socket(), r.socket()+"2", 1) }); !strings.HasPrefix(got, "exit status 1") || !strings.Contains(got, "lan") {
		t.Errorf("same device: %s\nwant it refused", got)
	}
	r.waitState("v", "Master", 5*time.Second)
}

// TestHostAddresses: the kernel keeps the device's addresses.
func TestHostAddresses(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lan", "wan")
	r.ns.Addr(t, "lan", "192.0.2.2/24", "2001:db8:1::2/64")
	r.ns.Addr(t, "wan", "203.0.113.2/24", "2001:db8:2::2/64")
	r.ns.Sysctl(t, "net/ipv4/ip_forward", "1")
	r.stations["lan"].neighbor(lanHost, hostMAC)
	r.stations["lan"].neighbor(lanHost6, hostMAC)
	r.stations["wan"].neighbor(wanHost, nextMAC)
	r.stations["wan"].neighbor(wanHost6, nextMAC)
	config := ""
	for _, name := range []string{"lan", "wan"} {
		config += fmt.Sprintf("[[interface]]\nname = %[1]q\nattach = \"af_packet\"\ndevice = %[1]q\naddresses = \"host\"\n", name)
	}
	r.run(config + vrrpTable("v", 33, 3, 100, "200ms", "", "192.0.2.100") + vrrpTable("w", 33, 3, 100, "200ms", "", "fe80::100", "2001:db8:1::100"))
	r.waitState("v", "Master", 5*time.Second)
	r.waitState("w", "Master", 5*time.Second)
	one := func(name string, got []seen, port string) {
		t.Helper()
		if len(got) != 1 || got[0].port != port {
			t.Errorf("%s: sent %v, want one frame on %s", name, got, port)
		}
	}
	v4, v6 := mac{0, 0, 0x5e, 0, 1, 33}, mac{0, 0, 0x5e, 0, 2, 33}
	long := time.Second
	one("ping of the kernel", r.probeFor(long, "lan", eth(r.mac["lan"], hostMAC, typeIPv4, echo4(lanHost, "192.0.2.2", 8).bytes())), "lan")
	one("ping of the kernel, IPv6", r.probeFor(long, "lan", eth(r.mac["lan"], hostMAC, typeIPv6, echo6(lanHost6, "2001:db8:1::2", 8).bytes())), "lan")
	one("ping of the virtual address", r.probeFor(long, "lan", eth(v4, hostMAC, typeIPv4, echo4(lanHost, "192.0.2.100", 8).bytes())), "lan")
	one("ping of the virtual address, IPv6", r.probeFor(long, "lan", eth(v6, hostMAC, typeIPv6, echo6(lanHost6, "2001:db8:1::100", 8).bytes())), "lan")
	one("transit by the virtual MAC", r.probeFor(long, "lan", eth(v4, hostMAC, typeIPv4, udp4(lanHost, wanHost).bytes())), "wan")
	one("transit by the virtual MAC, IPv6", r.probeFor(long, "lan", eth(v6, hostMAC, typeIPv6, udp6(lanHost6, wanHost6).bytes())), "wan")
	one("transit by the kernel", r.probeFor(long, "lan", eth(r.mac["lan"], hostMAC, typeIPv4, udp4(lanHost, wanHost).bytes())), "wan")
	p, q := udp4(lanHost, wanHost), udp6(lanHost6, wanHost6)
	p.ttl, q.hops = 1, 1
	one("TTL 1 by the virtual MAC", r.probe("lan", eth(v4, hostMAC, typeIPv4, p.bytes())), "lan")
	one("hop limit 1 by the virtual MAC", r.probe("lan", eth(v6, hostMAC, typeIPv6, q.bytes())), "lan")
	for address, m := range map[string]mac{"192.0.2.2": r.mac["lan"], "192.0.2.100": v4, "2001:db8:1::2": r.mac["lan"], "2001:db8:1::100": v6} {
		got := r.ask("lan", other, ask(address)...)
		if len(got) != 1 || source(got[0]) != m {
			t.Errorf("%s: answers %x, want one from %x", address, got, m)
		}
	}
	r.stations["lan"].wire.Send(peerAdvertisement(33, 200).frame())
	r.waitState("v", "Backup", time.Second)
	wantNothing(t, r.probe("lan", eth(v4, hostMAC, typeIPv4, udp4(lanHost, wanHost).bytes())))
	if err := r.stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	one("ping of the kernel after the end", r.probeFor(long, "lan", eth(r.mac["lan"], hostMAC, typeIPv4, echo4(lanHost, "192.0.2.2", 8).bytes())), "lan")
}

// TestMalformed sends thousands of damaged frames: the router goes on.
func TestMalformed(t *testing.T) {
	t.Parallel()
	r := forwarding(t)
	random := rand.New(rand.NewPCG(1, 2))
	group, to := solicitedNode(lanOwn6)
	ad := advertisement{version: 3, vrid: 10, priority: 250, interval: 10, src: "192.0.2.9", addresses: []string{"192.0.2.1"}}
	ad6 := ad
	ad6.src, ad6.addresses = "fe80::9", []string{"fe80::1", "2001:db8:1::1"}
	samples := [][]byte{
		eth(virtual4, hostMAC, typeIPv4, udp4(lanHost, beyond).bytes()), eth(virtual6, hostMAC, typeIPv6, udp6(lanHost6, beyond6).bytes()),
		eth(virtual4, hostMAC, typeIPv4, echo4(lanHost, lanOwn, 100).bytes()), eth(virtual6, hostMAC, typeIPv6, echo6(lanHost6, lanOwn6, 100).bytes()),
		eth(everyone, other, typeARP, arp(1, other, "192.0.2.44", mac{}, lanOwn)),
		eth(to, other, typeIPv6, neighborMessage("fe80::44", group, 135, 0, lanOwn6, 1, other).bytes()),
		ad.carry(ad.message(), 254), ad6.carry(ad6.message(), 254),
		eth(virtual6, hostMAC, typeIPv6, ip6{src: lanHost6, dst: lanOwn6, next: 0, payload: cat([]byte{60, 0, 1, 4, 0, 0, 0, 0, 44, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 9}, udp6(lanHost6, lanOwn6).payload)}.bytes()),
		eth(virtual4, hostMAC, typeIPv4, ip4{src: lanHost, dst: lanOwn, proto: protoTCP, payload: pattern(60)}.bytes()),
		eth(mac{1, 0, 0x5e, 0, 0, 22}, hostMAC, typeIPv4, ip4{src: lanHost, dst: "224.0.0.22", ttl: 1, proto: protoIGMP, options: []byte{148, 4, 0, 0}, payload: pattern(16)}.bytes()),
	}
	w := r.stations["lan"].wire
	for i := range 5000 {
		f := bytes.Clone(samples[i%len(samples)])
		for range 1 + random.IntN(4) {
			f[12+random.IntN(len(f)-12)] = byte(random.Uint32())
		}
		switch i % 7 {
		case 0:
			f = f[:14+random.IntN(len(f)-13)]
		case 1:
			f = append(f, pattern(random.IntN(200))...)
		case 2: // checksums right, contents wrong
			if etherType(f) == typeIPv4 && len(f) >= 34 {
				f[14] = 0x45
				f[24], f[25] = 0, 0
				binary.BigEndian.PutUint16(f[24:], sum16(f[14:34]))
			}
		}
		w.Send(f)
		if i%20 == 19 {
			time.Sleep(2 * time.Millisecond)
		}
	}
	time.Sleep(time.Second)
	for _, name := range []string{"lan4", "lan6", "deaf4", "deaf6"} {
		if s := r.state(name); s != "Master" {
			t.Errorf("%s is %s", name, s)
		}
	}
	w.Send(eth(everyone, hostMAC, typeARP, arp(1, hostMAC, lanHost, mac{}, lanHost)))
	p := udp4(lanHost, beyond)
	got := r.probe("lan", eth(virtual4, hostMAC, typeIPv4, p.bytes()))
	p.ttl = 63
	wantFrame(t, got, "wan", eth(nextMAC, r.mac["wan"], typeIPv4, p.bytes()))
	if log := r.logged(); strings.Contains(log, "panic") || strings.Contains(log, "goroutine ") {
		t.Errorf("it panicked:\n%s", log)
	}
}

func TestControlAbuse(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lan")
	r.run(vrrpInterface + vrrpTable("v", 33, 3, 100, "200ms", "", "192.0.2.100"))
	r.waitState("v", "Master", 5*time.Second)
	if mode, err := os.Stat(r.socket()); err != nil || mode.Mode().Perm() != 0o660 {
		t.Errorf("socket %v, %v, want mode 0660", mode.Mode(), err)
	}
	var idle []net.Conn
	for range 300 { // clients that say nothing
		c, err := net.Dial("unix", r.socket())
		if err != nil {
			break
		}
		idle = append(idle, c)
	}
	t.Logf("%d idle clients", len(idle))
	if s := r.advert(time.Second, 33, false); s == nil {
		t.Error("idle clients silence the router")
	}
	for _, c := range idle {
		c.Close()
	}
	for _, text := range []string{"\x00\xff\xfe", "GET / HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 1e5), "POST /v1/ping HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n", strings.Repeat("A", 1<<20)} {
		if c, err := net.Dial("unix", r.socket()); err == nil {
			_ = c.SetDeadline(time.Now().Add(time.Second))
			_, _ = io.WriteString(c, text)
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		}
	}
	for _, path := range []string{"/", "/../../etc/passwd", "/v1", "/v1/", "/v1/show/vrrp", "/v1/vrrp", "/vrrp", "/v1/ping", "/ping", "/v1/switchover", "/switchover"} {
		for _, method := range []string{"GET", "POST", "DELETE", "BREW"} {
			for _, body := range []string{"", "{", "[]", "null", `{"address":"x","count":-1,"name":"no"}`, strings.Repeat("[", 1<<16)} {
				request, err := http.NewRequest(method, "http://x"+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if response, err := r.client().Do(request); errors.Is(err, syscall.EPIPE) {
					continue // refused before all of it was read
				} else if err != nil {
					t.Errorf("%s %s %.20q: %v", method, path, body, err)
				} else {
					if response.StatusCode >= 500 {
						t.Errorf("%s %s %.20q: %s", method, path, body, response.Status)
					}
					response.Body.Close()
				}
			}
		}
	}
	if out, err := r.command("switchover", "nobody"); err == nil {
		t.Errorf("switchover of nobody: %s", out)
	}
	r.waitState("v", "Master", 3*time.Second)
	if r.advert(time.Second, 33, false) == nil {
		t.Error("no advertisement any more")
	}
	if log := r.logged(); strings.Contains(log, "panic") {
		t.Errorf("it panicked:\n%s", log)
	}
}
