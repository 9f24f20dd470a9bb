package probe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// ask sends a frame into a port and returns the ARP or neighbour messages for
// MAC to, or all stations, that answer.
func (r *rig) ask(port string, to mac, frames ...[]byte) (out [][]byte) {
	s := r.stations[port]
	s.wire.Drain()
	s.wire.Send(frames...)
	for end := time.Now().Add(150 * time.Millisecond); ; {
		f := s.wire.Receive(time.Until(end), func(f []byte) bool {
			if etherType(f) == typeARP {
				return f[21] == 2 && destination(f) == to
			}
			if etherType(f) != typeIPv6 || len(f) < 78 {
				return false
			}
			proto, p := upper(f)
			_, dst := addresses(f)
			return proto == protoICMPv6 && p[0] == 136 && (destination(f) == to || dst == "ff02::1")
		})
		if f == nil {
			return out
		}
		out = append(out, f)
	}
}

// quiet waits until the router has announced all of its addresses.
func (r *rig) quiet(port string) {
	r.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		announcement := func(f []byte) bool {
			return etherType(f) == typeARP && bytes.Equal(f[28:32], f[38:42]) || etherType(f) == typeIPv6 && len(f) >= 78 && f[20] == protoICMPv6 && f[54] == 136
		}
		if r.stations[port].wire.Receive(2*time.Second, announcement) == nil {
			return
		}
	}
	r.t.Fatal("announcements do not end")
}

func TestNeighbors(t *testing.T) {
	t.Parallel()
	r := forwarding(t)
	r.quiet("lan")
	t.Run("ARP", func(t *testing.T) { arpChecks(t, r) })
	t.Run("ND", func(t *testing.T) { ndChecks(t, r) })
	t.Run("moves", func(t *testing.T) { moveChecks(t, r) })
	t.Run("waiting", func(t *testing.T) { waitingChecks(t, r) })
	t.Run("scan", func(t *testing.T) { scanChecks(t, r) })
}

// other is a station that the router has not heard of.
var other = mac{2, 0, 0, 0, 0, 0x44}

func arpChecks(t *testing.T, r *rig) {
	none := mac{}
	for address, m := range map[string]mac{lanOwn: r.mac["lan"], "192.0.2.1": virtual4, "192.0.2.3": {0, 0, 0x5e, 0, 1, 11}} {
		for _, sender := range []string{"192.0.2.44", "0.0.0.0"} {
			got := r.ask("lan", other, eth(everyone, other, typeARP, arp(1, other, sender, none, address)))
			want := eth(other, m, typeARP, arp(2, m, address, other, sender))
			if len(got) != 1 || !bytes.Equal(bytes.TrimRight(got[0][len(want):], "\x00"), nil) || !bytes.Equal(got[0][:len(want)], want) {
				t.Errorf("%s asks for %s: got %x, want %x", sender, address, got, want)
			}
		}
	}
	silent := func(name string, f []byte) {
		if got := r.ask("lan", other, f); len(got) != 0 {
			t.Errorf("%s: got %x, want silence", name, got)
		}
	}
	good := arp(1, other, "192.0.2.44", none, lanOwn)
	silent("foreign address", eth(everyone, other, typeARP, arp(1, other, "192.0.2.44", none, "192.0.2.99")))
	silent("an address beyond", eth(everyone, other, typeARP, arp(1, other, "192.0.2.44", none, beyond)))
	silent("sender claims a virtual address", eth(everyone, other, typeARP, arp(1, other, "192.0.2.1", none, lanOwn)))
	silent("sender claims our address", eth(everyone, other, typeARP, arp(1, other, lanOwn, none, "192.0.2.1")))
	silent("an answer", eth(everyone, other, typeARP, arp(2, other, "192.0.2.44", none, lanOwn)))
	silent("to a foreign MAC", eth(mac{2, 9, 9, 9, 9, 9}, other, typeARP, good))
	for i, name := range []string{"hardware type", "", "protocol", "", "hardware length", "protocol length", "", "operation"} {
		if name != "" {
			b := bytes.Clone(good)
			b[i] ^= 0x10
			silent(name, eth(everyone, other, typeARP, b))
		}
	}
	silent("cut", eth(everyone, other, typeARP, good[:27]))
	if got := r.ask("lan", other, append(eth(r.mac["lan"], other, typeARP, good), make([]byte, 18)...)); len(got) != 1 {
		t.Errorf("a unicast request, padded: got %x, want an answer (RFC 1122 2.3.2.1)", got)
	}
}

