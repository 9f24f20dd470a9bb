package arp

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTsharkReadsOurFrames has an independent decoder read what we build.
func TestTsharkReadsOurFrames(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed")
	}
	frames := [][]byte{
		Request(router, routerIP, hostIP),
		Probe(router, routerIP),
		Reply(router, routerIP, host, hostIP),
		Gratuitous(virtual, virtualIP),
	}
	want := []string{ // operation, is a probe, is gratuitous, is an announcement, sender, target, malformed
		"1||||02:00:5e:10:00:02|192.0.2.2|192.0.2.100|",
		"1|True|||02:00:5e:10:00:02|0.0.0.0|192.0.2.2|",
		"2||||02:00:5e:10:00:02|192.0.2.2|192.0.2.100|",
		"1||True|True|00:00:5e:00:01:0a|192.0.2.1|192.0.2.1|",
	}
	file := filepath.Join(t.TempDir(), "arp.pcap")
	if err := os.WriteFile(file, capture(frames), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tshark, "-r", file, "-T", "fields", "-E", "separator=|",
		"-e", "arp.opcode", "-e", "arp.isprobe", "-e", "arp.isgratuitous", "-e", "arp.isannouncement",
		"-e", "arp.src.hw_mac", "-e", "arp.src.proto_ipv4", "-e", "arp.dst.proto_ipv4", "-e", "_ws.malformed").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines for %d frames", len(lines), len(want))
	}
	// Versions print booleans as 1, True, 0, False or nothing.
	boolean := map[string]string{"1": "True", "True": "True", "0": "", "False": "", "": ""}
	for i, line := range lines {
		fields := strings.Split(line, "|")
		for j := 1; j <= 3 && j < len(fields); j++ {
			fields[j] = boolean[fields[j]]
		}
		if got := strings.Join(fields, "|"); got != want[i] {
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
