package router

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// manyRouters is a configuration with n virtual routers on one interface.
func manyRouters(n int) string {
	var b strings.Builder
	b.WriteString("[[interface]]\nname = \"lan\"\nattach = \"af_packet\"\ndevice = \"eth1\"\naddresses = [\"10.0.0.2/16\"]\n")
	for i := range n {
		fmt.Fprintf(&b, "[[vrrp]]\nname = \"v%d\"\ninterface = \"lan\"\nvrid = %d\naddresses = [\"10.0.%d.200\"]\ninterval = \"100ms\"\n", i, i+1, i)
	}
	return b.String()
}

// BenchmarkTakeover is the turn in which 255 virtual routers become Master.
func BenchmarkTakeover(b *testing.B) {
	text := manyRouters(255)
	for range b.N {
		b.StopTimer()
		s := newScript(b, text)
		s.quiet = true
		s.run("up lan")
		due := s.router.virtual[0].machine.Deadline()
		for s.router.Deadline().Before(due) {
			s.now = s.router.Deadline()
			s.advanceOnce()
		}
		s.now = due
		b.StartTimer()
		actions := s.router.Advance(s.now)
		b.StopTimer()
		if got := len(actions); got < 3*255 {
			b.Fatalf("%d actions", got)
		}
		b.StartTimer()
	}
}

// BenchmarkAdvertise is the turn in which 255 Masters advertise.
func BenchmarkAdvertise(b *testing.B) {
	s := newScript(b, manyRouters(255))
	s.quiet = true
	s.run("up lan")
	s.advance(10 * time.Second)
	b.ReportAllocs()
	for b.Loop() {
		s.now = s.now.Add(100 * time.Millisecond)
		if got := len(s.router.Advance(s.now)); got < 255 {
			b.Fatalf("%d actions", got)
		}
	}
}

// BenchmarkReceiveAdvertisement is one advertisement for one of 255 Backups.
func BenchmarkReceiveAdvertisement(b *testing.B) {
	s := newScript(b, manyRouters(255))
	s.quiet = true
	s.run("up lan")
	w := words{s: s, named: map[string]string{"vrid": "200", "from": "10.0.0.3", "addresses": "10.0.199.200", "every": "100ms"}}
	frame := w.advert()
	b.ReportAllocs()
	for b.Loop() {
		s.router.Receive(s.now, 0, frame)
	}
}

// BenchmarkReceiveARP is one request of a known neighbour.
func BenchmarkReceiveARP(b *testing.B) {
	s := newScript(b, manyRouters(255))
	s.quiet = true
	s.run("up lan")
	w := words{s: s, named: map[string]string{"from": "10.0.0.9", "target": "10.0.0.2"}}
	frame := w.arp(1)
	b.ReportAllocs()
	for b.Loop() {
		s.router.Receive(s.now, 0, frame)
	}
}
