package netstack

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestDeliverIsBounded(t *testing.T) {
	block := make(chan struct{})
	s := newStack(t, Config{}, func(uint16, []byte) { <-block })
	t.Cleanup(func() { close(block) })
	must(t, s.SetPorts([]Port{{Number: 0, Name: "lan", MTU: 65535}}))
	must(t, s.SetAddresses(addresses(0, "192.0.2.2/24")))
	big := echo("192.0.2.9", "192.0.2.2", 64, 1, 60000)
	for range 20000 {
		s.Deliver(0, big)
		if n := s.inBytes.Load(); n > queueInBytes {
			t.Fatalf("%d bytes wait", n)
		}
	}
	eventually(t, "all was looked at", func() bool { return len(s.in) == 0 })
	st := s.Stats()
	if st.DroppedIn+st.DroppedOut < 20000-queueOut-1-2 {
		t.Errorf("%+v: the queues have no bound", st)
	}
	if st.Delivered+st.DroppedIn != 20000 {
		t.Errorf("%+v: not all accounted for", st)
	}
	if n := s.inBytes.Load(); n != 0 {
		t.Errorf("%d bytes accounted for an empty queue", n)
	}
}

func TestCloseEndsAllGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 3 {
		p := newPair(t)
		ln, err := p.b.ListenTCP(netip.MustParseAddrPort("0.0.0.0:80"))
		must(t, err)
		accepted := make(chan struct{})
		go func() {
			defer close(accepted)
			_, _ = ln.Accept()
		}()
		if _, err := p.a.DialTCP(context.Background(), netip.AddrPort{}, netip.MustParseAddrPort("192.0.2.2:80")); err != nil {
			t.Fatal(err)
		}
		<-accepted
		ln.Close()
		p.a.Close()
		p.b.Close()
		p.b.Close() // a second time does nothing
		p.b.Deliver(0, echo("192.0.2.9", "192.0.2.2", 64, 1, 56))
	}
	eventually(t, "no goroutine left", func() bool { return runtime.NumGoroutine() <= before })
}

func TestEverythingAtOnce(t *testing.T) {
	p := newPair(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	during := func(f func(i int)) {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					f(i)
				}
			}
		})
	}
	own := addresses(0, "192.0.2.2/24", "fe80::2/64", "2001:db8:1::2/64")
	during(func(i int) {
		virtual := addresses(0, "192.0.2.100/32", "fe80::100/128")
		_ = p.b.SetAddresses(append(slices.Clone(own), virtual[:i%3]...))
	})
	during(func(i int) {
		ports := []Port{{Number: 0, Name: "lan", MTU: 1300 + i%200}, {Number: 1, Name: "wan", MTU: mtu}}
		_ = p.b.SetPorts(ports[:1+i%2])
	})
	during(func(i int) {
		groups := []netip.Addr{addr("224.0.0.18"), addr("ff02::12")}
		_ = p.b.SetGroups(map[uint16][]netip.Addr{0: groups[:i%3], 1: groups[:1]})
	})
	during(func(int) { p.b.Deliver(0, echo("192.0.2.77", "192.0.2.100", 64, 1, 2000)) })
	during(func(int) { p.b.Stats() })
	var pinging sync.WaitGroup
	for _, dst := range []string{"192.0.2.2", "2001:db8:1::2", "fe80::2%lan"} {
		pinging.Go(func() {
			for i := range 50 {
				r, err := p.a.Ping(context.Background(), PingRequest{Address: addr(dst), Sequence: uint16(i), Size: 100, Timeout: 20 * time.Millisecond})
				if err != nil || r.Err != nil && !errors.Is(r.Err, ErrTimeout) {
					t.Errorf("ping %s: %+v, %v", dst, r, err)
				}
			}
		})
	}
	pinging.Wait()
	p.b.Close() // in the middle of it
	close(stop)
	wg.Wait()
}
