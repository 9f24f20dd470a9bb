package vrrp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vrouter/packet"
)

// TestTshark_decodes_our_packets has an independent decoder read what Append
// writes: every checksum good, every field as meant.
func TestTshark_decodes_our_packets(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed")
	}
	for _, plain := range []bool{false, true} {
		var frames [][]byte
		var want []string
		for _, c := range wireSamples(plain) {
			frames = append(frames, c.frame(plain))
			want = append(want, c.fields())
		}
		file := filepath.Join(t.TempDir(), "adverts.pcap")
		if err := os.WriteFile(file, pcapFile(frames), 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{
			"-r", file, "-o", fmt.Sprintf("vrrp.v3_checksum_as_in_v2:%v", plain),
			"-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,", "-E", "separator=/s",
		}
		for _, field := range []string{
			"vrrp.checksum.status", "vrrp.version", "vrrp.type", "vrrp.virt_rtr_id", "vrrp.prio", "vrrp.addr_count",
			"vrrp.adver_int", "vrrp.short_adver_int", "vrrp.ip_addr", "vrrp.ipv6_addr",
		} {
			args = append(args, "-e", field)
		}
		out, err := exec.Command(tshark, args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
		if len(got) != len(want) {
			t.Fatalf("tshark saw %d packets, want %d:\n%s", len(got), len(want), out)
		}
		for i := range want {
			if g := strings.Join(strings.Fields(got[i]), " "); g != want[i] {
				t.Errorf("plain %v, packet %d:\n got %s\nwant %s", plain, i, g, want[i])
			}
		}
	}
}

// wireSample is one packet on its way.
type wireSample struct {
	src, dst netip.Addr
	adv      Advertisement
}

func wireSamples(plain bool) (out []wireSample) {
	for _, g := range golden {
		if g.plain == plain || !g.src.Is4() {
			out = append(out, wireSample{g.src, g.dst, g.adv})
		}
	}
	for _, prio := range []uint8{0, 1, 254, 255} {
		for count := 1; count < 20; count += 9 {
			v4 := Advertisement{Version: 3, VRID: 255, Priority: prio, Interval: 10 * time.Millisecond}
			v6 := v4
			for i := range count {
				v4.Addresses = append(v4.Addresses, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}))
				v6.Addresses = append(v6.Addresses, netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: byte(i + 1)}))
			}
			v2 := v4
			v2.Version, v2.Interval = 2, 255*time.Second
			out = append(out, wireSample{routerA, GroupIPv4, v2}, wireSample{routerA, GroupIPv4, v4},
				wireSample{routerA, routerB, v4}, wireSample{linkA, GroupIPv6, v6})
		}
	}
	return out
}

// fields is what tshark must print.
func (w *wireSample) fields() string {
	var addrs []string
	for _, a := range w.adv.Addresses {
		addrs = append(addrs, a.String())
	}
	interval := w.adv.Interval / IntervalUnit3
	if w.adv.Version == 2 {
		interval = w.adv.Interval / IntervalUnit2
	}
	const good = 1
	return fmt.Sprintf("%d %d 1 %d %d %d %d %s", good, w.adv.Version, w.adv.VRID, w.adv.Priority,
		len(addrs), interval, strings.Join(addrs, ","))
}

// frame returns the whole Ethernet frame.
func (w *wireSample) frame(plain bool) []byte {
	payload := w.adv.Append(nil, w.src, w.dst, plain)
	etherType, header := uint16(0x0800), 20
	if w.src.Is6() {
		etherType, header = 0x86dd, packet.IPv6Len
	}
	b := make([]byte, packet.EthernetLen+header, packet.EthernetLen+header+len(payload))
	mac := packet.MAC{0x02, 0, 0, 0, 0, 1}
	if w.dst.IsMulticast() {
		mac = packet.MulticastMAC(w.dst)
	}
	packet.PutEthernet(b, mac, VirtualMAC(w.adv.VRID, w.src.Is6()), etherType)
	ip := b[packet.EthernetLen:]
	if w.src.Is6() {
		ip[0] = 0x60
		binary.BigEndian.PutUint16(ip[4:], uint16(len(payload)))
		ip[6], ip[7] = Protocol, TTL
		copy(ip[8:], w.src.AsSlice())
		copy(ip[24:], w.dst.AsSlice())
	} else {
		ip[0] = 0x45
		binary.BigEndian.PutUint16(ip[2:], uint16(20+len(payload)))
		ip[8], ip[9] = TTL, Protocol
		copy(ip[12:], w.src.AsSlice())
		copy(ip[16:], w.dst.AsSlice())
		binary.BigEndian.PutUint16(ip[10:], packet.Checksum(packet.Sum(0, ip[:20])))
	}
	return append(b, payload...)
}

// pcapFile wraps frames into a capture file of the classic format.
func pcapFile(frames [][]byte) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = le.AppendUint16(b, 2)
	b = le.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = le.AppendUint32(b, 65535)
	b = le.AppendUint32(b, 1) // Ethernet
	for i, f := range frames {
		b = le.AppendUint32(b, uint32(i))
		b = le.AppendUint32(b, 0)
		b = le.AppendUint32(b, uint32(len(f)))
		b = le.AppendUint32(b, uint32(len(f)))
		b = append(b, f...)
	}
	return b
}
