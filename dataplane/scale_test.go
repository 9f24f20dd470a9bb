package dataplane

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"testing"

	"vrouter/bench/prefixes"
	"vrouter/dataplane/fib"
	"vrouter/packet"
)

// hops is the number of next hops in these benchmarks.
const hops = 8

// scaled returns the test world with the routes given, which lead to hops next
// hops in turn.
func scaled(routes []netip.Prefix) *fib.Snapshot {
	s := newWorld()
	first := len(s.Groups)
	for i := range hops {
		s.Groups = append(s.Groups, fib.Group{Kind: fib.Gateway, Hops: []fib.NextHop{
			{Port: wan, Via: ip("203.0.113.1"), MAC: packet.MAC{2, 0, 0, 0, 1, byte(i)}, Resolved: true},
		}})
	}
	s.Routes = nil
	changes := make([]fib.Change, len(routes))
	for i, p := range routes {
		changes[i] = fib.Change{Prefix: p, Group: fib.GroupID(first + i%hops)}
	}
	s.Routes = s.Routes.With(changes...)
	return s
}

// internet is what the benchmarks at scale share: it takes seconds to make.
var internet = sync.OnceValue(func() (t struct {
	four, six []netip.Prefix
	snapshot  *fib.Snapshot
},
) {
	t.four, t.six = prefixes.IPv4(1, 1_000_000), prefixes.IPv6(1, 200_000)
	t.snapshot = scaled(slices.Concat(t.four, t.six))
	return t
})

// small is the payload of these packets: a datagram of 26 bytes.
var small = udp(1000, 2000, make([]byte, 18))

// flowHeader is what a flow's packets have of their own.
type flowHeader struct {
	dst   [16]byte
	check uint16 // of IPv4
	ports uint32
}

// flowsTo returns the headers of n flows to addresses in turn.
func flowsTo(addresses []netip.Addr, n int) []flowHeader {
	list := make([]flowHeader, n)
	for i := range list {
		h := &list[i]
		a := addresses[i%len(addresses)]
		h.ports = uint32(i*7919)<<16 | 2000
		if a.Is4() {
			f := from4(ip4{dst: a.String(), payload: small})
			h.check = binary.BigEndian.Uint16(f.Data[l3+10:])
			copy(h.dst[:], a.AsSlice())
		} else {
			h.dst = a.As16()
		}
	}
	return list
}

// ring is the buffers that a worker's frames are in, one after the other.
type ring struct {
	frames   [256]packet.Frame
	template []byte
	six      bool
}

func newRing(six bool) *ring {
	r := &ring{six: six, template: from4(ip4{dst: "100.64.0.1", payload: small}).Data}
	if six {
		r.template = from6(ip6{dst: "2001:db8:f000::1", payload: small}).Data
	}
	for i := range r.frames {
		r.frames[i].Data = make([]byte, len(r.template))
	}
	return r
}

// fill makes frame i of the flow.
func (r *ring) fill(i int, h *flowHeader) *packet.Frame {
	f := &r.frames[i%len(r.frames)]
	f.Data = f.Data[:len(r.template)]
	copy(f.Data, r.template)
	if r.six {
		copy(f.Data[l3+24:], h.dst[:])
		binary.BigEndian.PutUint32(f.Data[l3+40:], h.ports)
		return f
	}
	binary.BigEndian.PutUint16(f.Data[l3+10:], h.check)
	copy(f.Data[l3+16:l3+20], h.dst[:4])
	binary.BigEndian.PutUint32(f.Data[l3+20:], h.ports)
	return f
}

