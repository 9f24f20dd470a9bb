package probe

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"syscall"
	"testing"
	"time"
)

// advertisement is a VRRP packet (RFC 9568 5.2, RFC 3768 5.3).
type advertisement struct {
	version, vrid, priority int
	interval                int // centiseconds; version 2: seconds
	src                     string
	addresses               []string
}

func (a advertisement) v6() bool { return strings.Contains(a.src, ":") }

func (a advertisement) group() (ip string, ethernet mac) {
	if a.v6() {
		return "ff02::12", mac{0x33, 0x33, 0, 0, 0, 0x12}
	}
	return "224.0.0.18", mac{1, 0, 0x5e, 0, 0, 0x12}
}

// message is the VRRP packet without what carries it.
func (a advertisement) message() []byte {
	b := []byte{byte(a.version<<4 | 1), byte(a.vrid), byte(a.priority), byte(len(a.addresses)), byte(a.interval >> 8), byte(a.interval), 0, 0}
	for _, s := range a.addresses {
		b = append(b, addr(s)...)
	}
	if a.version == 2 {
		b[4] = 0 // no authentication
		b = append(b, make([]byte, 8)...)
	}
	return a.sum(b)
}

// sum puts the checksum into a message, whatever it holds.
func (a advertisement) sum(b []byte) []byte {
	b[6], b[7] = 0, 0
	over := [][]byte{b}
	if a.version == 3 {
		group, _ := a.group()
		over = [][]byte{pseudo(a.src, group, protoVRRP, len(b)), b}
	}
	binary.BigEndian.PutUint16(b[6:], sum16(over...))
	return b
}

func (a advertisement) mac() mac {
	if a.v6() {
		return mac{0, 0, 0x5e, 0, 2, byte(a.vrid)}
	}
	return mac{0, 0, 0x5e, 0, 1, byte(a.vrid)}
}

// frame carries a message as an advertisement has to be.
func (a advertisement) frame() []byte { return a.carry(a.message(), 255) }

func (a advertisement) carry(message []byte, ttl int) []byte {
	group, ethernet := a.group()
	if a.v6() {
		return eth(ethernet, a.mac(), typeIPv6, ip6{src: a.src, dst: group, hops: ttl, next: protoVRRP, payload: message}.bytes())
	}
	return eth(ethernet, a.mac(), typeIPv4, ip4{src: a.src, dst: group, ttl: ttl, proto: protoVRRP, payload: message}.bytes())
}

// heard is a frame and when it came.
type heard struct {
	at    time.Time
	frame []byte
}

func isAdvertisement(f []byte) bool {
	return etherType(f) == typeIPv4 && f[23] == protoVRRP || etherType(f) == typeIPv6 && len(f) > 54 && f[20] == protoVRRP
}

// advert waits for an advertisement of a VRID.
func (r *rig) advert(patience time.Duration, vrid int, v6 bool) *heard {
	r.t.Helper()
	f := r.stations["lan"].wire.Receive(patience, func(f []byte) bool {
		if !isAdvertisement(f) || v6 != (etherType(f) == typeIPv6) {
			return false
		}
		_, m := upper(f)
		return int(m[1]) == vrid
	})
	if f == nil {
		return nil
	}
	return &heard{time.Now(), f}
}

const vrrpInterface = `
[[interface]]
name = "lan"
attach = "af_packet"
device = "lan"
addresses = ["192.0.2.2/24", "fe80::2/64", "2001:db8:1::2/64"]
`

func vrrpTable(name string, vrid, version, priority int, interval, more string, addresses ...string) string {
	return fmt.Sprintf("[[vrrp]]\nname = %q\ninterface = \"lan\"\nvrid = %d\nversion = %d\npriority = %d\ninterval = %q\n%s\naddresses = [\"%s\"]\n",
		name, vrid, version, priority, interval, more, strings.Join(addresses, `", "`))
}

