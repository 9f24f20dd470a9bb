package interop

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"vrouter/internal/netlab"
)

// TCP through one router, with the offloads that Linux switches on by itself:
// frames of up to 64 kB with partial checksums.
func TestTransfers(t *testing.T) {
	r := newRig(t)
	v := r.vrouter("r1", interfaces(numberFirst)+gateways(200, "200ms"))
	v.start()
	v.waitMaster()
	t.Run("iperf3", func(t *testing.T) { testIperf(t, r) })
	size := int64(200 << 20)
	if testing.Short() {
		size = 20 << 20
	}
	for _, c := range []struct {
		name     string
		from, to *netlab.Host
		listen   string
	}{
		{"out by IPv4", r.lan, r.up, target4},
		{"out by IPv6", r.lan, r.up, target6},
		{"in by IPv4", r.up, r.lan, lanHost4},
		{"in by IPv6", r.up, r.lan, lanHost6},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			if err := transfer(c.from, c.to, c.listen, size); err != nil {
				t.Error(err)
			}
			t.Logf("%d MB in %v", size>>20, time.Since(start).Round(time.Millisecond))
		})
	}
}

func testIperf(t *testing.T, r *rig) {
	need(t, "iperf3")
	for _, target := range []string{target4, target6} {
		for _, direction := range [][]string{nil, {"-R"}} {
			server, err := r.up.Start("iperf3", "-s", "-1", "-B", target)
			must(t, err)
			waitFor(t, patience, "iperf3 is done", func() error {
				// Refused until the server listens.
				out, err := r.run(r.lan, append([]string{"iperf3", "-J", "-t", "2", "-c", target}, direction...)...)
				if err != nil {
					return err
				}
				return checkIperf(t, target, direction, out)
			})
			server.Kill()
		}
	}
}

// checkIperf wants at least a fiftieth of what a slow machine reaches. It
// returns an error where iperf3 did not get to measure.
func checkIperf(t *testing.T, target string, direction []string, out string) error {
	t.Helper()
	var result struct {
		Error string
		End   struct {
			SumReceived struct {
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	if result.Error != "" {
		return errors.New(result.Error)
	}
	mbits := result.End.SumReceived.BitsPerSecond / 1e6
	t.Logf("%s %v: %.0f Mbit/s", target, direction, mbits)
	if mbits < 100 {
		t.Errorf("%s %v: %.1f Mbit/s\n%s", target, direction, mbits, out)
	}
	return nil
}

// transfer sends random bytes from one host to an address of the other, and
// compares the hashes.
func transfer(from, to *netlab.Host, address string, size int64) error {
	var listener net.Listener
	err := to.Do(func() (err error) {
		listener, err = net.Listen("tcp", net.JoinHostPort(address, "7070"))
		return err
	})
	if err != nil {
		return err
	}
	defer listener.Close()
	var conn net.Conn
	err = from.Do(func() (err error) {
		conn, err = net.DialTimeout("tcp", listener.Addr().String(), 10*time.Second)
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	peer, err := listener.Accept()
	if err != nil {
		return err
	}
	defer peer.Close()
	limit := time.Now().Add(2 * time.Minute)
	conn.SetDeadline(limit)
	peer.SetDeadline(limit)

	sent := make(chan error, 1)
	sum := sha256.New()
	go func() {
		random := rand.NewChaCha8([32]byte{byte(size), byte(size >> 8)})
		_, err := io.CopyN(io.MultiWriter(conn, sum), random, size)
		conn.(*net.TCPConn).CloseWrite()
		sent <- err
	}()
	got := sha256.New()
	n, err := io.Copy(got, peer)
	if sendErr := <-sent; sendErr != nil {
		return fmt.Errorf("sent: %w", sendErr)
	}
	if err != nil {
		return fmt.Errorf("received %d of %d bytes: %w", n, size, err)
	}
	if n != size {
		return fmt.Errorf("received %d of %d bytes", n, size)
	}
	if want, have := fmt.Sprintf("%x", sum.Sum(nil)), fmt.Sprintf("%x", got.Sum(nil)); want != have {
		return fmt.Errorf("what came differs: %s, sent %s", have, want)
	}
	return nil
}