func ndChecks(t *testing.T, r *rig) {
	for address, m := range map[string]mac{lanOwn6: r.mac["lan"], "fe80::2": r.mac["lan"], "2001:db8:1::1": virtual6, "fe80::1": virtual6, "fe80::3": {0, 0, 0x5e, 0, 2, 11}} {
		group, groupMAC := solicitedNode(address)
		for _, src := range []string{"2001:db8:1::44", "fe80::44", "::"} {
			option, to, flags, ethTo := byte(1), src, byte(0xe0), other
			if src == "::" { // duplicate address detection (RFC 4861 7.2.4)
				option, to, flags, ethTo = 0, "ff02::1", 0xa0, mac{0x33, 0x33, 0, 0, 0, 1}
			}
			got := r.ask("lan", other, eth(groupMAC, other, typeIPv6, neighborMessage(src, group, 135, 0, address, option, other).bytes()))
			want := eth(ethTo, m, typeIPv6, neighborMessage(address, to, 136, flags, address, 2, m).bytes())
			if len(got) != 1 || !bytes.Equal(got[0], want) {
				t.Errorf("%s asks for %s: got %x, want %x", src, address, got, want)
			}
		}
	}
	group, groupMAC := solicitedNode(lanOwn6)
	good := func() ip6 { return neighborMessage("fe80::44", group, 135, 0, lanOwn6, 1, other) }
	silent := func(name string, p ip6) {
		if got := r.ask("lan", other, eth(groupMAC, other, typeIPv6, p.bytes())); len(got) != 0 {
			t.Errorf("%s: got %x, want silence (RFC 4861 7.1.1)", name, got)
		}
	}
	p := good()
	p.hops = 254
	silent("hop limit 254", p)
	p = good()
	p.payload[2] ^= 1
	silent("checksum", p)
	remake := func(change func(b []byte) []byte) ip6 {
		p := good()
		b := change(p.payload)
		p.payload = icmp6(p.src, p.dst, int(b[0]), int(b[1]), b[4:])
		return p
	}
	silent("code 1", remake(func(b []byte) []byte { b[1] = 1; return b }))
	silent("too short", remake(func(b []byte) []byte { return b[:20] }))
	silent("option of length 0", remake(func(b []byte) []byte { b[25] = 0; return b }))
	silent("option beyond the end", remake(func(b []byte) []byte { b[25] = 2; return b }))
	silent("a target that is a group", neighborMessage("fe80::44", "ff02::1", 135, 0, "ff02::1", 1, other))
	silent("unspecified source with an option", neighborMessage("::", group, 135, 0, lanOwn6, 1, other))
	silent("unspecified source to a unicast address", neighborMessage("::", lanOwn6, 135, 0, lanOwn6, 0, other))
	silent("source claims a virtual address", neighborMessage("fe80::1", group, 135, 0, lanOwn6, 1, other))
	silent("foreign target", neighborMessage("fe80::44", group, 135, 0, "2001:db8:1::99", 1, other))
	p = good()
	p.next, p.payload = 44, cat([]byte{58, 0, 0, 0, 0, 0, 0, 1}, p.payload)
	silent("with a fragment header (RFC 6980)", p)
}

// moveChecks follows a LAN host that gets a new MAC.
func moveChecks(t *testing.T, r *rig) {
	at := func(want mac, why string) {
		t.Helper()
		p, q := udp4(beyond, lanHost), udp6(beyond6, lanHost6)
		for _, f := range [][]byte{eth(r.mac["wan"], nextMAC, typeIPv4, p.bytes()), eth(r.mac["wan"], nextMAC, typeIPv6, q.bytes())} {
			got := r.probe("wan", f)
			if len(got) != 1 || got[0].port != "lan" || destination(got[0].frame) != want {
				t.Errorf("%s: sent %v, want it at %x", why, got, want)
			}
		}
	}
	na := func(m mac, flags byte) []byte {
		return eth(mac{0x33, 0x33, 0, 0, 0, 1}, m, typeIPv6, neighborMessage(lanHost6, "ff02::1", 136, flags, lanHost6, 2, m).bytes())
	}
	garp := func(m mac, op int, tha mac) []byte {
		return eth(everyone, m, typeARP, arp(op, m, lanHost, tha, lanHost))
	}
	at(hostMAC, "at first")
	second, third := mac{2, 0, 0, 0, 0, 0x12}, mac{2, 0, 0, 0, 0, 0x13}
	r.ask("lan", other, garp(second, 1, mac{}), na(second, 0x20))
	at(second, "after a gratuitous request and an unsolicited advertisement")
	r.ask("lan", other, garp(third, 2, everyone), na(third, 0x20))
	at(third, "after a gratuitous reply")
	r.ask("lan", other, na(second, 0))
	at(third, "after an advertisement without override (RFC 4861 7.2.5)")
	r.ask("lan", other, garp(mac{3, 1, 1, 1, 1, 1}, 1, mac{}), na(mac{3, 1, 1, 1, 1, 1}, 0x20), garp(everyone, 1, mac{}), garp(mac{}, 2, mac{}))
	at(third, "after a claim to a group MAC")
	r.ask("lan", other, garp(virtual4, 1, mac{}))
	at(third, "after a claim to our MAC")
	bad := neighborMessage(lanHost6, "ff02::1", 136, 0x20, lanHost6, 2, second)
	bad.hops = 254
	r.ask("lan", other, eth(mac{0x33, 0x33, 0, 0, 0, 1}, second, typeIPv6, bad.bytes()))
	at(third, "after an advertisement from afar")
	r.ask("lan", other, garp(hostMAC, 1, mac{}), na(hostMAC, 0x20))
	at(hostMAC, "back")
	// Somebody claims the router's addresses: nothing of it is believed.
	for _, a := range []string{lanOwn, "192.0.2.1"} {
		r.ask("lan", other, eth(everyone, other, typeARP, arp(1, other, a, mac{}, a)), eth(everyone, other, typeARP, arp(2, other, a, mac{}, a)))
	}
	if len(r.probe("lan", eth(virtual4, hostMAC, typeIPv4, echo4(lanHost, "192.0.2.1", 8).bytes()))) != 1 {
		t.Errorf("a claim to the virtual address took it over")
	}
}

