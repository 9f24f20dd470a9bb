package probe

import (
	"os/exec"
	"syscall"
	"testing"
	"time"

	"vrouter/internal/netlab"
)

// TestSignals: what is no order to stop does not stop a router.
func TestSignals(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH} {
		t.Run(s.String(), func(t *testing.T) {
			r := newRig(t, "lan")
			r.run(vrrpInterface + vrrpTable("v", 33, 3, 100, "100ms", "", "192.0.2.100"))
			r.waitState("v", "Master", 5*time.Second)
			_ = r.process.Process.Signal(s)
			select {
			case err := <-r.ended:
				t.Errorf("it ended: %v", err)
			case <-time.After(300 * time.Millisecond):
			}
		})
	}
}

// TestLogReaderGone: who reads the log ends, and the router goes on.
func TestLogReaderGone(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lan")
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	r.write(vrrpInterface + vrrpTable("v", 33, 3, 100, "100ms", "", "192.0.2.100"))
	cmd := exec.Command(binary, "run", "-c", r.config)
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.ns.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	buf := make([]byte, 10)
	_, _ = pipe.Read(buf)
	pipe.Close()
	go func() { ended <- cmd.Wait() }()
	defer netlab.CutPower(cmd.Process.Pid)
	time.Sleep(time.Second)
	r.stations["lan"].wire.Send(peerAdvertisement(33, 200).frame()) // causes a line
	time.Sleep(time.Second)
	select {
	case err := <-ended:
		t.Errorf("it ended: %v", err)
	default:
	}
	if r.advert(time.Second, 33, false) == nil {
		t.Error("no advertisements any more")
	}
}

// TestFlood: a Backup that hears its Master stays Backup, whatever else comes.
func TestFlood(t *testing.T) {
	r := newRig(t, "lan", "wan")
	r.stations["lan"].neighbor(lanHost, hostMAC)
	r.run(forwardingTwo + vrrpTable("v", 33, 3, 100, "200ms", "", "192.0.2.100") + vrrpTable("m", 34, 3, 100, "200ms", "", "192.0.2.101"))
	stop := r.stations["lan"].every(200*time.Millisecond, peerAdvertisement(33, 200).frame())
	defer stop()
	r.waitState("v", "Backup", 5*time.Second)
	r.waitState("m", "Master", 5*time.Second)
	flood := r.stations["lan"].ns.Wire(t, "eth0")
	bad := peerAdvertisement(99, 200)
	ttl := udp4(lanHost, "203.0.113.77")
	ttl.ttl = 1
	group, to := solicitedNode(lanOwn6)
	frames := [][]byte{
		eth(everyone, other, typeARP, arp(1, other, "192.0.2.44", mac{}, lanOwn)),
		eth(to, other, typeIPv6, neighborMessage("fe80::44", group, 135, 0, lanOwn6, 1, other).bytes()),
		bad.frame(), eth(r.mac["lan"], hostMAC, typeIPv4, ttl.bytes()),
		eth(r.mac["lan"], hostMAC, typeIPv4, echo4(lanHost, lanOwn, 500).bytes()),
		eth(r.mac["lan"], hostMAC, typeIPv4, udp4(lanHost, "203.0.113.88").bytes()),
	}
	watch := r.stations["lan"].ns.Wire(t, "eth0")
	gaps := make(chan time.Duration, 1)
	end := time.Now().Add(4 * time.Second)
	go func() {
		last, longest := time.Now(), time.Duration(0)
		for time.Now().Before(end) {
			f := watch.Receive(50*time.Millisecond, func(f []byte) bool { return isAdvertisement(f) && etherType(f) == typeIPv4 })
			if f == nil {
				continue
			}
			if _, m := upper(f); m[1] == 34 {
				longest = max(longest, time.Since(last))
				last = time.Now()
			}
		}
		gaps <- max(longest, time.Since(last))
	}()
	n := 0
	for time.Now().Before(end) {
		flood.Send(frames[n%len(frames)])
		n++
	}
	t.Logf("%d frames in 4 s", n)
	if gap := <-gaps; gap > 700*time.Millisecond { // just before a Backup would take over
		t.Errorf("%v without an advertisement, at an interval of 200 ms", gap)
	} else {
		t.Logf("longest gap %v", gap)
	}
	if s := r.state("v"); s != "Backup" {
		t.Errorf("v is %s", s)
	}
	if s := r.state("m"); s != "Master" {
		t.Errorf("m is %s", s)
	}
	if got := r.logged(); len(got) > 100000 {
		t.Errorf("the flood wrote %d bytes of log", len(got))
	}
}
