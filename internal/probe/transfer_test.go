package probe

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/internal/nstest"
)

// TestTransfer lets two Linux hosts with their default offloads (GSO frames
// with partial checksums) send each other streams across the router, over
// links of different MTUs.
func TestTransfer(t *testing.T) {
	for _, attach := range []string{"af_packet", "tap"} {
		t.Run(attach, func(t *testing.T) {
			r := newRigBy(t, attach)
			hosts := map[string]*nstest.NS{}
			for _, port := range []string{"lan", "dmz"} {
				r.connect(port)
				hosts[port] = r.stations[port].ns
				hosts[port].Sysctl(t, "net/ipv6/conf/eth0/disable_ipv6", "0")
			}
			hosts["lan"].Addr(t, "eth0", lanHost+"/24", lanHost6+"/64")
			hosts["dmz"].Addr(t, "eth0", dmzHost+"/26", dmzHost6+"/64")
			for port, ns := range hosts {
				ns.Route(t, "0.0.0.0/0", map[string]string{"lan": lanOwn, "dmz": "198.51.100.2"}[port])
				ns.Route(t, "::/0", map[string]string{"lan": lanOwn6, "dmz": "2001:db8:3::2"}[port])
			}
			r.run(`
[[interface]]
name = "lan"
attach = "af_packet"
device = "lan"
addresses = ["192.0.2.2/24", "2001:db8:1::2/64"]
[[interface]]
name = "dmz"
attach = "af_packet"
device = "dmz"
mtu = 1300
addresses = ["198.51.100.2/26", "2001:db8:3::2/64"]
`)
			time.Sleep(time.Second)
			for _, way := range [][4]string{{"lan", lanHost, "dmz", dmzHost}, {"dmz", dmzHost, "lan", lanHost}, {"lan", lanHost6, "dmz", dmzHost6}, {"dmz", dmzHost6, "lan", lanHost6}} {
				t.Run(way[1]+" to "+way[3], func(t *testing.T) {
					begin := time.Now()
					const size = 30 << 20
					transfer(t, hosts[way[0]], hosts[way[2]], way[3], size)
					t.Logf("%d MiB in %v", size>>20, time.Since(begin))
				})
				t.Run("UDP GSO "+way[1]+" to "+way[3], func(t *testing.T) { datagrams(t, hosts[way[0]], hosts[way[2]], way[3]) })
			}
		})
	}
}

// transfer sends size random bytes by TCP, and compares their hashes.
func transfer(t *testing.T, from, to *nstest.NS, address string, size int64) {
	t.Helper()
	var listener net.Listener
	if err := to.Do(func() (err error) { listener, err = net.Listen("tcp", net.JoinHostPort(address, "0")); return err }); err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	sums := make(chan string, 1)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			sums <- err.Error()
			return
		}
		defer c.Close()
		h := sha256.New()
		_ = c.SetDeadline(time.Now().Add(40 * time.Second))
		n, err := io.Copy(h, c)
		sums <- fmt.Sprintf("%d bytes, %v, %x", n, err, h.Sum(nil))
	}()
	var c net.Conn
	if err := from.Do(func() (err error) {
		c, err = net.DialTimeout("tcp", listener.Addr().String(), 5*time.Second)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	_ = c.SetDeadline(time.Now().Add(40 * time.Second))
	n, err := io.CopyN(io.MultiWriter(c, h), rand.NewChaCha8([32]byte{1}), size)
	c.Close()
	if want, got := fmt.Sprintf("%d bytes, %v, %x", n, err, h.Sum(nil)), <-sums; got != want || err != nil {
		t.Errorf("received %s\nsent     %s", got, want)
	}
}

// datagrams sends bursts that the kernel hands over as one frame (UDP_SEGMENT).
func datagrams(t *testing.T, from, to *nstest.NS, address string) {
	t.Helper()
	var in net.PacketConn
	if err := to.Do(func() (err error) { in, err = net.ListenPacket("udp", net.JoinHostPort(address, "0")); return err }); err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out net.Conn
	if err := from.Do(func() (err error) { out, err = net.Dial("udp", in.LocalAddr().String()); return err }); err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	const size, count = 1000, 20
	raw, err := out.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size) }); err != nil {
		t.Skipf("UDP_SEGMENT: %v", err)
	}
	if err != nil {
		t.Skipf("UDP_SEGMENT: %v", err)
	}
	burst := make([]byte, size*count)
	for i := range count {
		binary.BigEndian.PutUint32(burst[i*size:], uint32(i))
	}
	seen := map[uint32]int{}
	for range 3 {
		if _, err := out.Write(burst); err != nil {
			t.Fatal(err)
		}
	}
	_ = in.SetReadDeadline(time.Now().Add(time.Second))
	for b := make([]byte, 65536); len(seen) < count || seen[count-1] < 3; {
		n, _, err := in.ReadFrom(b)
		if err != nil {
			break
		}
		if n != size {
			t.Errorf("a datagram of %d bytes, want %d", n, size)
		}
		seen[binary.BigEndian.Uint32(b)]++
	}
	for i := range uint32(count) {
		if seen[i] < 2 || seen[i] > 3 { // of the first burst some may be lost to resolution
			t.Errorf("datagram %d arrived %d times, want 3", i, seen[i])
		}
	}
}
