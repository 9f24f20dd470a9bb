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
		"ipv4 multipath": from4(ip4{dst: "10.6.0.1"}),
		"ipv6 connected": from6(ip6{dst: "2001:db8:2::1"}),
		"ipv6 gateway":   from6(ip6{dst: "2001:db8:f000::1"}),
		"ipv6 multipath": from6(ip6{dst: "2001:db8:6::1"}),
	}
}

func BenchmarkForward(b *testing.B) {
	for name, f := range benchFrames() {
		b.Run(name, func(b *testing.B) {
			w, original := start(), *f
			data := make([]byte, len(f.Data))
			b.ReportAllocs()
			for b.Loop() {
				copy(data, original.Data)
				f.Data = data
				if v := w.Forward(lan, f); v.Action != Transmit {
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