// near fails where a time differs from what the RFC computes by more than an
// idle machine explains.
func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if math.Abs(float64(got-want)) > float64(120*time.Millisecond) {
		t.Errorf("%s after %v, want %v", what, got.Round(time.Millisecond), want)
	}
}

// kinds are the virtual routers that every version and family is tried with.
var kinds = []struct {
	name, interval          string
	version, wire           int // wire: the interval in the packet
	own, peer, lowPeer      string
	addresses               []string
	every, skew             time.Duration // at priority 100
	faster                  int           // another interval on the wire
	fasterEvery, fasterSkew time.Duration
}{
	{"v3 IPv4", "300ms", 3, 30, "192.0.2.2", "192.0.2.9", "192.0.2.1", []string{"192.0.2.100", "192.0.2.101"}, 300 * time.Millisecond, 183 * time.Millisecond, 60, 600 * time.Millisecond, 366 * time.Millisecond},
	{"v3 IPv6", "300ms", 3, 30, "fe80::2", "fe80::9", "fe80::1", []string{"fe80::100", "2001:db8:1::100"}, 300 * time.Millisecond, 183 * time.Millisecond, 60, 600 * time.Millisecond, 366 * time.Millisecond},
	{"v2 IPv4", "1s", 2, 1, "192.0.2.2", "192.0.2.9", "192.0.2.1", []string{"192.0.2.100", "192.0.2.101"}, time.Second, 609 * time.Millisecond, 0, 0, 0},
}

func TestVRRP(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			r := newRig(t, "lan")
			v6 := strings.Contains(k.own, ":")
			r.write(vrrpInterface + vrrpTable("v", 33, k.version, 100, k.interval, "", k.addresses...))
			started := time.Now()
			r.start()
			mine := advertisement{version: k.version, vrid: 33, priority: 100, interval: k.wire, src: k.own, addresses: k.addresses}
			first := r.advert(10*time.Second, 33, v6)
			if first == nil {
				t.Fatal("no advertisement")
			}
			if early := first.at.Sub(started); early < 3*k.every+k.skew-10*time.Millisecond {
				t.Errorf("master %v after the start, want at least %v", early, 3*k.every+k.skew)
			}
			wire := first.frame
			if !bytes.Equal(wire[6:12], eth(mac{}, mine.mac(), 0, nil)[6:12]) {
				t.Errorf("from %x, want the virtual MAC (RFC 9568 7.2)", wire[6:12])
			}
			if wantMessage := mine.message(); !bytes.Contains(wire, wantMessage) {
				t.Errorf("advertisement %x, want %x", wire, wantMessage)
			}
			ip := mine.frame()
			if len(wire) < len(ip) || !bytes.Equal(wire[:14], ip[:14]) || !v6 && (wire[22] != 255 || !headersOK(wire) || !bytes.Equal(wire[26:34], ip[26:34])) || v6 && !bytes.Equal(wire[18:54], ip[18:54]) {
				t.Errorf("advertisement %x, want %x", wire, ip)
			}
			r.announced(t, k.addresses, mine.mac())
			last := r.advert(5*time.Second, 33, v6)
			next := r.advert(5*time.Second, 33, v6)
			near(t, "the next advertisement", next.at.Sub(last.at), k.every)
			masterChecks(t, r, mine, k.peer, k.lowPeer, v6)
			backupChecks(t, r, mine, k.peer, v6, k.every, k.skew)
			if k.faster != 0 {
				learned := mine
				learned.src, learned.priority, learned.interval = k.peer, 200, k.faster
				r.stations["lan"].wire.Send(learned.frame())
				begin := time.Now()
				r.stations["lan"].wire.Drain()
				if a := r.advert(10*time.Second, 33, v6); a != nil {
					near(t, "takeover by the master's interval (RFC 9568 6.1)", a.at.Sub(begin), 3*k.fasterEvery+k.fasterSkew)
				}
			}
			badChecks(t, r, mine, k.peer, v6)
			stopChecks(t, r, mine, v6)
		})
	}
}

