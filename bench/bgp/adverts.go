package main

import (
	"slices"
	"sync"
	"time"

	"vrouter/internal/netlab"
	"vrouter/packet"
)

// interval is that of the router's advertisements.
const interval = 100 * time.Millisecond

// adverts listens to a router's VRRP advertisements.
type adverts struct {
	tap *netlab.Tap

	mu sync.Mutex
	at []time.Time // when the kernel got each
}

func listen(l *netlab.Link) (*adverts, error) {
	tap, err := l.OpenTap()
	if err != nil {
		return nil, err
	}
	a := &adverts{tap: tap}
	go a.read()
	return a, nil
}

func (a *adverts) read() {
	var b [2048]byte
	for {
		n, at, ok := a.tap.Read(b[:])
		if !ok {
			return
		}
		if isAdvert(b[:n]) {
			a.mu.Lock()
			a.at = append(a.at, at)
			a.mu.Unlock()
		}
	}
}

func isAdvert(frame []byte) bool {
	e, ok := packet.ParseEthernet(frame)
	if !ok || e.Type() != packet.EtherTypeIPv4 {
		return false
	}
	ip, ok := packet.ParseIPv4(e.Payload())
	return ok && ip.Protocol() == packet.ProtoVRRP
}

// late returns by how much each advertisement in a time came later than the
// interval after the one before it, sorted.
func (a *adverts) late(from, to time.Time) (late []time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := 1; i < len(a.at); i++ {
		if at := a.at[i]; at.After(from) && at.Before(to) {
			late = append(late, max(at.Sub(a.at[i-1])-interval, 0))
		}
	}
	slices.Sort(late)
	return late
}

// percentile returns a percentile of a sorted list; 0 of an empty one.
func percentile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)]
}
