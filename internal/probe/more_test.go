package probe

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTAPAfterKill: a router that was killed leaves nothing that keeps the next
// one from its device.
func TestTAPAfterKill(t *testing.T) {
	t.Parallel()
	r := newRigBy(t, "tap", "lan")
	r.stations["lan"].neighbor(lanHost, hostMAC)
	config := vrrpInterface + vrrpTable("v", 33, 3, 100, "200ms", "", "192.0.2.100")
	v4 := mac{0, 0, 0x5e, 0, 1, 33}
	for round := range 3 {
		r.run(config)
		r.waitState("v", "Master", 10*time.Second)
		if got := r.probeFor(time.Second, "lan", eth(v4, hostMAC, typeIPv4, echo4(lanHost, "192.0.2.100", 8).bytes())); len(got) != 1 {
			t.Errorf("round %d: ping %v", round, got)
		}
		if round == 2 {
			break
		}
		_ = r.stop(syscall.SIGKILL)
		if got := r.ask("lan", other, ask("192.0.2.2")...); len(got) != 0 {
			t.Errorf("the kernel answers for the router that was killed: %x", got)
		}
	}
	if err := r.stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

// TestPingCommand pings from the router itself.
func TestPingCommand(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lan", "wan")
	host := r.stations["lan"].ns
	host.Sysctl(t, "net/ipv6/conf/eth0/disable_ipv6", "0")
	host.Addr(t, "eth0", lanHost+"/24", lanHost6+"/64")
	r.run(forwardingTwo + vrrpTable("v", 33, 3, 100, "200ms", "", "192.0.2.100"))
	r.waitState("v", "Master", 5*time.Second)
	for _, address := range []string{lanHost, lanHost6, "192.0.2.2", "192.0.2.100", "2001:db8:1::2"} {
		if out, err := r.command("ping", address); err != nil {
			t.Errorf("ping %s: %v\n%s", address, err, out)
		}
	}
	for _, address := range []string{"192.0.2.99", "198.51.100.1", "224.0.0.1", "0.0.0.0", "255.255.255.255", "192.0.2.255", "x", "", "-1", "2001:db8:99::1", "ff02::1", "::"} {
		begin := time.Now()
		out, err := r.command("ping", address)
		if err == nil {
			t.Errorf("ping %q succeeded: %s", address, out)
		}
		if d := time.Since(begin); d > 8*time.Second {
			t.Errorf("ping %q took %v", address, d)
		}
	}
}

// TestAdvertisementsForTshark lets another program judge what is sent.
func TestAdvertisementsForTshark(t *testing.T) {
	t.Parallel()
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed")
	}
	r := newRig(t, "lan")
	r.write(vrrpInterface + vrrpTable("a", 33, 3, 100, "200ms", "", "192.0.2.100", "192.0.2.101") +
		vrrpTable("b", 33, 3, 100, "200ms", "", "fe80::100", "2001:db8:1::100") + vrrpTable("c", 34, 2, 100, "1s", "", "192.0.2.102") +
		vrrpTable("d", 35, 3, 100, "200ms", `checksum = "plain"`, "192.0.2.103"))
	r.start()
	wire := r.stations["lan"].wire
	plain := mac{0, 0, 0x5e, 0, 1, 35}
	file := []byte("\xa1\xb2\xc3\xd4\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00\x00\x01")
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); {
		f := wire.Receive(time.Until(end), nil)
		if f == nil {
			break
		}
		if source(f) == plain && isAdvertisement(f) { // tshark knows nothing of this reading
			if _, m := upper(f); sum16(m) != 0 {
				t.Errorf("%x: the checksum is not without pseudo-header", f)
			}
			continue
		}
		file = append(append(file, make([]byte, 8)...), cat(u16(0), u16(len(f)), u16(0), u16(len(f)), f)...)
	}
	path := filepath.Join(r.dir, "all.pcap")
	if err := os.WriteFile(path, file, 0o644); err != nil {
		t.Fatal(err)
	}
	decode := exec.Command(tshark, "-r", path, "-o", "ip.check_checksum:TRUE", "-T", "fields",
		"-e", "frame.protocols", "-e", "vrrp.checksum.status", "-e", "icmpv6.checksum.status", "-e", "igmp.checksum.status", "-e", "ip.checksum.status", "-e", "_ws.expert.message", "-E", "separator=|")
	out, err := decode.Output()
	if err != nil {
		t.Skipf("tshark: %v", err)
	}
	kinds := map[string]int{}
	for _, line := range strings.Split(string(out), "\n") {
		kinds[line]++
	}
	advertisements := 0
	for line, n := range kinds {
		f := strings.Split(line, "|")
		if strings.Contains(f[0], "vrrp") {
			advertisements += n
		}
		if len(f) < 6 {
			continue
		}
		for _, status := range f[1:5] {
			if status != "" && status != "1" {
				t.Errorf("%d frames with a checksum that is not good: %s", n, line)
			}
		}
		t.Logf("%3d %s", n, line)
	}
	if advertisements < 20 {
		t.Errorf("%d advertisements decoded\n%s", advertisements, out)
	}
}
