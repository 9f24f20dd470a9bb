package tap

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/dataplane/port"
	"vrouter/internal/nstest"
	"vrouter/packet"
)

// holder is the environment variable that makes the test binary a process that
// holds a TAP until it is killed.
const holder = "VROUTER_TEST_HOLD_TAP"

func TestMain(m *testing.M) {
	if name := os.Getenv(holder); name != "" {
		hold(name)
	}
	os.Exit(nstest.Main(m))
}

// hold opens a TAP, says so, and waits to be killed.
func hold(name string) {
	p, err := Open(Config{Name: name})
	if err != nil {
		os.Stdout.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Stdout.WriteString("open\n")
	time.Sleep(time.Minute)
	p.Close()
	os.Exit(1)
}

// needTUN skips where the system has no TAP devices.
func needTUN(t testing.TB) {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("/dev/net/tun: %v", err)
	}
	unix.Close(fd)
}

// open opens a port in a namespace.
func open(t testing.TB, ns *nstest.NS, cfg Config) *Port {
	t.Helper()
	needTUN(t)
	p, err := openIn(ns, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func openIn(ns *nstest.NS, cfg Config) (p *Port, err error) {
	err = ns.Do(func() (err error) {
		p, err = Open(cfg)
		return err
	})
	return p, err
}

// newPath opens a transmit path, which is closed before the port.
func newPath(t testing.TB, p *Port) port.Transmitter {
	t.Helper()
	tx, err := p.NewTransmitter()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.Close() })
	return tx
}

// poll waits until a descriptor polls ready.
func poll(fd int, timeout time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, _ := unix.Poll(fds, int(timeout.Milliseconds()))
	return n > 0
}

// receive returns copies of the frames that come in until match has accepted
// want of them or the timeout has passed.
func receive(t testing.TB, r port.Receiver, want int, timeout time.Duration, match func(*packet.Frame) bool) []packet.Frame {
	t.Helper()
	var got []packet.Frame
	batch := make([]packet.Frame, port.BatchMax)
	for end := time.Now().Add(timeout); len(got) < want && time.Now().Before(end); {
		if !poll(r.FD(), time.Until(end)) {
			break
		}
		n, err := r.Receive(batch)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range batch[:n] {
			if match(&f) {
				got = append(got, packet.Frame{Data: append([]byte(nil), f.Data...), VNet: f.VNet})
			}
		}
	}
	return got
}

// experimental is the EtherType of test frames (IEEE 802a).
const experimental = 0x88b5

// frame makes a test frame of a size in bytes, whose payload shows where it
// was damaged or mixed up.
func frame(dst packet.MAC, size int, seed byte) []byte {
	b := make([]byte, size)
	packet.PutEthernet(b, dst, packet.MAC{2, 0, 0, 0, 0, 2}, experimental)
	for i := packet.EthernetLen; i < size; i++ {
		b[i] = byte(i) ^ byte(i>>8) ^ seed
	}
	return b
}

func isTest(f *packet.Frame) bool { return packet.Ethernet(f.Data).Type() == experimental }

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("timeout: %s", what)
		}
	}
}
