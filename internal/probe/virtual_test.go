package probe

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// send sends a frame every interval until stop is called.
func (s *station) every(interval time.Duration, frame []byte) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			s.wire.Send(frame)
			select {
			case <-quit:
				return
			case <-time.After(interval):
			}
		}
	}()
	return func() { close(quit); <-done }
}

func peerAdvertisement(vrid, priority int) advertisement {
	return advertisement{version: 3, vrid: vrid, priority: priority, interval: 20, src: "192.0.2.9", addresses: []string{"192.0.2.100"}}
}

func TestPreemption(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lan")
	stop := []func(){}
	for vrid := 1; vrid <= 3; vrid++ {
		stop = append(stop, r.stations["lan"].every(200*time.Millisecond, peerAdvertisement(vrid, 100).frame()))
	}
	r.run(vrrpInterface +
		vrrpTable("takes", 1, 3, 200, "200ms", "", "192.0.2.100") +
		vrrpTable("stays", 2, 3, 200, "200ms", "preempt = false", "192.0.2.101") +
		vrrpTable("waits", 3, 3, 200, "200ms", `preempt_delay = "3s"`, "192.0.2.102"))
	begin := time.Now()
	r.waitState("takes", "Master", 3*time.Second)
	if s := r.state("waits"); s != "Backup" {
		t.Errorf("with preempt_delay: %s, want Backup", s)
	}
	r.waitState("waits", "Master", 5*time.Second)
	if d := time.Since(begin); d < 2500*time.Millisecond {
		t.Errorf("preempt_delay of 3 s: master after %v", d)
	}
	if s := r.state("stays"); s != "Backup" {
		t.Errorf("without preemption: %s, want Backup", s)
	}
	stop[1]()
	begin = time.Now()
	r.waitState("stays", "Master", 3*time.Second)
	near(t, "takeover from a dead master", time.Since(begin), 644*time.Millisecond) // 3 x 200 + 44, the last up to 200 earlier
	stop[0]()
	stop[2]()
}

func TestOwner(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lan")
	r.write(vrrpInterface + vrrpTable("own4", 7, 3, 255, "1s", "", "192.0.2.2") + vrrpTable("own6", 8, 3, 255, "1s", "", "fe80::2", "2001:db8:1::2"))
	begin := time.Now()
	r.start()
	a := r.advert(3*time.Second, 7, false)
	if a == nil || a.at.Sub(begin) > 900*time.Millisecond {
		t.Fatalf("advertisement %v, want it at once (RFC 9568 6.4.1)", a)
	}
	if _, m := upper(a.frame); m[2] != 255 {
		t.Errorf("priority %d, want 255", m[2])
	}
	if r.advert(3*time.Second, 8, true) == nil {
		t.Error("no IPv6 advertisement")
	}
	r.waitState("own4", "Master", 3*time.Second)
	for address, m := range map[string]mac{"192.0.2.2": {0, 0, 0x5e, 0, 1, 7}, "2001:db8:1::2": {0, 0, 0x5e, 0, 2, 8}} {
		got := r.ask("lan", other, ask(address)...)
		if len(got) == 0 || source(got[0]) != m {
			t.Errorf("%s: answers %x, want the virtual MAC", address, got)
		}
	}
	for vrid, src := range map[int]string{7: "192.0.2.9"} {
		high := advertisement{version: 3, vrid: vrid, priority: 254, interval: 100, src: src, addresses: []string{"192.0.2.2"}}
		r.stations["lan"].wire.Send(high.frame())
	}
	time.Sleep(100 * time.Millisecond)
	if s := r.state("own4"); s != "Master" {
		t.Errorf("the owner is %s", s)
	}
	r.stations["lan"].neighbor(lanHost, hostMAC)
	if got := r.probe("lan", eth(mac{0, 0, 0x5e, 0, 1, 7}, hostMAC, typeIPv4, echo4(lanHost, "192.0.2.2", 8).bytes())); len(got) != 1 {
		t.Errorf("ping of the owner: %v", got)
	}
}

func TestUnicastPeers(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lan")
	s := r.stations["lan"]
	s.neighbor("192.0.2.9", hostMAC)
	r.run(vrrpInterface + vrrpTable("v", 33, 3, 100, "200ms", `peers = ["192.0.2.9"]`, "192.0.2.100"))
	a := r.advert(5*time.Second, 33, false)
	if a == nil {
		t.Fatal("no advertisement")
	}
	if src, dst := addresses(a.frame); dst != "192.0.2.9" || src != "192.0.2.2" || destination(a.frame) != hostMAC || a.frame[22] != 255 {
		t.Errorf("advertisement %x", a.frame)
	}
	if _, m := upper(a.frame); sum16(pseudo("192.0.2.2", "192.0.2.9", protoVRRP, len(m)), m) != 0 {
		t.Errorf("checksum over the real addresses is wrong: %x", m)
	}
	high := peerAdvertisement(33, 200)
	send := func(src string) {
		b := high.message()
		b[6], b[7] = 0, 0
		sum := sum16(pseudo(src, "192.0.2.2", protoVRRP, len(b)), b)
		b[6], b[7] = byte(sum>>8), byte(sum)
		s.wire.Send(eth(r.mac["lan"], hostMAC, typeIPv4, ip4{src: src, dst: "192.0.2.2", ttl: 255, proto: protoVRRP, payload: b}.bytes()))
		time.Sleep(100 * time.Millisecond)
	}
	send("192.0.2.8")
	if s := r.state("v"); s != "Master" {
		t.Errorf("%s because of somebody who is no peer", s)
	}
	s.wire.Send(high.frame())
	time.Sleep(100 * time.Millisecond)
	t.Logf("a peer's multicast makes it %s", r.state("v"))
	send("192.0.2.9")
	r.waitState("v", "Backup", 300*time.Millisecond)
}

