package dataplane

import (
	"testing"

	"vrouter/packet"
)

// benchFrames are frames that Forward transmits.
func benchFrames() map[string]*packet.Frame {
	return map[string]*packet.Frame{
		"ipv4 connected": from4(ip4{dst: "203.0.113.1"}),
		"ipv4 gateway":   from4(ip4{dst: "100.64.0.1"}),
		"ipv4 virtual":   to(virtual4, from4(ip4{dst: "203.0.113.1"})),
		"ipv4 multipath": from4(ip4{dst: "10.6.0.1"}),
		"ipv6 connected": from6(ip6{dst: "2001:db8:2::1"}),
		"ipv6 gateway":   from6(ip6{dst: "2001:db8:f000::1"}),
		"ipv6 multipath": from6(ip6{dst: "2001:db8:6::1"}),
	}
}

func BenchmarkForward(b *testing.B) {
	for name, f := range benchFrames() {
		b.Run(name, func(b *testing.B) {
			w, g := start(), *f
			g.Data = make([]byte, len(f.Data))
			b.ReportAllocs()
			for b.Loop() {
				copy(g.Data, f.Data)
				if v := w.Forward(lan, &g); v.Action != Transmit {
					b.Fatal(v)
				}
			}
		})
	}
}

// BenchmarkForwardRefuses measures what a backup pays for what a switch floods:
// frames to a virtual MAC that it watches, to one that it does not, and to a
// stranger.
func BenchmarkForwardRefuses(b *testing.B) {
	for name, f := range map[string]*packet.Frame{
		"watched":     to(watched4, from4(ip4{dst: "203.0.113.1"})),
		"not watched": to(packet.MAC{0, 0, 0x5e, 0, 1, 12}, from4(ip4{dst: "203.0.113.1"})),
		"foreign":     to(macFar, from4(ip4{dst: "203.0.113.1"})),
	} {
		b.Run(name, func(b *testing.B) {
			w := start()
			for b.Loop() {
				if v := w.Forward(lan, f); v.Action == Transmit {
					b.Fatal(v)
				}
			}
		})
	}
}

func TestForwardAllocatesNothing(t *testing.T) {
	for name, f := range benchFrames() {
		w, original, data := start(), f.Data, make([]byte, len(f.Data))
		n := testing.AllocsPerRun(100, func() {
			copy(data, original)
			f.Data = data
			if v := w.Forward(lan, f); v.Action != Transmit {
				t.Fatal(name, v)
			}
			w.Flush()
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