// BenchmarkPacket is what a packet of 60 bytes (IPv6: 80) costs from the decision
// to the rewritten header, without I/O. routes=0 makes the frames and does not
// forward them: what of the others is the benchmark's own. With one route all
// flows take it; with 1M (1,000,000 IPv4 and 200,000 IPv6), flows go to one
// prefix each, in no order. routes=ecmp is one route with eight next hops.
func BenchmarkPacket(b *testing.B) {
	one := scaled([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")})
	multi := scaled([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")})
	for i := range multi.Groups {
		if g := &multi.Groups[i]; g.Kind == fib.Gateway {
			g.Hops = slices.Repeat(g.Hops, hops)
			g.Buckets = fib.BuildBuckets(hops)
		}
	}
	for _, family := range []string{"v4", "v6"} {
		for _, routes := range []string{"0", "1", "ecmp", "1M"} {
			for _, flows := range []int{1, 1000, 100_000} {
				b.Run(fmt.Sprintf("family=%s/routes=%s/flows=%d", family, routes, flows), func(b *testing.B) {
					table := internet().four
					if family == "v6" {
						table = internet().six
					}
					snapshot := map[string]*fib.Snapshot{"0": nil, "1": one, "ecmp": multi, "1M": internet().snapshot}[routes]
					benchmarkPackets(b, snapshot, flowsTo(prefixes.Addresses(3, table, flows), flows), family == "v6")
				})
			}
		}
	}
}

// batch is how many frames a worker has at once.
const batch = 64

// benchmarkPackets makes a batch of frames, and then forwards it: what was just
// written is slow to read in other pieces, and a device's frames are not.
func benchmarkPackets(b *testing.B, s *fib.Snapshot, flows []flowHeader, six bool) {
	r, w := newRing(six), NewForwarder()
	at, made := 0, 0
	for i := 0; b.Loop(); i++ {
		if i == made {
			for ; made < i+batch; made++ {
				r.fill(made, &flows[at])
				if at++; at == len(flows) {
					at = 0
				}
			}
			if s != nil {
				w.Begin(s, 1)
				w.Ahead(r.frames[i%len(r.frames):][:batch])
			}
		}
		if s == nil {
			continue
		}
		if v := w.Forward(lan, &r.frames[i%len(r.frames)]); v.Action != Transmit {
			b.Fatal(v)
		}
	}
}

// What BenchmarkPacket measures is what it says: every flow goes to its own next
// hop, by the route that it belongs to, with a header that is right.
func TestPacketsOfABigTableTakeTheirRoutes(t *testing.T) {
	four, six := prefixes.IPv4(1, 4000), prefixes.IPv6(1, 2000)
	s := scaled(slices.Concat(four, six))
	routes := maps.Collect(s.Routes.All())
	for _, table := range [][]netip.Prefix{four, six} {
		v6 := table[0].Addr().Is6()
		addresses := prefixes.Addresses(3, table, 2000)
		r, w := newRing(v6), NewForwarder()
		w.Begin(s, 1)
		for i, h := range flowsTo(addresses, len(addresses)) {
			f := r.fill(i, &h)
			if v := w.Forward(lan, f); v != (Verdict{Action: Transmit, Port: wan}) {
				t.Fatalf("to %s: %+v", addresses[i], v)
			}
			best := netip.Prefix{}
			for l := addresses[i].BitLen(); l >= 0 && !best.IsValid(); l-- {
				p, _ := addresses[i].Prefix(l)
				if _, ok := routes[p]; ok {
					best = p
				}
			}
			if want := s.Groups[routes[best]].Hops[0].MAC; packet.MAC(f.Data[:6]) != want {
				t.Fatalf("to %s, in %s: by %v, want %v", addresses[i], best, packet.MAC(f.Data[:6]), want)
			}
			if !v6 && !packet.IPv4(f.Data[l3:]).HeaderOK() {
				t.Fatalf("to %s: a wrong checksum", addresses[i])
			}
		}
	}
}

// The compiler keeps a struct in registers that has at most four fields, on each
// level: with more a forwarded packet costs nearly twice as much.
func TestAVerdictFitsRegisters(t *testing.T) {
	for _, v := range []any{Verdict{}, Cause{}} {
		if s := reflect.TypeOf(v); s.NumField() > 4 {
			t.Errorf("%v has %d fields", s, s.NumField())
		}
	}
}
