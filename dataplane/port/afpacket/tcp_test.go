package afpacket

import (
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/dataplane/port"
	"vrouter/internal/nstest"
	"vrouter/packet"
)

// cable is two hosts with a namespace between them, whose two ports are joined
// by a worker that sends on what it receives, as it is.
type cable struct {
	left, right *nstest.NS
	ports       [2]*Port
}

func newCable(t testing.TB, own bool) *cable {
	t.Helper()
	router := nstest.New(t)
	c := &cable{left: nstest.New(t), right: nstest.New(t)}
	nstest.Veth(t, c.left, "eth0", router, "left")
	nstest.Veth(t, c.right, "eth0", router, "right")
	c.left.Addr(t, "eth0", "192.0.2.1/24")
	c.right.Addr(t, "eth0", "192.0.2.2/24")
	c.ports[0] = open(t, router, Config{Device: "left", OwnAddresses: own})
	c.ports[1] = open(t, router, Config{Device: "right", OwnAddresses: own})
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { c.forward(t, stop) })
	t.Cleanup(func() {
		close(stop)
		running.Wait()
	})
	return c
}

func (c *cable) forward(t testing.TB, stop <-chan struct{}) {
	var fds [2]unix.PollFd
	var paths [2]port.Transmitter
	for i, p := range c.ports {
		fds[i] = unix.PollFd{Fd: int32(p.Receivers()[0].FD()), Events: unix.POLLIN}
		paths[i] = newPath(t, p)
		defer paths[i].Close()
	}
	batch, out := make([]packet.Frame, port.BatchMax), make([]*packet.Frame, port.BatchMax)
	for i := range batch {
		out[i] = &batch[i]
	}
	for {
		select {
		case <-stop:
			return
		default:
		}
		idle := true
		for i, p := range c.ports {
			n, _ := p.Receivers()[0].Receive(batch)
			if n > 0 {
				paths[1-i].Transmit(out[:n])
				idle = false
			}
		}
		if idle {
			unix.Poll(fds[:], 10)
		}
	}
}

// send sends bytes of random data over TCP from left to right, and compares
// what arrives.
func (c *cable) send(t testing.TB, bytes int64) {
	t.Helper()
	var listener net.Listener
	err := c.right.Do(func() (err error) { listener, err = net.Listen("tcp", "192.0.2.2:7"); return err })
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	arrived := make(chan [32]byte, 1)
	go func() {
		hash := sha256.New()
		if conn, err := listener.Accept(); err == nil {
			io.Copy(hash, conn)
			conn.Close()
		}
		arrived <- [32]byte(hash.Sum(nil))
	}()
	var conn net.Conn
	err = c.left.Do(func() (err error) { conn, err = net.DialTimeout("tcp", "192.0.2.2:7", 5*time.Second); return err })
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(60 * time.Second))
	hash := sha256.New()
	_, err = io.CopyN(io.MultiWriter(conn, hash), rand.NewChaCha8([32]byte{1}), bytes)
	conn.Close()
	if err != nil {
		t.Fatal(err)
	}
	if <-arrived != [32]byte(hash.Sum(nil)) {
		t.Fatal("what arrived is not what was sent")
	}
}

func TestATCPStreamWithAllOffloadsPassesWhole(t *testing.T) {
	c := newCable(t, true)
	c.send(t, 64<<20)
	rx := c.ports[0].Receivers()[0].Stats()
	if rx.Dropped() != 0 {
		t.Errorf("lost: %+v", rx)
	}
	if rx.Frames == 0 || rx.Bytes/rx.Frames < 4000 {
		t.Errorf("%d frames for %d bytes: GSO frames were cut up", rx.Frames, rx.Bytes)
	}
}

// BenchmarkReceive measures what a waiting frame costs its reader, apart from
// the kernel's work.
func BenchmarkReceive(b *testing.B) {
	router, host := pair(b)
	p, peer := open(b, router, Config{Device: "lan", OwnAddresses: true}), open(b, host, Config{Device: "peer"})
	tx, rx := newPath(b, peer), p.Receivers()[0]
	frames := make([]*packet.Frame, port.BatchMax)
	for i := range frames {
		frames[i] = &packet.Frame{Data: frame(p.Status().MAC, 60, byte(i))}
	}
	batch := make([]packet.Frame, port.BatchMax)
	var receiving, sending time.Duration
	received := 0
	for received < b.N {
		began := time.Now()
		for range 6 {
			tx.Transmit(frames)
		}
		sending += time.Since(began)
		began = time.Now()
		for n := 1; n > 0; received += n {
			n, _ = rx.Receive(batch)
		}
		receiving += time.Since(began)
	}
	b.ReportMetric(float64(receiving.Nanoseconds())/float64(received), "ns/received")
	b.ReportMetric(float64(sending.Nanoseconds())/float64(received), "ns/sent")
	if s := rx.Stats(); s.Dropped() != 0 {
		b.Errorf("lost: %+v", s)
	}
}