// announced waits for a gratuitous ARP or unsolicited advertisement of each
// address from the virtual MAC (RFC 9568 6.4.2).
func (r *rig) announced(t *testing.T, addresses []string, m mac) {
	t.Helper()
	missing := map[string]bool{}
	for _, a := range addresses {
		missing[a] = true
	}
	r.stations["lan"].wire.Receive(500*time.Millisecond, func(f []byte) bool {
		if source(f) == m && etherType(f) == typeARP && destination(f) == everyone && bytes.Equal(f[28:32], f[38:42]) && mac(f[22:28]) == m {
			delete(missing, text(f[28:32]))
		}
		if source(f) == m && etherType(f) == typeIPv6 && f[20] == protoICMPv6 && f[54] == 136 {
			target := text(f[62:78])
			want := eth(mac{0x33, 0x33, 0, 0, 0, 1}, m, typeIPv6, neighborMessage(text(f[22:38]), "ff02::1", 136, 0xa0, target, 2, m).bytes())
			if !bytes.Equal(f, want) {
				t.Errorf("announced by %x, want %x", f, want)
			}
			delete(missing, target)
		}
		return len(missing) == 0
	})
	if len(missing) > 0 {
		t.Errorf("not announced: %v", missing)
	}
}

// masterChecks sends advertisements to a Master that must not impress it.
func masterChecks(t *testing.T, r *rig, mine advertisement, peer, lowPeer string, v6 bool) {
	wire := r.stations["lan"].wire
	low := mine
	low.src, low.priority = peer, 99
	stop := low
	stop.priority = 0
	equal := mine
	equal.src = lowPeer
	for name, a := range map[string]advertisement{"lower priority": low, "priority 0": stop, "equal priority, lower address": equal} {
		r.advert(5*time.Second, 33, v6)
		time.Sleep(30 * time.Millisecond)
		wire.Drain()
		wire.Send(a.frame())
		// RFC 9568 6.4.3 (705) and (750): asserted at once; RFC 3768 6.4.3: after priority 0.
		if mine.version == 3 || a.priority == 0 {
			if got := r.advert(150*time.Millisecond, 33, v6); got == nil {
				t.Errorf("%s: not asserted at once", name)
			}
		}
		if s := r.state("v"); s != "Master" {
			t.Errorf("%s: %s, want Master", name, s)
		}
	}
}

// backupChecks makes a Master Backup, and lets it take over again.
func backupChecks(t *testing.T, r *rig, mine advertisement, peer string, v6 bool, every, skew time.Duration) {
	wire := r.stations["lan"].wire
	high, equal := mine, mine
	high.src, high.priority = peer, 101
	equal.src = peer
	zero := high
	zero.priority = 0
	for name, a := range map[string]advertisement{"higher priority": high, "equal priority, higher address": equal} {
		wire.Send(a.frame())
		last := time.Now()
		r.waitState("v", "Backup", time.Second)
		wire.Drain()
		for _, f := range r.ask("lan", other, ask(mine.addresses[0])...) {
			if m := mine.mac(); bytes.Contains(f, m[:]) { // else the interface's own address is announced again
				t.Errorf("%s: a Backup answers %x", name, f)
			}
		}
		if a := r.advert(10*time.Second, 33, v6); a != nil {
			near(t, name+": takeover", a.at.Sub(last), 3*every+skew)
		} else {
			t.Errorf("%s: never master again", name)
		}
		if got := r.ask("lan", other, ask(mine.addresses[0])...); len(got) == 0 {
			t.Errorf("%s: a Master does not answer", name)
		}
	}
	wire.Send(high.frame())
	r.waitState("v", "Backup", time.Second)
	wire.Drain()
	wire.Send(zero.frame())
	begin := time.Now()
	if a := r.advert(10*time.Second, 33, v6); a != nil {
		near(t, "priority 0: takeover", a.at.Sub(begin), skew)
	}
	r.waitState("v", "Master", time.Second)
}

