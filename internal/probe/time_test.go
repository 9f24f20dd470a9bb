package probe

import (
	"bytes"
	"syscall"
	"testing"
	"time"
)

// TestFrozen stops the router, guardian and all, for longer than another router
// needs to take over: thawed, it serves nothing before it has listened.
func TestFrozen(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lan", "wan")
	r.stations["wan"].neighbor(wanHost, nextMAC)
	r.stations["lan"].neighbor(lanHost, hostMAC)
	r.run(forwardingTwo + vrrpTable("v", 33, 3, 100, "200ms", "", "192.0.2.100"))
	r.waitState("v", "Master", 5*time.Second)
	v4 := mac{0, 0, 0x5e, 0, 1, 33}
	transit := eth(v4, hostMAC, typeIPv4, udp4(lanHost, wanHost).bytes())
	r.probe("lan", transit)
	for round := range 3 {
		r.waitState("v", "Master", 5*time.Second)
		if got := r.probe("lan", transit); len(got) != 1 {
			t.Fatalf("round %d: a Master forwards %v", round, got)
		}
		process := r.inner()
		r.signalBoth(syscall.SIGSTOP)
		time.Sleep(1200 * time.Millisecond) // 3 x 200 ms and the skew time have passed
		lan, wan := r.stations["lan"].wire, r.stations["wan"].wire
		lan.Drain()
		wan.Drain()
		stop := r.stations["lan"].every(50*time.Millisecond, peerAdvertisement(33, 150).frame())
		for range 50 {
			lan.Send(transit, ask("192.0.2.100")[0])
		}
		r.signalBoth(syscall.SIGCONT)
		begin := time.Now()
		f := lan.Receive(1500*time.Millisecond, func(f []byte) bool { return source(f) == v4 })
		if f != nil {
			t.Errorf("round %d: %v after thawing it sends from the virtual MAC: %x", round, time.Since(begin), f)
		}
		if f := wan.Receive(50*time.Millisecond, func(f []byte) bool { return !background(f) }); f != nil {
			t.Errorf("round %d: after thawing it forwards what came to the virtual MAC: %x", round, f)
		}
		if s := r.state("v"); s != "Backup" {
			t.Errorf("round %d: after thawing it is %s", round, s)
		}
		if r.inner() != process {
			t.Errorf("round %d: the thawed guardian has taken a thawed router process for dead", round)
		}
		stop()
	}
}

// TestHandover: who gives up goes on forwarding until the next master is
// heard, but not for longer than its drain time.
func TestHandover(t *testing.T) {
	t.Parallel()
	v4 := mac{0, 0, 0x5e, 0, 1, 33}
	transit := eth(v4, hostMAC, typeIPv4, udp4(lanHost, wanHost).bytes())
	rig := func(t *testing.T) *rig {
		r := newRig(t, "lan", "wan")
		r.stations["wan"].neighbor(wanHost, nextMAC)
		r.run(forwardingTwo + vrrpTable("v", 33, 3, 100, "200ms", `drain = "1s"`, "192.0.2.100"))
		r.waitState("v", "Master", 5*time.Second)
		r.probe("lan", transit)
		return r
	}
	t.Run("nobody takes over", func(t *testing.T) {
		r := rig(t)
		begin := time.Now()
		_ = r.process.Process.Signal(syscall.SIGTERM)
		if a := r.priorityZero(time.Second); a == nil {
			t.Error("no priority 0 within a second")
		}
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
		if d := time.Since(begin); d > 2*time.Second {
			t.Errorf("ended after %v, want the drain time of 1 s", d)
		}
	})
	t.Run("somebody does", func(t *testing.T) {
		r := rig(t)
		begin := time.Now()
		_ = r.process.Process.Signal(syscall.SIGTERM)
		if a := r.priorityZero(time.Second); a == nil {
			t.Error("no priority 0 within a second")
		}
		if got := r.probe("lan", transit); len(got) != 1 || got[0].port != "wan" {
			t.Errorf("while it waits for the next master: %v", got)
		}
		r.stations["lan"].wire.Send(peerAdvertisement(33, 90).frame())
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
		if d := time.Since(begin); d > 900*time.Millisecond {
			t.Errorf("ended after %v, though the next master was heard", d)
		}
	})
	t.Run("switchover", func(t *testing.T) {
		r := rig(t)
		if out, err := r.command("switchover", "v"); err != nil {
			t.Errorf("%v %s", err, out)
		}
		if a := r.priorityZero(time.Second); a == nil {
			t.Error("no priority 0 within a second")
		}
		stop := r.stations["lan"].every(200*time.Millisecond, peerAdvertisement(33, 90).frame())
		time.Sleep(time.Second)
		if s := r.state("v"); s != "Backup" {
			t.Errorf("after a switchover to a router of lower priority: %s", s)
		}
		stop()
		r.waitState("v", "Master", 5*time.Second)
	})
}

// priorityZero waits for the advertisement of a Master that gives up.
func (r *rig) priorityZero(patience time.Duration) *heard {
	f := r.stations["lan"].wire.Receive(patience, func(f []byte) bool {
		if !isAdvertisement(f) {
			return false
		}
		_, m := upper(f)
		return m[2] == 0
	})
	if f == nil {
		return nil
	}
	return &heard{time.Now(), f}
}

// TestJumbo forwards frames of 9000 bytes, and fragments them where the next
// link is smaller.
func TestJumbo(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lan", "wan", "dmz")
	for _, port := range []string{"lan", "wan"} {
		r.ns.MTU(t, port, 9000)
		r.stations[port].ns.MTU(t, "eth0", 9000)
	}
	r.stations["wan"].neighbor(wanHost, nextMAC)
	r.stations["wan"].neighbor(wanHost6, nextMAC)
	r.stations["dmz"].neighbor(dmzHost, dmzMAC)
	r.stations["lan"].neighbor(lanHost6, hostMAC)
	r.run(forwardingInterface)
	send := func(p ip4) []seen {
		return r.probe("lan", eth(r.mac["lan"], hostMAC, typeIPv4, p.bytes()))
	}
	time.Sleep(time.Second)
	send(udp4(lanHost, wanHost))
	send(udp4(lanHost, dmzHost))
	r.probe("lan", eth(r.mac["lan"], hostMAC, typeIPv6, udp6(lanHost6, wanHost6).bytes()))
	p := ip4{src: lanHost, dst: wanHost, ttl: 9, proto: 17, fragment: 0x4000, payload: pattern(8980)}
	got := send(p)
	p.ttl--
	wantFrame(t, got, "wan", eth(nextMAC, r.mac["wan"], typeIPv4, p.bytes()))
	q := ip6{src: lanHost6, dst: wanHost6, hops: 9, next: 17, payload: pattern(8960)}
	got = r.probe("lan", eth(r.mac["lan"], hostMAC, typeIPv6, q.bytes()))
	q.hops--
	wantFrame(t, got, "wan", eth(nextMAC, r.mac["wan"], typeIPv6, q.bytes()))
	p = ip4{src: lanHost, dst: dmzHost, ttl: 9, proto: 17, payload: pattern(8980)}
	data := []byte{}
	for _, s := range send(p) {
		data = append(data, s.frame[34:]...)
		if len(s.frame) > 1314 || !headersOK(s.frame) {
			t.Errorf("sent %v", s)
		}
	}
	if !bytes.Equal(data, p.payload) {
		t.Errorf("%d bytes came in fragments, want %d", len(data), len(p.payload))
	}
}