func TestManyVirtualRouters(t *testing.T) {
	r := newRig(t, "lan")
	config := vrrpInterface
	for i := 1; i <= 40; i++ {
		config += vrrpTable(fmt.Sprintf("a%d", i), i, 3, 100, "200ms", "", fmt.Sprintf("192.0.2.%d", 100+i))
		config += vrrpTable(fmt.Sprintf("b%d", i), i, 3, 100, "200ms", "", fmt.Sprintf("fe80::1:%d", i))
	}
	r.run(config)
	for i := 1; i <= 40; i++ {
		for _, family := range []string{"a", "b"} {
			r.waitState(fmt.Sprintf("%s%d", family, i), "Master", 5*time.Second)
		}
	}
	counts := map[mac]int{}
	w := r.stations["lan"].wire
	w.Drain()
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		if f := w.Receive(time.Until(end), isAdvertisement); f != nil {
			counts[source(f)]++
		}
	}
	for i := byte(1); i <= 40; i++ {
		for family := byte(1); family <= 2; family++ {
			if n := counts[mac{0, 0, 0x5e, 0, family, i}]; n < 4 || n > 6 {
				t.Errorf("VRID %d family %d: %d advertisements a second, want 5", i, family, n)
			}
		}
	}
}

func TestLink(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lan", "wan")
	r.run(forwardingTwo + vrrpTable("v", 33, 3, 100, "200ms", "", "192.0.2.100"))
	r.waitState("v", "Master", 5*time.Second)
	s := r.stations["lan"]
	t.Run("carrier", func(t *testing.T) {
		s.ns.Down(t, "eth0")
		r.waitState("v", "Initialize", 2*time.Second)
		s.ns.Up(t, "eth0")
		r.waitState("v", "Master", 5*time.Second)
		s.neighbor(lanHost, hostMAC)
		if got := r.probeFor(time.Second, "lan", eth(mac{0, 0, 0x5e, 0, 1, 33}, hostMAC, typeIPv4, echo4(lanHost, "192.0.2.100", 8).bytes())); len(got) != 1 {
			t.Errorf("ping after carrier is back: %v", got)
		}
	})
	t.Run("administratively down", func(t *testing.T) {
		r.ns.Down(t, "lan")
		r.waitState("v", "Initialize", 2*time.Second)
		r.ns.Up(t, "lan")
		r.waitState("v", "Master", 5*time.Second)
	})
	t.Run("MTU", func(t *testing.T) {
		r.ns.MTU(t, "wan", 1400)
		time.Sleep(300 * time.Millisecond)
		r.stations["wan"].neighbor(wanHost, nextMAC)
		p := ip4{src: lanHost, dst: wanHost, proto: 17, fragment: 0x4000, payload: pattern(1400)}
		got := r.probe("lan", eth(r.mac["lan"], hostMAC, typeIPv4, p.bytes()))
		if len(got) != 1 || got[0].port != "lan" {
			t.Fatalf("sent %v", got)
		}
		if _, m := upper(got[0].frame); m[0] != 3 || m[1] != 4 || !bytes.Equal(m[6:8], u16(1400)) {
			t.Errorf("error %x", m)
		}
	})
	t.Run("removed", func(t *testing.T) {
		r.ns.Delete(t, "lan")
		r.waitState("v", "Initialize", 2*time.Second)
		r.connect("lan")
		r.waitState("v", "Master", 10*time.Second)
		r.stations["lan"].neighbor(lanHost, hostMAC)
		if got := r.probeFor(time.Second, "lan", eth(mac{0, 0, 0x5e, 0, 1, 33}, hostMAC, typeIPv4, echo4(lanHost, "192.0.2.100", 8).bytes())); len(got) != 1 {
			t.Errorf("ping after the device is back: %v", got)
		}
		if out, err := r.command("show", "interfaces"); err != nil || !strings.Contains(string(out), "lan") {
			t.Errorf("show interfaces: %v\n%s", err, out)
		}
	})
	if err := r.stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

const forwardingTwo = vrrpInterface + `
[[interface]]
name = "wan"
attach = "af_packet"
device = "wan"
addresses = ["203.0.113.2/24"]
`

func TestMissingDevice(t *testing.T) {
	t.Parallel()
	r := newRig(t, "wan")
	r.run(forwardingTwo + vrrpTable("v", 33, 3, 100, "200ms", "", "192.0.2.100"))
	time.Sleep(300 * time.Millisecond)
	if s := r.state("v"); s != "Initialize" {
		t.Errorf("without its device: %s", s)
	}
	if !strings.Contains(r.logged(), "lan") || !strings.Contains(r.logged(), "WARN") {
		t.Errorf("it waits in silence:\n%s", r.logged())
	}
	r.connect("lan")
	r.waitState("v", "Master", 10*time.Second)
}
