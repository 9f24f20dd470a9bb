package interop

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"vrouter/internal/netlab"
)

// capture collects every frame that comes to a host's device.
type capture struct {
	wire *netlab.Wire
	done sync.WaitGroup

	mu     sync.Mutex
	frames [][]byte
	times  []time.Time
}

func (r *rig) capture(h *netlab.Host) *capture {
	r.t.Helper()
	wire, err := h.OpenWire("eth0")
	must(r.t, err)
	c := &capture{wire: wire}
	c.done.Go(func() {
		buffer := make([]byte, 1<<16)
		for {
			n, err := wire.Read(buffer, time.Time{})
			if errors.Is(err, os.ErrClosed) {
				return
			}
			if err == nil {
				c.mu.Lock()
				c.frames = append(c.frames, bytes.Clone(buffer[:n]))
				c.times = append(c.times, time.Now())
				c.mu.Unlock()
			}
		}
	})
	r.t.Cleanup(c.stop)
	return c
}

// stop ends the capture; more often is as good as once.
func (c *capture) stop() {
	c.wire.Close()
	c.done.Wait()
}

// pcap returns the stopped capture as a file of the classic format.
func (c *capture) pcap() []byte {
	var b []byte
	for _, v := range []uint32{0xa1b2c3d4, 4<<16 | 2, 0, 0, 1 << 16, 1} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	for i, f := range c.frames {
		for _, v := range []int{int(c.times[i].Unix()), c.times[i].Nanosecond() / 1000, len(f), len(f)} {
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		}
		b = append(b, f...)
	}
	return b
}

// Wireshark's dissectors find every checksum good and nothing to remark about
// all that a router sends in its life: announcements, advertisements of both
// versions and families, answers, errors, and the farewell.
func TestTsharkDecodesWhatWeSend(t *testing.T) {
	program := need(t, "tshark")
	r := newRig(t)
	v := r.vrouter("r1", withRA(interfaces(numberFirst))+gateways(200, "200ms")+
		virtualTable("old", "lan", 11, 2, 200, "1s", "192.0.2.7")+
		virtualTable("password", "lan", 12, 2, 200, "1s", "192.0.2.8")+"auth = { type = \"password\", key = \"secret\" }\n"+
		virtualTable("sealed", "lan", 13, 2, 200, "1s", "192.0.2.9")+"auth = { type = \"ah\", key = \"secret\" }\n")
	c := r.capture(r.lan)
	v.start()
	v.waitMaster()
	for _, name := range []string{"old", "password", "sealed"} {
		v.waitState(name, "Master")
	}
	for _, address := range []string{virtual4, "192.0.2.7", "192.0.2.2", virtual6, "2001:db8:1::2", target4, target6} {
		if _, err := r.run(r.lan, "ping", "-c", "2", "-i", "0.2", "-W", "3", "-s", "2000", address); err != nil {
			t.Error(err)
		}
	}
	for _, address := range []string{target4, target6} { // TTL expired
		r.run(r.lan, "ping", "-c", "1", "-W", "1", "-t", "1", address)
	}
	v.stop()
	time.Sleep(answerTime)
	c.stop()

	file := filepath.Join(r.lab.Dir, "lan.pcap")
	must(t, os.WriteFile(file, c.pcap(), 0o644))
	out, err := r.run(r.lan, program, "-n", "-r", file, "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE",
		"-T", "fields", "-E", "separator=|",
		"-e", "frame.number", "-e", "_ws.col.Info", "-e", "_ws.expert.message", "-e", "vrrp.version", "-e", "vrrp.prio",
		"-e", "ip.checksum.status", "-e", "vrrp.checksum.status", "-e", "icmp.checksum.status", "-e", "icmpv6.checksum.status",
		"-e", "arp.isgratuitous", "-e", "ipv6.src", "-e", "icmpv6.nd.na.flag.s", "-e", "vrrp.auth_type", "-e", "ah.spi",
		"-e", "icmpv6.nd.ra.router_lifetime")
	must(t, err)
	checkDissection(t, out)
}

// quotedTTL is the remark on a packet that an ICMP error quotes: the test
// provokes it.
const quotedTTL = `"Time To Live" only 1`

// checkDissection judges tshark's lines: see the list of fields above.
func checkDissection(t *testing.T, out string) {
	seen := map[string]int{}
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimRight(line, "\n"), "|")
		if len(f) != 15 {
			continue // what tshark itself has to say
		}
		if f[2] != "" && f[2] != quotedTTL {
			t.Errorf("Wireshark remarks on frame %s (%s): %s", f[0], f[1], f[2])
		}
		for _, status := range f[5:9] {
			// Behind a comma is what an ICMP error quotes, cut off.
			if one, _, _ := strings.Cut(status, ","); one != "" && one != "1" && one != "Good" {
				t.Errorf("checksum status %q of frame %s: %s", status, f[0], line)
			}
		}
		seen["all"]++
		switch {
		case f[14] == "0":
			seen["last router advertisement"]++
		case f[14] != "":
			seen["router advertisement"]++
		case f[12] == "1":
			seen["password"]++
		case f[12] == "2" && f[13] != "":
			seen["authentication header"]++
		case f[3] == "2":
			seen["version 2"]++
		case f[3] == "3" && f[10] != "":
			seen["version 3 IPv6"]++
		case f[3] == "3":
			seen["version 3 IPv4"]++
		case f[9] == "1" || f[9] == "True":
			seen["gratuitous ARP"]++
		case f[11] == "0" || f[11] == "False":
			seen["unsolicited NA"]++
		}
		if f[3] != "" && f[6] == "" {
			t.Errorf("frame %s: Wireshark did not check the VRRP checksum: %s", f[0], line)
		}
		if f[4] == "0" {
			seen["priority 0"]++
		}
	}
	for what, least := range map[string]int{
		"version 2": 2, "version 3 IPv4": 5, "version 3 IPv6": 5, "gratuitous ARP": 2, "unsolicited NA": 2, "priority 0": 3,
		"password": 2, "authentication header": 2, "router advertisement": 1, "last router advertisement": 1,
	} {
		if seen[what] < least {
			t.Errorf("%d frames of kind %q, want at least %d", seen[what], what, least)
		}
	}
	t.Logf("frames seen: %v", seen)
}
