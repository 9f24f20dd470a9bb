package demo

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vrouter/config"
	"vrouter/internal/netlab"
	"vrouter/packet"
	"vrouter/vrrp"
)

// advertisement returns a frame with a VRRP version 3 advertisement.
func advertisement(src string, priority uint8) []byte {
	from, group, virtual := netip.MustParseAddr(src), vrrp.GroupIPv4, netip.MustParseAddr("192.0.2.1")
	if from.Is6() {
		group, virtual = vrrp.GroupIPv6, netip.MustParseAddr("fe80::1")
	}
	a := vrrp.Advertisement{
		Version: 3, VRID: vridLAN, Priority: priority,
		Interval: 100 * time.Millisecond, Addresses: []netip.Addr{virtual},
	}
	payload := a.Append(nil, from, group, false)
	b := make([]byte, packet.EthernetLen+packet.IPv6Len)
	if from.Is6() {
		packet.PutEthernet(b, packet.MulticastMAC(group), vrrp.VirtualMAC(vridLAN, true), packet.EtherTypeIPv6)
		ip := packet.IPv6Header{NextHeader: packet.ProtoVRRP, HopLimit: 255, Src: from, Dst: group}
		ip.Put(b[packet.EthernetLen:], len(payload))
		return append(b, payload...)
	}
	packet.PutEthernet(b, packet.MulticastMAC(group), vrrp.VirtualMAC(vridLAN, false), packet.EtherTypeIPv4)
	ip := packet.IPv4Header{TTL: 255, Protocol: packet.ProtoVRRP, Src: from, Dst: group}
	ip.Put(b[packet.EthernetLen:], len(payload))
	return append(b[:packet.EthernetLen+packet.IPv4Len], payload...)
}

func TestAdvertisementIsRead(t *testing.T) {
	for _, c := range []struct {
		name           string
		frame          []byte
		family, sender string
		priority       uint8
	}{
		{"r1, IPv4", advertisement("192.0.2.2", 200), "4", "r1", 200},
		{"r2, IPv4", advertisement("203.0.113.3", 100), "4", "r2", 100},
		{"r1, IPv6", advertisement("fe80::2", 200), "6", "r1", 200},
		{"r2, IPv6", advertisement("fe80::3", 0), "6", "r2", 0},
	} {
		family, sender, priority, ok := parseAdvertisement(c.frame)
		if !ok || family != c.family || sender != c.sender || priority != c.priority {
			t.Errorf("%s: %q %q %d %v", c.name, family, sender, priority, ok)
		}
		for cut := range len(c.frame) {
			if _, _, _, ok := parseAdvertisement(c.frame[:cut]); ok {
				t.Errorf("%s: taken when cut to %d bytes", c.name, cut)
			}
		}
	}
}

func TestOtherFramesAreNoAdvertisements(t *testing.T) {
	stranger := advertisement("192.0.2.10", 200)
	udp := advertisement("192.0.2.2", 200)
	udp[packet.EthernetLen+9] = packet.ProtoUDP
	damaged := advertisement("192.0.2.2", 200)
	damaged[len(damaged)-1]++
	arp := advertisement("192.0.2.2", 200)
	binary.BigEndian.PutUint16(arp[12:], packet.EtherTypeARP)
	for name, frame := range map[string][]byte{"stranger": stranger, "UDP": udp, "damaged": damaged, "ARP": arp} {
		if _, _, _, ok := parseAdvertisement(frame); ok {
			t.Errorf("%s: taken for an advertisement of a router", name)
		}
	}
}

func TestWatchFollowsTheMasters(t *testing.T) {
	w := &watch{masters: map[string]string{}}
	hear := func(seconds float64, sender string, priority uint8, places ...string) {
		for _, place := range places {
			w.heard(at(seconds), place, sender, priority)
		}
	}
	expect := func(master string, since float64) {
		t.Helper()
		if m, s := w.agreed(); m != master || !s.Equal(at(since)) {
			t.Errorf("agreed on %q since %v, want %q since %v", m, s.Sub(t0), master, since)
		}
	}
	hear(1, "r1", 200, "lan4", "lan6", "wan4")
	expect("", 1) // nobody in wan6 yet
	hear(2, "r1", 200, "wan6")
	hear(3, "r1", 200, places[:]...)
	expect("r1", 2)
	hear(4, "r2", 100, "lan4")
	expect("", 4)
	hear(5, "r2", 100, places[:]...)
	expect("r2", 5)
	hear(6, "r1", 0, places[:]...) // priority 0 of one that was not master
	expect("r2", 5)
	hear(7, "r2", 0, places[:]...)
	expect("", 7)
	var masters []string
	for _, c := range w.history("lan4") {
		masters = append(masters, c.master)
	}
	if got := strings.Join(masters, " "); got != "r1 r2 " {
		t.Errorf("history of lan4: %q", got)
	}
}

func TestConfigurationIsValidAndAgreesWithTheLab(t *testing.T) {
	m := &member{Vrouter: netlab.Vrouter{Name: "r1", Socket: "/tmp/x/r1.sock"}, Number: numberR1, Priority: 200}
	var text strings.Builder
	if err := configTemplate.Execute(&text, m); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("r1.toml", []byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.VRRP) != len(places) {
		t.Fatalf("%d virtual routers, want %d", len(c.VRRP), len(places))
	}
	virtual := map[netip.Addr]bool{}
	for i, v := range c.VRRP {
		if v.Name != places[i] || v.Priority != 200 || v.Interval != 100*time.Millisecond {
			t.Errorf("virtual router %+v, want %s", v, places[i])
		}
		if v.Interface == "lan" && v.VRID != vridLAN {
			t.Errorf("VRID of %s is %d", v.Name, v.VRID)
		}
		for _, a := range v.Addresses {
			virtual[a] = true
		}
	}
	for _, g := range gateways {
		if !virtual[g.addr] {
			t.Errorf("the hosts' gateway %s is no virtual address", g.addr)
		}
	}
}