// waitingChecks sends packets to neighbours that are not resolved yet: they
// arrive, once and in order (RFC 1122 2.3.2.2, RFC 4861 7.2.2).
func waitingChecks(t *testing.T, r *rig) {
	r.stations["dmz"].neighbor("198.51.100.20", dmzMAC)
	r.stations["dmz"].neighbor("2001:db8:3::20", dmzMAC)
	var frames [][]byte
	for i := range 3 {
		p, q := udp4(lanHost, "198.51.100.20"), udp6(lanHost6, "2001:db8:3::20")
		p.id = i
		q.payload = udp(lanHost6, "2001:db8:3::20", i, 9, nil)
		frames = append(frames, eth(virtual4, hostMAC, typeIPv4, p.bytes()), eth(virtual6, hostMAC, typeIPv6, q.bytes()))
	}
	got := r.probeFor(1500*time.Millisecond, "lan", frames...)
	next4, next6 := 0, 0
	for _, s := range got {
		ip := s.frame[14:]
		switch {
		case s.port != "dmz":
			t.Errorf("sent %v, want it on dmz", s)
		case etherType(s.frame) == typeIPv4:
			if int(ip[5]) != next4 || ip[8] != 63 {
				t.Errorf("IPv4 packet %d with TTL %d, want %d, 63", ip[5], ip[8], next4)
			}
			next4++
		default:
			if int(ip[41]) != next6 || ip[7] != 63 {
				t.Errorf("IPv6 packet %d with hop limit %d, want %d, 63", ip[41], ip[7], next6)
			}
			next6++
		}
	}
	if next4 != 3 || next6 != 3 {
		t.Errorf("%d, %d packets arrived, want 3, 3", next4, next6)
	}
}

// scanChecks scans a /64 (RFC 6583): solicitations are bounded, and neither
// known neighbours nor new ones suffer.
func scanChecks(t *testing.T, r *rig) {
	r.stations["wan"].neighbor("2001:db8:2::77", nextMAC)
	scan := make([][]byte, 0, 5000)
	for i := range cap(scan) {
		scan = append(scan, eth(virtual6, other, typeIPv6, udp6("2001:db8:1::66", fmt.Sprintf("2001:db8:2::1:%x", i)).bytes()))
	}
	wan := r.stations["wan"].wire
	wan.Drain()
	solicits, done := 0, make(chan struct{})
	go func() {
		defer close(done)
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
			if f := wan.Receive(50*time.Millisecond, nil); f != nil && background(f) {
				solicits++
			}
		}
	}()
	begin := time.Now()
	for i, f := range scan {
		r.stations["lan"].wire.Send(f)
		if i%10 == 9 {
			time.Sleep(2 * time.Millisecond)
		}
	}
	t.Logf("%d packets in %v", len(scan), time.Since(begin))
	<-done
	if solicits > 3000 {
		t.Errorf("%d solicitations in 2 s", solicits)
	}
	out, err := r.command("show", "neighbors", "--json")
	var list []struct{ Address netip.Addr }
	if err == nil {
		err = json.Unmarshal(out, &list)
	}
	if err != nil || len(list) > 2000 {
		t.Errorf("%d neighbours, %v", len(list), err)
	}
	t.Logf("%d solicitations, %d entries", solicits, len(list))
	q := udp6(lanHost6, beyond6)
	got := r.probe("lan", eth(virtual6, hostMAC, typeIPv6, q.bytes()))
	known := 0
	for _, s := range got {
		if s.port == "wan" {
			known++
		}
	}
	if known != 1 {
		t.Errorf("a known neighbour suffers: %d packets", known)
	}
	arrived := false
	for range 10 {
		for _, s := range r.probe("lan", eth(virtual6, hostMAC, typeIPv6, udp6(lanHost6, "2001:db8:2::77").bytes())) {
			arrived = arrived || s.port == "wan"
		}
	}
	if !arrived {
		t.Errorf("a new neighbour is not resolved after a scan")
	}
}