// ask is who asks for an address.
func ask(address string) [][]byte {
	if strings.Contains(address, ":") {
		group, to := solicitedNode(address)
		return [][]byte{eth(to, other, typeIPv6, neighborMessage("fe80::44", group, 135, 0, address, 1, other).bytes())}
	}
	return [][]byte{eth(everyone, other, typeARP, arp(1, other, "192.0.2.44", mac{}, address))}
}

// badChecks sends advertisements of priority 254, each with one fault: a
// Master stays, and counts (RFC 9568 7.1).
func badChecks(t *testing.T, r *rig, mine advertisement, peer string, v6 bool) {
	r.waitState("v", "Master", 5*time.Second)
	high := mine
	high.src, high.priority = peer, 254
	change := func(i int, to byte) []byte {
		b := high.message()
		b[i] = to
		return high.carry(high.sum(b), 255)
	}
	bad := map[string][]byte{
		"TTL 254": high.carry(high.message(), 254), "TTL 1": high.carry(high.message(), 1),
		"version 1": change(0, 0x11), "version 4": change(0, 0x41), "type 2": change(0, byte(mine.version<<4|2)),
		"unknown VRID": change(1, 34), "VRID 0": change(1, 0), "no addresses": change(3, 0), "more addresses": change(3, 3),
		"cut": high.carry(high.sum(high.message()[:14]), 255), "header only": high.carry(high.sum(high.message()[:8]), 255),
		"7 bytes": high.carry(high.message()[:7], 255), "empty": high.carry(nil, 255),
		"virtual MAC of a stranger, our source": func() []byte { a := mine; a.priority = 254; return a.frame() }(),
	}
	sum := high.message()
	sum[7] ^= 1
	bad["checksum"] = high.carry(sum, 255)
	other := high
	other.version = 5 - mine.version
	if !v6 || other.version == 3 {
		bad["other version"] = other.frame()
	}
	if mine.version == 2 {
		bad["authentication"] = change(4, 1)
		bad["interval"] = change(5, 2)
	}
	if v6 {
		global := high
		global.src = "2001:db8:1::9"
		bad["global source"] = global.frame()
	}
	for name, f := range bad {
		before := r.drops(t)
		r.stations["lan"].wire.Send(f)
		time.Sleep(60 * time.Millisecond)
		if s := r.state("v"); s != "Master" {
			t.Errorf("%s: %s, want Master", name, s)
			r.waitState("v", "Master", 10*time.Second)
		}
		if r.drops(t) == before {
			t.Errorf("%s: not counted", name)
		}
	}
}

// drops adds up all counters of what was refused.
func (r *rig) drops(t *testing.T) (n uint64) {
	t.Helper()
	var c struct{ Drops, Control map[string]uint64 }
	out, err := r.command("show", "counters", "--json")
	if err == nil {
		err = json.Unmarshal(out, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []map[string]uint64{c.Drops, c.Control} {
		for _, v := range m {
			n += v
		}
	}
	var list []struct{ Counters map[string]uint64 }
	out, err = r.command("show", "vrrp", "--json")
	if err == nil {
		err = json.Unmarshal(out, &list)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		for name, count := range v.Counters {
			if !strings.Contains(name, "sent") {
				n += count
			}
		}
	}
	return n
}

// stopChecks ends the router in order: priority 0, and exit status 0.
func stopChecks(t *testing.T, r *rig, mine advertisement, v6 bool) {
	r.stations["lan"].wire.Drain()
	if err := r.stop(syscall.SIGTERM); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	for {
		a := r.advert(100*time.Millisecond, 33, v6)
		if a == nil {
			t.Fatal("no advertisement of priority 0")
		}
		if _, m := upper(a.frame); m[2] == 0 {
			mine.priority = 0
			if !bytes.Contains(a.frame, mine.message()) || source(a.frame) != mine.mac() {
				t.Errorf("last advertisement %x", a.frame)
			}
			return
		}
	}
}
