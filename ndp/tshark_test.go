package ndp

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTsharkReadsOurFrames has an independent decoder read what we build, and
// verify the checksums.
func TestTsharkReadsOurFrames(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed")
	}
	frames := [][]byte{
		Solicit(router, routerIP, hostIP),
		UnicastSolicit(router, routerIP, host, hostIP),
		Probe(router, routerIP),
		Unsolicited(virtual, virtualIP),
		Answer(parsed(t, Solicit(host, hostIP, routerIP)), owned(false)),
		RouterSolicit(host, hostIP),
		fullAdvert.Frame(virtual, virtualIP),
	}
	// type, checksum status (1: good), source, destination, target of NS or NA,
	// flags of NA, link-layer address, MTU, prefixes, DNS servers; malformed
	want := []string{
		"135|1|2001:db8:1::2|ff02::1:ff00:64|2001:db8:1::64|||02:00:5e:10:00:02||||",
		"135|1|2001:db8:1::2|2001:db8:1::64|2001:db8:1::64|||02:00:5e:10:00:02||||",
		"135|1|::|ff02::1:ff00:2|2001:db8:1::2|||||||",
		"136|1|fe80::1|ff02::1||fe80::1|0xa0000000|00:00:5e:00:02:0a||||",
		"136|1|2001:db8:1::2|2001:db8:1::64||2001:db8:1::2|0xe0000000|02:00:5e:10:00:02||||",
		"133|1|2001:db8:1::64|ff02::2||||02:00:00:00:00:64||||",
		"134|1|fe80::1|ff02::1||||00:00:5e:00:02:0a|1500|2001:db8:1::,2001:db8:2::|2001:db8:1::53,2001:db8:1::54|",
	}
	file := filepath.Join(t.TempDir(), "nd.pcap")
	if err := os.WriteFile(file, capture(frames), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-r", file, "-T", "fields", "-E", "separator=|"}
	for _, field := range []string{
		"icmpv6.type", "icmpv6.checksum.status", "ipv6.src", "ipv6.dst", "icmpv6.nd.ns.target_address",
		"icmpv6.nd.na.target_address", "icmpv6.nd.na.flag", "icmpv6.opt.linkaddr", "icmpv6.opt.mtu",
		"icmpv6.opt.prefix", "icmpv6.opt.rdnss", "_ws.malformed",
	} {
		args = append(args, "-e", field)
	}
	out, err := exec.Command(tshark, args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines for %d frames", len(lines), len(want))
	}
	for i, got := range lines {
		if got != want[i] {
			t.Errorf("frame %d: %q, want %q", i, got, want[i])
		}
	}
}

// capture writes frames as a pcap file of link type Ethernet.
func capture(frames [][]byte) []byte {
	var b bytes.Buffer
	header := []uint32{0xa1b2c3d4, 2 | 4<<16, 0, 0, 65535, 1}
	_ = binary.Write(&b, binary.LittleEndian, header)
	for _, f := range frames {
		n := uint32(len(f))
		_ = binary.Write(&b, binary.LittleEndian, []uint32{0, 0, n, n})
		b.Write(f)
	}
	return b.Bytes()
}
