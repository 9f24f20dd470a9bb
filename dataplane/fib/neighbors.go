package fib

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"vrouter/packet"
)

// Neighbors maps the resolved hosts on a link to their MACs: a hash table
// that is never changed, only replaced by a changed copy which shares nearly
// all of it. A nil *Neighbors is empty. (A prefix table would take 130 ns for
// an IPv6 address; this takes a tenth.)
type Neighbors struct {
	buckets [][]neighbor // their number is a power of two
	size    int
}

// neighbor is a host; IPv4 addresses are in their IPv4-mapped form.
type neighbor struct {
	hi, lo uint64
	mac    packet.MAC
}

// minNeighborBuckets is the number of buckets of a small table; larger ones
// have one bucket for two to four hosts.
const minNeighborBuckets = 16

// Len returns the number of hosts.
func (t *Neighbors) Len() int {
	if t == nil {
		return 0
	}
	return t.size
}

// Lookup4 returns the MAC of an IPv4 host.
func (t *Neighbors) Lookup4(a uint32) (packet.MAC, bool) {
	return t.Lookup6(0, 0xffff<<32|uint64(a))
}

// Lookup6 returns the MAC of an IPv6 host, given by the halves of its address.
func (t *Neighbors) Lookup6(hi, lo uint64) (packet.MAC, bool) {
	if t == nil {
		return packet.MAC{}, false
	}
	bucket := t.buckets[neighborHash(hi, lo)&uint64(len(t.buckets)-1)]
	for i := range bucket {
		if n := &bucket[i]; n.lo == lo && n.hi == hi {
			return n.mac, true
		}
	}
	return packet.MAC{}, false
}

// Lookup returns the MAC of a host of either family.
func (t *Neighbors) Lookup(a netip.Addr) (packet.MAC, bool) { return t.Lookup6(halves(a)) }

// With returns the table with a host added, or its MAC changed.
func (t *Neighbors) With(a netip.Addr, mac packet.MAC) *Neighbors {
	n := neighbor{mac: mac}
	n.hi, n.lo = halves(a)
	u := t.without(n.hi, n.lo)
	if u.size >= 4*len(u.buckets) {
		u = u.grown()
	}
	b := u.bucket(n.hi, n.lo)
	*b = append((*b)[:len(*b):len(*b)], n)
	u.size++
	return u
}

// Without returns the table without a host.
func (t *Neighbors) Without(a netip.Addr) *Neighbors {
	hi, lo := halves(a)
	if _, ok := t.Lookup6(hi, lo); !ok {
		return t
	}
	return t.without(hi, lo)
}

// without returns a copy whose buckets are shared but for the one that held
// the host.
func (t *Neighbors) without(hi, lo uint64) *Neighbors {
	if t == nil {
		return &Neighbors{buckets: make([][]neighbor, minNeighborBuckets)}
	}
	u := &Neighbors{buckets: append([][]neighbor(nil), t.buckets...), size: t.size}
	b := u.bucket(hi, lo)
	for i, n := range *b {
		if n.hi == hi && n.lo == lo {
			rest := append([]neighbor(nil), (*b)[:i]...)
			*b = append(rest, (*b)[i+1:]...)
			u.size--
			break
		}
	}
	return u
}

// grown returns a copy with twice the buckets, which shares nothing.
func (t *Neighbors) grown() *Neighbors {
	u := &Neighbors{buckets: make([][]neighbor, 2*len(t.buckets)), size: t.size}
	for _, bucket := range t.buckets {
		for _, n := range bucket {
			b := u.bucket(n.hi, n.lo)
			*b = append(*b, n)
		}
	}
	return u
}

func (t *Neighbors) bucket(hi, lo uint64) *[]neighbor {
	return &t.buckets[neighborHash(hi, lo)&uint64(len(t.buckets)-1)]
}

func neighborHash(hi, lo uint64) uint64 {
	h, l := bits.Mul64(hi^0x9e3779b97f4a7c15, lo^0xe7037ed1a0b428db)
	return h ^ l
}

func halves(a netip.Addr) (hi, lo uint64) {
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}
