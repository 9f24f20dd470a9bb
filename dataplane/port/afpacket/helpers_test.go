package afpacket

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/dataplane/port"
	"vrouter/dataplane/port/xsk"
	"vrouter/internal/nstest"
	"vrouter/packet"
)

// everyArena gives all ports AF_XDP where it is set.
var everyArena *xsk.Arena

// open opens a port in a namespace.
func open(t testing.TB, ns *nstest.NS, cfg Config) *Port {
	t.Helper()
	var p *Port
	if cfg.Express == nil {
		cfg.Express = everyArena
	}
	err := ns.Do(func() (err error) {
		p, err = Open(cfg)
		return err
	})
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

// pair makes two namespaces with a veth between "lan" and "peer".
func pair(t testing.TB) (router, host *nstest.NS) {
	t.Helper()
	router, host = nstest.New(t), nstest.New(t)
	nstest.Veth(t, router, "lan", host, "peer")
	return router, host
}

func newPath(t testing.TB, p *Port) port.Transmitter {
	t.Helper()
	tx, err := p.NewTransmitter()
	if err != nil {
		t.Fatal(err)
	}
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
			if match == nil || match(&f) {
				got = append(got, packet.Frame{Data: append([]byte(nil), f.Data...), VNet: f.VNet})
			}
		}
	}
	return got
}

// experimental is the EtherType of test frames (IEEE 802a).
const experimental = 0x88b5

var testSrc = packet.MAC{2, 0, 0, 0, 0, 2}

// frame makes a test frame of a size in bytes, whose payload shows where it
// was damaged or mixed up.
func frame(dst packet.MAC, size int, seed byte) []byte {
	b := make([]byte, size)
	packet.PutEthernet(b, dst, testSrc, experimental)
	for i := packet.EthernetLen; i < size; i++ {
		b[i] = byte(i) ^ byte(i>>8) ^ seed
	}
	return b
}

func isTest(f *packet.Frame) bool {
	return packet.Ethernet(f.Data).Type() == experimental
}

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("timeout: %s", what)
		}
	}
}
